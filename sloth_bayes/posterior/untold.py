"""Effects of families that no score tells of: left out of small files, and drawn again.

A family without a score on a benchmark, and what the families of a lineage have in common there,
follow from the rest by their priors alone. They are most of what a fit of a sparse table draws.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from ..law import terms
from ..law.spec import Spec
from ..law.terms import Nested


def _drawn_anew(spec: Spec, data: xr.Dataset) -> Iterator[Nested]:
    """Terms of benchmarks that families have within their lineages."""
    for term in terms.of(spec):
        if isinstance(term, Nested) and term.adds_to == "benchmark" and term.lineage in data:
            yield term


def _known(tree: xr.DataTree, data: xr.Dataset) -> np.ndarray:
    """Whether a family has a score on a benchmark, ``(F, J)``."""
    cells, constant = tree["observed_data"].to_dataset(), tree["constant_data"].to_dataset()
    family = constant["family_of_model"].sel(model=cells["obs_model"].values).values
    known = np.zeros((data.sizes["family"], data.sizes["benchmark"]), bool)
    benchmark = data.indexes["benchmark"].get_indexer(cells["obs_benchmark"].values)
    known[data.indexes["family"].get_indexer(family), benchmark] = True
    return known


def told(tree: xr.DataTree, spec: Spec) -> dict[str, np.ndarray]:
    """Of each variable with entries that no score tells of, which entries are not those."""
    data = tree["posterior"].to_dataset()
    known = _known(tree, data)
    nothing = np.zeros((data.sizes.get("lineage", 0), known.shape[1]), bool)
    terms_here = list(_drawn_anew(spec, data))
    out = {t.name: known for t in terms_here} | {t.lineage: nothing for t in terms_here}
    constant = tree["constant_data"].to_dataset()
    columns = {name: constant[name].values for name in terms.columns_of(spec)}
    for term in terms.of(spec):  # where no step leads, the coefficient is 0
        reach = term.reach(columns, constant["family_of_model"].values.astype(str))
        if reach is not None:
            led_to = np.count_nonzero(reach, axis=1) > 0
            out[term.name] = np.repeat(led_to[:, None], known.shape[1], 1)
    return out


def left_out(tree: xr.DataTree, spec: Spec) -> xr.Dataset:
    """The draws, with zeros for what follows from the rest: zeros take no room in a file."""
    data = tree["posterior"].to_dataset()
    known = xr.DataArray(_known(tree, data), dims=("family", "benchmark"))
    for term in _drawn_anew(spec, data):
        data[term.name] = data[term.name].where(known, 0.0)
        data[term.lineage] = xr.zeros_like(data[term.lineage])
    return data


def filled_in(tree: xr.DataTree, spec: Spec, seed: int) -> xr.Dataset:
    """The draws, with what was left out drawn given the rest, in place."""
    data = tree["posterior"].to_dataset()
    if not list(_drawn_anew(spec, data)):
        return data
    known, rng = _known(tree, data), np.random.default_rng([seed, 3])
    values = {str(k): v.values.reshape(-1, *v.shape[2:]) for k, v in data.items()}  # views
    draws = data.sizes["chain"] * data.sizes["draw"]
    lineage_of = tree["constant_data"]["lineage_of_family"].sel(family=data["family"]).values
    place = data.indexes["lineage"].get_indexer(lineage_of)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal((draws, *shape), np.float32)

    for term in _drawn_anew(spec, data):
        scale, share = term.scale(values, spec), term.share_of(values, draws)
        own = np.sqrt(1 - share) * scale
        for lineage in range(data.sizes["lineage"]):
            at = np.flatnonzero(place == lineage)
            standard = values[term.name][:, at] / scale[:, None]
            mean, variance = term.lineage_given(standard, known[at], share)
            common = scale * (mean + np.sqrt(variance) * normal(mean.shape[-1]))
            values[term.lineage][:, lineage] = common
            for family in at:
                new = np.flatnonzero(~known[family])
                drawn = common[:, new] + own[:, new] * normal(new.size)
                values[term.name][:, family, new] = drawn
    return data
