"""Surprising scores: worked by hand on a few draws, and found in a table with an error."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from scipy.special import logsumexp

import sloth_bayes as sb
from sloth_bayes.law import equations, likelihood
from sloth_bayes.predict import surprises as module
from tests.conftest import NAMES, QUICK, leaderboard

# one family alone in its lineage, one of several models with a relative
ROWS = [
    ("lone-1b", "lone", "lone", 1.0),
    ("birch-1b", "birch", "birch", 1.0),
    ("birch-7b", "birch", "birch", 7.0),
    ("birch-30b", "birch", "birch", 30.0),
    ("birch-chat-7b", "birch-chat", "birch", 7.0),
]


def made(draws: int, **choices) -> sb.Posterior:
    """A posterior with a few draws: about those that its scores were drawn from."""
    rows = pd.DataFrame(ROWS, columns=["model", "family", "lineage", "params_b"])
    rows["tokens_t"] = 2.0
    spec = sb.Sloth(n_skills=2, **choices)
    observed = np.ones((len(rows), len(NAMES)), bool)
    observed[3, 1] = observed[4, 2] = False

    def prior(scores: np.ndarray) -> sb.Posterior:
        scores = np.where(observed, scores, np.nan)
        return spec.prior(leaderboard(scores, rows), draws=1, seed=2)

    drawn = prior(np.full(observed.shape, 0.5)).data_tree["posterior_predictive"]["score"]
    frame = drawn.isel(chain=0, draw=0).to_dataframe()
    found = frame.pivot(index="obs_model", columns="obs_benchmark", values="score")
    scores = found.loc[rows["model"], NAMES].to_numpy(float, copy=True)
    scores[0, 3], scores[2, 0] = 0.0, 0.95  # a score at the floor, and an error
    post = prior(scores)
    rng = np.random.default_rng(0)
    posterior = post.tree["posterior"].to_dataset().isel(draw=[0] * draws)
    varied = posterior.map(lambda v: v * (1 + 0.02 * rng.standard_normal(v.shape)))
    varied = varied.assign(upper=posterior["upper"]).astype(np.float32)
    tree = xr.DataTree.from_dict(
        {
            "posterior": varied.assign_coords(draw=range(draws)),
            "observed_data": post.tree["observed_data"].to_dataset(),
            "constant_data": post.tree["constant_data"].to_dataset(),
        }
    )
    tree.attrs = {**post.tree.attrs, "method": "nuts"}
    return sb.Posterior(tree, post.spec)


def by_hand(post: sb.Posterior, model: str, benchmark: str) -> tuple[float, float]:
    """PIT and two-sided p, by sums over 40,001 values of the residual, draw by draw."""
    v, j = post.merged, post.benchmarks.index(benchmark)
    data = post.tree["observed_data"].to_dataset()["score"].to_dataframe()
    table = data.pivot(index="obs_model", columns="obs_benchmark", values="score")
    family_of = dict(zip(post.models, post.constant("family_of_model").astype(str)))
    lineage_of = dict(zip(post.families, post.constant("lineage_of_family").astype(str)))
    family = family_of[model]
    f = post.families.index(family)
    eta = post.predictor(post.known_effects())[:, :, j].astype(float)
    members = [
        m for m in table.index if family_of[m] == family and np.isfinite(table.at[m, benchmark])
    ]
    related = [
        post.families.index(g)
        for g in post.families
        if lineage_of[g] == lineage_of[family] and g != family
        and table.loc[[m for m in table.index if family_of[m] == g], benchmark].notna().any()
    ]  # fmt: skip
    step, inverse_n = post.constant("rounding")[j], post.constant("inverse_n")[j]
    law = post.spec.observation
    score, density, below, at_most = table.at[model, benchmark], [], [], []
    for s in range(post.n_draws):
        u = np.zeros(1)
        weight = np.zeros(1)
        own = 0.0
        if "residual" in v:
            tau, own = float(v["residual_scale"][s, j]), float(v["residual"][s, f, j])
            share = float(v["residual_share"][s]) if "residual_share" in v else 0.0
            cov = tau**2 * (share + (1 - share) * np.eye(1 + len(related)))
            gain = cov[0, 1:] @ np.linalg.pinv(cov[1:, 1:])
            mean = gain @ v["residual"][s, related, j].astype(float)
            sd = np.sqrt(cov[0, 0] - gain @ cov[1:, 0])
            u = np.linspace(mean - 30 * sd, mean + 30 * sd, 40_001)
            weight = stats.norm.logpdf(u, mean, sd)

        def at(m: str, s: int = s, u: np.ndarray = u, own: float = own) -> tuple:
            x = eta[s, post.models.index(m)] - own + u
            fraction = equations.link(post.spec.link, x, float(v["link_shape"][s, j]), np)
            mu = equations.expected(fraction, float(v["lower"][s, j]), float(v["upper"][s, j]))
            noise, sampling = float(v["noise_scale"][s, j]), float(v["sampling_fraction"][s])
            return mu, likelihood.noise_sd(
                post.spec.noise, mu, fraction, noise, sampling, float(inverse_n), np
            )

        for other in members:
            if other != model:
                y = float(table.at[other, benchmark])
                logp = likelihood.log_likelihood(y, *at(other), law, float(step), np)
                weight = weight + logp
        weight = weight - logsumexp(weight)
        mu, noise = at(model)
        logp = likelihood.log_likelihood(float(score), mu, noise, law, float(step), np)
        density.append(logsumexp(weight + logp))
        weight = np.exp(weight)
        upper = stats.t.cdf((score + step / 2 - mu) / noise, law.df)
        lower = stats.t.cdf((score - step / 2 - mu) / noise, law.df)
        at_most.append(weight @ (upper if score + step / 2 < 1 else np.ones_like(mu)))
        below.append(weight @ (lower if score - step / 2 > 0 else np.zeros_like(mu)))
    of_draw = np.exp(-np.array(density) - logsumexp(-np.array(density)))
    pit = float(of_draw @ (0.5 * (np.array(below) + np.array(at_most))))
    return pit, 2 * min(pit, 1 - pit)


@pytest.mark.parametrize(
    ("draws", "choices"),
    [
        pytest.param(1, {}, marks=pytest.mark.slow),
        pytest.param(6, {}, marks=pytest.mark.long),
        pytest.param(6, {"intercept": "family", "link": "logistic"}, marks=pytest.mark.slow),
        pytest.param(6, {"residual": "none"}, marks=pytest.mark.slow),
        pytest.param(6, {"df": float("inf")}, marks=pytest.mark.slow),
    ],
)
def test_pit_is_that_of_integrals_worked_by_hand(draws, choices):
    """Of lone scores, of several in a family, with relatives, at 0, rounded: all of them."""
    post = made(draws, **choices)
    found = post.surprises().frame
    assert len(found) == post.attrs["n_scores"]
    for row in found.itertuples():
        pit, p = by_hand(post, row.model, row.benchmark)
        assert row.pit == pytest.approx(pit, abs=1e-5), (row.model, row.benchmark)
        assert row.p == pytest.approx(p, rel=1e-3, abs=1e-12), (row.model, row.benchmark)
        assert row.direction == ("high" if pit > 0.5 else "low")


@pytest.mark.long
def test_the_draws_own_residual_of_the_family_does_not_matter():
    """A lone score could be explained by it whatever it is."""
    post = made(6)
    one = post.surprises().frame.set_index(["model", "benchmark"])
    lone = post.tree["posterior"]["residual"].sel(family="lone")
    eta = post.predictor(post.known_effects())[:, post.models.index("lone-1b")]
    lone += 0.5
    moved = type(post)(post.tree, post.spec)
    assert not np.allclose(moved.predictor(moved.known_effects())[:, -1], eta)
    two = moved.surprises().frame.set_index(["model", "benchmark"])
    np.testing.assert_allclose(two["pit"], one["pit"].reindex(two.index), atol=2e-4)


@pytest.fixture(scope="module")
def spoilt(tiny_spec, tiny_table) -> tuple[sb.Surprises, str, str]:
    """What is found in a table with one score moved by 25 points."""
    frame = tiny_table.frame
    model, benchmark = "cedar-7b", "Facts"
    row = frame.index[frame["model"] == model].item()
    value = frame.loc[row, benchmark]
    scores = frame[NAMES].to_numpy(copy=True)
    scores[row, NAMES.index(benchmark)] = value - 0.25 if value > 0.5 else value + 0.25
    post = tiny_spec.fit(leaderboard(scores), **QUICK)
    return post.surprises(), model, benchmark


def test_an_error_is_the_worst_score_of_a_table(spoilt):
    found, model, benchmark = spoilt
    worst = found.frame.iloc[0]
    assert (worst["model"], worst["benchmark"]) == (model, benchmark)
    assert worst["flagged"]
    assert not worst["lower"] <= worst["score"] <= worst["upper"]
    assert found.frame["flagged"].sum() <= 3
    assert found.models.iloc[0]["model"] == model
    assert found.models.iloc[0]["worst"] == benchmark


def test_little_is_flagged_in_a_table_drawn_from_the_law(tiny_svi):
    found = tiny_svi.surprises()
    frame = found.frame
    assert len(frame) == tiny_svi.attrs["n_scores"]
    assert frame["flagged"].mean() <= 0.05
    assert (frame["flagged"] == (frame["p"] <= 0.01)).all()
    np.testing.assert_allclose(frame["q"], stats.false_discovery_control(frame["p"]))
    assert frame["p"].is_monotonic_increasing
    assert (frame["lower"] <= frame["expected"]).all()
    assert (frame["expected"] <= frame["upper"]).all()
    assert frame["p"].between(0, 1).all()
    assert frame["score"].between(frame["lower"], frame["upper"]).mean() > 0.7
    assert "variational" in " ".join(found.messages)
    assert "scores flagged" in repr(found)


def test_a_model_is_the_chi_squared_of_its_scores(tiny_svi):
    found = tiny_svi.surprises()
    row = found.models.iloc[-1]
    of = found.frame[found.frame["model"] == row["model"]]
    chi2 = (stats.norm.isf(of["p"] / 2) ** 2).sum()
    assert row["n_scores"] == len(of)
    assert row["chi2"] == pytest.approx(chi2)
    assert row["p"] == pytest.approx(stats.chi2.sf(chi2, len(of)))
    assert found.models["p"].is_monotonic_increasing


def test_same_seed_same_numbers_and_fewer_draws_nearly(tiny_svi):
    one, again = tiny_svi.surprises(seed=3), tiny_svi.surprises(seed=3)
    pd.testing.assert_frame_equal(one.frame, again.frame)
    half = tiny_svi.surprises(draws=100).frame.set_index(["model", "benchmark"])
    whole = one.frame.set_index(["model", "benchmark"]).loc[half.index]
    assert np.median(np.abs(half["pit"] - whole["pit"])) < 0.05


@pytest.mark.slow
def test_rough_rows_are_settled_by_fits(tiny_svi, tiny_table, monkeypatch):
    monkeypatch.setattr(module, "K_HAT_MOST", -np.inf)
    rough = tiny_svi.surprises()
    assert not rough.frame["exact"].any()
    settled = tiny_svi.surprises(refit=1, table=tiny_table, progress=False).frame
    assert settled["exact"].sum() == 1
    row = settled[settled["exact"]].iloc[0]
    worst = rough.frame.iloc[0]
    assert (row["model"], row["benchmark"]) == (worst["model"], worst["benchmark"])
    assert row["expected"] == pytest.approx(worst["expected"], abs=0.1)
    assert row["pit"] != worst["pit"]


def test_what_cannot_be_asked_is_said(tiny_svi, tiny_prior, tiny_table):
    with pytest.raises(sb.DataError, match="have seen no score"):
        tiny_prior.surprises()
    with pytest.raises(sb.DataError, match="level must lie between 0 and 1"):
        tiny_svi.surprises(level=5.0)
    with pytest.raises(sb.SpecError, match="draws must be a whole number of at least 20, not 1"):
        tiny_svi.surprises(draws=1)
    with pytest.raises(sb.DataError, match="pass it as table="):
        tiny_svi.surprises(refit=1)
    other = tiny_table.select(families=["alder", "birch"])
    with pytest.raises(sb.DataError, match="not the one of the fit"):
        tiny_svi.surprises(refit=1, table=other)
