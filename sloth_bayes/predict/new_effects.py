"""Effects of models that nobody has seen: of their family where it is known, or drawn.

Draws are keyed by the seed and by what they belong to, so that they depend neither on the
order of the models nor on what else is asked.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..law import equations
from ..law.terms import TERMS, Effects, Owner, Population, Term, columns_of, effective, of_loss
from ..posterior.core import PosteriorDraws, draws_together


def identity(row: Any) -> tuple[str, ...]:
    """What a candidate is: draws that belong to it alone are keyed by this."""
    return (
        row.model, row.family, row.lineage, str(bool(row.instruct)),
        repr(float(row.params_b)), repr(float(row.tokens_t)),
    )  # fmt: skip


def key_of(seed: int, *parts: str) -> int:
    """A number for what a draw belongs to: the same in every process."""
    digest = hashlib.blake2b("\x1f".join([str(int(seed)), *parts]).encode(), digest_size=16)
    return int.from_bytes(digest.digest(), "little")


def rng_of(key: int) -> np.random.Generator:
    """The generator of a key."""
    return np.random.Generator(np.random.PCG64(key))


class Known(NamedTuple):
    """Where the posterior keeps what it knows of a family, a lineage, a model."""

    family: dict[str, int]
    lineage: dict[str, int]
    model: dict[tuple[str, str, float, float], int]  # by name, family, size and tokens
    centre: np.ndarray

    @classmethod
    def of(cls, post: PosteriorDraws) -> Known:
        """The places of a posterior."""
        size, tokens = (
            np.nan_to_num(post.constant(c).astype(float)).tolist() for c in ("params_b", "tokens_t")
        )
        models = zip(post.models, post.constant("family_of_model").astype(str), size, tokens)
        return cls(
            {name: i for i, name in enumerate(post.families)},
            {name: i for i, name in enumerate(post.lineages)},
            {key: i for i, key in enumerate(models)},
            post.constant("centre"),
        )

    def place(self, row: Any) -> int | None:
        """Where a candidate is among the models of the fit, if it is one of them."""
        size, tokens = np.nan_to_num([row.params_b, row.tokens_t]).tolist()
        return self.model.get((row.model, row.family, size, tokens))


def effects_of(
    post: PosteriorDraws,
    rows: pd.DataFrame,
    seed: int,
    known: Known | None = None,
    *,
    alike: bool = False,
) -> Effects:
    """Effects of the candidates: what the posterior keeps of them, or new draws.

    With `alike`, candidates that differ in size and tokens only share all draws, and their own
    coefficients follow size and tokens smoothly.
    """
    known = known or Known.of(post)
    v, spec = post.merged, post.spec

    def normal(shape: tuple[int, ...], *owner: str) -> np.ndarray:
        rng = rng_of(key_of(seed, *owner))
        return rng.standard_normal((post.n_draws, *shape), np.float32)

    family = post.constant("family_of_model").astype(str)
    kept = {name: post.constant(name) for name in columns_of(spec)}
    population = Population(v, spec, normal, family, kept, alike)

    def coefficient(term: Term, owner: Owner) -> np.ndarray:
        place = owner.places[term.of]
        return v[term.name][:, place] if place is not None else term.unseen(population, owner)

    def stacked(term: Term) -> np.ndarray:
        """``(S, M, ...)``, with draws together in memory; one draw an owner."""
        found: dict[tuple[str, ...], np.ndarray] = {}
        names = [owner.names[term.of] for owner in owners]
        if alike and term.of == "model":  # of one name, and yet each at its place
            names = [(*n, *map(repr, owner.columns.values())) for n, owner in zip(names, owners)]
        for name, owner in zip(names, owners):
            if name not in found:
                found[name] = coefficient(term, owner)
        return draws_together(np.stack([found[name] for name in names], axis=1))

    owners = [_owner(row, known, columns_of(spec), alike) for row in rows.itertuples()]
    size, tokens = np.log(rows[["params_b", "tokens_t"]].to_numpy(float)).T
    columns = {name: rows[name].to_numpy(np.float32) for name in columns_of(spec)}
    size, tokens = np.broadcast_arrays(effective(size, v, columns), tokens)
    inputs = equations.raw_inputs(spec.inputs, size, tokens, known.centre, np, values=of_loss(v))
    return Effects(
        inputs=inputs.astype(np.float32),
        columns=columns,
        of={name: stacked(term) for name, term in TERMS.items() if term.of and name in v},
    )


def _owner(row: Any, known: Known, columns: list[str], alike: bool) -> Owner:
    """Whose coefficients a candidate has."""
    model = identity(row)[:-2] if alike else identity(row)
    return Owner(
        {"family": (row.family,), "lineage": (row.lineage,), "model": model},
        {
            "family": known.family.get(row.family),
            "lineage": known.lineage.get(row.lineage),
            "model": known.place(row),
        },
        {name: float(getattr(row, name)) for name in columns},
    )
