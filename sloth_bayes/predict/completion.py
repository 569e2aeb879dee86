"""A score card completed: what a model would score where nobody has evaluated it.

Of a model of the fit nothing has to be computed: its skills are in the posterior. A new card is
observed first (:mod:`sloth_bayes.predict.condition`), by default as a family of its own.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..errors import DataError, DataWarning, unknown
from ..law.likelihood import Observation, mixture_quantiles
from ..law.terms import reading
from ..law.terms.year import REFERENCE
from ..posterior.core import PosteriorDraws
from ..posterior.verdict import K_HAT_MOST
from ..support.checks import check_prob
from ..support.frames import as_pandas, is_frame
from ..support.types import checked
from ..table.columns import FURTHER, META
from .answer import Answer, labelled
from .condition import condition

WITHIN = 0.1  # a completed score counts as right up to here
_ABOUT = (*META, *FURTHER, "released")


class Completion(Answer):
    """The answer of :meth:`sloth_bayes.Posterior.complete`.

    ``frame`` has a row a missing score, the most certain first: model, benchmark, median, lower,
    upper (of what an evaluation would report, in [0, 1]), prob, and p_within, the probability
    that the median is off by at most 10 points. ``draws`` holds ``expected`` over model and
    benchmark, the expected score of every benchmark, observed or not.

    Attributes
    ----------
    observed : pandas.DataFrame
        What was given: model, benchmark, score.
    """

    observed: pd.DataFrame
    noise: np.ndarray  # (S, models, J): scale of the noise of one evaluation

    def next_evaluation(
        self,
        n: int = 5,
        *,
        of: str | Sequence[str] | None = None,
        cost: Mapping[str, float] | None = None,
        model: str | None = None,
    ) -> pd.DataFrame:
        """Which missing benchmarks to run next: each given those before it.

        What is to be reduced is the variance of the expected scores of the card's missing
        benchmarks, summed. A measurement is a noisy linear view of all of them: given what
        was chosen before, it takes away ``cov(j, k)^2 / (var(k) + noise(k)^2)`` of each (the
        best linear forecast; nothing is refitted; noise with heavy tails counts as the normal
        noise that says as much of its centre).

        Parameters
        ----------
        n
            How many.
        of
            Benchmarks that matter; all that are missing by default.
        cost
            Price of an evaluation by benchmark, in any unit; only those are offered, and the
            order is by reduction per cost. By default all cost the same.
        model
            Whose card, where several were completed.

        Returns
        -------
        pandas.DataFrame
            rank, benchmark, cost, reduction (share of the summed variance now that this one takes
            away), left (share that is left after it), sd_now and sd_after (root of the mean
            variance, in score).

        Raises
        ------
        UnknownNameError
            If a benchmark or the model is unknown.
        DataError
            If nothing is missing, or a cost is not positive.
        """
        names = self.draws["model"].values.tolist()
        if model is not None and model not in names:
            raise unknown("model", model, names)
        at = 0 if model is None else names.index(model)
        benchmarks = self.posterior.benchmarks
        card = self.frame[self.frame["model"] == names[at]]
        missing = [b for b in benchmarks if b in set(card["benchmark"])]
        goal = [of] if isinstance(of, str) else list(of or missing)
        for name in [*goal, *(cost or ())]:
            if name not in benchmarks:
                raise unknown("benchmark", name, benchmarks)
        offered = [b for b in missing if cost is None or b in cost]
        if not offered:
            raise DataError("no benchmark that is missing is offered: there is nothing to run")
        price = np.array([1.0 if cost is None else float(cost[b]) for b in offered])
        if not (np.isfinite(price).all() and (price > 0).all()):
            raise DataError("a cost is a positive number: leave out what cannot be run")
        both = list(dict.fromkeys([*goal, *offered]))
        place = [benchmarks.index(b) for b in both]
        draws = self.draws["expected"].values[:, :, at, place].reshape(-1, len(both))
        covariance = np.atleast_2d(np.cov(draws.astype(np.float64).T))
        noise = self.noise[:, at, place].astype(np.float64)
        noise = (noise**2).mean(0) / self.posterior.spec.observation.information
        wanted = np.array([both.index(b) for b in goal])
        options = np.array([both.index(b) for b in offered])
        total = now = covariance[wanted, wanted].sum()
        rows: list[dict[str, Any]] = []
        for rank in range(1, min(n, len(offered)) + 1):
            told = covariance[np.ix_(wanted, options)] ** 2
            gain = told.sum(0) / (covariance[options, options] + noise[options])
            gain = np.where([both[k] in {r["benchmark"] for r in rows} for k in options], 0, gain)
            best = int(np.argmax(gain / price))
            k = options[best]
            along = covariance[:, k] / np.sqrt(covariance[k, k] + noise[k])
            covariance = covariance - np.outer(along, along)
            left = covariance[wanted, wanted].sum()
            rows.append(
                {
                    "rank": rank, "benchmark": both[k], "cost": price[best],
                    "reduction": (now - left) / total, "left": left / total,
                    "sd_now": math.sqrt(now / len(wanted)),
                    "sd_after": math.sqrt(left / len(wanted)),
                }
            )  # fmt: skip
            now = left
        return pd.DataFrame(rows)

    def plot(self, ax: Any = None, model: str | None = None) -> np.ndarray[Any, Any]:
        """The card, observed and completed; see :func:`sloth_bayes.plots.completion.card`.

        Returns
        -------
        numpy.ndarray of matplotlib.axes.Axes
        """
        from ..plots import completion as plots

        return plots.card(self, ax=ax, model=model)


@checked
def complete(
    post: PosteriorDraws,
    scores: pd.DataFrame | Mapping[str, float] | str | Sequence[str],
    *,
    prob: float = 0.9,
    seed: int = 0,
) -> Completion:
    """Complete score cards from the scores that are known.

    Parameters
    ----------
    post
        The posterior.
    scores
        Scores in [0, 1] under the posterior's names of benchmarks: a mapping, of one model, or a
        frame with a row a model, as :meth:`~sloth_bayes.Posterior.condition` takes it. Columns
        that a frame lacks are filled in: ``model`` is ``"mine"``, the family is the model's own
        and new, its kind is that of most models of the fit, its date that of the last one. Or
        the name (names) of models of the fit.
    prob
        Mass of the intervals.
    seed
        Same seed, same numbers.

    Returns
    -------
    Completion

    Raises
    ------
    UnknownNameError
        If a model or a benchmark is not in the posterior.
    DataError
        If there is no score, a score is outside [0, 1], or a number makes no sense.

    Warns
    -----
    ConvergenceWarning
        As :meth:`~sloth_bayes.Posterior.condition` does.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> card = sb.load("frontier").complete("gpt-5.5")
    >>> list(card.frame.columns)
    ['model', 'benchmark', 'median', 'lower', 'upper', 'prob', 'p_within']
    """
    prob = check_prob(prob)
    notes: list[str] = []
    if isinstance(scores, str) or (
        not isinstance(scores, Mapping) and not is_frame(scores) and isinstance(scores, Sequence)
    ):
        names = [scores] if isinstance(scores, str) else list(dict.fromkeys(scores))
        for name in names:
            if name not in post.models:
                raise unknown("model", name, post.models)
    else:
        rows, notes = _card(post, scores)
        names = list(rows["model"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            post = condition(post, rows, seed=seed)
        if not float(post.attrs["conditioned"][-1]["k_hat"]) <= K_HAT_MOST:
            notes.append(post.diagnostics().messages[0])
    at = [post.models.index(name) for name in names]
    cells_of = post.cells(post.known_effects().at(at))
    mu, sd = (np.ascontiguousarray(a.transpose(1, 2, 0)) for a in cells_of)
    law, levels = post.spec.observation, [(1 - prob) / 2, 0.5, (1 + prob) / 2]
    lower, median, upper = np.clip(mixture_quantiles(mu, sd, law, levels), 0, 1)
    cells = post.tree["observed_data"].to_dataset()
    seen = pd.DataFrame(
        {
            "model": cells["obs_model"].values.astype(str),
            "benchmark": cells["obs_benchmark"].values.astype(str),
            "score": cells["score"].values,
        }
    )
    observed = seen[seen["model"].isin(names)].reset_index(drop=True)
    frame = pd.DataFrame(
        {
            "model": np.repeat(names, len(post.benchmarks)),
            "benchmark": post.benchmarks * len(names),
            "median": median.ravel(), "lower": lower.ravel(), "upper": upper.ravel(),
            "prob": prob, "p_within": within(mu, sd, median, law).ravel(),
        }
    )  # fmt: skip
    known = pd.MultiIndex.from_frame(observed[["model", "benchmark"]])
    frame = frame[~pd.MultiIndex.from_frame(frame[["model", "benchmark"]]).isin(known)]
    frame = frame.sort_values("p_within", ascending=False, kind="stable").reset_index(drop=True)
    labels = {"model": names, "benchmark": post.benchmarks}
    out = Completion(
        post, frame, labelled(post, labels, expected=mu.transpose(2, 0, 1)), prob, notes
    )
    out.observed, out.noise = observed, sd.transpose(2, 0, 1)
    return out


def within(mu: np.ndarray, sd: np.ndarray, median: np.ndarray, law: Observation) -> np.ndarray:
    """Probability that a score is at most 10 points from its median, of draws ``(..., S)``.

    Scores beyond 0 and 1 are clipped, and so count as 0 and 1.
    """
    low, high = median - WITHIN, median + WITHIN

    def below(x: np.ndarray) -> np.ndarray:
        cdf, _ = law.cdf_and_density((x[..., None] - mu) / sd, np)
        return cdf.mean(-1, dtype=np.float64)

    return np.where(high >= 1, 1.0, below(high)) - np.where(low <= 0, 0.0, below(low))


def _card(
    post: PosteriorDraws, given: pd.DataFrame | Mapping[str, float]
) -> tuple[pd.DataFrame, list[str]]:
    """The cards as rows that can be observed, and what was assumed."""
    if isinstance(given, Mapping):
        given = pd.DataFrame([dict(given)])
    if not is_frame(given):
        raise DataError(
            "scores are a DataFrame with a row a model, or a mapping from benchmarks to scores"
        )
    rows = as_pandas(given).reset_index(drop=True).copy()
    for column in rows:
        if column not in post.benchmarks and column not in _ABOUT:
            raise unknown("benchmark", str(column), post.benchmarks)
    if not any(b in rows and rows[b].notna().any() for b in post.benchmarks):
        raise DataError(
            "there is no score of a benchmark of the posterior; it has "
            f"{', '.join(post.benchmarks[:8])}, ..."
        )
    about, notes = post.model_table(), []
    if "model" not in rows:
        if len(rows) > 1:
            raise DataError("several cards need the column 'model', a name each")
        rows["model"] = "mine"
    if "family" not in rows:
        rows["family"] = rows["model"]
    families = post.family_table()
    if "kind" not in rows and "instruct" not in rows:
        common = str(about["kind"].mode().iloc[0])
        known = rows["family"].map(families["kind"])
        if post.spec.instruct != "none" and known.isna().any():
            notes.append(f"Kind is not said and taken as {common}, that of most models of the fit.")
        rows["kind"] = known.fillna(common)
    if any(term.reads == "years" and not term.inherited for term in reading(post.spec)):
        last = (REFERENCE + pd.Timedelta(days=365.25 * float(post.constant("years").max()))).round(
            "D"
        )
        dated = pd.to_datetime(rows["date"]) if "date" in rows else pd.Series(pd.NaT, rows.index)
        if dated.isna().any() and "released" not in rows:
            notes.append(f"The date is not said and taken as {last:%Y-%m-%d}, the last of the fit.")
            rows["date"] = dated.fillna(last)
    return rows, notes
