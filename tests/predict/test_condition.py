"""Conditioning on new models: exact in small cases, and the ways it may be asked."""

from __future__ import annotations

import math
import warnings

import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from scipy.special import logsumexp

import sloth_bayes as sb
from sloth_bayes.cli.output import warnings_of
from sloth_bayes.law import equations, likelihood
from sloth_bayes.predict import family_given_scores as marginal
from sloth_bayes.predict.condition import _rows
from sloth_bayes.predict.state import State

BASE = {"params_b": 1.0, "tokens_t": 2.0}


def rows(*models: dict) -> pd.DataFrame:
    return pd.DataFrame([BASE | m for m in models])


MINE = rows({"model": "mine-1b", "family": "mine", "Reading": 0.45, "Maths": 0.2})


@pytest.fixture(scope="module")
def mine(tiny_posterior):
    return tiny_posterior.condition(MINE, seed=4)


@pytest.fixture(scope="module")
def shipped() -> sb.Posterior:
    return sb.load("leaderboard")


def draws_of(post: sb.Posterior, **asked) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return post.forecast(sb.candidates(**asked), new_family=True, seed=2).frame


# -- one family: against brute force ---------------------------------------------------------


def problem(df: float, models: int = 2, **changes) -> tuple:
    """One draw of the rest, many times over: d = 1, three benchmarks."""
    n = 1000
    one = {
        "loading": np.array([[0.8], [0.3], [1.2]]),
        "bias": np.array([0.1, -1.0, 0.4]),
        "slope": np.array([[0.3], [0.2], [0.01]]),
        "instruct": np.array([0.2]),
        "lower": np.array([0.25, 0.0, 0.1]),
        "upper": np.array([0.95, 1.0, 0.9]),
        "link_shape": np.array([1.0, 0.8, 1.4]),
        "noise_scale": np.array([0.02, 0.03, 0.01]),
        "sampling_fraction": np.array(0.5),
        "mean": np.array([0.3]),
        "scale": np.array(0.9),
        "residual_mean": np.array([0.1, 0.0, -0.1]),
        "residual_scale": np.array([0.3, 0.5, 0.2]),
        "log_size": np.log([1.0, 3.0])[:models],
        "log_tokens": np.log([0.5, 0.5])[:models],
    } | changes
    each = {k: np.repeat(v[None], n, 0) for k, v in one.items()}
    shared = {name: each.pop(name) for name in ("slope", "instruct")}
    mean, scale = ({"family_effect": each.pop(name)} for name in ("mean", "scale"))
    draws = marginal.Draws(**each, shared=shared, mean=mean, scale=scale)
    scores = marginal.Scores(
        score=np.array([[0.62, 0.15, 0.3], [0.7, 0.5, 0.55]])[:models],
        observed=np.array([[1, 1, 0], [1, 0, 1]])[:models],
        columns={"instruct": np.array([0, 1])[:models]},
        reach={},
        inverse_n=np.array([0.001, 0.0, 0.002]),
        rounding=np.array([0.0, 0.01, 0.0]),
        centre=np.zeros(2),
        size_prior=np.array([1.0, 1.0]),
        tokens_prior=np.array([0.0, 1.0]),
    )
    blocks = (marginal.Block("family_effect", (1,), True),)
    law = likelihood.StudentT(df)
    kind = marginal.Kind("translog", "richards", "proportional", law, (), blocks, True, (), ())
    return kind, draws, scores


