"""The page to play with: whole, escaped, and in a real browser the numbers of the forecast."""

from __future__ import annotations

import io
import os
import re
from urllib.parse import urlencode

import numpy as np
import pandas as pd
import pytest

import sloth_bayes as sb
from sloth_bayes.publish.explorer import NEW
from studies.explorer import (
    POINTS,
    at_random,
    browser,
    chromium,
    forecast,
    known,
    opened,
    printed,
    shown,
)
from tests.cli.test_cli import fails, run
from tests.publish.test_report import checked

BAR = 0.3  # points


@pytest.fixture(scope="module")
def path(tiny_posterior, tmp_path_factory):
    out = tmp_path_factory.mktemp("explorer") / "e.html"
    return sb.explorer.write(tiny_posterior, out, benchmarks=["Maths", "Reading"])


def test_a_page_is_one_whole_file_without_a_network(path, tiny_posterior):
    text = path.read_text(encoding="utf-8")
    found = checked(text)
    assert found.links == ["data:,"]
    assert not re.search(r"https?://|@import|@DATA|@SURFACES", text)
    assert 'name="viewport"' in text
    assert [p.name for p in path.parent.iterdir()] == ["e.html"]
    assert sb.explorer.page(tiny_posterior, benchmarks=["Maths", "Reading"]) == text


def test_a_page_says_what_it_rests_on(path, tiny_posterior):
    data = known(path)
    verdict = tiny_posterior.diagnostics()
    assert data["verdict"]["text"].startswith(verdict.messages[0])
    assert data["standing"] == tiny_posterior.standing
    about = dict(data["about"])
    assert tiny_posterior.attrs["data_fingerprint"] in about["data"]
    assert sb.__version__ in about["made by"]
    assert "noise of evaluations" in about["intervals"]


def test_it_offers_what_was_asked_for_and_a_new_family(path, tiny_posterior, tmp_path):
    data = known(path)
    assert [b["name"] for b in data["benchmarks"]] == ["Reading", "Maths"]
    assert [f["name"] for f in data["families"]] == [NEW, *tiny_posterior.families]
    assert data["kinds"] == ["base", "instruct"]
    kinds = {f["name"]: list(f["kinds"]) for f in data["families"]}
    assert kinds == {NEW: ["0", "1"], **{f: [str(int("chat" in f))] for f in kinds if f != NEW}}
    out = tmp_path / "few.html"
    few = known(sb.explorer.write(tiny_posterior, out, families="cedar", benchmarks="Code"))
    assert [f["name"] for f in few["families"]] == [NEW, "cedar"]
    table = tiny_posterior.model_table()
    assert {m["name"] for m in few["models"]} <= set(table.index[table["family"] == "cedar"])
    with pytest.raises(sb.UnknownNameError, match="unknown family 'oak'"):
        sb.explorer.page(tiny_posterior, families="oak")
    with pytest.raises(sb.DataError, match="no benchmark is asked for"):
        sb.explorer.page(tiny_posterior, benchmarks=[])


def test_names_are_text_wherever_they_come_from(tiny_posterior, tmp_path):
    name, out = "</script><b>&", tmp_path / "e.html"
    options = {"families": "cedar", "benchmarks": "Code", "name": name}
    sb.explorer.write(tiny_posterior, out, **options)
    assert "b" not in checked(out.read_text(encoding="utf-8")).names
    assert name in dict(known(out)["about"])["posterior"]


def test_the_command(tiny_posterior, tmp_path):
    saved = tiny_posterior.save(tmp_path / "tiny.nc")
    out = tmp_path / "e.html"
    asked = ("explore", "--posterior", saved, "--families", "cedar", "--benchmarks")
    result = run(*asked, "Code", "--out", out)
    assert result.exit_code == 1, result.output  # the tiny fit is too short
    assert "has not converged" in result.stderr
    assert not known(out)["verdict"]["ok"]
    assert "unknown benchmark" in fails(*asked, "x", "--out", out)
    assert "between 0 and 1" in fails(*asked, "Code", "--out", out, "--prob", 2)
    assert "needs a file" in fails("explore")
    assert "ends in .html" in fails("explore", "--out", tmp_path / "a.pdf")
    assert "there is no folder" in fails("explore", "--out", tmp_path / "no" / "a.html")


