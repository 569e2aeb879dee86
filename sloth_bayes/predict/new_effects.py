"""Effects of models that nobody has seen: of their family where it is known, or drawn.

Draws are keyed by the seed and by what they belong to, so that they depend neither on the
order of the models nor on what else is asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..law import equations
from ..posterior.core import PosteriorDraws, draws_together
from ..posterior.effects import Effects


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
        size, tokens = (post.constant(c).astype(float).tolist() for c in ("params_b", "tokens_t"))
        models = zip(post.models, post.constant("family_of_model").astype(str), size, tokens)
        return cls(
            {name: i for i, name in enumerate(post.families)},
            {name: i for i, name in enumerate(post.lineages)},
            {key: i for i, key in enumerate(models)},
            post.constant("centre"),
        )

    def place(self, row: Any) -> int | None:
        """Where a candidate is among the models of the fit, if it is one of them."""
        return self.model.get((row.model, row.family, float(row.params_b), float(row.tokens_t)))


def effects_of(
    post: PosteriorDraws, rows: pd.DataFrame, seed: int, known: Known | None = None
) -> Effects:
    """Family, lineage and model effects of the candidates, drawn where not in the posterior."""
    known = known or Known.of(post)
    v, spec, p = post.merged, post.spec, post.spec.priors
    input_scales = np.array(spec.input_scales, np.float32)[:, None]

    def kept(name: str, at: int | None, scale: Any, kind: str, *owner: str) -> np.ndarray:
        """What the posterior keeps at a place, or a new draw, keyed by whom it belongs to."""
        if at is not None:
            return v[name][:, at]
        shape = (post.n_draws, *v[name].shape[2:])
        return scale * rng_of(key_of(seed, kind, *owner)).standard_normal(shape, np.float32)

    def parts(share: str) -> tuple[np.ndarray, np.ndarray]:
        """What a lineage and a family contribute, as factors of the standard deviation."""
        of_lineage = v.get(share, np.zeros(post.n_draws, np.float32))[:, None]
        return np.sqrt(of_lineage), np.sqrt(1 - of_lineage)

    def of(family: str, lineage: str) -> tuple[Any, ...]:
        """Effect, residual, drift and deviation of the slope of a family."""
        f, k = known.family.get(family), known.lineage.get(lineage)
        residual = drift = slope = None
        up, own = parts("lineage_share")
        if spec.intercept == "shared":
            effect = np.zeros((post.n_draws, v["loading"].shape[-1]), np.float32)
        else:
            effect = kept("family_effect", f, own, "family", family)
            if f is None:
                effect = p.family * effect
                if "lineage_effect" in v:
                    scale = p.family * up
                    effect = effect + kept("lineage_effect", k, scale, "lineage", lineage)
        if "residual" in v:
            tau, (up, own) = v["residual_scale"], parts("residual_share")
            residual = kept("residual", f, tau * own, "residual", family)
            if f is None and "residual_lineage" in v:
                residual = residual + kept(
                    "residual_lineage", k, tau * up, "residual lineage", lineage
                )
            if "drift" in v:
                drift = kept("drift", f, v["drift_share"][:, None] * tau, "drift", family)
        if "slope_lineage" in v:
            relative = input_scales / np.float32(p.doubling)
            scale = v["slope_scale"][:, None, None] * relative
            slope = kept("slope_lineage", k, scale, "slope", lineage)
        elif "slope_family" in v:
            slope = kept("slope_family", f, input_scales, "slope", family)
        return effect, residual, drift, slope

    def stack(each: Sequence[Any]) -> Any:
        """``(S, M, ...)`` from M times ``(S, ...)``, with draws together in memory, or None."""
        return None if each[0] is None else draws_together(np.stack(each, axis=1))

    pairs = dict(zip(rows["family"], rows["lineage"]))
    of_family = {family: of(family, lineage) for family, lineage in pairs.items()}
    each = zip(*(of_family[family] for family in rows["family"]))
    effect, residual, drift, slope = (stack(part) for part in each)
    model_effect = None
    if "model_effect" in v:
        scale = v["model_scale"][:, None]
        model_effect = stack(
            [
                kept("model_effect", known.place(row), scale, "model", *identity(row))
                for row in rows.itertuples()
            ]
        )
    size, tokens = np.log(rows[["params_b", "tokens_t"]].to_numpy(float)).T
    inputs = equations.raw_inputs(spec.inputs, size, tokens, known.centre, np).astype(np.float32)
    if drift is not None:
        residual = residual + drift * inputs[:, equations.TOKENS, None]
    return Effects(
        inputs=inputs,
        instruct=rows["instruct"].to_numpy(bool).astype(np.float32),
        family=effect,
        residual=residual,
        slope_deviation=slope,
        model_effect=model_effect,
    )
