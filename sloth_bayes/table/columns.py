"""Columns of a table of models, checked: cells in, arrays out, or one sentence on what is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..errors import DataError, near

META = ("model", "family", "lineage", "instruct", "params_b", "tokens_t", "date")
_REQUIRED = {
    "model": "the name of each model",
    "family": "the family of each model",
    "params_b": "sizes in billions of parameters",
    "tokens_t": "training tokens in trillions",
}
# Columns that other tables call differently and that spelling alone does not reveal
_ALIASES = {
    "model": ("name", "model_name"),
    "family": ("family2", "series"),
    "params_b": ("size", "params", "parameters", "#params (b)", "size_b", "n_params"),
    "tokens_t": ("tokens", "pretraining data size (t)", "training_tokens", "data"),
}
_MISSING = frozenset({"", "na", "n/a", "nan", "none", "null", "<na>"})
_LIMITS = {"params_b": (1e5, "billions of parameters"), "tokens_t": (1e4, "trillions of tokens")}


def require(columns: list[str]) -> None:
    for column, what in _REQUIRED.items():
        if column in columns:
            continue
        lower = {c.lower(): c for c in columns}
        like = [lower[a] for a in _ALIASES[column] if a in lower] or near(
            column, [c for c in columns if c not in META]
        )
        if like:
            remedy = f"rename {like[0]!r} to {column!r}, if it holds {what}."
        else:
            remedy = f"add it, with {what}; the table has: {', '.join(columns) or 'no columns'}."
        raise DataError(f"the required column {column!r} is missing: {remedy}")


def holds_numbers(column: pd.Series | pd.DataFrame) -> bool:
    if isinstance(column, pd.DataFrame):
        column = column.iloc[:, 0]
    cells = [c for c in column if not _is_missing(c)]
    return bool(cells) and all(_parse(c) is not None for c in cells)


def reject_repeated(columns: list[str], used: set[str]) -> None:
    repeated = [c for c in dict.fromkeys(columns) if c in used and columns.count(c) > 1]
    if repeated:
        raise DataError(f"the table has {columns.count(repeated[0])} columns {repeated[0]!r}.")


def reject_duplicates(model: Iterable[str]) -> None:
    seen: dict[str, int] = {}
    for row, name in enumerate(model, start=1):
        if name in seen:
            raise DataError(
                f"model {name!r} is there twice, in rows {seen[name]} and {row}: "
                "keep one row a model."
            )
        seen[name] = row


def reject_split(family: Iterable[str], lineage: Iterable[str]) -> None:
    first: dict[str, str] = {}
    for f, line in zip(family, lineage):
        if first.setdefault(f, line) != line:
            raise DataError(
                f"family {f!r} belongs to two lineages, {first[f]!r} and {line!r}: "
                "give each its own family name."
            )


def names(df: pd.DataFrame, column: str, model: Sequence[str] | None = None) -> list[str]:
    names = []
    for row, value in enumerate(df[column]):
        text = "" if is_null(value) else str(value).strip()
        if not text:
            where = f" of model {model[row]!r}" if model is not None else ""
            raise DataError(f"row {row + 1} has no {column} name{where}.")
        names.append(text)
    return names


def lineages(df: pd.DataFrame, family: list[str]) -> list[str]:
    if "lineage" not in df:
        return list(family)
    given = ["" if is_null(v) else str(v).strip() for v in df["lineage"]]
    return [line or f for line, f in zip(given, family)]


def flags(df: pd.DataFrame, model: Sequence[str]) -> np.ndarray:
    if "instruct" not in df:
        return np.zeros(len(df), dtype=bool)
    meaning = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
    meaning |= {"1.0": True, "0.0": False}
    flags = []
    for value, name in zip(df["instruct"], model):
        flag = False if _is_missing(value) else meaning.get(str(value).strip().lower())
        if flag is None:
            raise DataError(f"instruct of model {name!r} is {value!r}: it is true or false.")
        flags.append(flag)
    return np.array(flags, dtype=bool)


def amounts(df: pd.DataFrame, column: str, model: Sequence[str]) -> np.ndarray:
    limit, unit = _LIMITS[column]
    amounts = []
    for cell, name in zip(df[column], model):
        value = _number(cell, column, name)
        if math.isinf(value):
            raise DataError(f"{column} of model {name!r} is infinite: leave unknown cells empty.")
        if value <= 0:
            raise DataError(
                f"{column} of model {name!r} is {value:g}: it must be positive; "
                "leave unknown cells empty."
            )
        if value > limit:
            raise DataError(
                f"{column} of model {name!r} is {value:g}: the unit is {unit}; "
                f"divide by {'1e9' if column == 'params_b' else '1e12'}."
            )
        amounts.append(value)
    return np.array(amounts, dtype=float)


def scores(column: pd.Series, benchmark: str, model: Sequence[str], unscored: bool) -> np.ndarray:
    scores = []
    for cell, name in zip(column, model):
        value = _number(cell, benchmark, name)
        if math.isinf(value):
            raise DataError(
                f"score of model {name!r} on {benchmark} is infinite: leave missing scores empty."
            )
        if value > 1:
            raise DataError(
                f"score {value} of model {name!r} on {benchmark} is above 1: "
                "scores are fractions in [0, 1]; divide by 100."
            )
        if value < 0:
            raise DataError(
                f"score {value} of model {name!r} on {benchmark} is negative: "
                "scores are fractions in [0, 1]."
            )
        scores.append(value + 0.0)  # -0.0 and 0.0 are one score
    array = np.array(scores, dtype=float)
    if not unscored and np.isnan(array).all():
        raise DataError(f"benchmark {benchmark!r} has no score at all: leave it out.")
    return array


def dates(df: pd.DataFrame, model: Sequence[str]) -> pd.Series:
    cells = df["date"] if "date" in df else [None] * len(df)
    dates = []
    for cell, name in zip(cells, model):
        try:
            # a date without time of day or zone: what the table promises, and what CSV keeps
            date = pd.NaT if _is_missing(cell) else pd.Timestamp(cell).tz_localize(None)
        except (ValueError, TypeError):
            raise DataError(
                f"date of model {name!r} is {cell!r}: write it as year-month-day."
            ) from None
        dates.append(date.normalize() if isinstance(date, pd.Timestamp) else pd.NaT)
    return pd.Series(dates, dtype="datetime64[s]")


def released(df: pd.DataFrame, model: Sequence[str], family: Sequence[str]) -> dict[str, pd.Period]:
    """Release month of each family: the earliest that one of its rows gives."""
    months: dict[str, pd.Period] = {}
    for cell, name, f in zip(df.get("released", ()), model, family):
        if _is_missing(cell):
            continue
        try:
            month = pd.Period(cell, freq="M")
        except (ValueError, TypeError):
            raise DataError(
                f"released of model {name!r} is {cell!r}: write it as year-month."
            ) from None
        months[f] = min(month, months.get(f, month))
    return months


def is_number(value: object) -> bool:
    return (
        isinstance(value, int | float | np.integer | np.floating)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


def is_null(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or value != value


def _is_missing(value: Any) -> bool:
    return is_null(value) or (isinstance(value, str) and value.strip().lower() in _MISSING)


def _parse(value: Any) -> float | None:
    """The number in a cell, or None if it holds something else."""
    if isinstance(value, bool | np.bool_):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _number(cell: Any, column: str, model: str) -> float:
    if _is_missing(cell):
        return math.nan
    value = _parse(cell)
    if value is None:
        raise DataError(
            f"{column} of model {model!r} is {cell!r}, not a number: leave missing cells empty."
        )
    return value
