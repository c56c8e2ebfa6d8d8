"""`python -m benchmarks`: everything that the product promises in numbers, measured in one run, as Markdown."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import click

from benchmarks import (
    compiling,
    drops,
    embedded,
    entrance,
    evaluation,
    fanout,
    growth,
    handshakes,
    hooks,
    instructions,
    latency,
    machine,
    nonreaders,
    processes,
    report,
    rooms,
    scaling,
    site_events,
    watching,
    workers,
)
from benchmarks.report import Findings
from benchmarks.size import Size

PARTS: dict[str, Callable[[Size], Findings]] = {
    "handshakes": handshakes.find,
    "hooks": hooks.find,
    "instructions": instructions.find,
    "during": latency.during,
    "single": latency.single,
    "entrance": entrance.find,
    "growth": growth.grow,
    "waves": growth.waves,
    "rooms": rooms.find,
    "nonreaders": nonreaders.find,
    "drops": drops.find,
    "workers": workers.find,
    "embedded": embedded.find,
    "evaluation": evaluation.find,
    "site": site_events.find,
    "watching": watching.find,
    "scaling": scaling.find,
}
SIDE_BY_SIDE = ("fanout", "memory")
"""Two questions to the same crowds."""
NAMES = [*SIDE_BY_SIDE, *PARTS]


class Parts(click.ParamType[list[str]]):
    """Names separated by commas."""

    name = "PARTS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """The names."""
        words = value.split(",") if isinstance(value, str) else value
        if unknown := set(words) - set(NAMES):
            self.fail(f"{', '.join(sorted(unknown))}: choose from {', '.join(NAMES)}", param, ctx)
        return list(words)


@click.command()
@click.option("--only", type=Parts(), default=NAMES, help=f"Some of {', '.join(NAMES)}, separated by commas.")
@click.option("--sockets", type=click.IntRange(200, 18_000), default=Size().sockets, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=Size().rounds, show_default=True)
@click.option("--quick", is_flag=True, help="A twentieth of everything: does it all run?")
@click.option("--write", is_flag=True, help="Put the result into docs/benchmarks.md and, in short, README.md.")
def main(only: list[str], quick: bool, write: bool, **numbers: int) -> None:
    """Measure and print Markdown; progress goes to standard error. Linux, two cores or more, a C compiler.

    \b
    Examples:
      python -m benchmarks
      python -m benchmarks --quick
      python -m benchmarks --only fanout,memory --sockets 5000 --rounds 3
      python -m benchmarks --write
    """
    size = Size(sockets=numbers["sockets"], rounds=numbers["rounds"])
    if write:
        report.around()  # before all that time is spent
    processes.make_room()
    failed: list[str] = []
    try:
        found = list(measured(wanted(size.scaled() if quick else size, only), failed))
    finally:
        compiling.remove_compiled()
    measured_on = machine.described(machine.command())
    click.echo(report.markdown(measured_on, found))
    if failed:
        raise click.ClickException(f"failed: {', '.join(failed)}")
    if write:
        report.write(measured_on, found)


def wanted(size: Size, only: Sequence[str]) -> dict[str, Callable[[], Findings]]:
    """The parts that were asked for."""
    parts: dict[str, Callable[[], Findings]] = {}
    if set(only) & set(SIDE_BY_SIDE):
        parts["fanout"] = partial(fanout.find, size, only)
    return parts | {name: partial(find, size) for name, find in PARTS.items() if name in only}


def measured(parts: Mapping[str, Callable[[], Findings]], failed: list[str]) -> Iterator[Findings]:
    """One part after the other; one that fails costs no other its figures, and its name is added to `failed`."""
    for name, find in parts.items():
        processes.say(f"{name} …")
        try:
            yield find()
        except Exception as error:
            processes.say(f"{name} failed: {error!r}")
            failed.append(name)


if __name__ == "__main__":
    main()
