"""The log density of the prior at the draws, which ArviZ's ``psense`` scales.

Of the named quantities of a posterior, each given those above it: what
:mod:`sloth_bayes.model.scores` samples in other coordinates, in which the posterior is round.
Here a density is that of the quantity itself, so that no rotation of the skills changes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import xarray as xr
from scipy import stats
from scipy.special import log_ndtr, logsumexp

from ..law import equations
from ..law.spec import Spec
from .base import in_chains
from .effects import Effects

# Spreads that the model fixes: of scales between benchmarks, of overall noise, of the fraction
_SCALES_APART, _OVERALL_NOISE, _FRACTION = 0.5, 0.7, 0.5


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


def log_prior(post: Draws) -> xr.Dataset:
    """Log density of the prior by quantity: dims chain and draw, summed over the rest.

    Latent sizes and tokens (``unknown_inputs="latent"``) are left out: their prior is what
    the table says of the others.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> found = log_prior(sb.load("leaderboard"))
    >>> sorted(found.data_vars)[:3], dict(found.sizes)
    (['bias', 'family_effect', 'instruct'], {'chain': 4, 'draw': 250})
    """
    spec, p = post.spec, post.spec.priors
    v = {name: array.astype(float) for name, array in post.merged.items()}
    members = np.searchsorted(post.lineages, post.constant("lineage_of_family").astype(str))
    out: dict[str, np.ndarray] = {}

    def normal(name: str, scale: Any, mean: Any = 0.0) -> None:
        if name in v:
            out[name] = _sum(stats.norm.logpdf(v[name], mean, scale))

    def half_normal(name: str, scale: float) -> None:
        if name in v:
            out[name] = stats.halfnorm.logpdf(v[name], scale=scale)

    def share(name: str) -> np.ndarray | None:
        if name not in v:
            return None
        out[name] = stats.beta.logpdf(v[name], 4 * p.lineage_share, 4 * (1 - p.lineage_share))
        return v[name][:, None, None]

    def nested(name: str, lineage: str, rho: np.ndarray | None, scale: Any) -> None:
        if rho is None or lineage not in v:
            normal(name, scale)
            return
        normal(lineage, np.sqrt(rho) * scale)
        normal(name, np.sqrt(1 - rho) * scale, v[lineage][:, members])

    if spec.loadings == "free":
        normal("loading", p.loading)
    inputs = np.array(spec.input_scales)
    normal("slope", inputs[:, None])
    normal("slope_family", inputs[:, None])
    normal("instruct", p.instruct)
    half_normal("slope_scale", p.slope_deviation)
    if "slope_lineage" in v:
        relative = (inputs / p.doubling)[:, None]
        normal("slope_lineage", v["slope_scale"][:, None, None, None] * relative)
    half_normal("model_scale", p.model_effect)
    if "model_effect" in v:
        normal("model_effect", v["model_scale"][:, None, None])
    if spec.intercept != "shared":
        nested("family_effect", "lineage_effect", share("lineage_share"), p.family)
    if "residual_scale" in v:
        tau = v["residual_scale"]
        out["residual_scale"] = _scales(tau, p.residual)
        nested("residual", "residual_lineage", share("residual_share"), tau[:, None])
        half_normal("drift_share", p.drift)
        if "drift" in v:
            normal("drift", v["drift_share"][:, None, None] * tau[:, None])
    normal_of = stats.norm.logpdf
    out["bias"] = _sum(normal_of(_level(post), 0.0, p.level))
    if spec.lower == "estimated":
        chance = post.constant("chance").astype(float)
        above = normal_of(v["lower"], chance, p.lower) - log_ndtr(chance / p.lower)
        out["lower"] = _sum(above)
    if spec.upper == "estimated":
        room = 1 - v["lower"]
        shortfall = np.clip((1 - v["upper"]) / room, 0.0, 1 - 1e-6)
        density = stats.beta.logpdf(shortfall, 1, 1 / p.ceiling - 1)
        out["upper"] = _sum(density - np.log(room))
    if equations.LINKS[spec.link].trained:
        shape = np.log(v["link_shape"])
        out["link_shape"] = _sum(normal_of(shape, 0.0, p.link_shape) - shape)
    noise = np.log(v["noise_scale"])
    width = noise.shape[-1]
    spread = p.noise_spread**2 * np.eye(width) + _OVERALL_NOISE**2
    joint = stats.multivariate_normal.logpdf(noise, np.full(width, np.log(p.noise)), spread)
    out["noise_scale"] = np.atleast_1d(joint) - noise.sum(-1)
    fraction = np.log(v["sampling_fraction"])
    out["sampling_fraction"] = (
        normal_of(fraction, np.log(p.sampling_fraction), _FRACTION) - fraction
    )
    variables = {name: ((), values) for name, values in out.items()}
    return in_chains(post.tree["posterior"].to_dataset(), variables)


def _sum(density: np.ndarray) -> np.ndarray:
    """Over everything but the draws."""
    return density.reshape(len(density), -1).sum(-1)


def _scales(tau: np.ndarray, overall: float) -> np.ndarray:
    """Of scales around a half-normal overall one, which is integrated out."""
    log_tau = np.log(tau)
    grid = np.linspace(np.log(overall) - 8, np.log(overall) + 2, 400)
    given = stats.norm.logpdf(log_tau[..., None], grid, _SCALES_APART).sum(1)
    weight = stats.halfnorm.logpdf(np.exp(grid), scale=overall) + grid + np.log(grid[1] - grid[0])
    return logsumexp(given + weight, axis=-1) - log_tau.sum(-1)


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
