"""Test-time compute: how many problems a model solves in k tries (paper, section 4.5).

From counts of correct samples, :func:`unbiased_pass_at_k` estimates pass@k, the share of problems
of which at least one of k samples is correct. For a model nobody has sampled from,
:func:`pass_at_k` forecasts the curve by the paper's recipe, a logistic regression a problem on the
skills of the models with counts, repeated for draws of these skills:

    c_mi ~ Binomial(n_mi, logistic(b_i + w_i . x_m))
    b_i  ~ Normal(b, s),  w_i ~ Normal(w, 1)                  what the problems share
    ahead: logistic(b_i + w_i . x + shift),  shift ~ Normal(m far, a^2 + (b far)^2)

with skills ``x`` in standard deviations of the models with counts. The prior, learned from all
problems, says how rare success is on a problem that nobody solved. Where there are many models,
those near the one to forecast count most. The shift is how far a model falls from its skills on all
problems alike. Its mean and variance grow with the distance in skill to the nearest model with
counts, and are learned by forecasting these from lesser ones, one step and two steps ahead.

Held fixed: sizes, tokens, families, and each problem's regression given the skills. Random:
skills, and the shift.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy
import xarray as xr

from ..errors import DataError, check_known, unknown
from ..posterior.base import in_chains, merge_chains
from ..posterior.core import PosteriorDraws
from ..posterior.verdict import CAUTIONS, Diagnostics
from ..predict.candidates import completed
from ..predict.new_effects import effects_of, key_of, rng_of
from ..skills.rotated_draws import skill_draws
from ..support.checks import check_prob, whole
from ..support.html import shown
from ..support.intervals import bisect, order_statistics, summarise
from ..support.types import checked
from ..table.samples import K, checked_counts, checked_tries, empirical, estimate

_NEEDED = ["family", "params_b", "tokens_t"]  # of a model with counts
_DECADES = 10.0 ** np.arange(7)  # numbers of samples at which models left out are compared
_FARTHEST = 10.0  # log-odds: no shift is larger
_MOST = 1e12  # samples: beyond this a match is out of reach
_STEPS = 200  # of Newton's method
_NEAR = 6  # models that count: the weight of all falls with their distance to the last of them
_WIDE = 4.0  # spread of intercepts, in log-odds, before they have been seen
_BEFORE = np.array([math.log(0.3), math.log(0.5), 0.0])  # what is expected of a shift
_BEFORE_SD = np.array([1.0, 1.0, 0.5])
_ROUNDS = 2  # of learning the prior that problems share


# -- the regressions -----------------------------------------------------------------------


class Prior(NamedTuple):
    """Of intercept and weights of a problem: normal and independent, ``(d + 1,)`` each."""

    mean: np.ndarray
    sd: np.ndarray


def pooled(x: np.ndarray, n: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, Prior]:
    """Regressions at skills ``(M, d)`` under a prior that the problems share.

    Its mean is the median problem; intercepts spread as those of problems do, weights by 1.
    """
    prior = Prior(np.zeros(x.shape[1] + 1), np.ones(x.shape[1] + 1))
    prior.mean[0], prior.sd[0] = scipy.special.logit((c.sum() + 0.5) / (n.sum() + 1)), _WIDE
    for _ in range(_ROUNDS):
        w = regressions(x[None], n, c, prior)[0]
        middle = np.median(w, axis=0)
        prior = Prior(middle, prior.sd)
        prior.sd[0] = max(np.median(np.abs(w[:, 0] - middle[0])) / scipy.stats.norm.ppf(0.75), 0.5)
    return regressions(x[None], n, c, prior)[0], prior


def regressions(
    x: np.ndarray, n: np.ndarray, c: np.ndarray, prior: Prior, start: np.ndarray | None = None
) -> np.ndarray:
    """Penalised logistic regressions, one a draw of skills and problem, by Newton steps.

    Parameters
    ----------
    x
        Skills, ``(S, M, d)``.
    n, c
        Samples and how many were correct, ``(M, I)``.
    prior
        Of the coefficients.
    start
        Coefficients to begin at, ``(I, d + 1)``.

    Returns
    -------
    numpy.ndarray
        Intercepts and weights, ``(S, I, d + 1)``; the log-odds of new skills are
        ``with_ones(x) @ w``.
    """
    a, tried, solved = with_ones(x), n.T, c.T
    precision = prior.sd**-2.0
    if start is None:
        start = np.tile(prior.mean, (n.shape[1], 1))
        start[:, 0] = scipy.special.logit((c.sum(0) + 0.5) / (n.sum(0) + 1))
    w = np.broadcast_to(start, (len(x), *start.shape)).copy()
    outer = (a[..., None] * a[..., None, :]).reshape(*a.shape[:2], -1)

    def loss(w: np.ndarray) -> np.ndarray:
        eta = w @ a.swapaxes(1, 2)
        fit = (tried * np.logaddexp(0, eta) - solved * eta).sum(-1)
        return np.asarray(fit + 0.5 * ((w - prior.mean) ** 2 @ precision))

    now = loss(w)
    for _ in range(_STEPS):
        p = scipy.special.expit(w @ a.swapaxes(1, 2))
        gradient = (tried * p - solved) @ a + (w - prior.mean) * precision
        curvature = (tried * p * (1 - p)) @ outer
        curvature = curvature.reshape(*w.shape, -1) + np.diag(precision)
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        if (gradient * step).sum(-1).max() < 1e-6:  # twice what is left to gain
            break
        size = np.ones(w.shape[:2])
        for _ in range(30):
            new = loss(w - size[..., None] * step)
            worse = new > now + 1e-9
            if not worse.any():
                break
            size = np.where(worse, size / 2, size)
        better = new < now
        w = np.where(better[..., None], w - size[..., None] * step, w)
        if not better.any():
            break
        now = np.where(better, new, now)
    return w


def with_ones(x: np.ndarray) -> np.ndarray:
    """A column of ones before the skills."""
    return np.concatenate([np.ones((*x.shape[:-1], 1)), x], axis=-1)


def nearness(x: np.ndarray, at: np.ndarray) -> np.ndarray:
    """How much models with skills ``(M, d)`` count for one with skills ``(d,)``: at most 1."""
    far = np.sqrt(((x - at) ** 2).sum(-1))
    if len(x) <= _NEAR:
        return np.ones(len(x))
    return np.maximum(np.exp(-0.5 * (far / max(np.sort(far)[_NEAR - 1], 1e-9)) ** 2), 1e-6)


class Falls(NamedTuple):
    """How far models with counts fall from the regressions of lesser ones: P cases."""

    model: np.ndarray  # (P,) place of the model
    far: np.ndarray  # (P,) distance in skill to the nearest of those it is forecast from
    shift: np.ndarray  # (P, decades) in log-odds; NaN where samples are too few


def falls(x: np.ndarray, n: np.ndarray, c: np.ndarray, inputs: np.ndarray) -> Falls:
    """How far each model falls from the regressions of lesser ones, in log-odds.

    A model is left out with all that are no smaller and have seen no fewer tokens, because
    forecasts go beyond the models with counts; alone, where that leaves fewer than three. And
    once more with the nearest of the others, if three are left, for how that grows with the
    distance. Then, at every decade of k, the shift of all problems that makes its curve meet its
    counts; NaN where its samples are too few, or none was correct.

    Parameters
    ----------
    x, n, c
        Skills ``(M, d)``, samples and successes ``(M, I)``.
    inputs
        Sizes and tokens, ``(M, 2)``.
    """
    found = []
    for m in range(len(x)):
        rest = np.flatnonzero((inputs < inputs[m]).any(1))
        if rest.size < 3:
            rest = np.delete(np.arange(len(x)), m)
        far = np.sqrt(((x[rest] - x[m]) ** 2).sum(-1))
        order = np.argsort(far, kind="stable")
        for first in (0, 1):
            some = rest[np.sort(order[first:])]
            if first == 0 or some.size >= 3:
                distance = far[order[first]]
                found.append((m, distance, _fall(x[some], n[some], c[some], x[m], n[m], c[m])))
    model, far, shift = zip(*found)
    return Falls(np.array(model), np.array(far), np.array(shift))


def _fall(
    x: np.ndarray,
    n: np.ndarray,
    c: np.ndarray,
    at: np.ndarray,
    tried: np.ndarray,
    right: np.ndarray,
) -> np.ndarray:
    """The shift of one model from the regressions of others, at every decade."""
    out, there, near = np.full(_DECADES.size, np.nan), tried > 0, nearness(x, at)[:, None]
    eta = pooled(x, near * n, near * c)[0][there] @ with_ones(at)
    tries = _DECADES[tried[there].min() >= _DECADES]
    seen = estimate(tried[there, None], right[there, None], tries).mean(0)
    if not right.sum():
        return out

    def enough(odds: np.ndarray) -> Any:
        p = scipy.special.expit(eta + np.log(odds)[:, None])
        return coverage(p, tries[:, None, None])[:, 0] >= seen

    ends = np.exp(np.tile([-_FARTHEST, _FARTHEST], (tries.size, 1)))
    out[: tries.size] = np.log(bisect(ends, enough, 40))
    return out


KINDS = ("one scale", "grows", "grows and bends")
KIND = KINDS[2]  # chosen by python -m studies.passk --ahead


def ahead(found: Falls, alike: np.ndarray, far: float, kind: str) -> tuple[float, float]:
    """Mean and standard deviation of the shift of a model that is so far from all with counts.

    Of ``Normal(m far, a^2 + (b far)^2)``, at the most likely values under a wide prior.

    Parameters
    ----------
    found
        What is known of models with counts.
    alike
        ``(M,)``: how much each of these counts.
    far
        Distance in skill.
    kind
        ``"one scale"``: b and m are 0; ``"grows"``: m is 0; ``"grows and bends"``.
    """
    known = np.isfinite(found.shift)
    some = known.any(1)
    z, d = np.nanmean(np.where(known, found.shift, np.nan)[some], axis=1), found.far[some]
    square = np.nanmean(found.shift[some] ** 2, axis=1)
    w = (alike[found.model] + 1e-9)[some]
    w = w / w.max()
    if kind == "one scale":  # of models one step ahead of the others
        once = np.isin(np.flatnonzero(some), np.unique(found.model, return_index=True)[1])
        return 0.0, float(np.sqrt((w * square)[once].sum() / w[once].sum()))

    def moments(p: np.ndarray, d: Any) -> tuple[Any, Any]:
        bend = p[2] if kind == "grows and bends" else 0.0
        return bend * d, np.exp(2 * p[0]) + np.exp(2 * p[1]) * d**2

    def loss(p: np.ndarray) -> float:
        mean, variance = moments(p, d)
        fit = (square - 2 * mean * z + mean**2) / variance + np.log(variance)
        return float(0.5 * (w * fit).sum() + 0.5 * (((p - _BEFORE) / _BEFORE_SD) ** 2).sum())

    best = scipy.optimize.minimize(loss, _BEFORE, method="Nelder-Mead", options={"maxiter": 2000})
    mean, variance = moments(best.x, far)
    return float(mean), float(np.sqrt(variance))


# -- the answer ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class PassAtK:
    """Curves of pass@k: of models with counts, and of models without.

    Made by :meth:`sloth_bayes.Posterior.pass_at_k`.

    Attributes
    ----------
    counts : pandas.DataFrame
        The counts that entered the fit.
    models : list of str
        Models with counts, sorted, then the candidates.
    fit : xarray.Dataset
        ``log_odds`` of success on each problem by the regressions (chain, draw, model,
        problem) and the ``shift`` of each model (chain, draw, model), 0 of those with counts.
    scale : float
        Standard deviation of the shift, the largest of the candidates'.
    prob : float
        Mass of the central intervals.
    cautions : tuple of str
        What the posterior of the skills has to say of its own fit.
    """

    counts: pd.DataFrame
    models: list[str]
    fit: xr.Dataset
    scale: float
    prob: float
    k: tuple[int, ...]
    _seed: int
    cautions: tuple[str, ...] = ()

    def __repr__(self) -> str:
        seen = self.counts["model"].nunique()
        return (
            f"<sloth_bayes.PassAtK: {seen} model(s) with counts on {self.fit.sizes['problem']} "
            f"problems, {len(self.models) - seen} forecast, {self.prob:.0%} intervals>"
        )

    def _repr_html_(self) -> str:
        verdict = self.diagnostics()
        table = self.frame.drop(columns=["mean", "sd", "prob"])
        return shown(repr(self), table, standing=verdict.standing, notes=verdict.messages[1:])

    @property
    def candidates(self) -> list[str]:
        """Models without counts: those that are forecast."""
        return self.models[self.counts["model"].nunique() :]

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Tidy: model, forecast, k, mean, median, sd, lower, upper, prob, empirical.

        Of the same problems and of pass@k itself, without the noise of an evaluation.
        ``empirical`` is the unbiased estimate from counts, NaN where there is none.
        """
        return self.curve()

    @cached_property
    def draws(self) -> xr.Dataset:
        """Draws of ``pass_at_k``: chain, draw, model, k."""
        return self.draw(self.k)

    def curve(
        self,
        k: Sequence[int] | None = None,
        problems: str = "same",
        samples: int | None = None,
        prob: float | None = None,
    ) -> pd.DataFrame:
        """Curves, with central intervals; columns as in :attr:`frame`.

        Parameters
        ----------
        k, problems, samples
            As in :meth:`draw`.
        prob
            Mass of the intervals.
        """
        prob = check_prob(self.prob if prob is None else prob)
        tries = checked_tries(self.k if k is None else k)
        values = merge_chains(self.draw(tries, problems, samples)["pass_at_k"])
        index = pd.MultiIndex.from_product([self.models, tries.astype(int)], names=["model", "k"])
        columns = summarise(values.reshape(len(values), -1), prob)
        del columns["p_positive"]
        out = index.to_frame(index=False).assign(**columns, prob=prob)
        out.insert(1, "forecast", out["model"].isin(self.candidates))
        if problems == "new":
            return out.assign(empirical=np.nan)
        return out.merge(empirical(self.counts, tries), "left", ["model", "k"])

    def draw(self, k: Any, problems: str = "same", samples: int | None = None) -> xr.Dataset:
        """Draws of pass@k.

        Parameters
        ----------
        k
            Numbers of samples, at least 1.
        problems
            ``"same"``: the problems of the counts; ``"new"``: as many others from their
            population (for models with counts as well).
        samples
            By default pass@k itself. Given a number of samples a problem: what the unbiased
            estimator would report from so many, evaluation noise included (NaN for
            larger k).

        Returns
        -------
        xarray.Dataset
            ``pass_at_k`` in [0, 1]: chain, draw, model, k.

        Raises
        ------
        DataError
            If k or samples is below 1.
        UnknownNameError
            If `problems` is neither ``"same"`` nor ``"new"``.
        """
        tries = checked_tries(k)
        if samples is not None and (samples != int(samples) or samples < 1):
            raise DataError(f"samples is a number of samples, at least 1, not {samples!r}")
        each = []
        for model in self.models:
            p = self.success(model, problems)
            if samples is None:
                each.append(coverage(p, tries))
                continue
            c = self._rng("samples", model).binomial(int(samples), p)[..., None]
            some = tries[tries <= samples]
            value = np.full((len(p), tries.size), np.nan)
            n = np.full(c.shape, float(samples))
            value[:, : some.size] = estimate(n, c.astype(float), some).mean(1)
            each.append(value)
        variables = {"pass_at_k": (("model", "k"), np.stack(each, axis=1))}
        return in_chains(self.fit, variables, model=self.models, k=tries.astype(int))

    def success(self, model: str, problems: str = "same") -> np.ndarray:
        """Draws of a model's probability of success on each problem, ``(S, I)``.

        Of a model with counts given these, with one sample's worth of faith in its
        regressions; of any other the regressions' with its shift. ``"new"`` problems are
        drawn from those of the counts, with replacement.
        """
        check_known("model", [model], self.models)
        check_known("choice of problems", [problems], ("same", "new"))
        one = self.fit.sel(model=model)
        p = scipy.special.expit(merge_chains(one["log_odds"]) + merge_chains(one["shift"])[:, None])
        if model not in self.candidates:
            rows = self.counts[self.counts["model"] == model].set_index("problem")
            rows = rows.reindex(self.fit["problem"].values, fill_value=0)
            n, c = (rows[x].to_numpy(float) for x in ("n_samples", "n_correct"))
            before = np.clip(p.mean(0), 1e-9, 1 - 1e-9)
            given = self._rng("success", model).beta(before + c, 1 - before + n - c, p.shape)
            p = np.where(n > 0, given, p)
        if problems == "new":
            some = self._rng("problems").integers(p.shape[1], size=p.shape)
            p = np.take_along_axis(p, some, axis=1)
        return np.asarray(p)

    def samples_to_match(self, model: str, other: str, k: int = 1) -> SamplesToMatch:
        """How many samples make `model` as good as `other` with `k`.

        The smallest real k' with pass@k' of `model` at least pass@k of `other`, in every
        draw; infinite where 1e12 do not reach it.

        Raises
        ------
        UnknownNameError
            If a model is neither in the counts nor among the candidates.
        DataError
            If k is below 1.
        """
        tries = checked_tries(k)
        if tries.size != 1:
            raise DataError(f"k must be one number of samples, not {k!r}")
        target = coverage(self.success(other), tries)[:, 0]
        p = self.success(model)

        def enough(tries: np.ndarray) -> np.ndarray:
            return coverage(p, tries[:, None, None])[:, 0] >= target

        ends = np.tile([1.0, _MOST], (len(p), 1))
        first, reached = (enough(end) for end in ends.T)
        between = np.where(reached, bisect(ends, enough, 60), np.inf)
        found = np.where(first, 1.0, between)
        median, lower, upper = order_statistics(found, self.prob)
        frame = pd.DataFrame(
            [{"model": model, "other": other, "k": int(tries[0]), "median": median,
              "lower": lower, "upper": upper, "prob": self.prob,
              "never": float(np.isinf(found).mean())}]
        )  # fmt: skip
        return SamplesToMatch(frame, found)

    def diagnostics(self) -> Diagnostics:
        """What the posterior of the skills says of its own fit; nothing else is sampled."""
        ok = CAUTIONS["not converged"] not in self.cautions
        summary = (
            f"A logistic regression on each of {self.fit.sizes['problem']} problems at "
            f"{self.fit.sizes['draw']} draws of skills; a model falls {self.scale:.2f} log-odds "
            "from what its skills say."
        )
        standing = "first look" if CAUTIONS["first look"] in self.cautions else ""
        empty = pd.DataFrame(columns=["quantity", "r_hat", "ess_bulk", "ess_tail", "mcse"])
        return Diagnostics(empty, ok, (summary, *self.cautions), standing)

    def plot(self, **options: Any) -> np.ndarray:
        """Curves on log axes; see :func:`sloth_bayes.plots.passk.pass_at_k`."""
        from ..plots.passk import pass_at_k

        return pass_at_k(self, **options)

    def _rng(self, *parts: str) -> np.random.Generator:
        return rng_of(key_of(self._seed, "pass at k", *parts))


