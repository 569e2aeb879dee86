"""Review files of FLASK (Ye et al., arXiv 2307.10928), and its taxonomy of skills.

A review file is JSON lines, one evaluated instance a line, whose ``score`` maps names of skills
to 1-5 or ``"N/A"``. Names vary in case and wording; what cannot be used is counted, with the
reason. Difficulty and domain come from the evaluation set, joined by the question's id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import DataError, FileFormatError, near, unknown
from ..support.files import user_path
from .rated import SCALE
from .table import SkillRatings

TAXONOMY: dict[str, tuple[str, ...]] = {
    "logical thinking": ("logical robustness", "logical correctness", "logical efficiency"),
    "background knowledge": ("factuality", "commonsense understanding"),
    "problem handling": ("comprehension", "insightfulness", "completeness", "metacognition"),
    "user alignment": ("readability", "conciseness", "harmlessness"),
}
"""FLASK's four abilities and their twelve skills."""

SKILLS = tuple(skill for group in TAXONOMY.values() for skill in group)
LEVELS: dict[int, str] = {
    1: "simple lifestyle knowledge",
    2: "advanced lifestyle knowledge",
    3: "formal education knowledge",
    4: "major level knowledge",
    5: "expert level knowledge",
}
"""FLASK's five levels of difficulty; the last is its subset FLASK-HARD."""

_SHORT = {skill.removeprefix("logical "): skill for skill in TAXONOMY["logical thinking"]}
_SHORT["commonsense"] = "commonsense understanding"
_ID = ("question_id", "idx", "id")
_REASONS = ("not applicable", "unknown skill", "not a rating of 1-5", "question not in the set")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


_BY_PLAIN = {_plain(s): s for s in SKILLS} | _SHORT


def skill_named(name: str) -> str:
    """The skill of the taxonomy that a name in some case and wording stands for.

    Raises
    ------
    UnknownNameError
        If there is none, with near matches.

    Examples
    --------
    >>> skill_named("Common-Sense Understanding"), skill_named("Logical Correctness")
    ('commonsense understanding', 'logical correctness')
    """
    plain = _plain(name)
    if plain in _BY_PLAIN:
        return _BY_PLAIN[plain]
    raise unknown("skill", name, SKILLS)


@dataclass(frozen=True)
class Reviews:
    """What review files say.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row a score: model, instance, skill, difficulty, domain, judge, rating.
    skipped : pandas.DataFrame
        One row a reason (and name, where it is a name that was not understood): reason, name,
        count, and where it first occurred (file, line).
    """

    frame: pd.DataFrame
    skipped: pd.DataFrame

    def __repr__(self) -> str:
        lost = int(self.skipped["count"].sum())
        return f"<sloth_bayes.Reviews: {len(self.frame)} scores, {lost} skipped>"

    def hard(self) -> Reviews:
        """FLASK-HARD: the instances of expert level only."""
        hardest = self.frame[self.frame["difficulty"] == max(LEVELS)]
        return Reviews(hardest.reset_index(drop=True), self.skipped)

    def ratings(self, models: pd.DataFrame, name: str = "FLASK") -> SkillRatings:
        """As ratings to fit; `models` as in :meth:`sloth_bayes.SkillRatings.from_ratings`."""
        return SkillRatings.from_ratings(self.frame, models, skills=SKILLS, name=name)


