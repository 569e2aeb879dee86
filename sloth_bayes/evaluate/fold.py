"""One fold: fit what a table shows, and forecast models whose scores it hides."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ..errors import DataError, SpecError
from ..infer import lanes, nuts
from ..infer.compiled import COMPILING, SCORES, Functions, Target, functions_of
from ..infer.settings import LEAST_WARMUP, RANK
from ..infer.variational import NOT_FINITE, moved, oriented, refined, start, starts
from ..law.spec import Spec
from ..model.arrays import Arrays
from ..model.loadings import Sizes
from ..support.checks import whole

_HIDDEN: dict[str, dict[str, Any]] = {
    "svi": {"steps": 1000, "starts": 1, "rank": RANK, "draws": 1000, "moves": 0},
    "nuts": {
        "steps": 1000, "chains": 8, "warmup": 100, "draws": 125, "target_accept": 0.8,
        "max_tree_depth": 10, "lanes": 1, "starts": 1, "thin": 1,
    },
}  # fmt: skip
MOST_R_HAT, LEAST_ESS = 1.05, 200  # where a fold by NUTS has converged
_REFITS = 2  # of a fold that has not, at most
_LEAST = {"warmup": LEAST_WARMUP, "moves": 0, "lanes": 0}


def defaults(method: str) -> dict[str, Any]:
    """The options of :func:`forecast_hidden` and their defaults, or an error that lists methods."""
    if method not in _HIDDEN:
        raise SpecError(f"method={method!r} is not a choice; method takes {', '.join(_HIDDEN)}")
    return _HIDDEN[method]


def hidden_options(method: str, options: dict[str, Any]) -> dict[str, Any]:
    """All options of :func:`forecast_hidden`, or an error that lists them."""
    known = defaults(method)
    for name, value in options.items():
        if name not in known:
            raise SpecError(f"{method} takes {', '.join(known)} here, not {name!r}")
        if isinstance(known[name], int):
            options[name] = whole(name, value, _LEAST.get(name, 1))
        elif not 0 < value < 1:
            raise SpecError(f"{name} must lie between 0 and 1, not {value!r}")
    found = known | options
    for name in ("starts", "thin"):
        if found.get("lanes") and found[name] > 1:
            raise SpecError(f"{name} is of chains that step by themselves: it needs lanes=0")
    return found


def common_coordinates(
    spec: Spec, n: Sizes, arrays: Arrays, seed: int, options: dict[str, Any]
) -> dict[str, Any]:
    """What :func:`~sloth_bayes.infer.variational.oriented` finds in what `arrays` shows.

    `options` are all options of :func:`forecast_hidden`.
    """
    p, rng = _functions(spec, n, options, SCORES), np.random.default_rng(seed)
    [(guide, _)] = start(p, arrays, [rng], options["steps"])
    return oriented(p, guide, rng, arrays)


def _functions(spec: Spec, n: Sizes, o: dict[str, Any], which: Target) -> Functions:
    named = {"depth": "max_tree_depth", "accept": "target_accept", "thin": "thin"}
    chosen = {name: o[option] for name, option in named.items() if option in o}
    with COMPILING:
        return functions_of(spec, n, target=which, **chosen)


def forecast_hidden(
    spec: Spec,
    n: Sizes,
    arrays: Arrays,
    rows: list[int],
    method: str = "svi",
    seed: int = 0,
    which: Target = SCORES,
    **options: Any,
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Fit what `arrays` shows and forecast some of its models: one fold.

    Parameters
    ----------
    spec, n
        The specification, and the sizes of the full table (one program for all folds).
    arrays
        The table with the fold's scores hidden, and the coordinates.
    rows
        Models to forecast.
    method
        ``"svi"`` or ``"nuts"``.
    seed
        Seed of the fold.
    which
        The law; by default that of scores.
    **options
        ``"svi"``: ``steps`` of each optimisation, ``starts`` (each is refined, and the
        draws are shared out among them: an average over where optimisations end),
        ``rank`` of the guide, ``draws`` in all, ``moves`` that carry each of them on (see
        ``sloth_bayes.infer.variational.moved``). ``"nuts"``: ``steps``, ``chains`` (lanes of
        one program: see ``sloth_bayes.infer.lanes``), ``warmup``, ``draws`` of each chain,
        ``target_accept``, ``max_tree_depth``. With ``lanes=0`` chains step by themselves, in
        threads and in coordinates with blocks, as those of ``Sloth.fit`` do, from the best of
        ``starts``, with ``thin`` iterations a draw: for few folds of a large table.

    Returns
    -------
    mu, sd : numpy.ndarray
        ``(S, rows, J)`` expected scores and noise scales.
    notes : dict
        ``converged`` (1 or 0), and ``elbo``; or, of the expected scores of `rows`, ``r_hat``
        (the largest: at most `MOST_R_HAT`) and ``ess`` (the smallest effective sample size, of
        the bulk: at least `LEAST_ESS`), ``diverged`` (share of the draws) and ``refits``: how
        often the fit was made again, each time twice as long, because it had not converged.

    Raises
    ------
    SpecError
        If the method or an option is unknown.
    DataError
        If no optimisation found a finite density.
    """
    o = hidden_options(method, options)
    p = _functions(spec, n, o, which)
    rng = np.random.default_rng(seed)
    notes: dict[str, float] = {}
    if method == "svi":
        parts, elbos, rising = [], [], False
        for k in range(o["starts"]):
            [(guide, _)] = start(p, arrays, [rng], o["steps"])
            guide, elbo = refined(p, arrays, guide, rng, o["steps"], min(o["rank"], p.size))
            share = o["draws"] // o["starts"] + (k < o["draws"] % o["starts"])
            x = guide.draw(rng, share)[0]
            parts.append(moved(p, arrays, guide, rng, x, o["moves"])[0] if o["moves"] else x)
            tenth = max(1, len(elbo) // 10)
            late = elbo[-2 * tenth :].reshape(2, -1)
            elbos.append(late[1].mean())
            noise = 3 * np.sqrt(late.var(1).sum() / tenth)
            # Half a percent of a nat a score: differences between forecasts are ten times that.
            least = 0.005 * float(np.sum(arrays.observed))
            rising |= not late[1].mean() - late[0].mean() <= max(least, noise)  # NaN is no verdict
        x = np.concatenate(parts)
        notes = {"converged": float(not rising), "elbo": float(np.mean(elbos))}
    else:
        for refits in range(_REFITS + 1):
            mu, sd, notes = _sampled(p, arrays, rows, rng, o, 2**refits)
            if notes["converged"]:
                break
        return mu, sd, notes | {"refits": float(refits)}
    mu, sd = _forecast(p, arrays, x, rows, rng)
    return mu, sd, notes


def _forecast(
    p: Functions, arrays: Arrays, x: np.ndarray, rows: list[int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    key = jax.random.PRNGKey(rng.integers(2**31))
    mu, sd = (v[:, rows] for v in p.over("cells", x, key, arrays))
    if not np.isfinite(mu).all():
        raise DataError(NOT_FINITE)
    return mu, sd


def _sampled(
    p: Functions,
    arrays: Arrays,
    rows: list[int],
    rng: np.random.Generator,
    o: dict[str, Any],
    times: int,
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """A fit by NUTS that is `times` as long as asked for, its forecasts, and how it mixed."""
    from arviz_stats.base import array_stats

    chains, warmup, draws = o["chains"], times * o["warmup"], times * o["draws"]
    if o["lanes"]:
        [(guide, _)] = start(p, arrays, [rng], o["steps"])
        arrays, x, diverged = lanes.sample(
            p, guide, arrays, rng, chains, warmup, draws, o["target_accept"], o["max_tree_depth"]
        )
    else:
        arrays, guide, _ = starts(p, arrays, rng, o["starts"], o["steps"], False)
        arrays, found = nuts.sample(p, guide, arrays, rng, chains, warmup, draws, False)
        x, diverged = found[0], float(found[3].mean())
    mu, sd = _forecast(p, arrays, x.reshape(-1, p.size), rows, rng)
    shaped = mu.reshape(chains, draws, -1)
    r_hat = float(np.nanmax(array_stats.rhat(shaped, chain_axis=0, draw_axis=1)))
    ess = float(np.nanmin(array_stats.ess(shaped, chain_axis=0, draw_axis=1, method="bulk")))
    good = r_hat <= MOST_R_HAT and ess >= LEAST_ESS
    notes = {"converged": float(good), "r_hat": r_hat, "ess": ess, "diverged": diverged}
    return mu, sd, notes
