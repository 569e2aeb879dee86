"""Rebuild ``data/overtraining``: the over-training testbed, with the tasks that rise above chance.

46 tasks were run, and most say nothing of runs as small as these. **The rule**, which reads the
runs of at most :data:`SMALL` billion parameters only (larger ones are there to be forecast): a
task enters if in each of the three corpora

- the mean of the :data:`TOP` runs with the most compute (``6 N D``) is above chance by more than
  three standard errors, ``3 sqrt(p (1 - p) / n)`` at that mean ``p``, of ``n`` questions; and
- scores rise with compute: their rank correlation (Spearman's) is at least :data:`RISES`.

Chance is what an answer gets that does not read the question: one in the number of choices, or
the share of the most frequent answer where that is known to be larger (``tasks.csv``, by hand).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import DataError
from ..support.files import new_file, read_cells

NAME = "overtraining"
SMALL = 0.45  # billions: sizes up to 411M
TOP, RISES = 8, 0.5
_CORPORA = {"c4_original": "c4", "rpj": "redpajama", "rw_original": "refinedweb"}
_RELEASED = "2024-03"  # of the paper, its runs and their scores


def build(out: Path, sources: Path, raw: Path) -> list[Path]:
    """Write ``models.csv``, ``benchmarks.csv`` and ``above_chance.csv``.

    Parameters
    ----------
    out
        The folder to write to; it exists.
    sources
        The folder with ``tasks.csv``.
    raw
        The folder of the raw files.

    Returns
    -------
    list of pathlib.Path
        The files written.

    Raises
    ------
    DataError
        The raw table lacks a task or has a corpus of another name.
    """
    tasks = read_cells(sources / "tasks.csv")
    runs = read_cells(raw / "overtraining_testbed" / "runs.csv")
    lost = [name for name in tasks["name"] if name not in runs]
    if lost:
        raise DataError(f"the raw table of runs has no column {lost[0]!r}, which tasks.csv names.")
    strange = runs.loc[~runs["dataset"].isin(list(_CORPORA)), "dataset"]
    if len(strange):
        raise DataError(f"corpus {strange.iloc[0]!r} of the raw table of runs is not known.")
    # Published with the noise of 32-bit numbers: 0.20000000298023224 was 0.2
    scores = runs[tasks["name"]].map(lambda text: str(np.float32(text)).removesuffix(".0"))
    models = pd.DataFrame(
        {
            "model": runs["run"],
            "family": runs["dataset"].map(_CORPORA),
            "lineage": runs["dataset"].map(_CORPORA),
            "instruct": "false",
            "params_b": _scaled(runs["params"], 1e9),
            "tokens_t": _scaled(runs["tokens"], 1e12),
            "tokens_per_param": runs["multiplier"].map(lambda text: f"{20 * float(text):g}"),
            "released": _RELEASED,
        }
    )
    table = above_chance(pd.concat([models, scores], axis=1), tasks)
    enters = table.loc[table["enters"] == "yes", "name"].tolist()
    models = pd.concat([models, scores[enters]], axis=1).astype("str")
    by = models[["params_b", "tokens_t"]].astype(float).assign(family=models["family"])
    models = models.loc[by.sort_values(["family", "params_b", "tokens_t"]).index]
    written = {
        "models.csv": models,
        "benchmarks.csv": tasks[tasks["name"].isin(enters)],
        "above_chance.csv": table,
    }
    for name, rows in written.items():
        with new_file(out / name) as temporary:
            rows.to_csv(temporary, index=False, lineterminator="\n")
    return [out / name for name in written]


def _scaled(counts: pd.Series, unit: float) -> list[str]:
    return [f"{int(text) / unit:.10g}" for text in counts]


def above_chance(runs: pd.DataFrame, tasks: pd.DataFrame) -> pd.DataFrame:
    """Which tasks enter by the rule of this module, and why the others do not.

    Parameters
    ----------
    runs
        ``family``, ``params_b``, ``tokens_t`` and a column a task, as text.
    tasks
        ``name``, ``chance`` and ``n_questions``, as text.

    Returns
    -------
    pandas.DataFrame
        name; of the corpus where it is least: ``margin``, standard errors above chance, and
        ``rank_correlation`` with compute; ``enters``.
    """
    size = runs["params_b"].astype(float)
    small = runs.assign(compute=size * runs["tokens_t"].astype(float))[size <= SMALL]
    rows = []
    for task in tasks.itertuples():
        margin, rank = [], []
        for _, part in small.groupby("family"):
            y = part[task.name].astype(float)
            p = y[part["compute"].nlargest(TOP).index].mean()
            error = np.sqrt(p * (1 - p) / float(task.n_questions))
            margin.append((p - float(task.chance)) / error if error else 0.0)
            rank.append(part["compute"].corr(y, method="spearman") if y.nunique() > 1 else 0.0)
        enters = min(margin) > 3 and min(rank) >= RISES
        rows.append(
            (task.name, f"{min(margin):.2f}", f"{min(rank):.3f}", "yes" if enters else "no")
        )
    return pd.DataFrame(rows, columns=["name", "margin", "rank_correlation", "enters"])
