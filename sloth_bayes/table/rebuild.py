"""Rebuild the tidy tables of ``data/`` from the raw files kept beside them.

Four tidy files come out of the wide table of the published comparison: one row a model with
the twelve headline scores, one row a sub-score, one row a score of any other benchmark, and one
row for each headline that its own sub-scores contradict. Two come out of all leaderboards
(:mod:`.open_models`), three out of the over-training testbed (:mod:`.overtraining`), two out of
the score cards of frontier models (:mod:`.frontier`). Values are never altered; corrections are
applied when a data set is loaded, not here.
"""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from ..errors import DataError, FileFormatError
from ..support.files import new_file, read_cells, user_path
from ..support.shipped import PUBLISHED, checkout, shipped
from . import frontier, open_models, overtraining
from .headline import headline

_COLUMNS = {
    "model": "Model",
    "family": "Family2",
    "lineage": "Family",
    "instruct": "Instruct",
    "params_b": "#Params (B)",
    "tokens_t": "Pretraining Data Size (T)",
    "date": "date",
}
_HEADLINES = [
    *("MMLU", "ARC", "HellaSwag", "Winogrande", "TruthfulQA", "GSM8K"),
    *("IFEval", "BBH", "MATH Lvl 5", "GPQA", "MUSR", "MMLU-PRO"),
]
_OTHER = ["HumanEval", "XWinograd", "Arena-Elo", "MTBench"]
_PREFIX = {
    "MMLU": "hendrycksTest-",
    "BBH": "bbh_",
    "MATH Lvl 5": "math_",
    "GPQA": "gpqa_",
    "MUSR": "musr_",
}


def build(out: str | Path | None = None, raw: str | Path | None = None) -> list[Path]:
    """Write the tidy files of the leaderboards that ship.

    The hand-made files (``benchmarks.csv``, ``corrections.csv``, ``mapping.csv`` and so on)
    are sources: they are read where needed, never written.

    Parameters
    ----------
    out
        A folder that gets ``open_llm_leaderboard/*.csv``, ``open_models/*.csv``,
        ``overtraining/*.csv`` and ``frontier_scorecards/*.csv``. By default the ``data`` folder
        of the checkout that the package is imported from.
    raw
        The folder holding the raw files, laid out as the ``raw`` folder that ships, which is
        the default.

    Returns
    -------
    list of pathlib.Path
        The files written. The same raw files always give the same bytes.

    Raises
    ------
    FileFormatError
        No `out` was given and the package is installed, not a checkout; or a raw table
        cannot be read.
    DataError
        A raw table lacks a column, holds something that is not a number, or has a row that
        no hand-made file accounts for.

    Examples
    --------
    >>> import tempfile
    >>> [path.name for path in build(tempfile.mkdtemp())][-2:]
    ['models.csv', 'benchmarks.csv']
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
    raw = user_path(raw) if raw is not None else sources / "raw"
    rows = _read(raw / PUBLISHED / "sloth_data_v2.csv")
    names = (PUBLISHED, open_models.NAME, overtraining.NAME, frontier.NAME)
    folder, joint, grid, cards = (user_path(out) / name for name in names)
    for target in (folder, joint, grid, cards):
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileFormatError(f"cannot write to {target}: {error.strerror}.") from error
    parts = pd.MultiIndex.from_tuples(_parts(rows).values(), names=("benchmark", "subtask"))
    subscores = _long(rows[[*_parts(rows)]].set_axis(parts, axis=1))
    corrections = read_cells(sources / PUBLISHED / "corrections.csv")
    corrected = set(zip(corrections["model"], corrections["column"]))
    tables = {
        "models.csv": rows[[*_COLUMNS, *_HEADLINES]],
        "subscores.csv": subscores,
        "other_scores.csv": _long(rows[_OTHER].rename_axis(columns="benchmark")),
        "headline_check.csv": _headline_check(rows, subscores, corrected),
    }
    for name, table in tables.items():
        with new_file(folder / name) as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
    models = open_models.build(joint, sources / open_models.NAME, raw, tables["models.csv"])
    runs = overtraining.build(grid, sources / overtraining.NAME, raw)
    frontiers = frontier.build(cards, sources / frontier.NAME, raw)
    return [*(folder / name for name in tables), *models, *runs, *frontiers]


def _read(path: Path) -> pd.DataFrame:
    """The raw table by model: text in our order, with our names for what describes a model."""
    try:
        rows = pd.read_csv(path, dtype="str", keep_default_na=False, encoding="utf-8")
    except pd.errors.EmptyDataError:
        rows = pd.DataFrame()
    except OSError as error:
        raise FileFormatError(f"cannot read the raw table {path}: {error.strerror}.") from error
    except (UnicodeDecodeError, pd.errors.ParserError) as error:
        raise FileFormatError(f"the raw table {path} is not a CSV file: {error}.") from error
    for column in (*_COLUMNS.values(), *_HEADLINES, *_OTHER):
        if column not in rows:
            raise DataError(f"the raw table {path} has no column {column!r}.")
    numbers = (_COLUMNS["params_b"], _COLUMNS["tokens_t"], *_parts(rows), *_HEADLINES, *_OTHER)
    for column in numbers:
        rows[column] = [_plain(m, column, text) for m, text in zip(rows["Model"], rows[column])]
    rows = rows.rename(columns={theirs: ours for ours, theirs in _COLUMNS.items()})
    rows["instruct"] = rows["instruct"].str.lower()
    rows = rows.sort_values(["lineage", "family", "params_b", "model"], key=_sorts_by)
    return rows.set_index("model", drop=False)


def _sorts_by(column: pd.Series) -> pd.Series:
    return pd.to_numeric(column).fillna(0.0) if column.name == "params_b" else column


def _parts(rows: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Benchmark and sub-task of every column with sub-scores."""
    return {
        column: (benchmark, column.removeprefix(prefix))
        for benchmark, prefix in _PREFIX.items()
        for column in sorted(rows.columns)
        if column.startswith(prefix)
    }


