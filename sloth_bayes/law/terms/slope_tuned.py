"""What a doubling does to tuned models beyond what it does to base models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from .base import Array, Effects, Term


class SlopeOfTuned(Term):
    """``instruct_m beta' x_m``: tuned models gain more from a doubling than base ones, or less.

    Following instructions is a skill that grows with size once a model is tuned for it.
    """

    name = "slope_tuned"
    dims: ClassVar = {"slope_tuned": ("input", "skill")}
    adds_to, times = "skill", "inputs"
    site = "slope_tuned_raw"

    def used(self, spec: Any) -> bool:
        """If slopes depend on the kind."""
        return bool(spec.slopes in ("tuned", "fan-tuned"))

    def scale(self, values: Mapping[str, Array], spec: Any) -> Array:
        """``(1, P, 1)``."""
        return self._spread(spec)[None, :, None]

    def prior(self, at: Any) -> dict[str, Array]:
        """Independent rows, of each input in proportion to the prior of its own effect."""
        return {self.name: at.rows(self.site, "input", spread=self._spread(at.spec))}

    def added(self, coefficient: Array, who: Effects) -> Array:
        """Of tuned models only."""
        return who.columns["instruct"][..., None] * super().added(coefficient, who)

    def _spread(self, spec: Any) -> np.ndarray:
        relative = np.array(spec.input_scales) / spec.priors.doubling
        return spec.priors.slope_deviation * relative
