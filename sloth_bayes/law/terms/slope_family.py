"""Deviation of a family from the shared effect of size and tokens, not pooled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from .base import Array, Term


class SlopeOfFamily(Term):
    """``beta_f x_m``; with wide priors the law of Ruan et al. (2024, arXiv 2405.10938)."""

    name = "slope_family"
    dims: ClassVar = {"slope_family": ("family", "input", "skill")}
    adds_to, of, times = "skill", "family", "inputs"
    site, key = "slope_family_raw", "slope"

    def used(self, spec: Any) -> bool:
        """With slopes of families."""
        return bool(spec.slopes == "family")

    def prior(self, at: Any) -> dict[str, Array]:
        """Independent, in units of skill."""
        raw = at.normal(self.site, "family", "input", "skill") @ at.unit.tril.T
        return {self.name: at.input_scales[:, None] * raw}

    def scale(self, values: Mapping[str, Array], spec: Any) -> Array:
        """``(1, P, 1)``."""
        return np.array(spec.input_scales, np.float32)[None, :, None]

    def turned(self, sites: Mapping[str, Array], move: Array, back: Array) -> Array:
        """Its rows are in units of skill."""
        return sites[self.site] @ back
