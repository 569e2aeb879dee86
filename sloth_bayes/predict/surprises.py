"""Observed scores that the posterior without them finds unlikely.

A family's residual on a benchmark would take in the family's only score there, whatever it is,
so that the likelihood of a score at a draw says nothing of how surprising it is. Here the
residual is integrated out, on a grid, given the draw's residuals of its relatives and the
family's other scores on the benchmark; what is left is the density of a score given all else,
and its inverse is the weight of the draw in a posterior that has not seen the score. Weights are
Pareto-smoothed (Vehtari et al., 2024, arXiv 1507.02646), and their k-hat says whether the draws
reach that posterior; where they do not, a fit without the score does (`refit`).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy
import xarray as xr

from ..errors import DataError
from ..law import equations, likelihood
from ..law.terms import Nested, densities, of
from ..posterior import pareto
from ..posterior.core import PosteriorDraws
from ..posterior.verdict import K_HAT_MOST
from ..support.checks import check_prob, whole
from ..support.html import shown
from ..support.threads import progress_bar, side_by_side
from ..support.types import checked
from ..table.leaderboard import Leaderboard, datasets, load_dataset
from .new_effects import key_of, rng_of

_NODES = 61  # of the grid of a residual
_SPREAD = 6.5  # prior standard deviations that it reaches
_PROB = 0.9  # mass of the intervals
_EDGE = 1e-6  # how near 0 and 1 is at them, in single precision
_LEAST_P = 1e-300
_LEAST_DRAWS = 20  # of fewer a tail says nothing, and k-hat would pass
_COLUMNS = (
    "model", "family", "benchmark", "score", "expected", "lower", "upper", "pit", "direction",
    "p", "q", "flagged", "k_hat", "exact",
)  # fmt: skip


@dataclasses.dataclass(eq=False, repr=False)
class Surprises:
    """Scores by how unlikely the posterior without them finds them.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row a score, the most surprising first: model, family, benchmark, score; what is
        ``expected`` without it (median), with the 90% interval ``lower``, ``upper``; ``pit``,
        the probability of a lower score (an equal one counts half: scores are rounded, and pile
        up at 0 and 1); ``direction`` (high, low); ``p``, twice the smaller of ``pit`` and
        ``1 - pit``; ``q``, the share of false alarms to expect among the scores down to this one
        (Benjamini and Hochberg's adjusted p); ``flagged``; ``k_hat`` of the importance weights,
        and whether the row is ``exact``: k-hat is at most 0.7, or the score was left out of a
        fit.
    models : pandas.DataFrame
        One row a model with two scores or more, the most surprising first: model, family,
        n_scores, n_flagged, ``worst`` (the benchmark of its smallest p), direction, chi2,
        p, q, flagged, k_hat (the largest), exact (of all its scores). ``chi2`` is the sum of the
        squared normal scores of the PITs, and ``p`` its tail under chi-squared with n_scores
        degrees of freedom, as though PITs of one model were independent. Each is left out by
        itself: a model that is off on all benchmarks alike surprises nobody here.
    level : float
        Scores, and models, are flagged whose ``p`` is at most this.
    messages : tuple of str
        What to keep in mind.
    """

    frame: pd.DataFrame
    models: pd.DataFrame
    level: float
    messages: tuple[str, ...]

    def __repr__(self) -> str:
        flagged = int(self.frame["flagged"].sum())
        head = f"<sloth_bayes.Surprises: {flagged} of {len(self.frame)} scores flagged>"
        return f"{head}\n{self.frame.head(20).to_string(index=False, float_format='{:.3g}'.format)}"

    def _repr_html_(self) -> str:
        return shown(repr(self).splitlines()[0], self.frame.head(12), notes=self.messages)


@checked
def surprises(
    post: PosteriorDraws,
    *,
    level: float = 0.01,
    draws: int = 1000,
    refit: int = 0,
    table: Leaderboard | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Surprises:
    """Find observed scores that the posterior without them holds for unlikely.

    Each score is compared with its distribution given all the others: of the same model, of its
    family and of everything else. A high surprise may be contamination, or another setting than
    the benchmark's; a low one a failure of format (no answer was read), or a broken run. A score
    is flagged if its two-sided p is at most `level`: where the law holds and no score is wrong,
    one in a hundred is. The law's noise has heavy tails, under which no single score is
    impossible: the order says more than the size of p. A failure that a family's other models
    share on the same benchmark is taken for the family's own.

    Parameters
    ----------
    post
        The posterior.
    level
        Scores, and models, are flagged whose p is at most this.
    draws
        Draws to use, thinned evenly; at least 20.
    refit
        How many of the scores whose k-hat is above 0.7 are settled by a fit without them, the
        most surprising first; each takes as long as the fit behind the posterior. A model's
        only score cannot be.
    table
        The table of the fit, which `refit` needs; by default that which ships under its name.
    seed
        Same seed, same numbers.
    progress
        Show a progress bar on standard error; by default only in a terminal or notebook.

    Returns
    -------
    Surprises

    Raises
    ------
    DataError
        If the posterior has seen no scores (``spec.prior``), or `table` is not its table.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> found = sb.load("leaderboard").surprises(draws=50)
    >>> found.frame["p"].is_monotonic_increasing, len(found.frame)
    (True, 1554)
    """
    level, refit = check_prob(level, "level", "flags nearly all"), whole("refit", refit, 0)
    draws = whole("draws", draws, _LEAST_DRAWS)
    if post.method == "prior":
        raise DataError("draws from the prior have seen no score: fit the table, and ask that")
    full = _table_of(post, table) if refit else None
    kept = post if post.n_draws <= draws else _thinned(post, draws)
    rows = _Cells(kept, seed).all(progress)
    frame = pd.DataFrame(rows).sort_values("p", kind="stable", ignore_index=True)
    notes = [note for note in post.attrs.get("conditioned", []) if note.get("cut")]
    cut = [model for note in notes for model in note["models"]]
    frame["exact"] = (frame["k_hat"] <= K_HAT_MOST) & ~frame["model"].isin(cut)
    if full is not None:
        frame = _refitted(post, full, frame, refit, progress)
        frame = frame.sort_values("p", kind="stable", ignore_index=True)
    frame["q"] = scipy.stats.false_discovery_control(frame["p"])
    frame["flagged"] = frame["p"] <= level
    frame = frame[[*_COLUMNS]]
    return Surprises(frame, _joint(frame, level), level, _messages(post, frame, bool(cut)))


def _thinned(post: PosteriorDraws, draws: int) -> PosteriorDraws:
    """The posterior with fewer draws."""
    groups = {name: post.tree[name].to_dataset() for name in post.NEEDED}
    groups["posterior"] = groups["posterior"].isel(draw=post.thinned(draws))
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = dict(post.tree.attrs)
    return PosteriorDraws(tree, post.spec)


def _messages(post: PosteriorDraws, frame: pd.DataFrame, cut: bool) -> tuple[str, ...]:
    """What to keep in mind."""
    out = post.cautions
    if rough := int((~frame["exact"]).sum()):
        out.append(
            f"{rough} of {len(frame)} rows are rough (k-hat above {K_HAT_MOST}): the draws do not "
            "reach the posterior without the score. A fit without it settles one: refit=N, or "
            "--refit N, for the worst N."
        )
    if cut:
        out.append("Rows of models that were conditioned on with reweight=False are rough.")
    if post.method == "svi":
        out.append("The posterior is variational, and p only as good as that: NUTS is exact.")
    return tuple(out)


# -- all benchmarks of a model ---------------------------------------------------------------


def _joint(frame: pd.DataFrame, level: float) -> pd.DataFrame:
    """A row a model with several scores."""
    squares = scipy.stats.chi2.isf(frame["p"], 1)
    sides = np.where(frame["direction"] == "high", 1, -1) * np.sqrt(squares)
    # the rows are sorted: the first of a model is its worst
    groups = frame.assign(chi2=squares, side=sides).groupby("model", sort=False)
    out = groups.agg(
        family=("family", "first"),
        n_scores=("p", "size"),
        n_flagged=("flagged", "sum"),
        worst=("benchmark", "first"),
        side=("side", "sum"),
        chi2=("chi2", "sum"),
        k_hat=("k_hat", "max"),
        exact=("exact", "all"),
    ).reset_index()
    out = out[out["n_scores"] > 1]
    p = np.maximum(scipy.stats.chi2.sf(out["chi2"], out["n_scores"]), _LEAST_P)
    out = out.assign(p=p, direction=np.where(out["side"] > 0, "high", "low"))
    out = out.assign(q=scipy.stats.false_discovery_control(p), flagged=p <= level)
    out = out.sort_values("p", kind="stable", ignore_index=True)
    first = ["model", "family", "n_scores", "n_flagged", "worst", "direction", "chi2", "p"]
    return out[[*first, "q", "flagged", "k_hat", "exact"]]


# -- single scores ---------------------------------------------------------------------------


class _Law(NamedTuple):
    """The law of a benchmark's scores at the draws, each ``(S, 1)``, and what is known of it."""

    spec: Any
    lower: np.ndarray
    upper: np.ndarray
    shape: np.ndarray
    noise: np.ndarray
    sampling: np.ndarray
    inverse_n: np.float32
    rounding: np.float32

    @classmethod
    def of(cls, post: PosteriorDraws, j: int) -> _Law:
        """The law of one of a posterior's benchmarks."""

        def at(name: str) -> np.ndarray:
            return np.ascontiguousarray(post.merged[name][:, j])[:, None]

        return cls(
            spec=post.spec,
            lower=at("lower"),
            upper=at("upper"),
            shape=at("link_shape"),
            noise=at("noise_scale"),
            sampling=post.merged["sampling_fraction"][:, None],
            inverse_n=np.float32(post.constant("inverse_n")[j]),
            rounding=np.float32(post.constant("rounding")[j]),
        )

    def at(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Expected score and noise scale at predictors ``(..., S, G)``."""
        fraction = equations.link(self.spec.link, eta, self.shape, np)
        mu = equations.expected(fraction, self.lower, self.upper)
        sd = likelihood.noise_sd(
            self.spec.noise, mu, fraction, self.noise, self.sampling, self.inverse_n, np
        )
        return mu, sd

    def log_density(self, score: np.ndarray, mu: np.ndarray, sd: np.ndarray) -> np.ndarray:
        """Log density of scores, in double precision."""
        law = self.spec.observation
        half = 0.5 * self.rounding
        found = likelihood.log_likelihood(
            score.astype(np.float32), mu, sd, law, self.rounding, np,
            rounded=bool(half > 0),
            floor=bool((score - half <= _EDGE).any()),
            ceiling=bool((score + half >= 1 - _EDGE).any()),
        )  # fmt: skip
        return np.asarray(found, float)

    def beyond(self, score: float, mu: np.ndarray, sd: np.ndarray, above: bool) -> np.ndarray:
        """Probability of a score further up (or down), an equal one counting half."""
        law, half = self.spec.observation, 0.5 * self.rounding
        sign = 1.0 if above else -1.0
        inner = np.exp(law.log_cdf(sign * (mu - score) / sd + half / sd, np))
        outer = np.exp(law.log_cdf(sign * (mu - score) / sd - half / sd, np)) if half else inner
        end, start = (score, 1 - score) if not above else (1 - score, score)
        if end - half <= _EDGE:  # nothing lies beyond it
            outer = 0.0
        if start - half <= _EDGE:  # nothing lies before it
            inner = 1.0
        return np.asarray(0.5 * (inner + outer))


class _Cells:
    """The observed scores of a posterior, family by family."""

    def __init__(self, post: PosteriorDraws, seed: int) -> None:
        self.post, self.seed = post, seed
        self.models, self.benchmarks, self.families = post.models, post.benchmarks, post.families
        self.who = post.known_effects()
        self.family_of = np.searchsorted(
            self.families, post.constant("family_of_model").astype(str)
        )
        data = post.tree["observed_data"].to_dataset()
        row = np.searchsorted(self.models, data["obs_model"].values.astype(str))
        column = [self.benchmarks.index(b) for b in data["obs_benchmark"].values.astype(str)]
        self.score = np.full((len(self.models), len(self.benchmarks)), np.nan)
        self.score[row, column] = data["score"].values
        scored = np.isfinite(self.score)
        families = np.arange(len(self.families))
        self.known = np.stack([scored[self.family_of == f].any(0) for f in families])
        self.lineage_of = post.constant("lineage_of_family").astype(str)
        self.residual = _residual(post)

    def all(self, progress: bool | None) -> list[dict[str, Any]]:
        """A row a score."""
        # ArviZ 1 makes JAX a lazy module, and SciPy asks for it: two threads must not be first
        pareto.smoothed(np.arange(25.0))
        tasks = [functools.partial(self._family, f) for f in range(len(self.families))]
        scores = np.isfinite(self.score).sum(1)
        found: dict[int, list[dict[str, Any]]] = {}
        with progress_bar(int(scores.sum()), "scores", progress) as advance:
            for f, rows in side_by_side(tasks):
                found[f] = rows
                advance(len(rows))
        return [row for f in sorted(found) for row in found[f]]

    def _family(self, f: int) -> list[dict[str, Any]]:
        post, rows = self.post, np.flatnonzero(self.family_of == f)
        eta = post.predictor(self.who.at(rows))  # (S, k, J)
        own, *priors = self._prior(f)
        eta = eta - own[:, None]
        out = []
        for j in np.flatnonzero(self.known[f]).tolist():
            here = np.flatnonzero(np.isfinite(self.score[rows, j]))
            names = {"family": self.families[f], "benchmark": self.benchmarks[j]}
            score = self.score[rows[here], j]
            models = [self.models[row] for row in rows[here]]
            rngs = [rng_of(key_of(self.seed, "surprise", m, self.benchmarks[j])) for m in models]
            integral = _Integral(
                _Law.of(post, j),
                score[:, None, None],
                np.ascontiguousarray(eta[:, here, j].T)[..., None],
                [part[:, j, None] for part in priors],
            )
            for model, value, found in zip(models, score.tolist(), integral.each(rngs)):
                out.append({"model": model, **names, "score": value, **found})
        return out

    def _prior(self, f: int) -> tuple[np.ndarray, ...]:
        """A family's residuals, and their mean and standard deviation given its relatives'.

        Each ``(S, J)``; only the first, 0, where families have no parameters of benchmarks.
        """
        term, v = self.residual, self.post.merged
        if term is None:
            return (np.zeros((1, 1)),)
        scale = np.atleast_2d(np.asarray(term.scale(v, self.post.spec), float))
        related = self.lineage_of == self.lineage_of[f]
        related[f] = False
        standardised = v[term.name][:, related].astype(float) / scale[:, None]
        share = term.share_of(v, self.post.n_draws).astype(float)
        mean, variance = term.lineage_given(standardised, self.known[related], share)
        own = v[term.name][:, f].astype(float)
        return own, scale * mean, scale * np.sqrt(variance + 1 - share)


class _Integral(NamedTuple):
    """A family's scores on a benchmark, over its residual there: k models, S draws, G nodes."""

    law: _Law
    score: np.ndarray  # (k, 1, 1)
    eta: np.ndarray  # (k, S, 1) predictors without the residual
    prior: list[np.ndarray]  # mean and standard deviation (S, 1); empty without a residual

    def each(self, rngs: list[np.random.Generator]) -> Iterator[dict[str, Any]]:
        """What there is to say of each of the scores, one left out at a time."""
        law, eta, log_prior = self.law, self.eta, np.zeros(self.eta.shape[1:])
        if self.prior:
            nodes, log_prior = _nodes(law, self.score, eta, *self.prior)
            eta = (eta + nodes).astype(np.float32)
        mu, sd = law.at(eta)
        log_density = law.log_density(self.score, mu, sd)
        together = log_prior + log_density.sum(0)
        log_all, _ = _integrated(together)
        for k, rng in enumerate(rngs):
            log_rest, of_node = _integrated(together - log_density[k])
            of_draw, k_hat = _smoothed(log_rest - log_all)  # 1 / density given all else
            node = (of_node.cumsum(1) < rng.uniform(size=(len(of_node), 1))).sum(1)
            at = np.arange(len(of_node)), np.minimum(node, of_node.shape[1] - 1)
            drawn = likelihood.draw_scores(mu[k][at], sd[k][at], law.spec.observation, rng)
            value, weights = float(self.score[k, 0, 0]), of_draw[:, None] * of_node
            yield {**_compared(law, value, mu[k], sd[k], weights, drawn, of_draw), "k_hat": k_hat}


def _integrated(log_terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log sum ``(S,)`` over the nodes, and the share ``(S, G)`` of each."""
    top = log_terms.max(1, keepdims=True)
    weights = np.exp(log_terms - top)
    total = weights.sum(1, keepdims=True)
    return (np.log(total) + top)[:, 0], weights / total


def _residual(post: PosteriorDraws) -> Nested | None:
    """The term that gives families parameters of their own on benchmarks, if there is one.

    Others of benchmarks, such as a drift along training curves, count as they were drawn: k-hat
    says whether that will do.
    """
    for term in of(post.spec):
        if isinstance(term, Nested) and term.adds_to == "benchmark" and not term.times:
            return term
    return None


def _nodes(
    law: _Law, score: np.ndarray, eta: np.ndarray, mean: np.ndarray, spread: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes ``(S, G)`` of a residual, and log weights of the integral over its prior there.

    Dense where prior and likelihood together are largest, of where each score alone would have
    it and a Gaussian approximation, then ever wider. `eta` ``(k, S, 1)`` are predictors without
    it.
    """
    low, range_ = law.lower, law.upper - law.lower
    fraction = np.clip((score - low) / range_, 0.02, 0.98)
    there = equations.inverse_link(law.spec.link, fraction, law.shape, np)
    slope = (law.at(there + 0.05)[0] - law.at(there - 0.05)[0]) / 0.1
    information = law.spec.observation.information * (slope / law.at(there)[1]) ** 2
    precision = information.sum(0) + 1 / spread**2
    alone = there - eta
    both = ((information * alone).sum(0) + mean / spread**2) / precision
    candidates = np.concatenate([alone, both[None]])  # (k + 1, S, 1)
    found = law.log_density(score, *law.at(eta + candidates[:, None])).sum(1)
    found = found + densities.normal(candidates, spread, mean)
    best = np.take_along_axis(candidates, found.argmax(0)[None], 0)[0]
    unit = 2 / np.sqrt(precision)
    reach = np.arcsinh((np.abs(best - mean) + _SPREAD * spread) / unit)
    t = reach * np.linspace(-1.0, 1.0, _NODES)
    step = unit * np.cosh(t) * reach * 2 / (_NODES - 1)
    nodes = best + unit * np.sinh(t)
    return nodes, densities.normal(nodes, spread, mean) + np.log(step)


def _smoothed(log_ratio: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights of the draws, and k-hat; of weights that are all alike, minus infinity."""
    if np.ptp(log_ratio) < 1e-6:
        return np.full(log_ratio.size, 1 / log_ratio.size), -np.inf
    log_weights, k_hat = pareto.smoothed(log_ratio)
    weights = np.exp(log_weights - log_weights.max())
    return weights / weights.sum(), k_hat


def _compared(
    law: _Law,
    score: float,
    mu: np.ndarray,
    sd: np.ndarray,
    weights: np.ndarray,
    drawn: np.ndarray,
    of_drawn: np.ndarray,
) -> dict[str, Any]:
    """A score beside its distribution: a mixture with `weights`, of which some are drawn."""
    order = np.argsort(drawn)
    below = np.cumsum(of_drawn[order])
    places = np.searchsorted(below, [0.5, (1 - _PROB) / 2, (1 + _PROB) / 2])
    ends = drawn[order][np.minimum(places, drawn.size - 1)].astype(float).tolist()
    above = score > ends[0]  # the tail that the score is in keeps its digits
    tail = min(float((weights * law.beyond(score, mu, sd, above)).sum()), 1.0)
    pit = 1 - tail if above else tail
    return {
        **dict(zip(("expected", "lower", "upper"), ends)),
        "pit": pit,
        "direction": "high" if pit > 0.5 else "low",
        "p": max(2 * min(tail, 1 - tail), _LEAST_P),
    }


# -- fits without a score --------------------------------------------------------------------


def _table_of(post: PosteriorDraws, table: Leaderboard | None) -> Leaderboard:
    """The table of the fit, checked."""
    if post.attrs.get("conditioned"):
        raise DataError(
            "the posterior was conditioned on scores that its table does not have: ask for "
            "refit=0, or refit with the new rows first"
        )
    name, print_of = str(post.attrs["data"]), post.attrs.get("data_fingerprint")
    if table is not None:
        candidates = [table]
    elif name in set(datasets()["name"]):
        candidates = [load_dataset(name, corrected) for corrected in (True, False)]
    else:
        raise DataError(f"refit needs the table of the fit, {name!r}: pass it as table=")
    for candidate in candidates:
        if candidate.fingerprint == print_of:
            return candidate
    raise DataError(
        f"the table is not the one of the fit, {name!r} with fingerprint {print_of}: pass that "
        "as table="
    )


def _refitted(
    post: PosteriorDraws, table: Leaderboard, frame: pd.DataFrame, most: int, progress: bool | None
) -> pd.DataFrame:
    """The first rough rows from fits without their score; a model needs another to be in one."""
    from ..infer.fit import fit  # needs JAX

    frame = frame.copy()
    others = frame.groupby("model")["score"].transform("size") > 1
    rough = frame.index[~frame["exact"] & others][:most]
    with progress_bar(len(rough), "fits", progress) as advance:
        for i in rough:
            row = frame.loc[i]
            rest = _without(table, row["model"], row["benchmark"])
            again = fit(post.spec, rest, progress=False, **_settings(post))
            j = post.benchmarks.index(row["benchmark"])
            for name, value in _of_fit(again, row["model"], j, float(row["score"])).items():
                frame.loc[i, name] = value
            frame.loc[i, "exact"] = True
            advance(1)
    return frame


def _of_fit(post: PosteriorDraws, model: str, j: int, score: float) -> dict[str, Any]:
    """What a fit without a score says of it."""
    place = np.array([post.models.index(model)])
    mu, sd = (cells[:, 0, j, None] for cells in post.cells(post.known_effects().at(place)))
    rng = rng_of(key_of(int(post.attrs["seed"]), "surprise", model, post.benchmarks[j]))
    drawn = likelihood.draw_scores(mu[:, 0], sd[:, 0], post.spec.observation, rng)
    alike = np.full(mu.shape, 1 / mu.size)
    return _compared(_Law.of(post, j), score, mu, sd, alike, drawn, alike[:, 0])


def _without(table: Leaderboard, model: str, benchmark: str) -> Leaderboard:
    """The table without a score."""
    frame = table.frame
    frame.loc[frame["model"] == model, benchmark] = np.nan
    frame["released"] = frame["family"].map(table.releases)
    return Leaderboard.validated(frame, table.benchmarks, table.name, unscored=True)


def _settings(post: PosteriorDraws) -> dict[str, Any]:
    """How the posterior was fitted, as far as it says so."""
    attrs = post.attrs
    chains = post.tree["posterior"].sizes["chain"]
    draws = int(attrs.get("slimmed_from", post.n_draws)) // chains
    kept = ("method", "seed", "warmup", "thin", "max_tree_depth", "steps", "rank", "moves")
    return {name: attrs[name] for name in kept if name in attrs} | {
        "chains": chains,
        "draws": draws,
    }
