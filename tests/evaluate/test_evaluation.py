"""Cross-validation and baselines: what is scored, what must not matter, what is refused."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import sys

import numpy as np
import pandas as pd
import pytest

import sloth_bayes as sb
from sloth_bayes.evaluate import baselines, cross_validate, protocols, scoreboard, scored
from sloth_bayes.support.kept import only_writer
from tests.conftest import BENCHMARKS

QUICK = {"steps": 600, "draws": 200, "progress": False}


def table_of(frame: pd.DataFrame) -> sb.Leaderboard:
    return sb.Leaderboard.from_frame(frame, benchmarks=BENCHMARKS, name="tiny")


@pytest.fixture(scope="module")
def folds(tiny_table):
    chosen = {"birch": "birch", "cedar": "cedar", "cedar-chat": "cedar"}
    return protocols.leave_group_out(tiny_table, chosen, n_observed=2)


@pytest.fixture(scope="module")
def found(tiny_spec, tiny_table, folds) -> sb.Evaluation:
    return sb.cross_validate(tiny_spec, tiny_table, folds, **QUICK)


def same(a: sb.Evaluation, b: sb.Evaluation) -> None:
    pd.testing.assert_frame_equal(a.frame, b.frame)
    pd.testing.assert_frame_equal(a.means, b.means)


@pytest.mark.long
def test_every_hidden_score_is_forecast_once(found, tiny_table, folds):
    frame = tiny_table.frame.set_index("model")
    wanted = {
        (m, b) for f in folds for m in f.test for b in f.benchmarks if np.isfinite(frame.loc[m, b])
    }
    assert set(found.frame[["model", "benchmark"]].itertuples(index=False)) == wanted
    assert len(found.frame) == len(wanted)
    truth = [frame.loc[m, b] for m, b in found.frame[["model", "benchmark"]].to_numpy()]
    assert found.frame["score"].to_numpy() == pytest.approx(truth)
    assert (found.frame["lower"] <= found.frame["median"]).all()
    error = (found.frame["median"] - truth).abs()
    assert found.frame["error"].to_numpy() == pytest.approx(error.to_numpy())


@pytest.mark.long
def test_forecasts_do_not_see_what_is_hidden(found, tiny_spec, tiny_table, folds):
    """Other hidden scores, same forecasts, to the last digit."""
    frame = tiny_table.frame
    hidden = {m for f in folds for m in f.hidden}
    changed = frame.copy()
    rows = changed["model"].isin(hidden)
    for name in tiny_table.benchmark_names:
        changed.loc[rows, name] = 0.9 - 0.5 * changed.loc[rows, name]
    for fold in folds:  # one fold at a time: what one hides, another may show
        other = frame.copy()
        mine = other["model"].isin(fold.hidden)
        other.loc[mine] = changed.loc[mine]
        again = sb.cross_validate(tiny_spec, table_of(other), [fold], **QUICK)
        alone = sb.cross_validate(tiny_spec, tiny_table, [fold], **QUICK)
        for column in ("median", "lower", "upper", "sd"):
            assert again.frame[column].to_numpy() == pytest.approx(
                alone.frame[column].to_numpy(), abs=1e-6
            )


@pytest.mark.slow
def test_a_seed_settles_every_number_whatever_runs_it(found, tiny_spec, tiny_table, folds):
    same(found, sb.cross_validate(tiny_spec, tiny_table, folds, **QUICK))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        same(found, sb.cross_validate(tiny_spec, tiny_table, folds, executor=pool, **QUICK))
    backwards = sb.cross_validate(tiny_spec, tiny_table, folds[::-1], **QUICK)
    key = ["model", "benchmark"]
    left, right = (e.frame.set_index(key).sort_index()["median"] for e in (found, backwards))
    assert right.to_numpy() == pytest.approx(left.to_numpy())


@pytest.mark.long
def test_it_goes_on_where_it_was_interrupted(
    found, tiny_spec, tiny_table, folds, tmp_path, monkeypatch
):
    """Ctrl-C after the first fit: the next run computes the other alone, same numbers."""
    plain, calls, write = cross_validate.forecast_task, [], cross_validate.write

    def counted(task):
        calls.append(task)
        return plain(task)

    def interrupted(evaluation, folder):
        write(evaluation, folder)
        monkeypatch.setattr(cross_validate, "write", write)
        raise KeyboardInterrupt

    monkeypatch.setattr(cross_validate, "forecast_task", counted)
    monkeypatch.setattr(cross_validate, "write", interrupted)
    options = {**QUICK, "out": tmp_path / "kept"}
    with pytest.raises(KeyboardInterrupt):
        sb.cross_validate(tiny_spec, tiny_table, folds, **options)
    kept = sb.load_evaluation(tmp_path / "kept").frame
    assert 0 < len(kept) < len(found.frame)
    calls.clear()
    with (
        only_writer(tmp_path / "kept" / "cells.csv"),
        concurrent.futures.ThreadPoolExecutor() as threads,
        pytest.raises(sb.FileFormatError, match="another run is writing"),
    ):
        threads.submit(sb.cross_validate, tiny_spec, tiny_table, folds, **options).result()
    again = sb.cross_validate(tiny_spec, tiny_table, folds, **options)
    assert len(calls) == 1
    for column in ("median", "crps", "log_score", "pit"):
        assert again.frame[column].to_numpy() == pytest.approx(
            found.frame[column].to_numpy(), rel=1e-4
        )
    loose = protocols.leave_group_out(
        tiny_table, {"birch": "birch", "cedar": "cedar", "cedar-chat": "cedar"}, 2, hide="family"
    )
    with pytest.raises(sb.FileFormatError, match="another folds"):
        sb.cross_validate(tiny_spec, tiny_table, loose, **options)
    with pytest.raises(sb.FileFormatError, match="another seed"):
        sb.cross_validate(tiny_spec, tiny_table, folds, **options, seed=1)


@pytest.mark.slow
def test_draws_of_a_fold_can_be_carried_on(found, tiny_spec, tiny_table, folds, tmp_path):
    kept = {**QUICK, "moves": 2, "out": tmp_path / "kept"}
    moved = sb.cross_validate(tiny_spec, tiny_table, folds, **kept)
    still = found.frame["median"].to_numpy()
    change = np.abs(moved.frame["median"].to_numpy() - still)
    assert 0 < change.max() < 0.2
    assert moved.about["label"] == "sloth_bayes, SVI with 2 moves"
    with pytest.raises(sb.FileFormatError, match="another options"):
        sb.cross_validate(tiny_spec, tiny_table, folds, **kept | {"moves": 3})
    with pytest.raises(sb.SpecError, match=r"nuts takes .*not 'moves'"):
        sb.cross_validate(tiny_spec, tiny_table, folds, method="nuts", moves=2)


@pytest.mark.long
def test_an_option_that_an_earlier_version_did_not_have_had_its_default(
    found, tiny_spec, tiny_table, folds, tmp_path, monkeypatch
):
    folder = found.save(tmp_path / "earlier")
    about = json.loads((folder / "about.json").read_text())
    assert about["options"].pop("moves") == 0
    (folder / ".cells.csv.seal").unlink()
    (folder / "about.json").write_text(json.dumps(about))
    monkeypatch.setattr(cross_validate, "forecast_task", None)  # nothing is left to do
    again = sb.cross_validate(tiny_spec, tiny_table, folds, out=folder, **QUICK)
    assert again.about["options"]["moves"] == 0
    assert len(again.frame) == len(found.frame)


def test_it_is_saved_and_read_back(found, tmp_path):
    folder = found.save(tmp_path / "e")
    again = sb.load_evaluation(folder)
    assert again.about == json.loads(json.dumps(found.about))
    pd.testing.assert_frame_equal(again.frame, found.frame, rtol=1e-4, check_dtype=False)
    (folder / "cells.csv").write_text("nonsense\n")
    with pytest.raises(sb.FileFormatError, match="damaged"):
        sb.load_evaluation(folder)
    with pytest.raises(sb.FileFormatError, match="no evaluation"):
        sb.load_evaluation(tmp_path)
    (folder / "cells.csv").unlink()
    found.save(folder)
    (folder / "about.json").unlink()
    with pytest.raises(sb.FileFormatError, match=r"no about\.json.* delete cells\.csv"):
        sb.load_evaluation(folder)


def test_cells_and_about_belong_together(found, tmp_path):
    folder = found.save(tmp_path / "e")
    other = dataclasses.replace(found, about=found.about | {"seed": 8}).save(tmp_path / "o")
    (folder / "about.json").write_bytes((other / "about.json").read_bytes())
    with pytest.raises(sb.FileFormatError, match="of something else"):
        sb.load_evaluation(folder)
    (folder / "about.json").write_text(json.dumps(found.about | {"seconds": 1.5}))
    assert len(sb.load_evaluation(folder).frame) == len(found.frame)
    for text in ("[]", "null", '{"options": []}', '{"seconds": "x"}', "[" * 3000, "{"):
        (folder / "about.json").write_text(text)
        with pytest.raises(sb.FileFormatError):
            sb.load_evaluation(folder)


def test_a_part_by_an_earlier_version_is_not_gone_on_with(
    found, tiny_spec, tiny_table, folds, tmp_path
):
    first = found.frame["fold"] == found.frame["fold"].iloc[0]
    frame = found.frame[first].drop(columns="doublings")
    part = sb.Evaluation(frame, frame.iloc[:0], found.about).save(tmp_path / "part")
    with pytest.raises(sb.FileFormatError, match="by an earlier version"):
        sb.cross_validate(tiny_spec, tiny_table, folds, out=part, **QUICK)


def test_a_choice_that_an_earlier_version_had_not_is_its_default(
    found, tiny_spec, tiny_table, folds, tmp_path
):
    later = ("progress", "trend", "year")
    lines = [k for k in found.about["spec"].split("\n") if not k.startswith(later)]
    before = dataclasses.replace(found, about=found.about | {"spec": "\n".join(lines)})
    part = before.save(tmp_path / "part")
    again = sb.cross_validate(tiny_spec, tiny_table, folds, out=part, **QUICK)
    assert again.frame["median"].tolist() == sb.load_evaluation(part).frame["median"].tolist()
    with pytest.raises(sb.FileFormatError, match="another spec"):
        sb.cross_validate(tiny_spec.replace(df=3), tiny_table, folds, out=part, **QUICK)


def test_a_folder_that_is_being_written_is_not_saved_into(found, tmp_path):
    with (
        only_writer(tmp_path / "e" / "cells.csv"),
        pytest.raises(sb.FileFormatError, match="another run is writing"),
    ):
        found.save(tmp_path / "e")


def test_half_an_evaluation_is_not_taken_for_one(found, tiny_spec, tiny_table, folds, tmp_path):
    folder = found.save(tmp_path / "e")
    lines = (folder / "cells.csv").read_text().splitlines(keepends=True)
    (folder / "cells.csv").write_text("".join(lines[: len(lines) // 2]))
    for again in (
        lambda: sb.load_evaluation(folder),
        lambda: sb.cross_validate(tiny_spec, tiny_table, folds, out=folder, **QUICK),
    ):
        with pytest.raises(sb.FileFormatError, match="were written; copy it again"):
            again()


def test_the_protocol_averages_within_folds_first():
    """Two folds of one and three cells: the mean of the folds, not of the cells."""
    cells = scored.score_cells(
        np.array([[0.5, 0.5, 0.5, 0.5]]), np.array([0.4, 0.5, 0.5, 0.8]), np.zeros(4),
        np.random.default_rng(0),
    )  # fmt: skip
    cells.insert(0, "setting", "s")
    cells.insert(1, "n_observed", 1)
    cells.insert(2, "fold", ["a", "b", "b", "b"])
    cells.insert(3, "model", list("wxyz"))
    cells.insert(4, "benchmark", "B")
    summary = sb.Evaluation(cells, cells, {}).summary()
    assert summary.loc[("s", 1), "mae"] == pytest.approx((10 + 10) / 2)
    assert summary.loc[("all", 0), "mae"] == pytest.approx(10)
    assert np.isnan(summary.loc[("all", 0), "cover_90"])


def test_comparison_is_paired(found):
    shifted = sb.Evaluation(
        found.frame.assign(error=found.frame["error"] + 0.01), found.means, found.about
    )
    difference = found.compare(shifted)
    assert difference["difference"].to_numpy() == pytest.approx(-1.0)
    assert difference["se"].to_numpy() == pytest.approx(0.0, abs=1e-9)
    fewer = sb.Evaluation(found.frame.iloc[1:], found.means, found.about)
    with pytest.raises(sb.DataError, match="same cells"):
        found.compare(fewer)


def test_errors_by_distance(found):
    """Two models of each family are shown: birch of 3B before 7B, as many tokens for both."""
    away = found.frame.groupby("model")["doublings"].first()
    assert away["birch-7b"] == pytest.approx(np.log2(7 / 3))
    assert away["cedar-40b"] == pytest.approx(np.log2(40 / 1.5))
    table = found.by("doublings")
    assert list(table.index) == ["1-2", "2-3", "3+"]
    assert table["cells"].sum() == len(found.frame)
    assert table.loc["1-2", "cells"] == (found.frame["model"] == "birch-7b").sum()
    older = dataclasses.replace(found, frame=found.frame.drop(columns="doublings"))
    with pytest.raises(sb.DataError, match="run it again"):
        older.by("doublings")


def test_tables_and_calibration_plot(found, tmp_path):
    assert set(found.by("benchmark").index) == set(found.frame["benchmark"])
    coverage = found.coverage()
    assert (coverage["lower"] <= coverage["upper"]).all()
    assert set(found.coverage("means")["n"]) <= {found.means["model"].nunique()}
    axes = sb.plots.calibration(found, by="setting")
    assert "%" in axes[0].get_xlabel()
    axes[0].figure.savefig(tmp_path / "c.png")
    with pytest.raises(sb.UnknownNameError):
        found.by("colour")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "magic"}, ["magic", "svi"]),
        ({"steps": 0}, ["steps", "0"]),
        ({"chains": 2}, ["chains", "steps"]),
        ({"seed": -1}, ["seed", "-1"]),
        ({"method": "nuts", "warmup": 3}, ["warmup", "20"]),
        ({"method": "nuts", "target_accept": 1.5}, ["target_accept", "between 0 and 1"]),
    ],
)
def test_errors_teach(tiny_spec, tiny_table, folds, changes, words):
    given = {**({} if "method" in changes else QUICK), **changes}
    with pytest.raises(sb.SlothBayesError) as error:
        sb.cross_validate(tiny_spec, tiny_table, folds, **given)
    for word in words:
        assert word in str(error.value)


def test_an_empty_protocol_is_refused(tiny_spec, tiny_table):
    with pytest.raises(sb.DataError, match="no fold"):
        sb.cross_validate(tiny_spec, tiny_table, [], **QUICK)


# -- baselines ---------------------------------------------------------------------------


def test_a_law_finds_the_scores_it_generated():
    """Noise-free scores of the FLOPs law with family intercepts: forecasts within 0.5 points."""
    rng = np.random.default_rng(0)
    rows = []
    for family in "abcd":
        shift = rng.normal(size=2)
        for size in (1.0, 3.0, 7.0, 13.0, 30.0):
            flops = np.log2(size) - 2
            eta = np.array([0.3, 0.5]) * flops + shift
            rows.append(
                {"model": f"{family}-{size:g}b", "family": family, "params_b": size,
                 "tokens_t": 1.0, "X": 1 / (1 + np.exp(-eta[0])), "Y": 1 / (1 + np.exp(-eta[1]))}
            )  # fmt: skip
    meta = [sb.Benchmark("X", chance=0.0), sb.Benchmark("Y", chance=0.0)]
    table = sb.Leaderboard.from_frame(pd.DataFrame(rows), benchmarks=meta)
    folds = protocols.leave_group_out(table, {"d": "d"}, n_observed=2)
    name = "FLOPs, family intercept, logistic"
    found = baselines.evaluate(name, table, folds, steps=1500, starts=2)
    assert found.frame["error"].max() < 0.005
    assert np.isnan(found.frame["covered_90"]).all()
    assert found.frame["crps"].to_numpy() == pytest.approx(found.frame["error"].to_numpy())


def test_pca_flops_gives_the_authors_errors():
    """Their pipeline is deterministic, so that their own numbers must come out."""
    table = sb.load_dataset("open_llm_leaderboard", corrected=False)
    folds = [f for f in protocols.published(table) if (f.setting, f.n_observed) == ("lb_v2", 1)]
    authors = sb.evaluation.published_errors()
    for d in (1, 2, 3, 4):
        name = f"PCA+FLOPs d={d} (Ruan)"
        mine = baselines.evaluate(name, table, folds).summary()["mae"].iloc[0]
        theirs = authors.query("method == @name and setting == 'lb_v2' and n_observed == 1")["mae"]
        assert mine == pytest.approx(theirs.mean(), abs=0.05)


def test_every_published_method_is_a_baseline():
    published = set(sb.evaluation.published_errors()["method"])
    assert published <= set(baselines.names())
    with pytest.raises(sb.UnknownNameError, match="Owen"):
        baselines.evaluate("FLOPs, shared intercept, logistic (Owens)", None)


def test_the_published_errors_average_as_published():
    authors = sb.evaluation.published_errors()
    best = authors[authors["method"] == scoreboard.BEST_PUBLISHED]
    mean = best.groupby(["setting", "n_observed"])["mae"].mean()
    # the summary that came with the authors' arrays
    assert mean.round(2).to_dict() == {
        ("lb_v1", 1): 4.06, ("lb_v1", 2): 4.35, ("lb_v1v2", 1): 4.08, ("lb_v1v2", 2): 3.96,
        ("lb_v2", 1): 3.31, ("lb_v2", 2): 3.25,
    }  # fmt: skip


# -- command line ------------------------------------------------------------------------


def run_cli(args: list[str], capsys) -> tuple[int, str, str]:
    from sloth_bayes import cli

    old, sys.argv = sys.argv, ["sloth-bayes", *args]
    try:
        with pytest.raises(SystemExit) as stop:
            cli.main()
    finally:
        sys.argv = old
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


@pytest.mark.slow
def test_cli_evaluates_a_baseline(capsys, tmp_path):
    name = "PCA+FLOPs d=2 (Ruan)"
    status, out, _ = run_cli(["evaluate", name, "--out", str(tmp_path / "e")], capsys)
    assert status == 0
    assert "6.02" in out  # lb_v1, one observed; the authors, who do not clip at 0 and 1, have 6.04
    assert (tmp_path / "e" / "cells.csv").exists()
    status, out, _ = run_cli(["evaluate", name, "--json"], capsys)
    assert status == 0
    summary = json.loads(out)["summary"]
    assert [row["setting"] for row in summary][-1] == "all"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--protocol", "publishd"], ["publishd", "published"]),
        (["--protocol", "2024-99"], ["2024-99"]),
        (["--hide", "all"], ["all", "strict"]),
        (["--all"], ["--out"]),
        (["--all", "--out", "x", "--data", "mine.csv"], ["--all", "--data"]),
        (["--protocol", "2024-03", "--hide", "family"], ["time split"]),
        (["--observed", "2"], ["published protocol says itself"]),
        (["--seed", "-1"], ["--seed"]),
        (["PCA+FLOPs d=2 (Ruan)", "--steps", "10"], ["--steps", "baseline"]),
        (["leaderbord"], ["leaderbord", "leaderboard"]),
        (["--method", "magic"], ["magic", "nuts"]),
        (["--folds", "lb_v1/2/optt"], ["optt", "lb_v1/2/opt"]),
    ],
)
def test_cli_errors_teach(capsys, args, words):
    status, _, err = run_cli(["evaluate", *args], capsys)
    assert status == 2
    assert "Traceback" not in err
    for word in words:
        assert word in err
