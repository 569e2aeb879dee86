"""The generative model: priors in the units they promise, and coordinates that do not matter."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import sloth_bayes as sb
from sloth_bayes.api import Posterior
from sloth_bayes.infer import fit as inference
from sloth_bayes.model import distributions, loadings
from tests.conftest import NAMES, layout, leaderboard


def draws_of(post: Posterior, name: str) -> np.ndarray:
    """Draws of one variable, chains one after another."""
    values = post.data_tree["posterior"][name].values
    return values.reshape(-1, *values.shape[2:])


def known(post: Posterior, table: sb.Leaderboard) -> np.ndarray:
    """Expected scores (draws, models, benchmarks) of the models in the table."""
    values = post.forecast(table.frame).draws["expected"].values
    return values.reshape(-1, *values.shape[2:])


# -- prior predictive --------------------------------------------------------------------


def test_prior_scores_are_scores(tiny_prior, tiny_table):
    tree = tiny_prior.data_tree
    score = tree["posterior_predictive"]["score"].values
    assert ((score >= 0) & (score <= 1)).all()
    expected = known(tiny_prior, tiny_table)
    chance = np.array([b.chance for b in tiny_table.benchmarks])
    assert ((expected > 0) & (expected < 1)).all()
    # the floor lies within five prior standard deviations of chance
    assert (expected.min((0, 1)) > chance - 5 * tiny_prior.spec.priors.lower).all()
    # an untaught prior neither fixes a score nor sends every score to the edges
    middle = (expected > 0.1) & (expected < 0.9)
    assert (expected.std(0) > 0.1).all()
    assert middle.mean() > 0.5


def test_rounded_benchmarks_are_rounded_in_prior_predictions(tiny_prior):
    score = tiny_prior.data_tree["posterior_predictive"]["score"]
    code = score.values[..., score["obs_benchmark"].values == "Code"]
    np.testing.assert_allclose(code, np.round(code, 2), atol=1e-6)
    other = score.values[..., score["obs_benchmark"].values == "Facts"]
    assert np.abs(other - np.round(other, 2)).max() > 0.004


def _spread(values: np.ndarray) -> tuple[float, float]:
    """Standard deviation around 0 and its Monte Carlo error, over draws and all else.

    Draws are independent, the columns of a draw need not be: the error is that of the mean of
    squares over draws.
    """
    squares = (values.reshape(len(values), -1) ** 2).mean(1)
    sd = np.sqrt(squares.mean())
    return float(sd), float(squares.std() / np.sqrt(len(squares)) / (2 * sd))


def test_a_doubling_moves_a_skill_by_the_stated_amount(tiny_prior):
    slope, p = draws_of(tiny_prior, "slope"), tiny_prior.spec.priors
    for column, stated in enumerate((p.doubling, p.doubling, p.interaction)):
        sd, error = _spread(slope[:, column])
        assert abs(sd - stated) < 5 * error


def test_family_effects_have_the_unit_that_defines_a_skill(tiny_prior):
    sd, error = _spread(draws_of(tiny_prior, "family_effect"))
    assert abs(sd - tiny_prior.spec.priors.family) < 5 * error
    sd, error = _spread(draws_of(tiny_prior, "instruct"))
    assert abs(sd - tiny_prior.spec.priors.instruct) < 5 * error


def test_families_of_a_lineage_share_what_the_prior_says(tiny_prior):
    family = tiny_prior.families
    effect = draws_of(tiny_prior, "family_effect")
    share = draws_of(tiny_prior, "lineage_share")

    def product(a: str, b: str) -> np.ndarray:
        return (effect[:, family.index(a)] * effect[:, family.index(b)]).mean(-1)

    same, other = product("cedar", "cedar-chat"), product("cedar", "alder")
    want = share.mean()
    assert abs(share.mean() - tiny_prior.spec.priors.lineage_share) < 5 * share.std() / np.sqrt(
        4000
    )
    assert abs(same.mean() - want) < 5 * same.std() / np.sqrt(len(same))
    assert abs(other.mean()) < 5 * other.std() / np.sqrt(len(other))


# -- rotation ----------------------------------------------------------------------------


def test_rotating_skills_and_loadings_leaves_every_known_model_alone(tiny_posterior, tiny_table):
    tree = tiny_posterior.tree.copy(deep=True)
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(2, 2)))
    data = tree["posterior"].to_dataset()
    for name, array in data.data_vars.items():
        if array.dims[-1] == "skill":
            tree["posterior"][name] = array.copy(data=(array.values @ rotation).astype("f4"))
    rotated = known(Posterior(tree, tiny_posterior.spec), tiny_table)
    assert not np.allclose(tree["posterior"]["slope"], data["slope"])
    # single precision, through a link and a sum of a dozen terms
    np.testing.assert_allclose(rotated, known(tiny_posterior, tiny_table), atol=2e-5)


@pytest.fixture(scope="module")
def turned_prior(tiny_spec, tiny_table) -> Posterior:
    """The prior once more, in other coordinates of the skills and of residuals."""
    rng = np.random.default_rng(4)
    anchor, _ = np.linalg.qr(rng.normal(size=(len(NAMES), len(NAMES))))
    plain = inference.design_of

    def design_of(spec, data):
        laid_out = plain(spec, data)
        told = np.array([0.0, 1.0, 50.0, 1e4], "f4")
        arrays = laid_out.arrays._replace(anchor=anchor.astype("f4"), information=told)
        return dataclasses.replace(laid_out, arrays=arrays)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference, "design_of", design_of)
        return tiny_spec.prior(tiny_table, draws=4000, seed=21)


def test_the_prior_of_loadings_does_not_depend_on_the_anchor(tiny_prior, turned_prior):
    """Entries of loading loading' have the moments of a Wishart matrix in either system."""
    scale, skills = tiny_prior.spec.priors.loading, 2
    for post in (tiny_prior, turned_prior):
        loading = draws_of(post, "loading")
        gram = loading @ loading.transpose(0, 2, 1) / scale**2
        mean_error = gram.std(0) / np.sqrt(len(gram))
        # 10 entries, twice: 5 standard errors are exceeded by chance once in 10^5 runs
        assert (np.abs(gram.mean(0) - skills * np.eye(4)) < 5 * mean_error).all()
        squares = (gram - skills * np.eye(4)) ** 2
        variance = skills * (1 + np.eye(4))  # Wishart: n (1 + [i = j])
        error = squares.std(0) / np.sqrt(len(squares))
        assert (np.abs(squares.mean(0) - variance) < 5 * error).all()


