"""Laws without sizes: what they refuse, and what of a table and a candidate they read."""

import numpy as np
import pandas as pd
import pytest

import sloth_bayes as sb
from sloth_bayes.errors import DataError, ExtrapolationWarning, SpecError

NAMES = ["gpqa_diamond", "mmlu_pro", "hle", "ifeval"]
DATED = {
    "inputs": "date", "n_skills": 2, "intercept": "family", "instruct": "kinds",
    "model_effect": "pooled", "link": "logistic", "lower": "chance", "upper": "one",
}  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return sb.load_dataset("frontier_scorecards").select(benchmarks=NAMES)


@pytest.fixture(scope="module")
def post(data):
    return sb.Sloth(**DATED).prior(data, draws=200)


def test_inputs_of_a_year_and_of_nothing(data, post):
    assert "slope" not in post.merged
    assert post.merged["year"].shape == (200, 2)
    years = post.constant_data["years"].sel(model="gpt-5.5")
    assert float(years) == pytest.approx(
        (pd.Timestamp("2026-04-22") - pd.Timestamp("2025")).days / 365.25
    )
    none = sb.Sloth(**DATED | {"inputs": "none"}).prior(data, draws=20)
    assert not {"slope", "year"} & set(none.merged)
    assert none.forecast(pd.DataFrame({"model": ["x"], "family": "OpenAI"})).frame.shape[0] == 4


@pytest.mark.parametrize(
    "choice",
    [{"slopes": "pooled"}, {"walk": "pooled"}, {"unknown_inputs": "latent"},
     {"mixtures": "effective"}, {"residual": "curve"}],
)  # fmt: skip
def test_what_needs_sizes_is_refused(choice):
    for inputs in ("date", "none"):
        with pytest.raises(SpecError):
            sb.Sloth(inputs=inputs, **choice)


def test_a_law_of_sizes_says_what_to_do_with_a_table_without(data):
    with pytest.raises(DataError, match="inputs='date'"):
        sb.Sloth().model(data)


def test_a_year_moves_a_forecast_by_its_coefficient(post):
    rows = pd.DataFrame(
        {"model": ["a", "a later"], "family": "OpenAI", "kind": "reasoning",
         "date": ["2026-06-01", "2027-06-01"]}
    )  # fmt: skip
    with pytest.warns(ExtrapolationWarning, match="after the last model"):
        fc = post.forecast(rows)
    width = fc.frame.groupby("model")["sd"].mean()
    assert np.isfinite(fc.frame["median"]).all()
    assert width["a later"] > 0


def test_a_new_model_needs_a_date_and_a_known_one_keeps_its_own(post):
    row = pd.DataFrame({"model": ["b"], "family": "OpenAI"})
    with pytest.raises(DataError, match="date"):
        post.forecast(row)
    known = pd.DataFrame({"model": ["gpt-5.5"], "family": "OpenAI"})
    at = post.models.index("gpt-5.5")
    mu, _ = post.cells(post.known_effects().at([at]))
    assert np.allclose(post.forecast(known).draws["expected"].values[0, :, 0], mu[:, 0], atol=1e-5)


def test_what_asks_for_sizes_is_refused_by_name(post):
    for ask in (
        lambda: post.required_size("gpqa_diamond", 0.9, family="OpenAI", tokens=10),
        lambda: post.saturation("gpqa_diamond", family="OpenAI", tokens=10),
        lambda: post.optimal_allocation(1e25, "gpqa_diamond", family="OpenAI"),
        lambda: sb.explorer.page(post),
    ):
        with pytest.raises((SpecError, DataError), match="size"):
            ask()


def test_a_posterior_without_lineages_is_slimmed_and_kept(post, tmp_path):
    kept = sb.load(post.slim(50).save(tmp_path / "few.nc"))
    assert kept.n_draws == 50
    assert "lineage_effect" not in kept.merged
