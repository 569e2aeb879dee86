"""Unknown sizes and tokens as parameters: the prior, the same numbers without, recovery."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sloth_bayes as sb
from sloth_bayes.model.arrays import design
from tests.conftest import BENCHMARKS, NAMES, QUICK, leaderboard

HIDDEN = ("birch-7b", "cedar-14b")


def _without_tokens(table: sb.Leaderboard, models=HIDDEN) -> sb.Leaderboard:
    frame = table.frame
    frame.loc[frame["model"].isin(models), "tokens_t"] = np.nan
    return sb.Leaderboard.from_frame(frame, benchmarks=BENCHMARKS, name="tiny")


@pytest.fixture(scope="module")
def latent(tiny_table) -> sb.Posterior:
    spec = sb.Sloth(n_skills=2, unknown_inputs="latent")
    return spec.fit(_without_tokens(tiny_table), **QUICK)


@pytest.mark.long
def test_the_prior_is_the_regression_of_known_tokens_on_size(tiny_table):
    laid_out = design(_without_tokens(tiny_table), latent=True)
    unknown, table = laid_out.arrays.unknown, laid_out.table
    assert laid_out.of_unknown == ((), HIDDEN)
    assert laid_out.left_out == ()
    known = table[table["tokens_t"].notna()]
    slope, intercept = np.polyfit(np.log(known["params_b"]), np.log(known["tokens_t"]), 1)
    np.testing.assert_allclose(unknown.of_tokens[:2], [intercept, slope], rtol=1e-5)
    row = laid_out.models.index("birch-7b")
    assert unknown.log_tokens[row] == pytest.approx(intercept + slope * np.log(7), rel=1e-5)
    assert laid_out.centre[1] == pytest.approx(np.log(known["tokens_t"]).mean(), rel=1e-5)


@pytest.mark.long
def test_by_default_such_rows_are_left_out(tiny_table):
    laid_out = design(_without_tokens(tiny_table))
    assert laid_out.left_out == HIDDEN
    assert laid_out.arrays.unknown is None


@pytest.mark.slow
def test_without_anything_unknown_the_numbers_are_the_same(tiny_spec, tiny_table, tiny_svi):
    again = tiny_spec.replace(unknown_inputs="latent").fit(tiny_table, **QUICK)
    first, second = (p.data_tree["posterior"].to_dataset() for p in (tiny_svi, again))
    assert first.identical(second)


@pytest.mark.slow
def test_the_posterior_of_the_unknown_is_returned(latent, tmp_path):
    tokens = latent.data_tree["posterior"]["tokens_t"]
    assert tokens["of_unknown_tokens"].values.tolist() == list(HIDDEN)
    assert float(tokens.min()) > 0
    assert "params_b" not in latent.data_tree["posterior"]
    assert set(HIDDEN) <= set(latent.models)
    seen = latent.data_tree["observed_data"]["obs_model"].values
    assert np.isin(HIDDEN, seen).all()
    assert np.isfinite(latent.data_tree["log_likelihood"]["score"].values).all()
    latent.save(tmp_path / "latent.nc")
    again = sb.load(tmp_path / "latent.nc").expected_scores()
    np.testing.assert_allclose(again, latent.expected_scores(), atol=1e-6)
    assert f"tokens_t[{HIDDEN[0]}]" in set(latent.diagnostics().table["quantity"])


@pytest.mark.long
def test_forecasts_of_known_models_work(latent):
    rows = sb.candidates(family="birch", params_b=30, tokens_t=2)
    assert latent.forecast(rows).frame["median"].between(0, 1).all()


@pytest.mark.long
def test_too_few_known_inputs_set_no_prior(tiny_table):
    frame = tiny_table.frame
    frame.loc[4:, "tokens_t"] = np.nan
    few = sb.Leaderboard.from_frame(frame, benchmarks=BENCHMARKS)
    with pytest.raises(sb.DataError, match="4 models of known size and tokens"):
        design(few, latent=True)


@pytest.mark.slow
def test_intervals_cover_hidden_tokens():
    from tests.conftest import layout

    spec = sb.Sloth(n_skills=1, inputs="loglinear", unknown_inputs="latent")
    inside = []
    for seed in range(12):
        rows = layout()
        rng = np.random.default_rng(seed)
        rows["tokens_t"] = np.exp(rng.normal(0.7, 1.0, len(rows)))
        table = leaderboard(np.full((len(rows), len(NAMES)), 0.5), rows)
        prior = spec.prior(table, draws=20, seed=seed)
        scores = prior.data_tree["posterior_predictive"]["score"].values[0, -1]
        # observations are sorted by model
        order = np.argsort(rows["model"].to_numpy(str))
        filled = np.empty((len(rows), len(NAMES)))
        filled[order] = scores.reshape(len(rows), len(NAMES))
        hidden = [str(m) for m in rng.choice(rows["model"], 4, replace=False)]
        post = spec.fit(
            _without_tokens(leaderboard(filled, rows), hidden), chains=2, warmup=300, draws=300,
            steps=600, starts=2, seed=seed, progress=False,
        )  # fmt: skip
        tokens = post.data_tree["posterior"]["tokens_t"]
        low, high = tokens.quantile([0.05, 0.95], ("chain", "draw")).values
        truth = rows.set_index("model").loc[tokens["of_unknown_tokens"].values, "tokens_t"]
        inside += ((low <= truth) & (truth <= high)).tolist()
    assert 0.75 <= np.mean(inside) <= 1.0


@pytest.mark.slow
def test_folds_use_rows_of_unknown_tokens_too(tiny_table):
    table = _without_tokens(tiny_table)
    folds = sb.protocols.leave_group_out(table, {"alder": "alder"}, n_observed=2)
    spec = sb.Sloth(n_skills=2, unknown_inputs="latent")
    quick = {"steps": 200, "draws": 100, "progress": False}
    with_them = sb.cross_validate(spec, table, folds, **quick).frame
    without = sb.cross_validate(spec.replace(unknown_inputs="drop"), table, folds, **quick).frame
    known = table.select(models=[m for m in table.models if m not in HIDDEN])
    absent = sb.cross_validate(spec.replace(unknown_inputs="drop"), known, folds, **quick).frame
    pd.testing.assert_frame_equal(without, absent)
    assert np.isfinite(with_them["median"]).all()
    assert not np.allclose(with_them["median"], without["median"], atol=1e-3)
