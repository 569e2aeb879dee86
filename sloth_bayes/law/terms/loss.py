"""The loss that size and tokens predict: its two exponents, and their balance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..equations import LOSS
from . import densities
from .base import Array, Given, Term


class _OfLoss(Term):
    """A positive number that inputs depend on: log-normal."""

    spread: ClassVar[float] = 0.3

    def used(self, spec: Any) -> bool:
        """If models are known by their loss."""
        return bool(spec.inputs == "loss")

    def prior(self, at: Any) -> dict[str, Array]:
        """Around what was published."""
        return {self.name: at.log_normal(self.name, LOSS[self.name], self.spread)}

    def log_prior(self, given: Given) -> dict[str, np.ndarray]:
        """Of the number itself."""
        x = np.log(given.values[self.name])
        return {self.name: densities.normal(x, self.spread, np.log(LOSS[self.name])) - x}


class SizeExponent(_OfLoss):
    """``a`` of ``A / size^a``."""

    name = "size_exponent"
    dims: ClassVar = {"size_exponent": ()}


class TokensExponent(_OfLoss):
    """``b`` of ``B / tokens^b``."""

    name = "tokens_exponent"
    dims: ClassVar = {"tokens_exponent": ()}


class Balance(_OfLoss):
    """Tokens a parameter that are best at the compute of the table's typical model.

    They stand for ``A / B``. The prior knows them within a factor of two.
    """

    name = "balance"
    dims: ClassVar = {"balance": ()}
    spread = float(np.log(2))


def of_loss(values: Mapping[str, Array]) -> Mapping[str, Array]:
    """What inputs depend on among the quantities of draws, or before there are any."""
    return values if Balance.name in values else LOSS
