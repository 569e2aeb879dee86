"""Figures of the paper as files: what is written, when again, the same bytes, and errors."""

from __future__ import annotations

import json

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
import pytest

import sloth_bayes as sb
from sloth_bayes.plots.style import COLUMN, PAGE
from sloth_bayes.publish.figures import FIGURES
from tests.cli.test_cli import fails, run
from tests.conftest import converged

STUDIES = ["downstream", "downstream_weights", "pass_at_k"]
SOME = ["skill_correlations", "saturation"]


@pytest.fixture(scope="module")
def made(tiny_posterior, tmp_path_factory):
    out = tmp_path_factory.mktemp("figures")
    return out, sb.figures.make(out, tiny_posterior, only=SOME, progress=False)


@pytest.mark.long
def test_a_figure_is_six_flat_files_and_a_line_of_the_index(made):
    out, table = made
    assert table["status"].tolist() == ["made", "made"]
    kinds = [".csv", ".pdf", ".png", ".txt", "-wide.pdf", "-wide.png"]
    expected = {n + k for n in SOME for k in kinds} | {"index.json"}
    assert {p.name for p in out.iterdir()} == expected
    index = json.loads((out / "index.json").read_text())["figures"]
    assert list(index) == SOME
    assert set(index["saturation"]["files"]) == {"saturation" + k for k in kinds}
    frame = pd.read_csv(out / "skill_correlations.csv")
    caption = (out / "skill_correlations.txt").read_text()
    assert f"{frame['mean'][0]:.2f}" in caption
    assert caption.count("\n") == 1


def test_the_same_posterior_and_seed_give_the_same_bytes(made, tiny_posterior, tmp_path):
    out, _ = made
    with plt.rc_context({"font.size": 20, "pdf.compression": 0}):  # whatever the user has set
        sb.figures.make(tmp_path, tiny_posterior, only=SOME[:1], progress=False)
    for path in tmp_path.glob("skill_correlations*"):
        assert path.read_bytes() == (out / path.name).read_bytes(), path.name
    pdf = (out / f"{SOME[0]}.pdf").read_bytes()
    assert b"CreationDate" not in pdf
    assert b"/Type3" not in pdf  # text stays text


@pytest.mark.long
def test_finished_figures_are_kept_until_something_changes(made, tiny_posterior, monkeypatch):
    out, _ = made
    before = (out / "skill_correlations.pdf").stat().st_mtime_ns
    write = sb.figures._write

    def again(folder, name, drawn):  # what is drawn, others test
        for suffix in sb.figures._SUFFIXES:
            if not (folder / f"{name}{suffix}").is_file():
                write(folder, name, drawn)

    monkeypatch.setattr(sb.figures, "_write", again)

    def status(**options):
        return sb.figures.make(
            out, tiny_posterior, only="skill_correlations", progress=False, **options
        )["status"].tolist()  # fmt: skip

    assert status() == ["kept"]
    assert (out / "skill_correlations.pdf").stat().st_mtime_ns == before
    (out / "skill_correlations.csv").unlink()
    assert status() == ["made"]
    assert status(seed=1) == ["made"]
    assert status(seed=1) == ["kept"]
    assert status(seed=1, force=True) == ["made"]


def test_widths_are_those_of_a_column_and_a_page(tiny_posterior):
    drawn = sb.figures.figure("loadings", tiny_posterior)
    assert [drawn.draw(w).get_size_inches()[0] for w in (False, True)] == [COLUMN, PAGE]
    assert len(drawn.frame) == len(tiny_posterior.benchmarks) * 2
    plt.close("all")


def test_numbers_of_the_evaluation_are_those_of_the_scoreboard(tiny_posterior):
    board = sb.load_evaluation().summary().iloc[-1]
    frame = sb.figures.figure("coverage", tiny_posterior).frame
    here = frame[(frame["what"] == "all six") & (frame["level"] == 0.9)]
    assert here["coverage"].item() == pytest.approx(board["cover_90"])


