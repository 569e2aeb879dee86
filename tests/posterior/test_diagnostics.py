"""Diagnostics: a verdict that can be trusted both ways, and a remedy with every complaint."""

from __future__ import annotations

import json
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from arviz_stats.base import array_stats

import sloth_bayes as sb
from sloth_bayes.api import Posterior
from sloth_bayes.posterior import diagnostics, pareto
from tests.conftest import NAMES, QUICK

COLUMNS = ["quantity", "r_hat", "ess_bulk", "ess_tail", "mcse"]


def rebuilt(post: Posterior, pick) -> Posterior:
    """The same posterior with other draws: `pick` maps a dataset to a dataset."""
    groups = {k: v.to_dataset() for k, v in post.tree.children.items() if k != "convergence"}
    for name in ("posterior", "sample_stats"):
        groups[name] = pick(groups[name])
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = dict(post.tree.attrs)
    return Posterior(tree, post.spec)


@pytest.fixture(scope="module")
def ideal(tiny_prior) -> Posterior:
    """Four chains of independent draws, labelled as NUTS: what perfect convergence looks like."""
    posterior = tiny_prior.tree["posterior"].to_dataset().isel(chain=0, draw=slice(1200))
    chains = [
        posterior.isel(draw=slice(300 * c, 300 * (c + 1))).assign_coords(draw=np.arange(300))
        for c in range(4)
    ]
    rng = np.random.default_rng(0)
    dims, shape = ("chain", "draw"), (4, 300)
    stats = xr.Dataset(
        {
            "diverging": (dims, np.zeros(shape, bool)),
            "reached_max_tree_depth": (dims, np.zeros(shape, bool)),
            "energy": (dims, rng.normal(size=shape)),
        }
    )
    groups = {k: v.to_dataset() for k, v in tiny_prior.tree.children.items()}
    groups["posterior"] = xr.concat(chains, dim="chain").assign_coords(chain=np.arange(4))
    groups["sample_stats"] = stats
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {**tiny_prior.tree.attrs, "method": "nuts"}
    return Posterior(tree, tiny_prior.spec)


def test_independent_draws_pass(ideal):
    found = ideal.diagnostics()
    assert found.ok, found.messages
    assert len(found.messages) == 1
    assert found.messages[0].startswith("Converged.")
    assert str(found) == found.messages[0]


def test_the_table_lists_every_identified_quantity_worst_first(ideal, tiny_table):
    table = ideal.diagnostics().table
    assert list(table.columns) == COLUMNS
    assert table["quantity"].is_unique
    assert not table.isna().any(axis=None)
    kinds = table["quantity"].str.split("[").str[0]
    wanted = {
        *("expected", "lower", "upper", "link_shape", "noise_scale", "sampling_fraction"),
        *("slope_scale", "lineage_share", "residual_scale", "model_scale", "loading"),
        *("family_effect", "lineage_effect", "residual", "slope", "instruct"),
    }
    assert wanted <= set(kinds)
    assert (kinds == "expected").sum() == tiny_table.n_scores
    assert (kinds == "loading").sum() == len(NAMES) * (len(NAMES) + 1) // 2
    worst = table.head(20)["r_hat"].mean() - table.tail(20)["r_hat"].mean()
    least = table[["ess_bulk", "ess_tail"]].min(axis=1)
    assert worst >= 0 or least.head(20).mean() < least.tail(20).mean()
    # the order is one number's: whoever is first is worst in R-hat or in effective draws
    first = table.iloc[0]
    assert first["r_hat"] == table["r_hat"].max() or least.iloc[0] == least.min()


@pytest.mark.long
def test_rotating_the_skills_of_a_chain_changes_no_diagnostic(ideal):
    """Chains may settle in different rotations: that is no lack of convergence."""
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(2, 2)))

    def turn(data: xr.Dataset) -> xr.Dataset:
        out = data.copy(deep=True)
        for name, array in data.data_vars.items():
            if array.dims[-1] == "skill":
                out[name].values[1] = array.values[1] @ rotation
        return out

    turned = rebuilt(ideal, turn).diagnostics()
    mine = ideal.diagnostics().table.set_index("quantity")
    yours = turned.table.set_index("quantity").loc[mine.index]
    np.testing.assert_allclose(yours["r_hat"], mine["r_hat"], atol=2e-3)
    assert turned.ok


