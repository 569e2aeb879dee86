"""The page of what makes a score comparable, from the tables that ship.

    python -m tools.comparability

Writes ``docs/comparability.md``. A test fails when the page is not what this command would
write.
"""

from __future__ import annotations

from pathlib import Path

import sloth_bayes as sb
from sloth_bayes.table.comparability import rules

PAGE = Path(__file__).parents[1] / "docs" / "comparability.md"
HEAD = """# What makes a score comparable

`read_observed` and `sloth-bayes data read` take a score for a benchmark of the leaderboards by
the two tables below, which ship as data (`tasks.csv` and `comparability.csv`;
[data/README.md](../data/README.md) explains the columns). `python -m tools.comparability` writes
this page from them.

- **agrees**: as the leaderboard did it.
- **shifts**: used, with a note.
- **another**: another quantity. Refused; `--allow-mismatch` (`allow_mismatch=True`) uses it with
  a note.

A setting that a file does not state counts for nothing.
"""
WORDS = {"up": "higher", "down": "lower", "either": "unknown", "": "-"}


def page() -> str:
    """The page."""
    tasks = sb.known_tasks()
    whole = tasks.drop_duplicates(["benchmark", "set"])
    first = [
        [
            row.benchmark,
            _code(row.set),
            str(row.shots) + (" (by its name)" if row.shots_from == "name" else ""),
            ", or ".join(map(_code, row.metric.split(" | "))),
            f"another: {row.differs}" if row.differs else "agrees",
        ]
        for row in whole.itertuples()
    ]
    second = [
        [
            row.about,
            row.benchmarks + (f" ({_code(row.task)})" if row.task != "*" else ""),
            f"{row.setting} {_code(row.value)}" if row.value != "*" else f"{row.setting}, any",
            row.verdict,
            ", ".join(filter(None, [WORDS[row.direction], row.points])),
            row.reason.replace("{value}", "…"),
            row.source,
        ]
        for row in rules().itertuples()
    ]
    return "\n".join(
        [
            HEAD,
            "## Tasks, shots and metrics\n",
            _table(["benchmark", "task", "shots", "metric", "verdict"], first),
            "## Other settings\n",
            "Of the rows about one thing, the first that fits holds. `v1` and `v2` are the\n"
            "benchmarks of the two leaderboards.\n",
            _table(
                ["about", "of", "setting", "verdict", "scores come out", "what is said", "source"],
                second,
            ),
        ]
    )


def _code(text: str) -> str:
    return f"`{text}`"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") or "-" for cell in line) + " |\n"
        for line in lines
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
