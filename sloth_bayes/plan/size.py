"""Decisions about size: how large a model must be, and where growing it stops to pay.

Every question is one of a curve along sizes or tokens (:mod:`sloth_bayes.plan.curves`, which says
what is held fixed and what is random). Nothing is refitted. The same curves serve
:mod:`sloth_bayes.plan.budget`; :mod:`sloth_bayes.plan.compare` compares single models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..errors import DataError, unknown
from ..posterior.core import PosteriorDraws
from ..predict.answer import Answer, central, labelled
from ..skills.tables import Skills
from ..support.checks import check_positive, check_prob, check_probability
from ..support.intervals import order_statistics
from ..support.types import checked
from . import curves
from .curves import Goal, Objective, Way, goal_of, values, who_of


class RequiredSize(Answer):
    """The answer of :meth:`sloth_bayes.Posterior.required_size`.

    ``frame`` has one row: of, target, family, required_b (billions; infinite where no size of the
    range reaches the target with the probability asked for), tokens_t (trillions, at that size),
    probability, p_reachable (that any size of the range reaches it), p_smallest (that the
    smallest of the range does), p_falls (that the curve falls below the target again); median,
    lower and upper of the exact size (billions, infinite where it is not reached), beyond_data
    and prob. ``draws`` holds ``size`` (billions). ``curve`` has params_b, tokens_t, p_reached,
    and median, lower and upper of what is asked for.
    """

    curve: pd.DataFrame

    def plot(self, ax: Any = None) -> np.ndarray[Any, Any]:
        """The curve with its target, and the probability of reaching it; see
        :func:`sloth_bayes.plots.plan.required_size`.
        """
        from ..plots import plan as plots

        return plots.required_size(self, ax=ax)


class Saturation(Answer):
    """The answer of :meth:`sloth_bayes.Posterior.saturation`.

    ``frame`` has a row for each size asked for in `at` (or one row, of none): of, per, gain,
    family, at, p_saturated (that a doubling gains less there and ever after), gain_median,
    gain_lower, gain_upper (of a doubling there), and for all rows median, lower and upper of the
    point of saturation, p_throughout (saturated over the whole range), p_never (not within it),
    unit (``"B"`` or ``"T"``) and prob. ``draws`` holds ``saturation``: the smallest of the range
    where saturated throughout, infinite where never. ``curve`` has the gain of a doubling with
    its interval, and p_saturated, along the range.
    """

    curve: pd.DataFrame

    def plot(self, ax: Any = None) -> np.ndarray[Any, Any]:
        """The gain of a doubling, and the probability of saturation; see
        :func:`sloth_bayes.plots.plan.saturation`.
        """
        from ..plots import plan as plots

        return plots.saturation(self, ax=ax)


# -- questions ----------------------------------------------------------------------------


@checked
def required_size(
    post: PosteriorDraws,
    of: Goal,
    target: float,
    *,
    tokens: float | None = None,
    tokens_per_param: float | None = None,
    probability: float = 0.9,
    family: str | None = None,
    lineage: str | None = None,
    instruct: bool | None = None,
    kind: str | None = None,
    new_family: bool = False,
    noisy: bool = False,
    sizes: tuple[float, float] | None = None,
    prob: float = 0.9,
    seed: int = 0,
    skills: Skills | None = None,
) -> RequiredSize:
    """The smallest size that reaches a target, and how sure we are of it.

    Held fixed: the family and whether it is tuned, and the tokens (or tokens per parameter).
    Random: the posterior, and the effects of a family nobody has seen. With ``noisy=True`` also
    the noise of one evaluation, the same draw at all sizes.

    Scores need not grow with size everywhere. In each draw the exact size is where the curve
    *first* reaches the target, found on a grid of eight sizes a doubling and then by bisection;
    ``p_falls`` says in how many draws it falls below again. The required size is the smallest
    at which the probability of being at or above the target is `probability`, found likewise.

    Parameters
    ----------
    post
        The posterior.
    of
        A benchmark, ``"average"`` (the mean of all benchmarks), a mapping from benchmarks to
        weights (their weighted mean), or a skill (a name of :meth:`Posterior.skills`).
    target
        A score in [0, 1]; for a skill, standard deviations over the models of the table.
    tokens, tokens_per_param
        Trillions of training tokens at every size, or tokens for each parameter (20 after
        Hoffmann et al., 2022): one of the two.
    probability
        How sure to be of reaching the target.
    family, lineage, instruct, kind, new_family
        As :func:`sloth_bayes.candidates` and :meth:`Posterior.forecast` take them; without
        `family`, a family nobody has seen.
    noisy
        Ask for the score of a single evaluation instead of the expected score.
    sizes
        Smallest and largest size to consider, in billions; by default from the smallest of the
        data to ten times the largest.
    prob
        Mass of the interval of the exact size.
    seed
        Seed of what is not in the posterior's draws.
    skills
        The skills whose names `of` may use; ``post.skills()`` by default.

    Returns
    -------
    RequiredSize

    Raises
    ------
    UnknownNameError
        For a benchmark, skill or family that the posterior does not know.
    DataError
        For a target at or below chance or above every draw's upper asymptote, for numbers that
        make no sense, and if not exactly one of `tokens` and `tokens_per_param` is given.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> post = sb.load("leaderboard")
    >>> found = post.required_size("MMLU", 0.7, tokens=15, family="meta-llama-3")
    >>> bool(found.frame["required_b"][0] > found.frame["median"][0])
    True
    """
    post.needs_sizes("a required size")
    prob = check_prob(prob)
    check_probability(probability, "probability")
    goal = goal_of(post, of, skills)
    if noisy and goal.kind == "skill":
        raise DataError("a skill is not evaluated, and has no noise: leave noisy out")
    _check_target(post, goal, target)
    way = curves.way_of("size", tokens, tokens_per_param)
    low, high = curves.range_of(post, sizes, "sizes", "params_b", above=curves.BEYOND)
    who = who_of(post, family, lineage, instruct, kind, new_family, seed, [goal])
    noise = curves.standard_noise(post, who, seed) if noisy else None

    def value(x: np.ndarray) -> np.ndarray:
        return values(post, who, *way.at(x), goal, noise)

    grid = np.geomspace(low, high, curves.points_between(low, high))
    curve = value(grid)
    reached = curve >= target
    size, p_smallest = curves.first_crossing(
        grid, reached, lambda x: value(x[:, None])[:, 0] >= target
    )
    p = reached.mean(0)
    sure, _ = curves.first_crossing(
        grid, p[None] >= probability, lambda x: (value(x) >= target).mean(0) >= probability
    )
    required = float(sure[0])
    falls = (np.maximum.accumulate(reached, 1) & ~reached).any(1).mean()
    beyond = math.isfinite(required) and bool(way.beyond(post, np.array([required]))[0])
    frame = pd.DataFrame(
        {
            "of": goal.name, "target": float(target), "family": who.name,
            "required_b": required,
            "tokens_t": float(way.at(np.array([required]))[1][0]),
            "probability": probability, "p_reachable": float(reached.any(1).mean()),
            "p_smallest": p_smallest, "p_falls": float(falls), **_exact(size, prob),
            "beyond_data": beyond, "prob": prob,
        },
        index=[0],
    )  # fmt: skip
    notes = list(who.notes)
    if not math.isfinite(required):
        notes.append(
            f"{goal.name} reaches {target:g} with probability {p.max():.2f} at best between {low:g}"
            f"B and {high:g}B: not reachable within the range with probability {probability:g}"
        )
    if beyond:
        notes.append(f"{required:.3g}B lies beyond the data: the answer relies on the law")
    if falls > 0.01:
        notes.append(
            f"in {falls:.0%} of the draws {goal.name} falls below the target again at some larger "
            "size: the exact size is where it is first reached"
        )
    out = RequiredSize(post, frame, labelled(post, size=size), prob, notes, goal.skill_name)
    out.curve = _curve_frame(grid, way, curve, prob).assign(p_reached=p)
    return out


@checked
def saturation(
    post: PosteriorDraws,
    of: Goal,
    gain: float = 0.01,
    *,
    per: str = "doubling of size",
    tokens: float | None = None,
    params: float | None = None,
    tokens_per_param: float | None = None,
    at: float | Sequence[float] | None = None,
    family: str | None = None,
    lineage: str | None = None,
    instruct: bool | None = None,
    kind: str | None = None,
    new_family: bool = False,
    within: tuple[float, float] | None = None,
    prob: float = 0.9,
    seed: int = 0,
    skills: Skills | None = None,
) -> Saturation:
    """The size (or tokens) beyond which one more doubling gains less than an amount.

    Held fixed: the family, whether it is tuned, and the tokens (the size, where tokens are
    doubled), or the tokens per parameter: then a doubling of one is a doubling of both. Random:
    the posterior, and the effects of a family nobody has seen. There is no noise: gains are of
    expected scores.

    The point of saturation is the last of the range where a doubling still gains as much as
    `gain`; near chance gains are small as well, but not *beyond* it. With the other input fixed,
    the gain in a *skill* is the same at every size (the law is linear in its logarithm), so a
    skill is saturated throughout or never; its benchmarks still saturate at their ceilings.

    Parameters
    ----------
    post
        The posterior.
    of
        A benchmark, ``"average"``, a mapping from benchmarks to weights, or a skill.
    gain
        In score (0.01 is one point); for a skill, in standard deviations.
    per
        ``"doubling of size"`` or ``"doubling of tokens"``.
    tokens, params, tokens_per_param
        What is fixed: `tokens` (trillions) where size is doubled, `params` (billions) where
        tokens are, or tokens per parameter.
    at
        Sizes in billions (tokens in trillions, where these are doubled) to ask about.
    family, lineage, instruct, kind, new_family
        As in :func:`required_size`.
    within
        The range to consider, in the units of `at`; by default from the smallest of the data to
        ten times the largest.
    prob
        Mass of the intervals.
    seed
        Seed of what is not in the posterior's draws.
    skills
        The skills whose names `of` may use; ``post.skills()`` by default.

    Returns
    -------
    Saturation

    Raises
    ------
    UnknownNameError
        For a benchmark, skill, family or `per` that is not known.
    DataError
        For a gain that is not positive, or that no doubling can reach; for an `at` outside the
        range; and if not exactly one thing is held fixed.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> post = sb.load("leaderboard")
    >>> found = post.saturation("HellaSwag", 0.01, tokens=15, at=[7, 70], family="meta-llama-3")
    >>> bool(found.frame["p_saturated"].is_monotonic_increasing)
    True
    """
    post.needs_sizes("a point of saturation")
    prob = check_prob(prob)
    axis = str(per).removeprefix("doubling of ")
    if axis not in ("size", "tokens"):
        raise unknown("kind of doubling", per, ["doubling of size", "doubling of tokens"])
    goal = goal_of(post, of, skills)
    check_positive(gain, "gain", "in score (0.01 is one point), or standard deviations of a skill")
    _check_gain(post, goal, gain)
    if axis == "tokens" and post.spec.inputs == "size":
        raise DataError("this law has no tokens: ask for a doubling of size")
    if axis == "size":
        column, unit, moves, fixed = "params_b", "B", ("params", params), ("tokens", tokens)
    else:
        column, unit, moves, fixed = "tokens_t", "T", ("tokens", tokens), ("params", params)
    if moves[1] is not None:
        raise DataError(f"a {per} moves {moves[0]}: hold {fixed[0]} fixed, or tokens_per_param")
    way = curves.way_of(axis, fixed[1], tokens_per_param)
    low, high = curves.range_of(post, within, "within", column, above=curves.BEYOND)
    asked = _asked(at, low, high)
    who = who_of(post, family, lineage, instruct, kind, new_family, seed, [goal])

    def value(x: np.ndarray) -> np.ndarray:
        return values(post, who, *way.at(x), goal)

    def gains(x: np.ndarray) -> np.ndarray:
        # of the law: a walk, whose steps have mean zero, stands where it has come to
        return values(post, who, *way.at(2 * x), goal, stands=way.at(x)) - value(x)

    grid = np.geomspace(low, high, curves.points_between(low, high))
    curve = gains(grid)
    enough = curve >= gain
    # From the far end, the first point that still gains enough: mirrored, a first crossing
    last, p_never = curves.first_crossing(
        grid[::-1], enough[:, ::-1], lambda x: gains(x[:, None])[:, 0] >= gain, missing=0.0
    )
    ends = enough[:, -1]
    point = np.where(ends, np.inf, np.where(last == 0, low, last))
    p_throughout = float((last == 0).mean())
    exact = _exact(point, prob)
    there = gains(asked) if asked.size else np.full((len(point), 1), np.nan)
    frame = pd.DataFrame(
        {
            "of": goal.name, "per": f"doubling of {axis}", "gain": float(gain),
            "family": who.name, "at": asked if asked.size else [np.nan],
            "p_saturated": [float((point <= x).mean()) for x in asked] or [np.nan],
            **central(there, prob, "gain_"), **exact, "p_throughout": p_throughout,
            "p_never": p_never, "unit": unit, "prob": prob,
        }
    )  # fmt: skip
    notes = list(who.notes)
    bent = ("flops", "loss")
    if goal.kind == "skill" and way.ratio is None and post.spec.inputs not in bent:
        notes.append(
            f"with {'tokens' if axis == 'size' else 'the size'} fixed, a doubling adds the same to "
            "a skill everywhere: it is saturated throughout or never"
        )
    if p_never > 0.01:
        notes.append(f"in {p_never:.0%} of the draws it is not saturated at {high:g}{unit}")
    if p_throughout > 0.01:
        notes.append(
            f"in {p_throughout:.0%} of the draws it is saturated already at {low:g}{unit}: those "
            "count as saturating there"
        )
    middle, largest = exact["median"], post.extent(column)[1]
    if math.isfinite(middle) and middle > largest * 1.0001:
        notes.append(f"the median, {middle:.3g}{unit}, lies beyond the data: it relies on the law")
    out = Saturation(post, frame, labelled(post, saturation=point), prob, notes, goal.skill_name)
    p = (point[:, None] <= grid).mean(0)
    out.curve = _curve_frame(grid, way, curve, prob).assign(p_saturated=p)
    return out


# -- small things ---------------------------------------------------------------------------


def _asked(at: Any, low: float, high: float) -> np.ndarray:
    if at is None:
        return np.zeros(0)
    try:
        asked = np.atleast_1d(np.asarray(at, float))
    except (TypeError, ValueError):
        raise DataError(f"at must be a number or a list of numbers, not {at!r}") from None
    if asked.ndim > 1 or asked.size == 0 or not ((asked >= low) & (asked <= high)).all():
        raise DataError(f"at must lie within the range considered, {low:g} to {high:g}, not {at!r}")
    return asked


def _check_target(post: PosteriorDraws, goal: Objective, target: Any) -> None:
    if not isinstance(target, int | float | np.number) or not math.isfinite(target):
        raise DataError(f"the target must be a number, not {target!r}")
    if goal.kind == "skill":
        return
    if not 0 <= target <= 1:
        raise DataError(f"the target must be a score between 0 and 1 (0.8 for 80%), not {target:g}")
    chance = float(post.constant("chance") @ goal.weights)
    if target <= chance:
        raise DataError(
            f"the target {target:g} is not above chance, which is {chance:.3g} for {goal.name}: "
            "guessing reaches it"
        )
    top = post.merged["upper"] @ goal.weights
    if target >= top.max():
        raise DataError(
            f"the target {target:g} lies above the upper asymptote of {goal.name} in every draw "
            f"(median {np.median(top):.3f}, at most {top.max():.3f}): no size reaches it"
        )


def _check_gain(post: PosteriorDraws, goal: Objective, gain: float) -> None:
    if goal.kind == "skill":
        return
    span = (post.merged["upper"] - post.merged["lower"]) @ goal.weights
    if gain >= span.max():
        raise DataError(
            f"a gain of {gain:g} is more than the whole range of {goal.name}, "
            f"{np.median(span):.2f}: ask for less (0.01 is one point)"
        )


def _exact(x: np.ndarray, prob: float) -> dict[str, float]:
    """Median and ends of where each draw reaches something, which may be infinite."""
    return dict(zip(("median", "lower", "upper"), order_statistics(x, prob)))


def _curve_frame(grid: np.ndarray, way: Way, curve: np.ndarray, prob: float) -> pd.DataFrame:
    size, tokens = way.at(grid)
    return pd.DataFrame({"params_b": size, "tokens_t": tokens, **central(curve, prob)})
