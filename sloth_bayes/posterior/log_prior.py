"""The log density of the prior at the draws, which ArviZ's ``psense`` scales.

Of the named quantities of a posterior, each given those above it; what is sampled are other
coordinates, in which the posterior is round. Each term knows its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import xarray as xr

from ..law import terms
from ..law.spec import Spec
from ..law.terms import Effects, densities
from .base import in_chains


class Draws(Protocol):
    """What is asked of a posterior: see :class:`sloth_bayes.posterior.core.PosteriorDraws`."""

    spec: Spec
    tree: xr.DataTree

    @property
    def merged(self) -> Mapping[str, np.ndarray]:
        """Variables with chain and draw merged."""

    @property
    def models(self) -> list[str]:
        """Models in the fit."""

    @property
    def lineages(self) -> list[str]:
        """Lineages in the fit."""

    @property
    def benchmarks(self) -> list[str]:
        """Benchmarks of the table."""

    @property
    def n_draws(self) -> int:
        """Draws of all chains together."""

    def constant(self, name: str) -> np.ndarray:
        """What the fit was given."""

    def known_effects(self) -> Effects:
        """Effects of the models in the fit."""

    def blocks(self, n_models: int) -> Iterator[slice]:
        """Slices of models."""

    def predictor(self, who: Effects, rows: slice = ...) -> np.ndarray:
        """Predictors of some models."""


_DRAWS = 500  # in double precision at a time


def log_prior(post: Draws) -> xr.Dataset:
    """Log density of the prior by quantity: dims chain and draw, summed over the rest.

    Latent sizes and tokens (``unknown_inputs="latent"``) are left out: their prior is what
    the table says of the others.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> found = log_prior(sb.load("leaderboard"))
    >>> sorted(found.data_vars)[:3], dict(found.sizes)
    (['bias', 'family_effect', 'instruct'], {'chain': 4, 'draw': 375})
    """
    spec, all_draws, level = post.spec, post.merged, _level(post)
    members = np.searchsorted(post.lineages, post.constant("lineage_of_family").astype(str))
    columns = {name: post.constant(name).astype(float) for name in terms.columns_of(spec)}
    family = post.constant("family_of_model").astype(str)
    chance = post.constant("chance").astype(float)
    none = np.zeros_like(chance)
    told: dict[str, Any] = {
        "shortfall": none, "chance_sd": none, "questions": np.arange(len(chance))
    }  # fmt: skip
    for name in told:
        with contextlib.suppress(KeyError):  # of a version that had none
            told[name] = post.constant(name)
    for name in ("shortfall", "chance_sd"):
        told[name] = told[name].astype(float)
    parts: list[dict[str, np.ndarray]] = []
    for first in range(0, post.n_draws, _DRAWS):
        at = slice(first, first + _DRAWS)
        v = {name: array[at].astype(float) for name, array in all_draws.items()}
        given = terms.Given(
            v, spec, members, chance, **told, level=level[at], family=family, columns=columns
        )
        out: dict[str, np.ndarray] = {}
        if spec.loadings == "free":
            out["loading"] = densities.total(densities.normal(v["loading"], spec.priors.loading))
        for term in terms.of(spec):
            out |= term.log_prior(given)
        parts.append(out)
    variables = {name: ((), np.concatenate([part[name] for part in parts])) for name in parts[0]}
    return in_chains(post.tree["posterior"].to_dataset(), variables)


def _level(post: Draws) -> np.ndarray:
    """Average predictor of a benchmark's observed scores ``(S, J)``, which is what has a prior."""
    v, data = post.merged, post.tree["observed_data"].to_dataset()
    row = np.searchsorted(post.models, data["obs_model"].values.astype(str))
    column = np.array([post.benchmarks.index(b) for b in data["obs_benchmark"].values])
    who = post.known_effects()
    total = np.zeros((post.n_draws, len(post.benchmarks)))
    for rows in post.blocks(len(post.models)):
        eta = post.predictor(who, rows)
        here = np.flatnonzero((row >= rows.start) & (row < rows.stop))
        seen = np.zeros(eta.shape[1:])
        np.add.at(seen, (row[here] - rows.start, column[here]), 1.0)
        total += np.einsum("smj,mj->sj", eta, seen)
    count = np.maximum(np.bincount(column, minlength=len(post.benchmarks)), 1)
    return total / count + v["bias"] * (np.bincount(column, minlength=len(count)) == 0)
