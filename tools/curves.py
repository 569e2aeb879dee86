"""The OLMo training curves that ship, from the two files of their source.

    python -m tools.curves FOLDER

FOLDER holds `ladder_runs.csv.gz` and `olmo2_7b.csv.gz`; writes
`data/training_curves/olmo.csv.gz`. Of tasks with two splits the test questions are kept. Of
OLMo 2 7B no learning rate was logged: it is rebuilt from the published recipe (OLMo et al.,
arXiv 2501.00656: warm-up of 2,000 steps to 3e-4, then a cosine to a tenth over 5T tokens, of
which the first 3.9T were run; cited from memory).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from sloth_bayes.support.shipped import shipped

PARAMS_B = {"190M": 0.190, "370M": 0.371, "760M": 0.758, "1B": 1.279, "3B": 3.170}
TEST = ("arc_easy", "arc_challenge", "openbookqa")


def recipe(tokens: pd.Series, step: pd.Series) -> np.ndarray:
    """Learning rate of OLMo 2 7B."""
    cosine = 3e-5 + 0.5 * (3e-4 - 3e-5) * (1 + np.cos(np.pi * tokens / 5e12))
    return np.where(step < 2000, 3e-4 * step / 2000, cosine).round(7)


def tidy(folder: Path) -> pd.DataFrame:
    """One row a checkpoint, columns as in :func:`sloth_bayes.load_curves`."""
    ladder = pd.read_csv(folder / "ladder_runs.csv.gz")
    ladder["params_b"] = ladder["run"].str.split("-").str[0].map(PARAMS_B)
    large = pd.read_csv(folder / "olmo2_7b.csv.gz")
    large = large[large["step"] > 0].assign(run="OLMo-2-7B", params_b=6.888)
    large["learning_rate"] = recipe(large["tokens"], large["step"])
    rows = pd.concat([ladder, large], ignore_index=True)
    rows["tokens_t"] = rows["tokens"] / 1e12
    by_run = rows.groupby("run")
    rows["final_tokens_t"] = by_run["tokens_t"].transform("max")
    rows["final_learning_rate"] = by_run["learning_rate"].transform("last")
    first = ["run", "params_b", "step", "tokens_t", "final_tokens_t", "learning_rate",
             "final_learning_rate"]  # fmt: skip
    scores = {}
    for column in ladder.columns:
        task, _, metric = column.partition("_rc_5shot_")
        stem, _, split = task.rpartition("_")
        if metric and (stem not in TEST or split == "test"):
            scores[column] = f"{stem}_bpb" if metric == "bpb" else stem
    return rows[[*first, *scores]].rename(columns=scores)


if __name__ == "__main__":
    path = shipped("data") / "training_curves" / "olmo.csv.gz"
    tidy(Path(sys.argv[1])).to_csv(
        path, index=False, float_format="%.7g", compression={"method": "gzip", "mtime": 1}
    )
    print(f"wrote {path.name}, {path.stat().st_size / 1e3:.0f} kB")
