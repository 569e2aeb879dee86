"""Test-time compute: how many problems a model solves in k tries (paper, section 4.5).

From counts of correct samples, :func:`unbiased_pass_at_k` estimates pass@k, the share of problems
of which at least one of k samples is correct. For a model nobody has sampled from,
:func:`pass_at_k` forecasts the curve by an item-response model in which success depends on the
model's skills, with their posterior uncertainty, and on the problem
(:mod:`sloth_bayes.tasks.passk_model`).

Held fixed: sizes, tokens, families. Random: skills; their weights; what the model adds to
its skills; easiness and discrimination of each problem; and, for each pair of model and
problem, the probability of success itself.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import ConvergenceWarning, DataError, check_known, unknown
from ..posterior.base import in_chains, merge_chains
from ..posterior.core import PosteriorDraws
from ..posterior.diagnostics import table_of
from ..posterior.verdict import CAUTIONS, ESS_LEAST, R_HAT_ALL, R_HAT_MOST, Diagnostics
from ..predict.candidates import completed
from ..predict.new_effects import effects_of, key_of, rng_of
from ..skills.rotated_draws import skill_draws
from ..support.checks import check_prob, whole
from ..support.intervals import bisect, order_statistics, summarise
from ..support.types import checked
from ..table.samples import K, checked_counts, checked_tries, empirical, estimate

_NEEDED = ["family", "params_b", "tokens_t"]  # of a model with counts
_SCALARS = ("level", "spread", "trend", "own", "kappa", "sigma", "strength", "g")
_DIMS = {"ability": ("model",)} | dict.fromkeys(_SCALARS, ()) | {
    "easiness": ("problem",), "discrimination": ("problem",), "weight": ("skill",),
}  # fmt: skip
_MOST = 1e12  # samples: beyond this a match is out of reach


# -- the model -----------------------------------------------------------------------------


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
        Draws (chain, draw) of every parameter of ``sloth_bayes.tasks.passk_model``:
        ``ability`` of all models (of candidates, as forecast), ``easiness`` and
        ``discrimination`` of problems...
    prob : float
        Mass of the central intervals.
    cautions : tuple of str
        What the posterior of the skills has to say of its own fit.
    """

    counts: pd.DataFrame
    models: list[str]
    fit: xr.Dataset
    prob: float
    k: tuple[int, ...]
    sample_stats: xr.Dataset
    _seed: int
    cautions: tuple[str, ...] = ()

    def __repr__(self) -> str:
        seen = self.counts["model"].nunique()
        return (
            f"<sloth_bayes.PassAtK: {seen} model(s) with counts on {self.fit.sizes['problem']} "
            f"problems, {len(self.models) - seen} forecast, {self.prob:.0%} intervals>"
        )

    def _repr_html_(self) -> str:
        return self.frame.to_html(index=False, float_format="{:.4f}".format, max_rows=28)

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

        Given its counts, if it has any (the beta law is conjugate); else around its forecast
        ability.
        """
        check_known("model", [model], self.models)
        check_known("choice of problems", [problems], ("same", "new"))
        from .passk_model import LOGISTIC_SD, shapes

        v = {str(name): merge_chains(a) for name, a in self.fit.data_vars.items()}
        if problems == "new":
            rng = self._rng("problems")  # one set of problems for all models
            size = v["easiness"].shape
            z = rng.logistic(size=size)
            level, spread, trend, own = (v[x][:, None] for x in ("level", "spread", "trend", "own"))
            easiness = level + spread * z
            discrimination = 1 + trend * z / LOGISTIC_SD + own * rng.standard_normal(size)
        else:
            easiness, discrimination = v["easiness"], v["discrimination"]
        ability = v["ability"][:, self.models.index(model), None]
        eta = np.clip(easiness + discrimination * ability, -25, 25)
        a, b = shapes(eta, v["kappa"][:, None], np)
        if problems == "same" and model not in self.candidates:
            rows = self.counts[self.counts["model"] == model].set_index("problem")
            rows = rows.reindex(self.fit["problem"].values, fill_value=0)
            a = a + rows["n_correct"].to_numpy(float)
            b = b + (rows["n_samples"] - rows["n_correct"]).to_numpy(float)
        return self._rng("success", problems, model).beta(a, b)

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
        """Has the fit converged? Over all parameters; bars as for other fits."""
        return self._verdict

    @cached_property
    def _verdict(self) -> Diagnostics:
        seen = self.fit.isel(model=slice(0, len(self.models) - len(self.candidates)))
        pieces = {}
        # neither weights nor g: identified is what they say about the models with counts
        for name in (*_SCALARS[:6], "ability", "easiness", "discrimination"):
            a = seen[name] if seen[name].ndim > 2 else seen[name].expand_dims("of", -1)
            dim = a.dims[-1]
            labels = [name] if dim == "of" else [f"{name}[{x}]" for x in a[dim].values]
            pieces[name] = a.assign_coords({dim: labels}).rename({dim: f"in_{name}"})
        table = table_of(xr.Dataset(pieces))
        diverging = int(self.sample_stats["diverging"].sum())
        r_hat, ess = table["r_hat"], table[["ess_bulk", "ess_tail"]].min(axis=1)
        problems = []
        if not (r_hat.quantile(0.99) <= R_HAT_MOST and r_hat.max() <= R_HAT_ALL):
            problems.append(
                f"The chains disagree: R-hat up to {r_hat.max():.3f} (worst: "
                f"{table.iloc[0]['quantity']}). Do: double warmup and draws."
            )
        if not ess.min() >= ESS_LEAST:
            problems.append(
                f"Too few effective draws: at least {ess.min():.0f}, wanted {ESS_LEAST}. "
                "Do: more draws."
            )
        if diverging:
            problems.append(f"{diverging} divergent transitions. Do: target_accept=0.95.")
        size = self.fit.sizes
        # a first look at the skills is said, and is no failure of these chains
        ok = not problems and CAUTIONS["not converged"] not in self.cautions
        verdict = "Converged." if ok else "NOT converged."
        summary = (
            f"{verdict} NUTS, {size['chain']} chains x {size['draw']} draws: R-hat at most "
            f"{r_hat.max():.3f}, ESS at least {ess.min():.0f} over {len(table)} quantities; "
            f"{diverging} divergences."
        )
        return Diagnostics(table, ok, (summary, *problems, *self.cautions))

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
    seed: int = 0,
    **options: Any,
) -> PassAtK:
    """Forecast pass@k of models nobody has sampled from, by counts of other models.

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
    seed
        Same seed, same numbers.
    **options
        Of NUTS: chains, warmup, draws, target_accept, max_tree_depth.

    Returns
    -------
    PassAtK

    Raises
    ------
    DataError
        If counts make no sense, models are fewer than three, or a candidate has counts.
    UnknownNameError
        If a model or family is not known.

    Warns
    -----
    ConvergenceWarning
        If the chains have not converged.

    Notes
    -----
    One family's efficiency cannot be told from the overall level, so with models of a single
    family, all trained on as many tokens, skills are a straight line in the log of size and
    only their spread along it matters.
    """
    prob = check_prob(prob)
    tries = checked_tries(K if k is None else k)
    for name in {"chains", "warmup", "draws"} & set(options):
        whole(name, options[name])
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
    theta = skill_draws(post, effects_of(post, complete, seed))
    names = complete["model"].tolist()
    problems = sorted(rows["problem"].unique())
    n, c = (
        rows.pivot(index="model", columns="problem", values=x)
        .reindex(index=names[: len(seen)], columns=problems).fillna(0.0).to_numpy(float)
        for x in ("n_samples", "n_correct")
    )  # fmt: skip
    theta = theta - theta[:, : len(seen)].mean(1, keepdims=True)
    mean, component = _components(theta)
    from . import passk_model as item_response

    known = slice(0, len(seen))
    data = item_response.Counts(n, c, mean[known], component[:, known])
    found, stats = item_response.sample(data, seed=seed, **options)
    fit = _labelled(found, mean, component, names, problems, seed)
    sample_stats = xr.Dataset({name: (("chain", "draw"), a) for name, a in stats.items()})
    ks, cautions = tuple(tries.astype(int)), tuple(post.cautions)
    result = PassAtK(rows, names, fit, prob, ks, sample_stats, seed, cautions)
    if not result.diagnostics().ok:
        warnings.warn(" ".join(result.diagnostics().messages), ConvergenceWarning, stacklevel=3)
    return result


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


def _components(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean ``(M, d)`` and principal components ``(K, M, d)`` of draws ``(S, M, d)``."""
    mean = theta.mean(0)
    flat = (theta - mean).reshape(len(theta), -1) / np.sqrt(len(theta))
    _, size, axes = np.linalg.svd(flat, full_matrices=False)
    share = np.cumsum(size**2) / max((size**2).sum(), 1e-300)
    keep = slice(0, int(np.searchsorted(share, 0.999)) + 1)
    return mean, (size[keep, None] * axes[keep]).reshape(-1, *mean.shape)


