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
from ..posterior.core import PosteriorDraws, draws_together
from ..posterior.effects import Effects


def identity(row: Any) -> tuple[str, ...]:
    """What a candidate is: draws that belong to it alone are keyed by this."""
    return (
        row.model, row.family, row.lineage, str(bool(row.instruct)),
        repr(float(row.params_b)), repr(float(row.tokens_t)),
    )  # fmt: skip


def key_of(seed: int, *parts: str) -> int:
    digest = hashlib.blake2b("\x1f".join([str(int(seed)), *parts]).encode(), digest_size=16)
    return int.from_bytes(digest.digest(), "little")


def rng_of(key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(key))


class Known(NamedTuple):
    """Where the posterior keeps what it knows of a family, a lineage, a model."""

    family: dict[str, int]
    lineage: dict[str, int]
    model: dict[tuple[str, str, float, float], int]  # by name, family, size and tokens
    centre: np.ndarray

    @classmethod
    def of(cls, post: PosteriorDraws) -> Known:
        constant = post.constant_data
        models = zip(
            post.models,
            constant["family_of_model"].values.astype(str),
            constant["params_b"].values.astype(float).tolist(),
            constant["tokens_t"].values.astype(float).tolist(),
        )
        return cls(
            {name: i for i, name in enumerate(post.families)},
            {name: i for i, name in enumerate(post.lineages)},
            {key: i for i, key in enumerate(models)},
            constant["centre"].values,
        )


def effects_of(
    post: PosteriorDraws, rows: pd.DataFrame, seed: int, known: Known | None = None
) -> Effects:
    """Family, lineage and model effects of the candidates, drawn where not in the posterior."""
    known = known or Known.of(post)
    v, spec, p = post.merged, post.spec, post.spec.priors
    draws, d, n_inputs = post.n_draws, v["loading"].shape[-1], v["slope"].shape[-2]
    n_bench = v["loading"].shape[-2]
    share = v["lineage_share"] if "lineage_share" in v else np.zeros(draws, np.float32)

    def normal(kind: str, name: str, *shape: int) -> np.ndarray:
        return rng_of(key_of(seed, kind, name)).standard_normal((draws, *shape), dtype=np.float32)

    def columns(share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.sqrt(share)[:, None], np.sqrt(1 - share)[:, None]

    def stack(each: list[np.ndarray]) -> np.ndarray:
        """``(S, M, ...)`` from M times ``(S, ...)``, with draws together in memory."""
        return draws_together(np.stack(each, axis=1))

    # One entry per distinct family: those of the posterior, or new draws.
    family_of: dict[str, np.ndarray] = {}
    residual_of: dict[str, np.ndarray] = {}
    slope_of: dict[str, np.ndarray] = {}
    pairs = dict(zip(rows["family"], rows["lineage"]))
    for family, lineage in pairs.items():
        f, k = known.family.get(family), known.lineage.get(lineage)
        if spec.intercept == "shared":
            family_of[family] = np.zeros((draws, d), np.float32)
        elif f is not None:
            family_of[family] = v["family_effect"][:, f]
        else:
            up, own = columns(share)
            whole = own * normal("family", family, d)
            if "lineage_effect" in v:
                whole = p.family * whole + (
                    v["lineage_effect"][:, k]
                    if k is not None
                    else p.family * up * normal("lineage", lineage, d)
                )
            else:
                whole = p.family * whole
            family_of[family] = whole
        if "residual" in v:
            if f is not None:
                residual_of[family] = v["residual"][:, f]
            else:
                tau = v["residual_scale"]
                part = v.get("residual_share", np.zeros(draws, np.float32))
                up, own = columns(part)
                whole = tau * own * normal("residual", family, n_bench)
                if "residual_lineage" in v:
                    whole = whole + (
                        v["residual_lineage"][:, k]
                        if k is not None
                        else tau * up * normal("residual lineage", lineage, n_bench)
                    )
                residual_of[family] = whole
        if "slope_lineage" in v:
            if k is not None:
                slope_of[family] = v["slope_lineage"][:, k]
            else:
                relative = np.array(spec.input_scales, np.float32) / np.float32(p.doubling)
                scale = v["slope_scale"][:, None, None] * relative[:, None]
                slope_of[family] = scale * normal("slope", lineage, n_inputs, d)
        elif "slope_family" in v:
            if f is not None:
                slope_of[family] = v["slope_family"][:, f]
            else:
                scale = np.array(spec.input_scales, np.float32)[:, None]
                slope_of[family] = scale * normal("slope", family, n_inputs, d)

    model_effect = None
    if "model_effect" in v:
        each = []
        for row in rows.itertuples():
            at = known.model.get((row.model, row.family, float(row.params_b), float(row.tokens_t)))
            if at is not None:
                each.append(v["model_effect"][:, at])
            else:
                noise = rng_of(key_of(seed, "model", *identity(row))).standard_normal(
                    (draws, d), dtype=np.float32
                )
                each.append(v["model_scale"][:, None] * noise)
        model_effect = stack(each)

    order = rows["family"]

    def gather(table: dict[str, np.ndarray]) -> np.ndarray | None:
        return stack([table[f] for f in order]) if table else None

    inputs = equations.raw_inputs(
        spec.inputs,
        np.log(rows["params_b"].to_numpy(float)),
        np.log(rows["tokens_t"].to_numpy(float)),
        known.centre,
        np,
    ).astype(np.float32)
    family, residual = gather(family_of), gather(residual_of)
    assert family is not None
    if residual is not None and "drift" in v:
        scale = v["drift_share"][:, None] * v["residual_scale"]
        drift = [
            v["drift"][:, known.family[f]] if f in known.family
            else scale * normal("drift", f, n_bench)
            for f in order
        ]  # fmt: skip
        residual = residual + stack(drift) * inputs[:, equations.TOKENS, None]
    return Effects(
        inputs=inputs,
        instruct=rows["instruct"].to_numpy(bool).astype(np.float32),
        family=family,
        residual=residual,
        slope_deviation=gather(slope_of),
        model_effect=model_effect,
    )
