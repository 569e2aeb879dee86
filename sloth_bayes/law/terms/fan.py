"""Efficient families gain more, or less, from a doubling than others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from .base import Array, Effects, Term


class Fan(Term):
    """``alpha_f (c . x_m)``: the effect of a family grows with size and tokens, or shrinks.

    Slopes that go with the intercept, at the price of one number an input.
    """

    name = "fan"
    dims: ClassVar = {"fan": ("input",)}
    adds_to, times = "skill", "inputs"

    def used(self, spec: Any) -> bool:
        """If slopes fan out."""
        return bool(spec.slopes in ("fan", "fan-tuned"))

    def prior(self, at: Any) -> dict[str, Array]:
        """Of each input in proportion to the prior of its own effect."""
        return {self.name: self.scale({}, at.spec)[0] * at.normal("fan_raw", "input")}

    def scale(self, values: Mapping[str, Array], spec: Any) -> Array:
        """``(1, P)``."""
        return spec.priors.fan * np.array(spec.input_scales)[None] / spec.priors.doubling

    def added(self, coefficient: Array, who: Effects) -> Array:
        """In proportion to the family's own effect."""
        gain = (who.inputs @ coefficient[..., None])[..., 0]
        return gain[..., None] * who.of["family_effect"]
