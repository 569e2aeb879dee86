"""Benchmarks: what is known about a column of scores, and those that ship."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd

from ..errors import DataError, unknown
from ..support.checks import is_number
from ..support.files import read_cells
from ..support.shipped import DEFAULT, dataset_folder
from .columns import META, holds_numbers


@dataclass(frozen=True)
class Benchmark:
    """One benchmark: a column of scores and what is known about them.

    Parameters
    ----------
    name
        The column that holds the scores.
    chance
        Expected score of guessing, in [0, 1).
    n_questions
        Number of distinct test questions, or None if unknown; the scale of sampling noise.
    leaderboard
        The leaderboard it belongs to, or None.
    rounding
        Step that published scores are rounded to, in [0, 0.5); 0 if they are not rounded.

    Raises
    ------
    DataError
        A value lies outside the range given above.

    Examples
    --------
    >>> Benchmark("MyEval", chance=0.25, n_questions=500)
    Benchmark(name='MyEval', chance=0.25, n_questions=500, leaderboard=None, rounding=0.0)
    """

    name: str
    chance: float = 0.0
    n_questions: int | None = None
    leaderboard: str | None = None
    rounding: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise DataError(f"a benchmark needs a name, not {self.name!r}.")
        if self.name in META or self.name == "released":
            raise DataError(f"{self.name!r} cannot be a benchmark: the column describes models.")
        self._check("chance", float, lambda v: 0 <= v < 1, "the score of guessing, in [0, 1)")
        if self.n_questions is not None:
            count = "a positive whole number, or None if unknown"
            self._check("n_questions", int, lambda v: 0 < v == int(v), count)
        step = "the step of the scores, in [0, 0.5)"
        self._check("rounding", float, lambda v: 0 <= v < 0.5, step)

    def _check(
        self, name: str, kind: type, in_range: Callable[[float], bool], meaning: str
    ) -> None:
        value = getattr(self, name)
        if not (is_number(value) and in_range(value)):
            raise DataError(f"{name} of benchmark {self.name!r} is {value!r}: it is {meaning}.")
        # plain types, so that equal benchmarks have one repr and one fingerprint
        object.__setattr__(self, name, kind(value))


@functools.cache
def read_benchmarks(name: str) -> tuple[Benchmark, ...]:
    """The benchmarks of a data set that ships."""
    table = read_cells(dataset_folder(name) / "benchmarks.csv")
    table = table.astype({"chance": float, "n_questions": int, "rounding": float})
    columns = [field.name for field in fields(Benchmark)]
    return tuple(Benchmark(*row) for row in table[columns].itertuples(index=False))


def settings(name: str) -> dict[str, str]:
    """How each benchmark of a data set that ships was run: shots, metric, reasoning in words."""
    rows = read_cells(dataset_folder(name) / "benchmarks.csv")
    thinks = rows.get("chain_of_thought", pd.Series("no", rows.index)) == "yes"
    shots = rows["shots"].map(lambda n: f"{n}-shot " if n else "")
    words = shots + rows["metric"] + thinks.map({True: ", CoT", False: ""})
    return dict(zip(rows["name"], words))


def known_benchmarks() -> dict[str, Benchmark]:
    """Those of the Open LLM Leaderboard, by name."""
    return {b.name: b for b in read_benchmarks(DEFAULT)}


def described(name: str, scores: np.ndarray) -> Benchmark:
    """The metadata of a benchmark given by name only."""
    known = known_benchmarks().get(name)
    if known is None:
        return Benchmark(name)
    if known.rounding:
        steps = scores[~np.isnan(scores)] / known.rounding
        if not np.allclose(steps, np.round(steps), rtol=0, atol=1e-6):
            return replace(known, rounding=0.0)
    return known


def name_of(benchmark: str | Benchmark) -> str:
    """Of a benchmark that may be given by name only."""
    return benchmark if isinstance(benchmark, str) else benchmark.name


def listed_benchmarks(
    df: pd.DataFrame, benchmarks: Sequence[str | Benchmark] | None
) -> list[str | Benchmark]:
    """The benchmarks to take, each a column of the table and none twice."""
    columns = list(df.columns)
    candidates = [c for c in dict.fromkeys(columns) if c not in {*META, "released"}]
    if benchmarks is None:
        known = known_benchmarks()
        found: list[str | Benchmark] = [c for c in candidates if c in known]
        if not found:
            numeric = [c for c in candidates if holds_numbers(df[c])]
            hint = f"for example benchmarks={numeric[:6]!r}" if numeric else "and none has numbers"
            raise DataError(
                "no column of the table is a benchmark of the Open LLM Leaderboard: "
                f"say which columns hold scores, {hint}."
            )
        return found
    if isinstance(benchmarks, str | Benchmark):
        benchmarks = [benchmarks]
    listed = list(benchmarks)
    if not listed:
        raise DataError("the list of benchmarks is empty: name at least one score column.")
    seen: set[str] = set()
    for benchmark in listed:
        if not isinstance(benchmark, str | Benchmark):
            raise DataError(
                f"a benchmark is a name or a Benchmark, not {type(benchmark).__name__}."
            )
        name = Benchmark(name_of(benchmark)).name
        if name in seen:
            raise DataError(f"benchmark {name!r} is listed twice.")
        seen.add(name)
        if name not in columns:
            raise unknown("benchmark", name, candidates, "It is not a column of the table.")
    return listed
