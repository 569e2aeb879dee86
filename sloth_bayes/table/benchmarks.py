"""Benchmarks: what is known about a column of scores, and those that ship."""

from __future__ import annotations

import difflib
import functools
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd

from ..errors import DataError, DataWarning, unknown
from ..support.checks import is_number
from ..support.files import read_cells
from ..support.shipped import PUBLISHED, dataset_folder
from .columns import FURTHER, META, holds_numbers

# What other tables call a benchmark that ships, where its name alone does not reveal it
_ALIASES = {"math": "MATH Lvl 5", "maths": "MATH Lvl 5", "winograd": "Winogrande",
            "tqa": "TruthfulQA", "hendryckstest": "MMLU", "hendrycks": "MMLU"}  # fmt: skip


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
    shortfall
        Share of the range above chance that no model is expected to reach, for known reasons
        (questions with wrong answers, a metric that understates), in (0, 1); None if nothing is
        known. A law with ``upper="sourced"`` takes it for the prior mean.
    questions
        Name of the set of questions it asks, where others ask the same ones in the same way;
        None for a set of its own, of its name. A law with ``upper="questions"`` has one ceiling
        for a set.
    chance_sd
        How far from `chance` a model that knows nothing may score, as a standard deviation, in
        (0, 0.5), where that is known (options that are letters: it scores as often as those that
        it prefers are right); None otherwise. A law with ``lower="sourced"`` takes it for the
        prior of the floor.

    Raises
    ------
    DataError
        A value lies outside the range given above.

    Examples
    --------
    >>> Benchmark("MyEval", chance=0.25, n_questions=500).chance
    0.25
    """

    name: str
    chance: float = 0.0
    n_questions: int | None = None
    leaderboard: str | None = None
    rounding: float = 0.0
    shortfall: float | None = None
    questions: str | None = None
    chance_sd: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise DataError(f"a benchmark needs a name, not {self.name!r}.")
        if self.name in (*META, *FURTHER, "released"):
            raise DataError(f"{self.name!r} cannot be a benchmark: the column describes models.")
        self._check("chance", float, lambda v: 0 <= v < 1, "the score of guessing, in [0, 1)")
        if self.n_questions is not None:
            count = "a positive whole number, or None if unknown"
            self._check("n_questions", int, lambda v: 0 < v == int(v), count)
        step = "the step of the scores, in [0, 0.5)"
        self._check("rounding", float, lambda v: 0 <= v < 0.5, step)
        if self.shortfall is not None:
            share = "a share of the range above chance, in (0, 1), or None if unknown"
            self._check("shortfall", float, lambda v: 0 < v < 1, share)
        if self.questions is not None and not (
            isinstance(self.questions, str) and self.questions.strip()
        ):
            raise DataError(
                f"questions of benchmark {self.name!r} is {self.questions!r}: it is the name of a "
                "set of questions, or None for one of its own."
            )
        if self.chance_sd is not None:
            spread = "a standard deviation around chance, in (0, 0.5), or None if unknown"
            self._check("chance_sd", float, lambda v: 0 < v < 0.5, spread)

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
    table = table.astype({"chance": float, "rounding": float})
    table["n_questions"] = [int(n) if n else None for n in table["n_questions"]]
    columns = [field.name for field in fields(Benchmark) if field.name in table]
    rows = table[columns].to_dict("records")
    for row in rows:
        for name in ("shortfall", "chance_sd"):
            row[name] = float(row[name]) if row.get(name) else None
        row["questions"] = row.get("questions") or None
    return tuple(Benchmark(**row) for row in rows)


def settings(name: str) -> dict[str, str]:
    """How each benchmark of a data set that ships was run: shots, metric, reasoning in words."""
    rows = read_cells(dataset_folder(name) / "benchmarks.csv")
    thinks = rows.get("chain_of_thought", pd.Series("no", rows.index)) == "yes"
    shots = rows["shots"].map(lambda n: f"{n}-shot " if n else "")
    words = shots + rows["metric"] + thinks.map({True: ", CoT", False: ""})
    return dict(zip(rows["name"], words))


def known_benchmarks() -> dict[str, Benchmark]:
    """Those that ship, by name: of the Open LLM Leaderboard as it was published, then all."""
    tables = (read_benchmarks(name) for name in ("open_models", PUBLISHED))
    return {b.name: b for table in tables for b in table}


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


@functools.cache
def resembled(name: str) -> str | None:
    """The benchmark that ships which a name of another spelling, or of a variant, looks like.

    Examples
    --------
    >>> [resembled(n) for n in ("ARC-C", "gsm8k", "Winograd", "mmlu_pro (5-shot)", "humaneval")]
    ['ARC', 'GSM8K', 'Winogrande', 'MMLU-PRO', None]
    """
    known = {_plain(n): n for n in known_benchmarks()} | _ALIASES
    parts = [p for p in re.split(r"[^a-z0-9]+", name.casefold()) if p]
    # the longest run of words that is a name, so that MMLU-PRO comes before MMLU
    runs = ["".join(parts[i:j]) for i in range(len(parts)) for j in range(i + 1, len(parts) + 1)]
    runs += [start for p in parts for start in known if len(start) > 3 and p.startswith(start)]
    for run in sorted(runs, key=len, reverse=True):
        if run in known:
            return known[run]
    close = difflib.get_close_matches("".join(parts), known, n=1, cutoff=0.85)
    return known[close[0]] if close else None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def near_named(columns: Iterable[str], taken: Iterable[str]) -> dict[str, str]:
    """Columns left out that look like a benchmark that ships and is not taken; and which."""
    taken = set(taken)
    found = {c: resembled(c) for c in columns if c not in taken}
    return {c: like for c, like in found.items() if like is not None and like not in taken}


def said_of_near(near: dict[str, str]) -> str:
    """What to do about :func:`near_named` columns."""
    listed = ", ".join(f"{column!r} like {like}" for column, like in near.items())
    looks = "a column looks" if len(near) == 1 else f"{len(near)} columns look"
    return (
        f"{looks} like a benchmark of the leaderboards and is not taken ({listed}): rename what "
        "is the same benchmark, with its shots and metric"
    ).replace("and is not", "and is not" if len(near) == 1 else "and are not")


def warn_of_near(near: dict[str, str]) -> None:
    """A warning that names :func:`near_named` columns, if there are any."""
    if near:
        warnings.warn(f"{said_of_near(near)}.", DataWarning, stacklevel=5)


def name_of(benchmark: str | Benchmark) -> str:
    """Of a benchmark that may be given by name only."""
    return benchmark if isinstance(benchmark, str) else benchmark.name


def listed_benchmarks(
    df: pd.DataFrame, benchmarks: Sequence[str | Benchmark] | None
) -> list[str | Benchmark]:
    """The benchmarks to take, each a column of the table and none twice."""
    columns = list(df.columns)
    candidates = [c for c in dict.fromkeys(columns) if c not in {*META, *FURTHER, "released"}]
    if benchmarks is None:
        known = known_benchmarks()
        found: list[str | Benchmark] = [c for c in candidates if c in known]
        near = near_named(candidates, map(name_of, found))
        if not found:
            numeric = [c for c in candidates if holds_numbers(df[c])]
            hint = f"for example benchmarks={numeric[:6]!r}" if numeric else "and none has numbers"
            raise DataError(
                "no column of the table is a benchmark of the Open LLM Leaderboard: "
                f"say which columns hold scores, {hint}"
                + (f"; {said_of_near(near)}." if near else ".")
            )
        warn_of_near(near)
        return found
    if isinstance(benchmarks, str | Benchmark):
        benchmarks = [benchmarks]
    if not isinstance(benchmarks, Iterable):
        raise DataError(f"benchmarks are a list of names, not {type(benchmarks).__name__}")
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
