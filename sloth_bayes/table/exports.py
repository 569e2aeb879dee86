"""Exports of the Open LLM Leaderboard as CSV files, and tables like the one that ships.

Each format has its columns and their units in a table that ships (``exports.csv``,
explained in ``data/README.md``): points that were rescaled from chance are turned back into
the raw score where that is possible.

A model that is there once a precision is taken as full precision has it, bfloat16 before
float16 before float32; quantised weights make another model, under a name that says so.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ..errors import DataError, FileFormatError
from ..support.files import read_cells
from ..support.shipped import PUBLISHED, dataset_folder
from ..support.spelling import other_unit, what_to_write
from ..support.words import counted
from .benchmarks import near_named, said_of_near
from .comparability import judge
from .identity import in_name, precision
from .leaderboard import load_dataset
from .readings import Gathered, Reading, Skip, last_part, number
from .sizes import why_not_the_size

Scale = Literal["points", "fractions"]

# Full precision, best first, where a model is there in several
_PRECISIONS = ("bfloat16", "float16", "float32")
# The shots that a header names, as those of 2023 do, and the metric of TruthfulQA
_SHOTS = re.compile(r"\s*\(\s*(\d+)[- ]?s(?:hots?)?\s*\)")
_MC2 = re.compile(r"[\s(:_-]*mc2?\)?\s*$")
_WRAPPED = re.compile(r"harness\|([^|]+)\|(\d+)(?:\|.*)?")


def gather(path: Path, chosen: list[str], scale: Scale | None, out: Gathered) -> None:
    """Add the rows of one CSV file, all of them or those chosen."""
    table = read_cells(path)
    columns = list(table.columns)
    headers = {_header(c): c for c in reversed(columns)}
    kind, known = _export_columns(path, headers)
    for column in headers.values():
        if columns.count(column) > 1 and _header(column):
            raise DataError(f"{path} has {columns.count(column)} columns {column!r}.")
    taken = {headers[_header(spec.column)] for spec in known}
    near = near_named(set(columns) - taken, {spec.benchmark for spec in known})
    if near:
        out.notes.append(f"{path}: {said_of_near(dict(sorted(near.items())))}.")
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
    for i in _one_a_model(path, table, headers, names, rows, out):
        model = names[i][0]
        stored = str(table.at[i, headers["precision"]]) if "precision" in headers else ""
        weights = (precision(stored) or in_name(model)) if kind == "leaderboard" else ""
        _export_row(path, table.iloc[i], headers, model, out, kind)
        done: set[str] = set()
        for spec in known:
            column, benchmark = headers[_header(spec.column)], spec.benchmark
            value = cells[spec.column][i]
            if value is None or benchmark in done:
                continue
            done.add(benchmark)
            score, reason = _raw(value, units[spec.column], spec)
            shots = _named_shots(column)
            found = Reading(str(path), model, benchmark, column, "", column, shots=shots)
            wanted = _leaderboard_shots()[benchmark]
            if score is None:
                out.skips.append(found.skip("no score", reason))
                continue
            flaws: tuple[str, ...] = ()
            if shots is not None and shots != wanted:
                made = counted(shots, "shot")
                flaws = (f"evaluated with {made}, where the leaderboard has {wanted}",)
            notes = judge(benchmark, "", {"weights": weights} if weights else {}).notes
            out.readings.append(found._replace(score=score, flaws=flaws, note="; ".join(notes)))


def _one_a_model(
    path: Path,
    table: pd.DataFrame,
    headers: Mapping[str, str],
    names: list[tuple[str, ...]],
    rows: Iterable[int],
    out: Gathered,
) -> list[int]:
    """The rows to read: one a model, of those in full precision the first of the order above."""
    groups: dict[str, list[int]] = {}
    for i in rows:
        groups.setdefault(names[i][0], []).append(i)
    kept: list[int] = []
    chosen: list[str] = []
    for model, same in groups.items():
        if len(same) > 1 and "precision" in headers:
            stored = [str(table.at[i, headers["precision"]]).strip().casefold() for i in same]
            order = [_PRECISIONS.index(p) if p in _PRECISIONS else 9 for p in map(_dtype, stored)]
            best = [i for i, o in zip(same, order) if o == min(order)]
            if len(best) == 1 and min(order) < 9:
                others = ", ".join(p for i, p in zip(same, stored) if i != best[0])
                chosen.append(f"{model} from {_PRECISIONS[min(order)]}, not {others}")
                kept.append(best[0])
                continue
            same = best
        if len(table.loc[same].drop_duplicates()) == 1:
            kept.append(same[0])
            continue
        ways = ["keep one of them in the file"]
        ways += ["choose by its eval_name (model= or --model)"] * ("eval_name" in headers)
        at = " and ".join(str(i + 1) for i in same)
        reason = f"model {model!r} is there {_times(len(same))}, in rows {at}: {', or '.join(ways)}"
        out.skips.append(Skip(str(path), model, "", model, "", None, "ambiguous", reason))
    if chosen:
        more = f", and {len(chosen) - 3} more" if len(chosen) > 3 else ""
        out.notes.append(
            f"{path}: {counted(len(chosen), 'model')} in several precisions, {_PRECISIONS[0]} "
            f"taken first ({'; '.join(chosen[:3])}{more}): MODEL@PRECISION as the name (model= or "
            "--model) takes another."
        )
    return kept


def _times(n: int) -> str:
    return "twice" if n == 2 else f"{n} times"


def _dtype(text: str) -> str:
    plain = text.removeprefix("torch.")
    return {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}.get(plain, plain)


def _header(name: str) -> str:
    """A column's name as people type it: without arrows, case, spacing, or the shots it names."""
    wrapped = _WRAPPED.fullmatch(name.strip())
    name = re.sub(r"[^\w#()./+\- ]", "", wrapped[1] if wrapped else name)
    name = " ".join(_SHOTS.sub("", name).split()).casefold()
    return _MC2.sub("", name) if name.startswith("truthful") else name


