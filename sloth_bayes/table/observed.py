"""Scores of your own models, read from the files that evaluation tools write.

The readers of each kind of file hand on every score with what sets it apart from the
leaderboards' benchmark; here those that agree become rows of a table, and the others are
listed with the reason.
"""

from __future__ import annotations

import itertools
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import DataError, FileFormatError, check_known, spelled_alike, unknown
from ..support.files import user_path
from ..support.shipped import PUBLISHED
from ..support.types import checked
from ..support.words import counted
from . import elsewhere, evaluations, harness
from .exports import Scale
from .headline import headline
from .leaderboard import Leaderboard, load_dataset
from .readings import Gathered, Reading, Skip, last_part

# A value for every model, or one for each by name
Amount = float | Mapping[str, float] | None

_SHOWN = 5  # models that a message is about one by one
_USED = ("model", "benchmark", "score", "file", "task", "metric", "shots", "matches", "note")


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
        superseded, ambiguous, unrelated, unreadable), reason.
    messages
        The same for people: a sentence for each group of skipped tasks, and what to know of
        those used.

    Examples
    --------
    >>> from sloth_bayes.support.shipped import shipped
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
        models, scores = counted(len(self.frame), "model"), counted(len(self.used), "score")
        return f"<Observed: {models}, {scores}; {counted(len(self.skipped), 'task')} skipped>"


