"""What follows from a fit of the law of ratings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import DataError, unknown
from ..posterior.base import read
from ..support.checks import check_prob
from ..support.intervals import median_and_ends
from ..support.shipped import shipped
from .claims import load_claims
from .draws import GAIN, RatingsDraws
from .saturation import saturation


class RatingsPosterior(RatingsDraws):
    """Draws of the law of ratings, and what follows from them.

    Made by :meth:`SkillRatings.fit` or :func:`load_ratings_posterior`, not by hand. All ratings
    it returns are expected ones, from 1 to 5, by a judge of average severity.
    """

    saturation = saturation

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
        rating = self.rating(self.merged["predictor"])
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
        v = self.merged
        whole, eta = self.rating(v["predictor"]), v["predictor"]
        rows = []
        for g, judge in enumerate(self.judges):
            seen = v["stretch"][:, g, None, None] * eta - v["severity"][:, g, None]
            severity = (whole - self.rating(seen)).mean(1)
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
            ends.append(self.rating(self.merged["predictor"], level).mean(1))
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
        names = self.names("of_unknown_size")
        if not names:
            return pd.DataFrame({c: [] for c in ("model", "median", "lower", "upper")})
        middle, low, high = median_and_ends(self.merged["params_b"], prob)
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
