"""What the law takes of each model."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Effects:
    """What is drawn for each of M models, S draws: the arguments of the law."""

    inputs: np.ndarray  # (M, P), or (S, M, P) where some are unknown
    instruct: np.ndarray  # (M,)
    family: np.ndarray  # (S, M, d)
    residual: np.ndarray | None  # (S, M, J)
    slope_deviation: np.ndarray | None  # (S, M, P, d)
    model_effect: np.ndarray | None  # (S, M, d)
