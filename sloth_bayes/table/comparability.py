"""Which settings of an evaluation make its score comparable with a leaderboard's.

The rules are data (``comparability.csv``, explained in ``data/README.md``). Each says of some
benchmarks whether a setting agrees with the leaderboard, shifts scores (a note), or makes
another quantity (a mismatch).
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from ..support.files import read_cells
from ..support.shipped import PUBLISHED, dataset_folder
from .benchmarks import known_benchmarks
from .readings import number

_WAYS = {"up": "higher", "down": "lower"}


class Verdict(NamedTuple):
    """What the rules say of one score: why it is another quantity, and what may shift it."""

    flaws: tuple[str, ...]
    notes: tuple[str, ...]


@functools.cache
def rules() -> pd.DataFrame:
    """The rules, first match first.

    Returns
    -------
    pandas.DataFrame
        One row a rule: benchmarks (names joined by +, ``v1``, ``v2`` or ``all``); task (a
        pattern); about (of the rules about one thing the first that matches holds); setting
        and value (a pattern, or a comparison such as ``>=3``); verdict (``agrees``,
        ``shifts`` or ``another``); direction (of the shift: up, down or either); points (its
        size, where known); reason; source.

    Examples
    --------
    >>> sorted(rules()["verdict"].unique())
    ['agrees', 'another', 'shifts']
    """
    return read_cells(dataset_folder(PUBLISHED) / "comparability.csv")


def judge(benchmark: str, task: str, settings: Mapping[str, str]) -> Verdict:
    """What the rules say of a score, given the settings that its file states.

    Examples
    --------
    >>> judge("GSM8K", "gsm8k", {"chat template": "yes", "version": "0"}).flaws[0][:35]
    'evaluated with a chat template, whi'
    """
    flaws: list[str] = []
    notes: list[str] = []
    done: set[str] = set()
    for rule in _rules_of(benchmark):
        value = settings.get(rule.setting)
        if value is None or rule.about in done or not fnmatch.fnmatchcase(task, rule.task):
            continue
        if not _matches(value, rule.value):
            continue
        done.add(rule.about)
        said = rule.reason.format(value=value)
        way = f"scores come out {_WAYS[rule.direction]}" if rule.direction in _WAYS else ""
        if way or rule.points:
            said += f" ({', '.join(filter(None, (way, rule.points)))})"
        if rule.verdict == "another":
            flaws.append(said)
        elif rule.verdict == "shifts":
            notes.append(said)
    return Verdict(tuple(flaws), tuple(notes))


@functools.cache
def _rules_of(benchmark: str) -> tuple[Any, ...]:
    board = known_benchmarks()[benchmark].leaderboard
    mine = {benchmark, board, "all"}
    return tuple(
        row
        for row in rules().itertuples(index=False)
        if not mine.isdisjoint(row.benchmarks.split(" + "))
    )


def _matches(value: str, wanted: str) -> bool:
    """Whether a setting is as a rule has it; versions compare by their numbers."""
    compared = re.fullmatch(r"(>=|<|>)([\d.]+)", wanted)
    if compared is None:
        return fnmatch.fnmatchcase(value, wanted)
    left, right = _version(value), _version(compared[2])
    if not left:
        return False
    return {">=": left >= right, "<": left < right, ">": left > right}[compared[1]]


def _version(text: str) -> tuple[int, ...]:
    plain = number(text)
    if plain is not None and plain == int(plain):
        return (int(plain),)  # 3.0 is version 3
    start = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(p) for p in start[0].split(".")) if start else ()
