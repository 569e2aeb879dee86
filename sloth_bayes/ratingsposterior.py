"""Draws of the law of ratings, and what follows from them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from . import law
from ._drawn import Drawn, read
from ._intervals import median_and_ends
from ._shipped import shipped
from .design import Design
from .errors import DataError, unknown
from .forecast import check_prob
from .ratingstable import SCALE, SkillRatings, load_claims
from .spec import Priors, Sloth

if TYPE_CHECKING:
    from .diagnostics import Diagnostics
    from .ratingssaturation import RatingsSaturation

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


def build(
    ratings: SkillRatings, laid_out: Design, kinds: tuple[str, ...], values: dict[str, np.ndarray],
    chains: int, stats: xr.Dataset | None, attrs: dict[str, Any],
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
    groups = {"posterior": posterior, "constant_data": constant}
    if stats is not None:
        groups["sample_stats"] = stats
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {
        **attrs, "centre": float(laid_out.centre[0]), "skills": json.dumps(ratings.skills),
        "levels": json.dumps(ratings.levels), "weight": json.dumps(weight.tolist()),
        "df": LAW.df,
    }  # fmt: skip
    return RatingsPosterior(tree)


class RatingsPosterior(Drawn):
    """Draws of the law of ratings, and what follows from them.

    Made by :meth:`SkillRatings.fit` or :func:`load_ratings_posterior`, not by hand. All ratings
    it returns are expected ones, from 1 to 5, by a judge of average severity.
    """

    FORMAT, FORMAT_VERSION = "sloth_bayes ratings", 1

    def __repr__(self) -> str:
        return (
            f"<sloth_bayes.RatingsPosterior of {self._tree.attrs['name']!r}: {self.n_draws} draws; "
            f"{len(self.models)} models, {len(self.skills)} skills, {len(self.judges)} judge(s)>"
        )

    @property
    def data_tree(self) -> xr.DataTree:
        """The draws in ArviZ's schema."""
        return self._tree

    def _names(self, dim: str) -> list[str]:
        data = self._tree["posterior"].to_dataset()
        return [str(v) for v in data[dim].values] if dim in data.coords else []

    @property
    def skills(self) -> list[str]:
        """Skills, in the order of the ratings."""
        return self._names("skill")

    @property
    def models(self) -> list[str]:
        """Models, sorted."""
        return self._names("model")

    @property
    def judges(self) -> list[str]:
        """Judges, sorted."""
        return self._names("judge")

    @property
    def kinds(self) -> list[str]:
        """Kinds of model, sorted."""
        return self._names("kind")

    @property
    def levels(self) -> list[int]:
        """Levels of difficulty; empty where means were fitted."""
        return list(json.loads(self._tree.attrs["levels"]))

    @cached_property
    def about(self) -> pd.DataFrame:
        """The models: model, family, lineage, kind, params_b (as given)."""
        data = self._tree["constant_data"].to_dataset()
        names = {
            "family": "family_of_model",
            "lineage": "lineage_of_model",
            "kind": "kind_of_model",
        }
        out = pd.DataFrame({"model": self.models})
        for column, source in names.items():
            out[column] = data[source].values.astype(str)
        return out.assign(params_b=data["params_b"].values.astype(float))

    def diagnostics(self) -> Diagnostics:
        """Has NUTS converged? Of the full fit, if the draws were thinned.

        See :class:`sloth_bayes.diagnostics.Diagnostics`: ``ok`` is False and the messages say
        what to do where it has not.
        """
        from .diagnostics import Diagnostics, _table, _verdict_nuts

        if "convergence" in self._tree.children:
            return Diagnostics.from_dataset(self._tree["convergence"].to_dataset())
        columns = {}
        for name, var in self._tree["posterior"].to_dataset().data_vars.items():
            if name == "loading" or float(var.std()) == 0:  # its sign is a convention
                continue
            dims = [str(d) for d in var.dims[2:]]
            flat = var.values.reshape(*var.shape[:2], -1)
            labels = pd.MultiIndex.from_product([self._names(d) for d in dims]) if dims else [()]
            where = [", ".join(k) if isinstance(k, tuple) else str(k) for k in labels]
            keep = flat.std((0, 1)) > 0
            named = [f"{name}[{w}]" if w else str(name) for w in np.array(where)[keep]]
            columns[str(name)] = xr.DataArray(
                flat[..., keep], dims=("chain", "draw", f"in_{name}"), coords={f"in_{name}": named}
            )
        table = _table(xr.Dataset(columns))
        ok, messages = _verdict_nuts(self, table)  # type: ignore[arg-type]
        found = Diagnostics(table, ok, tuple(messages))
        self._tree["convergence"] = xr.DataTree(found.to_dataset())
        return found

    # -- ratings at predictors -----------------------------------------------------------------

    def _rating(self, eta: np.ndarray, level: int | None = None) -> np.ndarray:
        """Expected rating at predictors ``(S, M, J)``, of an average judge.

        Of single ratings at a level of difficulty, or over those of the table.
        """
        v = self._draws
        if "threshold" not in v:
            fraction = law.link(LAW.link, eta, 1.0, np)
        else:
            weight = np.asarray(json.loads(self._tree.attrs["weight"]))
            if level is not None:
                weight = np.zeros_like(weight)
                weight[:, self.levels.index(level)] = 1.0
            fraction = np.zeros(eta.shape)
            for q in range(weight.shape[1]):
                here = eta + v["difficulty"][:, None, :, q]
                above = [
                    law.link(LAW.link, here - v["threshold"][:, k, None, None], 1.0, np)
                    for k in range(4)
                ]
                fraction += weight[:, q] * np.mean(above, axis=0)
        out: np.ndarray = SCALE[0] + (SCALE[1] - SCALE[0]) * fraction
        return out

    def _doublings(self, params_b: Any) -> np.ndarray:
        return (np.log(np.asarray(params_b, float)) - self._tree.attrs["centre"]) / math.log(2)

    def _along(self, params_b: Any, kind: str) -> np.ndarray:
        """Expected ratings ``(S, n, J)`` of a typical family at sizes ``(n,)`` or ``(S, n)``."""
        v = self._draws
        slope, bend = v["slope"], v["bend"]
        x, knots = self._doublings(params_b), self._doublings(np.array(KNOTS))
        beyond = np.clip(x[..., None] - knots, 0.0, None)  # as ratingsmodel.curve, without JAX
        eta = x[..., None] * slope[:, None] + beyond @ bend
        own = v["bias"] + v["kind_effect"][:, self.kinds.index(kind)]
        return self._rating(eta + own[:, None])

    def _ask_kind(self, kind: str | None) -> str:
        """A kind of model of the fit; by default Chat, if there is one."""
        if kind is None:
            return "Chat" if "Chat" in self.kinds else self.kinds[0]
        if kind not in self.kinds:
            raise unknown("kind of model", kind, self.kinds)
        return kind

    def curve(self, kind: str | None = None, points: int = 40, prob: float = 0.9) -> pd.DataFrame:
        """Expected rating of a typical family: skill, params_b, median, lower, upper."""
        kind, prob = self._ask_kind(kind), check_prob(prob)
        low, high = self._extent()
        sizes = np.geomspace(low, high, points)
        middle, lower, upper = median_and_ends(self._along(sizes, kind), prob)
        return pd.DataFrame(
            {
                "skill": np.repeat(self.skills, points),
                "params_b": np.tile(sizes, len(self.skills)),
                "median": middle.T.ravel(), "lower": lower.T.ravel(), "upper": upper.T.ravel(),
            }
        )  # fmt: skip

    def _extent(self) -> tuple[float, float]:
        """Smallest and largest known size (B)."""
        sizes = self.about["params_b"]
        return float(sizes.min()), float(sizes.max())

    # -- questions -----------------------------------------------------------------------------

    def saturation(self, gain: float = GAIN, **options: Any) -> RatingsSaturation:
        """Beyond which size a doubling gains too little, by skill.

        See :func:`sloth_bayes.ratingssaturation.saturation`.
        """
        from .ratingssaturation import saturation

        return saturation(self, gain, **options)

    def gaps(
        self,
        of: str | Sequence[str],
        to: str | Sequence[str],
        *,
        prob: float = 0.9,
    ) -> pd.DataFrame:
        """How far one group of models is behind another, by skill.

        Parameters
        ----------
        of, to
            Two groups: names of models, or a kind.
        prob
            Mass of the interval.

        Returns
        -------
        pandas.DataFrame
            skill, of, to (mean expected ratings), gap (median of `to` less `of`), lower, upper,
            p_open (that `to` is ahead), certain (whether the interval excludes 0), relative (the
            gap over the spread of all models' ratings: skills differ in how far they spread).

        Raises
        ------
        UnknownNameError
            If a model or kind is not in the fit.
        DataError
            If a group is empty.
        """
        prob = check_prob(prob)
        rating = self._rating(self._draws["predictor"])
        first, second = (rating[:, self._group(g)].mean(1) for g in (of, to))
        gap = second - first
        middle, low, high = median_and_ends(gap, prob)
        return pd.DataFrame(
            {
                "skill": self.skills, "of": first.mean(0), "to": second.mean(0), "gap": middle,
                "lower": low, "upper": high, "p_open": (gap > 0).mean(0),
                "certain": (low > 0) | (high < 0),
                "relative": middle / rating.mean(0).std(0),
            }
        )  # fmt: skip

    def _group(self, group: str | Sequence[str]) -> np.ndarray:
        if isinstance(group, str) and group in self.kinds:
            return np.flatnonzero(self.about["kind"] == group)
        names = [group] if isinstance(group, str) else list(group)
        if not names:
            raise DataError("a group of models is empty: name at least one")
        for name in names:
            if name not in self.models:
                raise unknown("model or kind", name, [*self.kinds, *self.models])
        return np.array([self.models.index(n) for n in names])

    def judged(self, prob: float = 0.9) -> pd.DataFrame:
        """Severity and noise of each judge, on each skill and over all (skill ``"all"``).

        Returns
        -------
        pandas.DataFrame
            judge, skill, severity (rating points by which the judge rates the table's models
            lower than an average one), lower, upper, noise (of means: the judge's own standard
            deviation in the middle of the scale, in rating points, over and above what all judges
            share; of single ratings: its spread relative to an average judge's) with noise_lower
            and noise_upper, and stretch (above 1: it tells models further apart).
        """
        prob = check_prob(prob)
        v = self._draws
        whole, eta = self._rating(v["predictor"]), v["predictor"]
        rows = []
        for g, judge in enumerate(self.judges):
            seen = v["stretch"][:, g, None, None] * eta - v["severity"][:, g, None]
            severity = (whole - self._rating(seen)).mean(1)
            if "judge_noise" in v:
                noise = 4 * v["judge_noise"][:, g]
            else:
                noise = np.repeat(1 / v["stretch"][:, g, None], len(self.skills), 1)
            severity = np.c_[severity, severity.mean(1)]
            noise = np.c_[noise, np.sqrt((noise**2).mean(1))]
            ends, of_noise = (median_and_ends(a, prob) for a in (severity, noise))
            for j, skill in enumerate([*self.skills, "all"]):
                rows.append(
                    {
                        "judge": judge, "skill": skill, "severity": ends[0, j],
                        "lower": ends[1, j], "upper": ends[2, j], "noise": of_noise[0, j],
                        "noise_lower": of_noise[1, j], "noise_upper": of_noise[2, j],
                        "stretch": float(np.median(v["stretch"][:, g])),
                    }
                )  # fmt: skip
        return pd.DataFrame(rows)

    def degradation(
        self, easy: int | None = None, hard: int | None = None, prob: float = 0.9
    ) -> pd.DataFrame:
        """How much of its rating each skill loses from easy to hard instances.

        The relative drop ``(easy - hard) / easy`` of the mean expected rating of the table's
        models, as FLASK reports it.

        Parameters
        ----------
        easy, hard
            Levels of difficulty; by default the lowest and the highest.
        prob
            Mass of the interval.

        Returns
        -------
        pandas.DataFrame
            skill, easy, hard (mean ratings), drop (median), lower, upper.

        Raises
        ------
        DataError
            If the fit has no levels of difficulty.
        UnknownNameError
            If a level is not in the fit.
        """
        prob = check_prob(prob)
        if len(self.levels) < 2:
            raise DataError(
                "these ratings have no levels of difficulty: degradation needs single ratings with "
                "a difficulty (SkillRatings.from_ratings)"
            )
        ends = []
        for level, default in ((easy, self.levels[0]), (hard, self.levels[-1])):
            level = default if level is None else level
            if level not in self.levels:
                raise unknown("level of difficulty", str(level), map(str, self.levels))
            ends.append(self._rating(self._draws["predictor"], level).mean(1))
        drop = 1 - ends[1] / ends[0]
        middle, low, high = median_and_ends(drop, prob)
        return pd.DataFrame(
            {
                "skill": self.skills, "easy": ends[0].mean(0), "hard": ends[1].mean(0),
                "drop": middle, "lower": low, "upper": high,
            }
        )  # fmt: skip

    def sizes(self, prob: float = 0.9) -> pd.DataFrame:
        """Sizes (B) of the models whose size is unknown: model, median, lower, upper.

        What the ratings say on top of the prior, if such a model grew as the open ones did: a
        model better than its size would let one expect looks large.
        """
        prob = check_prob(prob)
        names = self._names("of_unknown_size")
        if not names:
            return pd.DataFrame({c: [] for c in ("model", "median", "lower", "upper")})
        middle, low, high = median_and_ends(self._draws["params_b"], prob)
        return pd.DataFrame({"model": names, "median": middle, "lower": low, "upper": high})

    def claims(self, gain: float = GAIN) -> pd.DataFrame:
        """What FLASK claims of how skills grow, and what these ratings say of it.

        Returns
        -------
        pandas.DataFrame
            The rows of :func:`load_claims`, with ``p_holds``: the probability of the claim where
            one of the fit's skills can test it, NaN elsewhere.
        """
        table = load_claims()
        found = self.saturation(gain).frame.set_index(["skill", "at"])["p_saturated"]
        holds = []
        for row in table.to_dict("records"):
            if row["verdict"] == "cannot be tested" or row["capability"] not in self.skills:
                holds.append(np.nan)
                continue
            p = float(found[row["capability"], float(row["at_b"])])
            holds.append(p if row["claim"] == "flat" else 1 - p)
        return table.assign(p_holds=holds)

    # -- its file ------------------------------------------------------------------------------

    def slim(self, draws: int = 200) -> RatingsPosterior:
        """Keep some of the draws, in 8 bits of mantissa; the full fit's diagnostics travel along.

        Raises
        ------
        DataError
            If there are fewer than `draws`.
        """
        return RatingsPosterior(self._slimmed(draws))


def load_ratings_posterior(path: str | Path | None = None) -> RatingsPosterior:
    """A fit that was saved; by default the thinned one of :func:`load_ratings` that ships.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged or foreign.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> sb.load_ratings_posterior().judges
    ['gpt4turbo', 'prometheus']
    """
    path = shipped("models") / "ratings" / "ratings.nc" if path is None else Path(path)
    return RatingsPosterior(read(RatingsPosterior, path))
