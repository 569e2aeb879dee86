"""Effect of a single model on its skills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from . import densities
from .base import Array, Given, Term


class ModelEffect(Term):
    """``eps_m``: what sets a model apart from others of its family, size and tokens."""

    name = "model_effect"
    dims: ClassVar = {"model_scale": (), "model_effect": ("model", "skill")}
    adds_to, of = "skill", "model"
    site, key = "model_raw", "model"

    def used(self, spec: Any) -> bool:
        """If it is pooled."""
        return bool(spec.model_effect == "pooled")

    def prior(self, at: Any) -> dict[str, Array]:
        """Centred as far as the model's scores inform it."""
        scale = at.half_normal("model_scale", at.spec.priors.model_effect)
        scored = at.arrays.observed.sum(1)
        centring = scored / (scored + 4.0)
        raw = at.rows(self.site, "model", spread=scale**centring)
        return {"model_scale": scale, self.name: scale ** (1 - centring)[:, None] * raw}

    def log_prior(self, given: Given) -> dict[str, np.ndarray]:
        """Also of the scale."""
        prior = given.spec.priors.model_effect
        out = {"model_scale": densities.half_normal(given.values["model_scale"], prior)}
        return out | super().log_prior(given)

    def scale(self, values: Mapping[str, Array], spec: Any) -> Array:
        """``(S, 1)``."""
        return values["model_scale"][:, None]
