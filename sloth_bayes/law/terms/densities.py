"""Log densities of draws, in NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy


def total(density: np.ndarray) -> np.ndarray:
    """Sum over everything but the draws, ``(S,)``."""
    return density.reshape(len(density), -1).sum(-1)


def normal(x: Any, scale: Any, mean: Any = 0.0) -> np.ndarray:
    """Of a normal law."""
    z = (x - mean) / scale
    return np.asarray(-0.5 * z**2 - np.log(scale) - 0.5 * math.log(2 * math.pi))


def half_normal(x: np.ndarray, scale: float) -> np.ndarray:
    """Of a half-normal law."""
    return normal(x, scale) + math.log(2)


def beta(x: np.ndarray, a: float, b: float) -> np.ndarray:
    """Of a Beta law."""
    special = scipy.special
    density = special.xlogy(a - 1, x) + special.xlog1py(b - 1, -x) - special.betaln(a, b)
    return np.asarray(density)