def brute(kind, draws, scores):
    """Marginal likelihood, and moments of alpha and of the residuals, on a dense grid."""
    v = jax.tree.map(lambda a: np.asarray(a[0], float), draws._asdict())
    v |= v["shared"] | {name: v[name]["family_effect"] for name in ("mean", "scale")}
    alpha = v["mean"][0] + v["scale"] * np.linspace(-7, 7, 701)
    unit = np.linspace(-7, 7, 1401)
    log_alpha = -0.5 * ((alpha - v["mean"][0]) / v["scale"]) ** 2
    inputs = equations.raw_inputs("translog", v["log_size"], v["log_tokens"], np.zeros(2), np)
    shift = inputs @ v["slope"] + scores.columns["instruct"][:, None] * v["instruct"]
    joint, residuals = log_alpha.copy(), []
    for j in range(3):
        u = v["residual_mean"][j] + v["residual_scale"][j] * unit
        total = -0.5 * unit**2 - logsumexp(-0.5 * unit**2)
        total = np.repeat(total[None], alpha.size, 0)
        for m in range(len(scores.score)):
            if not scores.observed[m, j]:
                continue
            theta = alpha[:, None] + shift[m]
            eta = theta * v["loading"][j, 0] + v["bias"][j] + u
            fraction = equations.link(kind.link, eta, v["link_shape"][j], np)
            mu = equations.expected(fraction, v["lower"][j], v["upper"][j])
            sd = likelihood.noise_sd(kind.noise, mu, fraction, v["noise_scale"][j],
                              v["sampling_fraction"], scores.inverse_n[j], np)  # fmt: skip
            total += likelihood.log_likelihood(
                scores.score[m, j], mu, sd, kind.observation, np.array(scores.rounding[j]), np
            )
        joint += logsumexp(total, axis=1)
        residuals.append((u, np.exp(total - logsumexp(total, axis=1)[:, None])))
    evidence = logsumexp(joint) - logsumexp(log_alpha)
    w = np.exp(joint - logsumexp(joint))
    mean = w @ alpha
    moments = [(mean, math.sqrt(w @ (alpha - mean) ** 2))]
    for u, given in residuals:
        p = w @ given
        moments.append((p @ u, math.sqrt(p @ (u - p @ u) ** 2)))
    return evidence, moments


@pytest.mark.slow
@pytest.mark.parametrize("df", [4.0, math.inf])
def test_a_family_given_one_draw_agrees_with_a_dense_grid(df):
    kind, draws, scores = problem(df)
    own = marginal.condition(kind, draws, scores, seed=1)
    evidence, moments = brute(kind, draws, scores)
    assert own.log_likelihood.mean() == pytest.approx(evidence, abs=0.01)
    assert own.log_likelihood.std() < 0.05
    assert np.median(own.effective) > 0.6
    drawn = [own.of["family_effect"][:, 0], *own.residual.T]
    for values, (mean, sd) in zip(drawn, moments, strict=True):
        assert values.mean() == pytest.approx(mean, abs=4 * sd / math.sqrt(len(values)))
        assert values.std() == pytest.approx(sd, rel=0.1)


@pytest.mark.long
def test_a_score_below_the_floor_agrees_with_a_dense_grid():
    kind, draws, scores = problem(4.0)
    scores = scores._replace(score=np.array([[0.2, 0.0, 0.3], [0.24, 0.5, 0.09]]))
    own = marginal.condition(kind, draws, scores, seed=1)
    evidence, moments = brute(kind, draws, scores)
    assert own.log_likelihood.mean() == pytest.approx(evidence, abs=0.01)
    mean, sd = moments[0]
    family = own.of["family_effect"]
    assert family.mean() == pytest.approx(mean, abs=4 * sd / math.sqrt(len(family)))
    # one program serves any number of draws, and what is drawn for one does not depend on it
    several, few = (
        marginal.condition(kind, jax.tree.map(lambda a, n=n: a[:n], draws), scores, seed=1)
        for n in (130, 70)
    )
    np.testing.assert_array_equal(few.of["family_effect"], several.of["family_effect"][:70])
    np.testing.assert_allclose(few.of["family_effect"], family[:70], atol=1e-3)
    programs = [len(p.compiled) for p in marginal._programs.values()]
    marginal.condition(kind, jax.tree.map(lambda a: a[:60], draws), scores, seed=1)
    assert [len(p.compiled) for p in marginal._programs.values()] == programs


