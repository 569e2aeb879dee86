"""Test-time compute: how many problems a model solves in k tries (paper, section 4.5).

From counts of correct samples, :func:`unbiased_pass_at_k` estimates pass@k, the share of problems
of which at least one of k samples is correct. For a model nobody has sampled from,
:func:`pass_at_k` forecasts the curve: an item-response model (:mod:`sloth_bayes.problems`) in
which success depends on the model's skills, with their posterior uncertainty, and on the problem.

Held fixed: sizes, tokens, families. Random: skills; their weights; what the model adds to
its skills; easiness and discrimination of each problem; and, for each pair of model and
problem, the probability of success itself.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import gammaln

from . import forecast
from ._intervals import median_and_ends
from ._shipped import shipped
from .curves import order_statistics
from .diagnostics import ESS_LEAST, R_HAT_ALL, R_HAT_MOST, Diagnostics, _table
from .errors import ConvergenceWarning, DataError, unknown
from .posterior import Posterior
from .skilldraws import sampled

if TYPE_CHECKING:
    from .problems import Arrays

SAMPLES = {
    "monkeys": "monkeys_math_pythia_counts.csv",
    "checkpoints": "pythia_checkpoints_math_counts.csv",
}
K = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
_META = ("family", "lineage", "instruct", "params_b", "tokens_t")
_NEEDED = {
    "model": "the name of the model",
    "problem": "the name or number of the problem",
    "n_samples": "how many samples were drawn",
    "n_correct": "how many of them were correct",
}
_MOST = 1e12  # samples: beyond this a match is out of reach


# -- the estimator -------------------------------------------------------------------------


def unbiased_pass_at_k(n_samples: Any, n_correct: Any, k: Any) -> np.ndarray:
    """Unbiased estimate of pass@k of a problem from counts (Chen et al., 2021).

    ``1 - C(n - c, k) / C(n, k)``: the probability that k of the n samples, drawn without
    replacement, include a correct one. The ratio of binomial coefficients is computed as one
    exponential of terms of its own size (Stirling's series, whose large parts cancel on
    paper), so that nothing overflows and small values keep their digits.

    Parameters
    ----------
    n_samples, n_correct, k
        Whole numbers, of any shapes that broadcast.

    Returns
    -------
    numpy.ndarray
        In [0, 1], of the broadcast shape.

    Raises
    ------
    DataError
        If a count is negative or not whole, `n_correct` exceeds `n_samples`, or `k` is below
        1 or above `n_samples`: the counts then say nothing unbiased about pass@k.

    Examples
    --------
    >>> unbiased_pass_at_k(10000, [1, 10], 100).round(6).tolist()
    [0.01, 0.095659]
    """
    n, c = _whole("n_samples", n_samples), _whole("n_correct", n_correct)
    tries = _whole("k", k)
    if (n < 0).any() or (c < 0).any():
        raise DataError("n_samples and n_correct are counts: they cannot be negative")
    if (tries < 1).any():
        raise DataError(f"k is a number of samples, at least 1, not {tries.min():g}")
    n, c, tries = np.broadcast_arrays(n, c, tries)
    if (c > n).any():
        i = np.flatnonzero((c > n).ravel())[0]
        raise DataError(
            f"{c.ravel()[i]:g} correct of {n.ravel()[i]:g} samples: n_correct exceeds n_samples"
        )
    if (tries > n).any():
        i = np.flatnonzero((tries > n).ravel())[0]
        raise DataError(
            f"pass@{tries.ravel()[i]:g} cannot be estimated from {n.ravel()[i]:g} samples: k must "
            "be at most n_samples; a model of the counts (Posterior.pass_at_k) goes further"
        )
    return _estimate(n, c, tries)


def _estimate(n: np.ndarray, c: np.ndarray, k: np.ndarray) -> np.ndarray:
    """:func:`unbiased_pass_at_k` of checked floats."""
    rest = np.maximum(n - c - k, 0.0)
    safe = np.maximum(rest, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # log of (n-c)! (n-k)! / n! / rest!, with x! = x^(x + 1/2) exp(-x + tail)
        log = (
            (safe + 0.5) * np.log1p(c * k / (n * safe))
            + k * np.log1p(-c / n)
            + c * np.log1p(-k / n)
            + (_tail(n - c) - _tail(n))
            + (_tail(n - k) - _tail(safe))
        )
        last = gammaln(n - c + 1) + gammaln(n - k + 1) - gammaln(n + 1)  # where rest is 0
    log = np.where(rest > 0, log, last)
    return np.where(c + k > n, 1.0, np.where(c == 0, 0.0, -np.expm1(log)))


def _tail(x: np.ndarray) -> np.ndarray:
    """What Stirling's formula leaves of ``log x!``, ``1 / (12 x)`` for large `x`."""
    y = np.maximum(x, 1.0)
    exact = gammaln(y + 1) - (y + 0.5) * np.log(y) + y - 0.5 * np.log(2 * np.pi)
    v = 1 / (y * y)
    series = (1 / 12 - v * (1 / 360 - v * (1 / 1260 - v / 1680))) / y
    return np.where(y < 16, exact, series)


