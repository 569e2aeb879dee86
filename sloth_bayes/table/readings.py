"""What readers of evaluation files hand on: readings, skips, and facts about models."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Reading(NamedTuple):
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


class Skip(NamedTuple):
    file: str
    model: str
    benchmark: str
    task: str
    metric: str
    shots: int | None
    kind: str
    reason: str


@dataclass
class Gathered:
    """Everything read so far; models are known by the full names that files give."""

    readings: list[Reading] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    # what files say of a model: family, lineage, instruct, params_b, tokens_t
    facts: dict[str, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    from_results: dict[str, None] = field(default_factory=dict)  # an ordered set of models
    exported: dict[str, None] = field(default_factory=dict)  # every name that exports offer


def number(value: object) -> float | None:
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
