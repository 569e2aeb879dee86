"""Fits for studies, and forecasts of what they did not see."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import xarray as xr

import sloth_bayes as sb
from sloth_bayes.evaluate import fold as folds
from sloth_bayes.evaluate import scores
from sloth_bayes.infer import lanes
from sloth_bayes.infer.compiled import functions_of
from sloth_bayes.infer.variational import start
from sloth_bayes.model.arrays import Arrays, Design
from sloth_bayes.model.loadings import sizes
from sloth_bayes.posterior.diagnostics import Diagnostics
from sloth_bayes.posterior.label import build

PROB = 0.9


def by_lanes(
    spec: sb.Sloth, laid_out: Design, arrays: Arrays, seed: int, **options: Any
) -> tuple[sb.Posterior, float]:
    """The posterior given what `arrays` shows, and the largest R-hat of the scores shown.

    Fits of one table share a program, whatever they show. Models without a score shown are in the
    posterior too, by the law alone. The verdict is a fold's: R-hat, and nothing else.

    Parameters
    ----------
    **options
        Of NUTS, as :func:`sloth_bayes.evaluate.fold.forecast_hidden` takes them.
    """
    from arviz_stats.base import array_stats

    n, o = sizes(spec, laid_out.arrays), folds.hidden_options("nuts", options)
    n = n._replace(touched=(n.touched[0], True, True))  # whatever scores are hidden, or simulated
    f, rng = functions_of(spec, n), np.random.default_rng(seed)
    arrays = arrays._replace(**folds.common_coordinates(spec, n, arrays, seed, o))
    [(guide, _)] = start(f, arrays, [rng], o["steps"])
    arrays, x, _ = lanes.sample(
        f, guide, arrays, rng, o["chains"], o["warmup"], o["draws"],
        o["target_accept"], o["max_tree_depth"],
    )  # fmt: skip
    x, key = x.reshape(-1, f.size), jax.random.PRNGKey(seed)
    shown = np.asarray(arrays.observed) > 0
    mu = f.over("cells", x, key, arrays)[0][:, shown].reshape(o["chains"], o["draws"], -1)
    r_hat = float(np.nanmax(array_stats.rhat(mu, chain_axis=0, draw_axis=1)))
    post = build(
        spec, dataclasses.replace(laid_out, arrays=arrays), f.over("values", x, key, arrays),
        chains=o["chains"], sample_stats=None, attrs={"method": "nuts", "seed": seed},
    )  # fmt: skip
    none = pd.DataFrame(columns=["quantity", "r_hat", "ess_bulk", "ess_tail", "mcse"])
    verdict = Diagnostics(none, r_hat <= folds.MOST_R_HAT, (f"R-hat up to {r_hat:.3f}.",))
    post.tree["convergence"] = xr.DataTree(verdict.to_dataset())
    return sb.Posterior(post.tree, post.spec), r_hat


def table_of(frame: pd.DataFrame, like: sb.Leaderboard) -> sb.Leaderboard:
    """Some rows and scores of a table, as one."""
    names = [b for b in like.benchmark_names if frame[b].notna().any()]
    about = {b.name: b for b in like.benchmarks}
    frame = frame[frame[names].notna().any(axis=1)]
    return sb.Leaderboard.from_frame(frame, [about[n] for n in names], like.name)


def fitted(
    spec: sb.Sloth, table: sb.Leaderboard, name: str, keep: Path, **options: Any
) -> sb.Posterior:
    """The fit of this name, made if the folder does not have it."""
    path = keep / f"{name}.nc"
    if not path.exists():
        begun = time.perf_counter()
        post = spec.fit(table, seed=1, **options)
        verdict = post.diagnostics()
        print(f"{name}: {time.perf_counter() - begun:.0f} s; {verdict.messages[0]}", flush=True)
        post.save(path)
    post = sb.load(path)
    post.diagnostics()
    return post


def forecasts(post: sb.Posterior, hidden: pd.DataFrame, label: str) -> pd.DataFrame:
    """How well hidden scores are forecast, one a row, in points."""
    names = [b for b in post.benchmarks if b in hidden and hidden[b].notna().any()]
    frame = hidden.drop(columns=["instruct"])
    fc = post.forecast(frame, benchmarks=names, prob=PROB)
    draws = fc.draws["score"].stack(sample=("chain", "draw")).transpose("sample", ...).values
    y = hidden[names].to_numpy(float)
    rows = []
    for i, who in enumerate(hidden.itertuples()):
        for j in np.flatnonzero(np.isfinite(y[i])):
            x, truth = 100 * draws[:, i, j], 100 * y[i, j]
            lower, upper = np.quantile(x, [(1 - PROB) / 2, (1 + PROB) / 2])
            rows.append(
                {
                    "law": label, "model": who.model, "family": who.family,
                    "lineage": who.lineage, "benchmark": names[j], "score": truth,
                    "median": np.median(x), "error": abs(np.median(x) - truth),
                    "crps": scores.crps(x[:, None], np.array([truth]))[0],
                    "interval_score": float(scores.interval_score(lower, upper, truth, PROB)),
                    "inside": lower <= truth <= upper, "width": upper - lower,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def summary(found: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Means by some columns."""
    columns = {"error": "mean", "crps": "mean", "interval_score": "mean", "inside": "mean"}
    columns |= {"width": "mean", "model": "nunique"}
    table = found.groupby(by, sort=False).agg(columns)
    return table.assign(scores=found.groupby(by, sort=False).size()).round(3)
