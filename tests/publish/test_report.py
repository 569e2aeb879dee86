"""The HTML report: one file, whole, escaped, and its errors."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import matplotlib

matplotlib.use("Agg")

import pytest

import sloth_bayes as sb
from tests.cli.test_cli import TARGET, fails, results, run

VOID = {"meta", "img", "wbr", "source", "br", "input", "link"}


class Checker(HTMLParser):
    """Tags that are opened and closed in order, and where they point to."""

    def __init__(self):
        super().__init__()
        self.open, self.links, self.names, self.text = [], [], [], ""

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def checked(text: str) -> Checker:
    found = Checker()
    found.feed(text)
    assert found.open == []
    return found


@pytest.fixture(scope="module")
def forecast(tiny_posterior):
    rows = sb.candidates(["cedar", "cedar"], [20, 30], 6, model=["<b>&one", "two"])
    return tiny_posterior.forecast(rows, benchmarks=["Reading", "Maths"])


@pytest.fixture(scope="module")
def path(forecast, tmp_path_factory):
    return sb.report.write(forecast, tmp_path_factory.mktemp("report") / "a.html")


def test_a_report_is_one_whole_file_without_a_network(path):
    text = path.read_text(encoding="utf-8")
    found = checked(text)
    assert len(found.links) == 2  # one family: a wide and a narrow figure
    assert all(link.startswith("data:image/png;base64,") for link in found.links)
    assert not re.search(r"https?://|url\(|@import", text)
    assert 'name="viewport"' in text
    assert "@media print" in text
    assert [p.name for p in path.parent.iterdir()] == ["a.html"]


def test_it_says_what_was_forecast_and_what_was_assumed(forecast, path):
    text = path.read_text(encoding="utf-8")
    found = checked(text)
    row = forecast.frame.iloc[0]
    assert f"{100 * row['lower']:.1f} to {100 * row['upper']:.1f}" in found.text
    assert forecast.posterior.diagnostics().messages[0] in found.text
    assert "n_skills = 2" in found.text
    assert "Observed scores" not in found.text
    assert "<b>&one" in found.text  # a name, not a tag
    assert "b" not in found.names[: found.names.index("table")]
    assert sb.report.page(forecast) == text


def test_warnings_stand_at_the_top(tiny_posterior):
    rows = sb.candidates("nobody", 9000, 6)
    with pytest.warns(sb.ExtrapolationWarning):
        fc = tiny_posterior.forecast(rows, new_family=True, benchmarks="Maths")
    text = checked(sb.report.page(fc)).text
    assert text.index("never seen") < text.index("Forecast scores")
    assert "a family nobody has seen" in text


@pytest.mark.long
def test_the_command_takes_flags_or_a_table(tmp_path):
    table = tmp_path / "c.csv"
    table.write_text("family,params_b,tokens_t\nqwen2,72,7\n")
    out = tmp_path / "r.html"
    asked = ("--posterior", "leaderboard", "--benchmarks", "MMLU", "--out", out)
    result = run("report", "--candidates", table, *asked)
    assert result.exit_code == 0, result.output
    text = checked(out.read_text(encoding="utf-8")).text
    assert "Forecast of qwen2-72B-7T" in text
    assert "this specification, fitted without" in text
    assert "--candidates replaces --family" in fails(
        "report", "--candidates", table, "--family", "qwen2", "--out", out
    )


def test_flags_of_observed_models_go_together(tmp_path):
    file = results(tmp_path / "results.json")
    asked = ("report", "--observed", file, "--out", tmp_path / "r.html")
    assert "needs --target-params" in fails(*asked)
    assert "--new-family does not go" in fails(*asked, *TARGET, "--new-family")


@pytest.mark.slow
def test_a_report_from_an_evaluation_of_ones_own(tmp_path):
    file, out = results(tmp_path / "results.json"), tmp_path / "r.html"
    asked = ("report", "--observed", file, "--params", 1.1, "--tokens", 0.3, "--out", out)
    result = run(*asked, *TARGET, "--benchmarks", "ARC")
    assert result.exit_code == 0, result.output
    text = checked(out.read_text(encoding="utf-8")).text
    assert text.index("Conditioned on 1 score of mine-1b") < text.index("Observed scores")
    assert "ARC38.0" in text
    assert "fitted on 180 models" in text
    assert "then 1 score of mine-1b" in text


def test_errors_of_the_command(tmp_path):
    ask = ["report", "--family", "qwen2", "--params", 72, "--tokens", 7]
    assert "needs a file" in fails(*ask)
    assert "--model goes with --observed" in fails(*ask, "--out", "a.html", "--model", "x")
    assert "ends in .html" in fails(*ask, "--out", tmp_path / "a.pdf")
    assert "there is no folder" in fails(*ask, "--out", tmp_path / "no" / "a.html")
    assert "needs --params and --tokens" in fails(
        "report", "--family", "qwen2", "--out", tmp_path / "a.html"
    )
    assert "--params has 3 values: lists must pair up; add --grid" in fails(
        "report", "--family", "qwen2,yi", "--params", "1,2,3", "--tokens", 7,
        "--out", tmp_path / "a.html",
    )  # fmt: skip
    damaged = tmp_path / "damaged.nc"
    damaged.write_bytes(b"no")
    message = fails(*ask, "--out", tmp_path / "a.html", "--posterior", damaged)
    assert "cannot be read as a posterior" in message
