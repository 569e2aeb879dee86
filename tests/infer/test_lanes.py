"""Many short chains as lanes of one program: the step that they share, and what they sample."""

from __future__ import annotations

import numpy as np
import pytest

from sloth_bayes.infer import nuts
from sloth_bayes.infer.compiled import functions_of
from sloth_bayes.infer.lanes import StepSize, sample
from sloth_bayes.infer.variational import oriented, start
from sloth_bayes.model.arrays import design_of
from sloth_bayes.model.loadings import sizes


@pytest.mark.parametrize("first", [0.01, 0.1, 1.0])
def test_a_step_settles_where_trees_are_accepted_as_asked(first):
    step, rng = StepSize(first, accept=0.8), np.random.default_rng(0)
    for _ in range(300):
        step.hear(float(np.clip(np.exp(-step.now / 1.3) + 0.1 * rng.standard_normal(), 0, 1)))
    assert np.exp(-step.settled / 1.3) == pytest.approx(0.8, abs=0.03)


@pytest.mark.slow
def test_lanes_sample_what_chains_of_their_own_do(tiny_spec, tiny_table):
    """Expected scores and their spread: within four standard errors of the difference."""
    arrays = design_of(tiny_spec, tiny_table).arrays
    f = functions_of(tiny_spec, sizes(tiny_spec, arrays), depth=7)
    rng = np.random.default_rng(3)
    [(guide, _)] = start(f, arrays, [rng], 600)
    arrays = arrays._replace(**oriented(f, guide, rng, arrays))
    [(guide, _)] = start(f, arrays, [rng], 600)
    laned, x, diverged = sample(f, guide, arrays, rng, 8, 100, 250, accept=0.8, deepest=7)
    assert x.shape == (8, 250, f.size)
    assert diverged < 0.01
    alone, found = nuts.sample(f, guide, arrays, rng, 4, 300, 500, progress=False)
    key = np.zeros(2, np.uint32)
    both = [
        f.over("cells", rows.reshape(-1, f.size), key, a)[0].reshape(*rows.shape[:2], -1)
        for rows, a in ((x, laned), (found[0], alone))
    ]
    from arviz_stats.base import array_stats

    for moment in (lambda mu: mu, lambda mu: (mu - mu.mean((0, 1))) ** 2):
        (a, b), errors = [moment(mu) for mu in both], []
        for mu in (a, b):
            ess = array_stats.ess(mu, chain_axis=0, draw_axis=1, method="mean")
            errors.append(mu.var((0, 1)) / ess)
        gap = np.abs(a.mean((0, 1)) - b.mean((0, 1))) / np.sqrt(sum(errors))
        assert gap.max() < 4.5
        assert np.sqrt((gap**2).mean()) < 1.5
