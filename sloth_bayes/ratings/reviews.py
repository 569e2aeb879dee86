"""Review files of FLASK (Ye et al., arXiv 2307.10928), and its taxonomy of skills.

A review file is JSON lines, one evaluated instance a line, whose ``score`` maps names of skills
to 1-5 or ``"N/A"``. Names vary in case and wording; what cannot be used is counted, with the
reason. Difficulty and domain come from the evaluation set, joined by the question's id, and
where both say what the question is, only if they agree: FLASK-HARD counts its ids anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

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
_REASONS = ("not applicable", "unknown skill", "not a rating of 1-5", "question not in the set",
            "question without difficulty", "another question of that id", "set line not used",
            "line not used")  # fmt: skip
_TEXT = ("instruction", "question", "prompt")  # what files call the words of a question
_MANY = 10  # questions from which on an equal number of them is no coincidence


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
        ``domain``. Scores of questions that it does not hold, that have no difficulty in it, or
        that are others there by their words are skipped. Without it, all difficulties are 1 and
        domains empty.
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
        If no line of a file is a JSON object with an id and ``score``, or the reviews are of
        other questions than the set's. One odd line is skipped and counted.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.jsonl"
    >>> _ = path.write_text('{"question_id": 1, "score": {"Factuality": 4, "Harmlessness": "N/A"}}')
    >>> read_reviews({"model-a": path})
    <sloth_bayes.Reviews: 1 scores, 1 skipped>
    """
    rows: list[tuple[Any, ...]] = []
    skipped: dict[tuple[str, str], dict[str, Any]] = {}

    def skip(reason: str, name: str, path: Path, line: int) -> None:
        first = {"reason": reason, "name": name, "count": 0, "file": str(path), "line": line}
        skipped.setdefault((reason, name), first)["count"] += 1

    given = evaluation_set is not None
    questions = _questions(user_path(evaluation_set), skip) if evaluation_set is not None else {}
    texts = {id_: question.text for id_, question in questions.items() if question.text}
    for model, file in files.items():
        path = user_path(file)
        lines = list(_usable(path, _review_problem, "line not used", skip))
        if given:
            _require_same_count(path, lines, questions)
        for line, id_, entry in lines:
            known, there = questions.get(id_), set[str]()
            text = _text(entry)
            known_text = texts.setdefault(id_, text) if text else ""
            # one file may wrap the words in a prompt
            other = not (text in known_text or known_text in text)
            if known is not None and known.skills:
                other = other or not _skills(entry) <= known.skills
            for name, value in entry["score"].items():
                skill, rating = _BY_PLAIN.get(_plain(name)), _rating(value)
                if skill is None:
                    close = near(name, SKILLS, 1)
                    skip("unknown skill", f"{name} ({close[0]}?)" if close else name, path, line)
                elif skill in there:
                    skip("line not used", f"it rates {skill} twice", path, line)
                elif value in (None, "") or _plain(str(value)) in ("na", "notapplicable"):
                    skip("not applicable", "", path, line)
                elif rating is None:
                    skip("not a rating of 1-5", str(value), path, line)
                elif given and known is None:
                    skip("question not in the set", "", path, line)
                elif other:
                    skip("another question of that id", "", path, line)
                elif known is not None and known.level is None:
                    skip("question without difficulty", "", path, line)
                else:
                    level, domain = (1, "") if known is None else (known.level, known.domain)
                    rows.append((str(model), id_, skill, level, domain, judge, rating))
                there.add(skill or name)
    columns = ["model", "instance", "skill", "difficulty", "domain", "judge", "rating"]
    lost = pd.DataFrame(list(skipped.values()), columns=["reason", "name", "count", "file", "line"])
    lost = lost.sort_values(
        ["reason", "count", "name"], ascending=[True, False, True],
        key=lambda c: c.map(_REASONS.index) if c.name == "reason" else c,
    )  # fmt: skip
    return Reviews(pd.DataFrame(rows, columns=columns), lost.reset_index(drop=True))


_Skip = Callable[[str, str, Path, int], None]
_Line = tuple[int, str, dict[str, Any]]  # number, id and content


class _Question(NamedTuple):
    level: int | None  # None where nobody has judged it
    domain: str
    text: str
    skills: frozenset[str]  # that it is rated by; empty if the set does not say


