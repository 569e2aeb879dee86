"""Effect of instruction tuning on the skills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from .base import Array, Term


class Instruct(Term):
    """``delta instruct_m``: what tuning adds to each skill."""

    name = "instruct"
    dims: ClassVar = {"instruct": ("skill",)}
    adds_to, times = "skill", "instruct"
    site = "instruct_raw"

    def used(self, spec: Any) -> bool:
        """Unless it is left out."""
        return bool(spec.instruct != "none")

    def scale(self, values: Mapping[str, Array], spec: Any) -> Array:
        """The prior's."""
        return spec.priors.instruct

    def prior(self, at: Any) -> dict[str, Array]:
        """One row."""
        return {self.name: at.rows(self.site, scale=at.spec.priors.instruct)}
