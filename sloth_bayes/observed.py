"""Scores of your own models, read from the files that evaluation tools write.

A benchmark is a task together with its shots and its metric. Which tasks of the
lm-evaluation-harness are the leaderboards' benchmarks is a table that ships
(``tasks.csv``; ``exports.csv`` for the columns of leaderboard exports, both explained in
``data/README.md``). A score that agrees with it is used, any other is listed with the reason.
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import pandas as pd

from ._shipped import shipped
from .databuild import headline
from .errors import DataError, FileFormatError, unknown
from .leaderboard import Leaderboard, _read_csv, load_dataset, load_subscores

Scale = Literal["points", "fractions"]
# A value for every model, or one for each by name
Amount = float | Mapping[str, float] | None

_USED = ("model", "benchmark", "score", "file", "task", "metric", "shots", "matches", "note")
_SKIPPED = ("file", "model", "benchmark", "task", "metric", "shots", "kind", "reason")
_UNKNOWN_SHOTS = "the file does not say with how many shots it was evaluated"


@dataclass(frozen=True, eq=False, repr=False)
class Observed:
    """Scores read from evaluation files, and what was left out of them.

    Parameters
    ----------
    frame
        One row a model, in the form of :attr:`Leaderboard.frame`, with a column for each
        benchmark that some model has a score of. Unknown sizes and token counts are NaN.
    used
        One row a score: model, benchmark, score, file, task, metric, shots, matches (False
        if only ``allow_mismatch`` let it in), note (what sets it apart, if anything).
    skipped
        One row a task that was not used: file, model, benchmark (empty if it belongs to
        none), task, metric, shots, kind (mismatch, unknown shots, incomplete, no score,
        superseded, unrelated, unreadable), reason.
    messages
        The same for people: a sentence for each group of skipped tasks, and what to know of
        those used.

    Examples
    --------
    >>> folder = shipped("data") / "raw/lm_eval"
    >>> found = read_observed(folder / "current_format_leaderboard_groups.json")
    >>> found
    <Observed: 1 model, 6 scores; 0 tasks skipped>
    >>> found.used[["benchmark", "score"]].round(3).values.tolist()[:2]
    [['IFEval', 0.221], ['BBH', 0.297]]
    """

    frame: pd.DataFrame
    used: pd.DataFrame
    skipped: pd.DataFrame
    messages: tuple[str, ...]

    @property
    def table(self) -> Leaderboard:
        """The scores as a table of their own, with the metadata of the benchmarks.

        Raises
        ------
        DataError
            There is no score.
        """
        return Leaderboard.from_frame(self.frame, name="observed")

    def __repr__(self) -> str:
        models, scores, skipped = len(self.frame), len(self.used), len(self.skipped)
        return (
            f"<Observed: {models} {'model' if models == 1 else 'models'}, "
            f"{scores} {'score' if scores == 1 else 'scores'}; "
            f"{skipped} {'task' if skipped == 1 else 'tasks'} skipped>"
        )


def read_observed(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    model: str | Sequence[str] | None = None,
    family: str | None = None,
    lineage: str | None = None,
    instruct: bool | None = None,
    params_b: Amount = None,
    tokens_t: Amount = None,
    allow_mismatch: bool = False,
    assume_leaderboard_shots: bool = False,
    scale: Scale | None = None,
) -> Observed:
    """Read scores from lm-evaluation-harness results or Open LLM Leaderboard exports.

    A task counts as a benchmark of the leaderboards if its name, metric and shots do
    (:func:`known_tasks` lists them). ``leaderboard_*`` names define their shots, and an
    entry of the file that contradicts them is a mismatch; other tasks need an entry.
    MMLU, BBH, MATH, GPQA and MUSR are computed from their sub-tasks as the shipped table
    does, or taken from the group's own score; an incomplete set is skipped. A task found in
    several files of one model is taken from the newest.

    Parameters
    ----------
    paths
        Result files (``.json``), folders that are searched for them, and exports (``.csv``).
    model
        For results: what to call the one model they are of (by default the last part of
        the name it was loaded by). For exports: the models to read (by default all).
    family
        The family of all models read. By default each model is a new family of its own,
        named as the model.
    lineage, instruct
        As in a table; by default those of `family`, if it is in the table that ships,
        else the family itself and False.
    params_b, tokens_t
        Billions of parameters and trillions of training tokens: a number for all models,
        or a mapping from the model's name. Unknown by default, but for sizes that a
        result file or an export states.
    allow_mismatch
        Use tasks with other shots or another metric too, where nothing matches.
    assume_leaderboard_shots
        Take the leaderboard's shots where a file says nothing.
    scale
        The unit of an export's benchmark columns, where they are not as its format has
        them: ``"points"`` (0 to 100) or ``"fractions"`` (0 to 1).

    Returns
    -------
    Observed

    Raises
    ------
    FileFormatError
        A file named is missing, cut short, or neither a result file nor an export.
    DataError
        No score remains, two files contradict each other, or a value cannot be right.
    UnknownNameError
        A model asked for is not in the files.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "results.json"
    >>> _ = path.write_text(json.dumps({
    ...     "results": {"arc_challenge": {"acc,none": 0.35, "acc_norm,none": 0.38},
    ...                 "hellaswag": {"acc,none": 0.4, "acc_norm,none": 0.55}},
    ...     "n-shot": {"arc_challenge": 25, "hellaswag": 0},
    ...     "config": {"model_args": "pretrained=lab/mine-1b"}}))
    >>> found = read_observed(path, params_b=1.1, tokens_t=0.5)
    >>> found.frame[["model", "family", "params_b", "tokens_t", "ARC"]].values.tolist()
    [['mine-1b', 'mine-1b', 1.1, 0.5, 0.38]]
    >>> found.skipped[["task", "reason"]].values.tolist()
    [['hellaswag', 'evaluated with 0 shots, where the leaderboard has 10']]
    """
    found = collect(
        paths, model=model, family=family, lineage=lineage, instruct=instruct, params_b=params_b,
        tokens_t=tokens_t, allow_mismatch=allow_mismatch,
        assume_leaderboard_shots=assume_leaderboard_shots, scale=scale,
    )  # fmt: skip
    if found.used.empty:
        raise DataError(nothing_left(found))
    return found


def collect(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    model: str | Sequence[str] | None = None,
    family: str | None = None,
    lineage: str | None = None,
    instruct: bool | None = None,
    params_b: Amount = None,
    tokens_t: Amount = None,
    allow_mismatch: bool = False,
    assume_leaderboard_shots: bool = False,
    scale: Scale | None = None,
) -> Observed:
    """What :func:`read_observed` does, but if no score remains the result is empty.

    For callers that report what was skipped before they give up, as the command line does;
    :func:`nothing_left` words the reason.
    """
    if scale not in (None, "points", "fractions"):
        raise unknown("scale", scale, ["points", "fractions"])
    files, in_folder = _files(paths)
    chosen = [model] if isinstance(model, str) else list(model or ())
    gathered = _Gathered()
    for path in files:
        if path.suffix.lower() == ".csv":
            _gather_export(path, chosen, scale, gathered)
        else:
            _gather_results(path, path in in_folder, assume_leaderboard_shots, gathered)
    if chosen:
        _rename(gathered, chosen)
    _shorten(gathered)
    used = _assemble(gathered, allow_mismatch)
    frame = _frame(gathered, used, family, lineage, instruct, params_b, tokens_t)
    skipped = [s._asdict() for s in gathered.skips]
    return Observed(
        frame,
        pd.DataFrame(used, columns=list(_USED)).astype({"shots": "Int64"}),
        pd.DataFrame(skipped, columns=list(_SKIPPED)).astype({"shots": "Int64"}),
        (*_grouped(gathered.skips), *dict.fromkeys(gathered.notes)),
    )


def nothing_left(found: Observed, command_line: bool = False) -> str:
    """Why a reading without any score has none, and what would change that.

    Parameters
    ----------
    found
        An empty result of :func:`collect`.
    command_line
        Name options instead of arguments, and leave out the reasons, which stand above.

    Examples
    --------
    >>> found = collect(shipped("data") / "raw/lm_eval/2.8b_step143000.json")
    >>> nothing_left(found, command_line=True)
    'no score can be used; --allow-mismatch uses other shots and metrics as they are.'
    """
    kinds = set(found.skipped["kind"])
    remedies = []
    for kind, option, effect in (
        ("mismatch", "allow_mismatch", "uses other shots and metrics as they are"),
        ("unknown shots", "assume_leaderboard_shots", "takes the leaderboard's shots as given"),
    ):
        if kind in kinds:
            name = f"--{option.replace('_', '-')}" if command_line else f"{option}=True"
            remedies.append(f"{name} {effect}")
    reasons = [m.rstrip(".") for m in found.messages]
    said = ""
    if reasons and not command_line:
        rest = f"; and {len(reasons) - 4} more reasons" if len(reasons) > 4 else ""
        said = ": " + "; ".join(reasons[:4]) + rest
    return f"no score can be used{said}{'; ' if remedies else ''}{', '.join(remedies)}."


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
    >>> tasks.loc["arc_challenge", ["benchmark", "shots", "metric"]].tolist()
    ['ARC', 25, 'acc_norm']
    """
    columns = ("benchmark", "set", "subtask", "task", "shots", "shots_from", "metric", "instead",
               "version", "differs")  # fmt: skip
    table = _read_csv(shipped("data") / "open_llm_leaderboard" / "tasks.csv")
    return table[list(columns)].astype({"shots": int})


