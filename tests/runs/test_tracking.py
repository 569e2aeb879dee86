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
from sloth_bayes.runs.tracking import CURVES

SIZES = {"tiny": 0.1, "small": 0.4, "middle": 1.6, "large": 6.4}
FINAL = 0.32
SEEN = FINAL * np.array([0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0])
MADE = [sb.Benchmark("Cloze", 0.0, 5000), sb.Benchmark("Choice", 0.25, 2000)]
FAST = {"method": "svi", "steps": 300, "starts": 1, "draws": 100, "progress": False}


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
    return sb.track(made_curves(), "large", until=0.1, benchmarks=MADE, **FAST)


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


@pytest.mark.slow
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


@pytest.mark.long
def test_scores_that_are_held_out_change_nothing(found):
    curves = made_curves()
    late = (curves["run"] == "large") & (curves["tokens_t"] > 0.11 * FINAL)
    curves.loc[late, ["Cloze", "Choice"]] = 0.123
    again = sb.track(curves, "large", until=0.1, benchmarks=MADE, **FAST).frame
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


@pytest.mark.slow
def test_intervals_cover_the_finals_of_made_curves():
    inside = []
    for seed in range(20):
        frame = sb.track(
            made_curves(seed), ["middle", "large"], until=0.1, benchmarks=MADE, spec=CURVES,
            seed=seed, chains=2, warmup=300, draws=300, progress=False,
        ).frame  # fmt: skip
        inside += ((frame["lower"] <= frame["truth"]) & (frame["truth"] <= frame["upper"])).tolist()
    assert 0.85 <= np.mean(inside) <= 0.97