@checked
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
    """Read scores from results of evaluation harnesses or Open LLM Leaderboard exports.

    A task counts as a benchmark of the leaderboards if its name, metric and shots do
    (:func:`known_tasks` lists them). ``leaderboard_*`` names define their shots, and an
    entry of the file that contradicts them is a mismatch; other tasks need an entry.
    MMLU, BBH, MATH, GPQA and MUSR are computed from their sub-tasks as the shipped table
    does, or taken from the group's own score; an incomplete set is skipped. A task found in
    several files of one model is taken from the newest. Settings that shift scores (task
    version, chat template, stop strings, ...) are notes, those that make another quantity
    mismatches, by a table that ships (``docs/comparability.md``). Adapters and quantised
    weights make other models than their base; counts of packed weights, and of mixtures of
    experts, are not taken for sizes. Results of lighteval, HELM
    (``stats.json`` beside ``run_spec.json``), OpenCompass (``summary_*.csv``) and Inspect
    (``.json``; ``.eval`` with the extra ``inspect``) are read for the tasks that they share,
    and held to the same settings.

    Parameters
    ----------
    paths
        Result files, folders that are searched for them (``.json``, ``.eval``), and exports
        (``.csv``, ``.parquet``, ``.xlsx``).
    model
        For results: what to call the one model they are of (by default the last part of
        the name it was loaded by); it joins paths that have no task in common. For exports:
        the models to read (by default all); ``NAME@PRECISION`` is one of several rows.
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
        Use tasks with other shots, another metric or settings that make another quantity too,
        where nothing matches.
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
    >>> import json, tempfile
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
    if scale is not None and not isinstance(scale, str):
        raise DataError(f"scale must be text, not {type(scale).__name__}")
    if scale not in (None, "points", "fractions"):
        raise unknown("scale", scale, ["points", "fractions"])
    chosen = [model] if isinstance(model, str) else list(model or ())
    gathered = Gathered()
    for path, named in _files(paths).items():
        evaluations.gather(
            path,
            named=named,
            chosen=chosen,
            scale=scale,
            assume=assume_leaderboard_shots,
            out=gathered,
        )
    if chosen:
        _rename(gathered, chosen)
    _shorten(gathered)
    used = _assemble(gathered, allow_mismatch)
    frame = _frame(gathered, used, family, lineage, instruct, params_b, tokens_t)
    rows = [r._asdict() | {"matches": not r.flaws, "note": _note(r)} for r in used]
    found = Observed(
        frame,
        pd.DataFrame(rows, columns=list(_USED)).astype({"shots": "Int64"}),
        pd.DataFrame(gathered.skips, columns=list(Skip._fields)).astype({"shots": "Int64"}),
        (*_grouped(gathered.skips), *dict.fromkeys(gathered.notes)),
    )
    if found.used.empty:
        error = NothingLeft(nothing_left(found))
        error.found = found
        raise error
    return found


class NothingLeft(DataError):
    """No score of what was read can be used.

    Attributes
    ----------
    found : Observed
        The reading, with what was skipped and why.
    """

    found: Observed


def collect(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], **options: Any
) -> Observed:
    """What :func:`read_observed` does, but if no score remains the result is empty.

    For callers that report what was skipped before they give up, as the command line does;
    :func:`nothing_left` words the reason.
    """
    try:
        return read_observed(paths, **options)
    except NothingLeft as error:
        return error.found


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
    >>> from sloth_bayes.support.shipped import shipped
    >>> found = collect(shipped("data") / "raw/lm_eval/2.8b_step143000.json")
    >>> nothing_left(found, command_line=True)
    'no score can be used; --allow-mismatch uses other shots, metrics and settings as they are.'
    """
    kinds = set(found.skipped["kind"])
    remedies = []
    for kind, option, effect in (
        ("mismatch", "allow_mismatch", "uses other shots, metrics and settings as they are"),
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


def _files(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> dict[Path, bool]:
    """The files to read, none twice, and whether they are named, not only found in a folder."""
    several = isinstance(paths, Iterable) and not isinstance(paths, str | bytes | os.PathLike)
    given: list[Any] = list(paths) if several else [paths]  # type: ignore[arg-type]
    if not given:
        raise DataError("there is nothing to read: name a result file, a folder or an export.")
    files: dict[Path, Path] = {}
    named: set[Path] = set()
    for path in map(user_path, given):
        if path.is_dir():
            inside = sorted(
                p
                for p in path.rglob("*")
                if p.suffix in evaluations.RESULTS
                and p.is_file()
                and not any(part.startswith(".") for part in p.relative_to(path).parts)
            )
            if not inside:
                raise FileFormatError(f"the folder {path} has no result file (*.json, *.eval).")
        else:
            inside = [path]
            named.add(path.resolve())
        for file in inside:
            files.setdefault(file.resolve(), file)
    return {file: key in named for key, file in files.items()}


# -- from readings to a table ------------------------------------------------------------


def _rename(out: Gathered, chosen: list[str]) -> None:
    """Apply what the user calls the models: results get a name, rows of exports are chosen."""
    if not out.from_results:
        check_known("model", chosen, out.exported)
        return
    if len(chosen) > 1:
        raise DataError(
            f"{len(chosen)} names are given for results of one model: read models one by one."
        )
    if len(out.from_results) > 1:
        _require_one(out, chosen[0])
        paths = ", ".join(out.from_results)
        out.notes.append(f"{chosen[0]} joins what is read of {paths}.")
    _relabel(out, dict.fromkeys(out.from_results, chosen[0]))


def _require_one(out: Gathered, name: str) -> None:
    """An error where results under several names cannot be of the one model that `name` says."""
    models = list(out.from_results)
    start = (
        f"the files hold results of {len(models)} models "
        f"({', '.join(repr(m) for m in models[:4])}), which cannot all be {name!r}: "
    )
    if len(set(out.from_results.values())) > 1:
        raise DataError(
            start + "an adapter or quantised weights make another model; read them one by one."
        )
    first: dict[str, Reading] = {}
    for reading in out.readings:
        other = first.setdefault(reading.task, reading).model
        if last_part(other).casefold() != last_part(reading.model).casefold():
            raise DataError(
                start + f"{other!r} and {reading.model!r} both have {reading.task}; read them one "
                "by one, or give no name."
            )


def _shorten(out: Gathered) -> None:
    """Call models by the last part of their names, where that is not ambiguous."""
    nameless = [r.file for r in out.readings if not r.model]
    if nameless:
        raise DataError(f"{nameless[0]} does not name its model: name it (model= or --model).")
    full = dict.fromkeys([*(r.model for r in out.readings), *(s.model for s in out.skips)])
    full.pop("", None)
    lasts = [last_part(name) for name in full]
    _relabel(out, {name: last for name, last in zip(full, lasts) if lasts.count(last) == 1})
    for last in dict.fromkeys(lasts):
        same = [name for name in full if last_part(name) == last and name in out.from_results]
        if len(same) > 1:
            out.notes.append(
                f"{' and '.join(same)} are read as {len(same)} models: if they are one, name it "
                "(model= or --model)."
            )


def _relabel(out: Gathered, names: Mapping[str, str]) -> None:
    out.readings = [r._replace(model=names.get(r.model, r.model)) for r in out.readings]
    out.skips = [s._replace(model=names.get(s.model, s.model)) for s in out.skips]
    out.from_results = {names.get(m, m): made for m, made in out.from_results.items()}
    facts = out.facts
    out.facts = defaultdict(dict)
    for model, known in facts.items():
        out.facts[names.get(model, model)] |= known


def _assemble(out: Gathered, allow_mismatch: bool) -> list[Reading]:
    """One score a model and benchmark, from the readings that may be used."""
    groups: dict[tuple[str, str], list[Reading]] = defaultdict(list)
    for reading in out.readings:
        groups[reading.model, reading.benchmark].append(reading)
    used = []
    models = dict.fromkeys(model for model, _ in groups)
    for model, benchmark in itertools.product(models, load_dataset(PUBLISHED).benchmark_names):
        readings = groups.get((model, benchmark), [])
        fit = [r for r in readings if allow_mismatch or not r.flaws]
        newest = _newest(out, fit)
        scores = [
            score
            for name in dict.fromkeys(r.set for r in newest)
            for score in _scored(out, [r for r in newest if r.set == name])
        ]
        # what matches comes first, then what the files give first
        scores.sort(key=lambda score: bool(score.flaws))
        done = {score.set for score in scores if score.subtask}
        for reading in readings:
            # a group's own score is no news beside the one made of its parts
            if reading not in fit and not (reading.set in done and not reading.subtask):
                out.skips.append(reading.skip("mismatch", "; ".join(reading.flaws)))
        for other in scores[1:]:
            reason = f"{benchmark} is taken from {scores[0].task}"
            out.skips.append(other.skip("superseded", reason))
        for best in scores[:1]:
            if best.flaws:
                why = "; ".join(best.flaws)
                out.notes.append(f"{benchmark} of {model} is used although it differs: {why}.")
            used.append(best)
    out.notes += _shared_notes(used)
    return used


def _shared_notes(used: Iterable[Reading]) -> list[str]:
    """What may shift scores, each thing said once, of all benchmarks and models it is of."""
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    for best in used:
        for note in filter(None, dict.fromkeys(best.note.split("; "))):
            alike[best.model, note].append(best.benchmark)
    shared: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (model, note), which in alike.items():
        shared[", ".join(which), note].append(model)
    told = []
    for (names, note), of in shared.items():
        more = f" and {len(of) - _SHOWN} more" if len(of) > _SHOWN else ""
        told.append(f"{names} of {', '.join(of[:_SHOWN])}{more} may not compare: {note}.")
    return told


def _note(used: Reading) -> str:
    """What sets a score apart from the leaderboard's, if anything."""
    return "; ".join([*used.flaws, used.note] if used.note else used.flaws)


def _newest(out: Gathered, readings: list[Reading]) -> list[Reading]:
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
            out.skips.append(old.skip("superseded", f"{best.file} is newer"))
        kept.append(best)
    return kept


def _scored(out: Gathered, readings: list[Reading]) -> Iterator[Reading]:
    """The scores that the readings of one set give: from all its parts, or its own."""
    parts = {r.subtask: r for r in readings if r.subtask}
    whole = [r for r in readings if not r.subtask]
    if parts:
        first = next(iter(parts.values()))
        made = first._replace(
            file=", ".join(dict.fromkeys(r.file for r in parts.values())),
            task=f"{first.set} ({len(parts)} tasks)",
            flaws=tuple(dict.fromkeys(flaw for r in parts.values() for flaw in r.flaws)),
            note="; ".join(dict.fromkeys(r.note for r in parts.values() if r.note)),
        )
        wanted = {task.subtask for task in harness.parts_of(first.set)}
        wanted |= elsewhere.parts_of(first.set)
        missing = sorted(wanted - parts.keys())
        if not missing:
            score = headline(first.benchmark, {name: r.score for name, r in parts.items()})
            yield made._replace(score=score)
            # the group's own score says the same, unless it alone is sound
            whole = [r for r in whole if not r.flaws and made.flaws]
        elif not whole:
            lacks = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            reason = f"only {len(parts)} of its {len(wanted)} tasks can be used, without {lacks}"
            out.skips.append(made.skip("incomplete", reason))
    yield from whole


def _frame(
    out: Gathered,
    used: Sequence[Reading],
    family: str | None,
    lineage: str | None,
    instruct: bool | None,
    params_b: Amount,
    tokens_t: Amount,
) -> pd.DataFrame:
    """Readings as rows of a table, with what the user knows of the models."""
    models = list(dict.fromkeys(reading.model for reading in used))
    if not models:
        return load_dataset(PUBLISHED).frame.iloc[:0, :7]
    sizes = _amounts("params_b", params_b, models, out)
    tokens = _amounts("tokens_t", tokens_t, models, out)
    table = load_dataset().frame
    rows: list[dict[str, Any]] = []
    doubtful: list[str] = []
    for name in models:
        facts = out.facts[name]
        given = params_b is not None and (not isinstance(params_b, Mapping) or name in params_b)
        if not given and facts.get("doubt"):
            doubtful.append(f"{name}: {facts['params_b']:.4g}B is {facts['doubt']}")
        elif not given and name in out.from_results and "params_b" in facts:
            out.notes.append(
                f"{name} has {sizes[name]:.4g}B parameters, as its results count them."
            )
        mine = family or facts.get("family", name)
        like = table[table["family"] == mine].head(1)
        line = facts.get("lineage") if family is None else None
        line = lineage or line or (mine if like.empty else like["lineage"].item())
        if not like.empty and line != like["lineage"].item():
            raise DataError(
                f"family {mine!r} is of lineage {like['lineage'].item()!r}, not {line!r}: leave "
                "the lineage out, or give the family another name."
            )
        for what, name_of, known in (("family", mine, "family"), ("lineage", line, "lineage")):
            if alike := spelled_alike(name_of, table[known].unique()):
                out.notes.append(
                    f"{what} {name_of!r} is taken as new; the leaderboard has {alike!r}: write it "
                    "so, if that is meant."
                )
        tuned = facts.get("instruct", False if like.empty else bool(like["instruct"].item()))
        rows.append(
            {
                "model": name,
                "family": mine,
                "lineage": line,
                "instruct": tuned if instruct is None else instruct,
                "params_b": sizes[name],
                "tokens_t": tokens[name],
                **{r.benchmark: r.score for r in used if r.model == name},
            }
        )
    for doubt in doubtful[:_SHOWN]:
        out.notes.append(f"{doubt}. Its size is left unknown: say it (params_b= or --params).")
    if len(doubtful) > _SHOWN:
        out.notes.append(
            f"the sizes of {len(doubtful) - _SHOWN} more models are left unknown likewise."
        )
    frame = pd.DataFrame(rows)
    return Leaderboard.from_frame(
        frame, [b for b in load_dataset(PUBLISHED).benchmark_names if b in frame]
    ).frame


def _amounts(what: str, given: Amount, models: Sequence[str], out: Gathered) -> dict[str, float]:
    """The amount of each model: given for it, given for all, stated by its file, or NaN."""
    if given is None:
        given = {}
    elif not isinstance(given, Mapping):
        return dict.fromkeys(models, given)
    check_known("model", given, models, f"It is named in {what}.")
    facts = {name: out.facts[name] for name in models}
    stated = {
        name: math.nan if what == "params_b" and known.get("doubt") else known.get(what, math.nan)
        for name, known in facts.items()
    }
    return {name: given.get(name, stated[name]) for name in models}


# -- words -------------------------------------------------------------------------------


def _grouped(skips: Iterable[Skip]) -> list[str]:
    """One sentence for all tasks that a file has skipped for the same reason."""
    groups: dict[tuple[str, ...], list[Skip]] = defaultdict(list)
    twice: dict[str, int] = defaultdict(int)
    for skip in skips:
        twice[skip.file] += skip.kind == "ambiguous"
        if skip.kind == "ambiguous" and twice[skip.file] > _SHOWN:
            continue
        groups[skip.file, skip.model, skip.kind, skip.benchmark, skip.reason].append(skip)
    # benchmarks first, bystanders last
    order = sorted(groups.values(), key=lambda same: same[0].kind == "unrelated")
    more = [
        f"{file}: {counted(n - _SHOWN, 'more model is', 'more models are')} there more than once."
        for file, n in twice.items()
        if n > _SHOWN
    ]
    return [_sentence(same) for same in order] + more


def _sentence(same: Sequence[Skip]) -> str:
    first, tasks = same[0], list(dict.fromkeys(s.task for s in same))
    if first.kind == "ambiguous":
        return f"{first.file}: {first.reason}."
    if first.kind == "unreadable":
        return f"{first.file} is not read: it {first.reason.removeprefix('it ')}."
    if first.kind == "unrelated":
        listed = ", ".join(tasks[:3]) + (", ..." if len(tasks) > 3 else "")
        if "resembles" in first.reason:
            return f"{first.file}: {listed} is not read: {first.reason}."
        many = counted(len(tasks), "task is", "tasks are")
        return f"{first.file}: {many} no benchmark of the leaderboards ({listed})."
    name = tasks[0] if len(tasks) == 1 else f"{tasks[0]} and {len(tasks) - 1} more"
    return f"{first.file}: {first.benchmark} ({name}) is skipped: {first.reason}."
