"""Result files of the lm-evaluation-harness, in the form of 2023 and in today's.

A benchmark is a task together with its shots and its metric. Which tasks are the
leaderboards' benchmarks is a table that ships (``tasks.csv``, explained in
``data/README.md``); nothing here knows a task by name.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pandas as pd

from ..errors import DataError
from ..support.files import read_cells
from ..support.shipped import PUBLISHED, dataset_folder
from ..support.words import counted
from .benchmarks import resembled
from .comparability import judge
from .identity import Identity, arguments_of, identify, precision
from .readings import Gathered, Reading, Skip, number
from .settings import section, stated_settings
from .sizes import why_not_the_size

_UNKNOWN_SHOTS = "the file does not say with how many shots it was evaluated"
_WRAPPED = re.compile(r"harness\|([^|]+)\|(\d+)")  # a task and its shots in the leaderboard's files


def known_tasks() -> pd.DataFrame:
    """The tasks of the lm-evaluation-harness that stand for a benchmark.

    Returns
    -------
    pandas.DataFrame
        One row a task: benchmark; set and subtask (the parts of a benchmark that is an
        average); task; shots; shots_from (``name`` if the task's name defines them, else
        ``file``); metric (alternatives, best first; names joined by + are averaged);
        instead (metrics that ``allow_mismatch`` falls back on); version (of the task, if it
        matters); differs (why the task is not the benchmark, if it only resembles it).

    Examples
    --------
    >>> tasks = known_tasks().set_index("task")
    >>> tasks.loc["arc_challenge", ["benchmark", "metric"]].tolist(), tasks.at["hellaswag", "shots"]
    (['ARC', 'acc_norm'], np.int64(10))
    """
    return read_cells(dataset_folder(PUBLISHED) / "tasks.csv").astype({"shots": int})


@functools.cache
def _tasks() -> dict[str, Any]:
    """The rows of :func:`known_tasks`, by task."""
    return {row.task: row for row in known_tasks().itertuples(index=False)}


@functools.cache
def parts_of(name: str) -> tuple[Any, ...]:
    """The rows of :func:`known_tasks` that a set of sub-tasks consists of."""
    return tuple(task for task in _tasks().values() if task.set == name and task.subtask)


def gather(path: Path, content: Mapping[str, Any], assume: bool, out: Gathered) -> None:
    """Add what one result file says."""
    who = _who(content)
    model = who.name
    out.from_results[model] = who.made
    size = number(section(content, "config").get("model_num_parameters"))
    if size is not None and size > 0 and "params_b" not in out.facts[model]:
        doubt = why_not_the_size(model, size / 1e9, who.weights)
        out.facts[model] |= {"params_b": size / 1e9, "doubt": doubt}
    results = dict(section(content, "groups")) | content["results"]
    groups = section(content, "group_subtasks")
    date = number(content.get("date"))
    for name, entry in results.items():
        plain = _plain_name(name)
        task = _tasks().get(plain)
        if task is not None and isinstance(entry, dict):
            is_group = groups.get(name) or (not task.subtask and parts_of(task.set))
            if is_group and not any(_is_metric(k, v) for k, v in entry.items()):
                continue  # a group without a score of its own: its parts speak for it
            found = Reading(
                str(path), model, task.benchmark, task.set, task.subtask, task.task, date=date
            )
            read = _read_task(found, content, name, task, entry, assume, who)
            if isinstance(read, Skip):
                out.skips.append(read)
            else:
                out.readings.append(read)
        elif not groups.get(name) and name != "all":  # single tasks are groups of nothing
            like = resembled(plain)
            reason = (
                f"it resembles {like} and is another task"
                if like
                else "it is no benchmark of the leaderboards"
            )
            out.skips.append(Skip(str(path), model, "", plain, "", None, "unrelated", reason))


def _who(content: Mapping[str, Any]) -> Identity:
    """The model that a file says it is of; its name is empty if it says nothing."""
    config, general = section(content, "config"), section(content, "config_general")
    arguments = arguments_of(config.get("model_args"))
    # general: of the leaderboard's own files
    named = (content.get("model_name"), general.get("model_name"), config.get("model_name"))
    stored = [precision(str(place.get("model_dtype") or "")) for place in (config, general)]
    if config.get("model") in ("gguf", "ggml"):
        stored.append("gguf")
    if weights := next(filter(None, stored), ""):
        arguments.setdefault("quantization", weights)
    name = next((str(n) for n in named if n), "")
    return identify(arguments, name, str(config.get("model_revision") or ""))


def _plain_name(name: str) -> str:
    """A task's name without what the leaderboard's first files wrap it in."""
    wrapped = _WRAPPED.fullmatch(name)
    return wrapped[1].replace(":", "_") if wrapped else name


def _read_task(
    found: Reading,
    content: Mapping[str, Any],
    name: str,
    task: Any,
    entry: Mapping[str, Any],
    assume: bool,
    who: Identity,
) -> Reading | Skip:
    """What is `found` of a known task, with its score, or why it has none."""
    stated = _shots(content, name, task)
    flaws = [task.differs] if task.differs else []
    wanted = task.metric.split(" | ")[0]
    metric, score = _score(entry, task.metric)
    if score is None:
        metric, score = _score(entry, task.instead)
        flaws.append(f"its metric is {metric}, where the leaderboard has {wanted}")
    if score is None:
        kept = sorted({k.split(",")[0] for k, v in entry.items() if _is_metric(k, v)})
        runs = [key for key, value in entry.items() if isinstance(value, dict)]
        if runs and not kept:
            reason = f"it holds several runs ({', '.join(runs[:3])}): name the file of one of them"
            return found.skip("no score", reason)
        reason = f"it has no number for {wanted}"
        reason += f", only {', '.join(kept)}" if kept else ""
        return found._replace(shots=min(stated, default=None)).skip("no score", reason)
    found = found._replace(metric=metric, score=score)
    if not 0 <= score <= 1:
        raise DataError(
            f"{found.file}: {metric} of task {task.task!r} is {score:g}, outside [0, 1], which no "
            "result of the lm-evaluation-harness is."
        )
    wrong = sorted(stated - {task.shots})
    if wrong:
        shots = counted(wrong[0], "shot")
        flaws.append(f"evaluated with {shots}, where the leaderboard has {task.shots}")
    elif not stated and task.shots_from == "file" and not assume:
        return found.skip("unknown shots", _UNKNOWN_SHOTS)
    names = [name] if task.subtask else [name, *(part.task for part in parts_of(task.set))]
    settings = stated_settings(content, names, metric, task.shots, who)
    said = judge(task.benchmark, task.task, settings)
    return found._replace(
        shots=wrong[0] if wrong else task.shots,
        flaws=(*flaws, *said.flaws),
        note="; ".join(said.notes),
    )


def _shots(content: Mapping[str, Any], name: str, task: Any) -> set[int]:
    """The numbers of shots that a file states for a task; a group has those of its parts."""
    wrapped = _WRAPPED.fullmatch(name)
    if wrapped:
        return {int(wrapped[2])}
    # what some versions enter for a group itself means nothing
    parts = () if task.subtask else parts_of(task.set)
    by_name = task.shots_from == "name"
    config = None if by_name else section(content, "config").get("num_fewshot")  # as in 2023
    found = set()
    for each in [part.task for part in parts] or [name]:
        own = section(section(content, "configs"), each).get("num_fewshot")
        stated = map(number, (section(content, "n-shot").get(each), own, config))
        counts = [int(n) for n in stated if n is not None and n >= 0 and n == int(n)]
        found.update(counts[:1])
    return found


def _score(entry: Mapping[str, Any], metric: str) -> tuple[str, float | None]:
    """The first alternative of `metric` that `entry` has in full."""
    for alternative in metric.split(" | "):
        values = [_value(entry, name) for name in alternative.split(" + ")]
        if metric and all(v is not None for v in values):
            return alternative, math.fsum(cast("list[float]", values)) / len(values)
    return "", None


def _value(entry: Mapping[str, Any], name: str) -> float | None:
    """Keys are ``metric,filter`` today and were ``metric``; only a named filter must agree."""
    keys = (name,) if "," in name else (f"{name},none", name)
    return next((v for k in keys if (v := number(entry.get(k))) is not None), None)


def _is_metric(key: str, value: object) -> bool:
    plain = key.split(",")[0]
    about = ("alias", "name", "sample_len", "sample_count")
    return not plain.endswith("_stderr") and plain not in about and number(value) is not None