def read_reviews(
    files: Mapping[str, str | Path],
    evaluation_set: str | Path | None = None,
    *,
    judge: str = "judge",
) -> Reviews:
    """Read review files of FLASK, one a model.

    Parameters
    ----------
    files
        Model to path of its review file: JSON lines with ``question_id`` (or ``idx``, ``id``) and
        ``score``, a mapping from skill names to 1-5 or ``"N/A"``.
    evaluation_set
        JSON lines with the same ids, ``difficulty`` (1-5, or one of :data:`LEVELS` in words) and
        ``domain``. Scores of questions it does not hold are skipped. Without it, all difficulties
        are 1 and domains empty.
    judge
        Who gave the scores.

    Returns
    -------
    Reviews

    Raises
    ------
    FileFormatError
        If a file cannot be read.
    DataError
        If a line is not a JSON object, lacks its id or ``score``, or repeats a question or a
        skill: the message names the file and the line number.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.jsonl"
    >>> _ = path.write_text('{"question_id": 1, "score": {"Factuality": 4, "Harmlessness": "N/A"}}')
    >>> read_reviews({"model-a": path})
    <sloth_bayes.Reviews: 1 scores, 1 skipped>
    """
    questions = None if evaluation_set is None else _questions(user_path(evaluation_set))
    rows: list[tuple[Any, ...]] = []
    skipped: dict[tuple[str, str], dict[str, Any]] = {}

    def skip(reason: str, name: str, path: Path, line: int) -> None:
        first = {"reason": reason, "name": name, "count": 0, "file": str(path), "line": line}
        skipped.setdefault((reason, name), first)["count"] += 1

    for model, file in files.items():
        path, lines = user_path(file), {}  # type: ignore[var-annotated]
        for line, question, entry in _lines(path):
            where = f"{path}, line {line}"
            if question in lines:
                raise DataError(
                    f"{where}: question {question} was there already in line {lines[question]}"
                )
            lines[question] = line
            score = entry.get("score")
            if not isinstance(score, dict):
                raise DataError(
                    f"{where}: score must map names of skills to 1-5 or N/A, not {score!r}"
                )
            there: dict[str, str] = {}
            for name, value in score.items():
                skill, rating = _BY_PLAIN.get(_plain(name)), _rating(value)
                if skill is None:
                    close = near(name, SKILLS, 1)
                    skip("unknown skill", f"{name} ({close[0]}?)" if close else name, path, line)
                    continue
                if skill in there:
                    raise DataError(f"{where}: {there[skill]!r} and {name!r} are both {skill}")
                there[skill] = name
                if value in (None, "") or _plain(str(value)) in ("na", "notapplicable"):
                    skip("not applicable", "", path, line)
                elif rating is None:
                    skip("not a rating of 1-5", str(value), path, line)
                elif questions is not None and question not in questions:
                    skip("question not in the set", "", path, line)
                else:
                    level, domain = (1, "") if questions is None else questions[question]
                    rows.append((str(model), question, skill, level, domain, judge, rating))
    columns = ["model", "instance", "skill", "difficulty", "domain", "judge", "rating"]
    lost = pd.DataFrame(list(skipped.values()), columns=["reason", "name", "count", "file", "line"])
    lost = lost.sort_values(
        ["reason", "count", "name"], ascending=[True, False, True],
        key=lambda c: c.map(_REASONS.index) if c.name == "reason" else c,
    )  # fmt: skip
    return Reviews(pd.DataFrame(rows, columns=columns), lost.reset_index(drop=True))


def _lines(path: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Number, id and content of each line that is not empty."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise FileFormatError(f"{path} is not a UTF-8 text file") from None
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}") from None
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if not isinstance(entry, dict):
            raise DataError(f"{path}, line {number}: not a JSON object")
        ids = [entry[key] for key in _ID if entry.get(key) is not None]
        if not ids:
            raise DataError(f"{path}, line {number}: it has no {', '.join(_ID[:-1])} or {_ID[-1]}")
        yield number, str(ids[0]), entry


def _rating(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    whole = number.is_integer() and SCALE[0] <= number <= SCALE[1]
    return int(number) if whole else None


def _questions(path: Path) -> dict[str, tuple[int, str]]:
    """Difficulty and domain of each question of an evaluation set."""
    words = {}
    for number, name in LEVELS.items():
        words[_plain(name)] = words[_plain(name.removesuffix(" knowledge"))] = number
    out: dict[str, tuple[int, str]] = {}
    for line, question, entry in _lines(path):
        given = entry.get("difficulty")
        level = words.get(_plain(str(given))) or _rating(given)
        if level is None:
            raise DataError(
                f"{path}, line {line}: difficulty {given!r} is none of 1-5 or "
                f"{', '.join(LEVELS.values())}"
            )
        if question in out:
            raise DataError(f"{path}, line {line}: question {question} was there already")
        domain = entry.get("domain") or ""
        out[question] = (level, ", ".join(domain) if isinstance(domain, list) else str(domain))
    return out
