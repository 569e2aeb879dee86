"""What the date of release adds to each benchmark by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from . import densities
from .base import Array, Given
from .year import Year


class Trend(Year):
    """``gamma_j years_m ~ Normal(0, trend_scale^2)``: what a year adds on a benchmark, in logits.

    Beyond what it adds to skills: labs come to train for some benchmarks, and turn from others.
    The same for all models, so that an unseen one is told by its date alone.
    """

    name = "trend"
    dims: ClassVar = {"trend_scale": (), "trend": ("benchmark",)}
    adds_to = "benchmark"
    site = "trend_raw"

    def used(self, spec: Any) -> bool:
        """If benchmarks have trends."""
        return bool(spec.trend == "benchmarks")

    def prior(self, at: Any) -> dict[str, Array]:
        """Around none, by a scale in common."""
        scale = at.half_normal("trend_scale", at.spec.priors.trend)
        return {"trend_scale": scale, self.name: scale * at.normal(self.site, "benchmark")}

    def log_prior(self, given: Given) -> dict[str, np.ndarray]:
        """Also of the scale."""
        own = densities.half_normal(given.values["trend_scale"], given.spec.priors.trend)
        return {"trend_scale": own} | super().log_prior(given)

    def scale(self, values: Mapping[str, Array], spec: Any) -> Array:
        """``(S, 1)``."""
        return values["trend_scale"][:, None]
