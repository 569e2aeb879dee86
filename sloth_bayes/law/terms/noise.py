"""Scale of the noise of a score."""

from __future__ import annotations

from typing import Any, ClassVar

from .base import Array, Term


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
        overall = at.log_normal("noise_overall", p.noise, 0.7)
        scale = overall * at.xp.exp(p.noise_spread * at.normal("noise_raw", "benchmark"))
        fraction = at.log_normal("sampling_fraction", p.sampling_fraction, 0.5)
        return {"noise_scale": scale, "sampling_fraction": fraction}
