"""Ratings of models on skills by judges: checked tables, and those that ship."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import DataError, check_known
from ..support.frames import as_pandas, listed
from ..support.shipped import shipped
from ..support.spelling import other_unit, plain_number, what_to_write
from ..table.leaderboard import load_dataset
from .rated import SCALE, Ratings

if TYPE_CHECKING:
    from .posterior import RatingsPosterior

_ENOUGH = 5  # models of known size, to set a prior for the others


class SkillRatings(Ratings):
    """Ratings of models on skills by judges, checked.

    Made by :meth:`from_means` (mean ratings), :meth:`from_ratings` (single ones) or
    :func:`load_ratings` (those that ship), not by hand.

    Attributes
    ----------
    frame : pandas.DataFrame
        Of means: model, skill, judge, rating. Of single ratings: model, skill, difficulty,
        judge, and the counts of each rating, ``1`` to ``5``.
    models : pandas.DataFrame
        model, family, lineage, kind, params_b (billions; NaN if unknown).
    skills, judges : tuple of str
        In the order of the fit: as given, and sorted.
    levels : tuple of int
        Levels of difficulty; empty for means.
    single : bool
        Whether single ratings are counted.
    """

    def __repr__(self) -> str:
        single, unknown = self.single, self.models["params_b"].isna().sum()
        count = self.frame[list("12345")].to_numpy().sum() if single else len(self.frame)
        return (
            f"<sloth_bayes.SkillRatings {self.name!r}: {count} {'single' if single else 'mean'} "
            f"ratings of {len(self.models)} models ({unknown} of unknown size) on "
            f"{len(self.skills)} skills by {len(self.judges)} judge(s)>"
        )

    @classmethod
    def from_means(
        cls,
        ratings: pd.DataFrame,
        models: pd.DataFrame,
        *,
        skills: str | Sequence[str] | None = None,
        instances: Mapping[str, int] | None = None,
        name: str = "ratings",
    ) -> SkillRatings:
        """Mean ratings: one row a model, skill and judge.

        Parameters
        ----------
        ratings
            Columns model, skill, rating (a mean, in [1, 5]; rows of NaN are left out) and
            judge (optional, if there is one).
        models
            One row a model: model, params_b (billions, NaN if unknown), and optionally family,
            lineage (the base models that families share) and kind (such as Base and Chat).
        skills
            The skills that may occur, in order; by default those of the table, sorted.
        instances
            Number of rated answers behind a mean, by skill, where known: the scale of their
            sampling noise.
        name
            What to call the table.

        Raises
        ------
        DataError
            A column is missing, a rating lies outside 1-5, a row is there twice, a model has
            no row in `models`, or a size is not positive.
        UnknownNameError
            A skill is not among `skills`.

        Examples
        --------
        >>> import pandas as pd, sloth_bayes as sb
        >>> models = pd.DataFrame({"model": ["a", "b"], "params_b": [7, 70]})
        >>> rows = pd.DataFrame({"model": ["a", "b"], "skill": "planning", "rating": [3.1, 3.9]})
        >>> sb.SkillRatings.from_means(rows, models).skills
        ('planning',)
        """
        frame = _columns(ratings, skills, ["model", "skill", "judge"])
        _reject_twice(frame, ["model", "skill", "judge"])
        return cls._made(frame, models, skills, (), dict(instances or {}), name)

    @classmethod
    def from_ratings(
        cls,
        ratings: pd.DataFrame,
        models: pd.DataFrame,
        *,
        skills: str | Sequence[str] | None = None,
        name: str = "ratings",
    ) -> SkillRatings:
        """Single ratings: one row an answer and skill. They are counted at once.

        Parameters
        ----------
        ratings
            Columns model, skill, rating (1, 2, 3, 4 or 5; rows of NaN are left out), and
            optionally judge, difficulty (1 to 5) and instance (what was answered: a row of
            the same instance, model, skill and judge may then be there once only).
        models, skills, name
            As in :meth:`from_means`.

        Raises
        ------
        DataError
            As in :meth:`from_means`; or a rating or difficulty is not a whole number of 1-5.
        UnknownNameError
            A skill is not among `skills`.
        """
        frame = _columns(ratings, skills, ["model", "skill", "judge", "difficulty", "instance"])
        for column in ("rating", "difficulty"):
            values = pd.to_numeric(frame[column], errors="coerce")
            wrong = "is not 1, 2, 3, 4 or 5: give means to from_means"
            _reject(frame, ~values.isin(range(SCALE[0], SCALE[1] + 1)), column, wrong)
            frame[column] = values.astype(int)
        if "instance" in ratings:
            _reject_twice(frame, ["model", "skill", "judge", "instance"])
        cells = ["model", "skill", "difficulty", "judge"]
        counts = frame.groupby([*cells, "rating"]).size().unstack("rating", fill_value=0)
        counts = counts.reindex(columns=range(1, 6), fill_value=0).set_axis(list("12345"), axis=1)
        levels = tuple(int(v) for v in sorted(frame["difficulty"].unique()))
        return cls._made(counts.reset_index(), models, skills, levels, {}, name)

    @classmethod
    def _made(
        cls, frame: pd.DataFrame, models: pd.DataFrame, skills: str | Sequence[str] | None,
        levels: tuple[int, ...], instances: Mapping[str, int], name: str,
    ) -> SkillRatings:  # fmt: skip
        if frame.empty:
            raise DataError("there is no rating: every row is empty")
        about, rated = _models(models), frame["model"].unique()
        remedy = "It has ratings, but no row in models: add one."
        check_known("model", rated, about["model"], remedy)
        about = about[about["model"].isin(rated)].reset_index(drop=True)
        known = about["params_b"].count()
        if known < min(_ENOUGH, len(about)):
            raise DataError(
                f"{known} models have a known size: a prior for the "
                f"unknown ones needs at least {_ENOUGH}; fill sizes in, or leave such models out"
            )
        if about["params_b"].nunique() < 2:
            raise DataError("all models are of one size: how skills grow cannot be learned")
        there = set(frame["skill"])
        names = tuple(s for s in (listed(skills) if skills else sorted(there)) if s in there)
        judges = tuple(sorted(frame["judge"].unique()))
        order = [c for c in ("model", "skill", "difficulty", "judge") if c in frame]
        frame = frame.sort_values(order, kind="stable").reset_index(drop=True)
        return cls(frame, about, names, judges, levels, instances, name)

    def select(
        self,
        *,
        models: str | Iterable[str] | None = None,
        skills: str | Iterable[str] | None = None,
        judges: str | Iterable[str] | None = None,
    ) -> SkillRatings:
        """A part of the table.

        Raises
        ------
        UnknownNameError
            If a name is not in the table.
        """
        frame, keep = self.frame, list(self.skills)
        for column, names, known in (
            ("model", models, self.models["model"]),
            ("skill", skills, self.skills),
            ("judge", judges, self.judges),
        ):
            if names is not None:
                names = listed(names)
                check_known(column, names, known)
                frame = frame[frame[column].isin(names)]
                keep = names if column == "skill" else keep
        return self._made(frame, self.models, keep, self.levels, self.instances, self.name)

    def fit(self, **options: Any) -> RatingsPosterior:
        """Fit the law of ratings by NUTS; see :func:`sloth_bayes.ratings.fit.fit`."""
        from .fit import fit

        return fit(self, **options)


def _columns(
    ratings: Any, skills: str | Sequence[str] | None, names: Sequence[str]
) -> pd.DataFrame:
    """The columns that matter, with ratings and skills checked; rows without a rating are gone."""
    ratings = as_pandas(ratings, "a table of ratings")
    reject_wide(ratings)
    _require(ratings, "the ratings", ("model", "skill", "rating"))
    default = {"judge": "judge", "difficulty": 1, "instance": 0}
    frame = pd.DataFrame({c: ratings[c] if c in ratings else default[c] for c in names})
    for column in ("model", "skill", "judge"):
        if column in ratings and ratings[column].isna().any():
            raise DataError(f"a row of the ratings has no {column}: fill it in")
        frame[column] = frame[column].astype(str)
    frame["rating"] = values = pd.to_numeric(ratings["rating"], errors="coerce")
    _reject(ratings, ratings["rating"].notna() & values.isna(), "rating", "is not a number")
    _reject(ratings, values.notna() & ~values.between(*SCALE), "rating", "lies outside 1-5")
    if skills is not None:
        check_known("skill", frame["skill"].unique(), listed(skills))
    return frame[values.notna()].reset_index(drop=True)


def _require(table: Any, what: str, columns: Iterable[str]) -> None:
    for column in columns:
        if column not in table:
            raise DataError(f"{what} lack the column {column!r}")


def reject_wide(ratings: pd.DataFrame) -> None:
    """An error for a table with a column a skill, which says how to turn it. For the layers above.

    Raises
    ------
    DataError
        If there is neither a skill nor a rating, but several columns of numbers in 1-5.
    """
    if {"skill", "rating"} <= set(ratings):
        return
    wide = [
        str(column)
        for column in ratings
        if "param" not in str(column).casefold()
        and pd.api.types.is_numeric_dtype(ratings[column])
        and ratings[column].dropna().between(*SCALE).all()
    ]
    if len(wide) < 2:
        return
    keys = [str(c) for c in ratings if str(c) not in wide]
    raise DataError(
        f"the ratings have a column a skill ({', '.join(wide)}), where one row a model, skill and "
        f"judge is meant: melt it, table.melt({keys}, {wide}, 'skill', 'rating'), and call the "
        "other columns model, params_b and judge"
    )


def _reject(ratings: pd.DataFrame, bad: pd.Series, column: str, wrong: str) -> None:
    """An error that names the first of the bad rows."""
    if bad.any():
        row = ratings[bad].iloc[0]
        raise DataError(
            f"{column} {row[column]!r} of model {row['model']!r} on {row['skill']!r} {wrong}"
        )


def _reject_twice(frame: pd.DataFrame, keys: list[str]) -> None:
    twice = frame.duplicated(keys)
    if twice.any():
        row = frame[twice].iloc[0]
        where = ", ".join(f"{k} {row[k]!r}" for k in keys)
        raise DataError(f"two rows rate the same ({where}): keep one of them")


def _models(models: Any) -> pd.DataFrame:
    """What is known of the models, with defaults, sorted by name."""
    models = as_pandas(models, "models")
    _require(models, "models", ("model", "params_b"))
    out = pd.DataFrame({"model": models["model"].astype(str)})
    out["family"] = models["family"].astype(str) if "family" in models else out["model"]
    out["lineage"] = models["lineage"].astype(str) if "lineage" in models else out["family"]
    out["kind"] = models["kind"].astype(str) if "kind" in models else "model"
    out["params_b"] = [_size(*row) for row in zip(models["params_b"], out["model"])]
    out["params_b"] = out["params_b"].astype(float)
    _reject_twice(out, ["model"])
    bad = out["params_b"].notna() & ~((out["params_b"] > 0) & np.isfinite(out["params_b"]))
    if bad.any():
        row = out[bad].iloc[0]
        raise DataError(
            f"params_b of model {row['model']!r} is {row['params_b']:g}: it must be a positive "
            "number of billions, or empty if unknown"
        )
    return out.sort_values("model", kind="stable").reset_index(drop=True)


def _size(cell: Any, model: str) -> float:
    """A size in billions, NaN where there is none, or an error that says what to write."""
    if cell is None or cell is pd.NA or cell != cell or str(cell).strip() == "":
        return np.nan
    try:
        value = plain_number(cell)
    except (TypeError, ValueError):
        advice = what_to_write(cell, "params_b") or "leave it empty if it is unknown"
        raise DataError(f"params_b of model {model!r} is {cell!r}: {advice}") from None
    if wrong := other_unit(value, "params_b"):
        raise DataError(f"params_b of model {model!r} is {wrong}")
    return value


def load_ratings(
    judges: str | Iterable[str] | None = None, *, name: str = "biggen"
) -> SkillRatings:
    """Ratings that ship: BiGGen-Bench, or MT-Bench by category.

    ``"biggen"``: 103 models on nine capabilities, rated by two language models (the leaderboard of
    Prometheus-Eval, MIT). Families and lineages are added; mixtures of experts enter with their
    active parameters.

    ``"mt_bench"``: 41 models of 2024 to 2026 on eight categories of the English MT-Bench, two of
    style and six of substance, rated by one language model (Swallow LLM Leaderboard, CC BY 4.0).
    Ratings of 1 to 10 are stretched to 1 to 5. Kinds are Chat and Thinking; mixtures enter with the
    geometric mean of their active and total parameters. ``data/README.md`` says more of both.

    Parameters
    ----------
    judges
        ``"gpt4turbo"``, ``"prometheus"``, or both (the default); of MT-Bench ``"gpt-5.2"``.
    name
        ``"biggen"`` (the default) or ``"mt_bench"``.

    Raises
    ------
    UnknownNameError
        If no such ratings ship, or a judge is not among theirs.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> sb.load_ratings()
    <sloth_bayes.SkillRatings 'biggen': 1790 mean ratings of 103 models (14 of unknown size) on \