def _plain(model: str, column: str, text: str) -> str:
    """The shortest text of a number, without the noise of binary arithmetic; none if missing."""
    try:
        value = float(text.strip() or math.nan)
    except ValueError:
        raise DataError(
            f"{column} of model {model!r} in the raw table is {text.strip()!r}, not a number."
        ) from None
    short = round(value, 6)
    plain = f"{short if abs(short - value) < 1e-12 else value!r}".removesuffix(".0")
    return "" if math.isnan(value) else plain


def _long(table: pd.DataFrame) -> pd.DataFrame:
    """One row a score, with the names that `table` has for its rows and columns."""
    scores = table.stack(list(range(table.columns.nlevels)), future_stack=True)
    return scores[scores != ""].rename("score").reset_index()


def _headline_check(
    rows: pd.DataFrame, subscores: pd.DataFrame, corrected: set[tuple[str, str]]
) -> pd.DataFrame:
    """Every headline that lies further from its own sub-scores than rounding explains."""
    cells = subscores.groupby(["model", "benchmark"], sort=False)
    n_tasks = cells.size().groupby("benchmark").max()
    found = []
    for (model, benchmark), part in cells:
        published = rows.at[model, benchmark]
        if not published or len(part) < n_tasks[benchmark]:
            continue
        implied = headline(benchmark, dict(zip(part["subtask"], part["score"].astype(float))))
        off = float(published) - implied
        # MMLU headlines are given to 4 decimals or more, the others to 2
        if abs(off) > (0.00005 if benchmark == "MMLU" else 0.005) + 1e-6:
            decision = "corrected" if (model, benchmark) in corrected else "kept"
            found.append((model, benchmark, published, f"{implied:.4f}", f"{off:+.4f}", decision))
    columns = ["model", "benchmark", "headline", "from_subscores", "difference", "decision"]
    return pd.DataFrame(found, columns=columns)
