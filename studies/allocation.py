"""Is the best allocation found? Simulated tables whose law has an interior optimum.

    python -m studies.allocation --tables 40 --out allocation.csv

Tables are drawn from the prior of a small specification (one skill, three benchmarks, four
families of twelve models over sizes and tokens) with a wider interaction than the default's, so
that interior optima are not rare. Kept are, in order, those whose true optimum of the *average*,
for one family and budget, is interior. Each is fitted, and asked whether the truth lies in the 90%
interval of the optimum. Keeping interior truths alone is a selection that the prior of the fit
does not know of: coverage need not be nominal. One row a table is appended to the file.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import sloth_bayes as sb
from studies import resumed

BENCHMARKS = [
    sb.Benchmark("one", chance=0.25, n_questions=10000),
    sb.Benchmark("two", chance=0.0, n_questions=1300),
    sb.Benchmark("three", chance=0.1, n_questions=5000),
]
NAMES = [b.name for b in BENCHMARKS]
SPEC = sb.Sloth(n_skills=1, priors=sb.Priors(interaction=0.1))
FIT = {"chains": 2, "warmup": 300, "draws": 300, "steps": 1000, "starts": 2, "max_tree_depth": 8}
FAMILY, BUDGET = "ash", 6e21 * 4 * 2  # FLOPs of 4B parameters and 2T tokens, mid-range
POOL = 600  # draws of the prior, of which those with an interior optimum are kept


class Table(NamedTuple):
    """One simulated table, and the truth: sizes in billions that are best."""

    seed: int
    data: sb.Leaderboard
    average: float
    one: float  # NaN where the optimum of benchmark "one" is not interior


def rows() -> pd.DataFrame:
    """Models without scores."""
    sizes, tokens = (0.5, 2.0, 8.0, 32.0), (0.3, 2.0, 12.0)
    models = [
        {"model": f"{f}-{s:g}b-{t:g}t", "family": f, "lineage": f, "instruct": False,
         "params_b": s, "tokens_t": t}
        for f in ("ash", "elm", "fir", "oak") for s in sizes for t in tokens
    ]  # fmt: skip
    return pd.DataFrame(models).sort_values("model", ignore_index=True)


def leaderboard(scores: np.ndarray) -> sb.Leaderboard:
    """A table of these models."""
    frame = rows().assign(**dict(zip(NAMES, scores.T)))
    return sb.Leaderboard.from_frame(frame, benchmarks=BENCHMARKS, name="allocation")


def tables(n: int, seed: int = 0) -> Iterator[Table]:
    """The first `n` tables of the prior whose best average is interior."""
    blank = leaderboard(np.full((len(rows()), len(NAMES)), 0.5))
    prior = SPEC.prior(blank, draws=POOL, seed=seed)
    scores = prior.data_tree["posterior_predictive"]["score"].values[0]
    truth = prior.optimal_allocation(BUDGET, ["average", "one"], family=FAMILY).draws
    truth = truth.isel(chain=0, budget=0)
    inside = truth["interior"].astype(bool)
    kept = np.flatnonzero(inside.sel(objective="average").values)[:n]
    if len(kept) < n:
        raise ValueError(f"only {len(kept)} of {POOL} draws have an interior optimum")
    size = truth["params_b"].where(inside)
    for k in kept:
        here = size.isel(draw=k)
        yield Table(
            int(k),
            leaderboard(scores[k].reshape(len(rows()), len(NAMES))),
            float(here.sel(objective="average")),
            float(here.sel(objective="one")),
        )


def evaluate(table: Table, **options: object) -> dict[str, object]:
    """Fit one table: does the interval of the best size hold the truth?"""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        post = SPEC.fit(table.data, seed=table.seed, progress=False, **(FIT | options))
    found = post.optimal_allocation(BUDGET, ["average", "one"], family=FAMILY).frame
    out: dict[str, object] = {"seed": table.seed}
    for row in found.itertuples():
        true = getattr(table, row.objective)
        inside = row.size_lower <= true * 1.000001 and true <= row.size_upper * 1.000001
        out[f"true_{row.objective}"] = true
        out[f"inside_{row.objective}"] = float(inside) if np.isfinite(true) else np.nan
        out[f"median_{row.objective}"] = row.size_median
        out[f"ratio_{row.objective}"] = row.size_upper / row.size_lower
        out[f"p_interior_{row.objective}"] = row.p_interior
    out["r_hat"] = float(post.diagnostics().table["r_hat"].quantile(0.99))
    out["seconds"] = time.perf_counter() - start
    return out


def study(n: int, out: Path | None = None, **options: object) -> pd.DataFrame:
    """Evaluate the tables that `out` does not hold yet; return all results."""

    def said(row: dict[str, Any]) -> str:
        return (
            f"table {row['seed']}: true {row['true_average']:.2f}B, "
            f"{'inside' if row['inside_average'] else 'OUTSIDE'}, R-hat {row['r_hat']:.3f}, "
            f"{row['seconds']:.0f} s"
        )

    return resumed.rows(tables(n), lambda table: evaluate(table, **options), out, said)


def summarise(results: pd.DataFrame) -> pd.Series:
    """Coverage over tables."""
    out = {"tables": float(len(results))}
    for name in ("average", "one"):
        inside = results[f"inside_{name}"].dropna()
        error = np.log2(results[f"median_{name}"] / results[f"true_{name}"]).abs()
        out[f"interior optima, {name}"] = len(inside)
        out[f"in the 90% interval, {name}"] = inside.mean()
        out[f"median ratio of interval ends, {name}"] = results[f"ratio_{name}"].median()
        out[f"mean error in doublings, {name}"] = error.mean()
    out["median R-hat"] = results["r_hat"].median()
    out["seconds a table"] = results["seconds"].mean()
    return pd.Series(out)


def main() -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(prog="python -m studies.allocation", description=__doc__)
    parser.add_argument("--tables", type=int, default=40)
    parser.add_argument("--out", type=Path, required=True, help="CSV file that results go to")
    given = parser.parse_args()
    results = study(given.tables, given.out)
    print(summarise(results).to_string(float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
