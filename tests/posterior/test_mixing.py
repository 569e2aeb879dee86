"""Convergence of many quantities at once is what ArviZ says of each."""

from __future__ import annotations

import numpy as np
import pytest
from arviz_stats.base import array_stats

from sloth_bayes.posterior.mixing import TAIL, mixing


@pytest.mark.parametrize("shape", [(4, 300), (2, 51), (1, 200), (8, 25), (4, 4), (3, 5)])
def test_it_is_what_arviz_says(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(12, *shape))
    for q, rho in enumerate(np.linspace(-0.7, 0.98, 12)):
        for t in range(1, shape[1]):
            x[q, :, t] += rho * x[q, :, t - 1]
    x[0], x[1], x[2, 0] = np.round(x[0]), 3.0, x[2, 0] + 5.0  # ties, a constant, two places
    found = mixing(x)
    for q, draws in enumerate(x):
        want = {
            "r_hat": array_stats.rhat(draws) if shape[0] > 1 else np.nan,
            "ess_bulk": array_stats.ess(draws),
            "ess_tail": array_stats.ess(draws, method="tail", prob=TAIL),
            "mcse": array_stats.mcse(draws),
        }
        for name, value in want.items():
            np.testing.assert_allclose(found[name][q], value, rtol=1e-10, err_msg=name)


def test_a_draw_that_is_not_finite_spoils_its_quantity_alone() -> None:
    x = np.random.default_rng(0).normal(size=(3, 2, 40))
    whole = mixing(x)
    x[1, 0, 3] = np.inf
    for name, values in mixing(x).items():
        assert np.isnan(values[1])
        np.testing.assert_array_equal(values[[0, 2]], whole[name][[0, 2]])