def test_a_few_draws_are_not_enough(tiny_posterior):
    short = rebuilt(tiny_posterior, lambda d: d.isel(draw=slice(10)))
    found = short.diagnostics()
    assert not found.ok
    assert found.messages[0].startswith("NOT converged.")
    assert len(found.messages) > 1
    for message in found.messages[1:]:
        assert "Do: " in message, message
    assert any("draws=" in m for m in found.messages)


def test_one_chain_cannot_show_convergence(tiny_posterior):
    found = rebuilt(tiny_posterior, lambda d: d.isel(chain=[0])).diagnostics()
    assert not found.ok
    assert any("at least two" in m for m in found.messages)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("chains apart", ["chains disagree", "starts=8"]),
        ("diverging", ["40 divergent", "target_accept=0.95"]),
        ("reached_max_tree_depth", ["tree depth", "warmup"]),
        ("energy", ["E-BFMI", "tighter priors"]),
    ],
)
def test_every_complaint_names_its_remedy(name, words, ideal):
    def spoil(data: xr.Dataset) -> xr.Dataset:
        out = data.copy(deep=True)
        if name == "chains apart" and "bias" in out:
            out["bias"].values[0] += 5.0
        elif name == "energy" and name in out:
            out[name].values[:] = np.cumsum(out[name].values, axis=1)
        elif name in out:
            out[name].values[:, :10] = True
            if name == "reached_max_tree_depth":
                out[name].values[:, :100] = True
        return out

    found = rebuilt(ideal, spoil).diagnostics()
    assert not found.ok
    complaint = [m for m in found.messages[1:] if words[0] in m]
    assert len(complaint) == 1, found.messages
    assert words[1] in complaint[0]


def test_draws_that_are_not_finite_are_not_converged(ideal):
    def spoil(data: xr.Dataset) -> xr.Dataset:
        out = data.copy(deep=True)
        if "upper" in out:
            out["upper"].values[:, :, 0] = np.nan
        return out

    found = rebuilt(ideal, spoil).diagnostics()
    assert not found.ok
    assert any("no finite R-hat" in message for message in found.messages)
    assert not np.isfinite(found.table.iloc[0]["r_hat"])


@pytest.mark.parametrize("last", [np.nan, -np.inf])
def test_an_elbo_that_is_not_finite_has_not_converged(last, tiny_svi):
    groups = {k: v.to_dataset() for k, v in tiny_svi.tree.children.items() if k != "convergence"}
    groups["sample_stats"] = groups["sample_stats"].copy(deep=True)
    groups["sample_stats"]["elbo"].values[-1] = last
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = dict(tiny_svi.tree.attrs)
    found = Posterior(tree, tiny_svi.spec).diagnostics()
    assert not found.ok
    assert found.messages[0].startswith("NOT converged.")


def test_a_worst_quantity_is_named(ideal):
    def spoil(data: xr.Dataset) -> xr.Dataset:
        out = data.copy(deep=True)
        if "sampling_fraction" in out:
            out["sampling_fraction"].values[2] *= 3
        return out

    found = rebuilt(ideal, spoil).diagnostics()
    assert found.table["quantity"][0] == "sampling_fraction"
    assert any("worst: sampling_fraction" in m for m in found.messages)


def test_svi_reports_the_elbo_and_k_hat(tiny_svi):
    found = tiny_svi.diagnostics()
    assert any("ELBO" in m for m in found.messages)
    k_hat = [m for m in found.messages if "k-hat" in m]
    assert len(k_hat) == 1
    stats = tiny_svi.data_tree["sample_stats"].to_dataset()
    assert stats["elbo"].dims == ("step",)
    assert np.isfinite(stats["log_weight"]).all()


