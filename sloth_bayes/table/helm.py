"""Runs of HELM: a folder with ``run_spec.json`` and ``stats.json``, as its Runner writes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import FileFormatError
from . import elsewhere
from .json_files import read_json
from .readings import Gathered, number

# The argument of a run that says which part of its benchmark it is
_PART = {"mmlu": "subject", "math": "subject", "commonsense": "dataset", "truthful_qa": "task",
         "gpqa": "subset", "mmlu_pro": "subset"}  # fmt: skip
# Its other files: those that nobody else calls so, and those that are HELM's beside a run
_ITS = ("scenario_state.json", "per_instance_stats.json", "runs_to_run_suites.json",
        "groups_metadata.json", "display_requests.json", "display_predictions.json")  # fmt: skip
_BESIDE = ("scenario.json", "instances.json", "runs.json", "run_specs.json", "groups.json")


def owns(path: Path) -> bool:
    """Whether a file is one of HELM's, by its name."""
    if path.name in ("stats.json", "run_spec.json", *_ITS):
        return True
    return path.name in _BESIDE and (path.parent / "run_spec.json").is_file()


def gather(path: Path, in_folder: bool, assume: bool, out: Gathered) -> None:
    """Add the score of the run that a file belongs to: once, whichever of its files are named."""
    if in_folder and path.name != "stats.json":
        return
    if path.name not in ("stats.json", "run_spec.json"):
        raise FileFormatError(
            f"{path} is a file of HELM that is not read: name the stats.json of the run."
        )
    stats, spec = (path.parent / name for name in ("stats.json", "run_spec.json"))
    for needed, what in ((stats, "the scores"), (spec, "what was run")):
        if not needed.is_file():
            raise FileFormatError(
                f"{path} is of a run of HELM, whose {needed.name} ({what}) is not beside it: "
                "copy the run's whole folder."
            )
    run, listed = read_json(spec), read_json(stats)
    if not (
        isinstance(run, dict) and isinstance(run.get("name"), str) and isinstance(listed, list)
    ):
        raise FileFormatError(f"{path} is no run of HELM: its files have another form.")
    adapter = run.get("adapter_spec")
    adapter = adapter if isinstance(adapter, dict) else {}
    head, arguments = _parsed(run["name"])
    part = arguments.get(_PART.get(head, ""))
    if head == "mmlu_pro":  # also called subject
        part = arguments.setdefault("subset", arguments.get("subject", "all"))
    metrics, questions = _means(listed)
    shots = number(adapter.get("max_train_instances"))
    most = number(adapter.get("max_eval_instances"))
    limited = most is not None and (questions is None or questions >= most)
    flaws = (
        [f"evaluated on a part of its questions (max_eval_instances {most:g})"] if limited else []
    )
    augmenter = run.get("data_augmenter_spec")
    if isinstance(augmenter, dict) and augmenter.get("perturbation_specs"):
        flaws.append("its questions were perturbed")
    elsewhere.gather(
        elsewhere.Entry(
            "HELM",
            str(stats),
            str(adapter.get("model") or arguments.get("model", "").replace("_", "/", 1)),
            f"{head}:{part}" if part else head,
            metrics,
            None if shots is None else int(shots),
            arguments,
            tuple(flaws),
        ),
        assume,
        out,
    )


def _parsed(name: str) -> tuple[str, dict[str, str]]:
    """The scenario of a run's name, and its arguments: ``mmlu:subject=anatomy,model=...``."""
    head, _, rest = name.partition(":")
    pairs = (part.split("=", 1) for part in rest.split(",") if "=" in part)
    return head, dict(pairs)  # type: ignore[arg-type]


def _means(listed: list[Any]) -> tuple[Mapping[str, Any], float | None]:
    """Means by metric on the questions as they are, and how many there were."""
    found: dict[str, dict[str, Any]] = {}
    for stat in listed:
        name = stat.get("name") if isinstance(stat, dict) else None
        if isinstance(name, dict) and not name.get("perturbation") and not name.get("sub_split"):
            found.setdefault(str(name.get("split")), {})[str(name.get("name"))] = stat.get("mean")
    split = next((s for s in ("test", "valid") if s in found), next(iter(found), ""))
    metrics = found.get(split, {})
    return metrics, number(metrics.get("num_instances"))
