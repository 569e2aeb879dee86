"""What a specification expects of a table before its scores are seen."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..posterior.base import in_chains
from ..posterior.core import PosteriorDraws

_DOUBLED = {"size": (1.0, 0.0), "tokens": (0.0, 1.0)}


def before_data(prior: PosteriorDraws) -> xr.DataTree:
    """Draws from the prior as a tree; see :meth:`sloth_bayes.Sloth.prior_predictive`.

    Parameters
    ----------
    prior
        Draws from the prior of a table's law.
    """
    posterior = prior.tree["posterior"].to_dataset()
    gain = in_chains(
        posterior,
        {"gain": (("doubled", "benchmark"), _gains(prior))},
        doubled=list(_DOUBLED),
        benchmark=prior.benchmarks,
    )
    groups = {
        "prior": posterior.merge(gain),
        "prior_predictive": prior.replicated(),
        "observed_data": prior.tree["observed_data"].to_dataset(),
        "constant_data": prior.tree["constant_data"].to_dataset(),
    }
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = dict(prior.tree.attrs)
    return tree


def _gains(prior: PosteriorDraws) -> np.ndarray:
    """What a doubling adds to expected scores, ``(S, doubled, benchmark)``: see there."""
    cells = prior.tree["observed_data"].to_dataset()
    scored = np.zeros((len(prior.models), len(prior.benchmarks)), np.float32)
    row = np.searchsorted(prior.models, cells["obs_model"].values.astype(str))
    column = [prior.benchmarks.index(name) for name in cells["obs_benchmark"].values]
    scored[row, column] = 1.0
    before, *after = (prior.known_effects(by) for by in ((0.0, 0.0), *_DOUBLED.values()))
    gains = np.zeros((prior.n_draws, len(after), len(prior.benchmarks)), np.float32)
    for rows in prior.blocks(len(prior.models)):
        start, _ = prior.expected(before, rows)
        for k, who in enumerate(after):
            gains[:, k] += ((prior.expected(who, rows)[0] - start) * scored[rows]).sum(1)
    return gains / scored.sum(0)
