"""Curves of a score, a weighted mean of scores, or a skill, along sizes or tokens, in every draw.

Held fixed along a curve: the family with its effects, whether it is tuned, and the effect of the
single model, if the law has one; sizes therefore share their uncertainty. A walk goes on along the
curve, as far as its models are known and then at random, straight between whole doublings. Random:
every parameter of the posterior; and the family's own effects, drawn from the population, where the
family is new. One evaluation serves all draws and points.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..errors import DataError, SpecError, unknown
from ..law import equations, terms
from ..law.terms import Effects
from ..law.terms.mixture_weight import MixtureWeight
from ..posterior.core import PosteriorDraws
from ..predict.candidates import (
    candidates,
    completed,
    never_seen,
    of_another_kind,
    unfounded,
)
from ..predict.forecast import mean_weights
from ..predict.new_effects import effects_of, key_of, rng_of
from ..skills.find import skills as find_skills
from ..skills.rotated_draws import skill_draws
from ..skills.tables import Skills
from ..support.checks import check_positive, interval
from ..support.intervals import bisect
from ..support.spelling import check_amount

AVERAGE = "average"
NEW_FAMILY = "new family"
BEYOND = 10.0  # times the largest of the data: how far a range goes by default
FLOPS = 6.0  # of training, per parameter and token
_PER_DOUBLING = 8  # points of a curve
_REACH = 40  # doublings that a walk is followed beyond the models of its family

Goal = str | Mapping[str, float]
Function = Callable[[np.ndarray], np.ndarray]  # of sizes or tokens, or of their logs


# -- what is asked about, of whom, and along what ----------------------------------------------


class Objective(NamedTuple):
    """What a curve is of: a weighted mean of expected scores, or a skill."""

    name: str
    kind: str  # "benchmark", "scores" or "skill"
    weights: np.ndarray  # (J,), of sum one; zeros for a skill
    skill: tuple[np.ndarray, np.ndarray] | None = None  # centre and column of its transform, (S, d)

    @property
    def skill_name(self) -> list[str]:
        """The name, if it is a skill's."""
        return [self.name] if self.kind == "skill" else []


def goal_of(post: PosteriorDraws, of: Goal, skills: Skills | None = None) -> Objective:
    """What is asked about, by name or by weights."""
    names = post.benchmarks
    if isinstance(of, Mapping):
        return _weighted(names, of)
    if not isinstance(of, str):
        raise DataError(f"of names a benchmark or a skill, or has weights, not {type(of).__name__}")
    if of == AVERAGE and of not in names:
        return Objective(AVERAGE, "scores", np.full(len(names), 1 / len(names)))
    if of in names:
        return Objective(of, "benchmark", np.eye(len(names))[names.index(of)])
    found = find_skills(post) if skills is None else skills
    if found.posterior is not post or len(found.kept) != post.n_draws:
        raise DataError("skills= must be all draws of this posterior: post.skills() without draws=")
    if of not in found.names:
        raise unknown("benchmark or skill", of, [*names, AVERAGE, *found.names])
    k = found.names.index(of)
    skill = found.merged("centre"), found.merged("transform")[..., k]
    return Objective(of, "skill", np.zeros(len(names)), skill)


def _weighted(names: list[str], weights: Mapping[str, float]) -> Objective:
    each = mean_weights(names, weights)
    kind = "benchmark" if (each > 0).sum() == 1 else "scores"
    return Objective(named(weights), kind, each)


def named(weights: Mapping[str, float]) -> str:
    """What a weighted mean is called."""
    return " + ".join(f"{w:g} {name}" for name, w in weights.items())


class Course(NamedTuple):
    """A coefficient that follows from steps, known where a family's models are and at steps on."""

    at: np.ndarray  # (K,) of the column that its term reads, in order
    values: np.ndarray  # (S, K, d)

    def between(self, where: np.ndarray) -> np.ndarray:
        """The coefficient ``(S, G, d)`` at places ``(G,)`` or ``(S, G)``, straight between."""
        right = np.clip(np.searchsorted(self.at, where), 1, len(self.at) - 1)
        share = (where - self.at[right - 1]) / (self.at[right] - self.at[right - 1])
        share = np.clip(share, 0.0, 1.0)[..., None]
        draws = np.arange(len(self.values))[:, None]
        return (1 - share) * self.values[draws, right - 1] + share * self.values[draws, right]