def _usable(
    path: Path, problem_of: Callable[[dict[str, Any]], str], reason: str, skip: _Skip
) -> Iterator[_Line]:
    """The lines that can be used; the others are counted, and an error if they are all."""
    first, seen = "", dict[str, int]()
    for number, entry in _lines(path):
        ids = [entry[k] for k in _ID if entry.get(k) is not None] if entry is not None else []
        if entry is None:
            problem = "not a JSON object"
        elif not ids:
            problem = f"it has no {', '.join(_ID[:-1])} or {_ID[-1]}"
        elif str(ids[0]) in seen:
            problem = "its question was there already"
        else:
            problem = problem_of(entry)
        if problem or entry is None:
            first = first or f"line {number}: {problem}"
            skip(reason, problem, path, number)
            continue
        seen[str(ids[0])] = number
        yield number, str(ids[0]), entry
    if first and not seen:
        raise DataError(f"{path} has no line that can be used; {first}.")


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Number and content of each line that is not empty; None if it is no JSON object."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise FileFormatError(f"{path} is not a UTF-8 text file") from None
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}") from None
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                entry = None
            yield number, entry if isinstance(entry, dict) else None


def _review_problem(entry: dict[str, Any]) -> str:
    score = entry.get("score")
    return "" if isinstance(score, dict) else "score must map names of skills to 1-5 or N/A"


def _skills(entry: Mapping[str, Any]) -> set[str]:
    """The skills that a review rates."""
    rated = (name for name, value in entry["score"].items() if _rating(value) is not None)
    return {skill for name in rated if (skill := _BY_PLAIN.get(_plain(name)))}


def _text(entry: Mapping[str, Any]) -> str:
    """What identifies the words of a question, or nothing."""
    found = next((str(entry[key]) for key in _TEXT if entry.get(key)), "")
    return re.sub(r"\W+", " ", found).strip().casefold()


def _rating(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    whole = number.is_integer() and SCALE[0] <= number <= SCALE[1]
    return int(number) if whole else None


def _questions(path: Path, skip: _Skip) -> dict[str, _Question]:
    """The questions of an evaluation set, those that nobody has judged included."""
    words = {}
    for number, name in LEVELS.items():
        words[_plain(name)] = words[_plain(name.removesuffix(" knowledge"))] = number
    out: dict[str, _Question] = {}
    for line, id_, entry in _usable(path, lambda _: "", "set line not used", skip):
        given = entry.get("difficulty")
        level = words.get(_plain(str(given))) or _rating(given)
        if level is None:
            skip("set line not used", f"difficulty {given!r}", path, line)
        domain, skills = entry.get("domain") or "", entry.get("metrics") or ()
        named = re.findall(r"[A-Za-z][\w -]*", skills) if isinstance(skills, str) else skills
        known = [_BY_PLAIN.get(_plain(str(s))) for s in named] if isinstance(named, list) else []
        out[id_] = _Question(
            level,
            ", ".join(map(str, domain)) if isinstance(domain, list) else str(domain),
            _text(entry) or _text({"question": entry.get("text")}),
            frozenset(s for s in known if s) if None not in known else frozenset(),
        )
    if out and all(question.level is None for question in out.values()):
        raise DataError(f"{path}: no difficulty is one of 1-5 or {', '.join(LEVELS.values())}.")
    return out


def _require_same_count(path: Path, lines: list[_Line], questions: Mapping[str, _Question]) -> None:
    """An error where only one side is FLASK-HARD, whose ids count anew, and no text tells."""
    if any(question.text or question.skills for question in questions.values()):
        return
    reviewed = {id_ for _, id_, _ in lines}
    hardest = {id_ for id_, question in questions.items() if question.level == max(LEVELS)}
    if len(hardest) == len(questions) and not reviewed <= hardest:
        raise DataError(
            f"{path} reviews questions beyond the evaluation set, which is FLASK-HARD and counts "
            "its ids anew: give the full set, and take Reviews.hard() of what is read."
        )
    if len(reviewed) == len(hardest) >= _MANY and reviewed != hardest:
        raise DataError(
            f"{path} reviews {len(reviewed)} questions, as many as are of expert level in the "
            "evaluation set, under other ids: FLASK-HARD counts its ids anew, so give its own set."
        )
