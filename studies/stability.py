"""Do several fits of one table read the same skills? As a command.

    python -m studies.stability nuts-1.nc nuts-2.nc svi.nc [--rotation geomin]

Each posterior is rotated on its own, from its own reference; only then are its skills matched to
those of the first by their mean loadings. A loading is certain in a fit if the probability of one
sign is above 0.95. The fits are stable if all of them lean to the same side on every loading that
any of them calls certain; the exit status is 1 if they do not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd

import sloth_bayes as sb
from sloth_bayes.skills import rotation

CERTAIN = 0.95


def compare(fits: Sequence[sb.Skills]) -> pd.DataFrame:
    """One row a loading: mean and P(loading > 0) in each fit, ``certain`` in any, ``agree``."""
    first = fits[0]
    shape = (len(first.benchmarks), len(first.names))
    out = first.loadings()[["benchmark", "skill"]].copy()
    to = first.draws["loading"].mean(("chain", "draw")).values
    for i, fit in enumerate(fits):
        draws = fit.draws["loading"].values.reshape(-1, *shape)
        how = rotation.align(draws.mean(0)[None], to)
        draws = draws[:, :, how.order[0]] * how.sign[0]
        out[f"mean {i + 1}"] = draws.mean(0).ravel()
        out[f"sd {i + 1}"] = draws.std(0).ravel()
        out[f"P {i + 1}"] = (draws > 0).mean(0).ravel()
    p = out[[c for c in out if c.startswith("P ")]].to_numpy()
    out["certain"] = (np.maximum(p, 1 - p) > CERTAIN).any(1)
    out["agree"] = (p > 0.5).all(1) | (p < 0.5).all(1)
    return out


def main() -> None:
    """Compare the files of the command line."""
    parser = argparse.ArgumentParser(prog="python -m studies.stability", description=__doc__)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--rotation", default="geomin")
    given = parser.parse_args()
    posteriors = [sb.load(name if name.endswith(".nc") else f"./{name}") for name in given.files]
    fits = [post.skills(given.rotation) for post in posteriors]
    for i, (name, post, fit) in enumerate(zip(given.files, posteriors, fits)):
        quality = ", ".join(f"{c:.2f}" for c in fit.quality["congruence"])
        how = f"{post.method.upper()}, seed {post.attrs['seed']}"
        print(f"{i + 1}: {name}, {how}, congruence {quality}")
    found = compare(fits)
    print(found.round(2).to_string(index=False))
    certain = found[found["certain"]]
    wrong = certain[~certain["agree"]]
    means = found[[c for c in found if c.startswith("mean")]]
    spread = means.max(axis=1) - means.min(axis=1)
    print(
        f"{len(certain)} of {len(found)} loadings are certain in at least one fit; the fits agree "
        f"on the sign of {len(certain) - len(wrong)} of them. Means differ by at most "
        f"{spread.max():.2f} logits (median {spread.median():.3f}), or "
        f"{(spread / found['sd 1']).max():.1f} posterior standard deviations of the first."
    )
    if len(wrong):
        print(wrong[["benchmark", "skill"]].to_string(index=False))
        sys.exit(1)


if __name__ == "__main__":
    main()
