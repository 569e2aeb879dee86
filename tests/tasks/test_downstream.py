"""Downstream tasks: exact cases, invariance, errors, the command, and recovery."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import sloth_bayes as sb
from sloth_bayes.api import Posterior
from sloth_bayes.cli import app
from sloth_bayes.law import equations
from sloth_bayes.tasks import downstream_model as task


def made(post, seed: int = 0, n_questions: int = 500, spread: float = 0.4) -> pd.Series:
    """A task whose law is the model's own, of one draw's skills."""
    rng = np.random.default_rng(seed)
    skill = post.skills("varimax", draws=2 * post.n_draws // 2).draws["model_skill"]
    one = skill.values.reshape(-1, *skill.shape[2:])[rng.integers(post.n_draws)]
    weight = 1.2 * rng.standard_normal(one.shape[1])
    eta = rng.normal(0, 0.7) + one @ weight + spread * rng.standard_t(4, len(one))
    p = equations.link("logistic", eta, np.ones(1), np)
    return pd.Series(rng.binomial(n_questions, p) / n_questions, index=post.models, name="made")


@pytest.fixture(scope="module")
def found(tiny_posterior):
    y = made(tiny_posterior)
    return tiny_posterior.downstream(y, hold_out=list(y.index[::6]), draws=100)


# -- what comes out ------------------------------------------------------------------------


@pytest.mark.slow
def test_the_table_says_who_trains(found):
    frame = found.frame
    assert (frame["role"] == "held out").sum() == len(range(0, 23, 6))
    assert frame["lower"].le(frame["median"]).all()
    assert frame["median"].le(frame["upper"]).all()
    assert frame[["lower", "upper"]].to_numpy().min() >= 0
    assert "4 held out" in repr(found)


@pytest.mark.long
def test_diagnostics_follow_the_sampler_and_the_posterior(found, monkeypatch):
    monkeypatch.setattr(type(found.posterior), "known_verdict", None)
    share = found.diagnostics().table["effective_share"]
    assert share.between(0, 1).all()
    assert share.is_monotonic_increasing
    assert found.diagnostics().ok == (share[1] > 0.05)
    monkeypatch.setattr(type(found.posterior), "known_verdict", False)
    assert not found.diagnostics().ok
    assert any("posterior of the skills" in line for line in found.diagnostics().messages)


@pytest.mark.long
def test_held_out_scores_change_nothing(tiny_posterior, found):
    y = made(tiny_posterior)
    y.iloc[::6] = 0.5
    again = tiny_posterior.downstream(y, hold_out=list(y.index[::6]), draws=100)
    pd.testing.assert_frame_equal(
        again.frame.drop(columns="score"), found.frame.drop(columns="score"), check_exact=True
    )


def test_a_forecast_does_not_depend_on_the_other_models(found):
    names = found.scores["model"].tolist()
    alone = found.forecast(names[3]).frame["mean"].iloc[0]
    assert found.forecast(names).frame["mean"].iloc[3] == pytest.approx(alone, abs=1e-12)


def test_candidates_are_forecast_and_larger_is_not_certain(found):
    made_up = sb.candidates(family="cedar", params_b=[14, 40], tokens_t=6)
    frame = found.forecast(made_up).frame
    assert frame["benchmark"].eq("made").all()
    assert frame["sd"].gt(0).all()


@pytest.mark.long
def test_forecasts_do_not_depend_on_the_skills_coordinates(tiny_posterior, found):
    """Skills turned, loadings turned with them: the same posterior."""
    angle = 0.7
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    tree = tiny_posterior.tree.copy(deep=True)
    data = tree["posterior"].to_dataset()
    for name, var in data.data_vars.items():
        if var.dims[-1] == "skill":
            data[name] = (var.dims, (var.values @ turn).astype(np.float32), var.attrs)
    tree["posterior"] = tree["posterior"].copy()
    tree["posterior"].dataset = data
    turned = Posterior(tree, tiny_posterior.spec)
    y = made(tiny_posterior)
    again = turned.downstream(y, hold_out=list(y.index[::6]), draws=100)
    # the same to the last digits of single precision, which importance sampling magnifies
    close = again.frame["median"] - found.frame["median"]
    assert close.abs().mean() < 0.01


def test_weights_give_the_same_predictor_in_every_rotation(found):
    predictors = []
    for rotation in ("geomin", "varimax"):
        _, weight = found._named(rotation)
        read = found.posterior.skills(rotation, draws=len(found.kept))
        skill = np.repeat(read.merged("model_skill"), len(weight) // len(found.kept), axis=0)
        predictors.append(np.einsum("smk,sk->sm", skill, weight))
    np.testing.assert_allclose(*predictors, atol=1e-6)


def test_the_link_has_an_inverse():
    eta, shape = np.linspace(-4, 4, 9), np.array([0.5, 1.0, 3.0])[:, None]
    for kind in equations.LINKS:
        fraction = equations.link(kind, eta + 0 * shape, shape, np)
        np.testing.assert_allclose(
            equations.inverse_link(kind, fraction, shape, np), eta + 0 * shape, atol=1e-9
        )


def test_the_interval_of_a_score_is_its_sampling_error():
    given = task.scores(np.array([0.0, 0.5, 1.0]), 100, 0.0, 1.0)
    half = np.sqrt(3 * 0.25 / 100)
    assert given.low[1] == pytest.approx(0.5 - half)
    assert given.high[1] == pytest.approx(0.5 + half)
    assert given.low[0] == -1  # all below
    assert given.high[2] == 2
    assert given.width[0] == pytest.approx(given.high[0])


def test_the_figure_has_two_panels(found):
    import matplotlib.pyplot as plt

    axes = found.plot()
    assert axes.shape == (1, 2)
    assert axes[0, 0].get_title(loc="left") == "made"
    plt.close(axes[0, 0].figure)


def test_the_data_that_ship():
    data = sb.load_downstream()
    assert data["score"].between(0, 1).all()
    assert data.groupby("group")["task"].nunique().to_dict() == {
        "AgentBench": 8, "AgentBoard": 20, "BIG-bench": 8, "EQ-Bench": 1, "HumanEval": 1,
    }  # fmt: skip
    with pytest.raises(sb.UnknownNameError, match="did you mean 'EQ-Bench'"):
        sb.load_downstream("EQBench")


# -- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({"alder-0.5b": 45.0}, {}, r"is 45, outside \[0, 1\]: divide by"),
        ({"alder-5b": 0.4}, {}, r"1 model\(s\) not in the posterior: 'alder-5b' \(near: 'alder"),
        ({"alder-0.5b": "high"}, {}, "'high', not a number"),
        ({}, {"shrinkage": "weak"}, "unknown shrinkage 'weak'"),
        ({}, {"hold_out": "alder-3b"}, "unknown model to hold out 'alder-3b': did you mean"),
        ({}, {"n_questions": 0}, "n_questions must be a number of at least 1"),
        ({}, {"chance": 1.0}, "chance must be a score"),
    ],
)
def test_nonsense_is_refused_with_the_remedy(tiny_posterior, change, options, words):
    scores = dict.fromkeys(tiny_posterior.models[:8], 0.5) | change
    with pytest.raises((sb.DataError, sb.UnknownNameError), match=words):
        tiny_posterior.downstream(scores, **options)


def test_too_few_scores_and_unknown_models_to_forecast(tiny_posterior, found):
    with pytest.raises(sb.DataError, match=r"4 model.s. with a score are too few"):
        tiny_posterior.downstream(dict.fromkeys(tiny_posterior.models[:4], 0.5))
    with pytest.raises(sb.UnknownNameError, match="not in the posterior: 'oak'"):
        found.forecast(["oak"])


# -- the command -----------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command(tmp_path, tiny_posterior):
    path, file = tmp_path / "tiny.nc", tmp_path / "mine.csv"
    tiny_posterior.save(path)
    y = made(tiny_posterior)
    y.rename_axis("model").reset_index().to_csv(file, index=False)
    run = CliRunner().invoke
    done = run(app, ["downstream", str(file), "--posterior", str(path), "--json"])
    read = json.loads(done.stdout)
    assert len(read["downstream"]) == len(y)
    assert len(read["weights"]) == 2
    wrong = run(app, ["downstream", str(file), "--posterior", str(path), "--hold-out", "oak"])
    assert wrong.exit_code == 2
    assert "unknown model to hold out 'oak'" in wrong.output
    assert run(app, ["downstream", "EQBench"]).exit_code == 2
    assert run(app, ["downstream", str(tmp_path / "none.csv")]).exit_code == 2


# -- recovery --------------------------------------------------------------------------------


@pytest.mark.slow
def test_intervals_cover_held_out_scores_of_made_tasks(tiny_posterior):
    inside = []
    for seed in range(60):
        y = made(tiny_posterior, seed)
        out = list(y.index[seed % 4 :: 4])
        frame = tiny_posterior.downstream(y, hold_out=out, draws=100, seed=seed).frame
        frame = frame[frame["role"] == "held out"]
        inside += frame["score"].between(frame["lower"], frame["upper"]).tolist()
    assert 0.85 <= np.mean(inside) <= 0.95
