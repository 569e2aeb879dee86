"""The machinery of tests/calibration.py, and the study itself, small."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sloth_bayes as sb
from sloth_bayes.law import likelihood
from sloth_bayes.model import loadings as model
from sloth_bayes.model.arrays import design
from studies import calibration, simulation

L = 39
TINY = {"number": 19, "draws": 40}


def ranks_of(quantities: dict[str, np.ndarray], number: int = L) -> pd.DataFrame:
    return pd.concat(
        [
            pd.DataFrame({"replication": range(len(r)), "quantity": q, "rank": r, "n": number})
            for q, r in quantities.items()
        ]
    )


# -- the verdict ---------------------------------------------------------------------------


def test_uniform_ranks_pass_and_wrong_ones_fail_by_name():
    rng = np.random.default_rng(0)
    u = {
        "right": rng.uniform(size=200),
        "narrow": rng.beta(0.5, 0.5, 200),
        "wide": rng.beta(2.5, 2.5, 200),
        "high": rng.beta(1, 1.7, 200),
        "low": rng.beta(1.7, 1, 200),
    }
    ranks = ranks_of({q: np.floor(v * (L + 1)).astype(int) for q, v in u.items()})
    found = calibration.summarise(ranks).set_index("quantity")
    assert found["inside"].to_dict() == {q: q == "right" for q in found.index}
    assert found["beyond"].to_dict() == {q: q != "right" for q in found.index}
    assert found["reading"].to_dict() == {
        "right": "", "narrow": "too narrow", "wide": "too wide", "high": "too high",
        "low": "too low",
    }  # fmt: skip
    assert found.index[-1] == "right"  # the worst come first
    assert found.loc["wide", "spread"] < 0.9 < 1.1 < found.loc["narrow", "spread"]


@pytest.mark.parametrize(("n", "number"), [(20, 9), (100, 63), (60, 3)])
def test_bands_hold_the_share_they_promise(n, number):
    """Of 2,000 sets of uniform ranks 95% are inside, give or take 4 standard errors.

    Counts are discrete, which costs a little with few replications and few ranks.
    """
    points, lower, upper = calibration.bands(n, number, 0.95)
    assert len(points) == number
    rng = np.random.default_rng(1)
    shares = [calibration.share_below(rng.integers(0, number + 1, n), points) for _ in range(2000)]
    inside = [(s >= lower - 1e-9).all() and (s <= upper + 1e-9).all() for s in shares]
    assert np.mean(inside) == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 2000))


def test_share_below_is_that_of_smaller_ranks():
    points, *_ = calibration.bands(4, 3, 0.95)
    assert points.tolist() == [0.25, 0.5, 0.75]
    assert calibration.share_below(np.array([0, 0, 2, 3]), points).tolist() == [0.5, 0.5, 0.75]


# -- ranks ---------------------------------------------------------------------------------


def test_ranks_by_hand():
    draws = np.array([[0.0], [1.0], [2.0], [2.0]])
    rng = np.random.default_rng(0)
    for truth, rank in ((-1.0, 0), (0.5, 1), (1.5, 2), (3.0, 4)):
        assert calibration.rank(np.array([truth]), draws, rng).tolist() == [rank]
    tied = [int(calibration.rank(np.array([2.0]), draws, rng)[0]) for _ in range(300)]
    counts = np.bincount(tied)
    assert counts[:2].tolist() == [0, 0]
    assert (counts[2:] > 70).all()
    assert len(counts) == 5


@pytest.mark.long
def test_a_conjugate_posterior_is_told_from_wrong_ones():
    """theta ~ N(0, 1), y ~ N(theta, 1): the posterior is N(y / 2, 1 / 2)."""
    rng = np.random.default_rng(3)
    n = 300
    theta = rng.normal(size=n)
    y = rng.normal(theta)
    z = rng.normal(size=(L, n))

    def log_likelihood(t: np.ndarray) -> np.ndarray:
        return -0.5 * (y - t) ** 2

    ranks = {}
    for name, draws in {
        "exact": y / 2 + np.sqrt(0.5) * z,
        "narrow": y / 2 + 0.5 * np.sqrt(0.5) * z,
        "prior": z,
    }.items():
        ranks[name] = calibration.rank(theta, draws, rng)
        ranks[f"{name}, log likelihood"] = calibration.rank(
            log_likelihood(theta), log_likelihood(draws), rng
        )
    found = calibration.summarise(ranks_of(ranks)).set_index("quantity")
    assert found["inside"].to_dict() == {
        "exact": True, "exact, log likelihood": True, "narrow": False,
        "narrow, log likelihood": False, "prior": True, "prior, log likelihood": False,
    }  # fmt: skip
    assert found.loc["narrow", "reading"] == "too narrow"


def test_thinned_draws_are_evenly_spaced_over_all_chains():
    draws = np.arange(20.0).reshape(2, 10, 1)
    assert calibration.thin(draws, 5)[:, 0].tolist() == [2, 6, 10, 14, 18]
    assert calibration.thin(draws, 20)[:, 0].tolist() == list(range(20))
    with pytest.raises(sb.SpecError, match="20 draws in all are fewer than the 21"):
        calibration.thin(draws, 21)


def test_one_cell_a_row_in_turn():
    labels = [f"x[{r}, {c}]" for r in ("a, b", "c", "d", "e") for c in "uvw"]
    labels.remove("x[c, u]")  # a score that is missing
    picked = [labels[i] for i in calibration.in_turn(labels)]
    assert picked == ["x[a, b, u]", "x[c, w]", "x[d, w]", "x[e, u]"]


# -- a replication -------------------------------------------------------------------------


@pytest.mark.slow
def test_the_truth_stands_beside_its_own_draws():
    """Its forecasts are those of the simulator, and its expected scores those of its draw."""
    k = 4
    table = next(simulation.from_prior(1, k, calibration.LAYOUT))
    drawn = simulation.prior_of(1, k, calibration.LAYOUT)
    post = calibration.fit(table.data, "prior", 77, {"draws": 40})
    both = calibration.beside_truth(post, drawn.data_tree["posterior"].to_dataset())
    names, values = calibration.quantities(both, table.held_out)
    assert values.shape == (1, 41, len(names))
    at = dict(zip(names, values[0, -1]))
    models = list(table.held_out["model"])
    for name in (n for n in names if n.startswith("forecast")):
        m, b = name[9:-1].split(", ")
        truth = table.expected[models.index(m), simulation.NAMES.index(b)]
        assert at[name] == pytest.approx(truth, abs=1e-5)
    expected = drawn.expected_scores()
    for m, b, truth in zip(
        expected["obs_model"].values, expected["obs_benchmark"].values, expected.values[0, 0]
    ):
        assert at.get(f"expected[{m}, {b}]", truth) == pytest.approx(truth, abs=1e-5)
    assert at["log_likelihood"] > values[0, :-1, names.index("log_likelihood")].max()


@pytest.mark.long
def test_what_is_ranked_is_in_a_panel_and_complete():
    table = next(simulation.from_prior(1, 0, calibration.LAYOUT))
    post = calibration.fit(table.data, "prior", 5, {"draws": 40})
    names, _ = calibration.quantities(post, table.held_out)
    assert len(set(names)) == len(names)
    group = pd.Series([calibration.group_of(n) for n in names]).value_counts()
    far = {"walk x loading", "tuned slope x loading", "month x loading"}
    told = set(calibration.GROUPS) - far
    assert set(group.index) == told  # none is empty, none is "other"
    assert group["floor"] == group["bias"] == group["noise"] == 6
    assert group["loading x loading"] == 21
    assert group["slope x loading"] == 18
    assert group["expected, observed"] == len(table.data) == 29
    assert group["expected, held out"] == len(table.held_out)
    for kind in ("family_effect", "residual"):
        cells = [n[len(kind) + 1 : -1].split(", ") for n in names if n.startswith(f"{kind}[")]
        assert [f for f, _ in cells] == post.families
        assert [b for _, b in cells] == [simulation.NAMES[i % 6] for i in range(8)]


def ranked_with(walk: str) -> tuple[list[str], pd.Series, sb.Leaderboard]:
    """What is ranked of a law with a walk, how many of each panel, and the table."""
    table = next(simulation.from_prior(1, 0, calibration.LAYOUT, walk))
    post = calibration.fit(table.data, "prior", 5, {"draws": 40, "walk": walk})
    names, _ = calibration.quantities(post, table.held_out)
    return names, pd.Series([calibration.group_of(n) for n in names]).value_counts(), table.data


@pytest.mark.long
def test_a_walk_is_ranked_wherever_it_is_not_known():
    names, group, data = ranked_with("compute")
    assert group["walk x loading"] == len(data) - data.frame["family"].nunique()
    assert "walk_scale" in names
    assert len(names) == 150 + 1 + group["walk x loading"]


@pytest.mark.long
def test_what_the_law_that_reaches_far_adds_is_ranked_too():
    _, group, _ = ranked_with("far")
    assert set(group.index) == set(calibration.GROUPS)
    assert group["tuned slope x loading"] == 18  # inputs times benchmarks
    assert group["month x loading"] == 6


@pytest.mark.long
def test_all_tables_share_one_program_and_keep_their_density():
    spec, exact = calibration.SPEC, model.sizes
    every, apart = set(), set()
    for k in range(8):
        arrays = design(next(simulation.from_prior(1, k, calibration.LAYOUT)).data).arrays
        with calibration.one_program():
            every.add(model.sizes(spec, arrays))
        own = exact(spec, arrays)
        apart.add(own)
        rounded, floor, ceiling = own.touched
        at = (arrays.score, 0.4, 0.05, spec.observation, 0.0, np)
        needed = likelihood.log_likelihood(*at, rounded=rounded, floor=floor, ceiling=ceiling)
        allowed = likelihood.log_likelihood(*at, rounded=rounded, floor=True, ceiling=True)
        np.testing.assert_array_equal(needed, allowed)
    assert len(every) == 1
    assert len(apart) > 1
    assert model.sizes is exact


# -- the study -----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_resumed_study_equals_an_uninterrupted_one(tmp_path, monkeypatch):
    """And a posterior that ignores the data fails by its likelihood alone."""
    whole, _ = calibration.run("prior", 8, tmp_path / "whole", **TINY)
    replicate, done = calibration.replicate, []

    def cut_off(k, *rest):
        if k == 5 and 5 not in done:
            done.append(k)
            raise KeyboardInterrupt
        done.append(k)
        return replicate(k, *rest)

    monkeypatch.setattr(calibration, "replicate", cut_off)
    with pytest.raises(KeyboardInterrupt):
        calibration.run("prior", 8, tmp_path / "part", **TINY)
    assert not (tmp_path / "part" / "ranks-prior.csv").exists()
    resumed, words = calibration.run("prior", 8, tmp_path / "part", **TINY)
    assert done == [0, 1, 2, 3, 4, 5, 5, 6, 7]
    pd.testing.assert_frame_equal(whole, resumed)
    for name in ("ranks-prior.csv", "summary-prior.csv"):
        one, other = (tmp_path / d / name for d in ("whole", "part"))
        assert one.read_bytes() == other.read_bytes()

    ranks = pd.read_csv(tmp_path / "whole" / "ranks-prior.csv")
    assert list(ranks.columns) == ["replication", "quantity", "rank", "n"]
    assert ranks["rank"].between(0, 19).all()
    assert ranks.groupby("quantity").size().eq(8).all()
    assert whole.loc[whole["beyond"], "quantity"].tolist() == ["log_likelihood"]
    assert whole["inside"].mean() > 0.85
    assert "beyond chance: log_likelihood, posterior too low" in words
    assert (tmp_path / "whole" / "ranks-prior.png").stat().st_size > 10_000

    with pytest.raises(sb.SpecError, match=r"0000\.json was made with .*take another --out"):
        calibration.study("prior", 8, tmp_path / "part", number=19, draws=41)


@pytest.mark.slow
def test_a_fit_that_fails_is_counted(tmp_path, monkeypatch):
    fit = calibration.fit

    def fail(table, method, seed, options):
        if seed % 2:
            raise sb.DataError("no finite density")
        return fit(table, method, seed, options)

    monkeypatch.setattr(calibration, "fit", fail)
    summary, words = calibration.run("prior", 4, tmp_path, **TINY)
    assert (summary["replications"] == 2).all()
    assert "2 fits failed" in words
    assert pd.read_csv(tmp_path / "fits-prior.csv")["failed"].notna().tolist() == [0, 1, 0, 1]
    monkeypatch.setattr(calibration, "fit", lambda *_: fail(*_[:2], 1, {}))
    with pytest.raises(sb.DataError, match="no fit succeeded; the first: no finite density"):
        calibration.study("prior", 1, tmp_path / "none", **TINY)


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--replications", "0"], "replications must be at least 1"),
        (["--steps", "5"], "takes draws and no other option"),
        (["--draws", "40"], "40 draws in all are fewer than the 63"),
    ],
)
def test_the_command_explains_what_it_cannot_do(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        calibration.main(["--method", "prior", "--out", str(tmp_path), *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_nuts_is_calibrated_on_twenty_tables(tmp_path, record_property):
    """The study in small: 20 replications find gross errors only."""
    summary, words = calibration.run("nuts", 20, tmp_path)
    record_property("calibration", words)
    print(words)
    assert len(summary) == 150
    assert summary["inside"].mean() >= 0.85
    assert not summary["beyond"].any()


@pytest.mark.slow
def test_calibration_of_svi_is_reported(tmp_path, record_property):
    """Not promised of a guide that keeps few correlations: forecasts alone must be usable."""
    summary, words = calibration.run("svi", 20, tmp_path)
    record_property("calibration", words)
    print(words)
    assert len(summary) == 150
    held_out = summary[summary["group"] == "expected, held out"]
    assert held_out["inside"].mean() >= 0.7
    assert pd.read_csv(tmp_path / "fits-svi.csv")["k_hat"].notna().all()
