"""Trends of benchmarks: what a year adds to each, to cards too, and that a fit finds it."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import sloth_bayes as sb
from sloth_bayes.law import terms
from sloth_bayes.predict.candidates import completed
from sloth_bayes.predict.new_effects import effects_of

NAMES = [f"b{k}" for k in range(6)]
SPEC = sb.Sloth(
    n_skills=1, inputs="date", intercept="family", instruct="none", model_effect="pooled",
    link="logistic", lower="chance", upper="one", trend="benchmarks",
)  # fmt: skip
ROWS = pd.DataFrame(
    {
        "model": [f"m{k:02}" for k in range(60)],
        "family": [f"f{k % 6}" for k in range(60)],
        "instruct": True,
        "date": pd.date_range("2023-01-01", "2026-01-01", 60),
    }
)


def table(scores: np.ndarray | float, days: int = 0) -> sb.Leaderboard:
    columns = pd.DataFrame(np.full((60, 6), scores), columns=NAMES)
    columns.iloc[1::2, 3:] = np.nan
    rows = ROWS.assign(date=(ROWS["date"] + pd.Timedelta(days=days)).dt.strftime("%Y-%m-%d"))
    return sb.Leaderboard.from_frame(
        pd.concat([rows, columns], axis=1), benchmarks=[sb.Benchmark(n) for n in NAMES]
    )


@pytest.fixture(scope="module")
def prior() -> sb.Posterior:
    return SPEC.prior(table(0.5), draws=400, seed=4)


def new(*dates: str) -> pd.DataFrame:
    return pd.DataFrame({"model": [f"x{k}" for k in range(len(dates))], "family": "f0"}).assign(
        date=dates
    )


def test_a_year_adds_its_coefficient_to_the_benchmark(prior):
    v = prior.merged
    assert (v["trend"] / v["trend_scale"][:, None]).std() == pytest.approx(1.0, rel=0.1)
    assert np.median(v["trend_scale"]) == pytest.approx(0.5 * 0.674, rel=0.15)  # half-normal
    rows = completed(prior, new("2026-03-01", "2028-03-01"), False)
    who = effects_of(prior, rows, 1)
    gained = np.diff(terms.residuals(v, who), axis=1)[:, 0]
    years = np.diff(rows["years"])[0]
    assert years == pytest.approx(2.0, abs=0.01)
    np.testing.assert_allclose(gained, years * v["trend"], atol=1e-4)


def test_a_file_keeps_trends_and_a_law_without_dates_has_none(prior, tmp_path):
    kept = sb.load(prior.slim(100).save(tmp_path / "few.nc"))
    assert kept.spec == SPEC
    assert kept.merged["trend"].shape == (100, 6)
    for inputs in ("translog", "none"):
        with pytest.raises(sb.SpecError, match="inputs='date'"):
            sb.Sloth(inputs=inputs, trend="benchmarks")


@pytest.mark.long
def test_a_card_four_years_later_of_a_table_four_years_later_is_the_same(prior):
    """Conditioning, too: years count from where the table is."""
    card = new("2026-03-01").assign(b0=0.6, b3=0.4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = prior.complete(card, seed=3)
        days = 1461
        later = SPEC.prior(table(0.5, days), draws=400, seed=4)
        two = later.complete(card.assign(date="2030-03-01"), seed=3)
    a, b = (x.frame.set_index("benchmark").sort_index() for x in (one, two))
    np.testing.assert_allclose(a["median"], b["median"], atol=2e-3)
    np.testing.assert_allclose(a["lower"], b["lower"], atol=5e-3)
    runs = [x.next_evaluation(2)["benchmark"].tolist() for x in (one, two)]
    assert runs[0] == runs[1]


@pytest.mark.slow
def test_a_fit_finds_what_a_year_adds_to_benchmarks():
    """In predictors, and beyond what skills gain; by NUTS."""
    truth = SPEC.prior(table(0.5), draws=40, seed=5)
    of = int(np.argmin(np.abs(truth.merged["trend_scale"] - 0.7)))
    drawn = truth.data_tree["posterior_predictive"]["score"]
    scores = np.full((60, 6), np.nan)
    seen = np.isfinite(table(0.5).frame[NAMES].to_numpy(float))
    scores[seen] = drawn.values.reshape(-1, drawn.shape[-1])[of]
    fit = {"chains": 2, "warmup": 300, "draws": 300, "steps": 600, "starts": 1}
    post = SPEC.fit(table(scores), progress=False, **fit)
    a, b = post.merged, truth.merged
    true = b["trend"][of] + b["loading"][of] @ b["year"][of]
    found = a["trend"] + np.einsum("sjk,sk->sj", a["loading"], a["year"])
    for x, y in ((found, true), (a["trend"], b["trend"][of])):
        sd, off = x.std(0), x.mean(0) - y
        assert (np.abs(off) < 3 * sd).all(), (off, sd)
    apart, right = (x - x.mean(-1, keepdims=True) for x in (found, true))
    assert np.corrcoef(apart.mean(0), right)[0, 1] > 0.9, (apart.mean(0), right)
