"""Sizes and tokens that a table does not say, and what models then count as."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..equations import raw_inputs
from .base import Array, Given, Term
from .loss import of_loss
from .mixture_weight import effective


class UnknownInputs(Term):
    """``log size_m ~ Normal(mean, sd)``, ``log tokens_m ~ Normal(a + b log size_m, s)``.

    Mean and sd are those of the known ones, the regression is theirs
    (:class:`sloth_bayes.model.arrays.Unknown`).
    """

    name = "unknown_inputs"
    dims: ClassVar = {"params_b": ("of_unknown_size",), "tokens_t": ("of_unknown_tokens",)}

    def used(self, spec: Any) -> bool:
        """If inputs depend on parameters."""
        return bool(
            spec.unknown_inputs == "latent" or spec.mixtures == "effective" or spec.inputs == "loss"
        )

    def prior(self, at: Any) -> dict[str, Array]:
        """Also ``inputs`` (M, P) of all models."""
        unknown = at.arrays.unknown
        if unknown is None:
            return {}
        out: dict[str, Array] = {}
        size, tokens = at.xp.asarray(unknown.log_size), at.xp.asarray(unknown.log_tokens)
        if at.n.unknown[0]:
            mean, sd = unknown.of_size
            found = mean + sd * at.normal("params_raw", "of_unknown_size")
            size = size.at[unknown.size].set(found)
            out["params_b"] = at.xp.exp(found)
        if at.n.unknown[1]:
            intercept, slope, sd = unknown.of_tokens
            around = intercept + slope * size[unknown.tokens]
            found = around + sd * at.normal("tokens_raw", "of_unknown_tokens")
            tokens = tokens.at[unknown.tokens].set(found)
            out["tokens_t"] = at.xp.exp(found)
        size = effective(size, at.values, at.arrays.columns)
        loss = of_loss(at.values)
        inputs = raw_inputs(at.spec.inputs, size, tokens, unknown.centre, at.xp, values=loss)
        return out | {"inputs": inputs}

    def log_prior(self, given: Given) -> dict[str, np.ndarray]:
        """Left out: what the table says of the others."""
        return {}
