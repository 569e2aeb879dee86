"""Fine-grained ratings of skills by judges: how skills grow, where they stop, who judges how.

Ratings from 1 to 5 stand in the place of benchmark scores (Ye et al., FLASK, arXiv 2307.10928; Kim
et al., BiGGen-Bench, arXiv 2406.05761). The law of skills is the package's own with size as its
only input; :mod:`sloth_bayes.ratingsmodel` says what is added to it: curves that may bend, kinds
of model, judges, difficulties. Models of unknown size take part: their log size is a parameter,
normal with the mean and standard deviation of the known ones.

Here the law is fitted. Tables are read in :mod:`sloth_bayes.ratingstable`, and what a fit says is
in :mod:`sloth_bayes.ratingsposterior`; their public names are to be had here as well.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from ..model.arrays import Design, design
from ..table.leaderboard import Benchmark, Leaderboard
from .draws import DIMS, KNOTS, LAW
from .posterior import RatingsPosterior
from .rated import BASE, SCALE, Ratings
from .saturation import RatingsSaturation  # noqa: F401  (to be had here)


def lay_out(ratings: Ratings) -> tuple[Design, tuple[str, ...], Any]:
    """Arrays of the law, kinds in order, and the law itself (a ``Law``)."""
    from ..infer.compiled import Law
    from . import model as ratingsmodel

    means = (ratings.means() - SCALE[0]) / (SCALE[1] - SCALE[0])
    about = ratings.models.set_index("model").loc[means.index]
    table = about.assign(tokens_t=np.nan, instruct=about["kind"] != BASE).join(means).reset_index()
    benchmarks = [Benchmark(s, n_questions=ratings.instances.get(s)) for s in ratings.skills]
    board = Leaderboard.from_frame(table, benchmarks=benchmarks, name=ratings.name)
    laid_out = design(board, "size", latent=True)

    models, skills, judges = list(laid_out.models), list(ratings.skills), list(ratings.judges)
    kinds = tuple(sorted(set(about["kind"])))
    kind = (about.loc[models, "kind"].to_numpy()[:, None] == np.array(kinds)).astype(np.float32)
    frame = ratings.frame
    index = [
        frame["model"].map({m: i for i, m in enumerate(models)}).to_numpy(),
        frame["skill"].map({s: i for i, s in enumerate(skills)}).to_numpy(),
    ]
    judge = frame["judge"].map({g: i for i, g in enumerate(judges)}).to_numpy()
    shape = (len(judges), 0, 0) if ratings.single else (len(judges), len(models), len(skills))
    rating, rated = np.full(shape, 0.5, np.float32), np.zeros(shape, np.float32)
    weight = np.ones((len(skills), 1), np.float32)
    count, cell = np.zeros((0, 5), np.float32), np.zeros((0, 4), np.int32)
    if ratings.single:
        level = frame["difficulty"].map({q: i for i, q in enumerate(ratings.levels)}).to_numpy()
        count = frame[list("12345")].to_numpy(np.float32)
        cell = np.stack([*index, level, judge], axis=1).astype(np.int32)
        weight = np.zeros((len(skills), len(ratings.levels)), np.float32)
        np.add.at(weight, (index[1], level), count.sum(1))
        weight /= weight.sum(1, keepdims=True)
    else:
        rating[judge, index[0], index[1]] = (frame["rating"] - SCALE[0]) / (SCALE[1] - SCALE[0])
        rated[judge, index[0], index[1]] = 1.0
    knots = (np.log(KNOTS) - laid_out.centre[0]) / math.log(2)
    judged = ratingsmodel.Judged(
        knots=knots.astype(np.float32), kind=kind, rating=rating, rated=rated, count=count,
        cell=cell, weight=weight,
    )  # fmt: skip
    shapes = tuple((np.shape(a), np.asarray(a).dtype.name) for a in judged)
    law = Law(
        ratingsmodel.density, ratingsmodel.values, ratingsmodel.cells,
        (ratingsmodel.Judged, *shapes),
    )  # fmt: skip
    arrays = laid_out.arrays._replace(extra=judged)
    return replace(laid_out, arrays=arrays), kinds, law


def fit(
    ratings: Ratings,
    *,
    chains: int = 4,
    draws: int = 750,
    warmup: int = 600,
    steps: int = 1000,
    starts: int = 2,
    target_accept: float = 0.8,
    max_tree_depth: int = 9,
    seed: int = 0,
    progress: bool | None = None,
) -> RatingsPosterior:
    """Fit the law of ratings (:mod:`sloth_bayes.ratingsmodel`) by NUTS.

    Parameters
    ----------
    ratings
        The ratings.
    chains, draws, warmup
        Number of chains, draws kept of each, and iterations of warm-up.
    steps, starts
        Steps of each variational optimisation, and how many there are; NUTS begins at the best.
    target_accept, max_tree_depth
        Settings of NUTS.
    seed
        Same seed, same numbers.
    progress
        Show a progress bar; by default where a person can see it.

    Returns
    -------
    RatingsPosterior

    Raises
    ------
    SpecError
        If a count is not positive.
    """
    from ..infer import fit as inference

    laid_out, kinds, law = lay_out(ratings)
    found = inference.fit_arrays(
        LAW, laid_out.arrays, law, chains=chains, draws=draws, warmup=warmup, steps=steps,
        starts=starts, target_accept=target_accept, max_tree_depth=max_tree_depth, seed=seed,
        progress=progress,
    )  # fmt: skip
    attrs = {"seed": seed, "warmup": warmup, "elbo": max(found.elbos), "name": ratings.name}
    return _build(ratings, laid_out, kinds, found.values, found.chains, found.stats, attrs)


def _build(
    ratings: Ratings, laid_out: Design, kinds: tuple[str, ...], values: dict[str, np.ndarray],
    chains: int, stats: xr.Dataset | None, attrs: dict[str, Any],
) -> RatingsPosterior:  # fmt: skip
    """Label the draws of a fit."""
    draws = len(values["bias"]) // chains
    coords: dict[str, Any] = {
        "chain": np.arange(chains), "draw": np.arange(draws), "skill": list(ratings.skills),
        "judge": list(ratings.judges), "kind": list(kinds), "knot": list(KNOTS),
        "model": list(laid_out.models), "family": list(laid_out.families),
        "lineage": list(laid_out.lineages), "level": list(ratings.levels), "step": [1, 2, 3, 4],
        "of_unknown_size": list(laid_out.of_unknown[0]),
    }  # fmt: skip
    variables = {}
    for name, dims in DIMS.items():
        if name in values:
            array = np.asarray(values[name], np.float32)
            array = array.reshape(chains, draws, *(len(coords[d]) for d in dims))
            variables[name] = (("chain", "draw", *dims), array)
    used = {"chain", "draw"} | {d for dims, _ in variables.values() for d in dims}
    posterior = xr.Dataset(variables, coords={k: v for k, v in coords.items() if k in used})
    about = ratings.models.set_index("model").loc[list(laid_out.models)]
    constant = xr.Dataset(
        {c: ("model", about[c].to_numpy()) for c in ("params_b", "kind", "family", "lineage")},
        coords={"model": list(laid_out.models)},
    ).rename(kind="kind_of_model", family="family_of_model", lineage="lineage_of_model")
    weight = np.asarray(laid_out.arrays.extra.weight)
    groups = {"posterior": posterior, "constant_data": constant}
    if stats is not None:
        groups["sample_stats"] = stats
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {
        **attrs, "centre": float(laid_out.centre[0]), "skills": json.dumps(ratings.skills),
        "levels": json.dumps(ratings.levels), "weight": json.dumps(weight.tolist()),
        "df": LAW.df,
    }  # fmt: skip
    return RatingsPosterior(tree)
