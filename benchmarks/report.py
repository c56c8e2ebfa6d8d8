"""What was found, as Markdown: the goals with what was measured beside them, then a table per question."""

import statistics
import textwrap
from collections.abc import Sequence
from pathlib import Path

import click
from msgspec import Struct

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
README = Path(__file__).parents[1] / "README.md"
ALL = "docs/benchmarks.md"
BRIEF = 1
"""Tables that the README shows besides the goals."""
LINE = 118
ABOUT = """\
Made by `python -m benchmarks --write`. Machines differ, and so does one machine from hour to hour: compare the ratios,
each of which is of one run. The floor is a C program that only calls `send()`; the peers get the same task.

- Figures are the median of all rounds, and in brackets the lowest and the highest. Those who are compared are measured
  in turn within each round.
- What is measured has the first core to itself; Redis, the crowds, the load and whoever is not being measured have the
  others. The kernel's work for a socket happens where it is caused.
- The next round of a fan-out begins when each browser has sent its receipt and the server has nothing left to do.
- CPU is that of the process, its time in the kernel included.
- A peer that cannot be had is named with the reason: npm's come by npm, nchan and centrifuge (with Go) from Debian's
  packages, unpacked into a cache folder and not installed.
"""


class Goal(Struct, frozen=True):
    """Something to reach, and what came of it."""

    what: str
    to_reach: str
    measured: str
    met: bool

    def row(self) -> list[str]:
        """A line of the table of goals."""
        return [self.what, self.to_reach, self.measured, "yes" if self.met else "**no**"]


class Table(Struct, frozen=True):
    """One question's answers; the first column is a name, the others are figures."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> str:
        """The table with its title and its note."""
        ruler = ["---", *["---:"] * (len(self.head) - 1)]
        lines = [f"| {' | '.join(row)} |" for row in (self.head, ruler, *self.rows)]
        note = [textwrap.fill(line, LINE, break_long_words=False) for line in self.note.splitlines()]
        return "\n".join([f"**{self.title}**", "", *lines, *(["", *note] if note else [])])


class Findings(Struct, frozen=True):
    """What one part of the benchmark came to."""

    tables: Sequence[Table]
    goals: Sequence[Goal] = ()


def markdown(machine: str, found: Sequence[Findings], most: int | None = None) -> str:
    """The machine first, the goals, then all tables, or the first few."""
    goals = [goal.row() for findings in found for goal in findings.goals]
    summary = [Table("To reach", ["", "to reach", "measured", "reached"], goals)] if goals else []
    tables = [*summary, *[table for findings in found for table in findings.tables][:most]]
    head = textwrap.fill(machine, LINE, break_long_words=False, break_on_hyphens=False)
    return "\n\n".join([head, *(table.markdown() for table in tables)])


def around(readme: Path = README) -> tuple[str, str]:
    """The README before and after the place for the result. Raises ClickException when the markers are not there."""
    before, begin, rest = readme.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise click.ClickException(f"{readme.name} has no lines {BEGIN} and {END}")
    return before, after


def write(machine: str, found: Sequence[Findings], readme: Path = README) -> None:
    """All of it into docs/benchmarks.md, the beginning between the README's markers. Raises ClickException."""
    before, after = around(readme)
    readme.write_text(f"{before}{BEGIN}\n{markdown(machine, found, BRIEF)}\n{END}{after}", "utf-8")
    (readme.parent / ALL).write_text(f"# Benchmarks\n\n{ABOUT}\n{markdown(machine, found)}\n", "utf-8")


def milliseconds(seconds: float) -> str:
    """As people read them."""
    return f"{seconds * 1000:.1f} ms"


def spread(values: Sequence[float], form: str = ".2f", unit: str = "") -> str:
    """The median of all rounds, and from the lowest to the highest: `0.96 (0.93–0.99)`."""
    return f"{statistics.median(values):{form}}{unit} ({min(values):{form}}–{max(values):{form}})"


def spread_of_milliseconds(seconds: Sequence[float]) -> str:
    """The same of times."""
    return spread([one * 1000 for one in seconds], ".1f", " ms")
