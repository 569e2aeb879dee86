"""Training runs forecast from their checkpoints: exact cases, errors, and recovery."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

import sloth_bayes as sb
from sloth_bayes.cli import Group
from sloth_bayes.cli.plan_track import track as verb
from sloth_bayes.law import equations
from sloth_bayes.runs import process

SIZES = {"tiny": 0.1, "small": 0.4, "middle": 1.6, "large": 6.4}
FINAL = 0.32
SEEN = FINAL * np.array([0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0])
MADE = [sb.Benchmark("Cloze", 0.0, 5000), sb.Benchmark("Choice", 0.25, 2000)]


def made_curves(seed: int = 0) -> pd.DataFrame:
    """Curves of one skill, with a residual of each run, and an offset before the end."""
    rng = np.random.default_rng(seed)
    rows = []
    for run, size in SIZES.items():
        own = rng.normal(0, 0.15, 2) + rng.normal(0, 0.03, 2) * np.log2(SEEN / FINAL)[:, None]
        left = 1 - SEEN / FINAL
        skill = 0.3 * np.log2(size) + 0.35 * np.log2(SEEN / FINAL) - 0.4 * left
        eta = np.array([0.3, 0.0]) + np.outer(skill, [1.0, 0.6]) + own
        lower = np.array([b.chance for b in MADE])
        score = lower + (1 - lower) * equations.link("logistic", eta, np.ones(2), np)
        score = np.clip(score + rng.normal(0, 0.008, score.shape), 0, 1)
        rows.append(
            pd.DataFrame({"run": run, "params_b": size, "tokens_t": SEEN, "final_tokens_t": FINAL,
                          "Cloze": score[:, 0], "Choice": score[:, 1]})
        )  # fmt: skip
    return pd.concat(rows, ignore_index=True)


@pytest.fixture(scope="module")
def found() -> sb.Tracking:
    return sb.track(made_curves(), "large", until=0.1, benchmarks=MADE)


# -- the offset --------------------------------------------------------------------------


def test_the_offset_of_a_checkpoint_vanishes_at_the_end_of_the_schedule():
    size, tokens, centre = np.log([7.0, 7.0]), np.log([0.1, 0.1]), np.log([1.0, 0.1])
    x = equations.raw_inputs("checkpoint", size, tokens, centre, np, left=np.array([0.0, 0.75]))
    translog = equations.raw_inputs("translog", size, tokens, centre, np)
    np.testing.assert_allclose(x[:, :3], translog)
    np.testing.assert_allclose(x[:, 3:], [[0, 0], [0.75, 0.4]])  # two doublings are left
    finished = equations.raw_inputs("checkpoint", size, tokens, centre, np)
    np.testing.assert_array_equal(finished[:, 3:], 0)


def test_a_drifting_residual_needs_tokens():
    with pytest.raises(sb.SpecError, match="residual='curve' drifts with the tokens"):
        sb.Sloth(residual="curve", inputs="size")


# -- what enters, and what comes out -----------------------------------------------------


def test_later_checkpoints_of_the_run_are_held_out_and_shown_as_truth(found):
    curves = made_curves()
    late = (curves["run"] == "large") & (curves["tokens_t"] > 0.11 * FINAL)
    assert len(found.held_out) == late.sum() == 4
    assert len(found.used) == len(curves) - 4
    frame = found.frame.set_index("benchmark")
    end = curves[curves["run"] == "large"].iloc[-1]
    for name in ("Cloze", "Choice"):
        assert frame.at[name, "truth"] == end[name]
        assert frame.at[name, "lower"] < frame.at[name, "median"] < frame.at[name, "upper"]
        assert frame.at[name, "median"] > frame.at[name, "last"]
    assert frame["tokens_t"].iloc[0] == pytest.approx(0.1 * FINAL)


def test_scores_that_are_held_out_change_nothing(found):
    curves = made_curves()
    late = (curves["run"] == "large") & (curves["tokens_t"] > 0.11 * FINAL)
    curves.loc[late, ["Cloze", "Choice"]] = 0.123
    again = sb.track(curves, "large", until=0.1, benchmarks=MADE).frame
    pd.testing.assert_frame_equal(
        again.drop(columns="truth"), found.frame.drop(columns="truth"), check_exact=True
    )


@pytest.mark.long
def test_the_curve_ends_at_the_forecast(found):
    curve = found.curve("large", points=5)
    end = curve[curve["tokens_t"] == curve["tokens_t"].max()].set_index("benchmark")
    frame = found.frame.set_index("benchmark")
    assert end["median"].to_numpy() == pytest.approx(frame["median"].to_numpy(), abs=0.01)
    with pytest.raises(sb.UnknownNameError, match="unknown tracked run 'larg'"):
        found.curve("larg")


def test_the_figure_shows_every_benchmark(found):
    axes = found.plot()
    assert [axis.get_title(loc="left") for axis in axes] == ["Cloze", "Choice"]
    with pytest.raises(sb.UnknownNameError):
        found.plot(["Chess"])


def test_the_curves_that_ship():
    curves = sb.load_curves()
    assert curves.shape == (208, 14)
    assert curves.groupby("run")["tokens_t"].count().eq(26).all()
    assert (curves["tokens_t"] <= curves["final_tokens_t"]).all()
    olmo = sb.load_curves("olmo")
    assert olmo.shape == (3754, 33)
    assert olmo.groupby("run")["params_b"].first().nunique() == 6
    assert not olmo.isna().any(axis=None)
    with pytest.raises(sb.UnknownNameError, match="unknown set of curves 'olm'"):
        sb.load_curves("olm")


# -- the process -------------------------------------------------------------------------


def test_a_run_like_its_sibling_gains_what_the_sibling_gained():
    curves = made_curves()
    twin = curves[curves["run"] == "large"].assign(run="twin")
    frame = sb.track(pd.concat([curves, twin]), "twin", 0.1, benchmarks=MADE).frame
    assert np.abs(frame["median"] - frame["truth"]).max() < 0.02
    alone = sb.track(curves, "large", 0.1, benchmarks=MADE).frame
    assert ((frame["upper"] - frame["lower"]) < (alone["upper"] - alone["lower"])).all()


def test_a_learning_rate_that_cools_less_ends_lower():
    cosine = 0.1 + 0.45 * (1 + np.cos(np.pi * SEEN / FINAL))
    curves = made_curves().assign(learning_rate=np.tile(cosine, 4), final_learning_rate=0.1)
    as_assumed = sb.track(made_curves(), "large", 0.1, benchmarks=MADE).frame
    same = sb.track(curves, "large", 0.1, benchmarks=MADE).frame
    pd.testing.assert_series_equal(same["median"], as_assumed["median"], rtol=1e-3)
    curves.loc[curves["run"] == "large", "final_learning_rate"] = 0.8
    assert (sb.track(curves, "large", 0.1, benchmarks=MADE).frame["median"] < same["median"]).all()


def test_bits_per_byte_tell_how_a_run_ends():
    curves = made_curves()
    skill = np.log(curves["Cloze"] / (1 - curves["Cloze"]))
    told = curves.assign(Cloze_bpb=np.exp(-0.3 * skill))  # the score itself, on another scale
    without = sb.track(curves, "large", 0.1, benchmarks=MADE).frame
    found = sb.track(told, "large", 0.1, benchmarks=MADE).frame
    pd.testing.assert_series_equal(found.loc[1, "lower":"upper"], without.loc[1, "lower":"upper"])
    assert found.at[0, "median"] != without.at[0, "median"]
    assert found.at[0, "lower"] <= found.at[0, "truth"] <= found.at[0, "upper"]


def test_the_kernel_is_a_covariance():
    rng = np.random.default_rng(0)
    points = process.Points(
        *rng.normal(size=(4, 30)), rng.integers(3, size=30), rng.normal(size=30)
    )
    points = points._replace(seen=-np.abs(points.seen))
    for law in (process.SCORE, process.LOSS, process.SCORE_GIVEN_LOSS):
        matrix = process.kernel(law, points, points)
        np.testing.assert_allclose(matrix, matrix.T)
        assert np.linalg.eigvalsh(matrix).min() > -1e-9


def test_the_noise_is_that_of_checkpoints_about_their_curve():
    x = np.linspace(0, 3, 4000)
    y = 0.3 * x + np.random.default_rng(0).normal(0, 0.05, x.size)
    assert process.noise_of([(x, y)], 0.1) == pytest.approx(0.05, rel=0.1)


def test_what_a_fit_took_is_said_to_change_nothing():
    with pytest.warns(DeprecationWarning, match="method change nothing"):
        sb.track(made_curves(), "large", 0.1, benchmarks=MADE, method="nuts")
    with pytest.raises(TypeError, match="unexpected keyword argument 'untill'"):
        sb.track(made_curves(), "large", untill=0.1)


# -- errors ------------------------------------------------------------------------------


def _with(**changes):
    return made_curves().assign(**changes)


@pytest.mark.parametrize(
    ("curves", "options", "words"),
    [
        (made_curves(), {"run": "larg"}, "unknown run 'larg': did you mean 'large'"),
        (made_curves(), {"benchmarks": ["Cloz"]}, "unknown benchmark 'Cloz': did you mean 'Cloze'"),
        (_with(Cloze=40.0), {}, "is above 1"),
        (_with(final_tokens_t=0.2), {}, "beyond the end of its schedule at 0.2T"),
        (_with(tokens_t=0.0), {}, "tokens_t of a checkpoint of run 'tiny' is 0.0"),
        (made_curves(), {"until": 0.03}, "run 'large' has one checkpoint up to 0.03"),
        (made_curves(), {"until": 0.01}, "run 'large' has no checkpoint up to 0.01"),
        (made_curves(), {"until": 2}, r"until is a fraction of the schedule, in \(0, 1\]"),
        (made_curves(), {"since": 0.2}, "lower since, or wait"),
        (made_curves().drop(columns="final_tokens_t"), {}, "lack the column 'final_tokens_t'"),
        (made_curves().query("run == 'large'"), {}, "finished siblings, and the table has none"),
        (made_curves().query("tokens_t < 0.3"), {}, "finished siblings, and the table has none"),
        (_with(params_b=np.arange(28.0) + 1), {}, "several values of params_b"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_the_remedy(curves, options, words):
    options = {"run": "large", "until": 0.1, **options}
    with pytest.raises((sb.DataError, sb.UnknownNameError), match=words):
        sb.track(curves, **options)


# -- the command -------------------------------------------------------------------------


def _command(*args):
    app = typer.Typer(cls=Group, pretty_exceptions_enable=False)
    app.command("track")(verb)
    app.command("other")(lambda: None)
    return CliRunner().invoke(app, ["track", *map(str, args)])


def test_the_command_says_what_is_wrong(tmp_path):
    file = tmp_path / "curves.csv"
    made_curves().to_csv(file, index=False)
    done = _command(file, "--run", "huge")
    assert done.exit_code == 2
    assert "unknown run 'huge'" in done.output
    assert _command(tmp_path / "none.csv", "--run", "huge").exit_code == 2


def test_the_command_prints_json(tmp_path, monkeypatch, found):
    from sloth_bayes.runs import tracking

    monkeypatch.setattr(tracking, "track", lambda *args, **options: found)
    file = tmp_path / "curves.csv"
    made_curves().to_csv(file, index=False)
    done = _command(file, "--run", "large", "--json")
    read = json.loads(done.stdout)
    assert [row["benchmark"] for row in read["track"]] == ["Cloze", "Choice"]
    table = _command(file, "--run", "large").stdout
    assert "Cloze" in table
    assert "0.032T of 0.32T tokens" in table


# -- recovery ----------------------------------------------------------------------------


def test_intervals_cover_the_finals_of_made_curves():
    inside = []
    for seed in range(20):
        frame = sb.track(made_curves(seed), ["middle", "large"], 0.1, benchmarks=MADE).frame
        inside += ((frame["lower"] <= frame["truth"]) & (frame["truth"] <= frame["upper"])).tolist()
    assert 0.85 <= np.mean(inside) <= 0.98
