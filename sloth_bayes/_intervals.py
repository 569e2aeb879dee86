"""Central intervals, and what a table says of draws: over the first axis, which is the draws."""

from __future__ import annotations

import numpy as np


def lower_and_upper(values: np.ndarray, prob: float) -> np.ndarray:
    """Lower and upper end of the central interval of mass `prob`, along a new first axis."""
    out: np.ndarray = np.quantile(values, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
    return out


def median_and_ends(values: np.ndarray, prob: float) -> np.ndarray:
    """Median, lower and upper end, along a new first axis."""
    out: np.ndarray = np.quantile(values, [0.5, (1 - prob) / 2, (1 + prob) / 2], axis=0)
    return out


SUMMARY = ("mean", "median", "sd", "lower", "upper", "p_positive")


def summarise(values: np.ndarray, prob: float) -> dict[str, np.ndarray]:
    """The columns of a summary, :data:`SUMMARY`."""
    low, high = lower_and_upper(values, prob)
    return {
        "mean": values.mean(0),
        "median": np.median(values, axis=0),
        "sd": values.std(0),
        "lower": low,
        "upper": high,
        "p_positive": (values > 0).mean(0),
    }