@pytest.mark.long
def test_a_benchmark_without_scores_changes_nothing_and_keeps_its_prior():
    kind, draws, scores = problem(4.0)
    scores = scores._replace(observed=np.array([[1, 0, 0], [1, 0, 1]]))
    own = marginal.condition(kind, draws, scores, seed=1)
    first = [0, 2]
    few, of_few = marginal._at(draws, scores, np.array(first))
    alone = marginal.condition(kind, few, of_few, seed=1)
    for name, values in own.of.items():
        np.testing.assert_array_equal(values, alone.of[name])
    np.testing.assert_array_equal(own.residual[:, first], alone.residual)
    of_prior = (own.residual[:, 1] - draws.residual_mean[:, 1]) / draws.residual_scale[:, 1]
    assert stats.kstest(of_prior, "norm").pvalue > 1e-3


FLAT: dict[str, np.ndarray] = {
    "bias": np.zeros(3), "slope": np.zeros((3, 1)), "instruct": np.zeros(1), "lower": np.zeros(3),
    "upper": np.ones(3), "link_shape": np.ones(3), "mean": np.zeros(1), "scale": np.array(1.0),
    "residual_mean": np.zeros(3), "residual_scale": np.full(3, 0.04),
    "sampling_fraction": np.array(1e-9),
}  # fmt: skip


@pytest.mark.slow
def test_small_effects_and_normal_noise_are_the_conjugate_normal_model():
    """Where link and noise are flat, alpha and u are a linear regression."""
    loading = np.array([[0.08], [0.05], [0.1]])
    kind, draws, scores = problem(math.inf, models=1, loading=loading, **FLAT)
    kind = kind._replace(link="logistic", noise="constant")
    y = np.array([[0.52, 0.51, 0.505]])
    scores = scores._replace(score=y, observed=np.ones((1, 3)), rounding=np.zeros(3))
    own = marginal.condition(kind, draws, scores, seed=1)
    noise = np.array([0.02, 0.03, 0.01])
    variance = noise**2 + (0.04 / 4) ** 2  # of a score around alpha's part; the slope is 1/4
    x = loading[:, 0] / 4
    precision = 1 + (x**2 / variance).sum()
    mean = (x * (y[0] - 0.5) / variance).sum() / precision
    family = own.of["family_effect"]
    assert family.mean() == pytest.approx(mean, abs=0.05)
    assert family.std() == pytest.approx(precision**-0.5, rel=0.05)


@pytest.mark.slow
def test_a_walk_of_skills_is_drawn_with_the_family():
    """Where link and noise are flat, effect and walk of two models are a linear regression."""
    loading = np.array([[0.08], [0.05], [0.1]])
    kind, draws, scores = problem(math.inf, models=2, loading=loading, **FLAT)
    stray, root = 0.8, np.sqrt(2.0)  # over two doublings
    n = len(draws.bias)
    draws.mean["walk"], draws.scale["walk"] = np.zeros((n, 1, 1)), np.full((n, 1, 1), stray)
    blocks = (*kind.blocks, marginal.Block("walk", (1, 1), False))
    kind = kind._replace(link="logistic", noise="constant", blocks=blocks)
    y = np.array([[0.52, 0.51, 0.505], [0.49, 0.5, 0.52]])
    scores = scores._replace(score=y, observed=np.ones((2, 3)), rounding=np.zeros(3),
                             reach={"walk": np.array([[0.0], [root]])})  # fmt: skip
    own = marginal.condition(kind, draws, scores, seed=1)
    x = np.zeros((6, 5))  # alpha, the step, three residuals; two models, three benchmarks
    x[:, 0] = np.tile(loading[:, 0], 2)
    x[3:, 1] = stray * root * loading[:, 0]
    x[:, 2:] = 0.04 * np.tile(np.eye(3), (2, 1))
    noise = np.tile([0.02, 0.03, 0.01], 2)
    covariance = np.linalg.inv(np.eye(5) + (x / 4).T @ (x / 4 / noise[:, None] ** 2))
    mean = covariance @ (x / 4).T @ ((y.ravel() - 0.5) / noise**2)
    found = {"alpha": own.of["family_effect"][:, 0], "walk": own.of["walk"][:, 1, 0]}
    assert not own.of["walk"][:, 0].any()
    for values, k, unit in ((found["alpha"], 0, 1.0), (found["walk"], 1, stray * root)):
        sd = unit * np.sqrt(covariance[k, k])
        assert values.mean() == pytest.approx(unit * mean[k], abs=5 * sd / math.sqrt(n))
        assert values.std() == pytest.approx(sd, rel=0.08)


