"""Progress by date: which month a family has, what a year adds, and that a fit finds it."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import sloth_bayes as sb
from sloth_bayes.law import terms
from sloth_bayes.predict.candidates import completed, moved
from sloth_bayes.predict.new_effects import effects_of
from tests.conftest import BENCHMARKS, NAMES, layout

MONTHS = {"alder": "2022-01", "birch": "2023-01", "birch-chat": None, "cedar": "2024-07"}
SPEC = sb.Sloth(n_skills=2, progress="date")


def dated(rows: pd.DataFrame, scores: np.ndarray, months: dict[str, str | None]) -> sb.Leaderboard:
    frame = rows.assign(released=rows["family"].map(months), **dict(zip(NAMES, scores.T)))
    return sb.Leaderboard.from_frame(frame, benchmarks=BENCHMARKS, name="dated")


def drawn(months: dict[str, str | None]) -> sb.Posterior:
    rng = np.random.default_rng(0)
    rows = layout()
    return SPEC.prior(dated(rows, rng.uniform(0.3, 0.7, (len(rows), 4)), months), draws=400, seed=4)


@pytest.fixture(scope="module")
def prior() -> sb.Posterior:
    return drawn(MONTHS)


def year_of(month: str) -> float:
    middle = pd.Timestamp(f"{month}-15")
    return (middle - pd.Timestamp("2025-01-01")).days / 365.25


def test_a_family_has_its_month_and_one_without_the_mean(prior):
    found = prior.constant_data["years"].groupby(prior.constant_data["family_of_model"]).mean()
    for family, month in MONTHS.items():
        if month is not None:
            assert float(found.sel(family_of_model=family)) == pytest.approx(year_of(month))
    rows = layout()
    known = rows["family"].map(MONTHS).dropna().map(year_of)
    assert float(found.sel(family_of_model="cedar-chat")) == pytest.approx(known.mean())
    assert prior.merged["progress"].std() == pytest.approx(1.0, rel=0.1)


def candidates(**more) -> pd.DataFrame:
    return sb.candidates(params_b=7.0, tokens_t=2.0, **more)


@pytest.mark.parametrize(
    ("more", "said", "want"),
    [
        ({"family": "birch"}, {}, year_of("2023-01")),
        ({"family": "birch"}, {"released": "2023-01"}, year_of("2023-01")),
        ({"family": "new"}, {}, year_of("2024-07")),  # the latest
        ({"family": "new"}, {"released": "2025-07"}, year_of("2025-07")),
        ({"family": "new"}, {"date": "2025-01-01"}, 0.0),
    ],
)
def test_the_month_of_a_candidate(prior, more, said, want):
    rows = completed(prior, candidates(**more).assign(**said), True)
    assert rows["years"].tolist() == [pytest.approx(want)]
    larger = moved(prior, rows, np.array([70.0]), np.array([15.0]))
    assert larger["years"].tolist() == [pytest.approx(want)]


def test_a_month_can_be_said_and_is_told(prior):
    new = candidates(family=["new", "old"], released=["2025-07", "2023-07"])
    rows = completed(prior, new, True)
    assert rows["years"].tolist() == [
        pytest.approx(year_of(month)) for month in ("2025-07", "2023-07")
    ]
    with pytest.warns(sb.ExtrapolationWarning, match="years after the last"):
        notes = prior.forecast(new, new_family=True).warnings
    before = candidates(family="new", released="2019-07")
    with pytest.warns(sb.ExtrapolationWarning, match="years before the first model in the data"):
        prior.forecast(before, new_family=True)
    of = "was never seen: drawn from the population of lineages, as of"
    assert f"family 'old' {of} 2023-07" in notes
    latest = prior.forecast(candidates(family="new"), new_family=True).warnings
    assert f"family 'new' {of} 2024-07, the latest month of the fit" in latest
    for month in ("2025-13", "2025", "2025Q3", "July 2025", "0205-07", "soon"):
        with pytest.raises(sb.DataError, match=rf"'{month}'.*write it as year-month"):
            prior.forecast(candidates(family="new", released=month), new_family=True)
    crossed = candidates(family=["a", "b"], released=["2023-07", "2025-07"], grid=True)
    assert crossed["released"].tolist() == ["2023-07", "2025-07"] * 2
    assert crossed["model"].is_unique


def test_a_family_has_one_month(prior):
    other = candidates(family="birch", released="2023-07")
    with pytest.raises(sb.DataError, match="'birch' is of 2023-01, and 2023-07 is said of it"):
        prior.forecast(other)
    two = candidates(family="new", released=["2023-07", "2023-08"])
    with pytest.raises(sb.DataError, match="'new' is of 2023-07, and 2023-08 is said"):
        prior.forecast(two, new_family=True)
    meant = candidates(family="birch").assign(release_date="2023-07")
    with pytest.raises(sb.DataError, match=r"'release_date'.*rename it to 'released'"):
        prior.forecast(meant)


def test_a_law_without_months_says_that_it_does_not_read_them():
    post = sb.load("leaderboard")
    notes = post.forecast(sb.candidates("qwen2", 60, 7, released="2024-06")).warnings
    assert any("months of release ('released') change nothing" in note for note in notes)
    assert not any(
        "released" in note for note in post.forecast(sb.candidates("qwen2", 60, 7)).warnings
    )


def test_a_year_adds_its_coefficient_and_nothing_else(prior):
    each = [candidates(family="new", released=month) for month in ("2023-03", "2025-03")]
    rows = pd.concat([completed(prior, one, True) for one in each]).assign(model="a")
    one, two = np.moveaxis(terms.skills(prior.merged, effects_of(prior, rows, 1)), 1, 0)
    years = np.diff(rows["years"])[0]
    np.testing.assert_allclose(two - one, years * prior.merged["progress"], atol=1e-3)


@pytest.mark.long
def test_all_families_three_years_later_are_the_same_table(prior):
    later = drawn({f: m and str(pd.Period(m, "M") + 36) for f, m in MONTHS.items()})
    mu, _ = prior.cells(prior.known_effects())
    again, _ = later.cells(later.known_effects())
    np.testing.assert_allclose(mu, again, atol=2e-3)  # a leap day is not


@pytest.mark.long
def test_a_file_keeps_it_and_plans_go_on_from_the_family_s_month(prior, tmp_path):
    kept = sb.load(prior.save(tmp_path / "dated.nc"))
    assert kept.spec == SPEC
    new = candidates(family="new").assign(released="2025-07")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frames = [p.forecast(new, new_family=True, seed=2).frame for p in (prior, kept)]
        answer = kept.required_size("Maths", 0.5, family="cedar", tokens=6.0)
    np.testing.assert_allclose(frames[0]["median"], frames[1]["median"], atol=1e-3)
    assert 0 <= answer.frame["p_reachable"].iloc[0] <= 1
    with pytest.warns(sb.ExtrapolationWarning, match="years after the last"):
        prior.forecast(new, new_family=True)


@pytest.mark.slow
def test_a_new_family_of_a_month_is_conditioned_on(prior):
    mine = candidates(family="mine").assign(released="2025-07", Reading=0.45, Maths=0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        post = prior.condition(mine, seed=4)
        table = post.forecast(candidates(family="mine")).frame.set_index("benchmark")["median"]
    at = post.constant_data["years"].sel(model=mine["model"].iloc[0])
    assert float(at) == pytest.approx(year_of("2025-07"))
    assert table["Reading"] == pytest.approx(0.45, abs=0.1)
    assert table["Maths"] == pytest.approx(0.2, abs=0.1)


def many(seed: int) -> tuple[sb.Leaderboard, sb.Posterior]:
    """Forty families of five years, drawn from the law, and the truth."""
    rng = np.random.default_rng(seed)
    months = pd.period_range("2020-01", "2024-12", freq="M")[rng.permutation(60)[:40]]
    rows = pd.DataFrame(
        [
            {"model": f"f{i:02}-{k}", "family": f"f{i:02}", "instruct": False,
             "params_b": 2.0**k, "tokens_t": 2.0}
            for i in range(40) for k in range(3)
        ]
    )  # fmt: skip
    months = {f"f{i:02}": str(month) for i, month in enumerate(months)}
    table = dated(rows, np.full((len(rows), 4), 0.5), months)
    truth = SPEC.replace(n_skills=1, intercept="family").prior(table, draws=20, seed=seed)
    drawn = truth.data_tree["posterior_predictive"]["score"].values[0, -1]
    return dated(rows, drawn.reshape(len(rows), 4), months), truth


@pytest.mark.slow
def test_a_fit_finds_what_a_year_adds():
    """In predictors, which no coordinates of skills change; by NUTS."""
    table, truth = many(5)
    fit = {"chains": 2, "warmup": 200, "draws": 200, "steps": 600, "starts": 1}
    post = truth.spec.fit(table, progress=False, **fit)
    found, true = (
        np.einsum("sjk,sk->sj", p.merged["loading"], p.merged["progress"]) for p in (post, truth)
    )
    sd, off = found.std(0), found.mean(0) - true[-1]
    assert (np.abs(off) < 3 * sd).all(), (off, sd)
    assert sd.mean() < 0.5 * true.std(0).mean()  # and says more than the prior does


def test_two_dates_are_refused():
    with pytest.raises(sb.SpecError, match="one of the two"):
        sb.Sloth(inputs="date", progress="date")
