"""The published laws as point forecasts, and the one pipeline that is not a law of ours.

Each law is a setting of :class:`~sloth_bayes.Sloth`, fitted as its authors did: rows complete
on the benchmarks of the fold, no pooling, no prior, the Huber loss of Maia Polo et al. (2024)
minimised from several starts. All folds of a setting and all starts are one
compiled optimisation. :func:`pca_flops` is the pipeline of Ruan et al. (2024), which has no
likelihood.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..errors import DataError, check_known
from ..infer import recipes
from ..law.spec import Spec
from ..table.leaderboard import Leaderboard
from .evaluation import Evaluation, of_rows
from .protocols import Fold, Hide, published
from .scored import score_fold

HUBER_DELTA = 0.01  # theirs: errors within a point count quadratically


def _laws() -> dict[str, Spec]:
    """Every published law by the name that the published errors carry."""
    sloth = recipes.load("sloth-basic").spec
    full = recipes.load("sloth-full").spec
    trained = {"lower": "estimated", "link": "richards", "priors": full.priors}
    sizes = recipes.load("size-and-tokens").spec
    owen, flops = recipes.load("owen").spec, recipes.load("flops").spec
    laws = {
        "FLOPs, shared intercept, logistic (Owen)": owen,
        "FLOPs, shared intercept, trained link": owen.replace(**trained),
        "FLOPs, family intercept, logistic": flops,
        "FLOPs, family intercept, trained link": flops.replace(**trained),
        "FLOPs, family slopes, logistic": recipes.load("ruan").spec,
        "Size+Tokens, shared intercept, logistic": sizes.replace(intercept="shared"),
        "Size+Tokens, shared intercept, trained link": sizes.replace(intercept="shared", **trained),
        "Size+Tokens, family intercept, logistic": sizes,
        "Size+Tokens, family intercept, trained link": sizes.replace(**trained),
    }
    for d in (1, 2, 3, 4):
        for intercept in ("shared", "family"):
            for link, base in (("logistic", sloth), ("trained link", full)):
                name = f"Sloth d={d}, {intercept} intercept, {link}"
                laws[name] = base.replace(n_skills=d, intercept=intercept)
    return laws


def names() -> list[str]:
    """Names of all baselines, as :func:`evaluate` takes them.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> len(sb.baselines.names())
    29
    """
    return [*_laws(), *(f"PCA+FLOPs d={d} (Ruan)" for d in (1, 2, 3, 4))]


def evaluate(
    name: str,
    data: Leaderboard,
    protocol: str | Sequence[Fold] = "published",
    *,
    hide: Hide = "strict",
    steps: int = 3000,
    starts: int = 4,
    rate: float = 0.02,
    seed: int = 0,
) -> Evaluation:
    """Forecast a protocol's folds with a published law.

    Parameters
    ----------
    name
        One of :func:`names`.
    data
        The table; published errors were made with the published values.
    protocol
        ``"published"`` or folds. A baseline trains on the rows ``fold.complete``, so that
        how relatives are hidden makes no difference to the published protocol.
    hide
        As for :func:`sloth_bayes.cross_validate`.
    steps, starts, rate, seed
        Steps of Adam, random starts a fold (the lowest training loss is used), its first
        learning rate (decaying to a hundredth), and the seed of the starts.

    Returns
    -------
    Evaluation
        Of point forecasts; its column ``loss`` is the training loss of the fold: mean
        Huber loss in units of score.

    Raises
    ------
    UnknownNameError
        If there is no such baseline or protocol.
    DataError
        If the table does not support the protocol, or a fold has test models with missing
        scores among its benchmarks, or fewer complete rows than components.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> table = sb.load_dataset("open_llm_leaderboard", corrected=False)
    >>> found = sb.baselines.evaluate("PCA+FLOPs d=2 (Ruan)", table)
    >>> float(found.summary().loc[("lb_v1", 1), "mae"].round(1))
    6.0
    """
    check_known("baseline", [name], names())
    folds = tuple(published(data, hide) if isinstance(protocol, str) else protocol)
    law = _laws().get(name)
    parts: dict[str, pd.DataFrame] = {}  # by fold
    groups: dict[tuple[str, int], list[Fold]] = {}
    for fold in folds:
        groups.setdefault((fold.setting, fold.n_observed), []).append(fold)
    for group in groups.values():
        if law is not None:
            found = fit_law(law, data, group, steps, starts, rate, seed)
        else:
            components = int(name.split("d=")[1].split()[0])
            found = [(pca_flops(data, fold, components), np.nan) for fold in group]
        parts |= {f.key: _scored(f, data, *forecast) for f, forecast in zip(group, found)}
    about = {
        "label": name,
        "spec": "" if law is None else law.to_toml(),
        "method": "point",
        "hide": hide,
        "seed": seed,
        "options": {} if law is None else {"steps": steps, "starts": starts, "rate": rate},
        "data": data.name,
        "data_fingerprint": data.fingerprint,
    }
    return of_rows(pd.concat([parts[f.key] for f in folds], ignore_index=True), about)


def _scored(fold: Fold, data: Leaderboard, values: np.ndarray, loss: float) -> pd.DataFrame:
    """Rows of one fold, of forecasts ``(test models, benchmarks)``."""

    def forecast(i: int, there: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
        return values[i][there][None], np.nan

    table, exact = data.frame.set_index("model"), np.zeros(len(fold.benchmarks))
    return score_fold(fold, table, forecast, exact, np.random.default_rng(0)).assign(loss=loss)


def fit_law(
    spec: Spec,
    data: Leaderboard,
    folds: Sequence[Fold],
    steps: int = 3000,
    starts: int = 4,
    rate: float = 0.02,
    seed: int = 0,
) -> list[tuple[np.ndarray, float]]:
    """Forecasts ``(test models, benchmarks)`` and training loss of folds with the same
    benchmarks.

    The table of all folds is laid out once; a fold hides its test models by a mask.
    """
    import jax

    from ..model.arrays import design
    from ..model.loadings import sizes

    benchmarks = folds[0].benchmarks
    rows = {m for f in folds for m in (*f.complete, *f.test)}
    table = data.select(models=[m for m in data.models if m in rows], benchmarks=benchmarks)
    laid_out = design(table, spec.inputs)
    missing = np.asarray(laid_out.arrays.observed) == 0
    if missing.any():
        row, column = np.argwhere(missing)[0]
        raise DataError(
            f"{laid_out.models[row]} has no score on {benchmarks[column]}: a published law needs "
            "complete rows"
        )
    shown = [np.isin(laid_out.models, f.complete)[:, None] & ~missing for f in folds]
    keys = jax.random.split(jax.random.PRNGKey(seed), (len(folds), starts))
    run = _optimiser(spec, sizes(spec, laid_out.arrays), steps, rate)
    observed = np.stack(shown).astype(np.float32)
    loss, mu = (np.asarray(v) for v in run(keys, laid_out.arrays, observed))
    return [
        (mu[i, best][[laid_out.models.index(m) for m in fold.test]], float(loss[i, best]))
        for i, (fold, best) in enumerate(zip(folds, np.nanargmin(loss, axis=1)))
    ]


@functools.lru_cache(maxsize=64)
def _optimiser(spec: Spec, n: Any, steps: int, rate: float) -> Callable[..., Any]:
    """Adam on the Huber loss, batched over folds and starts: loss and expected scores."""
    import jax
    import jax.numpy as jnp
    import optax
    from jax.flatten_util import ravel_pytree
    from numpyro.infer.util import constrain_fn

    from ..infer.compiled import unconstrained_sites
    from ..model import scores
    from ..model.arrays import showing

    law = functools.partial(scores.density, spec, n)
    flat, unravel = ravel_pytree(unconstrained_sites(spec, n))
    optimiser = optax.adam(optax.cosine_decay_schedule(rate, steps, alpha=0.01))

    def expected(x: Any, arrays: Any) -> Any:
        constrained = constrain_fn(law, (arrays,), {}, unravel(x))
        return scores.draw_cells(spec, n, arrays, constrained)[0]

    def loss(x: Any, arrays: Any) -> Any:
        error = scores.of_cells(expected(x, arrays), arrays) - arrays.score
        shown = arrays.observed[arrays.model_of, arrays.benchmark_of]
        each = optax.losses.huber_loss(error, delta=HUBER_DELTA)
        return (shown * each).sum() / shown.sum()

    def one(key: Any, arrays: Any) -> Any:
        x = 0.3 * jax.random.normal(key, (flat.size,))

        def step(carry: Any, _: Any) -> Any:
            x, state = carry
            # the loss is small in units of score; Adam does not mind, its epsilon would
            gradient = jax.grad(lambda x: loss(x, arrays) / HUBER_DELTA**2)(x)
            update, state = optimiser.update(gradient, state)
            return (optax.apply_updates(x, update), state), None

        (x, _), _ = jax.lax.scan(step, (x, optimiser.init(x)), None, length=steps)
        return loss(x, arrays), expected(x, arrays)

    @jax.jit
    def run(keys: Any, arrays: Any, observed: Any) -> Any:
        def fold(keys: Any, observed: Any) -> Any:
            return jax.vmap(lambda k: one(k, showing(arrays, observed)))(keys)

        return jax.vmap(fold)(keys, jnp.asarray(observed))

    return run


def pca_flops(data: Leaderboard, fold: Fold, components: int) -> np.ndarray:
    """Ruan et al.'s pipeline (Maia Polo et al., 2024, appendix E): forecasts of a fold.

    Principal components of the training scores (covariance), each regressed on log FLOPs
    with a dummy for every family; predictions are mapped back to scores.

    Returns
    -------
    numpy.ndarray
        ``(test models, benchmarks)``, within [0, 1].
    """
    frame = data.frame.set_index("model")
    names = list(fold.benchmarks)
    train, test = frame.loc[list(fold.complete)], frame.loc[list(fold.test)]
    y = train[names].to_numpy(float)
    if components > min(y.shape):
        raise DataError(f"{components} components need as many complete rows and benchmarks")
    families = pd.Index(train["family"].unique())
    unseen = sorted(set(test["family"]) - set(families))
    if unseen:
        raise DataError(f"PCA+FLOPs knows no family {unseen[0]!r}: none of its models is observed")
    centre = y.mean(0)
    _, _, axes = np.linalg.svd(y - centre, full_matrices=False)
    axes = axes[:components]

    def regressors(rows: pd.DataFrame) -> np.ndarray:
        flops = np.log(rows["params_b"].to_numpy(float) * rows["tokens_t"].to_numpy(float))
        dummies = (rows["family"].to_numpy()[:, None] == families.to_numpy()).astype(float)
        return np.column_stack([flops, dummies])

    coefficients, *_ = np.linalg.lstsq(regressors(train), (y - centre) @ axes.T, rcond=None)
    return np.clip(centre + regressors(test) @ coefficients @ axes, 0.0, 1.0)


def low_rank(
    scores: np.ndarray, rank: int = 2, ridge: float = 0.3, sweeps: int = 50, seed: int = 0
) -> LowRank:
    """Complete a table by a factorisation on the logit scale, as BenchPress does (Microsoft, 2026).

    The logit of a score is a mean, a bias of the model, a bias of the benchmark and the product
    of `rank` factors of each, by alternating ridge regressions.

    Parameters
    ----------
    scores
        ``(M, J)`` in [0, 1], NaN where there is none; clipped to half a point from either end.
    rank
        Factors.
    ridge
        Penalty on factors, per squared logit; a third of it on biases.
    sweeps
        Alternations.
    seed
        Of the start.

    Returns
    -------
    LowRank

    Examples
    --------
    >>> y = np.array([[0.2, 0.5], [0.5, np.nan], [0.6, 0.9]])
    >>> bool(0.5 < low_rank(y, rank=1).table[1, 1] < 0.95)
    True
    """
    z = _logits(scores)
    known = np.isfinite(z)
    mean = float(np.nanmean(z))
    off = np.where(known, z - mean, 0.0)
    rng = np.random.default_rng(seed)
    left = np.c_[rng.normal(0, 0.1, (len(z), rank)), np.zeros(len(z))]
    right = np.c_[rng.normal(0, 0.1, (z.shape[1], rank)), np.zeros(z.shape[1])]
    for _ in range(sweeps):
        right = _ridge(left, off.T, known.T, ridge)
        left = _ridge(right, off, known, ridge)
    return LowRank(mean, left, right, ridge)


class LowRank(NamedTuple):
    """A factorisation of a table: the last column of each side is its bias."""

    mean: float
    left: np.ndarray  # (M, rank + 1)
    right: np.ndarray  # (J, rank + 1)
    ridge: float

    @property
    def table(self) -> np.ndarray:
        """The whole table ``(M, J)``, completed."""
        return self._scores(self.left)

    def row(self, scores: np.ndarray) -> np.ndarray:
        """New rows ``(M, J)``, completed from what they have, with benchmarks as they are."""
        z = _logits(scores)
        known = np.isfinite(z)
        off = np.where(known, z - self.mean, 0.0)
        return self._scores(_ridge(self.right, off, known, self.ridge))

    def _scores(self, left: np.ndarray) -> np.ndarray:
        product = left[:, :-1] @ self.right[:, :-1].T + left[:, -1:] + self.right[:, -1]
        return np.asarray(1 / (1 + np.exp(-self.mean - product)))


def _logits(scores: np.ndarray) -> np.ndarray:
    clipped = np.clip(scores, 0.005, 0.995)
    return np.log(clipped / (1 - clipped))


def _ridge(other: np.ndarray, off: np.ndarray, known: np.ndarray, ridge: float) -> np.ndarray:
    """Factors and bias of each row of `off`, given factors and biases of its columns."""
    x = np.c_[other[:, :-1], np.ones(len(other))]
    target = np.where(known, off - other[:, -1], 0.0)
    gram = np.einsum("mj,jp,jq->mpq", known.astype(float), x, x)
    gram += np.diag([ridge] * (x.shape[1] - 1) + [ridge / 3])
    return np.linalg.solve(gram, np.einsum("mj,jp->mp", target, x)[..., None])[..., 0]