def test_an_elbo_that_still_rises_is_no_convergence(tiny_svi):
    def rising(data: xr.Dataset) -> xr.Dataset:
        if "elbo" not in data:
            return data
        return data.assign(elbo=("step", np.linspace(-1000.0, 0.0, data.sizes["step"])))

    def flat(data: xr.Dataset) -> xr.Dataset:
        if "elbo" not in data:
            return data
        noise = np.random.default_rng(0).normal(size=data.sizes["step"])
        return data.assign(elbo=("step", -100 + noise), to_gain=((), 0.5))

    bad, good = rebuilt(tiny_svi, rising).diagnostics(), rebuilt(tiny_svi, flat).diagnostics()
    assert not bad.ok
    assert f"steps={2 * QUICK['steps']}" in bad.messages[0]
    assert "Do: " in bad.messages[0]
    assert good.ok


@pytest.mark.parametrize(
    ("elbo", "to_gain", "steps", "words"),
    [
        (np.zeros(100), 0.5, 400, "A first look"),
        (np.zeros(100), 7.0, 400, "stopped: where it is, a step would gain 7.0"),
        (np.zeros(100), 0.5, 60, "60 steps are too few"),
        (np.linspace(0, -500, 100), 0.5, 400, "fell by"),
        (np.zeros(100), np.nan, 400, "A single draw"),
    ],
)
def test_an_elbo_that_is_flat_is_not_all_there_is_to_it(elbo, to_gain, steps, words, tiny_svi):
    """A learning rate that decays makes any ELBO flat."""

    def ended(data: xr.Dataset) -> xr.Dataset:
        if "elbo" not in data:
            return data
        return data.drop_dims("step").assign(elbo=("step", elbo), to_gain=((), to_gain))

    post = rebuilt(tiny_svi, ended)
    post.tree.attrs["steps"] = steps
    found = post.diagnostics()
    assert words in found.messages[0]
    assert found.ok == words.startswith("A first")
    assert found.ok or found.messages[0].startswith("NOT converged.")


@pytest.mark.parametrize("steps", [1, 30])
def test_a_short_optimisation_has_not_converged(steps, tiny_spec, tiny_table):
    post = tiny_spec.fit(tiny_table, **(QUICK | {"steps": steps}))
    assert not post.diagnostics().ok
    assert post.standing == "not converged"


def test_what_is_saved_has_been_judged(tiny_svi, tmp_path):
    groups = {k: v for k, v in tiny_svi.tree.children.items() if k != "convergence"}
    tree = xr.DataTree.from_dict({k: v.to_dataset() for k, v in groups.items()})
    tree.attrs = dict(tiny_svi.tree.attrs)
    post = Posterior(tree, tiny_svi.spec)
    assert post.known_verdict is None
    read = sb.load(post.save(tmp_path / "a.nc"))
    assert read.known_verdict is tiny_svi.diagnostics().ok


