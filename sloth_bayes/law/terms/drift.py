"""Drift of a residual along a training curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from . import densities
from .base import Array, Given, Term


class Drift(Term):
    """``w_fj log2 tokens_m``: the families are training runs, whose residuals drift."""

    name = "drift"
    dims: ClassVar = {"drift_share": (), "drift": ("family", "benchmark")}
    adds_to, of, times = "benchmark", "family", "tokens"
    site, key = "drift_raw", "drift"

    def used(self, spec: Any) -> bool:
        """Of training curves."""
        return bool(spec.residual == "curve")

    def prior(self, at: Any) -> dict[str, Array]:
        """Data of many checkpoints pin it down, but a run just begun must not be a funnel."""
        share = at.half_normal("drift_share", at.spec.priors.drift)
        raw = at.normal(self.site, "family", "benchmark")
        return {"drift_share": share, self.name: share * at.values["residual_scale"] * raw}

    def log_prior(self, given: Given) -> dict[str, np.ndarray]:
        """Also of the share."""
        prior = given.spec.priors.drift
        out = {"drift_share": densities.half_normal(given.values["drift_share"], prior)}
        return out | super().log_prior(given)

    def scale(self, values: Mapping[str, Array], spec: Any) -> Array:
        """``(S, J)``."""
        return values["drift_share"][:, None] * values["residual_scale"]
