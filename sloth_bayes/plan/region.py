"""Where a budget can go: sizes and tokens that the data support, and those that it buys."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import scipy

from ..errors import DataError
from ..posterior.core import PosteriorDraws
from ..support.intervals import bisect
from .curves import BEYOND, FLOPS, range_of

Cost = Callable[[np.ndarray, np.ndarray], Any]
UNIT = 1e21  # parameters times tokens, in billions times trillions
_POINTS = 97  # along a budget
_TIGHT = 1e-9  # of a logarithm: a point on the edge counts as inside


class Hull:
    """Convex hull of the table's models over log size and log tokens."""

    def __init__(self, post: PosteriorDraws) -> None:
        points = np.log(np.stack([post.constant("params_b"), post.constant("tokens_t")], 1))
        points = points[np.isfinite(points).all(1)]
        try:
            found = scipy.spatial.ConvexHull(points)
        except scipy.spatial.QhullError:
            raise DataError(
                "the models of this fit lie on one line of sizes and tokens, which supports no "
                "choice between them: give params_range= and tokens_range=, or beyond=True"
            ) from None
        self.equations, self.corners = found.equations, points[found.vertices]

    def holds(self, size: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Whether points lie inside, or on the edge."""
        at = np.stack([np.log(size), np.log(tokens)], -1)
        return (at @ self.equations[:, :2].T + self.equations[:, 2] <= 1e-6).all(-1)


class Region(NamedTuple):
    """Where to search: a box, and whether only the hull within it."""

    size: tuple[float, float]
    tokens: tuple[float, float]
    hull: Hull
    in_hull: bool

    @classmethod
    def of(cls, post: PosteriorDraws, params_range: Any, tokens_range: Any, beyond: bool) -> Region:
        """The data's hull, the box that is given, or one that goes beyond the data."""
        box = params_range is not None or tokens_range is not None
        if box and beyond:
            raise DataError(
                "beyond=True chooses the range itself: leave out params_range, tokens_range"
            )
        wide = (BEYOND, BEYOND) if beyond else (1.0, 1.0)
        size = range_of(post, params_range, "params_range", "params_b", *wide)
        tokens = range_of(post, tokens_range, "tokens_range", "tokens_t", *wide)
        return cls(size, tokens, Hull(post), not (box or beyond))

    def holds(self, size: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Whether points lie inside, or on the edge."""
        box = np.ones(np.shape(size), bool)
        for values, ends in ((size, self.size), (tokens, self.tokens)):
            (low, high), at = np.log(ends), np.log(values)
            box &= (at >= low - _TIGHT) & (at <= high + _TIGHT)
        return box & self.hull.holds(size, tokens) if self.in_hull else box

    @property
    def corners(self) -> np.ndarray:
        """Corners, logs of size and tokens."""
        if self.in_hull:
            return self.hull.corners
        return np.log([(s, t) for s in self.size for t in self.tokens])


class Spend:
    """Tokens that a budget leaves to a size, and the sizes that it can be spent on."""

    def __init__(self, cost: Cost | None, region: Region, budget: float) -> None:
        self.cost, self.region, self.budget = cost, region, budget
        if cost is not None and not callable(cost):
            raise DataError("cost must be a function of parameters and tokens, both arrays")

    def price(self, size: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """What models cost, checked."""
        if self.cost is None:
            return FLOPS * UNIT * size * tokens
        size, tokens = np.broadcast_arrays(size, tokens)
        try:
            found = np.asarray(self.cost(size * 1e9, tokens * 1e12), float)
        except Exception as error:
            raise DataError(f"cost fails on arrays of parameters and tokens: {error}") from None
        if found.shape not in (size.shape, ()) or not (np.isfinite(found) & (found > 0)).all():
            raise DataError(
                "cost must return one positive, finite number for each model; it returned "
                f"{np.array2string(found, threshold=4)}"
            )
        return np.broadcast_to(found, size.shape)

    def tokens(self, size: np.ndarray) -> np.ndarray:
        """Trillions of tokens that spend the budget; NaN where none of the range does."""
        if self.cost is None:
            return self.budget / (FLOPS * UNIT * size)
        low, high = (np.full(size.shape, np.log(t)) for t in self.region.tokens)
        least, most = self.price(size, np.exp(low)), self.price(size, np.exp(high))
        if (most <= least).any():
            raise DataError("cost must grow with tokens: at one size, more tokens must cost more")
        possible = (least <= self.budget * (1 + _TIGHT)) & (self.budget <= most * (1 + _TIGHT))
        for _ in range(45):
            middle = 0.5 * (low + high)
            under = self.price(size, np.exp(middle)) < self.budget
            low, high = np.where(under, middle, low), np.where(under, high, middle)
        return np.where(possible, np.exp(0.5 * (low + high)), np.nan)

    def inside(self, size: np.ndarray) -> np.ndarray:
        """Whether the budget can be spent on these sizes, inside the range."""
        tokens = self.tokens(size)
        known = np.isfinite(tokens)
        return known & self.region.holds(size, np.where(known, tokens, 1.0))

    @cached_property
    def line(self) -> np.ndarray:
        """Sizes along the budget (billions), from end to end of what the range allows."""
        grid = np.geomspace(*self.region.size, 800)
        inside = np.flatnonzero(self.inside(grid))
        if not inside.size:
            prices = self.price(*np.exp(self.region.corners).T)
            how = "" if not self.region.in_hull else ", or look beyond the data (beyond=True)"
            raise DataError(
                f"a budget of {self.budget:g} buys no model of the range, whose models cost "
                f"{prices.min():.3g} to {prices.max():.3g}: ask for another budget{how}"
            )
        first, last = int(inside[0]), int(inside[-1])
        if last - first + 1 > inside.size:
            raise DataError(
                f"the sizes that a budget of {self.budget:g} can be spent on have a gap: use a box "
                "(params_range=, tokens_range=) instead of the data's hull"
            )
        outside = grid[[max(first - 1, 0), min(last + 1, 799)]]
        low, high = bisect(np.stack([outside, grid[[first, last]]], 1), self.inside)
        return np.array([low]) if high <= low * (1 + 1e-6) else np.geomspace(low, high, _POINTS)
