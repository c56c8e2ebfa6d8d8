"""The benchmark's verdict on hooks: a goal is a ratio within a round, and can be missed."""

from benchmarks.hooks import CALLERS, GOAL_CALLERS, OURS, PEERS, TIMES, Run, told


def verdicts(ours: list[float], others: list[float]) -> set[bool]:
    """Whether each goal is reached when the rounds had these rates, for us and for every peer."""
    rates = {OURS: ours, **dict.fromkeys(PEERS, others)}
    runs = {
        (name, callers): Run(rate if callers == GOAL_CALLERS else [1.0] * len(rate), [0.001], [0.1, 0.2])
        for name, rate in rates.items()
        for callers in CALLERS
    }
    findings = told(runs, len(ours))
    assert len(findings.goals) == len(PEERS)
    assert {len(row) for row in findings.tables[0].rows} == {len(findings.tables[0].head)}
    return {goal.met for goal in findings.goals}


def test_a_goal_is_reached_by_the_ratio_within_each_round() -> None:
    best = max(TIMES.values())
    assert verdicts([best * 100, best * 10, best * 1000], [100, 10, 1000]) == {True}
    assert verdicts([1000, 1000, 1000], [1000, 1000, 1000]) == {False}
    assert verdicts([99 * best, 9.9 * best, 9999], [100, 10, 1]) == {True, False}