# -- whole posteriors --------------------------------------------------------------------------


@pytest.mark.long
def test_the_new_family_is_part_of_the_posterior(tiny_posterior, mine, tmp_path):
    assert "mine" in mine.families
    assert "mine" in mine.lineages
    assert "mine-1b" in mine.models
    assert mine.n_draws == tiny_posterior.n_draws
    assert mine.attrs["n_scores"] == tiny_posterior.attrs["n_scores"] + 2
    note = mine.attrs["conditioned"][0]
    assert note["models"] == ["mine-1b"]
    assert note["scores"] == 2
    assert note["k_hat"] < 0.7
    assert f"k-hat {note['k_hat']:.2f}" in mine.diagnostics().messages[0]
    cells = mine.data_tree["log_likelihood"]["score"]
    assert np.isfinite(cells).all()
    assert (cells["obs_model"] == "mine-1b").sum() == 2
    again = sb.load(mine.save(tmp_path / "mine.nc"))
    a, b = (draws_of(p, family="mine", params_b=8) for p in (mine, again))
    pd.testing.assert_frame_equal(a, b)
    assert again.diagnostics().messages == mine.diagnostics().messages
    assert mine.slim(100).attrs["conditioned"] == mine.attrs["conditioned"]
    assert "mine" in mine.skills().families()["family"].tolist()


@pytest.mark.long
def test_conditioning_narrows_and_fits_what_was_observed(shipped):
    """Twelve scores of a 1.4B model settle much of a new family, at its size and above."""
    few, table = shipped.slim(250), sb.load_dataset("open_llm_leaderboard")
    same = table.frame[table.frame["model"] == "pythia-1.4b"].assign(
        model="mine-1.4b", family="mine", lineage="mine"
    )
    found = few.condition(same, seed=4)
    asked = sb.candidates("mine", [1.4, 8.0], float(same["tokens_t"].iloc[0]))

    def expected(post: sb.Posterior) -> pd.DataFrame:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            forecast = post.forecast(asked, new_family=True, seed=2)
        return forecast.summary("expected").set_index(["params_b", "benchmark"])

    before, after = expected(few), expected(found)
    narrower = (after["sd"] / before["sd"]).groupby("params_b").mean()
    assert (narrower < 0.6).all()
    scores = same[list(few.benchmarks)].iloc[0].dropna()
    error = (after.loc[1.4]["median"] - scores).abs().dropna()
    assert len(error) == len(scores) >= 6
    assert error.mean() < (before.loc[1.4]["median"] - scores).abs().mean()
    assert error.mean() < 0.04


def test_no_scores_change_nothing(tiny_posterior):
    none = rows({"model": "mine-1b", "family": "mine", "Reading": np.nan})
    same = tiny_posterior.condition(none)
    asked = {"family": ["alder", "new"], "params_b": 9.0}
    pd.testing.assert_frame_equal(draws_of(same, **asked), draws_of(tiny_posterior, **asked))
    assert same.families == tiny_posterior.families
    assert "no new score" in same.diagnostics().messages[0]


