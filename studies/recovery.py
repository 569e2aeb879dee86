"""Recovery study: tables drawn from the prior, fitted, and their loadings read.

    python -m studies.recovery --tables 40 --out recovery.csv [--rotation geomin]

Layout, prior and fit are those of tests/simulation.py; two skills, which correlate over the models
of a table because both grow with size and tokens. The true loadings are rotated by the same rule
as a draw of the posterior: standardised over the same models, turned towards the reference of the
fit, rotated from where it stands, and matched to it in order and sign. Truth is then one more draw,
and intervals that are right cover it as often as they say. One row a table is appended to the
file, so that a study goes on where it was cut off.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sloth_bayes.api import Posterior
from studies import resumed, simulation


def truth_of(table: simulation.Table, tables: int) -> Posterior:
    """The draw of the prior that made a table, as a posterior of one draw."""
    prior = simulation.prior_of(tables)
    tree = prior.tree.copy()
    tree["posterior"] = tree["posterior"].isel(draw=[table.seed])
    return Posterior(tree, prior.spec)


def evaluate(
    table: simulation.Table, tables: int, rotation: str = "geomin", **options: object
) -> dict[str, object]:
    """Fit one table; how many true loadings and correlations lie in their intervals."""
    begun = time.perf_counter()
    post = simulation.SPEC.fit(
        table.data, seed=table.seed, progress=False, **(simulation.FIT | options)
    )
    found = post.skills(rotation)
    true = truth_of(table, tables).skills(rotation, like=found)
    loading = true.draws["loading"].values[0, 0]
    phi = true.draws["correlation"].values[0, 0]
    off = np.triu_indices(len(phi), 1)
    out: dict[str, object] = {"seed": table.seed, "cells": loading.size, "pairs": off[0].size}
    for prob in (0.5, 0.9):
        low, high = (
            found.draws["loading"]
            .quantile([(1 - prob) / 2, (1 + prob) / 2], ("chain", "draw"))
            .transpose("quantile", "benchmark", "skill")
            .values
        )
        out[f"inside_{prob:.0%}"] = int(((low <= loading) & (loading <= high)).sum())
        out[f"width_{prob:.0%}"] = float((high - low).mean())
        low, high = (
            found.draws["correlation"]
            .quantile([(1 - prob) / 2, (1 + prob) / 2], ("chain", "draw"))
            .transpose("quantile", "skill", "with_skill")
            .values
        )
        out[f"pairs_{prob:.0%}"] = int(((low <= phi) & (phi <= high))[off].sum())
    certain = found.loadings().query("p_positive > 0.95 or p_positive < 0.05")
    place = {name: k for k, name in enumerate(found.names)}
    rows = [found.benchmarks.index(b) for b in certain["benchmark"]]
    columns = certain["skill"].map(place).to_numpy(int)
    signs = np.sign(certain["mean"].to_numpy()) == np.sign(loading[rows, columns])
    out |= {"certain": len(certain), "right_sign": int(signs.sum())}
    out["correlation"] = float(np.abs(phi[off]).mean())
    out["congruence"] = float(found.quality["congruence"].min())
    out["ambiguous"] = found.ambiguous
    out["r_hat"] = float(post.diagnostics().table["r_hat"].quantile(0.99))
    out["seconds"] = time.perf_counter() - begun
    return out


def study(
    tables: int, out: Path | None = None, rotation: str = "geomin", **options: object
) -> pd.DataFrame:
    """Evaluate the tables that `out` does not hold yet; return all results."""

    def of(table: simulation.Table) -> dict[str, Any]:
        return evaluate(table, tables, rotation, **options)

    def said(row: dict[str, Any]) -> str:
        return (
            f"table {row['seed']}: {row['inside_90%']} of {row['cells']} loadings in their 90% "
            f"intervals, R-hat {row['r_hat']:.3f}, {row['seconds']:.0f} s"
        )

    return resumed.rows(simulation.from_prior(tables), of, out, said)


def summarise(results: pd.DataFrame) -> pd.Series:
    """Coverage over tables, with its standard error between tables."""
    row: dict[str, float] = {"tables": len(results), "loadings": results["cells"].sum()}
    for prob in ("50%", "90%"):
        share = results[f"inside_{prob}"] / results["cells"]
        row[f"covered {prob}"] = share.mean()
        row[f"error {prob}"] = share.std(ddof=1) / np.sqrt(len(results))
        row[f"width {prob}"] = results[f"width_{prob}"].mean()
        row[f"correlations covered {prob}"] = (
            results[f"pairs_{prob}"].sum() / results["pairs"].sum()
        )
    row["certain signs right"] = results["right_sign"].sum() / max(results["certain"].sum(), 1)
    row["certain loadings"] = results["certain"].sum()
    row["mean |correlation|"] = results["correlation"].mean()
    row["ambiguous draws"] = results["ambiguous"].mean()
    row["median R-hat"] = results["r_hat"].median()
    row["seconds a table"] = results["seconds"].mean()
    return pd.Series(row)


def main() -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(prog="python -m studies.recovery", description=__doc__)
    parser.add_argument("--tables", type=int, default=40)
    parser.add_argument("--out", type=Path, required=True, help="CSV file that results go to")
    parser.add_argument("--rotation", default="geomin")
    given = parser.parse_args()
    results = study(given.tables, given.out, given.rotation)
    print(summarise(results).to_string(float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