# -- what is read ------------------------------------------------------------------------


class _Task(NamedTuple):
    """A row of the table of tasks."""

    benchmark: str
    set: str
    subtask: str
    task: str
    shots: int
    shots_from: str
    metric: str
    instead: str
    version: str
    differs: str


class _Reading(NamedTuple):
    """The score of one task in one file; `flaws` say why it is not the leaderboard's."""

    file: str
    model: str
    benchmark: str
    set: str
    subtask: str
    task: str
    metric: str
    shots: int | None
    score: float
    flaws: tuple[str, ...] = ()
    note: str = ""
    date: float | None = None


class _Skip(NamedTuple):
    file: str
    model: str
    benchmark: str
    task: str
    metric: str
    shots: int | None
    kind: str
    reason: str


@dataclass
class _Gathered:
    """Everything read so far; models are known by the full names that files give."""

    readings: list[_Reading] = field(default_factory=list)
    skips: list[_Skip] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    # what files say of a model: family, lineage, instruct, params_b, tokens_t
    facts: dict[str, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    from_results: dict[str, None] = field(default_factory=dict)  # an ordered set of models
    exported: dict[str, None] = field(default_factory=dict)  # every name that exports offer


@functools.cache
def _tasks() -> dict[str, _Task]:
    return {row["task"]: _Task(**row) for row in known_tasks().to_dict("records")}


@functools.cache
def _subtasks(benchmark: str) -> frozenset[str]:
    table = load_subscores()
    return frozenset(table.loc[table["benchmark"] == benchmark, "subtask"])


@functools.cache
def _benchmarks() -> tuple[str, ...]:
    return load_dataset().benchmark_names


def _files(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
) -> tuple[list[Path], set[Path]]:
    """The files to read, none twice, and which of them were only found in a folder."""
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not given:
        raise DataError("there is nothing to read: name a result file, a folder or an export.")
    files: dict[Path, Path] = {}
    named: set[Path] = set()
    for path in map(Path, given):
        if path.is_dir():
            inside = sorted(
                p
                for p in path.rglob("*.json")
                if not any(part.startswith(".") for part in p.relative_to(path).parts)
            )
            if not inside:
                raise FileFormatError(f"the folder {path} has no result file (*.json).")
        else:
            inside = [path]
            named.add(path.resolve())
        for file in inside:
            files.setdefault(file.resolve(), file)
    return list(files.values()), {f for key, f in files.items() if key not in named}


# -- lm-evaluation-harness ---------------------------------------------------------------


def _gather_results(path: Path, in_folder: bool, assume: bool, out: _Gathered) -> None:
    """Add what one result file says; foreign files are errors only if they were named."""
    try:
        content = _read_json(path)
        model = _model_name(path, content)
    except FileFormatError as error:
        if not in_folder:
            raise
        reason = str(error).removeprefix(f"{path} ").rstrip(".")
        out.skips.append(_Skip(str(path), "", "", "", "", None, "unreadable", reason))
        return
    out.from_results[model] = None
    size = _plain_number(_section(content, "config").get("model_num_parameters"))
    if size is not None and size > 0:
        out.facts[model].setdefault("params_b", size / 1e9)
    results = dict(_section(content, "groups")) | content["results"]
    groups = _section(content, "group_subtasks")
    date = _plain_number(content.get("date"))
    for name, entry in results.items():
        plain = _plain_name(name)
        task = _tasks().get(plain)
        if task is not None and isinstance(entry, dict):
            read = _read_task(path, content, model, name, task, entry, assume)
            if isinstance(read, _Skip):
                out.skips.append(read)
            else:
                out.readings.append(read._replace(date=date))
        elif name not in groups and name != "all":
            reason = "it is no benchmark of the leaderboards"
            out.skips.append(_Skip(str(path), model, "", plain, "", None, "unrelated", reason))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        where = (
            f"it breaks off or goes wrong in line {error.lineno}" if error.doc else "it is empty"
        )
        raise FileFormatError(
            f"{path} is no complete JSON file ({where}): copy it again, or repeat the evaluation."
        ) from None
    except UnicodeDecodeError:
        raise FileFormatError(f"{path} is not a UTF-8 text file.") from None
    except (RecursionError, ValueError):
        raise FileFormatError(f"{path} is no result file: it nests or counts too far.") from None
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}.") from error
    if not isinstance(content, dict) or not isinstance(content.get("results"), dict):
        raise FileFormatError(
            f"{path} is not a result file of the lm-evaluation-harness: it has no 'results'."
        )
    return content