def test_figures_of_the_studies_show_their_tables(tiny_posterior, monkeypatch, tmp_path):
    found = {n: sb.figures.figure(n, tiny_posterior) for n in STUDIES}
    held = found["downstream"]
    for group, rows in held.frame.groupby("group"):
        assert f"{group}: {rows['inside'].sum()} of {len(rows)} scores" in held.caption
    curves = found["pass_at_k"].frame
    scored = curves[curves["k"].isin([1, 10, 100, 1000, 10000]) & (curves["held_out"] == "12b")]
    errors = [100 * (scored[c] - scored["observed"]).abs().mean() for c in ("median", "paper")]
    assert "12B held out: " + ", ".join(f"{e:.1f}" for e in errors) in found["pass_at_k"].caption
    with plt.rc_context():
        axes = found["pass_at_k"].draw(False).axes
    assert all(axis.get_xscale() == axis.get_yscale() == "log" for axis in axes)
    plt.close("all")
    monkeypatch.setattr("sloth_bayes.publish.figures_studies.shipped", lambda kind: tmp_path)
    with pytest.raises(sb.DataError, match=r"passk_curves.csv.*run python -m studies.passk"):
        sb.figures.figure("pass_at_k", tiny_posterior)


def test_a_contact_sheet_shows_what_is_there(made, tmp_path):
    out, _ = made
    sheet = plt.imread(sb.figures.contact_sheet(out, dpi=30))
    assert sheet.shape[1] == pytest.approx(30 * (2 * (COLUMN + 0.15) + 0.15), abs=2)
    with pytest.raises(sb.FileFormatError, match="holds no figure"):
        sb.figures.contact_sheet(tmp_path)


def test_what_a_posterior_lacks_is_left_out_or_an_error(tiny_posterior, tmp_path, monkeypatch):
    def lacks(src):
        raise sb.DataError("this posterior lacks it")

    monkeypatch.setitem(FIGURES, "links", FIGURES["links"]._replace(function=lacks))
    for name in set(FIGURES) - {"links"}:
        monkeypatch.delitem(FIGURES, name)
    found = sb.figures.make(tmp_path, tiny_posterior, progress=False)
    assert found.loc[0, ["status", "note"]].tolist() == ["left out", "this posterior lacks it"]
    with pytest.raises(sb.DataError, match="figure 'links': this posterior lacks it"):
        sb.figures.make(tmp_path, tiny_posterior, only="links", progress=False)


def test_errors_of_the_command(tmp_path):
    assert "did you mean 'loadings'" in fails("figures", "--out", tmp_path, "--only", "lodings")
    assert "figures need a folder" in fails("figures")
    file = tmp_path / "file"
    file.write_text("")
    assert "cannot write to" in fails("figures", "--out", file / "x", "--only", "links")
    damaged = tmp_path / "damaged.nc"
    damaged.write_bytes(b"\x89HDF no")
    message = fails("figures", "--out", tmp_path, "--posterior", damaged, "--only", "links")
    assert "cannot be read as a posterior" in message


@pytest.mark.slow
def test_the_command_says_what_it_made(tiny_posterior, tmp_path):
    path = converged(tiny_posterior).save(tmp_path / "tiny.nc")
    out = tmp_path / "out"
    result = run("figures", "--out", out, "--posterior", path, "--only", "skill_correlations")
    assert result.exit_code == 0, result.output
    assert result.stdout.split()[:2] == ["skill_correlations", "made"]
    assert result.stderr == ""  # no progress bar where nobody looks
    again = ["figures", "--out", out, "--only", "errors", "--posterior"]
    result = run(*again, path)
    assert result.exit_code == 0, result.output
    assert "errors show the evaluation that ships, of another specification" in result.stderr
    assert "of another specification than the posterior's" in (out / "errors.txt").read_text()
    result = run(*again, "leaderboard")
    assert result.stderr == ""
    assert "of the evaluation that ships, by SVI." in (out / "errors.txt").read_text()


@pytest.mark.slow
def test_every_figure_of_the_posterior_that_ships(tmp_path):
    found = sb.figures.make(tmp_path, progress=False)
    assert (found["status"] == "made").all()
    assert len(list(tmp_path.iterdir())) == 6 * len(FIGURES) + 1
