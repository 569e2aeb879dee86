"""Models known by the loss that size and tokens predict: the coordinate, and a law of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import sloth_bayes as sb
from sloth_bayes.law import terms
from sloth_bayes.law.equations import LOSS, raw_inputs
from sloth_bayes.plan.curves import goal_of, values, who_of
from sloth_bayes.posterior.log_prior import log_prior
from sloth_bayes.predict.new_effects import effects_of

SPEC = sb.Sloth(n_skills=1, inputs="loss", link="logistic", intercept="family", instruct="none")
CENTRE = np.log([1.0, 0.1])
SHAPE = {"size_exponent": 0.4, "tokens_exponent": 0.25, "balance": 50.0}


def compute(size, tokens, centre=CENTRE, values=SHAPE):
    return raw_inputs("loss", np.log(size), np.log(tokens), centre, np, values=values)[..., 0]


def best(budget, values=SHAPE, centre=CENTRE):
    """The best size of doublings of compute from the reference, by the formula."""
    a, b = values["size_exponent"], values["tokens_exponent"]
    off = 0.5 * np.log2(values["balance"] / (1e3 * np.exp(centre[1] - centre[0])))
    return np.exp(centre[0]) * 2 ** (b * budget / (a + b) - off)


@pytest.mark.parametrize("budget", [-6.0, 0.0, 7.0])
def test_on_the_best_sizes_it_counts_compute_and_off_them_less(budget):
    size = best(budget) * 2.0 ** np.arange(-3, 4)
    found = compute(size, 0.1 * 2**budget / size)
    assert found[3] == pytest.approx(budget, abs=1e-9)
    assert (np.diff(found[:4]) > 0).all()
    assert (np.diff(found[3:]) < 0).all()


def test_the_balance_is_the_best_ratio_at_the_reference_wherever_that_is():
    for centre in (CENTRE, np.log([0.1, 0.02])):
        size = best(0.0, centre=centre)
        total = np.exp(centre.sum())
        assert 1e3 * total / size / size == pytest.approx(SHAPE["balance"])


def test_it_is_the_loss_of_hoffmann_et_al():
    """A monotone function of ``A / N^a + B / D^b``, whose values order as theirs."""
    size, tokens = np.exp(np.random.default_rng(0).normal(0, 2, (2, 50)))
    a, b = SHAPE["size_exponent"], SHAPE["tokens_exponent"]
    # A / B from the best size of one budget, where a A / N^a = b B / D^b
    n = best(0.0)
    d = 0.1 / n
    loss = b / a * n**a / size**a + d**b / tokens**b
    assert (np.argsort(-loss) == np.argsort(compute(size, tokens))).all()
    slope = np.diff(compute(size, tokens)) / np.diff(np.log2(loss))
    np.testing.assert_allclose(slope, -(a + b) / (a * b))


def test_without_end_of_one_the_other_alone_counts():
    sizes = np.array([1.0, 2.0])
    a, b = SHAPE["size_exponent"], SHAPE["tokens_exponent"]
    assert np.diff(compute(sizes, 1e12))[0] == pytest.approx(1 + a / b, rel=1e-3)
    assert np.diff(compute(1e12, 0.1 * sizes))[0] == pytest.approx(1 + b / a, rel=1e-3)


def grid() -> pd.DataFrame:
    size, tokens = (
        a.ravel() for a in np.meshgrid([0.05, 0.1, 0.2, 0.4, 0.8], [0.002, 0.008, 0.03, 0.12])
    )
    rows = pd.DataFrame({"params_b": size, "tokens_t": tokens, "family": "one"})
    return rows.assign(model=[f"m{i:02}" for i in range(len(rows))], lineage="one")


def table(effect: float, values: dict) -> sb.Leaderboard:
    frame = grid()
    centre = np.log(frame[["params_b", "tokens_t"]]).mean().to_numpy()
    x = compute(frame["params_b"], frame["tokens_t"], centre, values)
    names = ["A", "B", "C"]
    for name, level in zip(names, (-0.5, 0.0, 0.5)):
        frame[name] = 1 / (1 + np.exp(-effect * x - level))
    marks = [sb.Benchmark(name, chance=0.0, n_questions=5000) for name in names]
    return sb.Leaderboard.from_frame(frame, marks)


@pytest.fixture(scope="module")
def prior() -> sb.Posterior:
    return SPEC.prior(table(0.3, LOSS), draws=300, seed=1)


def test_every_draw_has_its_own_coordinate(prior):
    v = prior.merged
    rows = grid().iloc[:3].assign(model=["x", "y", "z"], instruct=0.0)
    who = effects_of(prior, rows, 1)
    centre = prior.constant("centre")
    want = compute(
        rows["params_b"].to_numpy(), rows["tokens_t"].to_numpy(), centre,
        {name: v[name] for name in LOSS},
    )  # fmt: skip
    np.testing.assert_allclose(who.inputs[..., 0], want, atol=2e-4)
    known = prior.known_effects()
    again = effects_of(prior, prior_rows(prior), 1)
    np.testing.assert_allclose(known.inputs, again.inputs, atol=2e-4)
    np.testing.assert_allclose(terms.skills(v, known), terms.skills(v, again), atol=2e-3)


def prior_rows(prior) -> pd.DataFrame:
    return grid().assign(instruct=0.0).sort_values("model").reset_index(drop=True)


def test_the_prior_is_around_what_was_published(prior):
    v = prior.merged
    assert np.median(v["balance"]) == pytest.approx(20, rel=0.15)
    assert np.log(v["size_exponent"]).std() == pytest.approx(0.3, rel=0.15)


def test_its_prior_has_its_density(prior):
    found = log_prior(prior)
    for name, sd in (("size_exponent", 0.3), ("tokens_exponent", 0.3), ("balance", np.log(2))):
        density = found[name].values.ravel()
        wanted = -stats.lognorm(sd, scale=LOSS[name]).entropy()
        assert abs(density.mean() - wanted) < 5 * density.std() / density.size**0.5, name


def test_skills_read_it_draw_by_draw(prior):
    found = prior.skills(draws=50)
    steps = found.elasticities(params_b=[0.1, 0.4], tokens_t=0.03)
    assert len(steps) == 4
    surface = found.surface([0.1, 0.2], [0.03, 0.06])
    both = surface.sel(tokens_t=0.03).diff("params_b").mean().item()
    one = found.elasticities(params_b=0.1, tokens_t=0.03)
    assert both == pytest.approx(one.loc[one["of"] == "size", "mean"].item(), abs=1e-6)


@pytest.mark.slow
def test_a_law_of_it_is_recovered_and_finds_the_best_size():
    data = table(0.25, SHAPE)
    post = SPEC.fit(data, chains=2, draws=400, warmup=400, seed=2)
    v = post.merged
    for name, truth in SHAPE.items():
        low, high = np.quantile(v[name], [0.005, 0.995])
        assert low < truth < high, name
    assert v["balance"].std() < 15  # the prior's: 17
    budget = 6e21 * 0.2 * 0.015
    goals = ("average", "B")
    found = post.optimal_allocation(budget, list(goals), family="one").frame
    centre = post.constant("centre")
    want = best(np.log2(0.2 * 0.015) - centre.sum() / np.log(2), centre=centre)
    for row in found.itertuples():
        assert row.size_lower < want < row.size_upper
    assert np.allclose(found["size_median"], want, rtol=0.35)


def test_values_of_a_plan_are_those_of_a_forecast(prior):
    who = who_of(prior, "one")
    found = values(prior, who, np.array([0.1, 0.3]), np.array([0.01, 0.05]), goal_of(prior, "A"))
    rows = sb.candidates("one", [0.1, 0.3], [0.01, 0.05], model=["p", "q"])
    forecast = prior.forecast(rows, benchmarks=["A"]).draws["expected"]
    each = forecast.stack(s=("chain", "draw")).transpose("s", ...).values[..., 0]
    np.testing.assert_allclose(found.mean(0), each.mean(0), atol=2e-3)


@pytest.mark.slow
def test_conditioning_goes_through_each_draws_own_coordinate(prior):
    mine = pd.DataFrame(
        {"model": ["a", "b"], "family": "mine", "params_b": [0.1, 0.8], "tokens_t": [0.01, 0.1],
         "A": [0.3, 0.5], "B": [0.4, 0.6]}
    )  # fmt: skip
    post = prior.condition(mine, seed=4, reweight=False)
    table = post.forecast(mine[["model", "family", "params_b", "tokens_t"]]).frame
    off = table.set_index(["model", "benchmark"])["median"]
    for row in mine.itertuples():
        assert off[row.model, "A"] == pytest.approx(row.A, abs=0.15)