def _whole(name: str, given: Any) -> np.ndarray:
    try:
        out = np.asarray(given, float)
    except (TypeError, ValueError):
        raise DataError(f"{name} must be whole numbers, not {given!r}") from None
    if not (np.isfinite(out) & (out == np.floor(out))).all():
        raise DataError(f"{name} must be whole numbers")
    return out


# -- data ----------------------------------------------------------------------------------


def load_samples(name: str = "monkeys") -> pd.DataFrame:
    """Counts of correct samples that ship.

    Parameters
    ----------
    name
        ``"monkeys"``: 7 finished Pythia models, 128 MATH problems, 10,000 samples a problem
        (Brown et al., 2024, arXiv 2407.21787). ``"checkpoints"``: 9 Pythia sizes at 8
        checkpoints on 128 other MATH problems under another evaluation, 128 and more samples
        a problem (Schaeffer et al., 2025, arXiv 2502.17578); the two cannot be pooled.

    Returns
    -------
    pandas.DataFrame
        One row a model and problem: model, family, params_b (billions), tokens_t (trillions;
        of a checkpoint, those seen so far), problem, n_samples, n_correct; the checkpoints
        also have level (difficulty, 1 to 5).

    Raises
    ------
    UnknownNameError
        If no counts of that name ship.

    Examples
    --------
    >>> load_samples().groupby("model")["n_samples"].max().unique().tolist()
    [10000]
    """
    if name not in SAMPLES:
        raise unknown("counts", name, SAMPLES)
    table = pd.read_csv(shipped("data") / "test_time" / SAMPLES[name])
    table = table.rename(columns={"problem_idx": "problem"})
    if name == "monkeys":
        size = table["model"].str.extract(r"-([\d.]+)([mb])$")
        table["params_b"] = size[0].astype(float) * size[1].map({"m": 1e-3, "b": 1.0})
        table["tokens_t"] = 0.3
    table["family"] = "pythia"
    first = ["model", "family", "params_b", "tokens_t", "problem"]
    last = ["n_samples", "n_correct"]
    return table[[*first, *[c for c in table if c == "level"], *last]]


def empirical(counts: pd.DataFrame, k: Sequence[int] | np.ndarray = K) -> pd.DataFrame:
    """Unbiased pass@k of each model, the mean over its problems.

    Returns
    -------
    pandas.DataFrame
        model, k, empirical; NaN where a problem has fewer than k samples.

    Examples
    --------
    >>> empirical(load_samples(), [1, 100]).query("model == 'pythia-1b'")["k"].tolist()
    [1, 100]
    """
    rows, tries = _checked(counts), _tries(k)
    n, c = (rows[x].to_numpy(float)[:, None] for x in ("n_samples", "n_correct"))
    some = n >= tries
    values = np.where(some, _estimate(np.maximum(n, tries), np.where(some, c, 0), tries), np.nan)
    table = pd.DataFrame(values, columns=pd.Index(tries.astype(int), name="k"))
    means = table.groupby(rows["model"].to_numpy()).agg(lambda x: x.mean(skipna=False))
    means.index.name = "model"
    return means.stack(future_stack=True).rename("empirical").reset_index()


