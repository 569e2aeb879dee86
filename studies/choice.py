"""The comparison that chose the default specification, as a command.

The rule: the highest log score per cell on larger models of families that the published
protocol **never** tests (their smallest models observed, their lineages hidden as strictly
as there), on the corrected table, by NUTS. All such lineages are
hidden in one fit, so that a variant takes a minute or three.

    python -m studies.choice --out choice.csv [--method svi] [--only default,d4]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

import sloth_bayes as sb
from sloth_bayes.evaluate import protocols

VARIANTS: dict[str, dict] = {
    "default": {},
    "slopes by lineage": {"slopes": "pooled"},
    "model effects": {"model_effect": "pooled"},
    "slopes by lineage and model effects": {"slopes": "pooled", "model_effect": "pooled"},
    "d=2": {"n_skills": 2},
    "d=4": {"n_skills": 4},
    "no interaction": {"inputs": "loglinear"},
    "no residual": {"residual": "none"},
    "logistic link": {"link": "logistic"},
    "ceiling at one": {"upper": "one"},
    "floor at chance": {"lower": "chance"},
    "constant noise": {"noise": "constant"},
    "df=8": {"df": 8.0},
}


def folds(data: sb.Leaderboard, together: bool) -> tuple[sb.Fold, ...]:
    """A fold a lineage, or one fold that hides all of them at once."""
    apart = protocols.leave_group_out(data, protocols.never_tested(data), 1, setting="never tested")
    if not together:
        return apart
    observed = {m for f in apart for m in f.observed}
    one = sb.Fold(
        "never tested", 1, "all at once",
        tuple(m for f in apart for m in f.test),
        tuple(sorted(observed)),
        tuple(m for f in apart for m in f.hidden if m not in observed),
        apart[0].benchmarks, (),
    )  # fmt: skip
    return (one,)


def main() -> None:
    """Compare the variants and write one row each, the best log score first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--method", choices=["svi", "nuts"], default="nuts")
    parser.add_argument("--only", default=",".join(VARIANTS))
    arguments = parser.parse_args()
    data = sb.load_dataset("open_llm_leaderboard")
    chosen = folds(data, together=arguments.method == "nuts")
    rows, first = [], None
    for name in arguments.only.split(","):
        begun = time.perf_counter()
        found = sb.cross_validate(
            sb.Sloth().replace(**VARIANTS[name]), data, chosen, method=arguments.method
        )
        f = found.frame
        first = f if first is None else first
        # cells of one family share its luck: the standard error is over families
        by_family = (f["log_score"] - first["log_score"]).groupby(f["family"]).mean()
        rows.append(
            {
                "variant": name,
                "log_score": f["log_score"].mean(),
                "less_the_first": (f["log_score"] - first["log_score"]).mean(),
                "se": by_family.std(ddof=1) / np.sqrt(len(by_family)),
                "mae": 100 * f["error"].mean(),
                "crps": 100 * f["crps"].mean(),
                "cover_90": f["covered_90"].mean(),
                "width_90": 100 * f["width_90"].mean(),
                "r_hat": f["r_hat"].max() if "r_hat" in f else np.nan,
                "cells": len(f),
                "seconds": time.perf_counter() - begun,
            }
        )
        print(pd.DataFrame(rows[-1:]).round(3).to_string(index=False, header=len(rows) == 1))
        pd.DataFrame(rows).to_csv(arguments.out, index=False, float_format="%.4f")


if __name__ == "__main__":
    main()
