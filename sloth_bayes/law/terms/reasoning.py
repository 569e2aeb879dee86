"""Effect of reasoning before an answer on the skills."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd

from .instruct import Instruct


class Reasoning(Instruct):
    """``delta' reasoning_m``: what a model that reasons at length has over one that is tuned."""

    name = "reasoning"
    dims: ClassVar = {"reasoning": ("skill",)}
    times = "reasons"
    site = "reasoning_raw"

    def used(self, spec: Any) -> bool:
        """If kinds of models are told apart."""
        return bool(spec.instruct == "kinds")

    def column(self, frame: pd.DataFrame) -> np.ndarray:
        """1 for models of that kind."""
        return (frame["kind"] == "reasoning").to_numpy(float)
