"""The command line: what it prints, its exit status, and what it says of bad input."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

import sloth_bayes as sb
from sloth_bayes.cli import app
from sloth_bayes.cli.options import command
from sloth_bayes.support.shipped import shipped
from tests.conftest import converged


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="sloth-bayes")


def fails(*arguments) -> str:
    """The one sentence that bad input gets."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("sloth-bayes: error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture(scope="session")
def saved(tiny_posterior, tmp_path_factory) -> Path:
    return converged(tiny_posterior).save(tmp_path_factory.mktemp("posterior") / "tiny.nc")


@pytest.fixture
def ask(saved, tiny_posterior):
    """A forecast that works, to be varied."""
    family = tiny_posterior.families[0]
    return ["forecast", "--posterior", saved, "--family", family, "--params", 5, "--tokens", 2]


# -- forecast ----------------------------------------------------------------------------


def test_table(ask, tiny_posterior):
    result = run(*ask, "--prob", 0.8)
    assert result.exit_code == 0
    title, head, *rest = result.stdout.splitlines()
    assert title == (
        f"{tiny_posterior.families[0]}, 5B parameters, 2T tokens, base: score in percent"
    )
    assert head.split()[:4] == ["benchmark", "median", "80%", "interval"]
    frame = tiny_posterior.forecast(
        sb.candidates(tiny_posterior.families[0], 5, 2), prob=0.8
    ).frame.itertuples()
    for line, row in zip(rest, frame):
        name, median, low, dash, high, bar = line.split()
        assert (name, dash, len(bar)) == (row.benchmark, "-", 30)
        expected = 100 * np.array([row.median, row.lower, row.upper])
        assert np.array([median, low, high], float) == pytest.approx(expected, abs=0.051)
    # the last line is wrapped wherever the length of the file's path puts it
    assert f"fitted on {len(tiny_posterior.models)} models" in " ".join(" ".join(rest).split())
    assert "\x1b" not in result.stdout


