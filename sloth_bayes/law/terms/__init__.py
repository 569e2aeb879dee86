"""The terms of the law, and sums over them.

A new term is a file beside these and a line of :data:`TERMS` (docs/extending.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from . import densities
from .base import Array, Effects, Given, Nested, Owner, Population, Term, filled
from .drift import Drift
from .family import Family
from .instruct import Instruct
from .model_effect import ModelEffect
from .noise import Noise
from .residual import Residual
from .response import Response
from .slope import Slope
from .slope_family import SlopeOfFamily
from .slope_lineage import SlopeOfLineage
from .unknown_inputs import UnknownInputs

__all__ = [
    "TERMS",
    "Effects",
    "Given",
    "Nested",
    "Owner",
    "Population",
    "Term",
    "columns_of", "densities",
    "dims",
    "effects_of_table",
    "filled",
    "of",
    "reading",
    "residuals",
    "skills",
]  # fmt: skip

# In the order in which they are sampled and added.
TERMS: dict[str, Term] = {
    term.name: term
    for term in (
        Family(),
        Slope(),
        SlopeOfLineage(),
        SlopeOfFamily(),
        Instruct(),
        ModelEffect(),
        Residual(),
        Drift(),
        UnknownInputs(),
        Response(),
        Noise(),
    )
}


def of(spec: Any) -> Iterator[Term]:
    """The terms that a specification has."""
    return (term for term in TERMS.values() if term.used(spec))


def reading(spec: Any) -> Iterator[Term]:
    """Those of them that read a column of the table."""
    return (term for term in of(spec) if term.reads)


def columns_of(spec: Any) -> list[str]:
    """What is kept of each model besides its inputs: tuned or not, and what terms read."""
    return list(dict.fromkeys(["instruct", *(term.reads for term in reading(spec))]))


def dims() -> dict[str, tuple[str, ...]]:
    """Dimensions of every posterior variable, after chain and draw."""
    each = (term.dims for term in TERMS.values())
    start = {"loading": ("benchmark", "skill"), "bias": ("benchmark",)}
    return start | {name: found for one in each for name, found in one.items()}


def effects_of_table(
    values: Mapping[str, Array],
    inputs: Array,
    columns: Mapping[str, Array],
    owners: Mapping[str, Array],
) -> Effects:
    """The effects of models whose family and lineage are at these places among `values`."""
    found = {}
    for name, term in TERMS.items():
        if term.of and name in values:
            rest = (slice(None),) * (len(term.dims[name]) - 1)
            at = owners.get(term.of)
            found[name] = values[name] if at is None else values[name][(..., at, *rest)]
    return Effects(inputs, columns, found)


def skills(values: Mapping[str, Array], who: Effects) -> Array:
    """Latent skills ``theta`` ``(..., M, d)`` (paper, section 3.1): the sum of their terms."""
    return _total("skill", values, who)


def residuals(values: Mapping[str, Array], who: Effects) -> Array | None:
    """What is added to predictors besides skills, ``(..., M, J)``; None where nothing is."""
    return _total("benchmark", values, who)


def _total(what: str, values: Mapping[str, Array], who: Effects) -> Array:
    total = None
    for name, term in TERMS.items():
        coefficient = who.of.get(name) if term.of else values.get(name)
        if term.adds_to == what and coefficient is not None:
            part = term.added(coefficient, who)
            total = part if total is None else total + part
    return total
