"""Deviation of a lineage from the shared effect of size and tokens, partially pooled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from . import densities
from .base import Array, Given, Term


class SlopeOfLineage(Term):
    """``beta_l x_m``, its scale a parameter in units of the effect of a doubling.

    The interaction deviates in proportion to its own prior scale.
    """

    name = "slope_lineage"
    dims: ClassVar = {"slope_scale": (), "slope_lineage": ("lineage", "input", "skill")}
    adds_to, of, times = "skill", "lineage", "inputs"
    site, key = "slope_lineage_raw", "slope"

    def used(self, spec: Any) -> bool:
        """With pooled slopes."""
        return bool(spec.slopes == "pooled")

    def prior(self, at: Any) -> dict[str, Array]:
        """Centred as far as data inform it: one model of a lineage says nothing of a slope."""
        scale = at.half_normal("slope_scale", at.spec.priors.slope_deviation)
        more = at.xp.clip(at.models_of_lineage - 1.0, 0.0, None)
        centring = (more / (more + 1.0))[:, None]
        raw = at.rows(self.site, "lineage", "input", spread=scale**centring)
        rest = (scale ** (1 - centring) * self._relative(at.spec))[..., None]
        return {"slope_scale": scale, self.name: rest * raw}

    def log_prior(self, given: Given) -> dict[str, np.ndarray]:
        """Also of the scale."""
        prior = given.spec.priors.slope_deviation
        out = {"slope_scale": densities.half_normal(given.values["slope_scale"], prior)}
        return out | super().log_prior(given)

    def scale(self, values: Mapping[str, Array], spec: Any) -> Array:
        """``(S, P, 1)``."""
        relative = self._relative(spec).astype(np.float32)
        return values["slope_scale"][:, None, None] * relative[:, None]

    def _relative(self, spec: Any) -> np.ndarray:
        return np.array(spec.input_scales) / spec.priors.doubling