@pytest.mark.long
def test_a_missing_score_is_an_absent_column_and_an_empty_row_no_row(tiny_posterior, mine):
    more = MINE.assign(Facts=np.nan)
    more = pd.concat([more, rows({"model": "mine-3b", "family": "mine", "params_b": 3.0})])
    same = tiny_posterior.condition(more, seed=4)
    asked = {"family": "mine", "params_b": 8.0}
    pd.testing.assert_frame_equal(draws_of(same, **asked), draws_of(mine, **asked))


@pytest.mark.slow
def test_rows_in_any_order_and_the_seed(shipped):
    three = rows(
        {"model": "mine-1b", "family": "mine", "ARC": 0.35, "HellaSwag": 0.6},
        {"model": "mine-chat", "family": "mine-chat", "lineage": "mine", "instruct": True,
         "ARC": 0.36, "IFEval": 0.2},
        {"model": "olmo-3b", "family": "olmo", "params_b": 3.0, "ARC": 0.42},
    )  # fmt: skip
    asked = {"family": ["mine", "mine-chat", "olmo"], "params_b": 20.0}
    few = shipped.slim(400)
    first, turned, other = (
        draws_of(few.condition(frame, seed=seed), **asked)
        for frame, seed in ((three, 1), (three.iloc[::-1], 1), (three, 2))
    )
    pd.testing.assert_frame_equal(first, turned)
    assert not first["median"].equals(other["median"])
    assert (first["median"] - other["median"]).abs().max() < 0.04


@pytest.mark.slow
def test_a_family_of_a_known_lineage_learns_from_it(tiny_posterior):
    """An observed variant narrows what is not observed more if its lineage is known."""
    frame = MINE.assign(lineage=["cedar"])
    related = tiny_posterior.condition(frame)
    assert related.lineages == tiny_posterior.lineages
    at = related.merged["lineage_effect"][:, related.lineages.index("cedar")]
    before = tiny_posterior.merged["lineage_effect"][:, tiny_posterior.lineages.index("cedar")]
    assert at.shape == before.shape
    assert not np.array_equal(at, before)


@pytest.mark.slow
def test_redrawing_a_known_family_keeps_its_distribution(shipped):
    """Its conditional given the rest leaves the joint posterior as NUTS found it."""
    new = rows({"model": "x", "family": "olmo", "ARC": 0.5})
    state = State.of(shipped, _rows(shipped, new), 0)
    state.observed.loc["x"] = np.nan
    before = {k: state.data[k].copy(deep=True) for k in ("family_effect", "residual")}
    state.redraw("olmo")
    f = shipped.families.index("olmo")
    loading = state.data["loading"].values

    def predictor(of) -> np.ndarray:
        effect = np.einsum("sjk,sk->sj", loading, of["family_effect"].values[:, f])
        return effect + of["residual"].values[:, f]

    old, new = predictor(before), predictor(state.data)
    assert not np.allclose(old, new)
    # differences of means of 1,000 draws, whose standard error is about 4% of the spread
    assert (np.abs(old.mean(0) - new.mean(0)) < 0.16 * old.std(0)).all()
    assert (np.abs(np.log(new.std(0) / old.std(0))) < 0.12).all()


@pytest.mark.slow
def test_unknown_sizes_are_latent(shipped):
    """The scores say something of the size: a strong model is probably a large one."""
    sizes, few = [], shipped.slim(100)
    for score in (0.3, 0.75):
        frame = rows({"model": "x", "family": "x", "params_b": np.nan, "MMLU": score,
                      "HellaSwag": 0.3 + 0.7 * score})  # fmt: skip
        found = few.condition(frame)
        sizes.append(found.merged["params_b"])
        assert sizes[-1].shape == (few.n_draws, 1)
        assert np.isfinite(found.data_tree["log_likelihood"]["score"]).all()
    assert 0 < 2 * np.median(sizes[0]) < np.median(sizes[1])
    prior = np.log(few.tree["constant_data"]["params_b"].values).std()
    assert all(np.log(s).std() < 1.1 * prior for s in sizes)


