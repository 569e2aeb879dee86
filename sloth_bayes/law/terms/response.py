"""From a predictor to an expected score: level, floor, ceiling and the shape of the link."""

from __future__ import annotations

from typing import Any, ClassVar

from ..equations import LINKS
from .base import Array, Term


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
        if spec.lower == "estimated":
            lower = at.above_zero("lower_raw", lower, p.lower, "benchmark")
        upper = shape = at.xp.ones(at.n.benchmarks)
        if spec.upper == "estimated":
            upper = 1 - (1 - lower) * at.shortfall("ceiling_raw", p.ceiling, "benchmark")
        if LINKS[spec.link].trained:
            shape = at.xp.exp(p.link_shape * at.normal("link_shape_raw", "benchmark"))
        return {"level": level, "lower": lower, "upper": upper, "link_shape": shape}
