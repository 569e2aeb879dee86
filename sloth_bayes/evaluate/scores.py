"""Proper scores and calibration of predictive draws: arrays in, arrays out.

``draws`` is always ``(S, n)``: S draws of the predictive distribution of n scores; ``y`` is
``(n,)``. Sources: Gneiting and Raftery (2007, *Strictly proper scoring rules, prediction, and
estimation*), Säilynoja, Bürkner and Vehtari (2022, *Graphical test for discrete uniformity*).
"""

from __future__ import annotations

import numpy as np

from ..law import likelihood
from ..support.intervals import lower_and_upper

LEVELS = (0.5, 0.8, 0.9, 0.95)  # central intervals that evaluations report


def crps(draws: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score ``E|X - y| - E|X - X'| / 2``, in units of `y`.

    The second expectation is over pairs of different draws, so that the estimate is
    unbiased; for a single draw the score is the absolute error.

    Examples
    --------
    >>> import numpy as np
    >>> crps(np.array([[0.0], [1.0]]), np.array([0.0])).tolist()
    [0.0]
    >>> crps(np.array([[0.4]]), np.array([0.5])).round(3).tolist()
    [0.1]
    """
    n = len(draws)
    error = np.abs(draws - y).mean(0)
    if n == 1:
        return np.asarray(error)
    weight = (2 * np.arange(n) + 1 - n)[:, None]
    return np.asarray(error - (weight * np.sort(draws, 0)).sum(0) / (n * (n - 1)))


def log_score(
    y: np.ndarray,
    mu: np.ndarray,
    sd: np.ndarray,
    law: likelihood.Observation,
    rounding: np.ndarray,
) -> np.ndarray:
    """Log predictive density of `y`: the likelihood averaged over draws, in nats.

    `mu` and `sd` are ``(S, n)`` expected scores and noise scales; a rounded score counts
    with the probability of its rounding interval, per unit of score.
    """
    each = likelihood.log_likelihood(y, mu.astype(float), sd.astype(float), law, rounding, np)
    return np.asarray(np.logaddexp.reduce(each, 0) - np.log(len(each)))


def central_interval(
    draws: np.ndarray, prob: float, rounding: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the central interval, rounded as the scores are that it is compared with."""
    lower, upper = _published(lower_and_upper(draws, prob), rounding)
    return lower, upper


def _published(values: np.ndarray, rounding: np.ndarray | float) -> np.ndarray:
    """Values rounded as scores are published, where a step is known."""
    step = np.where(np.asarray(rounding) > 0, rounding, 1.0)
    return np.where(np.asarray(rounding) > 0, np.round(values / step) * step, values)


def covers(
    draws: np.ndarray, y: np.ndarray, prob: float, rounding: np.ndarray | float = 0.0
) -> np.ndarray:
    """Whether the central interval contains the score; its ends count as inside."""
    lower, upper = central_interval(draws, prob, rounding)
    return np.asarray((y >= lower - 1e-9) & (y <= upper + 1e-9))


def interval_score(lower: np.ndarray, upper: np.ndarray, y: np.ndarray, prob: float) -> np.ndarray:
    """Interval score (Gneiting and Raftery, 2007): width plus a fine for missing.

    Examples
    --------
    >>> import numpy as np
    >>> float(interval_score(np.array(0.4), np.array(0.6), np.array(0.5), 0.9))
    0.2
    """
    fine = 2 / (1 - prob)
    below, above = np.clip(lower - y, 0, None), np.clip(y - upper, 0, None)
    return np.asarray((upper - lower + fine * (below + above)).round(12))


def pit(
    draws: np.ndarray, y: np.ndarray, rounding: np.ndarray | float, rng: np.random.Generator
) -> np.ndarray:
    """Probability integral transform: the rank of `y` among the draws, in (0, 1).

    A rounded score, or one at 0 or 1, ties with draws that would be published as the
    same number; its rank is then uniform within the tie, so that calibrated forecasts
    give uniform values.
    """
    published = _published(draws, rounding)
    below = (published < y - 1e-9).sum(0)
    same = (np.abs(published - y) <= 1e-9).sum(0)
    return np.asarray((below + rng.random(y.shape) * (same + 1)) / (len(draws) + 1))


def calibration_band(n: int, prob: float = 0.95, points: int = 100, seed: int = 0) -> np.ndarray:
    """Half-width of a simultaneous band for the calibration curve of `n` independent values.

    Of `n` uniform values, the empirical distribution function stays within the band at
    every one of `points` places with probability `prob`. Pointwise binomial standard
    deviations are widened by one factor, found by simulation (the idea of
    Säilynoja et al., 2022, with a normal pointwise shape).

    Returns
    -------
    numpy.ndarray
        ``(points,)`` half-widths at ``(i + 0.5) / points``.
    """
    grid = (np.arange(points) + 0.5) / points
    sd = np.sqrt(grid * (1 - grid) / n)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(n, np.diff(np.concatenate([[0.0], grid, [1.0]])), size=4000)
    ecdf = counts[:, :-1].cumsum(1) / n
    worst = (np.abs(ecdf - grid) / sd).max(1)
    return np.asarray(np.quantile(worst, prob) * sd)


def bootstrap_interval(
    values: np.ndarray, group: np.ndarray, prob: float = 0.95, replicates: int = 4000, seed: int = 0
) -> tuple[float, float, float]:
    """Standard error and central interval of a mean of group-wise clustered values.

    Groups (families) are resampled, not values: the scores of a family share its luck.

    Returns
    -------
    tuple of float
        Standard error, lower and upper end.
    """
    names, index = np.unique(group, return_inverse=True)
    total = np.bincount(index, weights=values)
    count = np.bincount(index)
    rng = np.random.default_rng(seed)
    draw = rng.integers(0, len(names), (replicates, len(names)))
    means = total[draw].sum(1) / count[draw].sum(1)
    lower, upper = lower_and_upper(means, prob)
    return float(means.std(ddof=1)), float(lower), float(upper)
