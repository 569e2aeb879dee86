"""Logs of Inspect (inspect-ai): ``.eval``, which its package reads, and ``.json``.

The tasks are those of inspect_evals, by name.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import FileFormatError
from . import elsewhere
from .readings import Gathered, Skip, number
from .settings import section

_EVALS = "inspect_evals/"


def owns(content: Any) -> bool:
    """Whether what a JSON file holds is a log of Inspect."""
    return (
        isinstance(content, dict)
        and isinstance(content.get("eval"), dict)
        and ("status" in content or "plan" in content)
    )


def read_eval(path: Path) -> dict[str, Any]:
    """The header of an ``.eval`` file, as a ``.json`` log has it.

    Raises
    ------
    FileFormatError
        If inspect-ai is not installed, or cannot read the file.
    """
    if not path.is_file():
        raise FileFormatError(f"cannot read {path}: there is no such file.")
    try:
        from inspect_ai.log import read_eval_log
    except ImportError:
        raise FileFormatError(
            f"{path} is a log of Inspect, which needs its package: pip install "
            "'sloth-bayes[inspect]', or write the log as JSON (inspect log convert --to json)."
        ) from None
    try:
        log = read_eval_log(str(path), header_only=True)
    except Exception as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise FileFormatError(
            f"{path} cannot be read as a log of Inspect ({said[0].rstrip('.')}): copy it again, "
            "or repeat the evaluation."
        ) from None
    header: dict[str, Any] = log.model_dump(mode="json")
    return header


def gather(path: Path, log: Mapping[str, Any], assume: bool, out: Gathered) -> None:
    """Add the score of one log."""
    run = log["eval"]
    full = str(run.get("task_registry_name") or run.get("task") or "")
    task = str(run.get("task") or full)
    if full.startswith(_EVALS):
        task = full
    flaws = [] if task.startswith(_EVALS) else ["its task is not said to be that of inspect_evals"]
    task = task.removeprefix(_EVALS)
    model = _model_name(run)
    settings = {**section(run, "task_args_passed"), **section(run, "task_args")}
    if task == "musr":
        task = f"musr:{settings.get('domain', 'murder_mysteries')}"
    status = str(log.get("status") or "unknown")
    results = section(log, "results")
    shots = number(settings.get("fewshot", settings.get("example_count")))
    metrics = _metrics(results) if status == "success" else {}
    if status != "success":
        _refuse(
            path, model, task, f"is of an evaluation that has not ended well (status {status})", out
        )
        return
    elsewhere.gather(
        elsewhere.Entry(
            "Inspect",
            str(path),
            model,
            task,
            metrics,
            None if shots is None else int(shots),
            settings,
            (*flaws, *_part_of_it(run, results, settings)),
            _generation(log),
            _seconds(run.get("created")),
            _asked(run, results),
        ),
        assume,
        out,
    )


def _refuse(path: Path, model: str, task: str, reason: str, out: Gathered) -> None:
    out.from_results[model] = ("", "")
    out.skips.append(Skip(str(path), model, "", task, "", None, "unreadable", reason))


def _model_name(run: Mapping[str, Any]) -> str:
    """The model without the provider's name that Inspect puts before it."""
    provider, _, name = str(run.get("model") or "").partition("/")
    named = section(run, "model_args").get("model_path")
    return str(named or name or provider).rstrip("/\\")


def _metrics(results: Mapping[str, Any]) -> dict[str, Any]:
    """Values by ``scorer/metric``, and by the metric alone where one scorer has it."""
    found: dict[str, Any] = {}
    scores = results.get("scores")
    scores = [s for s in scores if isinstance(s, dict)] if isinstance(scores, list) else []
    for score in scores:
        for name, metric in section(score, "metrics").items():
            value = metric.get("value") if isinstance(metric, dict) else metric
            found[f"{score.get('name')}/{name}"] = value
            if sum(name in section(other, "metrics") for other in scores) == 1:
                found[name] = value
    return found


def _part_of_it(
    run: Mapping[str, Any], results: Mapping[str, Any], settings: Mapping[str, Any]
) -> list[str]:
    """Why a score does not cover all questions, or nothing."""
    config = section(run, "config")
    for key in ("limit", "sample_id"):
        if config.get(key):
            return [f"evaluated on a part of its questions ({key} {config[key]})"]
    all_of, of = (number(results.get(f"{k}_samples")) for k in ("total", "completed"))
    if all_of is not None and of is not None and of < all_of:
        return [f"evaluated on {of:g} of its {all_of:g} questions"]
    return []


def _asked(run: Mapping[str, Any], results: Mapping[str, Any]) -> float | None:
    """How many questions were asked, however often each."""
    asked = number(results.get("total_samples"))
    epochs = number(section(run, "config").get("epochs"))
    return None if asked is None else asked / max(1, epochs or 1)


def _generation(log: Mapping[str, Any]) -> str:
    """What the run asked of the sampler that moves a score."""
    config = section(section(log, "plan"), "config") | section(
        section(log, "eval"), "model_generate_config"
    )
    said = []
    temperature = number(config.get("temperature"))
    if temperature:
        said.append(f"answers were drawn at temperature {temperature:g}")
    if config.get("system_message"):
        said.append("the run had a system message")
    return "; ".join(said)


def _seconds(created: Any) -> float | None:
    try:
        return datetime.datetime.fromisoformat(str(created)).timestamp()
    except ValueError:
        return None