@pytest.mark.slow
def test_what_is_unknown_stays_so_and_has_some_spread(tiny_posterior):
    frame = MINE.assign(tokens_t=np.nan)
    found = tiny_posterior.condition(frame)
    constant = found.tree["constant_data"].to_dataset()
    assert np.isnan(constant["tokens_t"].sel(model="mine-1b"))
    assert np.isfinite(constant["inputs"]).all()
    alike = tiny_posterior.tree.copy()
    alike["constant_data"] = xr.DataTree(
        alike["constant_data"].to_dataset().assign(tokens_t=("model", [2.0] * 24))
    )
    alike.attrs = tiny_posterior.tree.attrs
    found = sb.Posterior(alike, tiny_posterior.spec).condition(frame)
    assert np.log(found.merged["tokens_t"]).std() > 0.05


def test_curves_are_not_conditioned_on_or_planned_with(tiny_posterior):
    curves = sb.Posterior(tiny_posterior.tree, tiny_posterior.spec.replace(residual="curve"))
    with pytest.raises(sb.SpecError, match="training curves"):
        curves.condition(MINE)


@pytest.mark.slow
def test_contradictory_scores_fail_loudly(shipped):
    absurd = rows(*(
        {"model": f"absurd-{i}", "family": f"absurd-{i}", "params_b": 30.0, "MMLU": 0.9,
         "ARC": 0.26, "HellaSwag": 0.3, "Winogrande": 0.9, "GSM8K": 0.9} for i in range(3)
    ))  # fmt: skip
    with pytest.warns(sb.ConvergenceWarning, match=r"FAILED.*refit"):
        bad = shipped.slim(200).condition(absurd)
    assert bad.attrs["conditioned"][0]["k_hat"] > 0.7
    found = bad.diagnostics()
    assert not found.ok
    assert "refit" in found.messages[0]
    assert bad.known_verdict is False
    # the command line blames what failed: the conditioning here, not the fit
    assert warnings_of(bad, "leaderboard", fitted=True) == [found.messages[0]]
    assert "'leaderboard' has not converged" in warnings_of(bad, "leaderboard", bad.cautions)[0]
    assert warnings_of(shipped, "leaderboard", ["else"], fitted=True) == ["else"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"Reading": 45.0}, "divide by 100"),
        ({"model": "alder-1b"}, "in the posterior already"),
        ({"Readng": 0.4}, "did you mean 'Reading'"),
        ({"params_b": -1.0}, "must be positive"),
        ({"family": "birch", "lineage": "oak"}, "is of lineage 'birch'"),
        ({"params_b": None}, "lack the column 'params_b'"),
    ],
)
def test_errors_teach(tiny_posterior, change, says):
    frame = MINE.assign(**change) if change.get("params_b", 1) is not None else MINE.drop(
        columns="params_b"
    )  # fmt: skip
    with pytest.raises(sb.SlothBayesError, match=says):
        tiny_posterior.condition(frame)


def test_only_frames_and_readings_are_scores(tiny_posterior):
    with pytest.raises(sb.DataError, match="one row a model"):
        tiny_posterior.condition([0.4, 0.5])


@pytest.mark.long
def test_cut_scores_leave_the_shared_parameters_as_they_are(tiny_posterior):
    cut = tiny_posterior.condition(MINE, seed=4, reweight=False)
    for name in ("loading", "bias", "slope"):
        assert np.array_equal(cut.merged[name], tiny_posterior.merged[name])
    note = cut.attrs["conditioned"][0]
    assert note["k_hat_of_family"] == {"mine": note["k_hat"]}
    assert "shared parameters keep their draws" in cut.diagnostics().messages[0]
    assert "mine-1b" in cut.models