class Who(NamedTuple):
    """Effects of one family, draw by draw, along a curve."""

    name: str
    effects: Effects  # of one model
    courses: Mapping[str, Course]  # by term
    notes: list[str]


def who_of(
    post: PosteriorDraws,
    family: str | None,
    lineage: str | None = None,
    instruct: bool | None = None,
    kind: str | None = None,
    new_family: bool = False,
    seed: int = 0,
    goals: Sequence[Objective] = (),
) -> Who:
    """Effects of a family of the table, or of one nobody has seen, as a forecast draws them.

    Its notes say which benchmarks of the goals a forecast would warn of.
    """
    if "drift" in post.merged:
        raise SpecError(
            "a law of training curves (residual='curve') drifts along a run: ask its forecast, "
            "not a plan"
        )
    size, tokens = np.exp(post.constant("centre"))
    row = candidates(
        NEW_FAMILY if family is None else family, size, tokens,
        lineage=lineage, instruct=instruct, kind=kind, model="planned",
    )  # fmt: skip
    rows = completed(post, row, new_family or family is None)
    effects = effects_of(post, rows, seed).wide()
    of = [b for b, *w in zip(post.benchmarks, *(goal.weights for goal in goals)) if any(w)]
    notes = [*map(str, unfounded(post, rows, of)), *of_another_kind(post, rows)]
    notes += never_seen(post, rows)
    if rows.get(MixtureWeight.times, np.zeros(1))[0] > 0:
        notes.append(
            f"{rows['family'][0]} are mixtures of experts, and sizes of a plan are those of dense "
            "models: ask a forecast with total_params_b (--total) for both sizes"
        )
    name = str(rows["family"][0])
    courses = {
        term.name: _course(post, rows, term, seed)
        for term in terms.reading(post.spec)
        if term.reach({term.reads: np.zeros(1)}, np.zeros(1)) is not None
    }
    return Who(name, effects, courses, notes)


def _course(post: PosteriorDraws, row: pd.DataFrame, term: terms.Term, seed: int) -> Course:
    """Where the models of a family are, or the typical one, and steps of one on either side."""
    column = post.constant(term.reads).astype(float)
    known = np.unique(column[post.constant("family_of_model").astype(str) == row["family"][0]])
    known = known if known.size else np.array([column.mean()])
    on = np.arange(1.0, _REACH + 1)
    at = np.concatenate([known[0] - on[::-1], known, known[-1] + on])
    rows = row.loc[row.index.repeat(len(at))].reset_index(drop=True)
    rows = rows.assign(model=[f"planned-{k}" for k in range(len(at))], **{term.reads: at})
    return Course(at, effects_of(post, rows, seed).of[term.name].astype(float))


