"""Rebuild the tidy tables of ``data/`` from the raw files kept beside them.

The raw table is one wide CSV per collection. Four tidy files come out of it: one row a
model with the twelve headline scores, one row a sub-score, one row a score of any other
benchmark, and one row for each headline that its own sub-scores contradict. Values are
never altered; corrections are applied when a data set is loaded, not here.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import DataError, FileFormatError
from ..support.files import atomic_path
from ..support.shipped import checkout, shipped

NAME = "open_llm_leaderboard"

_COLUMNS = {
    "model": "Model",
    "family": "Family2",
    "lineage": "Family",
    "instruct": "Instruct",
    "params_b": "#Params (B)",
    "tokens_t": "Pretraining Data Size (T)",
    "date": "date",
}
_V1 = ("MMLU", "ARC", "HellaSwag", "Winogrande", "TruthfulQA", "GSM8K")
_V2 = ("IFEval", "BBH", "MATH Lvl 5", "GPQA", "MUSR", "MMLU-PRO")
_OTHER = ("HumanEval", "XWinograd", "Arena-Elo", "MTBench")
_PREFIX = {
    "MMLU": "hendrycksTest-",
    "BBH": "bbh_",
    "MATH Lvl 5": "math_",
    "GPQA": "gpqa_",
    "MUSR": "musr_",
}
# Questions of each sub-task, where the headline is a mean over questions. The other
# headlines follow the unweighted mean over sub-tasks (data/README.md has the counts).
_QUESTIONS = {
    "GPQA": {"diamond": 198, "extended": 546, "main": 448},
    "MATH Lvl 5": {
        "algebra_hard": 307,
        "counting_and_prob_hard": 123,
        "geometry_hard": 132,
        "intermediate_algebra_hard": 280,
        "num_theory_hard": 154,
        "prealgebra_hard": 193,
        "precalculus_hard": 135,
    },
}


def build(out: str | Path | None = None, raw: str | Path | None = None) -> list[Path]:
    """Write the tidy files of the Open LLM Leaderboard data set.

    The hand-made files (``benchmarks.csv``, ``corrections.csv``, ``releases.csv``,
    ``moe.csv``, ``about.toml``) are sources: they are read where needed, never written.

    Parameters
    ----------
    out
        A folder that gets ``open_llm_leaderboard/*.csv``. By default the ``data`` folder of
        the checkout that the package is imported from.
    raw
        The folder holding ``open_llm_leaderboard/sloth_data_v2.csv``; by default the
        ``raw`` folder that ships.

    Returns
    -------
    list of pathlib.Path
        The files written. The same raw file always gives the same bytes.

    Raises
    ------
    FileFormatError
        No `out` was given and the package is installed, not a checkout; or the raw table
        cannot be read.
    DataError
        The raw table lacks a column or holds something that is not a number.

    Examples
    --------
    >>> import tempfile
    >>> [path.name for path in build(tempfile.mkdtemp())]
    ['models.csv', 'subscores.csv', 'other_scores.csv', 'headline_check.csv']
    """
    if out is None:
        root = checkout()
        if root is None:
            raise FileFormatError(
                "the package is installed, and what ships with it is read-only: "
                "name a folder to write to (--out FOLDER)."
            )
        out = root / "data"
    sources = shipped("data")
    source = (Path(raw) if raw is not None else sources / "raw") / NAME / "sloth_data_v2.csv"
    rows = _read(source)
    folder = Path(out) / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileFormatError(f"cannot write to {folder}: {error.strerror}.") from error
    subscores = _subscores(rows)
    corrected = _corrected_cells(sources / NAME / "corrections.csv")
    tables: dict[str, Sequence[Sequence[str]]] = {
        "models.csv": _models(rows),
        "subscores.csv": [("model", "benchmark", "subtask", "score"), *subscores],
        "other_scores.csv": _other(rows),
        "headline_check.csv": _headline_check(rows, subscores, corrected),
    }
    return [_write(folder / name, table) for name, table in tables.items()]


def headline(benchmark: str, subscores: dict[str, float]) -> float:
    """The headline score of one model that its sub-scores give, before rounding.

    GPQA and MATH Lvl 5 are means over questions, so their sub-scores are weighted by the
    number of questions; MMLU, BBH and MUSR are unweighted means over their sub-tasks.

    Parameters
    ----------
    benchmark
        A benchmark with sub-scores.
    subscores
        Sub-task to score in [0, 1]; every sub-task of the benchmark.

    Examples
    --------
    >>> tasks = {"murder_mysteries": 0.5, "object_placements": 0.25, "team_allocation": 0.75}
    >>> headline("MUSR", tasks)
    0.5
    >>> round(headline("GPQA", {"diamond": 0.3, "extended": 0.2, "main": 0.2}), 4)
    0.2166
    """
    weights = _QUESTIONS.get(benchmark, dict.fromkeys(subscores, 1))
    total = math.fsum(weights[task] * score for task, score in subscores.items())
    return total / sum(weights[task] for task in subscores)


def _read(path: Path) -> list[dict[str, str]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            columns = reader.fieldnames or ()
    except OSError as error:
        raise FileFormatError(f"cannot read the raw table {path}: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileFormatError(f"the raw table {path} is not a CSV file: {error}.") from error
    for column in (*_COLUMNS.values(), *_V1, *_V2, *_OTHER):
        if column not in columns:
            raise DataError(f"the raw table {path} has no column {column!r}.")
    key = _COLUMNS
    return sorted(
        rows,
        key=lambda r: (
            r[key["lineage"]],
            r[key["family"]],
            _value(r, key["params_b"]) or 0.0,
            r[key["model"]],
        ),
    )


def _value(row: dict[str, str], column: str) -> float | None:
    text = row[column].strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise DataError(
            f"{column} of model {row['Model']!r} in the raw table is {text!r}, not a number."
        ) from None
    return None if math.isnan(value) else value


def _text(value: float | None) -> str:
    """The shortest text of a value, without the noise of binary arithmetic."""
    if value is None:
        return ""
    short = round(value, 6)
    return f"{short if abs(short - value) < 1e-12 else value!r}".removesuffix(".0")


def _models(rows: Sequence[dict[str, str]]) -> list[tuple[str, ...]]:
    table: list[tuple[str, ...]] = [(*_COLUMNS, *_V1, *_V2)]
    for row in rows:
        table.append(
            (
                *(row[_COLUMNS[c]] for c in ("model", "family", "lineage")),
                row[_COLUMNS["instruct"]].lower(),
                *(_text(_value(row, _COLUMNS[c])) for c in ("params_b", "tokens_t")),
                row[_COLUMNS["date"]],
                *(_text(_value(row, benchmark)) for benchmark in (*_V1, *_V2)),
            )
        )
    return table


def _subscores(rows: Sequence[dict[str, str]]) -> list[tuple[str, str, str, str]]:
    table = []
    for row in rows:
        for benchmark, prefix in _PREFIX.items():
            for column in sorted(c for c in row if c.startswith(prefix)):
                score = _value(row, column)
                if score is not None:
                    task = column.removeprefix(prefix)
                    table.append((row["Model"], benchmark, task, _text(score)))
    return table


def _other(rows: Sequence[dict[str, str]]) -> list[tuple[str, ...]]:
    table: list[tuple[str, ...]] = [("model", "benchmark", "score")]
    for row in rows:
        for benchmark in _OTHER:
            score = _value(row, benchmark)
            if score is not None:
                table.append((row["Model"], benchmark, _text(score)))
    return table


def _headline_check(
    rows: Sequence[dict[str, str]],
    subscores: Iterable[tuple[str, str, str, str]],
    corrected: set[tuple[str, str]],
) -> list[tuple[str, ...]]:
    """Every headline that lies further from its own sub-scores than rounding explains."""
    by_cell: dict[tuple[str, str], dict[str, float]] = {}
    for model, benchmark, task, score in subscores:
        by_cell.setdefault((model, benchmark), {})[task] = float(score)
    n_tasks = {
        b: max((len(t) for (_, c), t in by_cell.items() if c == b), default=1) for b in _PREFIX
    }
    table: list[tuple[str, ...]] = [
        ("model", "benchmark", "headline", "from_subscores", "difference", "decision")
    ]
    for row in rows:
        for benchmark in _PREFIX:
            model = row["Model"]
            tasks = by_cell.get((model, benchmark), {})
            published = _value(row, benchmark)
            if published is None or len(tasks) < n_tasks[benchmark]:
                continue
            implied = headline(benchmark, tasks)
            # MMLU headlines are given to 4 decimals or more, the others to 2
            tolerance = 0.00005 if benchmark == "MMLU" else 0.005
            if abs(published - implied) > tolerance + 1e-6:
                table.append(
                    (
                        model,
                        benchmark,
                        _text(published),
                        f"{implied:.4f}",
                        f"{published - implied:+.4f}",
                        "corrected" if (model, benchmark) in corrected else "kept",
                    )
                )
    return table


def _corrected_cells(path: Path) -> set[tuple[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return {(row["model"], row["column"]) for row in csv.DictReader(file)}


def _write(path: Path, table: Iterable[Sequence[str]]) -> Path:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table)
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.getvalue().encode())
    return path
