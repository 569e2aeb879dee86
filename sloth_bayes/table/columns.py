"""Columns of a table of models, checked: cells in, arrays out, or one sentence on what is wrong."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..errors import DataError, near
from ..support.checks import check_text
from ..support.spelling import other_unit, plain_number, what_to_write
from .sizes import given_in_millions

META = ("model", "family", "lineage", "instruct", "params_b", "tokens_t", "date")
FURTHER = ("kind", "total_params_b")  # of tables that say them
KINDS = ("base", "instruct", "reasoning")
AMOUNTS = ("params_b", "tokens_t")  # a table may lack both: nobody says them of its models
# What a column holds, and what other tables call it where spelling alone does not reveal it
_REQUIRED = {
    "model": ("the name of each model", "name, model_name"),
    "family": ("the family of each model", "family2, series"),
    "params_b": (
        "sizes in billions of parameters",
        "size, params, parameters, #params (b), size_b, n_params",
    ),
    "tokens_t": (
        "training tokens in trillions",
        "tokens, pretraining data size (t), training_tokens, data",
    ),
}
_MISSING = frozenset({"", "na", "n/a", "nan", "none", "null", "<na>"})
_TRUTH = dict.fromkeys(("true", "1", "1.0", "yes"), True)
_TRUTH |= dict.fromkeys(("false", "0", "0.0", "no"), False)
# What a number must not be, and what is then said of it
Refusals = Sequence[tuple[Callable[[float], bool], str]]


def require(columns: list[str]) -> None:
    """An error for the first required column that is missing, with the name to change."""
    lower = {c.lower(): c for c in columns}

    called = {
        column: [lower[other] for other in others.split(", ") if other in lower]
        for column, (_, others) in _REQUIRED.items()
    }
    unsized = not any(column in columns or called[column] for column in AMOUNTS)
    for column, (what, _) in _REQUIRED.items():
        if column in columns or (unsized and column in AMOUNTS):
            continue
        like = called[column] + near(column, [c for c in columns if c not in META])
        if like:
            remedy = f"rename {like[0]!r} to {column!r}, if it holds {what}."
        else:
            remedy = f"add it, with {what}; the table has: {', '.join(columns) or 'no columns'}."
        raise DataError(f"the required column {column!r} is missing: {remedy}")


def holds_numbers(column: pd.Series | pd.DataFrame) -> bool:
    """Whether every cell that is not missing is a number, and one is there; the first of twins."""
    if isinstance(column, pd.DataFrame):
        column = column.iloc[:, 0]
    try:
        return bool([plain_number(cell) for cell in column if not _is_missing(cell)])
    except (TypeError, ValueError):
        return False


def reject_repeated(columns: list[str], used: set[str]) -> None:
    """An error for a column that is used and there twice."""
    for column in columns:
        if column in used and columns.count(column) > 1:
            raise DataError(f"the table has {columns.count(column)} columns {column!r}.")


def reject_duplicates(model: Iterable[str]) -> None:
    """An error for a model that is there twice."""
    seen: dict[str, int] = {}
    for row, name in enumerate(model, start=1):
        if seen.setdefault(name, row) != row:
            raise DataError(
                f"model {name!r} is there twice, in rows {seen[name]} and {row}: "
                "keep one row a model."
            )


def reject_split(family: Iterable[str], lineage: Iterable[str]) -> None:
    """An error for a family of two lineages."""
    first: dict[str, str] = {}
    for f, line in zip(family, lineage):
        if first.setdefault(f, line) != line:
            raise DataError(
                f"family {f!r} belongs to two lineages, {first[f]!r} and {line!r}: "
                "give each its own family name."
            )


def names(df: pd.DataFrame, column: str, model: Sequence[str] | None = None) -> list[str]:
    """A column of names, none of them missing."""
    names = _texts(df[column])
    if "" in names:
        row = names.index("")
        where = f" of model {model[row]!r}" if model is not None else ""
        raise DataError(f"row {row + 1} has no {column} name{where}.")
    for row, name in enumerate(names, start=1):
        check_text(name, f"row {row}: {column}")
    return names


def lineages(df: pd.DataFrame, family: list[str]) -> list[str]:
    """The lineage of each model, by default its family."""
    return [line or f for line, f in zip(_texts(df.get("lineage", family)), family)]


def flags(df: pd.DataFrame, model: Sequence[str]) -> np.ndarray:
    """Whether each model is tuned to follow instructions; by default none is."""
    cells = df.get("instruct", [None] * len(df))
    problem = ": it is true or false."
    read = _read(cells, "instruct", model, lambda c: _TRUTH[str(c).strip().lower()], False, problem)
    return np.array(list(read), dtype=bool)


def kinds(df: pd.DataFrame, model: Sequence[str], tuned: np.ndarray) -> np.ndarray:
    """The kind of each model, by default base or instruct as it is `tuned` or not."""
    problem = f": it is {', '.join(KINDS[:-1])} or {KINDS[-1]}; rename a column of something else."
    cells = df.get("kind", [None] * len(df))
    known = dict(zip(KINDS, KINDS))
    read = _read(cells, "kind", model, lambda c: known[str(c).strip().lower()], "", problem)
    found = [kind or KINDS[int(flag)] for kind, flag in zip(read, tuned)]
    said = ~pd.Series(list(df.get("instruct", [None] * len(df)))).map(_is_missing).to_numpy(bool)
    for name, kind, flag, told in zip(model, found, tuned, said):
        if told and (kind != "base") != flag:
            raise DataError(
                f"model {name!r} is of kind {kind!r}, and its instruct is {str(flag).lower()}: "
                "leave one of the two columns out."
            )
    return np.array(found, dtype=object)


def totals(df: pd.DataFrame, active: np.ndarray, model: Sequence[str]) -> np.ndarray:
    """Total parameters of mixtures of experts, NaN of others: of a dense model all are active."""
    if "total_params_b" not in df:
        return np.full(len(df), np.nan)
    found = amounts(df, "total_params_b", model)
    for value, used, name in zip(found, active, model):
        if value < used:
            raise DataError(
                f"total_params_b of model {name!r} is {value:g}, less than its params_b, {used:g}: "
                "params_b are the parameters that a token passes through, of all there are."
            )
    return np.where(found == active, np.nan, found)


def amounts(df: pd.DataFrame, column: str, model: Sequence[str]) -> np.ndarray:
    """Sizes or token counts, NaN where unknown."""
    about = "{column} of model {model!r} is "
    refusals: Refusals = (
        (math.isinf, about + "infinite: leave unknown cells empty."),
        (lambda v: v <= 0, about + "{value:g}: it must be positive; leave unknown cells empty."),
    )
    found = _numbers(df.get(column, [None] * len(df)), column, model, refusals)
    for value, name in zip(found, model):
        if wrong := other_unit(value, column):
            raise DataError(f"{column} of model {name!r} is {wrong}.")
        if column == "params_b" and given_in_millions(name, value):
            raise DataError(
                f"{column} of model {name!r} is {value:g}, a thousand times what its name says: "
                f"the unit is billions of parameters; divide by 1000: write {value / 1e3:.6g}."
            )
    return found


_SCORES: Refusals = (
    (math.isinf, "score of model {model!r} on {column} is infinite: leave missing scores empty."),
    (
        lambda v: v > 1,
        "score {value} of model {model!r} on {column} is above 1: "
        "scores are fractions in [0, 1]; divide by 100.",
    ),
    (
        lambda v: v < 0,
        "score {value} of model {model!r} on {column} is negative: scores are fractions in [0, 1].",
    ),
)


def scores(column: pd.Series, benchmark: str, model: Sequence[str], unscored: bool) -> np.ndarray:
    """Scores in [0, 1], NaN where missing; one at least, unless `unscored`."""
    array = _numbers(column, benchmark, model, _SCORES)
    if not unscored and np.isnan(array).all():
        raise DataError(f"benchmark {benchmark!r} has no score at all: leave it out.")
    return array


def dates(df: pd.DataFrame, model: Sequence[str]) -> pd.Series:
    """Days, NaT where missing, without time of day or zone, as the table promises and CSV keeps."""
    cells = df.get("date", [None] * len(df))
    problem = ": write it as year-month-day."
    days = _read(cells, "date", model, _day, pd.NaT, problem)
    return pd.Series(list(days), dtype="datetime64[s]").dt.normalize()


def _day(cell: Any) -> pd.Timestamp:
    """A day; a bare number is one only if it has the digits of one (20240102)."""
    text = str(cell).strip().removesuffix(".0")
    if re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", text) and not re.fullmatch(
        r"(19|20)\d{6}|(19|20)\d{2}", text
    ):
        raise ValueError("seconds, or what else a number may count")
    return pd.Timestamp(text if text.isdigit() else cell).tz_localize(None)


def _month(cell: Any) -> pd.Period:
    """A month, of text that says a year and a month, or of what has both."""
    dated = isinstance(cell, pd.Period | datetime.date | np.datetime64)
    if not dated and not re.fullmatch(r"(19|20)\d\d-\d\d(-\d\d)?", str(cell).strip()):
        raise ValueError("a year alone, or what else it may be")
    return pd.Period(cell, freq="M")


def released(df: pd.DataFrame, model: Sequence[str], family: Sequence[str]) -> dict[str, pd.Period]:
    """Release month of each family: the earliest that one of its rows gives."""
    months: dict[str, pd.Period] = {}
    cells = df.get("released", ())
    problem = ": write it as year-month (2025-07)."
    read = _read(cells, "released", model, _month, pd.NaT, problem)
    for month, f in zip(read, family):
        if month is not pd.NaT:
            months[f] = min(month, months.get(f, month))
    return months


def is_null(value: Any) -> bool:
    """Whether a cell holds nothing, in any of the ways of pandas."""
    return value is None or value is pd.NA or value is pd.NaT or value != value


def _is_missing(value: Any) -> bool:
    return is_null(value) or (isinstance(value, str) and value.strip().lower() in _MISSING)


def _texts(cells: Iterable[Any]) -> list[str]:
    return ["" if is_null(cell) else str(cell).strip() for cell in cells]


def _read(
    cells: Iterable[Any],
    column: str,
    model: Iterable[str],
    parse: Callable[[Any], Any],
    missing: Any,
    problem: str,
) -> Iterator[Any]:
    """What `parse` makes of each cell, or `problem` said of the first that it refuses."""
    for cell, name in zip(cells, model):
        try:
            value = missing if _is_missing(cell) else parse(cell)
        except (KeyError, TypeError, ValueError):
            advice = what_to_write(cell, column) if parse is plain_number else ""
            said = f": {advice}." if advice else problem
            raise DataError(f"{column} of model {name!r} is {cell!r}{said}") from None
        yield value


def _numbers(
    cells: Iterable[Any], column: str, model: Sequence[str], refusals: Refusals
) -> np.ndarray:
    numbers = []
    problem = ", not a number: leave missing cells empty."
    read = _read(cells, column, model, plain_number, math.nan, problem)
    for value, name in zip(read, model):
        for wrong, words in refusals:
            if wrong(value):
                raise DataError(words.format(column=column, model=name, value=value))
        numbers.append(value + 0.0)  # -0.0 and 0.0 are one number
    return np.array(numbers, dtype=float)
