"""Choices between single models: which is better, and which measurement would tell most.

Held fixed: the models' sizes, tokens and families. Random: every parameter of the posterior, the
same draw for all models, so that what they share cancels in a difference; the effects of families
nobody has seen, one draw for all models of a family; and observation noise where asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from ..errors import ConvergenceWarning, DataError, ExtrapolationWarning, unknown
from ..law.likelihood import draw_scores
from ..posterior.core import PosteriorDraws
from ..predict.answer import Answer, labelled
from ..predict.candidates import candidates, default_names
from ..predict.forecast import Forecast, forecast, mean_weights
from ..predict.new_effects import effects_of, identity, key_of, rng_of
from ..support.checks import check_prob
from ..support.frames import as_pandas, is_frame
from ..support.intervals import median_and_ends
from ..support.types import checked
from .curves import AVERAGE, FLOPS, named

Candidate: TypeAlias = "pd.DataFrame | pd.Series | Mapping[str, Any]"
ALL = "all of them"
_FIELDS = (
    *("family", "params_b", "total_params_b", "tokens_t"),
    *("lineage", "instruct", "kind", "model"),
)
_REPLICATES = 8  # of the noise, for each draw of the posterior
_KNOTS = 4  # of a regression spline: four coefficients a measurement


class Comparison(Answer):
    """The answer of :meth:`sloth_bayes.Posterior.compare`.

    ``frame`` has a row a pair and benchmark, and one for their average: a, b, benchmark, p_a
    (probability that `a` scores higher; ties count half), and of the gap, `a` less `b`, mean,
    median, sd, lower, upper; prob. ``draws`` holds ``gap`` over pair and benchmark.
    """

    def plot(self, ax: Any = None) -> np.ndarray[Any, Any]:
        """Gaps with intervals, benchmark by benchmark; see
        :func:`sloth_bayes.plots.plan.comparison`.
        """
        from ..plots import plan as plots

        return plots.comparison(self, ax=ax)


class NextEvaluation(Answer):
    """The answer of :meth:`sloth_bayes.Posterior.next_evaluation`.

    ``frame`` has a row a measurement, the most useful first: rank, model, family, params_b,
    tokens_t, benchmark, cost, sd_now and sd_after (of the target's forecast, in score), reduction
    (the share of its variance that the measurement is expected to take away), mcse (Monte Carlo
    standard error of that) and reduction_per_cost. ``draws`` holds ``target``.
    """

    target: str

    def plot(self, ax: Any = None, top: int = 12) -> np.ndarray[Any, Any]:
        """The most useful measurements as bars; see
        :func:`sloth_bayes.plots.plan.next_evaluation`.
        """
        from ..plots import plan as plots

        return plots.next_evaluation(self, ax=ax, top=top)


@checked
def compare(
    post: PosteriorDraws,
    a: Candidate,
    b: Candidate,
    *,
    benchmarks: str | Sequence[str] | None = None,
    weights: Mapping[str, float] | None = None,
    of: str = "expected",
    new_family: bool = False,
    prob: float = 0.9,
    seed: int = 0,
) -> Comparison:
    """Does one model beat another? Probabilities and gaps, benchmark by benchmark and overall.

    Held fixed: sizes, tokens, families. Random: the posterior, the same draw for both models (and
    for a new family's own effects, if they share it), so that shared uncertainty cancels; with
    ``of="score"`` also the noise of evaluating either once, independently.

    Parameters
    ----------
    post
        The posterior.
    a, b
        Candidates: a row or rows as :func:`sloth_bayes.candidates` makes them, a Series, or a
        mapping of its arguments, such as ``{"family": "qwen2", "params_b": 72, "tokens_t": 7}``.
        Several rows pair up; one row is compared with each of several.
    benchmarks
        Benchmarks to compare, and to average; all by default.
    weights
        Of the benchmarks in the average; the same for all by default.
    of
        ``"expected"``: which model is better; ``"score"``: which one a single evaluation will
        show as better.
    new_family
        Accept families the posterior has not seen.
    prob
        Mass of the interval of the gap.
    seed
        Seed of what is not in the posterior's draws.

    Returns
    -------
    Comparison
        Gaps in score, ``a`` less ``b``.

    Raises
    ------
    UnknownNameError
        For a family or benchmark that the posterior does not know, or another `of`.
    DataError
        For rows that do not pair up, a model compared with itself, weights that are none, and
        nonsense numbers.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> post = sb.load("leaderboard")
    >>> found = post.compare(
    ...     {"family": "qwen2", "params_b": 72, "tokens_t": 7},
    ...     {"family": "meta-llama-3", "params_b": 70, "tokens_t": 15},
    ...     benchmarks=["MMLU", "HellaSwag"],
    ... )
    >>> found.frame["benchmark"].tolist()
    ['MMLU', 'HellaSwag', 'average']
    """
    if of not in ("expected", "score"):
        raise unknown("comparison", of, ["expected", "score"])
    prob = check_prob(prob)
    one, other = (_rows(given, name) for given, name in ((a, "a"), (b, "b")))
    n = max(len(one), len(other))
    if len(one) not in (1, n) or len(other) not in (1, n):
        raise DataError(
            f"a has {len(one)} models and b {len(other)}: they must pair up, or one of them be one"
        )
    notes, sides, scores, whole = [], [], [], []
    for rows in (one, other):
        fc = _quiet(post, rows, benchmarks=benchmarks, new_family=new_family, prob=prob, seed=seed)
        notes += fc.warnings
        at = np.resize(np.arange(len(rows)), n)
        sides.append(rows.iloc[at].reset_index(drop=True))
        whole.append(fc.candidates.iloc[at].drop(columns="model").reset_index(drop=True))
        scores.append(fc.draws[of].values[:, :, at].astype(np.float64))
    one, other = sides
    same = (whole[0] == whole[1]) | (whole[0].isna() & whole[1].isna())
    for i in np.flatnonzero(same.all(axis=1)):
        raise DataError(f"{one.loc[i, 'model']} is compared with itself")
    gap = scores[0] - scores[1]
    average = gap @ mean_weights(fc.benchmarks, weights)
    gap = np.concatenate([gap, average[..., None]], -1)
    labels = [*fc.benchmarks, AVERAGE]
    pairs = [f"{x} - {y}" for x, y in zip(one["model"], other["model"])]
    flat = gap.reshape(-1, n * len(labels))
    middle, low, high = median_and_ends(flat, prob)
    frame = pd.DataFrame(
        {
            "a": np.repeat(one["model"].to_numpy(), len(labels)),
            "b": np.repeat(other["model"].to_numpy(), len(labels)),
            "benchmark": labels * n,
            "p_a": ((flat > 0) + 0.5 * (flat == 0)).mean(0),
            "mean": flat.mean(0), "median": middle, "sd": flat.std(0), "lower": low,
            "upper": high, "prob": prob,
        }
    )  # fmt: skip
    gaps = gap.reshape(post.n_draws, n, -1)
    draws = labelled(post, {"pair": pairs, "benchmark": labels}, gap=gaps)
    return Comparison(post, frame, draws, prob, notes)


@checked
def next_evaluation(
    post: PosteriorDraws,
    target: Candidate,
    options: Candidate,
    *,
    of: str | Mapping[str, float] = AVERAGE,
    benchmarks: str | Sequence[str] | None = None,
    together: bool = True,
    cost: Callable[[np.ndarray, np.ndarray], Any] | None = None,
    new_family: bool = False,
    prob: float = 0.9,
    seed: int = 0,
) -> NextEvaluation:
    """Which cheap measurement would narrow the forecast of a target most.

    Held fixed: sizes, tokens and families of the target and of the options. Random: the
    posterior, the same draw for target and options, the effects of a new family that they share,
    and the noise of each measurement. Nothing is refitted.

    For each option and benchmark, noisy scores ``y`` are simulated beside the target ``t`` (its
    expected score), and ``t`` is regressed on ``y`` by a natural cubic spline of four
    coefficients: the variance it explains estimates ``Var(E[t | y])``, what the measurement is
    expected to take away from ``Var(t)`` (the law of total variance). Degrees of freedom are
    accounted for (adjusted R-squared). Several measurements enter additively, which can miss some
    of what they tell together, never exaggerate it.

    Parameters
    ----------
    post
        The posterior.
    target
        The model to forecast: one row, a Series, or a mapping as in :func:`compare`.
    options
        Models that could be trained and evaluated, rows as :func:`sloth_bayes.candidates` makes
        them; a column ``cost`` is taken as their cost.
    of
        What is to be forecast of the target: a benchmark, ``"average"``, or a mapping from
        benchmarks to weights (their weighted mean).
    benchmarks
        Benchmarks that could be measured; all by default.
    together
        Also consider measuring all of `benchmarks` on one option.
    cost
        ``cost(params, tokens)`` of arrays of parameters and tokens (not billions); 6 N D FLOPs
        of training by default.
    new_family
        Accept families the posterior has not seen: target and options of one new family share it.
    prob
        Kept for the answer.
    seed
        Seed of what is not in the posterior's draws.

    Returns
    -------
    NextEvaluation

    Raises
    ------
    UnknownNameError
        For a family or benchmark that the posterior does not know.
    DataError
        For a target of several rows, a negative cost, and nonsense numbers.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> post = sb.load("leaderboard")
    >>> mine = sb.candidates("mine", [0.5, 2], 4)
    >>> found = post.next_evaluation(
    ...     {"family": "mine", "params_b": 70, "tokens_t": 4}, mine, of="MMLU", new_family=True
    ... )
    >>> bool(found.frame["reduction"][0] > 0.5)
    True
    """
    wanted = _rows(target, "target")
    if len(wanted) != 1:
        raise DataError(f"the target must be one model, not {len(wanted)} rows")
    choices = _rows(options, "options")
    prices = _prices(choices, cost)
    given: dict[str, Any] = {"new_family": new_family, "prob": prob, "seed": seed}
    weights = of if isinstance(of, Mapping) else None
    single = None if weights is not None or of == AVERAGE else of
    fc = _quiet(post, wanted, benchmarks=single, **given)
    t = fc.draws["expected"].values.reshape(post.n_draws, -1).astype(np.float64)
    t = t @ mean_weights(fc.benchmarks, weights)
    measured = _quiet(post, choices, benchmarks=benchmarks, **given)
    names = measured.benchmarks
    keep = [post.benchmarks.index(name) for name in names]
    rows = []
    models = measured.candidates[["model", "family", "params_b", "tokens_t"]].to_dict("records")
    for i, model in enumerate(models):
        y = _replicated(post, measured.candidates.iloc[[i]], seed)[..., keep]
        tries = [([j], name) for j, name in enumerate(names)]
        if together and len(names) > 1:
            tries.append((list(range(len(names))), ALL))
        for columns, name in tries:
            share, error = explained(t, y[..., columns])
            rows.append(
                {
                    **model, "benchmark": name, "cost": prices[i],
                    "sd_now": t.std(ddof=1), "sd_after": t.std(ddof=1) * np.sqrt(1 - share),
                    "reduction": share, "mcse": error,
                    "reduction_per_cost": share / prices[i] if prices[i] > 0 else np.inf,
                }
            )  # fmt: skip
    frame = pd.DataFrame(rows).sort_values("reduction", ascending=False, kind="stable")
    frame.insert(0, "rank", np.arange(1, len(frame) + 1))
    notes = [*fc.warnings, *measured.warnings]
    first = frame.iloc[0]
    if first["reduction"] < 2 * first["mcse"] + 0.02:
        notes.append(
            "no option takes away a share of the variance that these draws can tell from 0"
        )
    frame, draws = frame.reset_index(drop=True), labelled(post, target=t)
    out = NextEvaluation(post, frame, draws, prob, notes)
    what = of if weights is None else named(weights)
    out.target = f"{what} of {fc.candidates['model'][0]}"
    return out


def explained(t: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Share of the variance of `t` that a regression on `y` explains, and its standard error.

    Parameters
    ----------
    t
        ``(S,)`` draws of the target.
    y
        ``(S, K)`` draws of K measurements, or ``(R, S, K)`` with R replicates of their noise.

    Returns
    -------
    tuple of float
        Adjusted R-squared, in [0, 1], of a natural cubic spline in each measurement, added up;
        and a Monte Carlo standard error, which takes draws as independent.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> t = rng.normal(size=20_000)
    >>> share, _ = explained(t, (t + rng.normal(size=t.size))[:, None])
    >>> round(share, 1)
    0.5
    """
    y = y if y.ndim == 3 else y[None]
    replicates, n, k = y.shape
    flat = y.reshape(-1, k)
    basis = [np.ones((len(flat), 1)), *(natural_spline(flat[:, j]) for j in range(k))]
    x = np.concatenate(basis, axis=1)
    centred = np.tile(t - t.mean(), replicates)
    coefficients, _, rank, _ = np.linalg.lstsq(x, centred, rcond=1e-10)
    total = float(((t - t.mean()) ** 2).sum())
    if total == 0 or n <= rank:
        return 0.0, 0.0
    squared = ((centred - x @ coefficients) ** 2).reshape(replicates, n).mean(0)
    share = 1 - (squared.sum() / (n - rank)) / (total / (n - 1))
    # Of a ratio of means over draws: by the delta method
    ratio = squared.sum() / total
    error = float(np.std(squared - ratio * (t - t.mean()) ** 2) / np.sqrt(n) / (total / n))
    return float(np.clip(share, 0.0, 1.0)), error


def natural_spline(y: np.ndarray) -> np.ndarray:
    """Basis ``(S, 4)`` of a natural cubic spline, linear beyond knots at the 5% and 95% quantiles.

    Columns without variation (scores at their floor) are dropped.
    """
    knots = np.unique(np.quantile(y, np.linspace(0.05, 0.95, _KNOTS + 1)))
    if y.std() < 1e-12:
        return np.empty((len(y), 0))
    z = y - y.mean()
    if len(knots) < 3:
        return (z / y.std())[:, None]
    last, span = knots[-1], (knots[-1] - knots[0]) ** 2

    def cubed(knot: float) -> np.ndarray:
        return np.clip(y - knot, 0, None) ** 3

    before = knots[-2]
    tail = (cubed(before) - cubed(last)) / (last - before)
    bent = [((cubed(k) - cubed(last)) / (last - k) - tail) / span for k in knots[:-2]]
    return np.stack([z / y.std(), *bent], axis=1)


# -- small things ---------------------------------------------------------------------------


def _rows(given: Any, name: str) -> pd.DataFrame:
    """A table of candidates from whatever describes them."""
    if isinstance(given, pd.Series):
        given = given.dropna().to_dict()
    if isinstance(given, Mapping):
        # what else a row of a table holds (its scores, say) is no matter of a candidate
        fields = {str(k): v for k, v in given.items() if k in (*_FIELDS, "released")}
        for needed in ("family", "params_b", "tokens_t"):
            if needed not in fields:
                raise DataError(f"{name} lacks {needed!r}: see sloth_bayes.candidates")
        released = fields.pop("released", None)
        row = candidates(**fields)
        return row if released is None else row.assign(released=released)
    if not is_frame(given):
        raise DataError(
            f"{name} must be a table as sloth_bayes.candidates makes it, a row, or a mapping with "
            f"family, params_b and tokens_t, not {type(given).__name__}"
        )
    given = as_pandas(given)
    if given.empty:
        raise DataError(f"{name} has no rows")
    rows = given.reset_index(drop=True)
    if "model" not in rows and {"family", "params_b", "tokens_t"} <= set(rows):
        rows["model"] = default_names(rows)
    return rows


def _quiet(post: PosteriorDraws, rows: pd.DataFrame, **options: Any) -> Forecast:
    """A forecast whose warnings are told in the answer's messages."""
    with warnings.catch_warnings():
        for kind in (ExtrapolationWarning, ConvergenceWarning):
            warnings.simplefilter("ignore", kind)
        return forecast(post, rows, **options)


def _replicated(post: PosteriorDraws, row: pd.DataFrame, seed: int) -> np.ndarray:
    """Noisy scores of one model, ``(replicate, draw, benchmark)``."""
    mu, sd = post.cells(effects_of(post, row, seed))
    rng = rng_of(key_of(seed, "measurement", *identity(next(row.itertuples()))))
    return np.stack(
        [draw_scores(mu[:, 0], sd[:, 0], post.spec.observation, rng) for _ in range(_REPLICATES)]
    ).astype(np.float64)


def _prices(rows: pd.DataFrame, cost: Callable[[np.ndarray, np.ndarray], Any] | None) -> np.ndarray:
    numbers = rows.reindex(columns=["params_b", "tokens_t", "cost"], fill_value=1.0)
    size, tokens, found = numbers.apply(pd.to_numeric, errors="coerce").to_numpy(float).T
    if cost is not None:
        found = np.asarray(cost(size * 1e9, tokens * 1e12), float)
        found = np.broadcast_to(found, size.shape) if found.ndim == 0 else found
    elif "cost" not in rows:
        return FLOPS * size * 1e9 * tokens * 1e12
    if found.shape != size.shape or not (np.isfinite(found) & (found >= 0)).all():
        raise DataError("the cost of every option must be a number of at least 0")
    return found