9 skills by 2 judge(s)>
    >>> sb.load_ratings(name="mt_bench")
    <sloth_bayes.SkillRatings 'mt_bench': 328 mean ratings of 41 models (7 of unknown size) on \
8 skills by 1 judge(s)>
    """
    check_known("table of ratings", [name], _SHIPPED)
    table = _SHIPPED[name]()
    return table if judges is None else table.select(judges=judges)


def _biggen() -> SkillRatings:
    folder = shipped("data") / "skill_ratings"
    about = pd.read_csv(folder / "models.csv")
    skills = pd.read_csv(folder / "skills.csv")
    parts = []
    for judge in ("gpt4turbo", "prometheus"):
        wide = pd.read_csv(folder / f"biggen_{judge}_judge.csv")
        long = wide.melt(["model", "params_b", "model_type"], var_name="skill", value_name="rating")
        parts.append(long.assign(judge=judge))
    rows = pd.concat(parts)
    kind = rows.drop_duplicates("model").set_index("model")["model_type"]
    about["kind"] = about["model"].map(kind)
    known = skills.dropna(subset="n_instances").set_index("skill")["n_instances"].astype(int)
    return SkillRatings.from_means(
        rows, about, skills=list(skills["skill"]), instances=known.to_dict(), name="biggen"
    )


def _mt_bench() -> SkillRatings:
    categories = load_categories()
    frame = load_dataset("open_models").described
    scores = frame[list(categories["benchmark"])].set_axis(categories["category"], axis=1)
    about = frame[["model", "family", "lineage"]].assign(
        # as the law of skills expects it before it has seen a mixture
        params_b=np.sqrt(frame["params_b"] * frame["total_params_b"]),
        kind=frame["kind"].map({"instruct": "Chat", "reasoning": "Thinking"}),
    )
    low, high = SCALE
    rows = (low + (high - low) * (10 * scores - 1) / 9).assign(model=frame["model"])
    rows = rows.melt("model", var_name="skill", value_name="rating").assign(judge="gpt-5.2")
    rated = about[about["model"].isin(rows.dropna()["model"])]
    names = list(categories["category"])
    return SkillRatings.from_means(
        rows, rated, skills=names, instances=dict.fromkeys(names, 10), name="mt_bench"
    )


def load_categories() -> pd.DataFrame:
    """The categories of MT-Bench: category, benchmark (of ``open_models``), side.

    ``side`` is ``"style"`` (roleplay, writing) or ``"substance"``. For the layers above.
    """
    return pd.read_csv(shipped("data") / "skill_ratings" / "mt_bench.csv")


_SHIPPED = {"biggen": _biggen, "mt_bench": _mt_bench}
