"""Tasks of harnesses other than the lm-evaluation-harness, held against the leaderboards'.

Which of their tasks stand for a benchmark, with which settings, is a table that ships
(``other_tasks.csv``, explained in ``data/README.md``). Each harness has a reader of its
own (:mod:`.lighteval`, :mod:`.helm`, :mod:`.opencompass`, :mod:`.inspect_logs`), which turns
files into :class:`Entry`; what an entry is worth is decided here, as
:mod:`.harness` decides it for its own.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from ..errors import DataError
from ..support.files import read_cells
from ..support.shipped import PUBLISHED, dataset_folder
from ..support.words import counted
from .harness import known_tasks
from .readings import Gathered, Reading, number

_UNKNOWN_SHOTS = "the file does not say with how many shots it was evaluated"


class Entry(NamedTuple):
    """One task of one file, as its harness gives it; scores are fractions."""

    harness: str
    file: str
    model: str
    task: str
    metrics: Mapping[str, Any]
    shots: int | None = None
    settings: Mapping[str, Any] = {}  # what else the file says of how the task was run
    flaws: tuple[str, ...] = ()
    note: str = ""
    date: float | None = None
    questions: float | None = None  # how many were asked, if the file says


def other_tasks() -> pd.DataFrame:
    """The tasks of other harnesses that stand for a benchmark.

    Returns
    -------
    pandas.DataFrame
        One row a task: harness; task (a star stands for the part of a set); benchmark; set
        and subtask (as in :func:`known_tasks`); shots (the leaderboard's); given (those the
        task has where its file says nothing); questions (how many it asks); metric,
        instead and differs (as in :func:`known_tasks`; without a metric the task is only named
        to be refused); needs (settings that must agree); note (what shifts a score that is
        used).

    Examples
    --------
    >>> sorted(set(other_tasks()["harness"]))
    ['HELM', 'Inspect', 'OpenCompass', 'lighteval']
    """
    return read_cells(dataset_folder(PUBLISHED) / "other_tasks.csv").astype({"shots": int})


@functools.cache
def _rows(harness: str) -> tuple[Any, ...]:
    """The rows of :func:`other_tasks` of one harness; names in full before patterns."""
    table = other_tasks()
    rows = table[table["harness"] == harness].itertuples(index=False)
    return tuple(sorted(rows, key=lambda row: "*" in row.task))


@functools.cache
def _subtasks(benchmark: str) -> frozenset[str]:
    tasks = known_tasks()
    found = tasks.loc[(tasks["benchmark"] == benchmark) & (tasks["subtask"] != ""), "subtask"]
    return frozenset(found)


@functools.cache
def parts_of(name: str) -> frozenset[str]:
    """The sub-tasks that a set of :func:`other_tasks` consists of, ``harness set`` its name."""
    harness, _, own = name.partition(" ")
    rows = [row for row in _rows(harness) if row.set == own and row.subtask]
    if any(row.subtask == "*" for row in rows):
        return _subtasks(rows[0].benchmark)
    return frozenset(row.subtask for row in rows)


def known(harness: str, task: str) -> bool:
    """Whether a task is in :func:`other_tasks`."""
    return _row(harness, task) is not None


def _row(harness: str, task: str) -> tuple[Any, str] | None:
    """The row of a task, and the part of its benchmark that it is."""
    for row in _rows(harness):
        start, star, end = row.task.partition("*")
        if not star:
            if row.task == task:
                return row, row.subtask
        elif task.startswith(start) and task.endswith(end) and len(task) > len(start + end):
            part = task[len(start) : len(task) - len(end)]
            if row.subtask != "*":
                return row, row.subtask
            if part in _subtasks(row.benchmark):
                return row, part
    return None


def gather(entry: Entry, assume: bool, out: Gathered) -> None:
    """Add what an entry is worth: a reading, or why it is none."""
    out.from_results[entry.model] = ("", "")
    found = _row(entry.harness, entry.task)
    where = Reading(entry.file, entry.model, "", "", "", f"{entry.harness} {entry.task}")
    where = where._replace(shots=entry.shots, date=entry.date)
    if found is None:
        out.skips.append(where.skip("unrelated", "it is no benchmark of the leaderboards"))
        return
    row, part = found
    reading = where._replace(
        benchmark=row.benchmark, set=f"{entry.harness} {row.set}", subtask=part
    )
    wanted = row.metric.split(" | ")[0]
    flaws = [row.differs] if row.differs else []
    if not wanted:
        out.skips.append(reading.skip("mismatch", row.differs))
        return
    metric, score = _score(entry.metrics, row.metric)
    if score is None:
        metric, score = _score(entry.metrics, row.instead)
        flaws.append(f"its metric is {metric}, where the leaderboard has {wanted}")
    if score is None:
        kept = sorted(k for k, v in entry.metrics.items() if number(v) is not None)
        reason = f"it has no number for {wanted}"
        reason += f", only {', '.join(kept[:6])}" if kept else ""
        out.skips.append(reading.skip("no score", reason))
        return
    if not 0 <= score <= 1:
        raise DataError(
            f"{entry.file}: {metric} of task {entry.task!r} is {score:g}, outside [0, 1], which "
            f"no result of {entry.harness} is."
        )
    reading = reading._replace(metric=metric, score=score)
    shots = int(row.given) if entry.shots is None and row.given else entry.shots
    if shots is None and not assume:
        out.skips.append(reading.skip("unknown shots", _UNKNOWN_SHOTS))
        return
    if shots is not None and shots != row.shots:
        flaws.append(
            f"evaluated with {counted(shots, 'shot')}, where the leaderboard has {row.shots}"
        )
    flaws += _disagreeing(entry.settings, row.needs)
    flaws += entry.flaws or _few(entry.questions, row.questions)
    note = "; ".join(filter(None, (row.note, entry.note)))
    shots = row.shots if shots is None else shots
    out.readings.append(reading._replace(shots=shots, flaws=tuple(flaws), note=note))


def _disagreeing(settings: Mapping[str, Any], needs: str) -> list[str]:
    """What a run set otherwise than its benchmark; a setting not stated has its default."""
    flaws = []
    for need in filter(None, needs.split(";")):
        key, _, wanted = need.partition("=")
        default = "" if key in ("levels", "level") else wanted
        value = _plain(settings.get(key, default))
        if value != wanted:
            words = [text or "none" for text in (value, wanted)]
            flaws.append(f"evaluated with {key} {words[0]}, where the leaderboard has {words[1]}")
    return flaws


def _few(asked: float | None, of: str) -> list[str]:
    """Too few questions for a whole benchmark; data sets drop a few doubles."""
    if asked is None or not of or asked >= 0.98 * int(of):
        return []
    return [f"evaluated on {asked:g} of its {of} questions"]


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _score(metrics: Mapping[str, Any], wanted: str) -> tuple[str, float | None]:
    """The first alternative of `wanted` that `metrics` have in full."""
    for alternative in filter(None, wanted.split(" | ")):
        values = [number(metrics.get(name)) for name in alternative.split(" + ")]
        numbers = [value for value in values if value is not None]
        if len(numbers) == len(values):
            return alternative, math.fsum(numbers) / len(numbers)
    return "", None
