"""Exports of the Open LLM Leaderboard as CSV files, and tables like the one that ships.

Each format has its columns and their units in a table that ships (``exports.csv``,
explained in ``data/README.md``): points that were rescaled from chance are turned back into
the raw score where that is possible.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ..errors import DataError, FileFormatError
from ..support.files import read_cells
from ..support.shipped import DEFAULT, dataset_folder
from .leaderboard import load_dataset
from .readings import Gathered, Reading, last_part, number

Scale = Literal["points", "fractions"]


def gather(path: Path, chosen: list[str], scale: Scale | None, out: Gathered) -> None:
    """Add the rows of one CSV file, all of them or those chosen."""
    table = read_cells(path)
    columns = list(table.columns)
    headers = {_header(c): c for c in reversed(columns)}
    known = _export_columns(path, headers)
    for column in headers.values():
        if columns.count(column) > 1 and _header(column):
            raise DataError(f"{path} has {columns.count(column)} columns {column!r}.")
    names = _export_names(path, table, headers)
    out.exported.update(dict.fromkeys(name for each in names for name in each))
    rows: Iterable[int] = range(len(table))
    if chosen:
        rows = [i for i in rows if not set(chosen).isdisjoint(names[i])]
    cells, units = {}, {}
    for spec in known:
        texts = table[headers[_header(spec.column)]]
        cells[spec.column] = [_cell(path, t, spec.column, n[0]) for t, n in zip(texts, names)]
        units[spec.column] = spec.unit if spec.column.endswith(" Raw") else scale or spec.unit
    for unit, limit in (("points", 100), ("fractions", 1)):
        values = [v for c in cells if units[c] == unit for v in cells[c] if v is not None]
        low, high = min(values, default=0.0), max(values, default=0.0)
        if high > limit or low < 0:
            bad = high if high > limit else low
            raise DataError(
                f"{path}: the score {bad:g} is not in {unit}, 0 to {limit}, as exports like this "
                "one are: correct it, or say what the scores are in (scale= or --scale)."
            )
        if unit == "points" and 0 < high <= 1 and scale is None:
            raise DataError(
                f"{path}: exports like this one are in points, 0 to 100, but no score exceeds 1: "
                "say which it is, points or fractions (scale= or --scale)."
            )
    seen: dict[str, int] = {}
    for i in rows:
        model = names[i][0]
        if model in seen:
            raise DataError(
                f"{path}: model {model!r} is there twice, in rows {seen[model] + 1} and {i + 1}: "
                "keep one, or choose by its eval_name."
            )
        seen[model] = i
        _export_row(path, table.iloc[i], headers, model, out)
        done: set[str] = set()
        for spec in known:
            column, benchmark = spec.column, spec.benchmark
            value = cells[column][i]
            if value is None or benchmark in done:
                continue
            done.add(benchmark)
            score, reason = _raw(value, units[column], spec)
            found = Reading(str(path), model, benchmark, column, "", column)
            if score is None:
                out.skips.append(found.skip("no score", reason))
            else:
                out.readings.append(found._replace(score=score))


def _header(name: str) -> str:
    """A column's name as people type it: without arrows, case or spacing."""
    return " ".join(re.sub(r"[^\w#()./+\- ]", "", name).split()).casefold()


def _export_columns(path: Path, headers: Mapping[str, str]) -> list[Any]:
    """The benchmark columns of the format that a table is in."""
    own = ("model", "family", "params_b", "tokens_t")
    if headers.keys() >= set(own) or headers.keys() >= {"family", "pretraining data size (t)"}:
        kind = "table"
    elif any(h.startswith("average") for h in headers):
        kind = "leaderboard"
    else:
        raise FileFormatError(
            f"{path} is no export of the Open LLM Leaderboard, which has a column 'Average', nor "
            f"a table with the columns {', '.join(own)}."
        )
    table = read_cells(dataset_folder(DEFAULT) / "exports.csv")
    specs = table[table["format"] == kind].itertuples(index=False)
    known = [spec for spec in specs if _header(spec.column) in headers]
    if not known:
        raise FileFormatError(
            f"{path} has no benchmark of the leaderboards, which are "
            f"{', '.join(load_dataset().benchmark_names)}."
        )
    return known


def _export_names(
    path: Path, table: pd.DataFrame, headers: Mapping[str, str]
) -> list[tuple[str, ...]]:
    """Every name of every row: the one to use, its last part, the leaderboard's own key."""
    column = next((headers[h] for h in ("fullname", "model_name_for_query", "model", "model name")
                   if h in headers), None)  # fmt: skip
    if column is None:
        raise FileFormatError(f"{path} has no column with the models' names ('fullname', 'Model').")
    names: list[tuple[str, ...]] = []
    for i, cell in enumerate(table[column]):
        # the page's own column holds a link around the name
        name = re.sub(r"<[^>]*>|[^\x20-\x7e]", "", str(cell)).strip()
        if not name:
            raise DataError(f"{path}: row {i + 1} has no model name.")
        key = str(table.at[i, headers["eval_name"]]) if "eval_name" in headers else name
        names.append((name, last_part(name), key))
    return names


def _cell(path: Path, text: str, column: str, model: str) -> float | None:
    plain = text.strip().removesuffix("%").strip()
    if plain.casefold() in ("", "na", "n/a", "nan", "none", "null", "-"):
        return None
    value = number(plain)
    if value is None:
        raise DataError(f"{path}: {column} of model {model!r} is {text!r}, not a number.")
    return value


def _raw(value: float, unit: str, spec: Any) -> tuple[float | None, str]:
    """The score as the shipped table holds it, or why it cannot be had."""
    score = value / 100 if unit == "points" else value
    match spec.rescaled:
        case "no":
            return score, ""
        case "by sub-task":
            return None, (
                "its points are a mean of sub-tasks each rescaled from its own chance level; "
                f"export the column '{spec.benchmark} Raw' too"
            )
    chance = float(spec.chance)
    if score == 0:
        return None, f"0 points mean the chance level, {100 * chance:g}%, or anything below"
    return chance + (1 - chance) * score, ""


def _export_row(
    path: Path, row: pd.Series, headers: Mapping[str, str], model: str, out: Gathered
) -> None:
    """What an export says of a model besides its scores; zeros and -1 stand for unknown."""
    facts = out.facts[model]
    theirs = {"#params (b)": "params_b", "pretraining data size (t)": "tokens_t"}
    for header in ("#params (b)", "params_b", "pretraining data size (t)", "tokens_t"):
        if header in headers:
            value = _cell(path, row[headers[header]], headers[header], model)
            if value is not None and value > 0:
                facts[theirs.get(header, header)] = value
    said = {header: row[column].strip() for header, column in headers.items() if header}
    if "instruct" in said:
        facts["instruct"] = said["instruct"].casefold() in ("true", "1", "yes")
    elif "type" in said:
        facts["instruct"] = "chat" in said["type"].casefold()
    # the collection of the Sloth paper calls our family Family2, and our lineage Family
    kinds = ("family2", "family") if "family2" in said else ("family", "lineage")
    for header, fact in zip(kinds, ("family", "lineage")):
        if said.get(header):
            facts[fact] = said[header]