# -- in a browser --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def started():
    """A browser; where SLOTH_BAYES_BROWSER is set, a skip is a failure."""
    found = chromium()
    if found is None:
        assert "SLOTH_BAYES_BROWSER" not in os.environ, "chromium or playwright is missing"
        pytest.skip("needs chromium (apt-get install chromium) and pip install playwright")
    with browser(found) as running:
        yield running


@pytest.fixture(scope="module", params=["leaderboard", "open"])
def shipped(request, tmp_path_factory):
    """A posterior that ships, and its page of some families, evenly of those sorted by name."""
    post = sb.load(request.param)
    some = post.families[:: len(post.families) // 4]
    out = tmp_path_factory.mktemp("explorer") / f"{request.param}.html"
    return post, sb.explorer.write(post, out, families=some, progress=False)


@pytest.mark.long
def test_the_page_shows_the_numbers_of_the_forecast(shipped, started):
    post, file = shipped
    data = known(file)
    points = at_random(data, POINTS, seed=1)
    with opened(started, file) as page:
        here = shown(page, points)
    there = printed(forecast(post, data, points), points)
    assert np.abs(here - there).max() < BAR


def numbers(page) -> dict[str, list[str]]:
    """The table of a page: by benchmark, a cell a model."""
    rows = page.locator("#table tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.innerText.trim()))"
    )
    return {benchmark: cells for benchmark, *cells in rows}


@pytest.mark.long
def test_a_page_is_used_by_keyboard_link_and_file(shipped, started):
    post, file = shipped
    family, tests = post.families[0], post.benchmarks[:2]
    kind = post.family_table()["kind"][family]
    models = [("family", family), ("kind", kind), ("family", NEW), ("kind", "base")]
    where = [("params", 3.3), ("tokens", 2), ("axis", "budget")]
    address = "#" + urlencode([*models, *where, *(("benchmark", b) for b in tests)])
    with opened(started, file, address) as page:
        assert post.diagnostics().messages[0] in page.locator("#verdict").inner_text()
        assert list(numbers(page)) == tests
        assert page.locator("#panels figure").count() == 2
        assert page.url.endswith(address)  # what was asked for is what the page links to

        # keys: on the point, on a slider, in a field
        page.locator("#handle").focus()
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Shift+ArrowUp")
        page.locator("#params").press("PageUp")
        page.wait_for_url("**params=13.2&tokens=4&**")
        page.locator("#tokens-n").fill("5")
        page.keyboard.press("Tab")
        page.wait_for_url("**&tokens=5&**")

        # the file has what the table has
        with page.expect_download() as download:
            page.locator("#csv").press("Enter")
        table = pd.read_csv(io.StringIO(download.value.path().read_text(encoding="utf-8")))
        in_points = 100 * table[["median", "lower", "upper"]].to_numpy()
        in_file = [f"{median:.1f} {low:.1f} to {up:.1f}" for median, low, up in in_points]
        assert in_file == [cell for cells in numbers(page).values() for cell in cells]
        assert table[["params_b", "tokens_t"]].drop_duplicates().to_numpy().tolist() == [[13.2, 5]]
        assert table["family"].tolist() == 2 * [family, NEW]
        assert set(table["fit"]) == {"converged"}
        fc = post.forecast(sb.candidates(family, 13.2, 5, kind=kind))
        away = table["doublings"][table["family"] == family]
        np.testing.assert_allclose(away, fc.doublings[0], atol=0.006)

        # the link opened elsewhere shows the same
        with opened(started, file, page.evaluate("location.hash")) as again:
            assert numbers(again) == numbers(page)
            assert again.locator("[name=axis]:checked").input_value() == "budget"


@pytest.mark.long
def test_a_page_fits_a_phone_and_bears_a_wrong_link(shipped, started):
    _, file = shipped
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
    with opened(started, file, "#family=nobody&params=1e9&kind=x", **phone) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert "nobody" in page.locator("#said").inner_text()
        for _ in range(3):
            page.locator("#add").tap()
        assert page.locator("#models select[data-family]").count() == 4
        assert page.locator("#add").is_disabled()
        assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.slow
def test_pages_of_what_ships_are_small(tmp_path):
    for name in ("leaderboard", "open"):
        out = sb.explorer.write(sb.load(name), tmp_path / f"{name}.html", progress=False)
        assert out.stat().st_size < 3e6