class Way(NamedTuple):
    """A way through sizes and tokens: one of them moves, the other is fixed or in proportion."""

    axis: str  # which moves, "size" or "tokens"
    held: float | None
    ratio: float | None  # tokens per parameter

    def at(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sizes (billions) and tokens (trillions) where what moves is `x`."""
        if self.held is not None:
            other = np.full_like(x, self.held)
        else:
            assert self.ratio is not None
            other = x * self.ratio / 1e3 if self.axis == "size" else x * 1e3 / self.ratio
        return (x, other) if self.axis == "size" else (other, x)

    def beyond(self, post: PosteriorDraws, x: np.ndarray) -> np.ndarray:
        """Whether size or tokens leave the range of the data there."""
        out = np.zeros(x.shape, bool)
        columns = ["params_b", "tokens_t"][: 1 if post.spec.inputs == "size" else 2]
        for column, given in zip(columns, self.at(x)):
            low, high = post.extent(column)
            out |= (given < low * 0.9999) | (given > high * 1.0001)
        return out


def way_of(axis: str, held: float | None, ratio: float | None) -> Way:
    """The way through sizes (or tokens) that the user has asked for."""
    name, unit = ("tokens", "trillions") if axis == "size" else ("params", "billions")
    if (held is None) == (ratio is None):
        raise DataError(f"give {name}= (--{name}, in {unit}) or tokens_per_param=, and not both")
    if held is not None:
        check_amount(held, name, "tokens_t" if axis == "size" else "params_b")
    if ratio is not None:
        check_positive(ratio, "tokens_per_param", "tokens for each parameter, such as 20")
    return Way(axis, held, ratio)


def range_of(
    post: PosteriorDraws, given: Any, name: str, column: str, below: float = 1, above: float = 1
) -> tuple[float, float]:
    """The range that is given, or that of the data, wider by factors below and above."""
    low, high = post.extent(column)
    return (low / below, high * above) if given is None else interval(given, name)


def values(
    post: PosteriorDraws,
    who: Who,
    size: np.ndarray,
    tokens: np.ndarray,
    goal: Objective,
    noise: np.ndarray | None = None,
    stands: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """The objective at sizes and tokens, for all draws at once.

    Parameters
    ----------
    size, tokens
        Billions and trillions: ``(G,)``, common to all draws, or ``(S, G)``.
    noise
        ``(S, J)`` standardised noise of an evaluation; the expected score without.
    stands
        Sizes and tokens to which walks have come; those of the curve by default.

    Returns
    -------
    numpy.ndarray, shape ``(S, G)``
        In double precision.
    """
    size, tokens, *there = np.broadcast_arrays(size, tokens, *(stands or (size, tokens)))
    out = np.empty((post.n_draws, size.shape[-1]))
    for block in post.blocks(size.shape[-1]):
        effects = _along(post, who, *(a[..., block] for a in (size, tokens, *there)))
        if goal.skill is not None:
            centre, column = goal.skill
            theta = skill_draws(post, effects) - centre[:, None]
            out[:, block] = (theta * column[:, None]).sum(-1)
            continue
        mu, fraction = post.expected(effects)
        if noise is not None:
            mu = np.clip(mu + post.noise_sd(mu, fraction) * noise[:, None], 0.0, 1.0)
        out[:, block] = mu @ goal.weights
    return out


def _along(
    post: PosteriorDraws,
    who: Who,
    size: np.ndarray,
    tokens: np.ndarray,
    stands_size: np.ndarray,
    stands_tokens: np.ndarray,
) -> Effects:
    """The effects of one family at many sizes: what does not walk broadcasts over them."""
    centre = post.constant("centre")
    loss = terms.of_loss(post.merged)
    logs = np.log(size), np.log(tokens)
    x = equations.raw_inputs(post.spec.inputs, *logs, centre, np, values=loss)
    frame = pd.DataFrame({"params_b": stands_size.ravel(), "tokens_t": stands_tokens.ravel()})
    walks = {
        name: walk.between(terms.TERMS[name].column(frame).reshape(stands_size.shape))
        for name, walk in who.courses.items()
    }
    return dataclasses.replace(who.effects, inputs=x, of={**who.effects.of, **walks})


def standard_noise(post: PosteriorDraws, who: Who, seed: int) -> np.ndarray:
    """Standardised noise of one evaluation on every benchmark, ``(S, J)``."""
    rng = rng_of(key_of(seed, "planned noise", who.name))
    shape = (post.n_draws, len(post.benchmarks))
    return post.spec.observation.draw(rng, shape)


# -- crossings ----------------------------------------------------------------------------


def points_between(low: float, high: float) -> int:
    """Points of a grid of eight a doubling."""
    return max(2, math.ceil(_PER_DOUBLING * math.log2(high / low)) + 1)


def first_crossing(
    grid: np.ndarray,
    reached: np.ndarray,
    test: Function,
    missing: float = math.inf,
) -> tuple[np.ndarray, float]:
    """Where each draw is first reached along the grid, and how often at its very start."""
    at, any_ = reached.argmax(1), reached.any(1)
    ends = np.stack([grid[np.maximum(at - 1, 0)], grid[at]], axis=1)
    exact = bisect(ends, test)
    start = any_ & (at == 0)
    out = np.where(any_, np.where(start, grid[0], exact), missing)
    return out, float(start.mean())