def test_prior_predictions_do_not_depend_on_the_anchor(tiny_prior, turned_prior, tiny_table):
    a, b = (known(post, tiny_table) for post in (tiny_prior, turned_prior))
    for power in (1, 2):
        x, y = a**power, b**power
        error = np.sqrt(x.var(0) / len(x) + y.var(0) / len(y))
        assert (np.abs(x.mean(0) - y.mean(0)) < 5 * error).all()


# -- tables that must not matter ---------------------------------------------------------


def test_prior_of_a_table_without_usable_rows_is_refused():
    rows = layout().assign(tokens_t=np.nan)
    data = leaderboard(np.full((len(rows), 4), 0.5), rows)
    with pytest.raises(sb.DataError, match="nothing can be fitted"):
        sb.Sloth().prior(data, draws=2)


# -- pieces of the density -----------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    "of",
    [
        lambda z: distributions.above_zero(z, jnp.float32(0.25), 0.05, jnp),
        lambda z: distributions.above_zero(z, jnp.float32(0.02), 0.05, jnp),
        lambda z: distributions.shortfall_of(z, 0.1, jnp),
        lambda z: distributions.shortfall_of(z, 0.6, jnp),
    ],
)
def test_asymptotes_have_the_derivatives_of_their_values(of):
    z, step = jnp.linspace(-4.0, 4.0, 33), 0.02
    value, slope = jax.jit(of), jax.jit(jax.vmap(jax.grad(of)))
    numeric = (value(z + step) - value(z - step)) / (2 * step)
    np.testing.assert_allclose(slope(z), numeric, rtol=2e-2, atol=1e-4)
    ends = z.at[:2].set(jnp.array([-30.0, 9.0]))
    assert np.isfinite(slope(ends)).all()


def test_asymptotes_follow_their_priors():
    """Quantiles of what is sampled are those of the distributions they stand for."""
    q = np.array([0.01, 0.2, 0.5, 0.9])
    z = jnp.asarray(stats.norm.ppf(q))
    floor = stats.truncnorm(-0.02 / 0.05, np.inf, 0.02, 0.05)
    np.testing.assert_allclose(
        distributions.above_zero(z, 0.02, 0.05, jnp), floor.ppf(q), rtol=1e-4
    )
    np.testing.assert_allclose(
        distributions.shortfall_of(z, 0.1, jnp), stats.beta(1, 1 / 0.1 - 1).ppf(q), rtol=1e-4
    )


def test_a_triangle_and_its_inverse():
    rng = np.random.default_rng(0)
    tril = np.tril(rng.normal(size=(4, 4)), -1) + np.diag(rng.uniform(0.5, 2, 4))
    found = np.asarray(distributions.triangle_inverse(jnp.asarray(tril)))
    np.testing.assert_allclose(found @ tril, np.eye(4), atol=1e-5)
    weight = rng.normal(size=(4, 4))
    slope = jax.grad(lambda t: (weight * distributions.triangle_inverse(t)).sum())(
        jnp.asarray(tril)
    )
    want = -(found.T @ weight @ found.T)
    np.testing.assert_allclose(np.tril(slope), np.tril(want), rtol=1e-4, atol=1e-4)
    below = jnp.arange(1.0, 7.0) @ loadings._places(4)
    expected = [[0, 0, 0, 0], [1, 0, 0, 0], [2, 3, 0, 0], [4, 5, 6, 0]]
    np.testing.assert_array_equal(below.reshape(4, 4), expected)
