"""What follows from a fit of the law of ratings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import DataError, unknown
from ..posterior.base import read
from ..support.checks import check_prob
from ..support.files import user_path
from ..support.shipped import shipped
from .claims import load_claims
from .draws import GAIN, RatingsDraws, named_ends
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
        ends = named_ends(gap, prob, "gap")
        return pd.DataFrame(
            {
                "skill": self.skills, "of": first.mean(0), "to": second.mean(0), **ends,
                "p_open": (gap > 0).mean(0), "certain": (ends["lower"] > 0) | (ends["upper"] < 0),
                "relative": ends["gap"] / rating.mean(0).std(0),
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
        parts = []
        for g, judge in enumerate(self.judges):
            stretch = v["stretch"][:, g, None]
            severity = self.rating(stretch[..., None] * eta - v["severity"][:, g, None])
            severity = (whole - severity).mean(1)
            single = np.repeat(1 / stretch, len(self.skills), 1)
            noise = 4 * v["judge_noise"][:, g] if "judge_noise" in v else single
            severity = np.c_[severity, severity.mean(1)]
            noise = np.c_[noise, np.sqrt((noise**2).mean(1))]
            columns = {
                "judge": judge, "skill": [*self.skills, "all"],
                **named_ends(severity, prob, "severity"),
                **named_ends(noise, prob, "noise", "noise_"),
                "stretch": float(np.median(stretch)),
            }  # fmt: skip
            parts.append(pd.DataFrame(columns))
        return pd.concat(parts, ignore_index=True)

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
        drop = named_ends(1 - ends[1] / ends[0], prob, "drop")
        means = {"easy": ends[0].mean(0), "hard": ends[1].mean(0)}
        return pd.DataFrame({"skill": self.skills, **means, **drop})

    def sizes(self, prob: float = 0.9) -> pd.DataFrame:
        """Sizes (B) of the models whose size is unknown: model, median, lower, upper.

        What the ratings say on top of the prior, if such a model grew as the open ones did: a
        model better than its size would let one expect looks large.
        """
        prob = check_prob(prob)
        names = self.names("of_unknown_size")
        if not names:
            return pd.DataFrame({c: [] for c in ("model", "median", "lower", "upper")})
        return pd.DataFrame({"model": names, **named_ends(self.merged["params_b"], prob)})

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
        flat = found.reindex(pd.MultiIndex.from_frame(table[["capability", "at_b"]])).to_numpy()
        holds = np.where(table["claim"] == "flat", flat, 1 - flat)
        return table.assign(p_holds=np.where(table["verdict"] == "cannot be tested", np.nan, holds))

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
    path = shipped("models") / "ratings" / "ratings.nc" if path is None else user_path(path)
    return RatingsPosterior(read(RatingsPosterior, path))
