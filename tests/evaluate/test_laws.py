"""Laws compared on the same hidden scores, and stacked by distance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import sloth_bayes as sb
from sloth_bayes.evaluate import laws


def evaluation(log_scores, families=None, folds=None, doublings=None, **more) -> sb.Evaluation:
    n = len(log_scores)
    frame = pd.DataFrame(
        {
            "setting": "s",
            "n_observed": 1,
            "fold": folds if folds is not None else ["2024-03"] * n,
            "model": [f"m{i}" for i in range(n)],
            "family": families if families is not None else [f"f{i}" for i in range(n)],
            "benchmark": "B",
            "log_score": log_scores,
            "error": 0.02,
            "crps": 0.01,
            "interval_score": 0.2,
            "covered_90": 0.5,
            "width_90": 0.1,
            "doublings": doublings if doublings is not None else 1.0,
        }
    )
    return sb.Evaluation(frame.assign(**more), frame.iloc[:0], {})


def test_a_difference_worked_by_hand():
    """Two families of two scores: differences 1 and 3, mean 2; each family is 1 off, halved."""
    families = ["x", "x", "y", "y"]
    table = sb.compare_laws(
        {
            "worse": evaluation([0.0, 0.0, 0.0, 0.0], families, converged=[1, 1, 0, 0]),
            "better": evaluation([1.0, 1.0, 3.0, 3.0], families, r_hat=[1.0, 1.1, 1.0, 1.0]),
        }
    )
    assert table.index.tolist() == ["better", "worse"]
    assert table.loc["worse", "difference"] == pytest.approx(-2)
    assert table.loc["worse", "se"] == pytest.approx(np.sqrt(2 * (0.5**2 + 0.5**2)))
    assert table.loc["better", ["difference", "se"]].tolist() == [0, 0]
    assert table.loc["worse", "not_converged"] == 1
    assert table.loc["better", "r_hat"] == 1.1
    assert table.loc["better", ["mae", "crps", "width_90"]].tolist() == pytest.approx([2, 1, 10])


def test_every_fold_counts_once():
    one = evaluation([0.0, 0.0, 0.0, 4.0], folds=["a", "a", "a", "b"])
    table = sb.compare_laws({"one": one, "same": one})
    assert table["log_score"].tolist() == pytest.approx([2.0, 2.0])


def test_the_order_of_rows_does_not_matter():
    rng = np.random.default_rng(0)
    one, other = (evaluation(rng.normal(size=30)) for _ in range(2))
    shuffled = sb.Evaluation(other.frame.sample(frac=1, random_state=0), other.means, {})
    pd.testing.assert_frame_equal(
        sb.compare_laws({"a": one, "b": other}), sb.compare_laws({"a": one, "b": shuffled})
    )


@pytest.mark.parametrize(
    ("found", "error", "said"),
    [
        ({"a": evaluation([1.0])}, sb.SpecError, "at least two laws"),
        ([evaluation([1.0])] * 2, sb.SpecError, "by name"),
        ({"a": evaluation([1.0]), "b": 3}, sb.DataError, "not both"),
        ({"a": evaluation([1.0]), "b": evaluation([1.0, 2.0])}, sb.DataError, "same cells"),
        ({"a": evaluation([1.0]), "b": evaluation([np.nan])}, sb.DataError, "of b have no log sc"),
        ({"a": evaluation([1.0]), "b": evaluation([-np.inf])}, sb.DataError, "b gives no chance"),
        ({1: evaluation([1.0]), "1": evaluation([1.0]), "2": 3}, sb.SpecError, "the same name"),
        ({"a": evaluation([]), "b": evaluation([])}, sb.DataError, "a has no scores"),
        (
            {"a": evaluation([1.0, 2.0]), "b": evaluation([1.0, 2.0], model="m0")},
            sb.DataError,
            "b scores cells twice",
        ),
        (
            {"a": evaluation([1.0]), "b": sb.Evaluation(pd.DataFrame({"fold": [1]}), None, {})},
            sb.DataError,
            "b has no column 'setting'",
        ),
    ],
)
def test_what_cannot_be_compared(found, error, said):
    for answer in (sb.compare_laws, sb.stack):
        with pytest.raises(error, match=said):
            answer(found)


def crossing(n: int = 400) -> dict[str, sb.Evaluation]:
    """One law is right near, the other far."""
    rng = np.random.default_rng(1)
    d = rng.uniform(0, 8, n)
    families = [f"f{i % 40}" for i in range(n)]
    near = np.where(d < 3, 1.0, -2.0) + 0.3 * rng.normal(size=n)
    return {
        "near": evaluation(near, families, doublings=d),
        "far": evaluation(-1 - near, families, doublings=d),
    }


def test_weights_follow_the_distance():
    stacked = sb.stack(crossing())
    weights = stacked.weights([0, 8, np.nan, 100])
    assert weights["near"].iloc[0] > 0.85
    assert weights["far"].iloc[1] > 0.85
    assert weights["far"].iloc[2] == weights["far"].iloc[3] >= weights["far"].iloc[1]
    assert weights.sum(axis=1).to_numpy() == pytest.approx(1)
    assert stacked.gain > 5 * stacked.se > 0


def test_a_law_and_its_twin_gain_nothing():
    found = crossing()
    stacked = sb.stack({"one": found["near"], "twin": found["near"]})
    assert stacked.weights([0, 5])["one"].to_numpy() == pytest.approx(0.5)
    assert stacked.gain == pytest.approx(0, abs=1e-9)


def test_the_mode_is_one():
    """No step from it makes the stacked log score, scores weighed as they are, better."""
    rng = np.random.default_rng(2)
    scores, d = rng.normal(size=(50, 3)), rng.uniform(0, 5, 50)
    x, weight = laws._inputs(d), rng.uniform(0.5, 2, 50)
    weight *= 50 / weight.sum()

    def value(b):
        logs = x @ b.T
        logs = logs - np.log(np.exp(logs).sum(1, keepdims=True))
        return weight @ np.log(np.exp(scores + logs).sum(1)) - 0.5 * (b**2).sum()

    best = laws._fitted(scores, x, weight)
    for step in np.eye(6).reshape(6, 3, 2) * 1e-2:
        assert value(best) > value(best + step)
        assert value(best) > value(best - step)


class Told:
    """A forecast of one score, at a distance."""

    def __init__(self, centre: float, doublings: float, model: str = "m") -> None:
        self.frame = pd.DataFrame({"model": [model], "benchmark": "B", "doublings": doublings})
        draws = centre + 0.001 * np.random.default_rng(0).normal(size=(2, 500, 1, 1))
        self.draws = xr.Dataset({"score": (("chain", "draw", "model", "benchmark"), draws)})


def test_a_mixture_has_each_law_in_its_share():
    stacked = sb.stack(crossing())
    row = stacked.summary({"near": Told(0.2, 2.0), "far": Told(0.8, 2.0)}).iloc[0]
    share = stacked.weights(2.0)["far"].iloc[0]
    assert row["mean"] == pytest.approx(0.2 + 0.6 * share, abs=2e-3)
    assert row["lower"] == pytest.approx(0.2, abs=0.01)
    assert row["upper"] == pytest.approx(0.8, abs=0.01)
    with pytest.raises(sb.DataError, match="near, far"):
        stacked.summary({"near": Told(0.2, 2.0)})
    with pytest.raises(sb.DataError, match="same candidates"):
        stacked.summary({"near": Told(0.2, 2.0), "far": Told(0.8, 2.0, "other")})
    with pytest.raises(sb.DataError, match="how far"):
        stacked.summary({"near": Told(0.2, 2.0), "far": Told(0.8, 5.0)})
    with pytest.raises(sb.DataError, match="give forecasts"):
        stacked.summary({"near": 1, "far": 2})
    for odd in ("x", {}, [[1.0]]):
        with pytest.raises(sb.DataError, match="doublings must be"):
            stacked.weights(odd)
    with pytest.raises(sb.UnknownNameError, match="forecast"):
        stacked.summary({"near": Told(0.2, 2.0), "far": Told(0.8, 2.0)}, of="skill")


def test_an_evaluation_without_distances_cannot_be_stacked():
    one = evaluation([1.0, 2.0])
    bare = sb.Evaluation(one.frame.drop(columns="doublings"), one.means, {})
    with pytest.raises(sb.DataError, match="run them again"):
        sb.stack({"a": bare, "b": bare})


@pytest.mark.long
def test_posteriors_are_compared_by_leave_one_out(tiny_posterior, tiny_svi):
    table = sb.compare_laws({"nuts": tiny_posterior, "svi": tiny_svi})
    assert set(table.index) == {"nuts", "svi"}
    assert table["elpd"].is_monotonic_decreasing
    shipped = sb.load("leaderboard").slim(20)
    with pytest.raises(sb.DataError, match="more draws"):
        sb.compare_laws({"a": shipped, "b": shipped})
    with pytest.raises(sb.DataError, match="not of the same table"):
        sb.compare_laws({"tiny": tiny_posterior, "shipped": sb.load("leaderboard")})
    with pytest.raises(sb.DataError, match="not of posteriors"):
        sb.stack({"nuts": tiny_posterior, "svi": tiny_svi})
