"""Fine-grained ratings of skills by judges: how skills grow, where they stop, who judges how.

Ratings from 1 to 5 stand in the place of benchmark scores (Ye et al., FLASK, arXiv 2307.10928; Kim
et al., BiGGen-Bench, arXiv 2406.05761). The law of skills is the package's own with size as its
only input; :mod:`sloth_bayes.ratingsmodel` says what is added to it: curves that may bend, kinds
of model, judges, difficulties. Models of unknown size take part: their log size is a parameter,
normal with the mean and standard deviation of the known ones.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from . import law
from ._files import atomic_path
from ._shipped import shipped
from .curves import bisect, order_statistics
from .design import Design, design
from .errors import DataError, FileFormatError, SpecError, unknown
from .forecast import check_prob
from .leaderboard import Benchmark, Leaderboard
from .posterior import _compressed, _round_bits
from .spec import Priors, Sloth

if TYPE_CHECKING:
    from .diagnostics import Diagnostics

SCALE = (1, 5)  # of a rating
KNOTS = (7.0, 13.0, 30.0, 70.0)  # sizes (B) where the gain of a doubling may change
GAIN = 0.1  # rating points a doubling, below which a skill counts as saturated
LAW = Sloth(
    n_skills=1,
    inputs="size",
    slopes="shared",
    model_effect="pooled",
    lower="chance",
    upper="one",
    link="logistic",
    unknown_inputs="latent",
    priors=Priors(model_effect=0.5),
)
"""The law of ratings: one general skill, residuals by family and skill, size only.