def _checked(counts: pd.DataFrame) -> pd.DataFrame:
    """Counts that make sense, sorted, so that the order of the rows changes nothing."""
    if not isinstance(counts, pd.DataFrame):
        raise DataError(f"counts are a pandas DataFrame, not {type(counts).__name__}")
    for column, what in _NEEDED.items():
        if column not in counts:
            raise DataError(f"counts lack the column {column!r}: add it, with {what}")
    if counts.empty:
        raise DataError("there are no counts: the table is empty")
    rows = counts.assign(model=counts["model"].astype(str), problem=counts["problem"].astype(str))
    for column in ("n_samples", "n_correct"):
        rows[column] = pd.to_numeric(rows[column], errors="coerce")
    for row in rows[["model", "problem", "n_samples", "n_correct"]].itertuples(index=False):
        n, c = row.n_samples, row.n_correct
        where = f"{row.model} on problem {row.problem}"
        if not (np.isfinite(n) and np.isfinite(c) and n == int(n) and c == int(c)):
            raise DataError(f"{where}: n_samples and n_correct must be whole numbers")
        if n < 1 or c < 0:
            raise DataError(f"{where}: {n:g} samples, {c:g} correct: counts cannot be negative, "
                            "and a pair without samples is left out")  # fmt: skip
        if c > n:
            raise DataError(f"{where}: {c:g} correct of {n:g} samples: n_correct exceeds n_samples")
    twice = rows.duplicated(["model", "problem"])
    if twice.any():
        row = rows[twice].iloc[0]
        raise DataError(
            f"{row['model']} has problem {row['problem']} twice: add up its counts first"
        )
    return rows.sort_values(["model", "problem"], kind="stable").reset_index(drop=True)


