"""Is a variational fit that was stopped early called converged?

    python -m studies.stopped --out FILE.csv [--tables small simulated whole]

Short fits (1 to 300 steps, two seeds each) of three tables, beside two of the default length: how
far the ELBO of each ends below the best of the long ones, what a step would still gain by its own
account, and the verdict. None that ends more than 5 nats below may be called converged, and the
default must be.
"""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import sloth_bayes as sb

from . import resumed, simulation

STEPS = (1, 3, 10, 30, 60, 100, 150, 200, 250, 300)
DEFAULT = 1000


class Asked(NamedTuple):
    """What one row is of."""

    table: str
    steps: int
    seed: int


@functools.cache
def tables() -> dict[str, sb.Leaderboard]:
    """By name."""
    whole = sb.load_dataset("open_llm_leaderboard")
    return {
        "small": whole.select(benchmarks=["MMLU", "HellaSwag", "BBH", "GPQA"]),
        "simulated": next(iter(simulation.from_prior(1, 3))).data,
        "whole": whole,
    }


def fitted(asked: Asked) -> dict[str, Any]:
    """What a fit of some steps says of itself."""
    post = sb.Sloth().fit(
        tables()[asked.table], method="svi", steps=asked.steps, draws=500, seed=asked.seed,
        progress=False,
    )  # fmt: skip
    stats = post.data_tree["sample_stats"]
    return asked._asdict() | {
        "elbo": float(stats["log_weight"].mean()),
        "to_gain": float(stats["to_gain"]),
        "converged": post.diagnostics().ok,
    }


def main() -> None:
    """Fit, and say how many verdicts are wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tables", nargs="*", choices=list(tables()), default=list(tables()))
    options = parser.parse_args()
    asked = [
        Asked(name, steps, seed)
        for name in options.tables
        for steps in (DEFAULT, *STEPS)
        for seed in (0, 1)
    ]
    found = resumed.rows(asked, fitted, options.out, str, ("table", "steps", "seed"))
    best = found["elbo"].where(found["steps"] == DEFAULT).groupby(found["table"]).transform("max")
    found["below"] = best - found["elbo"]
    print(found.round(2).to_string(index=False))
    short = found[found["steps"] < DEFAULT]
    wrong = short["converged"] & (short["below"] > 5)
    defaults = found.loc[found["steps"] == DEFAULT, "converged"]
    print(f"{len(short)} short fits, {int(wrong.sum())} wrongly called converged")
    print(f"{int(np.sum(defaults))} of {len(defaults)} of the default length are called converged")


if __name__ == "__main__":
    main()