Set before any held-out score was seen. Single models differ more here than on leaderboards (one
base model has many tunings), hence the wider prior of their effect."""

FORMAT, FORMAT_VERSION = "sloth_bayes ratings", 1
_ENOUGH = 5  # models of known size, to set a prior for the others
_MODELS = ("model", "family", "lineage", "kind", "params_b")
BASE = "Base"  # the kind that is not tuned to chat


@dataclass(frozen=True)
class SkillRatings:
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

    frame: pd.DataFrame
    models: pd.DataFrame
    skills: tuple[str, ...]
    judges: tuple[str, ...]
    levels: tuple[int, ...]
    instances: Mapping[str, int]
    name: str = "ratings"

    @property
    def single(self) -> bool:
        """Whether single ratings are counted, rather than means given."""
        return bool(self.levels)

    def __repr__(self) -> str:
        unknown = int(self.models["params_b"].isna().sum())
        what = (
            f"{int(self.frame[list('12345')].to_numpy().sum())} single ratings"
            if self.single
            else f"{len(self.frame)} mean ratings"
        )
        return (
            f"<sloth_bayes.SkillRatings {self.name!r}: {what} of {len(self.models)} models "
            f"({unknown} of unknown size) on {len(self.skills)} skills by "
            f"{len(self.judges)} judge(s)>"
        )

    @classmethod
    def from_means(
        cls,
        ratings: pd.DataFrame,
        models: pd.DataFrame,
        *,
        skills: Sequence[str] | None = None,
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
        frame = _columns(ratings, skills, ("model", "skill", "judge"))
        frame = frame[frame["rating"].notna()]
        _reject_twice(frame, ["model", "skill", "judge"])
        frame = frame[["model", "skill", "judge", "rating"]]
        return cls._made(frame, models, skills, (), dict(instances or {}), name)

    @classmethod
    def from_ratings(
        cls,
        ratings: pd.DataFrame,
        models: pd.DataFrame,
        *,
        skills: Sequence[str] | None = None,
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
        frame = _columns(ratings, skills, ("model", "skill", "judge", "difficulty", "instance"))
        frame = frame[frame["rating"].notna()]
        for column in ("rating", "difficulty"):
            values = pd.to_numeric(frame[column], errors="coerce")
            bad = ~values.isin(range(SCALE[0], SCALE[1] + 1))
            if bad.any():
                row = frame[bad].iloc[0]
                raise DataError(
                    f"{column} {row[column]!r} of model {row['model']!r} on {row['skill']!r} is not "
                    "1, 2, 3, 4 or 5: give means to from_means"
                )
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
        cls, frame: pd.DataFrame, models: pd.DataFrame, skills: Sequence[str] | None,
        levels: tuple[int, ...], instances: Mapping[str, int], name: str,
    ) -> SkillRatings:  # fmt: skip
        if frame.empty:
            raise DataError("there is no rating: every row is empty")
        about = _models(models)
        for model in frame["model"].unique():
            if model not in set(about["model"]):
                raise unknown(
                    "model", model, about["model"], "It has ratings, but no row in models: add one."
                )
        about = about[about["model"].isin(frame["model"])].reset_index(drop=True)
        if about["params_b"].isna().any() and about["params_b"].notna().sum() < _ENOUGH:
            raise DataError(
                f"{about['params_b'].notna().sum()} models have a known size: a prior for the "
                f"unknown ones needs at least {_ENOUGH}; fill sizes in, or leave such models out"
            )
        if about["params_b"].nunique() < 2:
            raise DataError("all models are of one size: how skills grow cannot be learned")
        there = set(frame["skill"])
        names = tuple(s for s in (skills or sorted(there)) if s in there)
        judges = tuple(sorted(frame["judge"].unique()))
        order = [c for c in ("model", "skill", "difficulty", "judge") if c in frame]
        frame = frame.sort_values(order, kind="stable").reset_index(drop=True)
        return cls(frame, about, names, judges, levels, instances, name)

    def select(
        self,
        *,
        models: Iterable[str] | None = None,
        skills: Iterable[str] | None = None,
        judges: Iterable[str] | None = None,
    ) -> SkillRatings:
        """A part of the table.

        Raises
        ------
        UnknownNameError
            If a name is not in the table.
        """
        frame, keep = self.frame, list(self.skills)
        asked = {"model": models, "skill": skills, "judge": judges}
        known = {"model": self.models["model"], "skill": self.skills, "judge": self.judges}
        for column, names in asked.items():
            if names is not None:
                names = [names] if isinstance(names, str) else list(names)
                for one in names:
                    if one not in set(known[column]):
                        raise unknown(column, one, known[column])
                frame = frame[frame[column].isin(names)]
                keep = names if column == "skill" else keep
        return self._made(frame, self.models, keep, self.levels, self.instances, self.name)

    def fit(self, **options: Any) -> RatingsPosterior:
        """Fit the law by NUTS; see :func:`fit`."""
        return fit(self, **options)

    def _means(self) -> pd.DataFrame:
        """Mean rating of each model (rows) and skill, over judges and difficulties."""
        if self.single:
            counts = self.frame.groupby(["model", "skill"])[list("12345")].sum()
            mean = (counts * np.arange(1, 6)).sum(axis=1) / counts.sum(axis=1)
        else:
            mean = self.frame.groupby(["model", "skill"])["rating"].mean()
        return mean.unstack("skill")[list(self.skills)]


def _columns(ratings: Any, skills: Sequence[str] | None, names: Sequence[str]) -> pd.DataFrame:
    """The columns that matter, with ratings and skills checked."""
    if not isinstance(ratings, pd.DataFrame):
        raise DataError(f"ratings are a pandas DataFrame, not {type(ratings).__name__}")
    for column in ("model", "skill", "rating"):
        if column not in ratings:
            raise DataError(f"the ratings lack the column {column!r}")
    default = {"judge": "judge", "difficulty": 1, "instance": 0}
    frame = pd.DataFrame({c: ratings[c] if c in ratings else default[c] for c in names})
    for column in ("model", "skill", "judge"):
        if column in ratings and ratings[column].isna().any():
            raise DataError(f"a row of the ratings has no {column}: fill it in")
        frame[column] = frame[column].astype(str)
    values = pd.to_numeric(ratings["rating"], errors="coerce")
    text = ratings["rating"].notna() & values.isna()
    outside = values.notna() & ~values.between(*SCALE)
    for bad, what in ((text, "is not a number"), (outside, "lies outside 1-5")):
        if bad.any():
            row = ratings[bad].iloc[0]
            raise DataError(
                f"rating {row['rating']!r} of model {row['model']!r} on {row['skill']!r} {what}"
            )
    frame["rating"] = values
    if skills is not None:
        for skill in frame["skill"].unique():
            if skill not in skills:
                raise unknown("skill", skill, skills)
    return frame.reset_index(drop=True)


def _reject_twice(frame: pd.DataFrame, keys: list[str]) -> None:
    twice = frame.duplicated(keys)
    if twice.any():
        row = frame[twice].iloc[0]
        where = ", ".join(f"{k} {row[k]!r}" for k in keys)
        raise DataError(f"two rows rate the same ({where}): keep one of them")


def _models(models: Any) -> pd.DataFrame:
    """What is known of the models, with defaults, sorted by name."""
    if not isinstance(models, pd.DataFrame):
        raise DataError(f"models are a pandas DataFrame, not {type(models).__name__}")
    for column in ("model", "params_b"):
        if column not in models:
            raise DataError(f"models lack the column {column!r}")
    out = pd.DataFrame({"model": models["model"].astype(str)})
    out["family"] = models["family"].astype(str) if "family" in models else out["model"]
    out["lineage"] = models["lineage"].astype(str) if "lineage" in models else out["family"]
    out["kind"] = models["kind"].astype(str) if "kind" in models else "model"
    out["params_b"] = pd.to_numeric(models["params_b"], errors="coerce").astype(float)
    _reject_twice(out, ["model"])
    bad = out["params_b"].notna() & ~((out["params_b"] > 0) & np.isfinite(out["params_b"]))
    if bad.any():
        row = out[bad].iloc[0]
        raise DataError(
            f"params_b of model {row['model']!r} is {row['params_b']:g}: it must be a positive "
            "number of billions, or empty if unknown"
        )
    return out.sort_values("model", kind="stable").reset_index(drop=True)


def load_ratings(judges: Iterable[str] | None = None) -> SkillRatings:
    """BiGGen-Bench: 103 models on nine capabilities, rated by two language models.

    Mean ratings from the leaderboard of Prometheus-Eval (MIT; ``data/README.md``). Families and
    lineages are added; mixtures of experts enter with their active parameters.

    Parameters
    ----------
    judges
        ``"gpt4turbo"``, ``"prometheus"``, or both (the default).

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> sb.load_ratings()
    <sloth_bayes.SkillRatings 'biggen': 1790 mean ratings of 103 models (14 of unknown size) on \
