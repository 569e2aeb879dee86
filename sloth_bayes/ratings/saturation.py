"""Where skills stop growing with size, as judges rate them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..errors import DataError
from ..support.checks import check_prob
from ..support.html import shown
from ..support.intervals import bisect, order_statistics
from .draws import GAIN, KNOTS, RatingsDraws

_ENDS = ["median", "lower", "upper"]
_COLUMNS = ["skill", "kind", "gain", "at", "p_saturated", *(f"gain_{e}" for e in _ENDS), *_ENDS]


@dataclass(frozen=True)
class RatingsSaturation:
    """The answer of :meth:`sloth_bayes.RatingsPosterior.saturation`.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row a skill and size asked about.
    curve : pandas.DataFrame
        skill, params_b, median, lower, upper of the gain of a doubling, p_saturated.
    points : dict of str to numpy.ndarray
        The point of saturation of each skill (B), draw by draw; infinite where not reached.
    prob : float
        Mass of the intervals.
    messages : tuple of str
        What to keep in mind.
    """

    frame: pd.DataFrame
    curve: pd.DataFrame
    points: dict[str, np.ndarray]
    prob: float
    messages: tuple[str, ...]

    def __repr__(self) -> str:
        table = self.frame.pivot(index="skill", columns="at", values="p_saturated")
        return f"<sloth_bayes.RatingsSaturation: P(saturated)>\n{table.round(2).to_string()}"

    def _repr_html_(self) -> str:
        of = f"RatingsSaturation: {self.prob:.0%} intervals"
        return shown(of, self.frame, notes=self.messages)

    def plot(self, ax: Any = None) -> np.ndarray:
        """Gain of a doubling along sizes; see :func:`sloth_bayes.plots.ratings.saturation`."""
        from ..plots import ratings

        return ratings.saturation(self, ax=ax)


def saturation(
    post: RatingsDraws,
    gain: float = GAIN,
    *,
    at: Sequence[float] = KNOTS,
    kind: str | None = None,
    prob: float = 0.9,
) -> RatingsSaturation:
    """Beyond which size does a doubling gain less than `gain` rating points, by skill?

    Of a typical family (effects 0). A skill is saturated at a size if no doubling from there
    up to the largest asked about (or half the largest known size) gains as much. Held fixed:
    the kind of model. Random: every parameter.

    Parameters
    ----------
    post
        The fit.
    gain
        In rating points (of 1-5).
    at
        Sizes in billions of parameters.
    kind
        The kind of model; by default Chat, if there is one.
    prob
        Mass of the intervals.

    Returns
    -------
    RatingsSaturation
        ``frame``: skill, kind, gain, at, p_saturated, gain_median, gain_lower, gain_upper
        (of a doubling there), and median, lower, upper of the point of saturation (infinite
        where not reached).

    Raises
    ------
    DataError
        If `gain` or a size is not positive.
    UnknownNameError
        If the kind is not in the fit.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> found = sb.load_ratings_posterior().saturation()
    >>> found.frame.query("skill == 'planning'")["p_saturated"].is_monotonic_increasing
    True
    """
    kind, prob = post.ask_kind(kind), check_prob(prob)
    asked = np.atleast_1d(np.asarray(at, float))
    if not (np.isfinite(gain) and gain > 0):
        raise DataError(f"gain must be a positive number of rating points, not {gain}")
    if not asked.size or not (np.isfinite(asked) & (asked > 0)).all():
        raise DataError(f"at must be positive sizes in billions, not {at!r}")
    low, largest = post.extent()
    low, high = min(low, asked.min()), max(largest / 2, asked.max())
    grid = np.unique(np.r_[np.geomspace(low, high, 120), asked])

    def gains(x: np.ndarray) -> np.ndarray:
        return post.along(2 * x, kind) - post.along(x, kind)

    gained = gains(grid)  # (S, n, J)
    later = np.flip(np.logical_or.accumulate(np.flip(gained >= gain, 1), axis=1), 1)
    curve = post.by_skill(grid, gained, prob)
    curve["p_saturated"] = (~later).mean(0).T.ravel()
    gain_of = {"params_b": "at"} | {end: f"gain_{end}" for end in _ENDS}
    at_sizes = curve.rename(columns=gain_of).set_index("at")
    parts, points = [], {}
    for j, skill in enumerate(post.skills):
        last = np.where(later[..., j].any(1), later[..., j].sum(1), 0)  # grid points before
        inside = np.clip(last, 1, len(grid) - 1)
        ends = np.stack([grid[inside], grid[inside - 1]], axis=1)  # from saturated, back

        def test(x: np.ndarray, j: int = j) -> np.ndarray:
            return gains(x[:, None])[:, 0, j] >= gain

        point = np.where(last == len(grid), np.inf, bisect(ends, test))
        points[skill] = np.where(last == 0, grid[0], point)
        ends_of_point = dict(zip(_ENDS, order_statistics(points[skill], prob)))
        there = at_sizes[at_sizes["skill"] == skill].loc[asked]
        parts.append(there.reset_index().assign(kind=kind, gain=float(gain), **ends_of_point))
    frame = pd.concat(parts, ignore_index=True)[_COLUMNS]
    messages = []
    if 2 * high > 1.01 * largest:
        messages.append(
            f"a doubling from {high:g}B ends beyond the largest known size, {largest:g}B: "
            "there it relies on the law and on models of unknown size"
        )
    return RatingsSaturation(frame, curve, points, prob, tuple(messages))