def _section(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = content.get(key)
    return value if isinstance(value, dict) else {}


def _model_name(path: Path, content: Mapping[str, Any]) -> str:
    """The full name a file gives its model, with the revision if that is not the main one.

    The empty string if it gives none: the user may.
    """
    config = _section(content, "config")
    arguments = config.get("model_args")
    if isinstance(arguments, str):
        pairs = (part.split("=", 1) for part in arguments.split(",") if "=" in part)
        arguments = {key.strip(): value.strip() for key, value in pairs}
    if not isinstance(arguments, dict):
        arguments = {}
    # adapters come with the model they adapt, and are what was evaluated
    keys = ("peft", "delta", "pretrained", "model", "path", "engine")
    name = next((str(arguments[k]) for k in keys if arguments.get(k)), "")
    general = _section(content, "config_general")  # the leaderboard's own files
    for section, key in ((content, "model_name"), (general, "model_name"), (config, "model_name")):
        name = name or str(section.get(key) or "")
    name = name.strip().rstrip("/\\")
    revision = str(arguments.get("revision") or config.get("model_revision") or "main")
    return f"{name}@{revision}" if name and revision not in ("main", "None") else name


def _plain_name(name: str) -> str:
    """A task's name without what the leaderboard's first files wrap it in."""
    wrapped = re.fullmatch(r"[^|]+\|([^|]+)\|\d+", name)
    return wrapped[1].replace(":", "_") if wrapped else name


def _read_task(
    path: Path,
    content: Mapping[str, Any],
    model: str,
    name: str,
    task: _Task,
    entry: Mapping[str, Any],
    assume: bool,
) -> _Reading | _Skip:
    """The score of a known task, or why it has none."""
    stated = _shots(content, name, task)
    where: dict[str, Any] = {
        "file": str(path),
        "model": model,
        "benchmark": task.benchmark,
        "task": task.task,
    }
    flaws = [task.differs] if task.differs else []
    metric, score = _score(entry, task.metric)
    if score is None:
        metric, score = _score(entry, task.instead)
        if score is None:
            kept = sorted({k.split(",")[0] for k, v in entry.items() if _is_metric(k, v)})
            reason = f"it has no number for {task.metric.split(' | ')[0]}"
            reason += f", only {', '.join(kept)}" if kept else ""
            return _Skip(**where, metric="", shots=min(stated, default=None), kind="no score",
                         reason=reason)  # fmt: skip
        wanted = task.metric.split(" | ")[0]
        flaws.append(f"its metric is {metric}, where the leaderboard has {wanted}")
    if not 0 <= score <= 1:
        raise DataError(
            f"{path}: {metric} of task {task.task!r} is {score:g}, outside [0, 1], which no "
            "result of the lm-evaluation-harness is."
        )
    wrong = sorted(stated - {task.shots})
    if wrong:
        flaws.append(
            f"evaluated with {_shot_count(wrong[0])}, where the leaderboard has {task.shots}"
        )
    elif not stated and task.shots_from == "file" and not assume:
        return _Skip(**where, metric=metric, shots=None, kind="unknown shots",
                     reason=_UNKNOWN_SHOTS)  # fmt: skip
    limit = _limit(content, name)
    if limit:
        flaws.append(limit)
    version = str(_section(content, "versions").get(name, ""))
    note = ""
    if task.version and version and version.removesuffix(".0") != task.version:
        note = (
            f"version {version} of {task.set} scores the text of the answers, the leaderboard's "
            f"version {task.version} their letters"
        )
    return _Reading(
        **where, set=task.set, subtask=task.subtask, metric=metric, score=score, note=note,
        shots=wrong[0] if wrong else task.shots, flaws=tuple(flaws),
    )  # fmt: skip


def _shots(content: Mapping[str, Any], name: str, task: _Task) -> set[int]:
    """The numbers of shots that a file states for a task; a group has those of its parts."""
    names = [name]
    if not task.subtask and task.set == task.task and task.shots_from == "name":
        parts = [t.task for t in _tasks().values() if t.set == task.set and t.subtask]
        names = parts or names  # what some versions enter for a group itself means nothing
    wrapped = re.fullmatch(r"[^|]+\|[^|]+\|(\d+)", name)
    if wrapped:
        return {int(wrapped[1])}
    found = set()
    by_name = task.shots_from == "name"
    config = None if by_name else _section(content, "config").get("num_fewshot")  # as in 2023
    for each in names:
        own = _section(_section(content, "configs"), each).get("num_fewshot")
        for value in (_section(content, "n-shot").get(each), own, config):
            count = _plain_number(value)
            if count is not None and count >= 0 and count == int(count):
                found.add(int(count))
                break
    return found


def _limit(content: Mapping[str, Any], name: str) -> str:
    """Why a score does not cover all questions, or nothing."""
    counts = _section(_section(content, "n-samples"), name)
    all_of, of = _plain_number(counts.get("original")), _plain_number(counts.get("effective"))
    if all_of is not None and of is not None:
        return f"evaluated on {of:g} of its {all_of:g} questions" if of < all_of else ""
    limit = _plain_number(_section(content, "config").get("limit"))
    return f"evaluated on a part of its questions (limit {limit:g})" if limit else ""


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
    return next((v for k in keys if (v := _plain_number(entry.get(k))) is not None), None)


def _is_metric(key: str, value: object) -> bool:
    plain = key.split(",")[0]
    own = ("alias", "name", "sample_len", "sample_count")
    return not plain.endswith("_stderr") and plain not in own and _plain_number(value) is not None


def _plain_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _shot_count(shots: int) -> str:
    return f"{shots} shot{'' if shots == 1 else 's'}"


# -- exports of the leaderboard ----------------------------------------------------------


def _gather_export(path: Path, chosen: list[str], scale: Scale | None, out: _Gathered) -> None:
    """Add the rows of one CSV file, all of them or those chosen."""
    table = _read_csv(path)
    headers = {_header(c): c for c in reversed(list(table.columns))}
    known = _export_columns(path, headers)
    names = _export_names(path, table, headers)
    out.exported.update(dict.fromkeys(name for each in names for name in each))
    rows: Iterable[int] = range(len(table))
    if chosen:
        rows = [i for i in rows if not set(chosen).isdisjoint(names[i])]
    columns = {c["column"]: headers[_header(c["column"])] for c in known}
    cells = {
        column: [_cell(path, table.at[i, original], column, names[i][0]) for i in range(len(table))]
        for column, original in columns.items()
    }
    units = {c["column"]: c["unit"] if _is_raw(c) else scale or c["unit"] for c in known}
    for unit, limit in (("points", 100), ("fractions", 1)):
        values = [v for c in cells if units[c] == unit for v in cells[c] if v is not None]
        high = max(values, default=0.0)
        if high > limit or min(values, default=0.0) < 0:
            bad = high if high > limit else min(values)
            raise DataError(
                f"{path}: the score {bad:g} cannot be one in {unit}, 0 to {limit}: say which they "
                "are in (scale), or correct the table."
            )
        if unit == "points" and 0 < high <= 1 and scale is None:
            raise DataError(
                f"{path}: exports like this one give points, 0 to 100, but none exceeds 1: if "
                "they are fractions, say so (scale)."
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
            column, benchmark = spec["column"], spec["benchmark"]
            value = cells[column][i]
            if value is None or benchmark in done:
                continue
            done.add(benchmark)
            score, reason = _raw(value, units[column], spec)
            if score is None:
                out.skips.append(
                    _Skip(str(path), model, benchmark, column, "", None, "no score", reason)
                )
            else:
                out.readings.append(
                    _Reading(str(path), model, benchmark, column, "", column, "", None, score)
                )


def _header(name: str) -> str:
    """A column's name as people type it: without arrows, case or spacing."""
    return " ".join(re.sub(r"[^\w#()./+\- ]", "", name).split()).casefold()


def _is_raw(spec: Mapping[str, str]) -> bool:
    return spec["column"].endswith(" Raw")


def _export_columns(path: Path, headers: Mapping[str, str]) -> list[dict[str, str]]:
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
    table = _read_csv(shipped("data") / "open_llm_leaderboard" / "exports.csv")
    known = [
        {str(k): str(v) for k, v in row.items()}
        for row in table.to_dict("records")
        if row["format"] == kind and _header(str(row["column"])) in headers
    ]
    if not known:
        raise FileFormatError(
            f"{path} has no benchmark of the leaderboards: {', '.join(_benchmarks())}."
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
        names.append((name, _last(name), key))
    return names


def _cell(path: Path, text: str, column: str, model: str) -> float | None:
    plain = text.strip().removesuffix("%").strip()
    if plain.casefold() in ("", "na", "n/a", "nan", "none", "null", "-"):
        return None
    value = _plain_number(plain)
    if value is None:
        raise DataError(f"{path}: {column} of model {model!r} is {text!r}, not a number.")
    return value


def _raw(value: float, unit: str, spec: Mapping[str, str]) -> tuple[float | None, str]:
    """The score as the shipped table holds it, or why it cannot be had."""
    score = value / 100 if unit == "points" else value
    match spec["rescaled"]:
        case "no":
            return score, ""
        case "by sub-task":
            return None, (
                "its points are a mean of sub-tasks each rescaled from its own chance level; "
                f"export the column '{spec['benchmark']} Raw' too"
            )
    chance = float(spec["chance"])
    if score == 0:
        return None, f"0 points mean the chance level, {100 * chance:g}%, or anything below"
    return chance + (1 - chance) * score, ""


def _export_row(
    path: Path, row: pd.Series, headers: Mapping[str, str], model: str, out: _Gathered
) -> None:
    """What an export says of a model besides its scores; zeros and -1 stand for unknown."""
    facts = out.facts[model]
    for header, fact in (
        *(("#params (b)", "params_b"), ("params_b", "params_b")),
        *(("pretraining data size (t)", "tokens_t"), ("tokens_t", "tokens_t")),
    ):
        if header in headers:
            value = _cell(path, row[headers[header]], headers[header], model)
            if value is not None and value > 0:
                facts[fact] = value
    if "instruct" in headers:
        facts["instruct"] = row[headers["instruct"]].strip().casefold() in ("true", "1", "yes")
    elif "type" in headers:
        facts["instruct"] = "chat" in row[headers["type"]].casefold()
    # the collection of the Sloth paper calls our family Family2, and our lineage Family
    kinds = ("family2", "family") if "family2" in headers else ("family", "lineage")
    for header, fact in zip(kinds, ("family", "lineage")):
        if header in headers and row[headers[header]].strip():
            facts[fact] = row[headers[header]].strip()


# -- from readings to a table ------------------------------------------------------------


def _last(name: str) -> str:
    """The last part of a model's name or path, with its revision."""
    plain, at, revision = name.partition("@")
    return re.split(r"[/\\]", plain)[-1] + at + revision


def _rename(out: _Gathered, chosen: list[str]) -> None:
    """Apply what the user calls the models: results get a name, rows of exports are chosen."""
    if not out.from_results:
        for name in chosen:
            if name not in out.exported:
                raise unknown("model", name, out.exported)
        return
    if len(chosen) > 1:
        raise DataError(
            f"{len(chosen)} names are given for results of one model: read models one by one."
        )
    if len(out.from_results) > 1:
        listed = ", ".join(repr(m) for m in list(out.from_results)[:4])
        raise DataError(
            f"the files hold results of {len(out.from_results)} models ({listed}), which "
            f"cannot all be {chosen[0]!r}: read them one by one, or give no name."
        )
    _relabel(out, dict.fromkeys(out.from_results, chosen[0]))


def _shorten(out: _Gathered) -> None:
    """Call models by the last part of their names, where that is not ambiguous."""
    nameless = [r.file for r in out.readings if not r.model]
    if nameless:
        raise DataError(f"{nameless[0]} does not name its model: say what to call it (model).")
    full = dict.fromkeys([*(r.model for r in out.readings), *(s.model for s in out.skips)])
    full.pop("", None)
    lasts = [_last(name) for name in full]
    _relabel(out, {name: last for name, last in zip(full, lasts) if lasts.count(last) == 1})


def _relabel(out: _Gathered, names: Mapping[str, str]) -> None:
    out.readings = [r._replace(model=names.get(r.model, r.model)) for r in out.readings]
    out.skips = [s._replace(model=names.get(s.model, s.model)) for s in out.skips]
    out.from_results = {names.get(m, m): None for m in out.from_results}
    facts = out.facts
    out.facts = defaultdict(dict)
    for model, known in facts.items():
        out.facts[names.get(model, model)] |= known


def _assemble(out: _Gathered, allow_mismatch: bool) -> list[dict[str, Any]]:
    """One score a model and benchmark, from the readings that may be used."""
    groups: dict[tuple[str, str], list[_Reading]] = defaultdict(list)
    for reading in out.readings:
        groups[reading.model, reading.benchmark].append(reading)
    used = []
    order = {name: i for i, name in enumerate(_benchmarks())}
    models = {model: i for i, model in enumerate(dict.fromkeys(m for m, _ in groups))}
    for (model, benchmark), readings in sorted(
        groups.items(), key=lambda item: (models[item[0][0]], order[item[0][1]])
    ):
        fit = [r for r in readings if allow_mismatch or not r.flaws]
        newest = _newest(out, fit)
        scores = [
            score
            for name in dict.fromkeys(r.set for r in newest)
            for score in _scored(out, [r for r in newest if r.set == name])
        ]
        # what matches comes first, then what the files give first
        scores.sort(key=lambda score: bool(score.flaws))
        done = {score.set for score in scores if score.parts}
        for reading in readings:
            # a group's own score is no news beside the one made of its parts
            if reading not in fit and not (reading.set in done and not reading.subtask):
                out.skips.append(_refused(reading, "mismatch", "; ".join(reading.flaws)))
        for other in scores[1:]:
            out.skips.append(
                _Skip(other.file, model, benchmark, other.task, other.metric, other.shots,
                      "superseded", f"{benchmark} is taken from {scores[0].task}")
            )  # fmt: skip
        for best in scores[:1]:
            why = "; ".join(best.flaws)
            if why:
                out.notes.append(f"{benchmark} of {model} is used although it differs: {why}.")
            if best.note:
                out.notes.append(f"{benchmark} of {model} may not compare: {best.note}.")
            note = "; ".join(filter(None, (why, best.note)))
            used.append(
                {"model": model, "benchmark": benchmark, "score": best.score, "file": best.file,
                 "task": best.task, "metric": best.metric, "shots": best.shots,
                 "matches": not why, "note": note}
            )  # fmt: skip
    return used


def _refused(reading: _Reading, kind: str, reason: str) -> _Skip:
    return _Skip(reading.file, reading.model, reading.benchmark, reading.task, reading.metric,
                 reading.shots, kind, reason)  # fmt: skip


def _newest(out: _Gathered, readings: list[_Reading]) -> list[_Reading]:
    """One reading a task: without flaws before flawed, then the newest."""
    kept = []
    for task in dict.fromkeys(r.task for r in readings):
        same = [r for r in readings if r.task == task]
        same = [r for r in same if not r.flaws] or same
        best = same[0]
        for other in same[1:]:
            if math.isclose(other.score, best.score, abs_tol=1e-9):
                continue
            if other.date is None or best.date is None or other.date == best.date:
                raise DataError(
                    f"{task} of {best.model} is {best.score:g} in {best.file} and {other.score:g} "
                    f"in {other.file}, and nothing says which is newer: read one of them."
                )
            old, best = (best, other) if other.date > best.date else (other, best)
            reason = f"{best.file} is newer"
            out.skips.append(_refused(old, "superseded", reason))
        kept.append(best)
    return kept


class _Score(NamedTuple):
    """A benchmark's score, from one task or from all parts of a set."""

    score: float
    set: str
    parts: bool
    file: str
    task: str
    metric: str
    shots: int | None
    flaws: tuple[str, ...]
    note: str


def _scored(out: _Gathered, readings: list[_Reading]) -> Iterator[_Score]:
    """The scores that the readings of one set give: from all its parts, or its own."""
    parts = {r.subtask: r for r in readings if r.subtask}
    whole = [r for r in readings if not r.subtask]
    if parts:
        first = next(iter(parts.values()))
        wanted = _subtasks(first.benchmark)
        missing = sorted(wanted - parts.keys())
        label = f"{first.set} ({len(parts)} tasks)"
        if not missing:
            score = headline(first.benchmark, {name: r.score for name, r in parts.items()})
            yield _score_of(list(parts.values()), score, label)
            # the group's own score says the same, unless it alone is sound
            whole = [r for r in whole if not r.flaws and any(p.flaws for p in parts.values())]
        elif not whole:
            lacks = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            reason = f"only {len(parts)} of its {len(wanted)} tasks can be used, without {lacks}"
            files = ", ".join(dict.fromkeys(r.file for r in parts.values()))
            out.skips.append(
                _Skip(files, first.model, first.benchmark, label, first.metric, first.shots,
                      "incomplete", reason)
            )  # fmt: skip
    for reading in whole:
        yield _score_of([reading], reading.score, reading.task)


def _score_of(readings: list[_Reading], score: float, task: str) -> _Score:
    first = readings[0]
    return _Score(
        score=score, set=first.set, parts=bool(first.subtask), task=task, metric=first.metric,
        shots=first.shots, file=", ".join(dict.fromkeys(r.file for r in readings)),
        flaws=tuple(dict.fromkeys(flaw for r in readings for flaw in r.flaws)),
        note=next((r.note for r in readings if r.note), ""),
    )  # fmt: skip


def _frame(
    out: _Gathered,
    used: Sequence[Mapping[str, Any]],
    family: str | None,
    lineage: str | None,
    instruct: bool | None,
    params_b: Amount,
    tokens_t: Amount,
) -> pd.DataFrame:
    """Readings as rows of a table, with what the user knows of the models."""
    models = list(dict.fromkeys(row["model"] for row in used))
    if not models:
        return load_dataset().frame.iloc[:0, :7]
    sizes = _amounts("params_b", params_b, models, out)
    tokens = _amounts("tokens_t", tokens_t, models, out)
    table = load_dataset().frame
    rows: list[dict[str, Any]] = []
    for name in models:
        facts = out.facts[name]
        given = params_b is not None and (not isinstance(params_b, Mapping) or name in params_b)
        if not given and name in out.from_results and "params_b" in facts:
            out.notes.append(
                f"{name} has {sizes[name]:.4g}B parameters, as its results count them."
            )
        mine = family or facts.get("family", name)
        like = table[table["family"] == mine].head(1)
        line = facts.get("lineage") if family is None else None
        line = lineage or line or (mine if like.empty else like["lineage"].item())
        tuned = facts.get("instruct", False if like.empty else bool(like["instruct"].item()))
        rows.append(
            {"model": name, "family": mine, "lineage": line,
             "instruct": tuned if instruct is None else instruct,
             "params_b": sizes[name], "tokens_t": tokens[name],
             **{row["benchmark"]: row["score"] for row in used if row["model"] == name}}
        )  # fmt: skip
    frame = pd.DataFrame(rows)
    return Leaderboard.from_frame(frame, [b for b in _benchmarks() if b in frame]).frame


def _amounts(what: str, given: Amount, models: Sequence[str], out: _Gathered) -> dict[str, float]:
    """The amount of each model: given for it, given for all, stated by its file, or NaN."""
    if given is None:
        given = {}
    elif not isinstance(given, Mapping):
        return dict.fromkeys(models, given)
    for name in given:
        if name not in models:
            raise unknown("model", name, models, f"It is named in {what}.")
    return {name: given.get(name, out.facts[name].get(what, math.nan)) for name in models}


# -- words -------------------------------------------------------------------------------


def _grouped(skips: Iterable[_Skip]) -> list[str]:
    """One sentence for all tasks that a file has skipped for the same reason."""
    groups: dict[tuple[str, ...], list[_Skip]] = defaultdict(list)
    for skip in skips:
        groups[skip.file, skip.model, skip.kind, skip.benchmark, skip.reason].append(skip)
    # benchmarks first, bystanders last
    order = sorted(groups.values(), key=lambda same: same[0].kind == "unrelated")
    return [_sentence(same) for same in order]


def _sentence(same: Sequence[_Skip]) -> str:
    first, tasks = same[0], list(dict.fromkeys(s.task for s in same))
    if first.kind == "unreadable":
        return f"{first.file} is not read: it {first.reason.removeprefix('it ')}."
    if first.kind == "unrelated":
        listed = ", ".join(tasks[:3]) + (", ..." if len(tasks) > 3 else "")
        many = f"{len(tasks)} tasks are" if len(tasks) > 1 else "1 task is"
        return f"{first.file}: {many} no benchmark of the leaderboards ({listed})."
    name = tasks[0] if len(tasks) == 1 else f"{tasks[0]} and {len(tasks) - 1} more"
    return f"{first.file}: {first.benchmark} ({name}) is skipped: {first.reason}."
