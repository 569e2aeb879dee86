"""What tuning, and reasoning, add to each benchmark by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from . import densities
from .base import Array, Given, Term
from .reasoning import Reasoning


class Tuning(Term):
    """``kappa_j instruct_m ~ Normal(0, tuning_scale^2)``: what tuning adds on a benchmark.

    In logits, beyond what it adds to skills: following instructions is trained for where it is
    asked for. Where all models are tuned the prior is all that is known of it.
    """

    name = "tuning"
    dims: ClassVar = {"tuning_scale": (), "tuning": ("benchmark",)}
    adds_to, times = "benchmark", "instruct"
    site = "tuning_raw"

    def used(self, spec: Any) -> bool:
        """If benchmarks gain by themselves."""
        return bool(spec.tuning == "benchmarks")

    def prior(self, at: Any) -> dict[str, Array]:
        """Around none, by a scale in common."""
        scale = at.half_normal(f"{self.name}_scale", at.spec.priors.tuning)
        own = scale * at.normal(self.site, "benchmark")
        return {f"{self.name}_scale": scale, self.name: own}

    def log_prior(self, given: Given) -> dict[str, np.ndarray]:
        """Also of the scale."""
        scale = f"{self.name}_scale"
        own = densities.half_normal(given.values[scale], given.spec.priors.tuning)
        return {scale: own} | super().log_prior(given)

    def scale(self, values: Mapping[str, Array], spec: Any) -> Array:
        """``(S, 1)``."""
        return values[f"{self.name}_scale"][:, None]


class TuningToReason(Tuning):
    """``kappa'_j reasoning_m``: what a model that reasons at length has over one that is tuned."""

    name = "tuning_to_reason"
    dims: ClassVar = {"tuning_to_reason_scale": (), "tuning_to_reason": ("benchmark",)}
    times = "reasons"
    site = "tuning_to_reason_raw"

    def used(self, spec: Any) -> bool:
        """If kinds of models are told apart, too."""
        return bool(spec.tuning == "benchmarks" and spec.instruct == "kinds")

    def column(self, frame: pd.DataFrame) -> np.ndarray:
        """1 for models of that kind."""
        return Reasoning().column(frame)
