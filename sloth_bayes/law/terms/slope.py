"""Effect of size and tokens on the skills, the same for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..equations import INPUTS
from .base import Array, Term


class Slope(Term):
    """``beta x_m``: what a doubling of each input adds to each skill."""

    name = "slope"
    dims: ClassVar = {"slope": ("input", "skill")}
    adds_to, times = "skill", "inputs"
    site = "slope_raw"

    def used(self, spec: Any) -> bool:
        """Where there are inputs."""
        return bool(INPUTS[spec.inputs])

    def scale(self, values: Mapping[str, Array], spec: Any) -> Array:
        """``(1, P, 1)``."""
        return np.array(spec.input_scales)[None, :, None]

    def prior(self, at: Any) -> dict[str, Array]:
        """Independent rows, of each input's own scale."""
        return {self.name: at.rows(self.site, "input", spread=at.input_scales)}
