"""Summaries of OpenCompass: ``summary_*.csv``, as its default summarizer writes them.

A row is a task and a metric, with a column of points a model. The shots are not in it, but
the hash of the prompt is (``version``): which shots a prompt of OpenCompass has is a table
that ships (``opencompass_versions.csv``).
"""

from __future__ import annotations

import functools
from collections import defaultdict
from pathlib import Path
from typing import Any

from ..errors import DataError, FileFormatError
from ..support.files import read_cells
from ..support.shipped import PUBLISHED, dataset_folder
from . import elsewhere
from .readings import Gathered, number

_HEAD = ["dataset", "version", "metric", "mode"]


def owns(path: Path) -> bool:
    """Whether a CSV file is a summary of OpenCompass."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.readline().strip().split(",")[: len(_HEAD)] == _HEAD
    except (OSError, UnicodeDecodeError):
        return False


@functools.cache
def _shots() -> dict[tuple[str, str], int]:
    table = read_cells(dataset_folder(PUBLISHED) / "opencompass_versions.csv")
    return {(row.dataset, row.version): int(row.shots) for row in table.itertuples(index=False)}


def gather(path: Path, chosen: list[str], assume: bool, out: Gathered) -> None:
    """Add what a summary says of its models, all of them or those chosen."""
    table = read_cells(path)
    models = list(table.columns[len(_HEAD) :])
    if not models:
        raise FileFormatError(f"{path} is a summary of OpenCompass without a model's column.")
    if len(set(models)) < len(models):
        raise DataError(f"{path} has two columns of one model: rename one.")
    out.exported.update(dict.fromkeys(models))
    for model in models:
        if not chosen or model in chosen:
            _gather_model(path, table, model, assume, out)


def _gather_model(path: Path, table: Any, model: str, assume: bool, out: Gathered) -> None:
    runs: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    for row in table.to_dict("records"):
        text = row[model].strip()
        points = number(text)
        if points is None and text not in ("-", ""):
            raise DataError(f"{path}: {row['dataset']} of {model!r} is {text!r}, not a number.")
        if points is not None:
            runs[row["dataset"], row["version"], row["mode"]][row["metric"]] = points / 100
    whole = {task for task, _, _ in runs}
    for (task, version, mode), metrics in runs.items():
        if version == "-" and not elsewhere.known("OpenCompass", task):
            continue  # a mean of tasks that are listed, or none of ours
        if task == "mmlu" and any(name.startswith("lukaemon_mmlu_") for name in whole):
            continue  # the mean of the 57 subjects, which are there
        shots = _shots().get((task, version))
        elsewhere.gather(
            elsewhere.Entry("OpenCompass", str(path), model, task, metrics, shots, {"mode": mode}),
            assume,
            out,
        )
    # its models are chosen by name, as rows of an export are
    out.from_results.pop(model, None)
