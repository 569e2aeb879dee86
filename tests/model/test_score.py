"""The distribution of a score: its density against SciPy, its draws, its mean."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sloth_bayes.law.likelihood import LIKELIHOODS, STUDENT_T_DF, StudentT
from sloth_bayes.model.distributions import Score

DF = st.sampled_from([*STUDENT_T_DF, math.inf])
MU, SD = st.floats(-0.1, 1.1), st.floats(0.01, 0.5)


@functools.partial(jax.jit, static_argnums=0)
def log_prob(observation: StudentT, mu, sd, step, y):
    return Score(observation, mu, sd, step).log_prob(y)


def exact(df: float):
    return stats.norm if math.isinf(df) else stats.t(df)


@pytest.mark.long
@settings(deadline=None, max_examples=40)
@given(df=DF, mu=MU, sd=SD, y=st.floats(0.001, 0.999))
def test_inside_the_density_is_scipys_and_the_ends_hold_the_rest(df, mu, sd, y):
    truth = exact(df)
    inside, *ends = np.asarray(log_prob(StudentT(df), mu, sd, 0.0, np.float32([y, 0, 1])))
    assert inside == pytest.approx(truth.logpdf((y - mu) / sd) - math.log(sd), abs=2e-3)
    want = [truth.cdf(-mu / sd), truth.sf((1 - mu) / sd)]
    np.testing.assert_allclose(np.exp(ends), want, rtol=2e-3, atol=1e-6)


@pytest.mark.long
@settings(deadline=None, max_examples=40)
@given(df=DF, mu=MU, sd=SD, step=st.sampled_from([0.01, 0.05, 0.1]))
def test_probabilities_of_a_rounded_score_sum_to_one(df, mu, sd, step):
    grid = np.minimum(np.arange(101) * step, 1.0)  # of one length, the rest being the end
    found = np.exp(np.asarray(log_prob(StudentT(df), mu, sd, step, grid.astype("f4"))))
    assert found[: round(1 / step) + 1].sum() * step == pytest.approx(1, abs=1e-3)


@pytest.mark.long
@pytest.mark.parametrize("df", [2, 4, math.inf])
@pytest.mark.parametrize("step", [0.0, 0.01])
def test_draws_have_the_mean_and_the_probabilities(df, step):
    mu, sd, n = jnp.array([0.02, 0.4, 0.97]), jnp.array([0.05, 0.1, 0.05]), 40_000
    law = Score(StudentT(df), mu, sd, step)
    y = np.asarray(law.sample(jax.random.PRNGKey(0), (n,)), float)
    assert y.shape == (n, 3)
    assert bool(law.support(y).all())
    np.testing.assert_allclose(y.mean(0), law.mean, atol=5 * (y.std(0) / math.sqrt(n)).max())
    for end in (0.0, 1.0):
        p = np.exp(np.asarray(law.log_prob(jnp.full(3, end)))) * (step or 1)
        found = (y == end).mean(0)
        np.testing.assert_allclose(found, p, atol=5 * np.sqrt(p * (1 - p) / n).max() + 1e-4)
    if step:
        np.testing.assert_allclose(y / step, np.round(y / step), atol=1e-3)


@pytest.mark.parametrize("name", list(LIKELIHOODS))
def test_what_a_law_of_scores_has_to_pass(name):
    """Its parts are of one law: density, distribution function, its integral and its draws."""
    law = LIKELIHOODS[name](4.0)
    z = np.linspace(-6, 6, 2001)
    step = z[1] - z[0]
    density, cdf = np.exp(law.log_density(z, np)), np.exp(law.log_cdf(z, np))
    np.testing.assert_allclose(np.gradient(cdf, step)[1:-1], density[1:-1], atol=1e-4)
    integral = law.cdf_integral(z, np)
    np.testing.assert_allclose(np.gradient(integral, step)[1:-1], cdf[1:-1], atol=1e-4)
    np.testing.assert_allclose(
        np.exp(law.log_interval(z, 0.01, np)),
        np.exp(law.log_cdf(z + 0.01, np)) - np.exp(law.log_cdf(z - 0.01, np)),
        atol=1e-6,
    )
    for draws in (
        law.draw(np.random.default_rng(0), (20_000,)),
        np.asarray(law.sample(jax.random.PRNGKey(0), (20_000,))),
    ):
        test = stats.kstest(draws, lambda x: np.exp(law.log_cdf(np.asarray(x, float), np)))
        assert test.pvalue > 1e-3
    score = -np.gradient(law.log_density(z, np), step)
    tails = 2 * cdf[0]  # beyond the grid little is told
    assert (score**2 * density).sum() * step == pytest.approx(law.information, abs=0.02 + tails)
