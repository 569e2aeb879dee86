"""Effect of a family on its skills: how efficient it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from .base import Array, Given, Nested


class Family(Nested):
    """``alpha_f ~ Normal(a_l, (1 - rho) I)`` around its lineage's ``a_l ~ Normal(0, rho I)``.

    Unit variance defines the unit of skill. The lineage's part, which data reach only through
    the families', is integrated out of the density.
    """

    name = "family_effect"
    dims: ClassVar = {
        "lineage_share": (),
        "lineage_effect": ("lineage", "skill"),
        "family_effect": ("family", "skill"),
    }
    adds_to = "skill"
    site, key = "family_raw", "family"
    lineage, share, lineage_key = "lineage_effect", "lineage_share", "lineage"

    def used(self, spec: Any) -> bool:
        """Always: 0 where families do not differ."""
        return True

    def free(self, spec: Any) -> bool:
        """Whether families differ."""
        return bool(spec.intercept != "shared")

    def common(self, spec: Any) -> bool:
        """Unless it fans out (:class:`~sloth_bayes.law.terms.fan.Fan`)."""
        return bool(spec.slopes not in ("fan", "fan-tuned"))

    def prior(self, at: Any) -> dict[str, Array]:
        """A joint block: families of one lineage are correlated."""
        if not self.free(at.spec):
            return {self.name: at.xp.zeros((at.n.families, at.n.skills))}
        share = at.share(self.share)
        out = {} if share is None else {self.share: share}
        lineage, effect = at.nested_skills(self.site, at.spec.priors.family, share)
        if lineage is not None:
            out[self.lineage] = lineage
        return out | {self.name: effect}

    def log_prior(self, given: Given) -> dict[str, np.ndarray]:
        """Nothing where families do not differ."""
        return super().log_prior(given) if self.free(given.spec) else {}

    def scale(self, values: Mapping[str, Array], spec: Any) -> Array:
        """The prior's, or 0."""
        return spec.priors.family if self.free(spec) else 0.0
