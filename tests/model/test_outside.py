"""The model seen from outside: what NumPyro's own tools make of it, against what we do."""

from __future__ import annotations

from typing import Any

import arviz_stats
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from numpyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO, log_likelihood
from numpyro.infer.autoguide import AutoNormal
from numpyro.infer.inspect import get_model_relations
from numpyro.optim import Adam

import sloth_bayes as sb
from sloth_bayes.law import likelihood
from sloth_bayes.model import loadings, scores

SPEC = sb.Sloth(n_skills=1, link="logistic")


@pytest.fixture(scope="module")
def table() -> sb.Leaderboard:
    """Scores drawn from the model itself: three lineages of two families, three benchmarks."""
    rng = np.random.default_rng(1)
    rows = [
        {
            "model": f"{lineage}{family}-{size}b", "family": f"{lineage}{family}",
            "lineage": lineage, "instruct": family == "-chat", "params_b": size, "tokens_t": 2.0,
            **dict.fromkeys(("A", "B", "C"), 0.5),
        }
        for lineage in ("ash", "elm", "fir") for family in ("", "-chat") for size in (1, 4, 16)
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    benchmarks = [sb.Benchmark(name, chance=0.25, n_questions=500) for name in "ABC"]
    blank = sb.Leaderboard.from_frame(frame, benchmarks=benchmarks)
    model, (arrays, _) = SPEC.model(blank)
    drawn = Predictive(model, num_samples=1)(jax.random.PRNGKey(7), arrays)["score"][0]
    frame[list("ABC")] = np.asarray(drawn, float).reshape(len(frame), 3)
    frame.loc[rng.choice(len(frame), 4, replace=False), "C"] = np.nan
    return sb.Leaderboard.from_frame(frame, benchmarks=benchmarks)


def parameters(found: dict[str, Any]) -> dict[str, Any]:
    follow = ("score", "theta", "eta", "mu")
    return {name: value for name, value in found.items() if name not in follow}


@pytest.mark.slow
def test_the_graph_of_the_model_can_be_read(table):
    model, arguments = SPEC.model(table)
    relations = get_model_relations(model, arguments)
    assert relations["observed"] == ["score"]
    parents = relations["sample_sample"]
    assert {"family_raw", "slope_raw", "instruct_raw"} == set(parents["theta"])
    assert {"theta", "residual_raw", "level_raw"} < set(parents["eta"])
    assert {"mu", "noise_raw", "sampling_fraction"} < set(parents["score"])
    assert relations["plate_sample"]["observation"] == ["score"]
    assert "level_raw" in relations["plate_sample"]["benchmark"]


@pytest.mark.slow
def test_predictive_draws_from_the_prior_and_given_parameters(table):
    model, (arrays, score) = SPEC.model(table)
    prior = Predictive(model, num_samples=50)(jax.random.PRNGKey(0), arrays)
    drawn = np.asarray(prior["score"])
    assert drawn.shape == (50, len(score))
    assert ((drawn >= 0) & (drawn <= 1)).all()
    assert drawn.std() > 0.1
    again = Predictive(model, posterior_samples=parameters(prior))(jax.random.PRNGKey(1), arrays)
    assert again["score"].shape == drawn.shape
    # scores of one draw of the parameters are alike, of two draws they are not
    same = np.abs(np.asarray(again["score"]) - drawn).mean()
    assert same < 0.5 * np.abs(np.roll(drawn, 1, 0) - drawn).mean()


@pytest.mark.slow
def test_log_likelihoods_are_ours(table):
    model, (arrays, score) = SPEC.model(table)
    sites = parameters(Predictive(model, num_samples=5)(jax.random.PRNGKey(0), arrays))
    found = log_likelihood(model, sites, arrays, score)["score"]
    assert found.shape == (5, len(score))
    n = loadings.sizes(SPEC, arrays)
    seen = np.asarray(arrays.observed) > 0
    for k in range(5):
        one = {name: value[k] for name, value in sites.items()}
        mu, sd = (np.asarray(a, float)[seen] for a in scores.draw_cells(SPEC, n, arrays, one))
        want = likelihood.log_likelihood(
            np.asarray(score, float), mu, sd, SPEC.observation, 0.0, np
        )
        np.testing.assert_allclose(found[k], want, rtol=2e-4, atol=2e-3)


@pytest.mark.slow
def test_the_elbo_of_a_plain_guide_rises(table):
    model, arguments = SPEC.model(table)
    svi = SVI(model, AutoNormal(model), Adam(0.02), Trace_ELBO())
    losses = svi.run(jax.random.PRNGKey(0), 400, *arguments, progress_bar=False).losses
    assert np.isfinite(losses).all()
    assert losses[-50:].mean() < losses[:50].mean() - 50


@pytest.mark.slow
def test_plain_nuts_agrees_with_our_fit(table):
    """Expected scores and scales, within four Monte Carlo errors."""
    ours = SPEC.fit(table, chains=4, draws=750, warmup=500, progress=False)
    model, arguments = SPEC.model(table)
    mcmc = MCMC(
        NUTS(model, target_accept_prob=0.9), num_warmup=800, num_samples=750, num_chains=4,
        chain_method="vectorized", progress_bar=False,
    )  # fmt: skip
    mcmc.run(jax.random.PRNGKey(3), *arguments)
    arrays, n = arguments[0], loadings.sizes(SPEC, arguments[0])

    @jax.jit
    @jax.vmap
    @jax.vmap
    def named(sites: dict[str, Any]) -> dict[str, Any]:
        values = scores.draw_values(SPEC, n, arrays, sites)
        expected = scores.draw_cells(SPEC, n, arrays, sites)[0]
        cells = jnp.asarray(np.flatnonzero(np.asarray(arrays.observed)))
        names = ("noise_scale", "residual_scale", "upper", "sampling_fraction")
        return {"expected": expected.ravel()[cells], **{k: values[k] for k in names}}

    theirs = {
        k: np.asarray(v, float) for k, v in named(mcmc.get_samples(group_by_chain=True)).items()
    }
    v = ours.tree["posterior"].to_dataset()
    mine = {k: v[k].values.astype(float) for k in theirs if k != "expected"}
    mine["expected"] = ours.expected_scores().values.astype(float)
    for name, draws in theirs.items():
        flat = [a.reshape(4, a.shape[1], -1) for a in (draws, mine[name])]
        error = [
            np.array([float(arviz_stats.mcse(a[:, :, i])) for i in range(a.shape[-1])])
            for a in flat
        ]
        away = (flat[0].mean((0, 1)) - flat[1].mean((0, 1))) / np.hypot(*error)
        assert np.abs(away).max() < 4.5, name
