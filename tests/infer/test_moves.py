"""Moves: draws of a guide that is off end where the posterior is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sloth_bayes as sb
from sloth_bayes.infer.metric import Metric
from sloth_bayes.infer.variational import Guide, moved, to_gain
from tests.conftest import QUICK

COVARIANCE = np.array([[1.0, 0.6, 0.0], [0.6, 2.0, -0.5], [0.0, -0.5, 0.5]])
MEAN = np.array([1.0, -2.0, 0.5])


class Normal:
    """Functions whose posterior is a normal, cut off below the first coordinate `least`."""

    def __init__(self, least: float = -np.inf) -> None:
        self.least, self.calls = least, 0

    def over(self, name: str, x: np.ndarray, arrays: Any) -> tuple[np.ndarray, np.ndarray]:
        assert name == "potential"
        self.calls += 1
        slope = (x - MEAN) @ np.linalg.inv(COVARIANCE)
        value = 0.5 * ((x - MEAN) * slope).sum(1)
        return np.where(x[:, 0] < self.least, np.nan, value), slope


def after(moves: int, target: Normal, n: int = 4000) -> tuple[np.ndarray, float]:
    rng = np.random.default_rng(3)
    guide = Guide(Metric.identity(3), MEAN + np.array([0.8, 0.5, 0.3]), np.log([0.4, 0.5, 0.3]))
    return moved(target, None, guide, rng, guide.draw(rng, n)[0], moves)  # type: ignore[arg-type]


def test_a_guide_that_is_too_narrow_and_off_ends_at_the_posterior():
    x, accepted = after(40, target := Normal())
    assert target.calls == 1 + 40 * 8
    assert 0.6 < accepted <= 1
    error = np.sqrt(np.diag(COVARIANCE) / len(x))
    assert (np.abs(x.mean(0) - MEAN) < 4 * error).all()
    np.testing.assert_allclose(np.cov(x.T), COVARIANCE, atol=0.13)


def test_a_few_moves_are_a_part_of_the_way():
    spread = [after(moves, Normal())[0].std(0) for moves in (0, 1, 3)]
    assert (spread[0] < spread[1]).all()
    assert (spread[1] < spread[2]).all()


def test_no_draw_goes_where_there_is_no_density():
    x, _ = after(20, Normal(least=0.5))
    assert np.isfinite(x).all()
    assert (x[:, 0] >= 0.5).mean() > 0.99  # the others began below, and found no way


@pytest.mark.parametrize(("off", "wide"), [(0.0, 1.0), (2.0, 1.0), (0.0, 1.5), (-3.0, 0.8)])
def test_what_a_guide_may_gain_is_half_its_squared_distance(off, wide):
    """Of a standard normal: (off^2 + a quarter of the squared slope of the scale) in nats."""
    guide = Guide(Metric.identity(2), np.array([off, 0.0]), np.log([1.0, wide]))
    x, _ = guide.draw(np.random.default_rng(0), 20_000)
    want = off**2 / 2 + (wide**2 - 1) ** 2 / 4
    assert to_gain(guide, x, x) == pytest.approx(want, abs=0.02 + 0.05 * want)


@pytest.mark.slow
def test_a_fit_says_that_its_draws_were_moved(tiny_spec, tiny_table):
    quick = {**QUICK, "draws": 20}
    still, once, again = (
        tiny_spec.fit(tiny_table, **quick, **options)
        for options in ({}, {"moves": 3}, {"moves": 3})
    )
    assert once.data_tree["posterior"].equals(again.data_tree["posterior"])
    assert not np.allclose(still.merged["bias"], once.merged["bias"])
    assert "acceptance_rate" not in still.data_tree["sample_stats"]
    assert any("3 Hamiltonian trajectories" in m for m in once.diagnostics().messages)
    assert once.attrs["moves"] == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [({"method": "nuts", "moves": 3}, "method='svi'"), ({"method": "svi", "moves": -1}, "moves")],
)
def test_moves_that_make_no_sense(options, words, tiny_spec, tiny_table):
    with pytest.raises(sb.SpecError, match=words):
        tiny_spec.fit(tiny_table, **options)
