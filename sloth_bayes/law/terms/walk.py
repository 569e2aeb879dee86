"""How a family leaves the law: a random walk in doublings of compute."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ..equations import INPUTS, TOKENS, doublings_of_compute
from . import densities
from .base import Array, Given, Owner, Population, Term


class Walk(Term):
    """``w_m``: 0 at a family's smallest model, ``Normal(0, walk_scale^2)`` more a doubling.

    Increments between models next to each other in compute (active parameters times tokens)
    are independent. Near an observed model it is known, far away it is not, and since it is of
    skills, averages over benchmarks are as uncertain as that.

    Of skills, each walks by itself and the scale is in units of skill. Of compute there is one
    walk a family, in doublings: what its models count as above (or below) the compute they had,
    along what a doubling does to the skills of the typical model.
    """

    name = "walk"
    dims: ClassVar = {"walk_scale": (), "walk": ("model", "skill")}
    adds_to, of = "skill", "model"
    site = "walk_raw"
    guesses = True

    def used(self, spec: Any) -> bool:
        """Unless it is left out."""
        return bool(spec.walk != "none")

    @property
    def reads(self) -> str:
        """Doublings of compute, by which models are ordered."""
        return "compute"

    def column(self, frame: pd.DataFrame) -> np.ndarray:
        """Doublings of a billion parameters times a trillion tokens."""
        return doublings_of_compute(frame["params_b"], frame["tokens_t"])

    def reach(self, columns: Mapping[str, np.ndarray], family: np.ndarray) -> np.ndarray:
        """Roots of the doublings of the steps that lead to each model."""
        after, before, doublings = _steps(np.asarray(columns["compute"]), np.asarray(family))
        found = np.zeros((len(family), int((doublings > 0).sum())), np.float32)
        number = 0
        for model, previous, length in zip(after, before, doublings):
            found[model] = found[previous]
            if length > 0:
                found[model, number] = math.sqrt(length)
                number += 1
        return found

    def prior(self, at: Any) -> dict[str, Array]:
        """Steps are independent of their scale."""
        scale = at.half_normal("walk_scale", _prior(at.spec))
        reach = at.arrays.reach[self.name]
        steps = reach.shape[1]
        if not steps:  # no family has two models
            return {"walk_scale": scale, self.name: at.xp.zeros((at.n.models, at.n.skills))}
        if _one(at.spec):
            raw = at.normal(self.site, ("step", steps))[:, None]
        else:
            raw = at.rows(self.site, ("step", steps), spread=at.xp.ones(steps))
        return {"walk_scale": scale, self.name: scale * (reach @ raw) * _along(at.values, at.spec)}

    def scale(self, values: Mapping[str, Array], spec: Any) -> Array:
        """``(S, 1)`` or ``(S, d)``, of a doubling."""
        return values["walk_scale"][:, None] * _along(values, spec)

    def drawn(self, shape: tuple[int, ...], spec: Any) -> tuple[int, ...]:
        """One number for all skills, or one for each."""
        return (*shape[:-1], 1) if _one(spec) else shape

    def turned(self, sites: Mapping[str, Array], move: Array, back: Array) -> Array:
        """Of compute it has nothing to do with the coordinates of skills."""
        raw = sites[self.site]
        return raw if raw.ndim == 1 else super().turned(sites, move, back)

    def log_prior(self, given: Given) -> dict[str, np.ndarray]:
        """Of the scale, and of each increment."""
        v, spec = given.values, given.spec
        after, before, doublings = _steps(given.columns["compute"], given.family)
        moved = doublings > 0
        step = v[self.name][:, after[moved]] - v[self.name][:, before[moved]]
        if _one(spec):  # back to doublings
            along = _along(v, spec)
            step = step @ (along / (along**2).sum(-1, keepdims=True))[..., None]
        scale = v["walk_scale"][:, None, None] * np.sqrt(doublings[moved])[:, None]
        return {
            "walk_scale": densities.half_normal(v["walk_scale"], _prior(spec)),
            self.name: densities.total(densities.normal(step, scale)),
        }

    def unseen(self, population: Population, owner: Owner) -> np.ndarray:
        """On from the nearest model of the family, or between two of them.

        Models of one family that are drawn lie on one path, whatever else is asked (if not
        `alike`: then each has the law of its point on it, by draws that all have in common). That
        of a family without any model begins at the compute of the typical model.
        """
        v, spec, normal, family, columns, alike = population
        (name,), here = owner.names["family"], owner.columns["compute"]
        scale, shape = self.scale(v, spec), v[self.name].shape[2:]
        width = self.drawn(shape, spec)

        def drawn(*key: str) -> np.ndarray:
            return scale * normal(width, self.name, name, *key)

        def between(left: np.ndarray, right: np.ndarray, share: float, length: float) -> np.ndarray:
            noise = drawn("between", *([] if alike else [repr(round(here, 6))]))
            return left + share * (right - left) + math.sqrt(share * (1 - share) * length) * noise

        def away(start: np.ndarray, doublings: float, side: str) -> np.ndarray:
            if alike:
                return start + math.sqrt(doublings) * drawn("away")
            whole = int(doublings)
            for k in range(whole):
                start = start + drawn(side, str(k))
            if doublings == whole:
                return start
            return between(start, start + drawn(side, str(whole)), doublings - whole, 1.0)

        at = np.flatnonzero(family == name)
        at = at[np.argsort(columns["compute"][at], kind="stable")]
        known = columns["compute"][at].astype(float)
        start = np.zeros((len(v[self.name]), *shape), np.float32)
        if not at.size:
            typical = float(np.mean(columns["compute"]))
            return away(start, abs(here - typical), "up" if here >= typical else "down")
        if here <= known[0]:
            return away(start, known[0] - here, "down")
        if here >= known[-1]:
            return away(v[self.name][:, at[-1]], here - known[-1], "up")
        right = int(np.searchsorted(known, here, side="right"))
        smaller, larger = (v[self.name][:, at[k]] for k in (right - 1, right))
        length = known[right] - known[right - 1]
        return between(smaller, larger, (here - known[right - 1]) / length, length)


def _one(spec: Any) -> bool:
    """Whether there is one walk for all skills."""
    return bool(spec.walk == "compute")


def _prior(spec: Any) -> float:
    """Scale of the prior of the walk's scale."""
    return float(spec.priors.walk_compute if _one(spec) else spec.priors.walk)


def _along(values: Mapping[str, Array], spec: Any) -> Array:
    """What a unit of the walk adds to skills: ``(..., d)``, or 1 where it is a skill's own."""
    if not _one(spec):
        return 1.0
    slope = values["slope"]
    if len(INPUTS[spec.inputs]) == 1:
        return slope[..., 0, :]
    return 0.5 * (slope[..., 0, :] + slope[..., TOKENS, :])  # half of a doubling each


def _steps(compute: np.ndarray, family: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Models with a smaller one in their family, that one, and the doublings between them.

    In the order in which walks go; of models of equal compute the first is the smaller.
    """
    order = np.lexsort((np.arange(len(compute)), compute, family))
    later = np.flatnonzero(family[order][1:] == family[order][:-1]) + 1
    after, before = order[later], order[later - 1]
    return after, before, (compute[after] - compute[before]).astype(float)
