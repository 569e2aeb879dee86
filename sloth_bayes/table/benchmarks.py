"""Benchmarks: what is known about a column of scores, and those that ship."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import DataError, unknown
from ..support.files import read_cells
from ..support.shipped import DEFAULT, dataset_folder
from .columns import META, holds_numbers, is_number


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
        if not is_number(self.chance) or not 0 <= self.chance < 1:
            raise DataError(
                f"chance of benchmark {self.name!r} is {self.chance!r}: "
                "it is the score of guessing, in [0, 1)."
            )
        questions = self.n_questions
        if questions is not None and (
            not is_number(questions) or questions <= 0 or questions != int(questions)
        ):
            raise DataError(
                f"n_questions of benchmark {self.name!r} is {questions!r}: "
                "it is a positive whole number, or None if unknown."
            )
        if not is_number(self.rounding) or not 0 <= self.rounding < 0.5:
            raise DataError(
                f"rounding of benchmark {self.name!r} is {self.rounding!r}: "
                "it is the step of the scores, in [0, 0.5)."
            )
        # plain types, so that equal benchmarks have one repr and one fingerprint
        object.__setattr__(self, "chance", float(self.chance))
        object.__setattr__(self, "rounding", float(self.rounding))
        if questions is not None:
            object.__setattr__(self, "n_questions", int(questions))


@functools.cache
def read_benchmarks(name: str) -> tuple[Benchmark, ...]:
    """The benchmarks of a data set that ships."""
    table = read_cells(dataset_folder(name) / "benchmarks.csv")
    return tuple(
        Benchmark(
            name=row["name"],
            chance=float(row["chance"]),
            n_questions=int(row["n_questions"]),
            leaderboard=row["leaderboard"],
            rounding=float(row["rounding"]),
        )
        for row in table.to_dict("records")
    )


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
            return Benchmark(name, known.chance, known.n_questions, known.leaderboard)
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
        name = Benchmark(benchmark).name if isinstance(benchmark, str) else benchmark.name
        if name in seen:
            raise DataError(f"benchmark {name!r} is listed twice.")
        seen.add(name)
        if name not in columns:
            raise unknown("benchmark", name, candidates, "It is not a column of the table.")
    return listed
