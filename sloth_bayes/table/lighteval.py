"""Result files of lighteval: today's, and those of the years when tasks had suites.

Made by ``EvaluationTracker.save_results``: tasks are keys such as ``arc:challenge|25``, or
``leaderboard|arc:challenge|25`` until 0.10, the last number being the shots. Files of the
first leaderboard have such keys too, all of the suite ``harness``: they are not these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import elsewhere
from .readings import Gathered, number
from .settings import section

_KEY = re.compile(r"(?:(?P<suite>[^|]+)\|)?(?P<task>[^|]+)\|(?P<shots>\d+)(?:\|\d)?")
_TODAY = ("lighteval", "community", "extended")  # suites whose tasks are those of no suite


def owns(content: Any) -> bool:
    """Whether what a JSON file holds is a result of lighteval."""
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict):
        return False
    found = [match for key in results if (match := _KEY.fullmatch(key))]
    if any(match["suite"] == "harness" for match in found):
        return any(match["suite"] != "harness" for match in found)
    return bool(found) or "lighteval_sha" in section(content, "config_general")


def gather(path: Path, content: Mapping[str, Any], assume: bool, out: Gathered) -> None:
    """Add what one file says."""
    general = section(content, "config_general")
    config = general.get("model_config")
    config = config if isinstance(config, dict) else {}
    model = _model_name(general, config)
    out.from_results[model] = ("", "")
    keys = [key for key in content["results"] if key != "all"]
    for key in keys:
        match = _KEY.fullmatch(key)
        suite, task = (match["suite"], match["task"]) if match else (None, key)
        if task.endswith(":_average") and any(
            k != key and k.startswith(key.partition("_average")[0]) for k in keys
        ):
            continue  # of its sub-tasks, which are there
        full = f"{suite}|{task}" if suite else task
        if suite in _TODAY and not elsewhere.known("lighteval", full):
            full = task
        entry = content["results"][key]
        elsewhere.gather(
            elsewhere.Entry(
                "lighteval",
                str(path),
                model,
                full,
                entry if isinstance(entry, dict) else {},
                int(match["shots"]) if match else None,
                flaws=_limit(general, section(content, "config_tasks"), key),
                note=_template(general, config),
            ),
            assume,
            out,
        )


def _model_name(general: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    name = next((str(s[k]) for s, k in ((general, "model_name"), (config, "model_name"),
                                        (config, "pretrained")) if s.get(k)), "")  # fmt: skip
    name = name.strip().rstrip("/\\")
    revision = str(config.get("revision") or general.get("model_sha") or "main")
    named = config.get("revision") and revision not in ("main", "None")
    return f"{name}@{revision}" if name and named else name


def _limit(general: Mapping[str, Any], tasks: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Why a score does not cover all questions, or nothing."""
    config = section(tasks, key) or section(tasks, key.rpartition("|")[0])
    all_of, of = (number(config.get(f"{k}_num_docs")) for k in ("original", "effective"))
    if all_of and of:
        return (f"evaluated on {of:g} of its {all_of:g} questions",) if of < all_of else ()
    limit = number(general.get("max_samples"))
    return (f"evaluated on a part of its questions (max_samples {limit:g})",) if limit else ()


def _template(general: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    used = (config.get("override_chat_template"), general.get("use_chat_template"))
    return "it was run with a chat template" if True in used else ""
