"""What readers of evaluation files hand on: readings, skips, and facts about models."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Skip(NamedTuple):
    """A task that is not used: kind and words of the reason; a row of ``Observed.skipped``."""

    file: str
    model: str
    benchmark: str
    task: str
    metric: str
    shots: int | None
    kind: str
    reason: str


class Reading(NamedTuple):
    """The score of one task in one file; `flaws` say why it is not the leaderboard's.

    `subtask` is the part of its benchmark that a task is; the empty string if it is all.
    """

    file: str
    model: str
    benchmark: str
    set: str
    subtask: str
    task: str
    metric: str = ""
    shots: int | None = None
    score: float = math.nan
    flaws: tuple[str, ...] = ()
    note: str = ""
    date: float | None = None

    def skip(self, kind: str, reason: str) -> Skip:
        """The task, not used after all."""
        return Skip(
            self.file, self.model, self.benchmark, self.task, self.metric, self.shots, kind, reason
        )


@dataclass
class Gathered:
    """Everything read so far; models are known by the full names that files give."""

    readings: list[Reading] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    # what files say of a model: family, lineage, instruct, params_b, tokens_t, and what speaks
    # against params_b as its size (doubt)
    facts: dict[str, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    # the models that results are of, each with its adapter and how its weights are quantised
    from_results: dict[str, tuple[str, str]] = field(default_factory=dict)
    exported: dict[str, None] = field(default_factory=dict)  # every name that exports offer


def number(value: object) -> float | None:
    """A finite number, also one written as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def last_part(name: str) -> str:
    """The last part of a model's name or path, with its revision."""
    plain, at, revision = name.partition("@")
    return re.split(r"[/\\]", plain)[-1] + at + revision
