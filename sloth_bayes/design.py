"""From a table to the arrays that the model reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from . import law
from .errors import DataError
from .leaderboard import Leaderboard


class Arrays(NamedTuple):
    """What the model reads: M models, J benchmarks, F families, L lineages, P inputs.

    A plain tuple of arrays, so that it passes through ``jax.jit`` and ``jax.vmap``:
    hiding scores (for a fold, say) is a change of numbers (:func:`showing`), never of a
    shape (take :func:`sloth_bayes.model.sizes` of the full table for all folds).
    """

    inputs: Any  # (M, P) doublings from the reference point
    instruct: Any  # (M,) 0 or 1
    family_of_model: Any  # (M,) index of the family
    lineage_of_model: Any  # (M,) index of the lineage
    members: Any  # (L, F) 1 where a family is of a lineage
    score: Any  # (M, J), 0.5 where not observed
    observed: Any  # (M, J) 0 or 1
    count: Any  # (F, J) observed scores of a family
    cell_family: Any  # (C,) and the next: families and benchmarks with a score in the table
    cell_benchmark: Any  # (C,)
    cell_position: Any  # (F, J) place among these cells, C where there is none
    chance: Any  # (J,)
    inverse_n: Any  # (J,) 1 / number of questions, 0 if unknown
    rounding: Any  # (J,) step of the published scores, 0 if not rounded
    anchor: Any  # (J, J) orthogonal: the coordinates that skills are sampled in (model.py)
    information: Any  # (J,) how much a score tells of a residual, its prior being 1 (model.py)


def showing(arrays: Arrays, observed: Any) -> Arrays:
    """The arrays with only the `observed` (M, J) scores shown; NumPy or JAX."""
    families = np.arange(arrays.members.shape[1])
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

    @property
    def n_observed(self) -> int:
        """Number of scores in the likelihood."""
        return int(np.asarray(self.arrays.observed).sum())


def design(data: Leaderboard, inputs: str = "translog") -> Design:
    """Lay a table out for the model.

    Rows without size or tokens are left out (and listed in ``left_out``); the reference
    point of the inputs is the geometric mean size and tokens of the rows that remain.
    Rows are sorted by model name, so that a fit does not depend on their order.

    Raises
    ------
    DataError
        If no row with known inputs and a score remains.
    """
    frame = data.frame.sort_values("model", kind="stable").reset_index(drop=True)
    names = list(data.benchmark_names)
    needed = ["params_b"] if inputs == "size" else ["params_b", "tokens_t"]
    known = frame[needed].notna().all(axis=1)
    left_out = tuple(frame.loc[~known, "model"])
    frame = frame[known & frame[names].notna().any(axis=1)].reset_index(drop=True)
    if frame.empty:
        raise DataError(
            f"table {data.name!r} has no row with a score and a known "
            f"{' and '.join(needed)}: nothing can be fitted"
        )
    size = np.log(frame["params_b"].to_numpy(float))
    tokens = np.log(frame["tokens_t"].fillna(1.0).to_numpy(float))
    centre = (float(size.mean()), float(tokens.mean()))

    families, family_of_model = np.unique(frame["family"].to_numpy(str), return_inverse=True)
    lineages, lineage_of_model = np.unique(frame["lineage"].to_numpy(str), return_inverse=True)
    lineage_of_family = np.zeros(len(families), int)
    lineage_of_family[family_of_model] = lineage_of_model

    members = lineage_of_family == np.arange(len(lineages))[:, None]

    score = frame[names].to_numpy(float)
    observed = np.isfinite(score)
    count = np.zeros((len(families), len(names)), np.float32)
    np.add.at(count, family_of_model, observed)
    cell_family, cell_benchmark = np.nonzero(count)
    cell_position = np.full(count.shape, cell_family.size, np.int32)
    cell_position[cell_family, cell_benchmark] = np.arange(cell_family.size)
    meta = data.benchmarks
    arrays = Arrays(
        inputs=law.raw_inputs(inputs, size, tokens, np.asarray(centre), np).astype(np.float32),
        instruct=frame["instruct"].to_numpy(bool).astype(np.float32),
        family_of_model=family_of_model.astype(np.int32),
        lineage_of_model=lineage_of_model.astype(np.int32),
        members=members.astype(np.float32),
        score=np.where(observed, score, 0.5).astype(np.float32),
        observed=observed.astype(np.float32),
        count=count,
        cell_family=cell_family.astype(np.int32),
        cell_benchmark=cell_benchmark.astype(np.int32),
        cell_position=cell_position,
        chance=np.array([b.chance for b in meta], np.float32),
        inverse_n=np.array([1 / b.n_questions if b.n_questions else 0.0 for b in meta], np.float32),
        rounding=np.array([b.rounding for b in meta], np.float32),
        anchor=np.eye(len(meta), dtype=np.float32),
        information=np.ones(len(meta), np.float32),
    )
    return Design(
        arrays=arrays,
        models=tuple(frame["model"].astype(str)),
        families=tuple(map(str, families)),
        lineages=tuple(map(str, lineages)),
        benchmarks=tuple(names),
        centre=centre,
        table=frame,
        left_out=left_out,
    )
