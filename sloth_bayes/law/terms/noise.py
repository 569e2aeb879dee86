"""Scale of the noise of a score."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from . import densities
from .base import Array, Given, Term

_OVERALL, _FRACTION = 0.7, 0.5  # standard deviations of the logs of common noise and of phi


class Noise(Term):
    """``sigma_mj^2 = (own noise)^2 + phi mu_mj (1 - mu_mj) / N_j``."""

    name = "noise"
    dims: ClassVar = {"noise_scale": ("benchmark",), "sampling_fraction": ()}

    def used(self, spec: Any) -> bool:
        """Always."""
        return True

    def prior(self, at: Any) -> dict[str, Array]:
        """Own noise varies around a common one; ``phi`` is one for all."""
        p = at.spec.priors
        overall = at.log_normal("noise_overall", p.noise, _OVERALL)
        scale = overall * at.xp.exp(p.noise_spread * at.normal("noise_raw", "benchmark"))
        fraction = at.log_normal("sampling_fraction", p.sampling_fraction, _FRACTION)
        return {"noise_scale": scale, "sampling_fraction": fraction}

    def log_prior(self, given: Given) -> dict[str, np.ndarray]:
        """The common noise is integrated out."""
        p, noise = given.spec.priors, np.log(given.values["noise_scale"])
        # independent but for a common part: the density by the average and the rest
        n, own, common = noise.shape[-1], p.noise_spread**2, _OVERALL**2
        off = noise - np.log(p.noise)
        whole = own + n * common
        quadratic = (off**2).sum(-1) / own - common * off.sum(-1) ** 2 / (own * whole)
        log_det = (n - 1) * np.log(own) + np.log(whole)
        joint = -0.5 * (quadratic + log_det + n * np.log(2 * np.pi))
        fraction = np.log(given.values["sampling_fraction"])
        median = np.log(p.sampling_fraction)
        return {
            "noise_scale": joint - noise.sum(-1),
            "sampling_fraction": densities.normal(fraction, _FRACTION, median) - fraction,
        }