@pytest.mark.parametrize(
    ("method", "ok", "standing", "said"),
    [
        ("nuts", True, "converged", ""),
        ("nuts", False, "not converged", "has not converged"),
        ("svi", True, "first look", "a first look"),
        ("svi", False, "not converged", "has not converged"),
    ],
)
def test_every_answer_says_how_the_fit_stands(method, ok, standing, said):
    shipped = sb.load("leaderboard")
    tree = shipped.tree.copy()
    tree.attrs = {**tree.attrs, "method": method}
    verdict = tree["convergence"].to_dataset()
    tree["convergence"] = xr.DataTree(verdict.assign_attrs(ok=int(ok)))
    post = Posterior(tree, shipped.spec)
    assert post.standing == standing
    who, rival = sb.candidates("qwen2", 20, 7), sb.candidates("yi", 30, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fc = post.forecast(who, benchmarks="MMLU")
        answers = [post.compare(who, rival), post.required_size("MMLU", 0.7, tokens=7)]
        skills = post.skills(draws=50)
    for frame, messages in [
        (fc.frame, fc.warnings), *((a.frame, a.messages) for a in answers),
        (fc.average(), fc.warnings),
    ]:  # fmt: skip
        assert frame.attrs["fit"] == standing
        assert frame.attrs["warnings"] == list(messages)
        assert any(said in note for note in (*messages, ""))
        assert any("converged" in m or "first look" in m for m in messages) == bool(said)
    assert any(said in note for note in (*skills.messages, ""))
    title = fc.plot()[0].figure.get_suptitle()
    assert (standing.upper() in title) == bool(said)
    plt.close("all")


def test_a_guide_that_is_the_posterior_has_a_small_k_hat(tiny_svi):
    def perfect(data: xr.Dataset) -> xr.Dataset:
        if "log_weight" not in data:
            return data
        noise = 0.1 * np.random.default_rng(0).normal(size=data["log_weight"].shape)
        return data.assign(log_weight=("weighed", noise - 50))

    messages = rebuilt(tiny_svi, perfect).diagnostics().messages
    assert any("close to the posterior" in m for m in messages)

    def poor(data: xr.Dataset) -> xr.Dataset:
        if "log_weight" not in data:
            return data
        heavy = np.random.default_rng(0).pareto(0.5, data["log_weight"].shape)
        return data.assign(log_weight=("weighed", 3 * np.log(heavy)))

    messages = rebuilt(tiny_svi, poor).diagnostics().messages
    assert any("not the posterior" in m and "method='nuts'" in m for m in messages)


def test_the_prior_has_nothing_to_converge(tiny_prior):
    found = tiny_prior.diagnostics()
    assert found.ok
    assert "prior" in found.messages[0]
    assert list(found.table.columns) == COLUMNS
    assert found.table.empty


def test_asking_twice_computes_once(tiny_posterior, monkeypatch):
    first = tiny_posterior.diagnostics()
    monkeypatch.setattr(diagnostics, "table_of", None)
    again = tiny_posterior.diagnostics()
    assert again.messages == first.messages
    assert isinstance(again.table, pd.DataFrame)


# -- variational starts --------------------------------------------------------------------


def with_starts(post: Posterior, elbos: list[float]) -> Posterior:
    tree = post.tree.copy()
    tree.attrs = {**tree.attrs, "starts_elbo": json.dumps(elbos)}
    return Posterior(tree, post.spec)


@pytest.mark.parametrize(
    ("elbos", "words"),
    [
        ([5.0], ["1 variational start", "not looked for"]),
        ([5.0, 4.0, 4.5], ["3 variational starts", "all in one mode", "0.5, 1.0"]),
        ([5.0, -20.0, 4.0], ["1 in another mode", "exp(25)", "1.0, 25.0"]),
        ([-40.0, 5.0, -20.0], ["2 in another mode", "exp(25)", "25.0, 45.0"]),
    ],
)
def test_starts_in_other_modes_are_reported(tiny_svi, elbos, words):
    text = diagnostics.starts_in_words(with_starts(tiny_svi, elbos))
    for word in words:
        assert word in text


@pytest.mark.parametrize("count", [30, 225, 226, 480, 6000])  # of 25 versions of ArviZ differ
def test_weights_are_smoothed_as_by_arviz(count):
    rng = np.random.default_rng(count)
    for log_weights in (
        rng.normal(size=count),
        3 * rng.standard_t(3, size=count),
        -5 * rng.exponential(size=count),
        np.where(rng.random(count) < 0.5, -800.0, rng.normal(size=count)),
    ):
        found, k_hat = pareto.smoothed(log_weights)
        theirs, their_k_hat = array_stats.psislw(-log_weights)
        np.testing.assert_allclose(found, theirs, rtol=1e-9, atol=1e-9)
        assert k_hat == pytest.approx(float(their_k_hat), rel=1e-9)
        assert np.exp(found).sum() == pytest.approx(1)


def test_one_weight_of_all_has_no_tail():
    found, k_hat = pareto.smoothed(np.r_[np.zeros(99), 50.0])
    assert k_hat == np.inf
    assert np.exp(found[-1]) == pytest.approx(1)