def test_a_narrow_page_has_no_bar(ask, monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    result = run(*ask)
    assert max(map(len, result.stdout.splitlines()[1:-2])) <= 50
    assert "━" not in result.stdout


def test_json(ask, tiny_posterior, saved):
    result = run(*ask, "--json", "--seed", 3, "--prob", 0.5)
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert list(answer) == ["forecast", "meta", "warnings"]
    fc = tiny_posterior.forecast(sb.candidates(tiny_posterior.families[0], 5, 2), prob=0.5, seed=3)
    assert list(answer["forecast"][0]) == list(fc.frame.columns)
    pd.testing.assert_frame_equal(pd.DataFrame(answer["forecast"]), fc.frame)
    meta = answer["meta"]
    assert meta["posterior"] == str(saved)
    assert (meta["prob"], meta["seed"], meta["of"]) == (0.5, 3, "score")
    assert meta["data_fingerprint"] == tiny_posterior.attrs["data_fingerprint"]
    assert meta["version"] == sb.__version__


def test_csv_has_the_rows_of_json(ask):
    table = pd.read_csv(io.StringIO(run(*ask, "--csv", "--of", "expected").stdout))
    answer = json.loads(run(*ask, "--json", "--of", "expected").stdout)
    pd.testing.assert_frame_equal(
        table, pd.DataFrame(answer["forecast"]), check_dtype=False, rtol=1e-12
    )
    score = json.loads(run(*ask, "--json").stdout)
    assert score["forecast"] != answer["forecast"]


def test_lists_pair_up_and_grid_crosses(saved, tiny_posterior):
    one, two = tiny_posterior.families[:2]
    start = [
        "forecast",
        "--posterior",
        saved,
        "--csv",
        "--benchmarks",
        tiny_posterior.benchmarks[0],
    ]

    def asked(*arguments):
        table = pd.read_csv(io.StringIO(run(*start, *arguments).stdout))
        return list(zip(table["family"], table["params_b"], table["tokens_t"]))

    assert asked("--family", one, "--params", "2,4", "--tokens", "1,2") == [
        (one, 2, 1),
        (one, 4, 2),
    ]
    repeated = asked("--family", f"{one},{two}", "--params", 2, "--params", 4, "--tokens", 1)
    assert repeated == [(one, 2, 1), (two, 4, 1)]
    crossed = asked("--family", one, "--params", "2,4", "--tokens", "1,2", "--grid")
    assert crossed == [(one, 2, 1), (one, 2, 2), (one, 4, 1), (one, 4, 2)]


def test_benchmarks_keep_their_numbers(ask, tiny_posterior):
    names = tiny_posterior.benchmarks[2:0:-1]
    some = json.loads(run(*ask, "--json", "--benchmarks", ",".join(names)).stdout)["forecast"]
    every = json.loads(run(*ask, "--json").stdout)["forecast"]
    assert [row["benchmark"] for row in some] == names
    assert all(row in every for row in some)


def test_tuned_or_base(saved, tiny_posterior):
    family = tiny_posterior.families[0]
    start = ["forecast", "--posterior", saved, "--family", family, "--params", 5, "--tokens", 2]
    assert "tuned" in run(*start, "--instruct").stdout
    assert "base" in run(*start, "--base").stdout


def test_a_new_family(ask, tiny_posterior):
    ask[ask.index("--family") + 1] = "nobody"
    assert "--new-family" in fails(*ask)
    result = run(*ask, "--new-family")
    assert result.exit_code == 0
    assert result.stdout.startswith("nobody (new), ")
    assert "never seen" in result.stderr
    assert run(*ask, "--lineage", tiny_posterior.lineages[0]).exit_code == 0


def test_extrapolation_is_said_once_and_recorded(ask):
    ask[ask.index("--params") + 1] = 5000
    result = run(*ask, "--json")
    assert result.exit_code == 0
    assert result.stderr.count("times the largest in the data") == 1
    said = json.loads(result.stdout)["warnings"]
    assert any("times the largest in the data" in note for note in said)


def test_convergence_travels_with_the_posterior(tiny_posterior, tmp_path, ask):
    ok = tiny_posterior.diagnostics().ok
    ask[ask.index("--posterior") + 1] = tiny_posterior.save(tmp_path / "judged.nc")
    result = run(*ask, "--json")
    assert result.exit_code == (0 if ok else 1)
    assert json.loads(result.stdout)["meta"]["converged"] is ok
    assert ("has not converged" in result.stderr) == (not ok)
    path = ask[ask.index("--posterior") + 1]
    for verb in (["skills"], ["plan", "size", "--of", "Maths", "--target", 0.5, "--tokens", 2]):
        result = run(*verb, "--posterior", path, "--json")
        assert result.exit_code == (0 if ok else 1), verb
        assert json.loads(result.stdout)["meta"]["converged"] is ok
        assert ("has not converged" in result.stderr) == (not ok)


def test_a_table_of_candidates(saved, tiny_posterior, tmp_path):
    family, benchmark = tiny_posterior.families[0], tiny_posterior.benchmarks[0]
    path = tmp_path / "mine.csv"
    start = ["forecast", "--posterior", saved, "--candidates", path]
    text = f"family,params_b,tokens_t,instruct,model\n{family},2,1,true,big\n{family},4,2,,\n"
    path.write_text(text)
    table = pd.read_csv(io.StringIO(run(*start, "--csv", "--benchmarks", benchmark).stdout))
    assert table["model"].tolist() == ["big", f"{family}-4B-2T"]
    titles = [line for line in run(*start).stdout.splitlines() if line.startswith(family)]
    assert [", tuned" in line for line in titles] == [True, False]

    assert "--candidates replaces --params" in fails(*start, "--params", 3)
    path.write_text(text.replace("true", "maybe"))
    assert "instruct of row 1 is 'maybe'" in fails(*start)
    path.write_text(text.replace("tokens_t", "tokens"))
    assert "lacks the column 'tokens_t'" in fails(*start)
    path.write_text(text.replace(",4,", ",big,"))
    assert "params_b of row 2" in fails(*start)
    path.write_text(text.replace(",4,", ",,"))
    assert "params_b of row 2 is empty" in fails(*start)
    path.unlink()
    assert "cannot read" in fails(*start)


def test_a_figure(ask, tmp_path, tiny_posterior):
    path = tmp_path / "figure.png"
    result = run(*ask, "--benchmarks", tiny_posterior.benchmarks[0], "--plot", path)
    assert result.exit_code == 0
    assert path.read_bytes()[:4] == b"\x89PNG"
    assert "figure.png" in result.stderr
    assert "ends in .png" in fails(*ask, "--plot", tmp_path / "figure.xyz")
    assert "there is no folder" in fails(*ask, "--plot", tmp_path / "no" / "figure.png")
    assert [p.name for p in tmp_path.iterdir()] == ["figure.png"]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--params", "0", "must be positive"),
        ("--params", "-3", "must be positive"),
        ("--params", "inf", "must be positive and finite"),
        ("--tokens", "nan", "plain numbers"),
        ("--params", "70B", "plain numbers, such as 7 or 0.5, not '70B'"),
        ("--params", "1,2,3", "add --grid"),
        ("--prob", "90", "0.9 for a 90% interval"),
        ("--prob", "0", "between 0 and 1"),
        ("--prob", "high", "Invalid value for '--prob'"),
        ("--of", "mean", "score, expected"),
        ("--posterior", "nowhere/tiny.nc", "there is no posterior file"),
        ("--posterior", "tiny", "unknown posterior 'tiny'"),
    ],
)
def test_bad_options(ask, option, value, message):
    if value == "1,2,3":
        ask += ["--tokens", "3"]
    elif option in ask:
        at = ask.index(option)
        del ask[at : at + 2]
    assert message in fails(*ask, option, value)


