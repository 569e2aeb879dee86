"""What priors are written with: named sites, in plates, and the coordinates of skills."""

from __future__ import annotations

import contextlib
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any
from zlib import crc32

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from ..law.spec import Spec
from .arrays import Arrays
from .distributions import (
    NestedResiduals,
    NestedSkills,
    Nesting,
    Rows,
    Share,
    Triangle,
    above_zero,
    nested_complete,
    shortfall_of,
)

if TYPE_CHECKING:
    from .loadings import Sizes


class Sites:
    """Sample sites of one draw; a term's prior is given one (:mod:`sloth_bayes.law.terms`).

    Plates are named by the posterior's dimensions, the last one innermost.

    Attributes
    ----------
    xp
        The namespace of arrays, ``jax.numpy``.
    spec, n, arrays
        The specification, static sizes and the table's arrays.
    unit : Triangle
        Anchor units per unit of skill.
    values : dict
        What has been sampled so far.
    """

    xp = jnp

    def __init__(
        self, spec: Spec, n: Sizes, arrays: Arrays, unit: Triangle, key: Any = None
    ) -> None:
        self.spec, self.n, self.arrays, self.unit = spec, n, arrays, unit
        self.values: dict[str, Any] = {}
        self._key = key

    # -- independent -----------------------------------------------------------------------

    def sample(self, site: str, law: dist.Distribution, *dims: str | tuple[str, int]) -> Any:
        """Sample independently along the dimensions; of others than the posterior's, with size."""
        with contextlib.ExitStack() as plates:
            for place, dim in zip(range(-len(dims), 0), dims):
                name, size = (dim, self._size(dim)) if isinstance(dim, str) else dim
                plates.enter_context(numpyro.plate(name, size, dim=place))
            return numpyro.sample(site, law)

    def _size(self, dim: str) -> int:
        n = self.n
        known = {
            "benchmark": n.benchmarks, "family": n.families, "lineage": n.lineages,
            "model": n.models, "input": n.inputs, "skill": n.skills,
            "of_unknown_size": n.unknown[0], "of_unknown_tokens": n.unknown[1],
        }  # fmt: skip
        return known[dim]

    def normal(self, site: str, *dims: str | tuple[str, int]) -> Any:
        """Standard normals."""
        return self.sample(site, dist.Normal(0.0, 1.0), *dims)

    def half_normal(self, site: str, scale: float) -> Any:
        """A half-normal."""
        return self.sample(site, dist.HalfNormal(scale))

    def log_normal(self, site: str, median: float, spread: float) -> Any:
        """A log-normal, of a standard deviation of its log."""
        return self.sample(site, dist.LogNormal(math.log(median), spread))

    def beta(self, site: str, a: float, b: float) -> Any:
        """A share of one."""
        return self.sample(site, Share(a, b))

    def rows(
        self, site: str, *dims: str | tuple[str, int], spread: Any = 1.0, scale: float = 1.0
    ) -> Any:
        """Normal effects on the skills, in anchor units, of a common `scale`.

        `spread` broadcasts over the dimensions.
        """
        return self.sample(site, Rows(self.unit.times(scale), spread), *dims)

    def above_zero(self, site: str, loc: Any, scale: Any, *dims: str) -> Any:
        """Normal truncated to positive values, through a standard normal site."""
        return above_zero(self.normal(site, *dims), loc, scale, jnp)

    def shortfall(self, site: str, mean: Any, *dims: str) -> Any:
        """``Beta(1, 1 / mean - 1)``, through a standard normal site."""
        return shortfall_of(self.normal(site, *dims), mean, jnp)

    @cached_property
    def input_scales(self) -> Any:
        """Prior scale of each input's effect ``(P,)``, in units of skill."""
        return np.array(self.spec.input_scales)

    @cached_property
    def models_of_lineage(self) -> Any:
        """Models of each lineage ``(L,)`` that have a score."""
        seen = (jnp.asarray(self.arrays.observed).sum(1) > 0).astype(float)
        return jnp.zeros(self.n.lineages).at[self.arrays.lineage_of_model].add(seen)

    # -- families within lineages ----------------------------------------------------------

    def share(self, site: str) -> Any:
        """The share of the variance that is the lineage's; None without lineages."""
        if self.spec.intercept != "lineage":
            return None
        mean = self.spec.priors.lineage_share
        return self.beta(site, 4 * mean, 4 * (1 - mean))

    def _key_of(self, site: str) -> Any:
        """A key for what a site leaves out, if it is to be drawn."""
        return None if self._key is None else jax.random.fold_in(self._key, crc32(site.encode()))

    def nested_skills(self, site: str, scale: float, share: Any) -> tuple[Any, Any]:
        """Effects of lineages and families on the skills, in anchor units.

        What data reach only through other parameters is integrated out: the lineages' part
        (None), and the effects of families without scores (0). With a key they are drawn.
        """
        triangle = self.unit.times(scale)
        known = (self.arrays.count.sum(1, keepdims=True) > 0).astype(float)
        prior = NestedSkills(triangle, known, share, self.lineages)
        raw = numpyro.sample(site, prior)
        key = self._key_of(site)
        if key is None:
            return None, jnp.where(known > 0, raw, 0.0)
        w, wide = prior.standardise(raw), jnp.broadcast_to(known, raw.shape)
        lineage, w = nested_complete(key, w, wide, share, self.lineages)
        return None if lineage is None else lineage @ triangle.tril.T, w @ triangle.tril.T

    def nested_residuals(self, site: str, log_scale: Any, share: Any) -> tuple[Any, Any]:
        """Effects of lineages and families on the benchmarks, likewise.

        Centred as far as data inform them.
        """
        a = self.arrays
        cells = a.cell_family, a.cell_benchmark
        count = a.count[cells]
        told, known = count * a.information[a.cell_benchmark], (count > 0).astype(float)
        log_scales = log_scale.at[a.cell_benchmark].get(mode="promise_in_bounds")
        log_spread = told / (told + 1.0) * log_scales
        groups = Nesting(a.cell_group, self.n.groups)
        raw = numpyro.sample(site, NestedResiduals(log_spread, known, share, groups))
        effect = known * raw * jnp.exp(log_scales - log_spread)

        def dense(of_cells: Any) -> Any:
            return (
                jnp.zeros(a.count.shape)
                .at[cells]
                .set(
                    of_cells, unique_indices=True, indices_are_sorted=True, mode="promise_in_bounds"
                )
            )

        key = self._key_of(site)
        if key is None:
            return None, dense(effect)
        scale = jnp.exp(log_scale)
        known = (a.count > 0).astype(float)
        lineage, w = nested_complete(key, dense(effect) / scale, known, share, self.lineages)
        return None if lineage is None else lineage * scale, w * scale

    @property
    def lineages(self) -> Nesting:
        """Lineages of families."""
        return Nesting(self.arrays.lineage_of_family, self.n.lineages)
