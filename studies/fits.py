"""Fits for studies: many short chains of a table with some scores masked, and their posterior."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
import pandas as pd
import xarray as xr

import sloth_bayes as sb
from sloth_bayes.evaluate import fold as folds
from sloth_bayes.infer import lanes
from sloth_bayes.infer.compiled import functions_of
from sloth_bayes.infer.variational import start
from sloth_bayes.model.arrays import Arrays, Design
from sloth_bayes.model.loadings import sizes
from sloth_bayes.posterior.diagnostics import Diagnostics
from sloth_bayes.posterior.label import build


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
