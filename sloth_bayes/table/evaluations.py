"""Which reader an evaluation file needs: by its name and what it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import FileFormatError
from ..support.files import TABLES
from . import exports, harness, helm, inspect_logs, lighteval, opencompass
from .exports import Scale
from .json_files import read_json
from .readings import Gathered, Skip

# Endings of files that a folder is searched for
RESULTS = (".json", ".eval")

_SAMPLES = "{path} has samples and no scores: name the results_*.json beside it."


def gather(
    path: Path,
    *,
    named: bool,
    chosen: list[str],
    scale: Scale | None,
    assume: bool,
    out: Gathered,
) -> None:
    """Add what one file says; what cannot be read is an error only if it was named."""
    if path.suffix.lower() in TABLES:
        if path.name.startswith("details_"):
            raise FileFormatError(
                f"{path} has lighteval's details, a question a row: name the results_*.json of the "
                "same run."
            )
        if path.suffix.lower() == ".csv" and opencompass.owns(path):
            opencompass.gather(path, chosen, assume, out)
        else:
            exports.gather(path, chosen, scale, out)
        return
    try:
        _gather_results(path, named, assume, out)
    except FileFormatError as error:
        if named:
            raise
        reason = str(error).removeprefix(f"{path} ").rstrip(".")
        out.skips.append(Skip(str(path), "", "", "", "", None, "unreadable", reason))


def _gather_results(path: Path, named: bool, assume: bool, out: Gathered) -> None:
    if path.suffix.lower() == ".eval":
        inspect_logs.gather(path, inspect_logs.read_eval(path), assume, out)
        return
    if path.suffix.lower() in (".txt", ".md") and path.name.startswith("summary_"):
        raise FileFormatError(
            f"{path} is a summary of OpenCompass as text: name the .csv of the same name beside it."
        )
    if helm.owns(path):
        helm.gather(path, not named, assume, out)
        return
    content = read_json(path)
    if inspect_logs.owns(content):
        inspect_logs.gather(path, content, assume, out)
    elif lighteval.owns(content):
        lighteval.gather(path, content, assume, out)
    elif isinstance(content, dict) and isinstance(content.get("results"), dict):
        harness.gather(path, content, assume, out)
    else:
        raise FileFormatError(_foreign(path, content))


def _foreign(path: Path, content: Any) -> str:
    """What a JSON file is that has no results, as far as it can be told."""
    if path.suffix.lower() == ".jsonl" or path.name.startswith("samples_"):
        return _SAMPLES.format(path=path)
    listed = isinstance(content, list)
    values = content if listed else content.values() if isinstance(content, dict) else ()
    inside = next(iter(values), None)  # the first of what it holds
    keys = set(inside) if isinstance(inside, dict) else set()
    own = set(content) if isinstance(content, dict) else set()
    lists_logs = isinstance(inside, dict) and isinstance(inside.get("eval"), dict)
    what = ""
    if listed and keys & {"doc_id", "doc", "arguments"}:
        return _SAMPLES.format(path=path)
    if listed and keys >= {"name", "mean"}:
        what = "has the stats of a run of HELM: name its stats.json, with run_spec.json beside it"
    elif listed and keys >= {"header", "rows"}:
        what = "is a table that HELM made of its runs: name the stats.json of a run"
    elif own and "origin_prompt" in keys:
        what = (
            "has predictions of OpenCompass, no scores: name the summary_*.csv of the same run "
            "(in its folder summary)"
        )
    elif own & {"accuracy", "score", "details"}:
        what = (
            "is one task's result of OpenCompass, without its model and settings: name the "
            "summary_*.csv of the same run (in its folder summary)"
        )
    elif "eval_set_id" in own or lists_logs:
        what = "lists logs of Inspect: name the logs themselves (.eval or .json)"
    if what:
        return f"{path} {what}."
    return f"{path} is not a result file of the lm-evaluation-harness: it has no 'results'."
