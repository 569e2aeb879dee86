"""From a table to the arrays that the model reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..errors import DataError
from ..law import equations, terms
from ..law.spec import Spec
from ..table.leaderboard import Leaderboard

_ENOUGH = 5  # models of known size and tokens that set a prior for the others
LEAST_SPREAD = 0.1  # of the log of an unknown input: models that are all alike say little of others


class Unknown(NamedTuple):
    """Sizes and tokens, where a table does not say all, or inputs depend on parameters otherwise.

    With the prior that stands in for those that are not said. Natural logs. The log size is
    normal with the mean and standard deviation of the known ones; the log tokens are normal
    around their regression on the log size, with its residual standard deviation, over the
    models where both are known.
    """

    size: Any  # (U,) models of unknown size
    tokens: Any  # (V,) models of unknown tokens
    log_size: Any  # (M,), of active parameters; the prior's mean where unknown
    log_tokens: Any  # (M,), likewise
    of_size: Any  # (2,) prior mean and sd of a log size
    of_tokens: Any  # (3,) intercept, slope on the log size, residual sd
    centre: Any  # (2,) reference of the inputs


class Arrays(NamedTuple):
    """What the model reads: M models, J benchmarks, F families, L lineages, P inputs.

    A plain tuple of arrays, so that it passes through ``jax.jit`` and ``jax.vmap``:
    hiding scores (for a fold, say) is a change of numbers (:func:`showing`), never of a
    shape (take :func:`sloth_bayes.model.loadings.sizes` of the full table for all folds).
    """

    inputs: Any  # (M, P) doublings from the reference point
    columns: dict[str, Any]  # (M,) each: what terms read of a model besides its inputs
    family_of_model: Any  # (M,) index of the family
    lineage_of_model: Any  # (M,) index of the lineage
    lineage_of_family: Any  # (F,) likewise
    score: Any  # (N,) the scores of the table
    model_of: Any  # (N,) and the next: where each is
    benchmark_of: Any  # (N,)
    observed: Any  # (M, J) 0 or 1
    count: Any  # (F, J) observed scores of a family
    cell_family: Any  # (C,) and the next: families and benchmarks with a score in the table
    cell_benchmark: Any  # (C,)
    cell_group: Any  # (C,) number of the lineage and benchmark, of those that any cell has
    chance: Any  # (J,)
    inverse_n: Any  # (J,) 1 / number of questions, 0 if unknown
    rounding: Any  # (J,) step of the published scores, 0 if not rounded
    shortfall: Any  # (J,) of the ceiling, as the table expects it; 0 where it does not say
    chance_sd: Any  # (J,) of floors around chance, as the table has it; 0 where it does not say
    questions: Any  # (J,) number of the set of questions that each asks
    anchor: Any  # (J, J) orthogonal: the coordinates that skills are sampled in (scores.py)
    information: Any  # (J,) how much a score tells of a residual, its prior being 1 (scores.py)
    reach: Any = None  # (M, K) by term: those whose coefficients of models follow from steps
    unknown: Unknown | None = None  # None if every input is a number: nothing is added
    extra: Any = None  # what a law of another layer reads besides (infer.compiled.Target)


def showing(arrays: Arrays, observed: Any) -> Arrays:
    """The arrays with only the `observed` (M, J) scores shown; NumPy or JAX."""
    families = np.arange(arrays.lineage_of_family.shape[0])
    of_family = (arrays.family_of_model[None, :] == families[:, None]).astype(np.float32)
    return arrays._replace(observed=observed, count=of_family @ observed)


@dataclass(frozen=True)
class Design:
    """Arrays with the names of their axes, and the table they came from."""

    arrays: Arrays
    models: tuple[str, ...]
    families: tuple[str, ...]
    lineages: tuple[str, ...]
    benchmarks: tuple[str, ...]
    centre: tuple[float, float]  # natural logs of the reference size and tokens
    table: pd.DataFrame  # the rows that entered, in the order of `models`
    left_out: tuple[str, ...]  # models without size or tokens
    leaderboards: tuple[str, ...]  # of each benchmark, "" where it is of none
    of_unknown: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())  # models: of size, of tokens

    @property
    def n_observed(self) -> int:
        """Number of scores in the likelihood."""
        return int(np.asarray(self.arrays.observed).sum())


def design(
    data: Leaderboard,
    inputs: str = "translog",
    latent: bool = False,
    effective: bool = False,
    reading: Iterable[terms.Term] = (),
) -> Design:
    """Lay a table out for the model.

    Rows without size or tokens are left out (and listed in ``left_out``), or with `latent`
    kept, what is unknown being a parameter (:class:`Unknown`). With `effective`, what size and
    tokens count as depends on a parameter too. The reference point of the inputs is the
    geometric mean size (active parameters) and tokens of the rows where they are known. Rows are
    sorted by model name, so that a fit does not depend on their order. Terms that are `reading`
    a column of the table have it in ``arrays.columns``.

    Raises
    ------
    DataError
        If no row with known inputs and a score remains; with `latent`, if sizes or tokens
        are unknown and too few are known to set a prior.
    """
    frame = data.described.sort_values("model", kind="stable").reset_index(drop=True)
    names = list(data.benchmark_names)
    needed = ["params_b"] if inputs == "size" else ["params_b", "tokens_t"]
    needed = needed if equations.INPUTS[inputs] else []
    known = frame[needed].notna().all(axis=1)
    left_out = () if latent else tuple(frame.loc[~known, "model"])
    scored = frame[names].notna().any(axis=1)
    frame = frame[scored if latent else known & scored].reset_index(drop=True)
    if frame.empty or (needed and frame[needed].isna().any(axis=1).all()):
        known_of = f" and a known {' and '.join(needed)}" if needed else ""
        remedy = "; a law of inputs='date' or 'none' needs neither size nor tokens"
        raise DataError(
            f"table {data.name!r} has no row with a score{known_of}: nothing can be fitted"
            + (remedy if needed and not data.described[needed].notna().all(axis=1).any() else "")
        )
    released = frame.assign(released=frame["family"].map(data.releases))
    columns = {"instruct": frame["instruct"].to_numpy(bool)}
    where = f"table {data.name!r}"
    reading = tuple(reading)
    columns |= {term.reads: terms.filled(term, released, where) for term in reading}
    size = np.log(frame["params_b"].to_numpy(float))
    tokens = np.log(frame["tokens_t"].to_numpy(float))
    # what is not read by the law
    size = size if "params_b" in needed else np.zeros_like(size)
    tokens = tokens if "tokens_t" in needed else np.nan_to_num(tokens, nan=0.0)
    unknown, centre = None, (float(size.mean()), float(tokens.mean()))
    if effective or not (np.isfinite(size) & np.isfinite(tokens)).all():
        unknown = _unknown(size, tokens, data.name)
        size, tokens = unknown.log_size, unknown.log_tokens
        centre = (float(unknown.centre[0]), float(unknown.centre[1]))

    families, family_of_model = np.unique(frame["family"].to_numpy(str), return_inverse=True)
    lineages, lineage_of_model = np.unique(frame["lineage"].to_numpy(str), return_inverse=True)
    lineage_of_family = np.zeros(len(families), int)
    lineage_of_family[family_of_model] = lineage_of_model

    score = frame[names].to_numpy(float)
    observed = np.isfinite(score)
    count = np.zeros((len(families), len(names)))
    np.add.at(count, family_of_model, observed)
    cell_family, cell_benchmark = np.nonzero(count)
    groups = lineage_of_family[cell_family] * len(names) + cell_benchmark
    model_of, benchmark_of = np.nonzero(observed)
    meta = data.benchmarks
    arrays = Arrays(
        inputs=equations.raw_inputs(inputs, size, tokens, np.asarray(centre), np),
        columns=columns,
        family_of_model=family_of_model,
        lineage_of_model=lineage_of_model,
        lineage_of_family=lineage_of_family,
        score=score[observed],
        model_of=model_of,
        benchmark_of=benchmark_of,
        observed=observed,
        count=count,
        cell_family=cell_family,
        cell_benchmark=cell_benchmark,
        cell_group=np.unique(groups, return_inverse=True)[1],
        chance=np.array([b.chance for b in meta]),
        inverse_n=np.array([1 / b.n_questions if b.n_questions else 0.0 for b in meta]),
        rounding=np.array([b.rounding for b in meta]),
        shortfall=np.array([b.shortfall or 0.0 for b in meta]),
        chance_sd=np.array([b.chance_sd or 0.0 for b in meta]),
        questions=np.unique([b.questions or b.name for b in meta], return_inverse=True)[1],
        anchor=np.eye(len(meta)),
        information=np.ones(len(meta)),
        reach={t.name: r for t in reading if (r := t.reach(columns, family_of_model)) is not None},
    )
    models = frame["model"].to_numpy(str)
    of_unknown = ((), ()) if unknown is None else (unknown.size, unknown.tokens)
    without_size, without_tokens = (tuple(map(str, models[list(rows)])) for rows in of_unknown)
    return Design(
        arrays=Arrays(*map(_single, arrays))._replace(unknown=unknown),
        models=tuple(map(str, models)),
        families=tuple(map(str, families)),
        lineages=tuple(map(str, lineages)),
        benchmarks=tuple(names),
        centre=centre,
        table=frame,
        left_out=left_out,
        leaderboards=tuple(b.leaderboard or "" for b in meta),
        of_unknown=(without_size, without_tokens),
    )


def design_of(spec: Spec, data: Leaderboard) -> Design:
    """Lay a table out as a specification has it."""
    latent = spec.unknown_inputs == "latent"
    effective = spec.mixtures == "effective" or spec.inputs == "loss"
    return design(data, spec.inputs, latent, effective, terms.reading(spec))


def _unknown(size: np.ndarray, tokens: np.ndarray, name: str) -> Unknown:
    """Where log sizes and tokens are NaN, and the prior that the others set."""
    has_size, both = np.isfinite(size), np.isfinite(size) & np.isfinite(tokens)
    if both.all():
        nothing, centre = np.zeros(0, int), np.array([size.mean(), tokens.mean()])
        prior = (np.zeros(2), np.zeros(3))  # of nothing
        return Unknown(*map(_single, (nothing, nothing, size, tokens, *prior, centre)))
    if both.sum() < _ENOUGH or np.ptp(size[both]) == 0:
        raise DataError(
            f"table {name!r} has {both.sum()} models of known size and tokens; a prior for the "
            f"unknown ones needs at least {_ENOUGH}, of different sizes: fill them in, or leave "
            "the rows out with unknown_inputs='drop'"
        )
    mean, sd = size[has_size].mean(), size[has_size].std(ddof=1)
    slope, intercept = np.polyfit(size[both], tokens[both], 1)
    rest = tokens[both] - (intercept + slope * size[both])
    spread = max(float(np.sqrt((rest**2).sum() / (both.sum() - 2))), LEAST_SPREAD)
    size_there = np.where(has_size, size, mean)
    tokens_there = np.where(np.isfinite(tokens), tokens, intercept + slope * size_there)
    found = Unknown(
        size=np.flatnonzero(~has_size),
        tokens=np.flatnonzero(~np.isfinite(tokens)),
        log_size=size_there,
        log_tokens=tokens_there,
        of_size=np.array([mean, sd]),
        of_tokens=np.array([intercept, slope, spread]),
        centre=np.array([mean, tokens[np.isfinite(tokens)].mean()]),
    )
    return Unknown(*map(_single, found))


def _single(array: Any) -> Any:
    """Numbers and truth values in single precision, indices in half of theirs."""
    if array is None:
        return None
    if isinstance(array, dict):
        return {name: _single(each) for name, each in array.items()}
    return array.astype(np.int32 if array.dtype.kind == "i" else np.float32)
