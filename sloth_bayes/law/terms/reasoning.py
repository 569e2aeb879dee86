"""Effect of reasoning before an answer on the skills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from .base import Array, Term


class Reasoning(Term):
    """``delta' reasoning_m``: what a model that reasons at length has over one that is tuned."""

    name = "reasoning"
    dims: ClassVar = {"reasoning": ("skill",)}
    adds_to, times = "skill", "reasons"
    site = "reasoning_raw"

    def used(self, spec: Any) -> bool:
        """If kinds of models are told apart."""
        return bool(spec.instruct == "kinds")

    def column(self, frame: pd.DataFrame) -> np.ndarray:
        """1 for models of that kind."""
        return (frame["kind"] == "reasoning").to_numpy(float)

    def scale(self, values: Mapping[str, Array], spec: Any) -> Array:
        """The prior's."""
        return spec.priors.instruct

    def prior(self, at: Any) -> dict[str, Array]:
        """One row."""
        return {self.name: at.rows(self.site, scale=at.spec.priors.instruct)}
