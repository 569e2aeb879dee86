"""The law's equations: cases worked by hand, and numbers against SciPy."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from sloth_bayes.law import equations, likelihood, terms
from sloth_bayes.law.likelihood import StudentT

SHAPES = st.floats(0.2, 5.0)
Z = np.concatenate([np.linspace(-200, 200, 801), np.linspace(-40, 5, 901)])


# -- inputs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "doubled_size", "doubled_tokens", "doubled_both"),
    [
        ("translog", [1, 0, 0], [0, 1, 0], [1, 1, 1]),
        ("loglinear", [1, 0], [0, 1], [1, 1]),
        ("size", [1], [0], [1]),
        ("flops", [1], [1], [2]),
    ],
)
def test_one_unit_of_an_input_is_one_doubling(kind, doubled_size, doubled_tokens, doubled_both):
    centre = np.log([7.0, 2.0])
    size, tokens = np.log([7.0, 14.0, 7.0, 14.0]), np.log([2.0, 2.0, 4.0, 4.0])
    x = equations.raw_inputs(kind, size, tokens, centre, np)
    want = [np.zeros(len(doubled_size)), doubled_size, doubled_tokens, doubled_both]
    np.testing.assert_allclose(x, want, atol=1e-12)
    assert x.shape[-1] == len(equations.INPUTS[kind])


# -- skills and predictor ----------------------------------------------------------------


def test_skills_add_up_by_hand():
    shared = {"slope": np.array([[0.5, 0.0], [0.0, 2.0]]), "instruct": np.array([10.0, 20.0])}
    own = {
        "family_effect": np.array([[1.0, -1.0]]),
        "slope_lineage": np.array([[[0.1, 0.0], [0.0, 0.2]]]),
        "model_effect": np.array([[0.01, 0.02]]),
    }
    who = terms.Effects(np.array([[2.0, 3.0]]), {"instruct": np.array([1.0])}, own)
    theta = terms.skills(shared, who)
    # 1 + 2 * 0.5 + 2 * 0.1 + 10 + 0.01 and -1 + 3 * 2 + 3 * 0.2 + 20 + 0.02
    np.testing.assert_allclose(theta, [[12.21, 25.62]])


def test_skills_broadcast_over_draws():
    rng = np.random.default_rng(0)
    family, slope = rng.normal(size=(7, 4, 2)), rng.normal(size=(7, 3, 2))
    deviation, instruct = rng.normal(size=(7, 4, 3, 2)), rng.normal(size=(7, 2))
    x, tuned = rng.normal(size=(4, 3)), np.array([0.0, 1.0, 1.0, 0.0])
    shared = {"slope": slope, "instruct": instruct}
    own = {"family_effect": family, "slope_lineage": deviation}
    all_draws = terms.skills(shared, terms.Effects(x, {"instruct": tuned}, own))
    for s in range(7):
        who = terms.Effects(x, {"instruct": tuned}, {k: v[s] for k, v in own.items()})
        one = terms.skills({k: v[s] for k, v in shared.items()}, who)
        np.testing.assert_allclose(all_draws[s], one, rtol=1e-12)


def test_predictor_does_not_see_a_rotation_of_the_skills():
    rng = np.random.default_rng(1)
    theta, loading = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    residual = rng.normal(size=(5, 4))
    plain = equations.predictor(theta, loading, residual, np)
    np.testing.assert_allclose(plain[1, 2], theta[1] @ loading[2] + residual[1, 2])
    np.testing.assert_allclose(
        equations.predictor(theta @ rotation, loading @ rotation, residual, np), plain
    )


# -- link --------------------------------------------------------------------------------


def test_logistic_by_hand():
    eta = np.array([0.0, math.log(3), -math.log(3), 40.0, -40.0])
    want = [0.5, 0.75, 0.25, 1.0, 0.0]
    np.testing.assert_allclose(equations.link("logistic", eta, None, np), want, atol=1e-15)


@given(shape=SHAPES)
def test_richards_is_anchored_at_zero_whatever_its_shape(shape):
    h = 1e-5
    low, mid, high = equations.link("richards", np.array([-h, 0.0, h]), shape, np)
    assert mid == pytest.approx(0.5, abs=1e-12)
    # central difference: truncation h^2 and cancellation 1e-16 / h are both below 1e-9
    assert (high - low) / (2 * h) == pytest.approx(0.25, abs=1e-8)


@given(shape=SHAPES)
def test_richards_is_monotone_and_bounded(shape):
    f = equations.link("richards", np.linspace(-50, 50, 401), shape, np)
    assert ((f >= 0) & (f <= 1)).all()
    assert (np.diff(f) >= 0).all()
    inner = equations.link("richards", np.linspace(-3, 3, 101), shape, np)
    assert (np.diff(inner) > 0).all()


def test_richards_of_shape_one_is_logistic():
    eta = np.linspace(-20, 20, 101)
    np.testing.assert_allclose(
        equations.link("richards", eta, 1.0, np),
        equations.link("logistic", eta, None, np),
        atol=1e-15,
    )


def test_expected_score_lies_between_the_asymptotes():
    np.testing.assert_allclose(
        equations.expected(np.array([0, 0.5, 1]), 0.25, 0.95), [0.25, 0.6, 0.95]
    )


def test_noise_by_hand():
    mu, fraction = np.array([0.25, 0.6]), np.array([0.0, 0.5])
    own = likelihood.noise_sd("proportional", mu, fraction, 0.04, 0.5, 0.0, np)
    np.testing.assert_allclose(own, [0.004, 0.04])  # a tenth at the floor, full in the middle
    np.testing.assert_allclose(
        likelihood.noise_sd("constant", mu, fraction, 0.04, 0.5, 0.0, np), 0.04
    )
    both = likelihood.noise_sd("constant", mu, fraction, 0.04, 0.5, 1 / 1000, np)
    np.testing.assert_allclose(both**2, 0.04**2 + 0.5 * mu * (1 - mu) / 1000)


# -- Student-t ---------------------------------------------------------------------------


@pytest.mark.parametrize("df", [*likelihood.STUDENT_T_DF, math.inf])
def test_logpdf_against_scipy(df):
    want = stats.norm.logpdf(Z) if math.isinf(df) else stats.t.logpdf(Z, df)
    np.testing.assert_allclose(likelihood.student_t_logpdf(Z, df, np), want, rtol=1e-10)
    single = likelihood.student_t_logpdf(jnp.asarray(Z, jnp.float32), df, jnp)
    np.testing.assert_allclose(single, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("df", likelihood.STUDENT_T_DF)
def test_logcdf_in_double_precision(df):
    # Twelve terms of the tail's series leave out less than 2e-8
    np.testing.assert_allclose(
        likelihood.student_t_logcdf(Z, df, np), stats.t.logcdf(Z, df), rtol=0, atol=2e-8
    )


@pytest.mark.parametrize("xp", [np, jnp])
@pytest.mark.parametrize("df", likelihood.STUDENT_T_DF)
def test_logcdf_in_single_precision(df, xp):
    z = Z.astype(np.float32)
    got = np.asarray(likelihood.student_t_logcdf(xp.asarray(z), df, xp), float)
    # Worst where the two formulas meet, at df = 10: the centre cancels to four digits
    np.testing.assert_allclose(got, stats.t.logcdf(z.astype(float), df), rtol=0, atol=5e-4)


def test_logcdf_has_gradients_everywhere():
    for df in likelihood.STUDENT_T_DF:
        slope = jax.vmap(jax.grad(lambda z, df=df: likelihood.student_t_logcdf(z, df, jnp)))(
            jnp.asarray(Z, jnp.float32)
        )
        want = np.exp(stats.t.logpdf(Z, df) - stats.t.logcdf(Z, df))
        np.testing.assert_allclose(slope, want, rtol=5e-3, atol=1e-5)


def test_normal_logcdf():
    np.testing.assert_allclose(
        likelihood.student_t_logcdf(np.array([-30.0, 0.0, 3.0]), math.inf, np),
        stats.norm.logcdf([-30.0, 0.0, 3.0]),
    )


# -- likelihood --------------------------------------------------------------------------


@pytest.mark.parametrize("df", [2, 4, math.inf])
@pytest.mark.parametrize(
    ("mu", "sd"), [(0.5, 0.05), (0.3, 0.4), (0.02, 0.03), (0.99, 0.02), (0.0, 0.1)]
)
def test_unrounded_likelihood_is_a_density_with_atoms(mu, sd, df):
    def density(y):
        return np.exp(likelihood.log_likelihood(y, mu, sd, StudentT(df), 0.0, np))

    inside, _ = integrate.quad(density, 1e-8, 1 - 1e-8, points=[mu], limit=200)
    total = inside + density(np.array(0.0)) + density(np.array(1.0))
    assert total == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("steps", [0.02, 0.1, 0.3, 1.0, 5.0])
@pytest.mark.parametrize("df", [4, math.inf])
@pytest.mark.parametrize("mu", [0.3, 0.303, 0.305, 0.02, 0.99])
def test_rounded_likelihood_sums_to_one(mu, df, steps):
    step = 0.01
    grid = np.round(np.arange(101) * step, 10)
    density = np.exp(likelihood.log_likelihood(grid, mu, steps * step, StudentT(df), step, np))
    assert density.sum() * step == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("steps", [0.02, 0.3, 2.0, 50.0])
@pytest.mark.parametrize("df", [4, math.inf])
def test_rounded_cell_is_a_difference_of_the_distribution_function(df, steps):
    step, mu = 0.01, 0.4
    sd = steps * step
    grid = np.round(np.arange(0.3, 0.501, step), 10)
    t = stats.norm if math.isinf(df) else stats.t(df)
    # Each difference on the side where it does not cancel
    low, high = (grid - step / 2 - mu) / sd, (grid + step / 2 - mu) / sd
    exact = np.where(grid < mu, t.cdf(high) - t.cdf(low), t.sf(low) - t.sf(high))
    with np.errstate(divide="ignore"):
        log_exact = np.log(exact) - np.log(step)
    likely = log_exact > -80  # single precision has nothing to say about e^-80
    got = likelihood.log_likelihood(grid, mu, sd, StudentT(df), step, np)
    np.testing.assert_allclose(got[likely], log_exact[likely], rtol=0, atol=1e-6)
    single = likelihood.log_likelihood(
        jnp.asarray(grid, jnp.float32),
        jnp.float32(mu),
        jnp.float32(sd),
        StudentT(df),
        jnp.float32(step),
        jnp,
    )
    # 6e-8 / sd of z is lost in score - mu, at a slope of at most |z| + 1
    slack = 1e-3 + 1e-7 / sd * (np.abs(grid - mu) / sd + 1)
    assert (np.abs(single - log_exact) <= slack)[likely].all()


def test_a_score_at_the_edge_stands_for_everything_beyond():
    step, mu, sd = 0.01, 0.01, 0.02
    law = StudentT(4)
    floor = np.exp(likelihood.log_likelihood(np.array(0.0), mu, sd, law, step, np)) * step
    assert floor == pytest.approx(stats.t.cdf((0.005 - mu) / sd, 4), rel=1e-9)
    ceiling = np.exp(likelihood.log_likelihood(np.array(1.0), 1 - mu, sd, law, step, np)) * step
    assert ceiling == pytest.approx(floor, rel=1e-9)


@settings(deadline=None, max_examples=50)
@given(
    score=st.floats(0, 1),
    mu=st.floats(0.01, 0.99),
    sd=st.floats(0.003, 0.3),
    step=st.sampled_from([0.0, 0.01, 0.001]),
    df=st.sampled_from([2, 4, 10, math.inf]),
)
def test_numpy_and_jax_agree(score, mu, sd, step, df):
    numbers = [np.float32(v) for v in (score, mu, sd)]
    ours = likelihood.log_likelihood(*numbers, StudentT(df), np.float32(step), np)
    theirs = likelihood.log_likelihood(
        *[jnp.float32(v) for v in numbers], StudentT(df), jnp.float32(step), jnp
    )
    assert np.isfinite(ours)
    # single precision: score - mu loses up to 6e-8 / sd of z, times a slope of at most |z| + 1
    slope = 1 + abs(score - mu) / sd
    assert float(theirs) == pytest.approx(float(ours), rel=1e-4, abs=1e-3 * slope)


def test_link_and_inputs_agree_between_numpy_and_jax():
    eta = np.linspace(-30, 30, 61, dtype=np.float32)
    for kind in equations.LINKS:
        ours = equations.link(kind, eta, np.float32(0.7), np)
        # atol: two units in the last place of 1
        np.testing.assert_allclose(
            equations.link(kind, eta, 0.7, jnp), ours, rtol=2e-5, atol=2.4e-7
        )
    size = np.log(np.array([1, 7, 70], np.float32))
    centre = np.log(np.array([7, 2], np.float32))
    for kind in equations.INPUTS:
        ours = equations.raw_inputs(kind, size, size, centre, np)
        np.testing.assert_allclose(
            equations.raw_inputs(kind, size, size, centre, jnp), ours, rtol=1e-5, atol=1e-6
        )


# -- derivatives in closed form ------------------------------------------------------------


def by_differences(function, points):
    """Derivatives of a function of NumPy arrays in each of them, in double precision."""
    out, step = [], 1e-5
    for k, x in enumerate(points):
        ends = [function(*points[:k], x + h, *points[k + 1 :]) for h in (-step, step)]
        out.append((ends[1] - ends[0]) / (2 * step))
    return out


Z_APART = np.array([-300.0, -20, -3, -0.4, -0.01, 0.02, 0.7, 5, 40])


@pytest.mark.parametrize(
    ("function", "points"),
    [
        (lambda z, xp: likelihood.student_t_logcdf(z, 4, xp), (Z_APART,)),
        *(
            (
                lambda z, w, xp: StudentT(4).log_interval(z, w, xp),
                (Z_APART, 0 * Z_APART + w),
            )
            for w in (0.01, 0.3, 1.0, 7.0)
        ),
        *(
            (lambda e, a, xp: equations.link("richards", e, a, xp), (Z_APART / 4, 0 * Z_APART + a))
            for a in (0.3, 1.0, 2.5)
        ),
    ],
)
def test_derivatives_are_those_of_the_values(function, points):
    single = [jnp.asarray(x, jnp.float32) for x in points]
    total = jax.grad(lambda *x: function(*x, jnp).sum(), tuple(range(len(points))))(*single)
    with np.errstate(under="ignore"):
        want = by_differences(lambda *x: function(*x, np), points)
    for mine, numeric in zip(total, want):
        np.testing.assert_allclose(mine, numeric, rtol=2e-4, atol=2e-6)


def test_the_slope_keeps_its_digits_where_a_score_is_as_expected():
    """A narrow interval around z has the slope of the density, -5 z / (4 + z^2)."""
    z = jnp.array([1e-6, -1e-5, 1e-4, 1e-3, 0.02], jnp.float32)
    slope = jax.vmap(jax.grad(lambda z: StudentT(4).log_interval(z, 1e-3, jnp)))(z)
    np.testing.assert_allclose(slope, -5 * z / (4 + z**2), rtol=5e-6)


def test_rounded_and_unrounded_scores_share_one_formula():
    """The value of a score that is not rounded does not depend on whether another is."""
    score, mu = np.array([0.3, 0.31, 0.9], "f4"), np.float32(0.31)
    for df in (4, 10):
        at = (jnp.asarray(score), mu, np.float32(0.02), StudentT(df), jnp.zeros(3), jnp)
        alone, beside = (
            likelihood.log_likelihood(*at, rounded=rounded) for rounded in (False, True)
        )
        np.testing.assert_allclose(beside, alone, rtol=2e-6)


@pytest.mark.parametrize("df", [2, 4, 5, math.inf])
def test_quantiles_of_a_mixture_against_scipy(df):
    rng = np.random.default_rng(0)
    mu, sd = rng.beta(2, 5, (3, 40)), rng.uniform(0.001, 0.1, (3, 40))
    mu[2] = np.repeat([0.1, 0.9], [3, 37])  # two far apart, and the quantile between them
    levels = [0.01, 0.075, 0.5, 0.99]
    found = likelihood.mixture_quantiles(mu, sd, StudentT(df), levels)
    assert found.shape == (4, 3)
    of = stats.norm if math.isinf(df) else stats.t(df)
    want = [
        [
            optimize.brentq(lambda x: of.cdf((x - m) / s).mean() - level, -9, 9)  # noqa: B023
            for m, s in zip(mu, sd)
        ]
        for level in levels
    ]
    np.testing.assert_allclose(found, want, atol=2e-5)
    single = [array.astype(np.float32) for array in (mu, sd)]
    again = likelihood.mixture_quantiles(*single, StudentT(df), levels)
    np.testing.assert_allclose(again, found, atol=2e-4)
