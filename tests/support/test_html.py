"""What notebooks show: the verdict first, everything escaped, and no more than can be read."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

import sloth_bayes as sb
from sloth_bayes.support.html import shown
from tests.conftest import converged, unjudged


def test_everything_is_escaped_and_tables_are_short():
    table = pd.DataFrame({"<model>": ["<b>a</b>"] * 100, "score": 0.123456})
    page = shown("<Thing <i>>", table, standing="<u>", notes=["<script>"] * 9)
    for raw in ("<model>", "<b>a", "<i>", "<u>", "<script>"):
        assert raw not in page
    assert page.index("&lt;u&gt;") < page.index("Thing") < page.index("<table") < page.index("<ul")
    assert page.count("<tr") < 30
    assert "and 4 more" in page
    assert "0.123<" in page


def test_a_row_is_read_from_top_to_bottom():
    page = shown("One", pd.DataFrame({"a": [1.5], "b": [float("nan")], "c": "text"}))
    assert page.count("<tr") == 3
    assert "1.5<" in page
    assert "nan" not in page.lower()


def first(thing) -> str:
    """What the badge at the start says."""
    page = thing._repr_html_()
    assert page.startswith("<div><p><b style=")
    return page.split("</b>")[0].rsplit(">", 1)[1]


@pytest.mark.filterwarnings("ignore::sloth_bayes.ConvergenceWarning")
def test_the_verdict_comes_first(tiny_posterior, tiny_svi, tiny_prior):
    asked, fresh = sb.candidates("alder", 4.0, 1.0), unjudged(tiny_posterior)
    assert first(fresh) == first(fresh.forecast(asked)) == "unknown"
    assert "diagnostics()" in fresh._repr_html_()
    good = converged(fresh)
    bad = sb.Posterior(good.tree.copy(), good.spec)
    verdict = dataclasses.replace(good.diagnostics(), ok=False)
    bad.tree["convergence"] = verdict.to_dataset()
    for post, words in (
        (good, "converged"), (bad, "NOT CONVERGED"), (tiny_prior, "prior"),
        (converged(unjudged(tiny_svi)), "first look"),
    ):  # fmt: skip
        assert first(post) == first(post.diagnostics()) == first(post.forecast(asked)) == words
    size = good.required_size("Maths", 0.3, tokens=1, family="alder")
    assert first(size) == "converged"
    assert first(bad.compare(asked, asked.assign(params_b=8.0))) == "NOT CONVERGED"
    assert first(good.skills()) == "converged"


def test_evaluations_say_whether_their_folds_converged():
    found = sb.load_evaluation("leaderboard", "strict")
    assert first(found) == "first look"
    bad = dataclasses.replace(found, frame=found.frame.assign(converged=0))
    assert first(bad) == "NOT CONVERGED"
    assert "73 of 73 folds have not converged" in bad._repr_html_()
    points = dataclasses.replace(found, frame=found.frame.drop(columns="converged"))
    assert points._repr_html_().startswith("<div><p>Evaluation of sloth_bayes, SVI: 73 folds")
