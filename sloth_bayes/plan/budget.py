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

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..errors import DataError
from ..law import terms
from ..posterior.core import PosteriorDraws
from ..predict.answer import Answer, central, labelled
from ..skills.rotated_draws import skill_draws
from ..skills.tables import Skills
from ..support.checks import check_positive, check_prob
from ..support.intervals import lower_and_upper
from ..support.types import checked
from .curves import FLOPS, Function, Goal, Objective, Who, goal_of, values, who_of
from .region import UNIT, Cost, Region, Spend

_GOLDEN = (math.sqrt(5) - 1) / 2


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
        """Optima over size and tokens, and what is lost beside them; see
        :func:`sloth_bayes.plots.plan.allocation`.
        """
        from ..plots import plan as plots

        return plots.allocation(self, ax=ax)


@checked
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
    kind: str | None = None,
    new_family: bool = False,
    prob: float = 0.9,
    seed: int = 0,
    skills: Skills | None = None,
) -> Allocation:
    """Size and tokens that a budget is best spent on, draw by draw.

    Experimental: of 30 budgets that a real grid of runs spent on several sizes, the best of these
    was inside our 90% interval in 7; a rule of 20 tokens a parameter lost 0.58 points by its
    choices, the recommended law 1.04. A law of ``inputs="loss"`` lost 0.50 on budgets that it had
    not seen, and its intervals hold no more (``python -m studies.overtraining``).

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
    family, lineage, instruct, kind, new_family
        As in :meth:`sloth_bayes.Posterior.required_size`.
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
    post.needs_sizes("the split of a budget over size and tokens")
    prob = check_prob(prob)
    if post.spec.inputs == "flops":
        raise DataError(
            "this law knows size and tokens by their product alone: it cannot tell how to split it"
        )
    budgets = _budgets(flops)
    goals = [goal_of(post, o, skills) for o in _objectives(objective)]
    who = who_of(post, family, lineage, instruct, kind, new_family, seed, goals)
    region = Region.of(post, params_range, tokens_range, beyond)
    spends = [Spend(cost, region, budget) for budget in budgets]

    rows, curves, found = [], [], []
    falls = [_falls(post, who, goal, region) for goal in goals]
    for spend in spends:
        line = spend.line
        for goal, (p_falls_size, p_falls_tokens) in zip(goals, falls):
            along = _Along(post, who, goal, spend)
            curve = along.at(line)
            log_size, inside = along.optimum(curve)
            size = np.exp(log_size)
            tokens = spend.tokens(size)
            best = along.best(curve)
            best_tokens = spend.tokens(best)
            here = along.at(best)[:, 0]
            edges = ~inside & (len(line) > 1)
            smallest = line[0] * 1.001
            edge = (
                "only" if len(line) == 1
                else "smallest" if best[0] <= smallest
                else "largest" if best[0] >= line[-1] * 0.999
                else "interior"
            )  # fmt: skip
            rows.append(
                {
                    "budget": spend.budget, "objective": goal.name, "family": who.name,
                    "params_b": float(best[0]), "tokens_t": float(best_tokens[0]), "edge": edge,
                    **central(size, prob, "size_"), **central(tokens, prob, "tokens_"),
                    "p_interior": float(inside.mean()),
                    "p_smallest": float((edges & (size <= smallest)).mean()),
                    "p_largest": float((edges & (size > smallest)).mean()),
                    "p_falls_size": p_falls_size, "p_falls_tokens": p_falls_tokens,
                    "value": here.mean(),
                    **dict(zip(("value_lower", "value_upper"), lower_and_upper(here, prob))),
                    "regret": float(np.maximum(along.own(log_size) - here, 0).mean()),
                    "beyond_data": not region.hull.holds(best, best_tokens)[0],
                    "p_beyond": float((~region.hull.holds(size, tokens)).mean()), "prob": prob,
                }
            )  # fmt: skip
            found.append((size, tokens, inside))
            curves.append(along.frame(curve, prob))
    frame = pd.DataFrame(rows)
    labels = {"budget": budgets, "objective": [goal.name for goal in goals]}
    shape = (-1, len(budgets), len(goals))
    params_b, tokens_t, interior = (np.stack(each, -1).reshape(shape) for each in zip(*found))
    draws = labelled(post, labels, params_b=params_b, tokens_t=tokens_t, interior=interior)
    notes = [*who.notes, *_messages(frame)]
    named = [name for goal in goals for name in goal.skill_name]
    out = Allocation(post, frame, draws, prob, notes, named)
    out.curves, out.hull = pd.concat(curves, ignore_index=True), np.exp(region.hull.corners)
    return out


# -- optima -----------------------------------------------------------------------------------


def coefficients(post: PosteriorDraws, who: Who, goal: Objective) -> np.ndarray | None:
    """Coefficients ``(S, 3)`` of doublings of size, tokens and their product, where linear.

    Of a skill, or of the predictor of a single benchmark, which its score grows with; None for
    weighted scores.
    """
    if goal.kind == "scores" or post.spec.inputs == "loss":
        return None
    # The law is linear in its inputs: what each adds is the value at 1 less that at 0.
    n = who.effects.inputs.shape[-1]
    at = dataclasses.replace(who.effects, inputs=np.eye(n + 1, n, k=-1))
    benchmark = int(goal.weights.argmax()) if goal.skill is None else 0
    direction = post.merged["loading"][:, benchmark] if goal.skill is None else goal.skill[1]
    value = np.einsum("smk,sk->sm", skill_draws(post, at), direction)
    added = terms.residuals(post.merged, at)
    if goal.skill is None and added is not None:
        value = value + added[..., benchmark]
    found = value[:, 1:] - value[:, :1]
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


class _Along(NamedTuple):
    """One objective along one budget, in every draw."""

    post: PosteriorDraws
    who: Who
    goal: Objective
    spend: Spend

    def at(self, size: np.ndarray) -> np.ndarray:
        """The objective at sizes ``(G,)``, ``(S, G)``."""
        return values(self.post, self.who, size, self.spend.tokens(size), self.goal)

    def own(self, log_size: np.ndarray) -> np.ndarray:
        """The objective of each draw at a size of its own, ``(S,)``."""
        size = np.exp(log_size)
        each = size[:, None], self.spend.tokens(size)[:, None]
        return values(self.post, self.who, *each, self.goal)[:, 0]

    def optimum(self, curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log size at the optimum of every draw, and whether it is interior."""
        line = self.spend.line
        if len(line) == 1:
            return np.full(len(curve), np.log(line[0])), np.zeros(len(curve), bool)
        b = coefficients(self.post, self.who, self.goal)
        if b is None or self.spend.cost is not None:
            return search(curve, line, self.own)
        centre = self.post.constant("centre")
        low, high = (np.log(line[[0, -1]]) - centre[0]) / math.log(2)
        total = (np.log(self.spend.budget / (FLOPS * UNIT)) - centre.sum()) / math.log(2)
        at, inside = closed_form(b, float(total), float(low), float(high))
        return at * math.log(2) + centre[0], inside

    def best(self, curve: np.ndarray) -> np.ndarray:
        """The size ``(1,)`` that maximises the objective averaged over draws."""
        line = self.spend.line
        if len(line) == 1:
            return line
        at, _ = search(curve.mean(0)[None], line, lambda x: self.at(np.exp(x)).mean(0))
        return np.exp(at)

    def frame(self, curve: np.ndarray, prob: float) -> pd.DataFrame:
        """The objective along the budget, and what is lost beside its best."""
        line = self.spend.line
        # What is lost, which all draws share less of than of the level
        lost = curve.max(1, keepdims=True) - curve
        return pd.DataFrame(
            {
                "budget": self.spend.budget, "objective": self.goal.name, "params_b": line,
                "tokens_t": self.spend.tokens(line), "mean": curve.mean(0),
                **central(curve, prob), "loss": lost.mean(0),
                **dict(zip(("loss_lower", "loss_upper"), lower_and_upper(lost, prob))),
            }
        )  # fmt: skip