def _tries(k: Any) -> np.ndarray:
    tries = np.unique(_whole("k", np.atleast_1d(np.asarray(k))))
    if tries.size == 0 or tries[0] < 1:
        raise DataError(f"k is a number of samples, at least 1, not {k!r}")
    return tries


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
        Draws (chain, draw) of every parameter of :mod:`sloth_bayes.problems`: ``ability`` of all
        models (of candidates, as forecast), ``easiness`` and ``discrimination`` of problems...
    prob : float
        Mass of the central intervals.
    """

    counts: pd.DataFrame
    models: list[str]
    fit: xr.Dataset
    prob: float
    k: tuple[int, ...]
    sample_stats: xr.Dataset
    _seed: int

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
        prob = forecast.check_prob(self.prob if prob is None else prob)
        tries = _tries(self.k if k is None else k)
        values = _merged(self.draw(tries, problems, samples)["pass_at_k"])
        median, lower, upper = median_and_ends(values, prob)
        index = pd.MultiIndex.from_product(
            [self.models, tries.astype(int)], names=["model", "k"]
        ).to_frame(index=False)
        columns = {
            "mean": values.mean(0), "median": median, "sd": values.std(0), "lower": lower,
            "upper": upper,
        }  # fmt: skip
        out = index.assign(**{name: v.ravel() for name, v in columns.items()}, prob=prob)
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
        tries = _tries(k)
        if samples is not None and (samples != int(samples) or samples < 1):
            raise DataError(f"samples is a number of samples, at least 1, not {samples!r}")
        each = []
        for model in self.models:
            p = self.success(model, problems)
            if samples is None:
                each.append(_coverage(p, tries))
                continue
            rng = self._rng("samples", model)
            c = rng.binomial(int(samples), p).astype(float)[..., None]
            some = tries <= samples
            value = np.full((len(p), tries.size), np.nan)
            n = np.full_like(c, samples)
            value[:, some] = _estimate(n, c, np.broadcast_to(tries[some], (1, 1, some.sum()))).mean(
                1
            )
            each.append(value)
        shape = (self.fit.sizes["chain"], self.fit.sizes["draw"], len(self.models), tries.size)
        coords = {
            "chain": self.fit["chain"].values, "draw": self.fit["draw"].values,
            "model": self.models, "k": tries.astype(int),
        }  # fmt: skip
        values = np.stack(each, axis=1).reshape(shape)
        return xr.Dataset({"pass_at_k": (("chain", "draw", "model", "k"), values)}, coords=coords)

    def success(self, model: str, problems: str = "same") -> np.ndarray:
        """Draws of a model's probability of success on each problem, ``(S, I)``.

        Given its counts, if it has any (the beta law is conjugate); else around its forecast
        ability.
        """
        if model not in self.models:
            raise unknown("model", model, self.models)
        if problems not in ("same", "new"):
            raise unknown("choice of problems", problems, ("same", "new"))
        from .problems import LOGISTIC_SD, shapes

        v = {str(name): _merged(a) for name, a in self.fit.data_vars.items()}
        if problems == "new":
            rng = self._rng("problems")  # one set of problems for all models
            size = v["easiness"].shape
            z = rng.logistic(size=size)
            easiness = v["level"][:, None] + v["spread"][:, None] * z
            discrimination = 1 + v["trend"][:, None] * z / LOGISTIC_SD
            discrimination = discrimination + v["own"][:, None] * rng.standard_normal(size)
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
        tries = _tries(k)
        if tries.size != 1:
            raise DataError(f"k must be one number of samples, not {k!r}")
        target = _coverage(self.success(other), tries)[:, 0]
        p = self.success(model)
        low, high = np.zeros(len(p)), np.full(len(p), np.log(_MOST))
        reached = _coverage(p, np.array([_MOST]))[:, 0] >= target
        for _ in range(60):
            middle = 0.5 * (low + high)
            enough = _coverage(p, np.exp(middle)[:, None, None])[:, 0] >= target
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        first = _coverage(p, np.array([1.0]))[:, 0] >= target
        found = np.where(first, 1.0, np.where(reached, np.exp(high), np.inf))
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
        pieces = {}
        for name in ("level", "spread", "trend", "own", "kappa", "sigma", "weight", "ability",
                     "easiness", "discrimination"):  # fmt: skip
            a = self.fit[name]
            if name == "ability":
                a = a.isel(model=slice(0, len(self.models) - len(self.candidates)))
            if name == "weight":  # identified is what it says about the models with counts
                continue
            dims = a.dims[2:]
            labels = [f"{name}[{x}]" for x in a[dims[0]].values] if dims else [name]
            values = a.values.reshape(*a.shape[:2], -1)
            pieces[name] = xr.DataArray(
                values, dims=("chain", "draw", f"in_{name}"), coords={f"in_{name}": labels}
            )
        table = _table(xr.Dataset(pieces))
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
        verdict = "NOT converged." if problems else "Converged."
        summary = (
            f"{verdict} NUTS, {size['chain']} chains x {size['draw']} draws: R-hat at most "
            f"{r_hat.max():.3f}, ESS at least {ess.min():.0f} over {len(table)} quantities; "
            f"{diverging} divergences."
        )
        return Diagnostics(table, not problems, (summary, *problems))

    def plot(self, **options: Any) -> np.ndarray:
        """Curves on log axes; see :func:`sloth_bayes.passkplots.pass_at_k`."""
        from .passkplots import pass_at_k

        return pass_at_k(self, **options)

    def _rng(self, *parts: str) -> np.random.Generator:
        return forecast._rng(forecast._key(self._seed, "pass at k", *parts))


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


def pass_at_k(
    post: Posterior,
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
    prob = forecast.check_prob(prob)
    tries = _tries(K if k is None else k)
    rows = _checked(counts)
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
    complete = forecast._complete(post, table, new_family)
    theta = sampled(post, forecast._effects(post, complete, seed))
    names = complete["model"].tolist()
    problems = sorted(rows["problem"].unique())
    n, c = (
        rows.pivot(index="model", columns="problem", values=x)
        .reindex(index=names[: len(seen)], columns=problems).fillna(0.0).to_numpy(float)
        for x in ("n_samples", "n_correct")
    )  # fmt: skip
    theta = theta - theta[:, : len(seen)].mean(1, keepdims=True)
    mean, component = _components(theta)
    from . import problems as item_response

    known = slice(0, len(seen))
    arrays = item_response.Arrays(n, c, mean[known], component[:, known])
    found, stats = item_response.sample(arrays, seed=seed, **options)
    out = _labelled(found, arrays, mean, component, names, problems, seed)
    kept = pd.Index(["diverging", "energy", "num_steps"]).intersection(list(stats))
    sample_stats = xr.Dataset({s: (("chain", "draw"), stats[s]) for s in kept})
    result = PassAtK(rows, names, out, prob, tuple(tries.astype(int)), sample_stats, seed)
    if not result.diagnostics().ok:
        warnings.warn(" ".join(result.diagnostics().messages), ConvergenceWarning, stacklevel=3)
    return result


def _models(post: Posterior, rows: pd.DataFrame) -> pd.DataFrame:
    """What is known of the models with counts, one a row."""
    columns = [c for c in _META if c in rows]
    table = rows.groupby("model", sort=True)[columns].first() if columns else pd.DataFrame(
        index=pd.Index(sorted(rows["model"].unique()), name="model")
    )  # fmt: skip
    constant = post._tree["constant_data"].to_dataset()
    known = pd.DataFrame(
        {
            "family": constant["family_of_model"].values.astype(str),
            "params_b": constant["params_b"].values.astype(float),
            "tokens_t": constant["tokens_t"].values.astype(float),
        },
        index=post.models,
    )
    for column in ("family", "params_b", "tokens_t"):
        default = known[column].reindex(table.index)
        table[column] = table[column].where(table[column].notna(), default) if (
            column in table
        ) else default  # fmt: skip
    lacking = table[["family", "params_b", "tokens_t"]].isna().any(axis=1)
    if lacking.any():
        raise unknown(
            "model with counts", table.index[lacking][0], post.models,
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
    found: dict[str, np.ndarray], arrays: Arrays, mean: np.ndarray, component: np.ndarray,
    names: list[str], problems: list[str], seed: int,
) -> xr.Dataset:  # fmt: skip
    """Labelled draws, with the candidates' abilities among them."""
    from .problems import DF, skills

    first = arrays.n.shape[0]
    theta = skills(mean, component, found["score"])  # (chain, draw, all models, d)
    line = np.einsum("cdmk,cdk->cdm", theta[:, :, first:], found["weight"])
    noise = np.empty(line.shape)
    for j, name in enumerate(names[first:]):
        rng = forecast._rng(forecast._key(seed, "ability", name))
        noise[..., j] = rng.standard_t(DF, line.shape[:2])
    ahead = line - found["g"][..., None] + found["sigma"][..., None] * noise
    ability = np.concatenate([found["ability"], ahead], axis=-1)
    dims = {"easiness": "problem", "discrimination": "problem", "weight": "skill"}
    variables: dict[str, Any] = {"ability": (("chain", "draw", "model"), ability)}
    for name in ("level", "spread", "trend", "own", "kappa", "sigma", "strength", "g",
                 "easiness", "discrimination", "weight"):  # fmt: skip
        variables[name] = (("chain", "draw", *([dims[name]] if name in dims else [])), found[name])
    chains, draws = found["level"].shape
    coords = {
        "chain": np.arange(chains), "draw": np.arange(draws), "model": names, "problem": problems,
    }  # fmt: skip
    return xr.Dataset(variables, coords=coords)


def _coverage(p: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Mean over problems of ``1 - (1 - p)^k``, ``(S, K)``; `k` is ``(K,)`` or ``(S, 1, K)``."""
    with np.errstate(divide="ignore"):
        log = np.log1p(-p)[..., None]
    if k.ndim == 1 and k.size > 1:  # one k at a time: a block of all would be large
        return np.stack([-np.expm1(log[..., 0] * x).mean(1) for x in k], axis=1)
    return np.asarray(-np.expm1(log * k).mean(1))


def _merged(array: xr.DataArray) -> np.ndarray:
    """Chains one after another, ``(S, ...)``."""
    return np.asarray(array.values.reshape(-1, *array.shape[2:]))