def _labelled(
    found: dict[str, np.ndarray], mean: np.ndarray, component: np.ndarray,
    names: list[str], problems: list[str], seed: int,
) -> xr.Dataset:  # fmt: skip
    """Labelled draws, with the candidates' abilities among them."""
    from .passk_model import DF, skills_at

    chains, draws, first = found["ability"].shape
    theta = skills_at(found["score"], mean[first:], component[:, first:])
    line = np.einsum("cdmk,cdk->cdm", theta, found["weight"])
    noise = np.empty(line.shape)
    for j, name in enumerate(names[first:]):
        rng = rng_of(key_of(seed, "ability", name))
        noise[..., j] = rng.standard_t(DF, line.shape[:2])
    ahead = line - found["g"][..., None] + found["sigma"][..., None] * noise
    values = found | {"ability": np.concatenate([found["ability"], ahead], axis=-1)}
    variables = {name: (("chain", "draw", *dims), values[name]) for name, dims in _DIMS.items()}
    coords = {
        "chain": np.arange(chains), "draw": np.arange(draws), "model": names, "problem": problems,
    }  # fmt: skip
    return xr.Dataset(variables, coords=coords)


def coverage(p: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Mean over problems of ``1 - (1 - p)^k``, ``(S, K)``; `k` is ``(K,)`` or ``(S, 1, K)``."""
    with np.errstate(divide="ignore"):
        log = np.log1p(-p)[..., None]
    if k.ndim == 1 and k.size > 1:  # one k at a time: a block of all would be large
        return np.stack([-np.expm1(log[..., 0] * x).mean(1) for x in k], axis=1)
    return np.asarray(-np.expm1(log * k).mean(1))
