"""The law of ratings fitted: how skills grow with size, where they stop, who judges how.

Ratings from 1 to 5 stand in the place of benchmark scores (Ye et al., FLASK, arXiv 2307.10928; Kim
et al., BiGGen-Bench, arXiv 2406.05761). The law of skills is the package's own with size as its
only input; ``sloth_bayes.ratings.model`` says what is added to it: curves that may bend, kinds
of model, judges, difficulties. Models of unknown size take part: their log size is a parameter,
normal with the mean and standard deviation of the known ones. Tables are read in
:mod:`sloth_bayes.ratings.table`, and what a fit says is in :mod:`sloth_bayes.ratings.posterior`.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..infer.fit import fit_arrays
from ..model.arrays import Design, design
from ..posterior.base import in_chains
from ..table.leaderboard import Benchmark, Leaderboard
from .draws import DIMS, KNOTS, LAW
from .model import TARGET, Judged
from .posterior import RatingsPosterior
from .rated import BASE, SCALE, Ratings


def lay_out(ratings: Ratings) -> tuple[Design, tuple[str, ...]]:
    """Arrays of the law, and kinds in order."""
    low, high = SCALE
    means = (ratings.means() - low) / (high - low)
    about = ratings.models.set_index("model").loc[means.index]
    table = about.drop(columns="kind").join(means).reset_index()
    table = table.assign(tokens_t=np.nan, instruct=(about["kind"] != BASE).to_numpy())
    benchmarks = [Benchmark(s, n_questions=ratings.instances.get(s)) for s in ratings.skills]
    board = Leaderboard.from_frame(table, benchmarks=benchmarks, name=ratings.name)
    laid_out = design(board, "size", latent=True)

    models, skills, judges = laid_out.models, ratings.skills, ratings.judges
    kinds = tuple(sorted(set(about["kind"])))
    of_kind = about.loc[list(models), "kind"].to_numpy()[:, None] == np.array(kinds)
    frame = ratings.frame

    def place(column: str, names: tuple[Any, ...]) -> np.ndarray:
        return pd.Index(names).get_indexer(frame[column])

    who, what, judge = place("model", models), place("skill", skills), place("judge", judges)
    shape = (len(judges), 0, 0) if ratings.single else (len(judges), len(models), len(skills))
    rating, rated = np.full(shape, 0.5, np.float32), np.zeros(shape, np.float32)
    weight = np.ones((len(skills), 1), np.float32)
    count, cell = np.zeros((0, 5), np.float32), np.zeros((0, 4), np.int32)
    if ratings.single:
        level = place("difficulty", ratings.levels)
        count = frame[list("12345")].to_numpy(np.float32)
        cell = np.stack([who, what, level, judge], axis=1).astype(np.int32)
        weight = np.zeros((len(skills), len(ratings.levels)), np.float32)
        np.add.at(weight, (what, level), count.sum(1))
        weight /= weight.sum(1, keepdims=True)
    else:
        rating[judge, who, what] = (frame["rating"] - low) / (high - low)
        rated[judge, who, what] = 1.0
    knots = ((np.log(KNOTS) - laid_out.centre[0]) / math.log(2)).astype(np.float32)
    judged = Judged(knots, of_kind.astype(np.float32), rating, rated, count, cell, weight)
    return replace(laid_out, arrays=laid_out.arrays._replace(extra=judged)), kinds


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
    """Fit the law of ratings (``sloth_bayes.ratings.model``) by NUTS.

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
    laid_out, kinds = lay_out(ratings)
    found = fit_arrays(
        LAW, laid_out.arrays, TARGET, chains=chains, draws=draws, warmup=warmup, steps=steps,
        starts=starts, target_accept=target_accept, max_tree_depth=max_tree_depth, seed=seed,
        progress=progress,
    )  # fmt: skip
    attrs = {"seed": seed, "warmup": warmup, "elbo": max(found.elbos), "name": ratings.name}
    return build(ratings, laid_out, kinds, found.values, found.chains, found.stats, attrs)


def build(
    ratings: Ratings, laid_out: Design, kinds: tuple[str, ...], values: dict[str, np.ndarray],
    chains: int, stats: xr.Dataset | None, attrs: dict[str, Any],
) -> RatingsPosterior:  # fmt: skip
    """Label draws of what :func:`sloth_bayes.ratings.model.values` says, chain after chain."""
    coords: dict[str, Any] = {
        "skill": ratings.skills, "judge": ratings.judges, "kind": kinds, "knot": KNOTS,
        "model": laid_out.models, "family": laid_out.families, "lineage": laid_out.lineages,
        "level": ratings.levels, "step": (1, 2, 3, 4), "of_unknown_size": laid_out.of_unknown[0],
    }  # fmt: skip
    there = {
        name: (dims, np.asarray(values[name], np.float32))
        for name, dims in DIMS.items()
        if name in values
    }
    used = {d: list(coords[d]) for d in chain(*(dims for dims, _ in there.values()))}
    each = np.arange(len(values["bias"]) // chains)
    by_chain = xr.Dataset(coords={"chain": np.arange(chains), "draw": each})
    about = ratings.models.set_index("model").loc[list(laid_out.models)]
    names = {c: f"{c}_of_model" for c in ("kind", "family", "lineage")}
    constant = xr.Dataset(
        {names.get(c, c): ("model", about[c].to_numpy()) for c in ("params_b", *names)},
        coords={"model": list(laid_out.models)},
    )
    groups = {"posterior": in_chains(by_chain, there, **used), "constant_data": constant}
    if stats is not None:
        groups["sample_stats"] = stats
    tree = xr.DataTree.from_dict(groups)
    weight = np.asarray(laid_out.arrays.extra.weight)
    tree.attrs = {
        **attrs, "centre": float(laid_out.centre[0]), "skills": json.dumps(ratings.skills),
        "levels": json.dumps(ratings.levels), "weight": json.dumps(weight.tolist()),
        "df": LAW.df,
    }  # fmt: skip
    return RatingsPosterior(tree)
