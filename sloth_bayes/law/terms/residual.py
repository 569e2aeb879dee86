"""Residual of a family on a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import scipy

from . import densities
from .base import Array, Given, Nested

_APART = 0.5  # standard deviation of the log scale between benchmarks


class Residual(Nested):
    """``u_fj ~ Normal(v_lj, (1 - rho) tau_j^2)`` around its lineage's, ``Normal(0, rho tau_j^2)``.

    Skills move benchmarks jointly, residuals one by one.
    """

    name = "residual"
    dims: ClassVar = {
        "residual_scale": ("benchmark",),
        "residual_share": (),
        "residual_lineage": ("lineage", "benchmark"),
        "residual": ("family", "benchmark"),
    }
    adds_to = "benchmark"
    site, key = "residual_raw", "residual"
    lineage, share, lineage_key = "residual_lineage", "residual_share", "residual lineage"

    def used(self, spec: Any) -> bool:
        """Unless it is left out."""
        return bool(spec.residual != "none")

    def prior(self, at: Any) -> dict[str, Array]:
        """A joint block, of the cells that have scores; scales vary around a common one."""
        overall = at.half_normal("residual_scale_overall", at.spec.priors.residual)
        raw = at.normal("residual_scale_raw", "benchmark")
        log_tau = at.xp.log(overall) + _APART * raw
        share, tau = at.share(self.share), at.xp.exp(log_tau)
        out = {"residual_scale": tau}
        if share is not None:
            out[self.share] = share
        lineage, residual = at.nested_residuals(self.site, log_tau, share)
        if lineage is not None:
            out[self.lineage] = lineage
        return out | {self.name: residual}

    def log_prior(self, given: Given) -> dict[str, np.ndarray]:
        """Also of the scales, their common one integrated out."""
        scales = log_density_of_scales(given.values["residual_scale"], given.spec.priors.residual)
        return {"residual_scale": scales} | super().log_prior(given)

    def scale(self, values: Mapping[str, Array], spec: Any) -> Array:
        """``(S, J)``."""
        return values["residual_scale"]


def log_density_of_scales(tau: np.ndarray, overall: float) -> np.ndarray:
    """Of scales ``(S, J)`` around a half-normal common one, which is integrated out: ``(S,)``."""
    log_tau = np.log(tau)
    grid = np.linspace(np.log(overall) - 8, np.log(overall) + 2, 400)
    around = densities.normal(log_tau[..., None], _APART, grid).sum(1)
    weight = densities.half_normal(np.exp(grid), overall) + grid + np.log(grid[1] - grid[0])
    return np.asarray(scipy.special.logsumexp(around + weight, axis=-1) - log_tau.sum(-1))
