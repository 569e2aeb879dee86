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
    hiding scores (for a fold, say) is a change of `observed`, never of a shape (take
    :func:`sloth_bayes.model.sizes` of the full table for all folds).
    """

    inputs: Any  # (M, P) doublings from the reference point
    instruct: Any  # (M,) 0 or 1
    family_of_model: Any  # (M,) index of the family
    lineage_of_model: Any  # (M,) index of the lineage
    lineage_of_family: Any  # (F,)
    score: Any  # (M, J), 0.5 where not observed
    observed: Any  # (M, J) 0 or 1
    chance: Any  # (J,)
    inverse_n: Any  # (J,) 1 / number of questions, 0 if unknown
    rounding: Any  # (J,) step of the published scores, 0 if not rounded
    anchor: Any  # (J, J) orthogonal: the coordinates that skills are sampled in (model.py)


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

    score = frame[names].to_numpy(float)
    observed = np.isfinite(score)
    meta = data.benchmarks
    arrays = Arrays(
        inputs=law.raw_inputs(inputs, size, tokens, np.asarray(centre), np).astype(np.float32),
        instruct=frame["instruct"].to_numpy(bool).astype(np.float32),
        family_of_model=family_of_model.astype(np.int32),
        lineage_of_model=lineage_of_model.astype(np.int32),
        lineage_of_family=lineage_of_family.astype(np.int32),
        score=np.where(observed, score, 0.5).astype(np.float32),
        observed=observed.astype(np.float32),
        chance=np.array([b.chance for b in meta], np.float32),
        inverse_n=np.array([1 / b.n_questions if b.n_questions else 0.0 for b in meta], np.float32),
        rounding=np.array([b.rounding for b in meta], np.float32),
        anchor=np.eye(len(meta), dtype=np.float32),
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
