"""From a predictor to an expected score: level, floor, ceiling and the shape of the link."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import scipy

from ..equations import LINKS
from . import densities
from .base import Array, Given, Term


class Response(Term):
    """``mu_mj = gamma_j + (upper_j - gamma_j) link_j(eta_mj)``.

    The intercept that is sampled is ``level``, the average predictor of a benchmark's observed
    scores; the bias follows from it. Floors and ceilings are quantiles of what is sampled: a
    value near its bound has no long tail of logarithms, in which chains stay.
    """

    name = "response"
    dims: ClassVar = {
        "lower": ("benchmark",),
        "upper": ("benchmark",),
        "link_shape": ("benchmark",),
    }

    def used(self, spec: Any) -> bool:
        """Always."""
        return True

    def prior(self, at: Any) -> dict[str, Array]:
        """One of each a benchmark, 1 where it is fixed."""
        p, spec = at.spec.priors, at.spec
        level = p.level * at.normal("level_raw", "benchmark")
        lower = at.xp.asarray(at.arrays.chance)
        if spec.lower != "chance":
            spread = self.spread(spec, at.arrays.chance_sd, at.xp)
            lower = at.above_zero("lower_raw", lower, spread, "benchmark")
        upper = shape = at.xp.ones(at.n.benchmarks)
        if spec.upper != "one":
            of = at.xp.asarray(at.arrays.questions)
            mean = self.shortfall(spec, at.arrays.shortfall, of, at.xp)
            if spec.upper == "questions":
                mean = at.xp.zeros(at.n.questions).at[of].set(mean)
                short = at.shortfall("ceiling_raw", mean, ("questions", at.n.questions))[of]
            else:
                short = at.shortfall("ceiling_raw", mean, "benchmark")
            upper = 1 - (1 - lower) * short
        if LINKS[spec.link].trained:
            shape = at.xp.exp(p.link_shape * at.normal("link_shape_raw", "benchmark"))
        return {"level": level, "lower": lower, "upper": upper, "link_shape": shape}

    def spread(self, spec: Any, known: Array, xp: Any) -> Array:
        """Prior standard deviations of floors: the table's where it says, and asked."""
        if spec.lower != "sourced":
            return spec.priors.lower
        return xp.where(known > 0, known, spec.priors.lower)

    def shortfall(self, spec: Any, expected: Array, of: Array, xp: Any) -> Array:
        """Prior means of what ceilings fall short by: the table's where it says, and asked."""
        common = spec.priors.ceiling
        if spec.upper == "questions":  # what is known of one is known of all that ask the same
            expected = xp.where(of[:, None] == of[None, :], expected, 0.0).max(1)
        elif spec.upper != "sourced":
            return common
        return xp.where(expected > 0, expected, common)

    def log_prior(self, given: Given) -> dict[str, np.ndarray]:
        """``bias`` stands for the level, from which it follows."""
        v, spec, p = given.values, given.spec, given.spec.priors
        out = {"bias": densities.total(densities.normal(given.level, p.level))}
        if spec.lower != "chance":
            spread = self.spread(spec, given.chance_sd, np)
            above = densities.normal(v["lower"], spread, given.chance)
            out["lower"] = densities.total(above - scipy.special.log_ndtr(given.chance / spread))
        if spec.upper != "one":
            room = 1 - v["lower"]
            mean = self.shortfall(spec, given.shortfall, given.questions, np)
            shortfall = np.clip((1 - v["upper"]) / room, 0.0, 1 - 1e-6)
            density = densities.beta(shortfall, 1, 1 / mean - 1) - np.log(room)
            if spec.upper == "questions":  # of those that ask the same, the first tells all
                density = density[:, np.unique(given.questions, return_index=True)[1]]
            out["upper"] = densities.total(density)
        if LINKS[spec.link].trained:
            shape = np.log(v["link_shape"])
            out["link_shape"] = densities.total(densities.normal(shape, p.link_shape) - shape)
        return out
