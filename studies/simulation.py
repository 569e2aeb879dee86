"""Coverage study: simulated tables with known truth, fitted, and forecast beyond.

    python -m studies.simulation --tables 20 --out coverage.csv [--law prior|outside|both]
    python -m studies.simulation --tables 40 --out coverage.csv --walk none compute far

One row a table is appended to the file, so that a study goes on where it was cut off. Every
table has the same layout (40 models in 9 families of 6 lineages, 6 benchmarks, a fixed pattern
of missing scores), and therefore one compiled program serves them all. Held out are models
larger than any of their family: never in the table, their expected scores known.

``prior``
    Everything is drawn from the prior of the specification that is fitted.
``outside``
    Laws that the specification does not contain, four in turn: complementary log-log link,
    probit link, a skill that saturates with size, and efficiency of families with heavy tails;
    all with normal noise of constant size, no effect of single models and no residuals.

With ``--walk`` the law has none, or that walk, or is that of ``models/far`` with two skills
(families have the months of ``MONTHS``), and is fitted by eight chains that step together
(:mod:`studies.fits`): tables from outside are the same for all.
"""

from __future__ import annotations

import argparse
import functools
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtr

import sloth_bayes as sb
from sloth_bayes.infer import recipes
from sloth_bayes.model.arrays import design_of
from studies import fits, resumed

BENCHMARKS = [
    sb.Benchmark("one", chance=0.25, n_questions=10000),
    sb.Benchmark("two", chance=0.25, n_questions=1200),
    sb.Benchmark("three", chance=0.5, n_questions=1300),
    sb.Benchmark("four", chance=0.0, n_questions=1300),
    sb.Benchmark("five", chance=0.0, n_questions=500),
    sb.Benchmark("six", chance=0.1, n_questions=12000),
]
NAMES = [b.name for b in BENCHMARKS]
# family, lineage, tuned, trillions of tokens, sizes in the table, sizes held out
Layout = tuple[tuple[str, str, bool, float, tuple[float, ...], tuple[float, ...]], ...]
LAYOUT: Layout = (
    ("ash", "ash", False, 0.3, (0.1, 0.4, 1.4, 2.8, 6.9), (12.0,)),
    ("elm", "elm", False, 1.0, (7.0, 13.0, 33.0), (65.0,)),
    ("elm-chat", "elm", True, 1.0, (7.0, 13.0, 33.0), (65.0,)),
    ("fir", "fir", False, 2.0, (7.0, 13.0, 34.0), (70.0, 140.0)),
    ("fir-chat", "fir", True, 2.0, (7.0, 13.0), (70.0,)),
    ("oak", "oak", False, 7.0, (0.5, 1.5, 7.0, 14.0, 32.0), (72.0,)),
    ("oak-chat", "oak", True, 7.0, (0.5, 1.5, 7.0, 14.0, 32.0), (72.0,)),
    ("yew", "yew", False, 15.0, (1.0, 3.0, 8.0), (70.0, 405.0)),
    ("box", "box", False, 3.0, (0.2, 0.4, 0.6, 1.1, 1.7, 3.0, 4.0, 7.0, 9.0, 11.0, 20.0), (40.0,)),
)
MONTHS = {  # of lineages
    "box": "2022-06", "ash": "2022-12", "elm": "2023-02", "fir": "2023-07", "oak": "2024-09",
    "yew": "2024-04",
}  # fmt: skip
SPEC = sb.Sloth(n_skills=2)
FIT = {"chains": 2, "warmup": 400, "draws": 400, "steps": 1500, "starts": 2, "max_tree_depth": 8}
LANES = {"chains": 8, "warmup": 200, "draws": 125, "steps": 1000}
FAR = "far"  # the law of models/far
WALKS = ("none", "compute", "pooled", FAR)
APART = "none, chains apart"  # no walk, fitted by chains of their own
OUTSIDE = ("cloglog", "probit", "saturating", "heavy families")


class Table(NamedTuple):
    """One simulated table and the truth behind the models held out of it."""

    law: str
    walk: str  # of the law that is fitted, and of the prior; or APART
    seed: int
    data: sb.Leaderboard
    held_out: pd.DataFrame
    expected: np.ndarray  # (held out, benchmarks)


def _rows(which: int, layout: Layout = LAYOUT) -> pd.DataFrame:
    """Models of the table (4) or held out of it (5), one a row."""
    return pd.DataFrame(
        [
            {
                "model": f"{f[0]}-{size:g}b",
                "family": f[0],
                "lineage": f[1],
                "instruct": f[2],
                "params_b": size,
                "tokens_t": f[3],
                "released": MONTHS[f[1]],
            }
            for f in layout
            for size in f[which]
        ]
    )


