"""In what do the chains of a rehearsal disagree? As a command.

    python -m studies.modes --law "walk of compute, sourced ceilings" --month 2023-09 --out DIR

Fits what the month shows, by eight chains of 500 draws after 400 that step together (``--times
2``: twice as long), and keeps the posterior in DIR. Prints, by kind of quantity, the largest R-hat
of those that no rotation of skills changes, and the means by chain of those that disagree the most.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import sloth_bayes as sb
from sloth_bayes.evaluate.cross_validate import masked
from sloth_bayes.model.arrays import design_of
from studies import fits, rehearsals

FIT = {"chains": 8, "warmup": 400, "draws": 500, "steps": 3000}
SHOWN = 3  # quantities of a kind whose means by chain are printed


def table(post: sb.Posterior) -> pd.DataFrame:
    """A row a quantity: its kind, R-hat, standard deviation and means by chain; worst first."""
    from arviz_stats.base import array_stats

    found = []
    for kind, array in post.identified().items():
        values = array.values.astype(float)
        means = pd.DataFrame(values.mean(1).T, columns=[f"{k}" for k in range(len(values))])
        r_hat = array_stats.rhat(values, chain_axis=0, draw_axis=1)
        names = array[array.dims[-1]].values.astype(str)
        sd = values.std((0, 1))
        found.append(means.assign(kind=str(kind), quantity=names, r_hat=r_hat, sd=sd))
    rows = pd.concat(found, ignore_index=True)
    return rows[rows["sd"] > 0].sort_values("r_hat", ascending=False, ignore_index=True)


def main() -> None:
    """Fit one law to one rehearsal, and print what disagrees."""
    parser = argparse.ArgumentParser(prog="python -m studies.modes", description=__doc__)
    parser.add_argument("--law", choices=list(rehearsals.LAWS), required=True)
    parser.add_argument("--month", choices=rehearsals.MONTHS, required=True)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    given.out.mkdir(parents=True, exist_ok=True)
    name = given.law.replace(", ", "-").replace(" ", "-")
    path = given.out / f"{name}-{given.month}-{given.seed}.nc"
    if path.exists():
        post = sb.load(path)
    else:
        data, fold = rehearsals.rehearsal(rehearsals.joint(), given.month)
        spec = rehearsals.law(given.law)
        laid_out = design_of(spec, data)
        fit = FIT | {k: given.times * FIT[k] for k in ("warmup", "draws")}
        post, _ = fits.by_lanes(spec, laid_out, masked(laid_out, fold.hidden), given.seed, **fit)
        post.save(path)
    rows = table(post)
    rows.to_csv(path.with_suffix(".csv"), index=False, float_format="%.4g")
    worst = rows.groupby("kind")["r_hat"].agg(["max", "size", lambda r: (r > 1.05).sum()])
    worst.columns = ["R-hat", "quantities", "above 1.05"]
    print(worst.sort_values("R-hat", ascending=False).round(3).to_string())
    chains = [c for c in rows if c.isdecimal()]
    shown = rows.groupby("kind", sort=False).head(SHOWN)
    with pd.option_context("display.width", 220, "display.max_colwidth", 60):
        print(shown[["quantity", "r_hat", "sd", *chains]].round(3).to_string(index=False))
    # which chains are together
    bad = rows[rows["r_hat"] > 1.05]
    if len(bad):
        apart = (bad[chains].to_numpy() - bad[chains].to_numpy().mean(1, keepdims=True)) / bad[
            ["sd"]
        ].to_numpy()
        _, _, axes = np.linalg.svd(apart, full_matrices=False)
        print("chains along what sets them apart most:", axes[0].round(2))


if __name__ == "__main__":
    main()