9 skills by 2 judge(s)>
    """
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
    table = SkillRatings.from_means(
        rows, about, skills=list(skills["skill"]), instances=known.to_dict(), name="biggen"
    )
    return table if judges is None else table.select(judges=judges)


# -- fitting -------------------------------------------------------------------------------


def lay_out(ratings: SkillRatings) -> tuple[Design, tuple[str, ...], Any]:
    """Arrays of the law, kinds in order, and the law itself (:class:`inference.Law`)."""
    from . import inference, ratingsmodel

    means = (ratings._means() - SCALE[0]) / (SCALE[1] - SCALE[0])
    about = ratings.models.set_index("model").loc[means.index]
    table = about.assign(tokens_t=np.nan, instruct=about["kind"] != BASE).join(means).reset_index()
    benchmarks = [Benchmark(s, n_questions=ratings.instances.get(s)) for s in ratings.skills]
    board = Leaderboard.from_frame(table, benchmarks=benchmarks, name=ratings.name)
    laid_out = design(board, "size", latent=True)

    models, skills, judges = list(laid_out.models), list(ratings.skills), list(ratings.judges)
    kinds = tuple(sorted(set(about["kind"])))
    kind = (about.loc[models, "kind"].to_numpy()[:, None] == np.array(kinds)).astype(np.float32)
    frame = ratings.frame
    index = [
        frame["model"].map({m: i for i, m in enumerate(models)}).to_numpy(),
        frame["skill"].map({s: i for i, s in enumerate(skills)}).to_numpy(),
    ]
    judge = frame["judge"].map({g: i for i, g in enumerate(judges)}).to_numpy()
    shape = (len(judges), 0, 0) if ratings.single else (len(judges), len(models), len(skills))
    rating, rated = np.full(shape, 0.5, np.float32), np.zeros(shape, np.float32)
    weight = np.ones((len(skills), 1), np.float32)
    count, cell = np.zeros((0, 5), np.float32), np.zeros((0, 4), np.int32)
    if ratings.single:
        level = frame["difficulty"].map({q: i for i, q in enumerate(ratings.levels)}).to_numpy()
        count = frame[list("12345")].to_numpy(np.float32)
        cell = np.stack([*index, level, judge], axis=1).astype(np.int32)
        weight = np.zeros((len(skills), len(ratings.levels)), np.float32)
        np.add.at(weight, (index[1], level), count.sum(1))
        weight /= weight.sum(1, keepdims=True)
    else:
        rating[judge, index[0], index[1]] = (frame["rating"] - SCALE[0]) / (SCALE[1] - SCALE[0])
        rated[judge, index[0], index[1]] = 1.0
    knots = (np.log(KNOTS) - laid_out.centre[0]) / math.log(2)
    judged = ratingsmodel.Judged(
        knots=knots.astype(np.float32), kind=kind, rating=rating, rated=rated, count=count,
        cell=cell, weight=weight,
    )  # fmt: skip
    shapes = tuple((np.shape(a), np.asarray(a).dtype.name) for a in judged)
    which = inference.Law(
        ratingsmodel.density, ratingsmodel.values, ratingsmodel.cells,
        (ratingsmodel.Judged, *shapes),
    )  # fmt: skip
    arrays = laid_out.arrays._replace(extra=judged)
    import dataclasses

    return dataclasses.replace(laid_out, arrays=arrays), kinds, which


def fit(
    ratings: SkillRatings,
    *,
    chains: int = 4,
    draws: int = 750,
    warmup: int = 600,
    steps: int = 2000,
    starts: int = 2,
    target_accept: float = 0.8,
    max_tree_depth: int = 9,
    seed: int = 0,
    progress: bool | None = None,
) -> RatingsPosterior:
    """Fit the law of ratings (:mod:`sloth_bayes.ratingsmodel`) by NUTS.

    Parameters
    ----------
    ratings
        The ratings.
    chains, draws, warmup
        Number of chains, draws kept of each, and iterations of warm-up.
    steps, starts
        Steps of each variational optimisation, and how many there are; NUTS begins at the best.
    target_accept, max_tree_depth
        Settings of NUTS.
    seed
        Same seed, same numbers.
    progress
        Show a progress bar; by default where a person can see it.

    Returns
    -------
    RatingsPosterior

    Raises
    ------
    SpecError
        If a count is not positive.
    """
    counts = {"chains": chains, "draws": draws, "steps": steps, "starts": starts}
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise SpecError(f"{name} must be a whole number of at least 1, not {value!r}")
    if warmup < 20:
        raise SpecError(f"warmup must be at least 20 iterations, not {warmup}")
    import jax

    from . import inference, model

    laid_out, kinds, which = lay_out(ratings)
    arrays = laid_out.arrays
    n = model.sizes(LAW, arrays)
    p = inference.program(LAW, n, steps, 1, max_tree_depth, target_accept, which)
    first, second, third = jax.random.split(jax.random.PRNGKey(seed), 3)
    with inference._compiling(p, "nuts", arrays):
        arrays, guide, elbos = inference._starts(LAW, p, arrays, first, starts, steps, progress)
    arrays, found = inference._nuts(
        LAW, p, guide, arrays, second, chains, warmup, draws, progress
    )
    values = p.over("values", found[0].reshape(chains * draws, -1), third, arrays)
    del values["potential"]
    stats = inference._sample_stats(found, max_tree_depth)
    attrs = {"seed": seed, "warmup": warmup, "elbo": max(elbos), "name": ratings.name}
    return _build(ratings, laid_out, kinds, values, chains, stats, attrs)


DIMS: dict[str, tuple[str, ...]] = {
    "bias": ("skill",),
    "slope": ("skill",),
    "bend": ("knot", "skill"),
    "kind_effect": ("kind", "skill"),
    "family_effect": ("family", "skill"),
    "lineage_effect": ("lineage", "skill"),
    "loading": ("skill",),
    "severity": ("judge", "skill"),
    "stretch": ("judge",),
    "judge_noise": ("judge", "skill"),
    "noise_scale": ("skill",),
    "sampling_fraction": (),
    "threshold": ("step",),
    "difficulty": ("skill", "level"),
    "step_scale": (),
    "curve_scale": (),
    "kind_scale": (),
    "severity_scale": (),
    "residual_scale": ("skill",),
    "model_scale": (),
    "lineage_share": (),
    "residual_share": (),
    "params_b": ("of_unknown_size",),
    "predictor": ("model", "skill"),
}
"""Dimensions of every posterior variable, after chain and draw."""


def _build(
    ratings: SkillRatings, laid_out: Design, kinds: tuple[str, ...], values: dict[str, np.ndarray],
    chains: int, stats: xr.Dataset, attrs: dict[str, Any],
) -> RatingsPosterior:  # fmt: skip
    """Label the draws of a fit."""
    draws = len(values["bias"]) // chains
    coords: dict[str, Any] = {
        "chain": np.arange(chains), "draw": np.arange(draws), "skill": list(ratings.skills),
        "judge": list(ratings.judges), "kind": list(kinds), "knot": list(KNOTS),
        "model": list(laid_out.models), "family": list(laid_out.families),
        "lineage": list(laid_out.lineages), "level": list(ratings.levels), "step": [1, 2, 3, 4],
        "of_unknown_size": list(laid_out.of_unknown[0]),
    }  # fmt: skip
    variables = {}
    for name, dims in DIMS.items():
        if name in values:
            array = np.asarray(values[name], np.float32)
            array = array.reshape(chains, draws, *(len(coords[d]) for d in dims))
            variables[name] = (("chain", "draw", *dims), array)
    used = {"chain", "draw"} | {d for dims, _ in variables.values() for d in dims}
    posterior = xr.Dataset(variables, coords={k: v for k, v in coords.items() if k in used})
    about = ratings.models.set_index("model").loc[list(laid_out.models)]
    constant = xr.Dataset(
        {c: ("model", about[c].to_numpy()) for c in ("params_b", "kind", "family", "lineage")},
        coords={"model": list(laid_out.models)},
    ).rename(kind="kind_of_model", family="family_of_model", lineage="lineage_of_model")
    weight = np.asarray(laid_out.arrays.extra.weight)
    tree = xr.DataTree.from_dict(
        {"posterior": posterior, "sample_stats": stats, "constant_data": constant}
    )
    tree.attrs = {
        **attrs, "centre": float(laid_out.centre[0]), "skills": json.dumps(ratings.skills),
        "levels": json.dumps(ratings.levels), "weight": json.dumps(weight.tolist()),
        "df": LAW.df,
    }  # fmt: skip
    return RatingsPosterior(tree)