def _missing(n_models: int) -> np.ndarray:
    """The same tenth of the cells for every table; every row and column keeps scores."""
    m, j = np.indices((n_models, len(NAMES)))
    return (3 * m + 7 * j) % 10 == 0


def _leaderboard(score: np.ndarray, layout: Layout = LAYOUT) -> sb.Leaderboard:
    rows = _rows(4, layout)
    score = np.where(_missing(len(rows)), np.nan, score)
    frame = rows.assign(**dict(zip(NAMES, score.T)))
    return sb.Leaderboard.from_frame(frame, benchmarks=BENCHMARKS, name="simulated")


def law_with(walk: str) -> sb.Sloth:
    """The specification that is fitted."""
    if walk == FAR:
        far = sb.Sloth.from_toml(recipes.load("far").spec.to_toml())
        return far.replace(n_skills=SPEC.n_skills)
    return SPEC.replace(walk="none" if walk == APART else walk)


@functools.lru_cache(maxsize=1)
def prior_of(
    tables: int, seed: int = 0, layout: Layout = LAYOUT, walk: str = APART
) -> sb.Posterior:
    """The draws from the prior behind the tables, one each."""
    data = _leaderboard(np.full((len(_rows(4, layout)), len(NAMES)), 0.5), layout)
    return law_with(walk).prior(data, draws=tables, seed=seed)


def from_prior(
    tables: int, seed: int = 0, layout: Layout = LAYOUT, walk: str = APART
) -> Iterator[Table]:
    """Tables whose parameters come from the prior of the specification."""
    held_out, prior = _rows(5, layout), prior_of(tables, seed, layout, walk)
    scores = prior.data_tree["posterior_predictive"]["score"].values[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sb.ExtrapolationWarning)
        expected = prior.forecast(held_out, seed=seed).draws["expected"].values[0]
    observed = ~_missing(len(_rows(4, layout)))
    for k in range(tables):
        score = np.full(observed.shape, np.nan)
        score[_order(observed, layout)] = scores[k]
        yield Table("prior", walk, k, _leaderboard(score, layout), held_out, expected[k])


def _order(observed: np.ndarray, layout: Layout = LAYOUT) -> tuple[np.ndarray, np.ndarray]:
    """Where the posterior's observations stand: by model name, then by benchmark."""
    by_name = np.argsort(_rows(4, layout)["model"].to_numpy(str), kind="stable")
    row, column = np.nonzero(observed[by_name])
    return by_name[row], column


def from_outside(tables: int, seed: int = 0, walk: str = APART) -> Iterator[Table]:
    """Tables from laws outside the specification, in turn."""
    both = pd.concat([_rows(4), _rows(5)], ignore_index=True)
    inside = len(_rows(4))
    for k in range(tables):
        rng = np.random.default_rng([seed, k])
        law = OUTSIDE[k % len(OUTSIDE)]
        size = np.log2(both["params_b"].to_numpy() / 7)
        tokens = np.log2(both["tokens_t"].to_numpy() / 2)
        if law == "saturating":
            size = 3 * np.tanh(size / 3)
        shape, d = len(both), 2

        def effects(groups: pd.Series, heavy: bool, rng=rng, d=d) -> np.ndarray:
            codes, names = pd.factorize(groups)
            draw = rng.normal(size=(len(names), d))
            if heavy:
                draw /= np.sqrt(rng.gamma(1.5, 1 / 1.5, size=(len(names), 1)))
            return draw[codes]

        heavy = law == "heavy families"
        skill = np.sqrt(0.5) * (effects(both["lineage"], heavy) + effects(both["family"], heavy))
        slope = np.abs(rng.normal(0.4, 0.15, size=(2, d)))
        skill += np.stack([size, tokens], axis=1) @ slope
        skill += both["instruct"].to_numpy(float)[:, None] * rng.normal(0.3, 0.3, size=d)
        loading = np.abs(rng.normal(0.6, 0.3, size=(len(NAMES), d)))
        eta = skill @ loading.T + rng.normal(-0.5, 0.7, size=len(NAMES))
        fraction = {
            "cloglog": lambda x: -np.expm1(-np.exp(np.clip(0.6 * x - 0.4, -30, 5))),
            "probit": lambda x: ndtr(0.6 * x),
        }.get(law, lambda x: 1 / (1 + np.exp(-x)))(eta)
        chance = np.array([b.chance for b in BENCHMARKS])
        top = 1 - rng.uniform(0, 0.1, size=len(NAMES))
        mu = chance + (top - chance) * fraction
        sd = rng.uniform(0.01, 0.03, size=len(NAMES))
        score = np.clip(mu + sd * rng.normal(size=(shape, len(NAMES))), 0, 1)
        yield Table(law, walk, k, _leaderboard(score[:inside]), _rows(5), mu[inside:])