def _named_shots(column: str) -> int | None:
    found = _SHOTS.search(column) or _WRAPPED.fullmatch(column.strip())
    return None if found is None else int(found.groups()[-1])


@functools.cache
def _leaderboard_shots() -> dict[str, int]:
    """The leaderboards' own, by benchmark."""
    table = read_cells(dataset_folder(PUBLISHED) / "benchmarks.csv")
    return dict(zip(table["name"], table["shots"].astype(int)))


def _export_columns(path: Path, headers: Mapping[str, str]) -> tuple[str, list[Any]]:
    """The format that a table is in, and its benchmark columns."""
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
    table = read_cells(dataset_folder(PUBLISHED) / "exports.csv")
    specs = table[table["format"] == kind].itertuples(index=False)
    known = [spec for spec in specs if _header(spec.column) in headers]
    if not known:
        near = near_named(headers.values(), ())
        raise FileFormatError(
            f"{path} has no benchmark of the leaderboards, which are "
            f"{', '.join(load_dataset(PUBLISHED).benchmark_names)}"
            + (f"; {said_of_near(near)}." if near else ".")
        )
    return kind, known


def _export_names(
    path: Path, table: pd.DataFrame, headers: Mapping[str, str]
) -> list[tuple[str, ...]]:
    """Every name of every row: the one to use, its last part, the leaderboard's own key."""
    known = ("fullname", "model_name_for_query", "model", "model name", "model_name")
    column = next((headers[h] for h in known if h in headers), None)
    if column is None:
        raise FileFormatError(f"{path} has no column with the models' names ('fullname', 'Model').")
    names: list[tuple[str, ...]] = []
    for i, cell in enumerate(table[column]):
        # the page's own column holds a link around the name
        name = re.sub(r"<[^>]*>|[^\x20-\x7e]", "", str(cell)).strip()
        if not name:
            raise DataError(f"{path}: row {i + 1} has no model name.")
        stored = str(table.at[i, headers["precision"]]) if "precision" in headers else ""
        if weights := precision(stored):
            name += "" if in_name(name) else f"-{weights}"
        keys = [name, last_part(name)]
        if stored.strip() and stored.strip() != "?":
            keys += [f"{key}@{stored.strip()}" for key in keys]
        if "eval_name" in headers:
            keys.append(str(table.at[i, headers["eval_name"]]))
        names.append(tuple(keys))
    return names


def _cell(path: Path, text: str, column: str, model: str) -> float | None:
    plain = text.strip().removesuffix("%").strip()
    if plain.casefold() in ("", "na", "n/a", "nan", "none", "null", "-"):
        return None
    value = number(plain)
    if value is None:
        plain = column.casefold()
        amount = "params_b" if "param" in plain else "tokens_t"
        sized = "param" in plain or "token" in plain or "data size" in plain
        advice = what_to_write(text, amount if sized else "points")
        said = f": {advice}." if advice else ", not a number."
        raise DataError(f"{path}: {column} of model {model!r} is {text!r}{said}")
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
    path: Path,
    row: pd.Series,
    headers: Mapping[str, str],
    model: str,
    out: Gathered,
    kind: str,
) -> None:
    """What an export says of a model besides its scores; zeros and -1 stand for unknown."""
    facts = out.facts[model]
    theirs = {"#params (b)": "params_b", "pretraining data size (t)": "tokens_t"}
    for header in ("#params (b)", "params_b", "pretraining data size (t)", "tokens_t"):
        if header in headers:
            value = _cell(path, row[headers[header]], headers[header], model)
            fact = theirs.get(header, header)
            if value is not None and value > 0 and (wrong := other_unit(value, fact)):
                raise DataError(f"{path}: {headers[header]} of model {model!r} is {wrong}.")
            if value is not None and value > 0:
                facts[fact] = value
    said = {header: row[column].strip() for header, column in headers.items() if header}
    if kind == "leaderboard" and "params_b" in facts:
        mixture = said.get("moe", "").casefold() in ("true", "1", "yes") or None
        stored = precision(said.get("precision", ""))
        facts["doubt"] = why_not_the_size(model, facts["params_b"], stored, mixture)
    if "instruct" in said:
        facts["instruct"] = said["instruct"].casefold() in ("true", "1", "yes")
    elif "type" in said:
        facts["instruct"] = "chat" in said["type"].casefold()
    # the collection of the Sloth paper calls our family Family2, and our lineage Family
    kinds = ("family2", "family") if "family2" in said else ("family", "lineage")
    for header, fact in zip(kinds, ("family", "lineage")):
        if said.get(header):
            facts[fact] = said[header]