@dataclasses.dataclass(frozen=True, eq=False)
class SamplesToMatch:
    """How many samples make one model match another.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row: model, other, k, median, lower, upper, prob; never is the share of draws in
        which no number of samples is enough.
    draws : numpy.ndarray
        One number a draw.
    """

    frame: pd.DataFrame
    draws: np.ndarray

    def __repr__(self) -> str:
        return f"<sloth_bayes.SamplesToMatch>\n{self.frame.to_string(index=False)}"


@checked
def pass_at_k(
    post: PosteriorDraws,
    counts: pd.DataFrame,
    candidates: pd.DataFrame | None = None,
    *,
    k: Sequence[int] | None = None,
    prob: float = 0.9,
    new_family: bool = False,
    draws: int = 250,
    seed: int = 0,
) -> PassAtK:
    """Forecast pass@k of models nobody has sampled from, by counts of other models.

    Of Pythia 12B held out it errs by 1.2 points, a logistic regression a problem by 2.5; two sizes
    ahead by 4.8 and 5.8 points, against 5.5 and 7.1, with bands that held and are a factor of 5
    and of 8 wide at one try. From four models, two sizes ahead, its bands held 54% and 62%
    (``python -m studies.passk``).

    Parameters
    ----------
    post
        Where skills come from. For an honest test it has not seen the candidates' scores.
    counts
        One row a model and problem: model, problem, n_samples, n_correct. Models are
        those of the posterior by name; any others bring family, params_b (billions) and
        tokens_t (trillions), as candidates do. At least three models. Problems may differ
        between models, and so may the number of samples.
    candidates
        Models to forecast, as in a forecast of scores.
    k
        Numbers of samples at which :attr:`PassAtK.frame` shows the curves; by default 1, 2,
        5, 10 and so on to 10,000.
    prob
        Mass of the central intervals.
    new_family
        Accept families that the posterior has never seen.
    draws
        How many draws of the skills to use, at most.
    seed
        Same seed, same numbers.

    Returns
    -------
    PassAtK

    Raises
    ------
    DataError
        If counts make no sense, models are fewer than three, or a candidate has counts.
    UnknownNameError
        If a model or family is not known.

    Notes
    -----
    One family's efficiency cannot be told from the overall level, so with models of a single
    family, all trained on as many tokens, skills are a straight line in the log of size and
    only their spread along it matters.
    """
    prob = check_prob(prob)
    tries = checked_tries(K if k is None else k)
    whole("draws", draws)
    rows = checked_counts(counts)
    seen = _models(post, rows)
    if len(seen) < 3:
        raise DataError(
            f"counts of {len(seen)} model(s): the weight of skills needs at least three; the "
            "estimate of one model is unbiased_pass_at_k"
        )
    table = seen
    if candidates is not None:
        for name in candidates.get("model", []):
            if name in set(seen["model"]):
                raise DataError(f"candidate {name!r} has counts: its curve is there without it")
        table = pd.concat([seen, candidates], ignore_index=True)
    complete = completed(post, table, new_family)
    names, first = complete["model"].tolist(), len(seen)
    theta = skill_draws(post, effects_of(post, complete, seed))
    theta = theta[np.linspace(0, len(theta) - 1, min(draws, len(theta))).round().astype(int)]
    theta = theta - theta[:, :first].mean(1, keepdims=True)
    x = theta / theta[:, :first].mean(0).std(0)
    problems = sorted(rows["problem"].unique())
    n, c = (
        rows.pivot(index="model", columns="problem", values=v)
        .reindex(index=names[:first], columns=problems).fillna(0.0).to_numpy(float)
        for v in ("n_samples", "n_correct")
    )  # fmt: skip
    mean = x.mean(0)
    inputs = complete[["params_b", "tokens_t"]].to_numpy(float)[:first]
    apart = falls(mean[:first], n, c, inputs)
    log_odds = np.empty((len(x), len(names), len(problems)))
    shift, scales = np.zeros(log_odds.shape[:2]), np.zeros(len(names))
    for j, name in enumerate(names):
        near = nearness(mean[:first], mean[j])
        tried, solved = near[:, None] * n, near[:, None] * c
        w, prior = pooled(mean[:first], tried, solved)
        if j < first:  # counts say the rest
            log_odds[:, j] = w @ with_ones(mean[j])
            continue
        w = regressions(x[:, :first], tried, solved, prior, w)
        log_odds[:, j] = np.einsum("sik,sk->si", w, with_ones(x[:, j]))
        distance = np.sqrt(((mean[:first] - mean[j]) ** 2).sum(-1))
        alike = np.exp(-0.5 * distance**2)
        middle, scales[j] = ahead(apart, alike, float(distance.min()), KIND)
        rng = rng_of(key_of(seed, "pass at k", "shift", name))
        ranks = rng.permutation(len(shift)) + 0.5  # evenly spread: the median stays in its place
        shift[:, j] = middle + scales[j] * scipy.stats.norm.ppf(ranks / len(shift))
    fit = xr.Dataset(
        {"log_odds": (("chain", "draw", "model", "problem"), log_odds[None]),
         "shift": (("chain", "draw", "model"), shift[None])},
        coords={"chain": [0], "draw": np.arange(len(shift)), "model": names, "problem": problems},
    )  # fmt: skip
    ks, cautions = tuple(tries.astype(int)), tuple(post.cautions)
    return PassAtK(rows, names, fit, float(scales.max()), prob, ks, seed, cautions)


def _models(post: PosteriorDraws, rows: pd.DataFrame) -> pd.DataFrame:
    """What is known of the models with counts, one a row."""
    about = rows.set_index("model").reindex(columns=[*_NEEDED, "lineage", "instruct"])
    given = about.groupby(level="model").first()
    known = post.model_table()[_NEEDED].reindex(given.index)
    table = given.combine_first(known).dropna(axis=1, how="all")
    for name in table.index[table.reindex(columns=_NEEDED).isna().any(axis=1)]:
        raise unknown(
            "model with counts", name, post.models,
            "Use the posterior's name, or give the columns family, params_b and tokens_t.",
        )  # fmt: skip
    return table.reset_index()


def coverage(p: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Mean over problems of ``1 - (1 - p)^k``, ``(S, K)``; `k` is ``(K,)`` or ``(S, 1, K)``."""
    with np.errstate(divide="ignore"):
        log = np.log1p(-p)[..., None]
    if k.ndim == 1 and k.size > 1:  # one k at a time: a block of all would be large
        return np.stack([-np.expm1(log[..., 0] * x).mean(1) for x in k], axis=1)
    return np.asarray(-np.expm1(log * k).mean(1))