def evaluate(table: Table, **options: object) -> dict[str, object]:
    """Fit one table and compare the forecasts of the held-out models with the truth."""
    start = time.perf_counter()
    out: dict[str, object] = {"law": table.law, "walk": table.walk, "seed": table.seed}
    out["cells"] = table.expected.size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if table.walk != APART:
            spec, laid_out = law_with(table.walk), design_of(law_with(table.walk), table.data)
            post, out["r_hat"] = fits.by_lanes(
                spec, laid_out, laid_out.arrays, table.seed, **(LANES | options)
            )
        else:
            post = SPEC.fit(table.data, seed=table.seed, progress=False, **(FIT | options))
            out["r_hat"] = float(post.diagnostics().table["r_hat"].quantile(0.99))
        fc = post.forecast(table.held_out, seed=table.seed)
    truth = table.expected.ravel()
    for prob in (0.5, 0.9):
        summary = fc.summary(of="expected", prob=prob)
        inside = (summary["lower"] <= truth) & (truth <= summary["upper"])
        out[f"inside_{prob:.0%}"] = int(inside.sum())
        out[f"width_{prob:.0%}"] = float((summary["upper"] - summary["lower"]).mean())
    out["mae"] = float(np.abs(summary["median"] - truth).mean())
    out["seconds"] = time.perf_counter() - start
    return out


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """Coverage over tables, for each law, with its standard error between tables."""
    laws = [("prior", results["law"] == "prior"), ("outside", results["law"] != "prior")]
    laws += [(f"  {name}", results["law"] == name) for name in OUTSIDE]
    rows = []
    for name, which in laws:
        part = results[which]
        if part.empty:
            continue
        row = {"law": name, "tables": len(part), "cells": int(part["cells"].sum())}
        for prob in ("50%", "90%"):
            share = part[f"inside_{prob}"] / part["cells"]
            row[f"covered {prob}"] = share.mean()
            row[f"error {prob}"] = share.std(ddof=1) / np.sqrt(len(part))
            row[f"width {prob}"] = part[f"width_{prob}"].mean()
        row |= {"mae": part["mae"].mean(), "r_hat": part["r_hat"].median()}
        row["r_hat, most"] = part["r_hat"].max()
        row["seconds"] = part["seconds"].mean()
        rows.append(row)
    return pd.DataFrame(rows)


def study(
    law: str, tables: int, out: Path | None = None, walk: str = APART, **options: object
) -> pd.DataFrame:
    """Evaluate tables that `out` does not hold yet; return all results of the law."""
    simulate = {"prior": from_prior, "outside": from_outside}[law]

    def said(row: dict[str, Any]) -> str:
        return (
            f"{row['law']} {row['walk']} {row['seed']}: {row['inside_90%']} of {row['cells']} in "
            f"the 90% intervals, R-hat {row['r_hat']:.3f}, {row['seconds']:.0f} s"
        )

    everything = resumed.rows(
        simulate(tables, walk=walk), lambda table: evaluate(table, **options), out, said,
        ("law", "walk", "seed"),
    )  # fmt: skip
    everything = everything[everything["walk"] == walk]
    which = everything["law"] == "prior"
    return everything[(which if law == "prior" else ~which) & (everything["seed"] < tables)]


def main() -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(prog="python -m studies.simulation", description=__doc__)
    parser.add_argument("--tables", type=int, default=20, help="tables of each law (20)")
    parser.add_argument("--out", type=Path, required=True, help="CSV file that results go to")
    parser.add_argument("--law", choices=["prior", "outside", "both"], default="both")
    parser.add_argument("--walk", nargs="+", choices=WALKS, default=[APART], help="by lanes")
    for name in ("chains", "warmup", "draws", "steps"):
        parser.add_argument(f"--{name}", type=int, help="of each fit")
    given = vars(parser.parse_args())
    tables, out, law, walks = (given.pop(name) for name in ("tables", "out", "law", "walk"))
    options = {name: value for name, value in given.items() if value is not None}
    for walk in walks:
        laws = ("prior", "outside") if law == "both" else (law,)
        results = pd.concat(
            [study(name, tables, out, walk, **options) for name in laws], ignore_index=True
        )
        print(f"walk: {walk}")
        print(summarise(results).to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
