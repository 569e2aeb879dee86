"""A budget, and the size and tokens that it is best spent on.

Held fixed: the budget, which is spent in full; its cost function; the family. Random: the
posterior (and a new family's own effects). Under ``6 N D = budget`` and the translog law a skill,
or the predictor of a benchmark, is a parabola in the logarithm of size along the budget (Maia Polo
et al., 2024, section 4.6 and appendix B): with ``X, Y`` the doublings of size and tokens and
``X + Y = C``,

    b1 X + b2 Y + b3 X Y   has its optimum at   X* = C / 2 + (b1 - b2) / (2 b3)   if b3 > 0,

and otherwise at an end of the range. Weighted scores and other costs have no closed form: a grid
brackets the optimum of every draw, a golden-section search refines it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy.spatial import ConvexHull, QhullError

from ..errors import DataError
from ..posterior.core import PosteriorDraws
from ..predict.answer import Answer
from ..skills.find import skills as find_skills
from ..skills.tables import Skills
from ..support.checks import check_positive, check_prob, interval
from ..support.intervals import lower_and_upper, median_and_ends
from .curves import BEYOND, FLOPS, Goal, Objective, Who, goal_of, values, who_of

Cost = Callable[[np.ndarray, np.ndarray], Any]
_UNIT = 1e21  # parameters times tokens, in billions times trillions
_POINTS = 97  # along a budget
_GOLDEN = (math.sqrt(5) - 1) / 2
_TIGHT = 1e-9  # of a logarithm: a point on the edge counts as inside

# Appendix B, table 2: budget in FLOPs, and of each skill the size (B) and tokens (T).
PAPER_SUPPORT = {"params_range": (0.16, 72.0), "tokens_range": (0.18, 15.0)}
PAPER_SKILLS = ("reasoning", "knowledge", "instruction following")
PAPER_TABLE = {
    1e21: ((0.93, 0.18), (0.16, 1.04), (0.16, 1.04)),
    5.78e21: ((5.36, 0.18), (0.16, 6.02), (0.30, 3.24)),
    3.346e22: ((30.98, 0.18), (0.37, 15.0), (0.72, 7.78)),
    1.936e23: ((72.0, 0.45), (2.15, 15.0), (2.15, 15.0)),
    1.12005e24: ((72.0, 2.59), (12.44, 15.0), (12.44, 15.0)),
    6.48e24: ((72.0, 15.0), (72.0, 15.0), (72.0, 15.0)),
}


class Allocation(Answer):
    """The answer of :meth:`sloth_bayes.Posterior.optimal_allocation`.

    ``frame`` has a row a budget and objective: budget, objective, family; params_b and tokens_t,
    which maximise the *expected* objective, and edge (``"interior"``, the ``"smallest"`` or
    ``"largest"`` size that the range allows, or ``"only"`` where it allows no choice); size_median,
    size_lower, size_upper, tokens_median, tokens_lower and tokens_upper of the optimum of each
    draw (intervals of mass prob); p_interior, p_smallest and p_largest of that optimum;
    p_falls_size and p_falls_tokens, that the objective falls with size, or with tokens, somewhere
    in the range; value, value_lower and value_upper of the objective at params_b and tokens_t;
    regret, what the draw's own optimum would gain over it, expected; beyond_data, whether it lies
    outside the hull of the data; p_beyond, the same of the draw's optimum; prob.

    ``draws`` holds ``params_b``, ``tokens_t`` and ``interior`` over budget and objective;
    ``curves`` the objective, and what is lost beside its best, along each budget.
    """

    curves: pd.DataFrame
    hull: np.ndarray  # (n, 2) corners of the data's hull: billions, trillions

    def plot(self, ax: Any = None) -> np.ndarray[Any, Any]:
        """Optima over size and tokens, and what is lost beside them; see planplots."""
        from ..plots import plan as planplots

        axes: np.ndarray[Any, Any] = planplots.allocation(self, ax=ax)
        return axes


def optimal_allocation(
    post: PosteriorDraws,
    flops: float | Sequence[float],
    objective: Goal | list[Goal] = "average",
    *,
    cost: Cost | None = None,
    params_range: tuple[float, float] | None = None,
    tokens_range: tuple[float, float] | None = None,
    beyond: bool = False,
    family: str | None = None,
    lineage: str | None = None,
    instruct: bool | None = None,
    new_family: bool = False,
    prob: float = 0.9,
    seed: int = 0,
    skills: Skills | None = None,
) -> Allocation:
    """Size and tokens that a budget is best spent on, draw by draw.

    Where the search goes: by default within the convex hull of the table's models over (log size,
    log tokens), where the law is supported; within a box if `params_range` or `tokens_range` is
    given (the other is then the data's); with ``beyond=True`` in a box that goes ten times
    beyond the data either way. ``beyond_data`` and ``p_beyond`` mark what lies outside the hull,
    in every case. The budget is spent in full: see ``p_falls_tokens`` for whether that can hurt.

    A single skill, or a single benchmark, is optimised in the same place in every family, unless
    slopes differ by family; a mean of several is not.

    Parameters
    ----------
    post
        The posterior.
    flops
        Budget or budgets, in FLOPs (or in the unit of `cost`).
    objective
        A benchmark, ``"average"``, a mapping from benchmarks to weights, or a skill; or a list
        of such.
    cost
        Cost of training and using a model, ``cost(params, tokens)`` of arrays of parameters and
        tokens (not billions), which must grow with tokens; ``6 * params * tokens`` FLOPs by
        default. With 2e12 tokens served: ``lambda n, d: 6 * n * d + 2 * n * 2e12``.
    params_range, tokens_range
        Ends of a box: billions of parameters, trillions of tokens.
    beyond
        Search beyond the data.
    family, lineage, instruct, new_family
        As in :func:`sloth_bayes.planning.required_size`.
    prob
        Mass of the intervals.
    seed
        Seed of what is not in the posterior's draws.
    skills
        The skills whose names `objective` may use; ``post.skills()`` by default.

    Returns
    -------
    Allocation

    Raises
    ------
    UnknownNameError
        For a benchmark, skill or family that the posterior does not know.
    DataError
        For a budget or cost that is not positive, a cost that does not grow with tokens, a budget
        that buys no model of the range, and a law that cannot tell size from tokens.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> post = sb.load("leaderboard")
    >>> found = post.optimal_allocation(1e24, "MMLU")
    >>> float((6e21 * found.frame["params_b"] * found.frame["tokens_t"])[0].round(-18))
    1e+24
    """
    prob = check_prob(prob)
    if post.spec.inputs == "flops":
        raise DataError(
            "this law knows size and tokens by their product alone: it cannot tell how to split it"
        )
    budgets = _budgets(flops)
    goals = [goal_of(post, o, skills) for o in _objectives(objective)]
    who = who_of(post, family, lineage, instruct, new_family, seed)
    region = _region(post, params_range, tokens_range, beyond)
    spend = _Spend(cost, region)

    rows, curves, found = [], [], []
    falls = {goal.name: _falls(post, who, goal, region) for goal in goals}
    for budget in budgets:
        line = spend.line(budget)
        for goal in goals:
            log_size, inside, curve = _optimum(post, who, goal, spend, budget, line)
            size = np.exp(log_size)
            tokens = spend.tokens(size, budget)
            best = _best(post, who, goal, spend, budget, line, curve)
            best_tokens = spend.tokens(np.array([best]), budget)
            here = values(post, who, np.array([best]), best_tokens, goal)[:, 0]
            own = values(post, who, size[:, None], tokens[:, None], goal)[:, 0]
            low, high = line[[0, -1]]
            of_size, of_tokens = median_and_ends(size, prob), median_and_ends(tokens, prob)
            edge = (
                "smallest" if best <= low * 1.001 else "largest" if best >= high * 0.999
                else "interior"
            )  # fmt: skip
            edges = ~inside & (len(line) > 1)
            if len(line) == 1:
                edge = "only"
            rows.append(
                {
                    "budget": budget, "objective": goal.name, "family": who.name,
                    "params_b": best, "tokens_t": float(best_tokens[0]), "edge": edge,
                    "size_median": of_size[0], "size_lower": of_size[1], "size_upper": of_size[2],
                    "tokens_median": of_tokens[0], "tokens_lower": of_tokens[1],
                    "tokens_upper": of_tokens[2], "p_interior": float(inside.mean()),
                    "p_smallest": float((edges & (size <= low * 1.001)).mean()),
                    "p_largest": float((edges & (size > low * 1.001)).mean()),
                    "p_falls_size": falls[goal.name][0], "p_falls_tokens": falls[goal.name][1],
                    "value": here.mean(),
                    **dict(zip(("value_lower", "value_upper"), lower_and_upper(here, prob))),
                    "regret": float(np.maximum(own - here, 0).mean()),
                    "beyond_data": not region.hull.holds(np.array([best]), best_tokens)[0],
                    "p_beyond": float((~region.hull.holds(size, tokens)).mean()), "prob": prob,
                }
            )  # fmt: skip
            found.append((size, tokens, inside))
            curves.append(_curve(budget, goal, line, spend, curve, prob))
    frame = pd.DataFrame(rows)
    draws, notes = _draws(post, budgets, goals, found), [*who.notes, *_messages(frame)]
    named = [name for goal in goals for name in goal.skill_name]
    out = Allocation(post, frame, draws, prob, notes, named)
    out.curves = pd.concat(curves, ignore_index=True)
    out.hull = np.exp(region.hull.corners)
    return out


def paper_table(post: PosteriorDraws, prob: float = 0.9) -> pd.DataFrame:
    """Our optima beside those of the paper's table 2, over its support and budgets.

    The paper's skills are ours by their place: reasoning, knowledge, and the third, which in the
    posterior that ships is only partly the paper's instruction following (notebook 03 has the
    congruences); IFEval, which that skill is read by, stands beside it as a benchmark.

    Parameters
    ----------
    post
        The posterior, of three skills and with the benchmark IFEval.
    prob
        Mass of the intervals.

    Returns
    -------
    pandas.DataFrame
        budget, paper_skill, paper_params_b, paper_tokens_t, paper_regret (what the draw's own
        optimum would gain over the paper's size, expected, by our posterior), and the columns of
        :class:`Allocation`, a row a budget and objective.

    Raises
    ------
    DataError
        If the posterior has not three skills and IFEval.
    """
    skills = find_skills(post)
    if len(skills.names) != 3 or "IFEval" not in post.benchmarks:
        raise DataError(
            "the paper's table has three skills: use a posterior with three, and IFEval"
        )
    names = dict(zip(skills.names, PAPER_SKILLS)) | {"IFEval": PAPER_SKILLS[2]}
    support: Any = PAPER_SUPPORT
    answer = optimal_allocation(
        post, list(PAPER_TABLE), list(names), skills=skills, prob=prob, **support
    )
    found = answer.frame
    which = found["objective"].map(names)
    theirs = [PAPER_TABLE[b][PAPER_SKILLS.index(s)] for b, s in zip(found["budget"], which)]
    found.insert(1, "paper_skill", which)
    found.insert(2, "paper_params_b", [size for size, _ in theirs])
    found.insert(3, "paper_tokens_t", [tokens for _, tokens in theirs])
    lines = dict(list(answer.curves.groupby(["budget", "objective"])))
    regret = []
    for (size, _), key in zip(theirs, zip(found["budget"], found["objective"])):
        line = lines[key]
        regret.append(float(np.interp(np.log(size), np.log(line["params_b"]), line["loss"])))
    found.insert(4, "paper_regret", regret)
    return found


# -- where a budget can go --------------------------------------------------------------------


class Hull:
    """Convex hull of the table's models over log size and log tokens."""

    def __init__(self, post: PosteriorDraws) -> None:
        constant = post.constant_data
        points = np.log(np.stack([constant["params_b"].values, constant["tokens_t"].values], 1))
        points = points[np.isfinite(points).all(1)]
        try:
            found = ConvexHull(points)
        except QhullError:
            raise DataError(
                "the models of this fit lie on one line of sizes and tokens, which supports no "
                "choice between them: give params_range= and tokens_range=, or beyond=True"
            ) from None
        self.equations, self.corners = found.equations, points[found.vertices]

    def holds(self, size: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Whether points lie inside, or on the edge."""
        at = np.stack([np.log(size), np.log(tokens)], -1)
        inside = at @ self.equations[:, :2].T + self.equations[:, 2] <= 1e-6
        out: np.ndarray = inside.all(-1)
        return out


class _Region(NamedTuple):
    """Where to search: a box, and whether only the hull within it."""

    size: tuple[float, float]
    tokens: tuple[float, float]
    hull: Hull
    in_hull: bool

    def holds(self, size: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        s, t = np.log(size), np.log(tokens)
        box = (s >= np.log(self.size[0]) - _TIGHT) & (s <= np.log(self.size[1]) + _TIGHT)
        box &= (t >= np.log(self.tokens[0]) - _TIGHT) & (t <= np.log(self.tokens[1]) + _TIGHT)
        return box & self.hull.holds(size, tokens) if self.in_hull else box


def _region(post: PosteriorDraws, params_range: Any, tokens_range: Any, beyond: bool) -> _Region:
    box = params_range is not None or tokens_range is not None
    if box and beyond:
        raise DataError(
            "beyond=True chooses the range itself: leave out params_range, tokens_range"
        )
    ends = []
    for given, name, column in (
        (params_range, "params_range", "params_b"),
        (tokens_range, "tokens_range", "tokens_t"),
    ):
        low, high = post.extent(column)
        wide = BEYOND if beyond else 1.0
        ends.append(interval(given, name) if given is not None else (low / wide, high * wide))
    return _Region(ends[0], ends[1], Hull(post), not (box or beyond))


class _Spend:
    """Tokens that a budget leaves to a size, and the sizes that it can be spent on."""

    def __init__(self, cost: Cost | None, region: _Region) -> None:
        self.cost, self.region = cost, region
        if cost is not None and not callable(cost):
            raise DataError("cost must be a function of parameters and tokens, both arrays")

    def price(self, size: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """What models cost, checked."""
        if self.cost is None:
            return FLOPS * _UNIT * size * tokens
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

    def tokens(self, size: np.ndarray, budget: float) -> np.ndarray:
        """Trillions of tokens that spend the budget; NaN where none of the range does."""
        if self.cost is None:
            return budget / (FLOPS * _UNIT * size)
        low, high = (np.full(size.shape, np.log(t)) for t in self.region.tokens)
        least, most = self.price(size, np.exp(low)), self.price(size, np.exp(high))
        if (most <= least).any():
            raise DataError("cost must grow with tokens: at one size, more tokens must cost more")
        possible = (least <= budget * (1 + _TIGHT)) & (budget <= most * (1 + _TIGHT))
        for _ in range(45):
            middle = 0.5 * (low + high)
            under = self.price(size, np.exp(middle)) < budget
            low, high = np.where(under, middle, low), np.where(under, high, middle)
        return np.where(possible, np.exp(0.5 * (low + high)), np.nan)

    def inside(self, size: np.ndarray, budget: float) -> np.ndarray:
        """Whether the budget can be spent on these sizes, inside the range."""
        tokens = self.tokens(size, budget)
        known = np.isfinite(tokens)
        return known & self.region.holds(size, np.where(known, tokens, 1.0))

    def line(self, budget: float) -> np.ndarray:
        """Sizes along the budget (billions), from end to end of what the range allows."""
        grid = np.geomspace(*self.region.size, 800)
        inside = np.flatnonzero(self.inside(grid, budget))
        if not inside.size:
            least, most = self._ends()
            how = "" if not self.region.in_hull else ", or look beyond the data (beyond=True)"
            raise DataError(
                f"a budget of {budget:g} buys no model of the range, whose models cost {least:.3g} "
                f"to {most:.3g}: ask for another budget{how}"
            )
        first, last = int(inside[0]), int(inside[-1])
        if last - first + 1 > inside.size:
            raise DataError(
                f"the sizes that a budget of {budget:g} can be spent on have a gap: use a box "
                "(params_range=, tokens_range=) instead of the data's hull"
            )
        low = self._edge(grid[first], grid[max(first - 1, 0)], budget)
        high = self._edge(grid[last], grid[min(last + 1, 799)], budget)
        return np.array([low]) if high <= low * (1 + 1e-6) else np.geomspace(low, high, _POINTS)

    def _edge(self, inside: float, outside: float, budget: float) -> float:
        a, b = math.log(inside), math.log(outside)
        for _ in range(40 if a != b else 0):
            middle = 0.5 * (a + b)
            if self.inside(np.exp([middle]), budget)[0]:
                a = middle
            else:
                b = middle
        return math.exp(a)

    def _ends(self) -> tuple[float, float]:
        r = self.region
        corners = r.hull.corners if r.in_hull else np.log(
            [(s, t) for s in r.size for t in r.tokens]
        )  # fmt: skip
        price = self.price(*np.exp(corners).T)
        return float(price.min()), float(price.max())


# -- optima -----------------------------------------------------------------------------------


def coefficients(post: PosteriorDraws, who: Who, goal: Objective) -> np.ndarray | None:
    """Coefficients ``(S, 3)`` of doublings of size, tokens and their product, where linear.

    Of a skill, or of the predictor of a single benchmark, which its score grows with; None for
    weighted scores.
    """
    if goal.kind == "scores":
        return None
    slope = post.merged["slope"].astype(np.float64)
    if who.deviation is not None:
        slope = slope + who.deviation
    if goal.kind == "skill":
        assert goal.column is not None
        direction = goal.column
    else:
        direction = post.merged["loading"][:, int(goal.weights.argmax())]
    found = np.einsum("spk,sk->sp", slope, direction)
    return np.pad(found, ((0, 0), (0, 3 - found.shape[1])))


def closed_form(
    b: np.ndarray, total: float, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """Optimum of ``b1 X + b2 Y + b3 X Y`` on ``X + Y = total``, for X between two ends.

    Parameters
    ----------
    b
        ``(S, 3)`` coefficients.
    total
        Doublings of size and tokens together.
    low, high
        Ends of X, in doublings.

    Returns
    -------
    tuple of numpy.ndarray
        X at the optimum, ``(S,)``, and whether it is interior.

    Examples
    --------
    >>> import numpy as np
    >>> x, interior = closed_form(np.array([[1.0, 2.0, 0.5], [1.0, 2.0, -0.5]]), 4.0, -1.0, 3.0)
    >>> x.tolist(), interior.tolist()
    ([1.0, -1.0], [True, False])
    """
    b1, b2, b3 = b.T
    concave = b3 > 0
    top = total / 2 + (b1 - b2) / (2 * np.where(concave, b3, 1.0))
    inside = concave & (top > low) & (top < high)

    def value(x: float) -> np.ndarray:
        return np.asarray(b1 * x + b2 * (total - x) + b3 * x * (total - x))

    end = np.where(value(high) > value(low), high, low)
    # A parabola that opens downwards is best at the end nearer to its top, which is `end` too.
    return np.where(inside, top, end), inside


def _optimum(
    post: PosteriorDraws,
    who: Who,
    goal: Objective,
    spend: _Spend,
    budget: float,
    line: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log size at the optimum of every draw, whether it is interior, and values on the line."""
    curve = values(post, who, line, spend.tokens(line, budget), goal)
    if len(line) == 1:
        return np.full(len(curve), np.log(line[0])), np.zeros(len(curve), bool), curve
    b = coefficients(post, who, goal)
    if b is not None and spend.cost is None:
        centre = post.constant("centre")
        x = (np.log(line[[0, -1]]) - centre[0]) / math.log(2)
        total = (np.log(budget / (FLOPS * _UNIT)) - centre.sum()) / math.log(2)
        at, inside = closed_form(b, float(total), float(x[0]), float(x[1]))
        return at * math.log(2) + centre[0], inside, curve
    return *search(curve, line, _along_budget(post, who, goal, spend, budget)), curve


def search(
    curve: np.ndarray, line: np.ndarray, value: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Log of where each row of `curve` is largest, refined by `value`; and whether inside."""
    last = len(line) - 1
    top = curve.argmax(1)
    inside = (top > 0) & (top < last)
    logs = np.log(line)
    low, high = logs[np.maximum(top - 1, 0)], logs[np.minimum(top + 1, last)]
    exact = _golden(low, high, value)
    # An end of the line is the optimum unless the neighbourhood has a better point inside.
    end = np.where(top == 0, logs[0], logs[-1])
    better = value(exact) > curve[np.arange(len(curve)), top] + 1e-12
    far = np.abs(exact - end) > 1e-4 * (logs[-1] - logs[0])
    inside = inside | (better & far)
    return np.where(inside, exact, end), inside


def _along_budget(
    post: PosteriorDraws, who: Who, goal: Objective, spend: _Spend, budget: float
) -> Callable[[np.ndarray], np.ndarray]:
    """The objective of each draw at its own log size."""

    def value(log_size: np.ndarray) -> np.ndarray:
        size = np.exp(log_size)
        tokens = spend.tokens(size, budget)
        return values(post, who, size[:, None], tokens[:, None], goal)[:, 0]

    return value


def _golden(
    low: np.ndarray, high: np.ndarray, value: Callable[[np.ndarray], np.ndarray], steps: int = 24
) -> np.ndarray:
    """Golden-section search for a maximum between `low` and `high`, elementwise."""
    a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_a, at_b = value(a), value(b)
    for _ in range(steps):
        left = at_a > at_b
        low, high = np.where(left, low, a), np.where(left, b, high)
        new = np.where(left, high - _GOLDEN * (high - low), low + _GOLDEN * (high - low))
        at_new = value(new)
        a, b = np.where(left, new, b), np.where(left, a, new)
        at_a, at_b = np.where(left, at_new, at_b), np.where(left, at_a, at_new)
    out: np.ndarray = 0.5 * (low + high)
    return out


def _best(
    post: PosteriorDraws,
    who: Who,
    goal: Objective,
    spend: _Spend,
    budget: float,
    line: np.ndarray,
    curve: np.ndarray,
) -> float:
    """The size that maximises the objective averaged over draws."""
    if len(line) == 1:
        return float(line[0])

    def value(log_size: np.ndarray) -> np.ndarray:
        size = np.exp(log_size)
        return values(post, who, size, spend.tokens(size, budget), goal).mean(0)

    at, _ = search(curve.mean(0)[None], line, value)
    return float(np.exp(at[0]))


def _falls(post: PosteriorDraws, who: Who, goal: Objective, region: _Region) -> tuple[float, float]:
    """Probability that the objective falls with size, and with tokens, somewhere in the range."""
    grid = [np.geomspace(*ends, 17) for ends in (region.size, region.tokens)]
    size, tokens = (a.ravel() for a in np.meshgrid(*grid, indexing="ij"))
    b = coefficients(post, who, goal)
    if b is not None:
        corners = region.hull.corners if region.in_hull else np.log(np.stack([size, tokens], 1))
        xy = (corners - post.constant("centre")) / math.log(2)
        # The slope in one input is linear in the other: its least value is at an end.
        ends = [xy.min(0), xy.max(0)]
        return (
            float(((b[:, [0]] + b[:, [2]] * [e[1] for e in ends]) < 0).any(1).mean()),
            float(((b[:, [1]] + b[:, [2]] * [e[0] for e in ends]) < 0).any(1).mean()),
        )
    inside = region.holds(size, tokens).reshape(17, 17)
    surface = values(post, who, size, tokens, goal).reshape(-1, 17, 17)
    out = []
    for axis in (1, 2):
        both = inside.take(range(16), axis - 1) & inside.take(range(1, 17), axis - 1)
        out.append(float(((np.diff(surface, axis=axis) < -1e-6) & both).any((1, 2)).mean()))
    return out[0], out[1]


# -- tables -----------------------------------------------------------------------------------


def _budgets(flops: Any) -> list[float]:
    found = np.atleast_1d(np.asarray(flops, dtype=object)).ravel().tolist()
    if not found:
        raise DataError("there is no budget: give a number of FLOPs, such as 1e24")
    for value in found:
        check_positive(value, "a budget", "FLOPs, such as 1e24")
    return [float(v) for v in dict.fromkeys(found)]


def _objectives(objective: Goal | list[Goal]) -> list[Goal]:
    found = [objective] if isinstance(objective, str | Mapping) else list(objective)
    if not found:
        raise DataError("there is no objective: give a benchmark, a skill, or 'average'")
    return found


def _curve(
    budget: float, goal: Objective, line: np.ndarray, spend: _Spend, curve: np.ndarray, prob: float
) -> pd.DataFrame:
    middle, low, high = median_and_ends(curve, prob)
    # What is lost beside the best, which all draws share less of than of the level
    lost = curve.max(1, keepdims=True) - curve
    lost_low, lost_high = lower_and_upper(lost, prob)
    return pd.DataFrame(
        {
            "budget": budget, "objective": goal.name, "params_b": line,
            "tokens_t": spend.tokens(line, budget), "mean": curve.mean(0), "median": middle,
            "lower": low, "upper": high, "loss": lost.mean(0), "loss_lower": lost_low,
            "loss_upper": lost_high,
        }
    )  # fmt: skip


def _draws(
    post: PosteriorDraws, budgets: list[float], goals: list[Objective], found: list[Any]
) -> xr.Dataset:
    group = post.tree["posterior"]
    shape = (len(budgets), len(goals), group.sizes["chain"], group.sizes["draw"])
    dims = ("chain", "draw", "budget", "objective")
    variables = {
        name: (dims, np.stack([one[i] for one in found]).reshape(shape).transpose(2, 3, 0, 1))
        for i, name in enumerate(("params_b", "tokens_t", "interior"))
    }
    coords: dict[str, Any] = {k: group[k].values for k in ("chain", "draw")}
    coords |= {"budget": budgets, "objective": [goal.name for goal in goals]}
    return xr.Dataset(variables, coords=coords)


def _messages(frame: pd.DataFrame) -> list[str]:
    out = []
    for row in frame.to_dict("records"):
        what = f"{row['objective']} at {row['budget']:.4g}"
        if row["edge"] in ("smallest", "largest"):
            out.append(
                f"{what}: the answer is an edge of the range, its {row['edge']} size "
                f"({row['params_b']:.3g}B), not an optimum of the law"
            )
        elif row["edge"] == "only":
            out.append(f"{what}: the budget buys one model of the range, and there is no choice")
        if row["beyond_data"]:
            out.append(f"{what}: {row['params_b']:.3g}B on {row['tokens_t']:.3g}T tokens lies "
                       "outside the hull of the data: it relies on the law")  # fmt: skip
    return out