def test_misspelt_names(ask, tiny_posterior):
    benchmark = tiny_posterior.benchmarks[0]
    wrong = benchmark[:-1] + "x"
    assert f"unknown benchmark '{wrong}': did you mean '{benchmark}'" in fails(
        *ask, "--benchmarks", wrong
    )
    family = tiny_posterior.families[0]
    ask[ask.index("--family") + 1] = family + "x"
    message = fails(*ask)
    assert f"unknown family '{family}x'" in message
    assert repr(family) in message
    assert "No such option: --familly" in fails("forecast", "--familly", family)
    assert "Did you mean 'forecast'" in fails("forcast")


def test_what_is_missing_is_named_with_an_example():
    message = fails("forecast", "--params", 7)
    assert "needs --family and --tokens" in message
    assert "sloth-bayes forecast --family" in message


def test_json_and_csv_exclude_each_other(ask):
    assert "exclude each other" in fails(*ask, "--json", "--csv")


def test_files_that_are_no_posterior(ask, saved, tmp_path):
    at = ask.index("--posterior") + 1
    ask[at] = tmp_path / "half.nc"
    ask[at].write_bytes(saved.read_bytes()[: saved.stat().st_size // 2])
    assert "truncated" in fails(*ask)
    ask[at] = tmp_path / "text.nc"
    ask[at].write_text("model,family\n")
    assert "not a netCDF file" in fails(*ask)
    import xarray as xr

    ask[at] = tmp_path / "foreign.nc"
    xr.Dataset({"x": ("y", [1.0])}).to_netcdf(ask[at], engine="h5netcdf")
    assert "was not written by" in fails(*ask)


# -- fit and diagnose --------------------------------------------------------------------


@pytest.fixture
def table(tmp_path, tiny_table) -> Path:
    return tiny_table.to_csv(tmp_path / "table.csv")


def test_fit_diagnose_forecast(table, tiny_table, tmp_path):
    out = tmp_path / "mine.nc"
    spec = tmp_path / "spec.toml"
    lean = {"residual": "none", "model_effect": "none", "slopes": "shared", "lower": "chance",
            "upper": "one", "link": "logistic"}  # fmt: skip
    sb.Sloth(n_skills=2, **lean).to_toml(spec)  # quick to compile: what is tested is the command
    names = ",".join(tiny_table.benchmark_names)
    result = run(
        "fit", "--data", table, "--spec", spec, "--benchmarks", names, "--out", out,
        "--method", "svi", "--steps", 100, "--chains", 2, "--draws", 100, "--no-progress",
    )  # fmt: skip
    assert result.exit_code in (0, 1), result.output
    assert f"{len(tiny_table)} models" in result.stdout
    assert f"Saved {out}." in result.stdout
    post = sb.load(out)
    found = post.diagnostics()
    assert (result.exit_code == 0) == found.ok
    assert found.messages[0] in result.stdout
    assert (post.n_draws, post.spec.n_skills) == (200, 2)

    shown = run("diagnose", "--posterior", out, "--top", 3)
    assert shown.exit_code == result.exit_code
    assert found.table["quantity"][2] in shown.stdout
    assert found.table["quantity"][3] not in shown.stdout
    answer = json.loads(run("diagnose", "--posterior", out, "--json", "--top", 2).stdout)
    assert answer["ok"] == found.ok
    assert len(answer["worst"]) == 2
    assert answer["worst"][0]["r_hat"] is None  # one chain has none


def test_data_surprises(saved, tiny_posterior):
    ask = ["data", "surprises", "--posterior", saved]
    found = tiny_posterior.surprises()
    shown = run(*ask, "--top", 3)
    assert shown.exit_code == 0, shown.output
    first, _, *rows = shown.stdout.splitlines()
    assert first.startswith(f"{found.frame['flagged'].sum()} of {len(found.frame)} scores are")
    for line, row in zip(rows[:3], found.frame.itertuples()):
        assert line.split()[:2] == [row.model, row.benchmark]
        assert f"{100 * row.score:.1f}" in line
        assert row.direction in line
    assert "failure of format" in " ".join(shown.stdout.split())
    answer = json.loads(run(*ask, "--json").stdout)
    assert len(answer["scores"]) == tiny_posterior.attrs["n_scores"]
    assert answer["models"][0]["model"] == found.models["model"].iloc[0]
    table = pd.read_csv(io.StringIO(run(*ask, "--csv").stdout))
    pd.testing.assert_frame_equal(table, found.frame, check_dtype=False, rtol=1e-9)
    assert "refit needs the table of the fit" in fails(*ask, "--refit", 1)


def test_diagnose_says_not_converged_by_its_status(tiny_posterior, tmp_path):
    path = tiny_posterior.save(tmp_path / "tiny.nc")
    result = run("diagnose", "--posterior", path)
    assert result.exit_code == (0 if tiny_posterior.diagnostics().ok else 1)


def fake_fit(post):
    return lambda spec, data, **options: post


def test_what_is_installed_is_not_written_to(monkeypatch):
    """As in a wheel, whose recipes lie inside the package."""
    recipe = shipped("models") / "leaderboard"
    monkeypatch.setattr("sloth_bayes.support.shipped.PACKAGE", recipe.parents[1])
    assert "read-only: add --out" in fails("fit", recipe)


def test_a_recipe_folder_gets_posterior_and_card(tmp_path, tiny_posterior, monkeypatch):
    monkeypatch.setattr("sloth_bayes.infer.fit.fit", fake_fit(tiny_posterior))
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "spec.toml").write_text("[fit]\nslim_draws = 50\n")
    result = run("fit", folder)
    ok = tiny_posterior.diagnostics().ok
    assert result.exit_code == (0 if ok else 1)
    assert "Left out, without size or tokens: gpt2" in result.stdout
    assert sb.load(folder / "posterior.nc").n_draws in range(50, 60)
    assert tiny_posterior.diagnostics().messages[0] in (folder / "card.md").read_text()
    assert sorted(p.name for p in folder.iterdir()) == ["card.md", "posterior.nc", "spec.toml"]
    before = (folder / "posterior.nc").read_bytes()
    assert "--seed departs from" in fails("fit", folder, "--seed", 3)
    assert (folder / "posterior.nc").read_bytes() == before


def test_fit_needs_to_know_what_and_where(tmp_path, table, monkeypatch):
    def never(*args, **options):
        pytest.fail("nothing may be fitted")

    monkeypatch.setattr("sloth_bayes.infer.fit.fit", never)
    assert "needs a recipe or --data" in fails("fit")
    assert "read-only: add --out" in fails("fit", "leaderboard")
    assert "did you mean 'leaderboard'" in fails("fit", "leaderbord", "--out", "a.nc")
    assert "it has no file spec.toml" in fails("fit", tmp_path)
    assert "--out FILE.nc" in fails("fit", "--data", "open_llm_leaderboard")
    assert "ends in .nc" in fails("fit", "owen", "--out", tmp_path / "a.txt")
    assert "there is no folder" in fails("fit", "owen", "--out", tmp_path / "no" / "a.nc")
    assert "does not go with a recipe" in fails("fit", "owen", "--data", table)
    assert "method takes nuts, svi" in fails(
        "fit", "owen", "--out", tmp_path / "a.nc", "--method", "mcmc"
    )


def test_bad_tables_overwrite_nothing(tmp_path, table, tiny_table):
    out = tmp_path / "mine.nc"
    out.write_text("precious")
    names = ",".join(tiny_table.benchmark_names)
    good = table.read_text()
    first, row, *_ = good.splitlines()

    def refused(text):
        table.write_text(text)
        return fails("fit", "--data", table, "--benchmarks", names, "--out", out)

    cells = row.split(",")
    column = first.split(",").index(tiny_table.benchmark_names[-1])
    percent = ",".join([*cells[:column], "57", *cells[column + 1 :]])
    assert "57" in refused(good.replace(row, percent))
    message = refused(good + row + "\n")
    assert cells[0] in message
    assert "duplicate" in message or "twice" in message or "once" in message
    assert "empty" in refused(first + "\n")
    table.write_text(good)
    assert "did you mean" in fails(
        "fit", "--data", table, "--benchmarks", tiny_table.benchmark_names[0] + "x", "--out", out
    )
    table.unlink()
    assert "cannot read" in fails("fit", "--data", table, "--out", out)
    assert "table.csv" in fails("fit", "--data", table, "--out", out)
    bad = tmp_path / "spec.toml"
    bad.write_text("n_skils = 3\n")
    assert "did you mean 'n_skills'" in fails(
        "fit", "--data", "open_llm_leaderboard", "--spec", bad, "--out", out
    )
    assert out.read_text() == "precious"


def test_a_forecast_says_how_large_a_mixture_is():
    """As its family is, where only the active parameters are said."""
    asked = ["forecast", "--params", "22", "--tokens", "36", "--benchmarks", "MMLU", "--family"]
    assert run(*asked, "qwen3-moe").stdout.startswith("qwen3-moe, 22B of 220B parameters, 36T")
    assert run(*asked, "qwen3").stdout.startswith("qwen3, 22B parameters, 36T")


# -- data --------------------------------------------------------------------------------


def test_data_list_and_show():
    assert "open_llm_leaderboard" in run("data", "list").stdout
    data = sb.load_dataset("open_llm_leaderboard")
    shown = run("data", "show", "open_llm_leaderboard").stdout
    assert data.fingerprint in shown
    assert all(b.name in shown for b in data.benchmarks)
    family = run("data", "show", "open_llm_leaderboard", "--family", "qwen2").stdout
    assert all(model in family for model in data.select(families="qwen2").models)
    assert max(map(len, family.splitlines())) <= 100
    rows = run("data", "show", "open_llm_leaderboard", "--family", "qwen2", "--csv").stdout
    assert len(pd.read_csv(io.StringIO(rows))) == 4
    some = run("data", "show", "open_models", "--family", "qwen3,qwen3-thinking").stdout
    assert "qwen3-14b-base " in some
    assert "open_models v1" not in some
    assert some.count("qwen3-14b-base ") == some.count("Swallow base") == 2  # too wide for one
    joint = run("data", "show", "open_models").stdout
    assert all(b.name in joint for b in sb.load_dataset("open_models").benchmarks)
    assert "4-shot exact_match, CoT" in joint
    assert "models that leaderboards share" in joint
    assert "unknown data set" in fails("data", "show", "open_llm")
    assert "did you mean 'qwen2'" in fails(
        "data", "show", "open_llm_leaderboard", "--family", "qwen-2"
    )


def test_data_build(tmp_path):
    result = run("data", "build", "--out", tmp_path)
    assert result.exit_code == 0
    built = tmp_path / "open_llm_leaderboard" / "models.csv"
    assert str(built) in result.stdout
    assert built.is_file()


# -- the program -------------------------------------------------------------------------


def test_help_shows_examples():
    for verb in ("forecast", "fit", "diagnose", "data", "data show"):
        result = run(*verb.split(), "--help")
        assert result.exit_code == 0
        assert "Example" in result.stdout
    assert run().exit_code == 0
    assert run("--version").stdout.strip() == f"sloth-bayes {sb.__version__}"
    told = dict(line.split(maxsplit=1) for line in run("--versions").stdout.splitlines())
    assert told["sloth-bayes"] == sb.__version__
    assert told["JAX"].startswith("cpu x1")
    assert {"Python", "system", "jaxlib", "numpyro", "arviz-stats"} <= set(told)
    assert "ruff" not in told


def process(*arguments, code=None, **options):
    start = ["-m", "sloth_bayes"] if code is None else ["-c", code]
    return subprocess.run(
        [sys.executable, *start, *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False, **options,
    )  # fmt: skip


def test_a_forecast_imports_only_what_it_needs(ask):
    code = (
        "import sys\n"
        "from sloth_bayes.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        # xarray itself imports dask, where that is installed
        "heavy = {'jax', 'numpyro', 'optax', 'matplotlib', 'arviz_stats', 'arviz_plots'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    result = process(*ask, "--json", code=code)
    assert result.stderr.splitlines()[-1] == "[]"
    assert json.loads(result.stdout)["forecast"]
    lean = "import sys, sloth_bayes.cli; print(sorted({'pandas', 'xarray'} & set(sys.modules)))"
    assert process(code=lean).stdout.strip() == "[]"


def test_as_a_process(ask):
    result = process(*ask, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert "o" in result.stdout.splitlines()[2].split()[-1]
    wrong = process("forecast", "--params", "7")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="no pipes of this kind")
def test_a_closed_pipe_is_silent():
    rows = f"{sys.executable} -m sloth_bayes data show open_llm_leaderboard --csv"
    result = subprocess.run(
        f"{rows} | head -1", shell=True, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.stdout.startswith("model,family")
    assert result.stderr == ""


def test_interruption_has_its_own_status(ask, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("sloth_bayes.api.load", interrupted)
    result = run(*ask)
    assert result.exit_code == 130
    assert result.stderr == "sloth-bayes: interrupted\n"


# -- groups of options -----------------------------------------------------------------------


@dataclass
class Range:
    low: Annotated[int, typer.Option(help="The low end.")]
    high: Annotated[int, typer.Option(help="The high end.")] = 9

    def __post_init__(self):
        if self.low > self.high:
            raise sb.DataError("--low is above --high")


@dataclass
class Sizes(Range):
    high: Annotated[int, typer.Option(help="The largest size.")] = 5


def test_a_group_of_options_stands_for_its_fields():
    def verb(*, first: str = "a", sizes: Sizes, last: str = "z") -> None:
        typer.echo(f"{first} {sizes} {last}")

    group = typer.Typer(cls=type(get_command(app)))
    group.command()(command(verb))
    group.callback()(lambda: None)

    def ask(*words):
        return CliRunner().invoke(group, ["verb", *words])

    assert ask("--low", "2", "--last", "y").stdout == "a Sizes(low=2, high=5) y\n"
    names = [p.name for p in get_command(group).commands["verb"].params]
    assert names == ["first", "low", "high", "last"]
    shown = ask("--help").stdout
    assert "The largest size." in shown
    assert "The high end." not in shown
    assert ask("--low", "6").stderr == "sloth-bayes: error: --low is above --high\n"
    assert "Missing option '--low'" in ask().stderr


def test_texts_say_metavar_and_help():
    def verb(
        *,
        name: Annotated[str, "WORD", "A name."] = "a",
        no_more: Annotated[bool, "Enough."] = False,
        sizes: Annotated[Sizes, {"low": "The smallest size."}],
    ) -> None:
        typer.echo(f"{name} {no_more} {sizes.low}")

    group = typer.Typer()
    group.command()(command(verb))
    assert CliRunner().invoke(group, ["--no-more", "--low", "1"]).stdout == "a True 1\n"
    shown = CliRunner().invoke(group, ["--help"]).stdout
    for text in ("WORD", "A name.", "Enough.", "The smallest size.", "The largest size."):
        assert text in shown
    assert "The low end." not in shown
    assert "--no-no-more" not in shown


# -- forecasts from evaluation files ---------------------------------------------------------

TARGET = ("--target-params", 12, "--target-tokens", 0.3)


def results(path, task="arc_challenge", shots=25, name="lab/mine-1b"):
    path.write_text(
        json.dumps(
            {
                "results": {task: {"acc,none": 0.35, "acc_norm,none": 0.38}},
                "n-shot": {task: shots},
                "config": {"model_args": f"pretrained={name}"},
            }
        )
    )
    return path


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> list[str | Path]:
    """The posterior that ships, with few of its draws: conditioning takes its time of each."""
    path = tmp_path_factory.mktemp("few") / "few.nc"
    return ["--posterior", sb.load("leaderboard").slim(250).save(path)]


@pytest.mark.slow
def test_an_evaluation_file_becomes_a_forecast(tmp_path, few):
    file = results(tmp_path / "results.json")
    asked = ("forecast", *few, "--observed", file, "--params", 1.1, "--tokens", 0.3, *TARGET)
    result = run(*asked)
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())  # wrapped wherever the length of the file's path puts it
    assert "mine-1b, 12B parameters, 0.3T tokens, base" in said
    assert "fitted on 180 models" in said
    assert "Conditioned on 1 score of mine-1b: PSIS k-hat" in said
    found = json.loads(run(*asked, "--json").stdout)
    assert {row["family"] for row in found["forecast"]} == {"mine-1b"}
    assert found["meta"]["conditioned"][0]["models"] == ["mine-1b"]
    assert json.loads(run(*asked, "--json").stdout)["forecast"] == found["forecast"]


@pytest.mark.slow
def test_mismatches_are_listed_and_none_left_is_an_error(tmp_path, few):
    results(tmp_path / "a.json", shots=0)
    asked = ("forecast", *few, "--observed", tmp_path, "--params", 1.1, "--tokens", 0.3, *TARGET)
    refused = run(*asked)
    assert refused.exit_code == 2
    assert "evaluated with 0 shots, where the leaderboard has 25" in refused.stderr
    assert "--allow-mismatch" in refused.stderr
    allowed = run(*asked, "--allow-mismatch", "--family", "olmo")
    assert allowed.exit_code == 0, allowed.output
    assert "used although it differs" in allowed.stderr
    assert "olmo, 12B parameters" in allowed.stdout


def test_flags_of_observed_models_go_together(tmp_path):
    file = results(tmp_path / "results.json")
    assert "needs --target-tokens" in fails("forecast", "--observed", file, "--target-params", 12)
    assert "goes with --observed" in fails(
        "forecast", "--family", "olmo", "--params", 7, "--tokens", 2, "--target-params", 12
    )
    assert "--new-family does not go with --observed" in fails(
        "forecast", "--observed", file, "--new-family", *TARGET
    )
