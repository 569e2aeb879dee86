"""Rebuild ``data/frontier_scorecards``: published scores of frontier models, without their sizes.

The raw table is in percent, with columns that are something else. ``columns.csv``, by hand, says
what becomes of each: ``percent`` (divided by 100), ``error`` (a share of errors, lower is better:
turned round, 1 - x), or ``left out`` (ratings and money have no top, so that no share of them is a
score). ``mapping.csv``, by hand, says what each model is: its provider (family), its line, whether
it thinks before it answers (kind), with how much effort, and its date. Lines are kept and not read
by the law: what a line adds on a benchmark is what its provider adds (97% of that variance, of a
fit with lines as families and providers as lineages), and a share so near 1 cannot be sampled.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..errors import DataError
from ..support.files import new_file, read_cells

NAME = "frontier_scorecards"
_SCORE = {"percent": lambda x: x / 100, "error": lambda x: 1 - x}


def build(out: Path, sources: Path, raw: Path) -> list[Path]:
    """Write ``models.csv`` and ``benchmarks.csv``.

    Parameters
    ----------
    out
        The folder to write to; it exists.
    sources
        The folder with ``mapping.csv`` and ``columns.csv``.
    raw
        The folder of the raw files.

    Returns
    -------
    list of pathlib.Path
        The files written.

    Raises
    ------
    DataError
        A hand-made file does not account for a model or a column of the raw tables.
    """
    mapping, columns = (read_cells(sources / f"{name}.csv") for name in ("mapping", "columns"))
    scores, titles = (
        read_cells(raw / "benchpress" / f"{name}.csv") for name in ("scores_percent", "benchmarks")
    )
    _account("model", "mapping.csv", mapping["model"], scores["model"])
    _account("column", "columns.csv", columns["column"], [c for c in scores if c != "model"])
    strange = columns.loc[~columns["is"].isin([*_SCORE, "left out"]), "is"]
    if len(strange):
        raise DataError(f"columns.csv says {strange.iloc[0]!r}, which is no kind of column.")
    kept = columns[columns["is"] != "left out"]
    rows = scores.set_index("model").loc[mapping["model"]]
    cells = {
        name: [_score(cell, what) for cell in rows[name]]
        for name, what in zip(kept["column"], kept["is"])
    }
    models = mapping[["model", "family", "line", "kind", "effort", "date"]]
    models = models.assign(released=models["date"].str[:7])
    models = pd.concat([models, pd.DataFrame(cells)], axis=1)
    benchmarks = pd.DataFrame(
        {
            "name": kept["column"],
            "title": kept["column"].map(titles.set_index("id")["name"]),
            "leaderboard": "",
            "chance": "0",
            "n_questions": "",
            "rounding": "0",
            "shots": "",
            "metric": "as published",
            "notes": kept["note"],
        }
    )
    by = models.sort_values(["family", "line", "date", "model"], kind="stable").index
    written = {"models.csv": models.loc[by], "benchmarks.csv": benchmarks}
    for name, table in written.items():
        with new_file(out / name) as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
    return [out / name for name in written]


def _account(what: str, file: str, known: pd.Series, there: pd.Series | list[str]) -> None:
    """An error for the first that one side has and the other lacks."""
    for name in sorted(set(known) ^ set(there)):
        where = "the raw table lacks" if name in set(known) else f"{file} lacks"
        raise DataError(f"{where} the {what} {name!r}, which the other has.")


def _score(cell: str, what: str) -> str:
    """A published number as a score in [0, 1], without the noise of binary arithmetic."""
    return f"{_SCORE[what](float(cell)):.10g}" if cell else ""
