"""Central intervals, and what a table says of draws: over the first axis, which is the draws."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_STEPS = 40  # of bisection, halvings of a doubling's eighth: far below any reading


def lower_and_upper(values: np.ndarray, prob: float) -> np.ndarray:
    """Lower and upper end of the central interval of mass `prob`, along a new first axis."""
    out: np.ndarray = np.quantile(values, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
    return out


def median_and_ends(values: np.ndarray, prob: float) -> np.ndarray:
    """Median, lower and upper end, along a new first axis."""
    out: np.ndarray = np.quantile(values, [0.5, (1 - prob) / 2, (1 + prob) / 2], axis=0)
    return out


def order_statistics(x: np.ndarray, prob: float) -> tuple[float, float, float]:
    """Median and ends of the central interval; infinite draws are the largest, not a hole."""
    levels = [0.5, (1 - prob) / 2, (1 + prob) / 2]
    return tuple(np.quantile(x, levels, method="inverted_cdf").tolist())


SUMMARY = ("mean", "median", "sd", "lower", "upper", "p_positive")


def summarise(values: np.ndarray, prob: float) -> dict[str, np.ndarray]:
    """The columns of a summary, :data:`SUMMARY`."""
    ends = lower_and_upper(values, prob)
    middle, positive = np.median(values, axis=0), (values > 0).mean(0)
    return dict(zip(SUMMARY, (values.mean(0), middle, values.std(0), *ends, positive)))


def quantiles(values: np.ndarray, levels: list[float]) -> list[np.ndarray]:
    """Quantiles along the last axis, as :func:`numpy.quantile`; reorders `values` in place.

    Only the order statistics that are needed are put in their places, the middle one
    first: neither a full sort nor a copy.

    Examples
    --------
    >>> import numpy as np
    >>> [float(q) for q in quantiles(np.array([4.0, 1.0, 3.0, 2.0]), [0.5, 1.0])]
    [2.5, 4.0]
    """
    last = values.shape[-1] - 1
    _partition(values, sorted({int(level * last) for level in levels}))
    out = []
    for level in levels:
        k = int(level * last)
        low = values[..., k].astype(np.float64)
        high = values[..., k + 1 :].min(-1) if k < last else low
        out.append(low + (high - low) * (level * last - k))
    return out


def _partition(values: np.ndarray, places: list[int]) -> None:
    """Put some order statistics of the last axis in their places, and the rest between them."""
    if places:
        middle = len(places) // 2
        k = places[middle]
        values.partition(k, axis=-1)
        _partition(values[..., :k], places[:middle])
        _partition(values[..., k + 1 :], [p - k - 1 for p in places[middle + 1 :]])


def bisect(
    ends: np.ndarray, test: Callable[[np.ndarray], np.ndarray], steps: int = _STEPS
) -> np.ndarray:
    """Where `test` turns true between ``ends[:, 0]`` (false) and ``ends[:, 1]`` (true)."""
    no, yes = np.log(ends).T
    for _ in range(steps):
        middle = 0.5 * (no + yes)
        true = test(np.exp(middle))
        no, yes = np.where(true, no, middle), np.where(true, middle, yes)
    out: np.ndarray = np.exp(yes)
    return out