def search(curve: np.ndarray, line: np.ndarray, value: Function) -> tuple[np.ndarray, np.ndarray]:
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


def _golden(low: np.ndarray, high: np.ndarray, value: Function) -> np.ndarray:
    """Golden-section search for a maximum between `low` and `high`, elementwise."""
    a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_a, at_b = value(a), value(b)
    for _ in range(24):
        left = at_a > at_b
        low, high = np.where(left, low, a), np.where(left, b, high)
        new = np.where(left, high - _GOLDEN * (high - low), low + _GOLDEN * (high - low))
        at_new = value(new)
        a, b = np.where(left, new, b), np.where(left, a, new)
        at_a, at_b = np.where(left, at_new, at_b), np.where(left, at_a, at_new)
    return 0.5 * (low + high)


def _falls(post: PosteriorDraws, who: Who, goal: Objective, region: Region) -> tuple[float, float]:
    """Probability that the objective falls with size, and with tokens, somewhere in the range."""
    b = coefficients(post, who, goal)
    if b is not None:
        xy = (region.corners - post.constant("centre")) / math.log(2)
        # The slope in one input is linear in the other: its least value is at an end.
        least, most = xy.min(0), xy.max(0)
        slopes = (b[:, [i]] + b[:, [2]] * [least[1 - i], most[1 - i]] for i in (0, 1))
        of_size, of_tokens = (float((slope < 0).any(1).mean()) for slope in slopes)
        return of_size, of_tokens
    grid = [np.geomspace(*ends, 17) for ends in (region.size, region.tokens)]
    size, tokens = (a.ravel() for a in np.meshgrid(*grid, indexing="ij"))
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
