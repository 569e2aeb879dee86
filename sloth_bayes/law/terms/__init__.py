"""The terms of the law, and sums over them.

A new term is a file beside these and a line of :data:`TERMS` (docs/extending.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import SpecError
from . import densities
from .base import Array, Effects, Given, Nested, Owner, Population, Term, filled, read
from .drift import Drift
from .family import Family
from .fan import Fan
from .instruct import Instruct
from .loss import Balance, SizeExponent, TokensExponent, of_loss
from .mixture_weight import MixtureWeight, effective
from .model_effect import ModelEffect
from .noise import Noise
from .progress import Progress
from .reasoning import Reasoning
from .residual import Residual
from .response import Response
from .slope import Slope
from .slope_family import SlopeOfFamily
from .slope_lineage import SlopeOfLineage
from .slope_tuned import SlopeOfTuned
from .trend import Trend
from .tuning import Tuning, TuningToReason
from .unknown_inputs import UnknownInputs
from .walk import Walk
from .year import Year

__all__ = [
    "TERMS",
    "Effects",
    "Given",
    "Nested",
    "Owner",
    "Population",
    "Term",
    "checked",
    "columns_of",
    "densities",
    "dims",
    "effective",
    "effects_of_table",
    "filled",
    "of",
    "of_loss",
    "read",
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
        Year(),
        Progress(),
        Fan(),
        SlopeOfLineage(),
        SlopeOfFamily(),
        SlopeOfTuned(),
        Instruct(),
        Reasoning(),
        ModelEffect(),
        Walk(),
        Residual(),
        Drift(),
        Trend(),
        Tuning(),
        TuningToReason(),
        MixtureWeight(),
        SizeExponent(),
        TokensExponent(),
        Balance(),
        UnknownInputs(),
        Response(),
        Noise(),
    )
}


_RESERVED = frozenset(
    ("params_b", "tokens_t", "inputs", "family_of_model", "lineage_of_model", "chance",
     "inverse_n", "rounding", "shortfall", "chance_sd", "questions", "centre", "instruct", "kind",
     "total_params_b", "compute", "years", "model", "family", "lineage", "benchmark")
)  # fmt: skip


def checked(names: Any, inputs: tuple[str, ...]) -> tuple[str, ...]:
    """Names of further terms of a specification with these inputs; sorted, each a usable term.

    Raises
    ------
    SpecError
        If one is no entry of :data:`TERMS`, or an entry that cannot be what it says.
    """
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, list | tuple | set | frozenset):
        raise SpecError(f"terms are a list of names, not {names!r}")
    optional = [name for name, t in TERMS.items() if getattr(type(t), "used", None) is Term.used]
    for name in names:
        if not isinstance(name, str):
            raise SpecError(f"terms are a list of names, not {names!r}")
        if name in TERMS and not isinstance(TERMS[name], Term):
            raise SpecError(
                f"the entry {name!r} of law.TERMS must be an instance of a law.Term: "
                f"law.TERMS[{name!r}] = YourTerm()"
            )
        if name not in optional:
            raise SpecError(
                f"terms has {name!r}, which is not a term that can be added; there "
                + (f"are {', '.join(optional)}" if optional else "is none")
                + ": make it an entry of sloth_bayes.law.TERMS first"
            )
        if wrong := _wrong(name, TERMS[name], inputs):
            raise SpecError(f"the term {name!r} {wrong}")
    found = tuple(sorted(set(names)))
    reads = [TERMS[name].reads for name in found if TERMS[name].reads]
    for column in reads:
        if reads.count(column) > 1:
            raise SpecError(f"two terms keep a column under the name {column!r}: rename one")
    return found


def _wrong(name: str, term: Term, inputs: tuple[str, ...]) -> str:
    """What is wrong with a term that a user has made, in words."""
    if term.name != name:
        return f"is called {term.name!r}: make it the entry of that name"
    if term.adds_to not in ("skill", "benchmark"):
        return f"adds to {term.adds_to!r}: adds_to is 'skill' or 'benchmark'"
    if term.of not in ("", "lineage", "family", "model"):
        return f"is of {term.of!r}: of is 'lineage', 'family', 'model' or ''"
    if not term.of and not term.times:
        return "adds the same to all models: say whose it is (of), or by what it is multiplied"
    want = (term.of, "input" if term.times == "inputs" else "", term.adds_to)
    if term.dims.get(name) != tuple(filter(None, want)):
        return f"must say dims[{name!r}] = {tuple(filter(None, want))!r}"
    if term.adds_to == "skill" and not term.site:
        return "must name the sample site of its coefficient (site)"
    if term.reads in _RESERVED:
        return f"keeps a column under the name {term.reads!r}, which is taken: choose another"
    if term.times == "tokens" and "log_tokens" not in inputs:
        return "is multiplied by doublings of tokens, which these inputs do not have"
    others = [t for t in TERMS.values() if t is not term]
    taken = {name for t in others for name in (*t.dims, *filter(None, [t.site]))}
    if taken & {*term.dims, term.site}:
        return "has the site or a variable of another term: choose other names"
    return ""


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
    owners: Mapping[str, Any],
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
