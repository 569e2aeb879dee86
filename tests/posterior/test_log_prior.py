"""The prior's density at the draws, and what ArviZ makes of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats

import sloth_bayes as sb
from sloth_bayes.law.terms.residual import log_density_of_scales
from sloth_bayes.posterior.log_prior import log_prior
from tests.conftest import layout, leaderboard

FREE = sb.Sloth(
    n_skills=2, slopes="pooled", model_effect="pooled", lower="estimated", upper="estimated"
)


def prior(spec, draws=1500):
    rng = np.random.default_rng(0)
    table = leaderboard(rng.uniform(0.3, 0.7, (len(layout()), 4)))
    return spec.prior(table, draws=draws, seed=4)


@pytest.fixture(scope="module")
def drawn():
    post = prior(FREE)
    return post, log_prior(post)


@pytest.mark.long
def test_every_quantity_has_a_density(drawn):
    post, found = drawn
    assert set(found.data_vars) == set(post.tree["posterior"].to_dataset().data_vars)
    for array in found.data_vars.values():
        assert array.dims == ("chain", "draw")
        assert np.isfinite(array).all()


def test_densities_average_to_their_negative_entropy_under_the_prior(drawn):
    # E log p = -entropy holds for the right density and the right draws only
    post, found = drawn
    v, p = post.merged, FREE.priors

    def normal(n, sd):
        return -n * stats.norm(scale=sd).entropy()

    size = {name: v[name][0].size for name in v}
    rho = v["lineage_share"].astype(float)
    tau = v["residual_scale"].astype(float)
    n_lineages, n_families = len(post.lineages), len(post.families)
    entropy = {
        "loading": normal(size["loading"], p.loading),
        "instruct": normal(size["instruct"], p.instruct),
        "bias": normal(size["bias"], p.level),
        "slope": sum(normal(2, s) for s in FREE.input_scales),
        "slope_scale": -stats.halfnorm(scale=p.slope_deviation).entropy(),
        "model_scale": -stats.halfnorm(scale=p.model_effect).entropy(),
        "lineage_share": -stats.beta(2, 2).entropy(),
        "lineage_effect": normal(1, np.sqrt(rho) * p.family).mean() * 2 * n_lineages,
        "family_effect": normal(1, np.sqrt(1 - rho) * p.family).mean() * 2 * n_families,
        "sampling_fraction": -stats.lognorm(0.5, scale=p.sampling_fraction).entropy(),
        "link_shape": -4 * stats.lognorm(p.link_shape).entropy(),
    }
    share = v["residual_share"].astype(float)[:, None]
    entropy["residual"] = normal(1, np.sqrt(1 - share) * tau).sum(1).mean() * n_families
    for name, wanted in entropy.items():
        values = found[name].values.ravel()
        error = values.std() / np.sqrt(values.size)
        assert abs(values.mean() - wanted) < 5 * error + 1e-6, name


@pytest.mark.long
def test_ceilings_are_where_the_table_expects_them(tiny_table):
    """Where it says so, and the law asks; and their density is that of what was drawn."""
    first, *rest = tiny_table.benchmarks
    told = sb.Leaderboard.from_frame(tiny_table.frame, [replace(first, shortfall=0.4), *rest])
    assert told.fingerprint != tiny_table.fingerprint
    for upper, want in (("sourced", [0.4, 0.05, 0.05, 0.05]), ("estimated", [0.05] * 4)):
        post = sb.Sloth(n_skills=2, upper=upper).prior(told, draws=2000, seed=1)
        v, want = post.merged, np.array(want)
        room = 1 - v["lower"].astype(float)
        shortfall = (1 - v["upper"]) / room
        error = shortfall.std(0) / np.sqrt(len(room))
        assert (np.abs(shortfall.mean(0) - want) < 5 * error).all()
        density = log_prior(post)["upper"].values.ravel() + np.log(room).sum(1)
        entropy = sum(stats.beta(1, 1 / m - 1).entropy() for m in want)
        assert abs(density.mean() + entropy) < 5 * density.std() / np.sqrt(len(room))


@pytest.mark.long
def test_floors_are_as_near_to_chance_as_the_table_says(tiny_table):
    """Where it says so, and the law asks; and their density is that of what was drawn."""
    first, *rest = tiny_table.benchmarks
    told = sb.Leaderboard.from_frame(tiny_table.frame, [replace(first, chance_sd=0.005), *rest])
    assert told.fingerprint != tiny_table.fingerprint
    chance = np.array([b.chance for b in told.benchmarks])
    for lower, first_sd in (("sourced", 0.005), ("estimated", 0.03)):
        post = sb.Sloth(n_skills=2, lower=lower).prior(told, draws=2000, seed=1)
        sd = np.array([first_sd, 0.03, 0.03, 0.03])
        want = stats.truncnorm(-chance / sd, (1 - chance) / sd, chance, sd)
        found = post.merged["lower"].astype(float)
        np.testing.assert_allclose(found.mean(0), want.mean(), atol=5 * 0.03 / np.sqrt(2000))
        np.testing.assert_allclose(found.std(0), want.std(), rtol=0.08)
        density = log_prior(post)["lower"].values.ravel()
        np.testing.assert_allclose(density, want.logpdf(found).sum(1), rtol=1e-4, atol=1e-3)


@pytest.mark.long
def test_benchmarks_that_ask_the_same_questions_have_one_ceiling(tiny_table):
    """As a share of the range above chance; what is known of one holds for both."""
    first, second, *rest = tiny_table.benchmarks
    same = [replace(first, shortfall=0.4), replace(second, questions=first.name), *rest]
    told = sb.Leaderboard.from_frame(tiny_table.frame, same)
    post = sb.Sloth(n_skills=2, upper="questions").prior(told, draws=2000, seed=1)
    v = post.merged
    room = 1 - v["lower"].astype(float)
    shortfall = (1 - v["upper"]) / room
    np.testing.assert_allclose(shortfall[:, 0], shortfall[:, 1], rtol=1e-3, atol=1e-6)
    want = np.array([0.4, 0.4, 0.05, 0.05])
    error = shortfall.std(0) / np.sqrt(len(room))
    assert (np.abs(shortfall.mean(0) - want) < 5 * error).all()
    # one density for the two
    density = log_prior(post)["upper"].values.ravel() + np.log(room)[:, [0, 2, 3]].sum(1)
    entropy = sum(stats.beta(1, 1 / m - 1).entropy() for m in want[1:])
    assert abs(density.mean() + entropy) < 5 * density.std() / np.sqrt(len(room))


def test_marginal_densities_of_scales_integrate_to_one():
    def density(tau):
        return float(np.exp(log_density_of_scales(np.array([[tau]]), 0.3))[0])

    total, _ = integrate.quad(density, 1e-6, 10, points=[0.01, 0.1, 1], limit=200)
    assert total == pytest.approx(1, abs=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "spec",
    [
        sb.Sloth(n_skills=1, intercept="shared", residual="none", lower="chance", upper="one",
                 link="logistic"),
        sb.Sloth(n_skills=2, intercept="family", slopes="family"),
        sb.Sloth(loadings="identity", noise="constant"),
    ],
)  # fmt: skip
def test_other_laws(spec):
    post = prior(spec, 50)
    found = log_prior(post)
    missing = set(post.tree["posterior"].to_dataset().data_vars) - set(found.data_vars)
    fixed = {"loading"} if spec.loadings == "identity" else set()
    fixed |= {"lower"} if spec.lower != "estimated" else set()
    fixed |= {"upper"} if spec.upper != "estimated" else set()
    fixed |= {"family_effect"} if spec.intercept == "shared" else set()
    fixed |= {"link_shape"} if spec.link == "logistic" else set()
    assert missing <= fixed
    assert all(np.isfinite(array).all() for array in found.data_vars.values())


def test_psense_and_what_the_shipped_posterior_has():
    from arviz_stats import bfmi, psense, psense_summary, rhat

    tree = sb.load("leaderboard").data_tree
    assert {"log_prior", "log_likelihood", "sample_stats"} < set(tree.children)
    assert bfmi(tree)["energy"].min() > 0.3
    assert max(float(value.max()) for value in rhat(tree).data_vars.values()) < 1.01
    found = psense(tree, var_names=["sampling_fraction"])
    assert float(found["sampling_fraction"]) > 0
    table = psense_summary(tree, var_names=["instruct"], prior_var_names=["instruct"])
    assert table["prior"].between(0, 0.5).all()


def test_arviz_diagnoses_the_shipped_posterior_without_a_complaint(capsys):
    az = pytest.importorskip("arviz", minversion="1.0", reason="ArviZ 1 needs Python 3.12")
    az.diagnose(sb.load("leaderboard").data_tree)
    assert "no problems detected" in capsys.readouterr().out
