"""Pareto-smoothed importance sampling (Vehtari et al., 2024), where there are enough draws."""

from __future__ import annotations

import numpy as np

_LEAST = 25  # draws, of which a fifth, the tail, must be five at least


def smoothed(log_weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Smoothed log weights, and k-hat; of too few draws to have a tail, as they are and NaN.

    Examples
    --------
    >>> smoothed(np.zeros(3))
    (array([0., 0., 0.]), nan)
    """
    from arviz_stats.base import array_stats

    log_weights = np.asarray(log_weights, float).ravel()
    if len(log_weights) < _LEAST:
        return log_weights, float("nan")
    found, k_hat = array_stats.psislw(-log_weights)
    return np.asarray(found), float(k_hat)
