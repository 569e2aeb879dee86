"""Which size a mixture of experts counts as."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from . import densities
from .base import Array, Given, Term

_SURE = 4  # concentration of the prior: a standard deviation of 0.22 around a half


class MixtureWeight(Term):
    """``size_m = active_m^(1 - w) total_m^w``, with ``w ~ Beta``: one for all mixtures.

    Only lineages with dense models and mixtures tell of ``w``: compare its posterior with its
    prior before reading anything into it.
    """

    name = "mixture_weight"
    dims: ClassVar = {"mixture_weight": ()}
    times = "log_total_over_active"
    otherwise = 0.0  # dense

    def used(self, spec: Any) -> bool:
        """If mixtures do not count by their active parameters."""
        return bool(spec.mixtures == "effective")

    def column(self, frame: pd.DataFrame) -> np.ndarray:
        """Log of total over active parameters, 0 of a dense model."""
        ratio = frame["total_params_b"] / frame["params_b"]
        # a size that the table does not say is what the mixture counts as
        return np.log(ratio.where(frame["params_b"].notna(), 1.0).to_numpy(float))

    def prior(self, at: Any) -> dict[str, Array]:
        """A share."""
        mean = at.spec.priors.mixture_weight
        return {self.name: at.beta(self.name, _SURE * mean, _SURE * (1 - mean))}

    def log_prior(self, given: Given) -> dict[str, np.ndarray]:
        """The same."""
        mean = given.spec.priors.mixture_weight
        w = given.values[self.name]
        return {self.name: densities.beta(w, _SURE * mean, _SURE * (1 - mean))}


def effective(log_size: Array, values: Mapping[str, Array], columns: Mapping[str, Array]) -> Array:
    """Log size ``(M,)`` or ``(S, M)`` that models count as; `log_size` is of active parameters."""
    weight = values.get(MixtureWeight.name)
    if weight is None:
        return log_size
    return log_size + weight[..., None] * columns[MixtureWeight.times]
