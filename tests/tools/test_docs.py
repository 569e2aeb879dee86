"""README and the site: their code runs, their commands exist, their links lead somewhere."""

from __future__ import annotations

import dataclasses
import operator
import re
import shlex
import shutil
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from typer.main import get_command

import sloth_bayes as sb
from sloth_bayes import law
from sloth_bayes.cli import app
from sloth_bayes.infer import recipes
from sloth_bayes.law import equations
from sloth_bayes.model.arrays import design
from sloth_bayes.predict.condition import _rows
from tools import api_page

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.S)


@pytest.fixture
def at_work(tmp_path, monkeypatch):
    """A folder to run examples in, with an evaluation file in it."""
    results = ROOT / "data/raw/lm_eval/current_format_leaderboard_groups.json"
    shutil.copy(results, tmp_path / "results.json")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def skip_fits(monkeypatch):
    """Fits are laid out but not run, and conditioning reads its rows; the calls are returned."""
    calls = []

    def fit(self, data, **options):
        calls.append((self, design(data)))
        return sb.load("leaderboard")

    def condition(self, rows, **options):
        calls.append((self, _rows(self, rows)))
        return Mock(spec=sb.Posterior)

    monkeypatch.setattr(sb.Sloth, "fit", fit)
    monkeypatch.setattr(sb.Posterior, "condition", condition)
    return calls


@pytest.fixture
def own_entries():
    """Links and noise that an example adds are gone after it."""
    registries = (law.LINKS, law.NOISE, law.LIKELIHOODS, law.TERMS)
    before = [(registry, dict(registry)) for registry in registries]
    yield
    for registry, entries in before:
        registry.clear()
        registry.update(entries)


def run(page: str, **names: object) -> dict:
    for block in blocks(page):
        exec(block, names)
    return names


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_code_of_readme_runs(at_work, skip_fits):
    names = run("README.md")
    assert len(names["fc"].frame) == 2 * 36
    (_, observed), (chosen, laid_out) = skip_fits
    assert observed["model"].size == 1
    assert (chosen.n_skills, laid_out.benchmarks) == (2, ("MMLU", "GSM8K"))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_recipes_run(skip_fits, own_entries, tiny_table, tiny_svi):
    run("docs/extending.md", table=tiny_table)
    (_, benchmark), (_, rows), (link, _), (noise, _), (laplace, _), (term, _) = skip_fits
    assert benchmark.benchmarks == ("MMLU", "GSM8K", "MyEval")
    assert rows["family"].unique().tolist() == ["ours"]
    assert (link.link, noise.noise) == ("cloglog", "binomial")
    assert (laplace.likelihood, term.terms) == ("laplace", ("release_year",))
    for chosen in (link, noise, laplace):  # the law at draws of another fit
        changed = tiny_svi.spec.replace(
            link=chosen.link, noise=chosen.noise, likelihood=chosen.likelihood
        )
        post = sb.Posterior(tiny_svi.tree, changed)
        assert bool(post.data_tree["log_likelihood"]["score"].notnull().all())
        assert not post.expected_scores().equals(tiny_svi.expected_scores()) or chosen is not link


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_recipes_fit(own_entries):
    table = sb.load_dataset("open_llm_leaderboard").select(benchmarks=["MMLU", "GSM8K", "ARC"])
    names = run("docs/extending.md", table=table)
    assert "ours" in names["mine"].families
    score = names["post"].data_tree["log_likelihood"]["score"]
    assert bool(score.notnull().all())


def test_the_link_of_the_recipe_is_a_link():
    names: dict = {"sb": sb, "table": None}
    source = next(b for b in blocks("docs/extending.md") if "def cloglog" in b)
    exec(source.split("law.LINKS")[0], names)
    eta = np.linspace(-6, 4, 41)
    value = names["cloglog"](eta, 1.0, np)
    assert (np.diff(value) > 0).all()
    assert names["cloglog"](np.zeros(1), 1.0, np) == pytest.approx(0.5)
    step = np.array([-1e-5, 1e-5])
    assert np.diff(names["cloglog"](step, 1.0, np)) / 2e-5 == pytest.approx(0.25, rel=1e-5)
    back = names["inverse_cloglog"](value, 1.0, np)
    np.testing.assert_allclose(back, eta, atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_term_of_the_recipe_is_a_term_everywhere(own_entries, tmp_path):
    """One file and one line: it is fitted, forecast, observed, kept and judged."""
    names: dict = {"sb": sb, "law": law}
    source = next(b for b in blocks("docs/extending.md") if "class ReleaseYear" in b)
    exec(source.split("post =")[0], names)
    families = ["qwen1.5", "qwen2", "llama-2", "meta-llama-3", "pythia", "gemma", "gemma-2"]
    table = sb.load_dataset("open_llm_leaderboard").select(
        families=families, benchmarks=["MMLU", "ARC", "HellaSwag"]
    )
    spec = sb.Sloth(terms=["release_year"], n_skills=1, link="logistic")
    assert sb.Sloth.from_toml(spec.to_toml()) == spec
    years = spec.prior(table, draws=200).merged["release_year"]
    assert 0.2 < years.std() < 0.4
    post = spec.fit(table, method="svi", steps=100, starts=1, draws=100, progress=False)
    assert any(q.startswith("release_year[") for q in post.diagnostics().table["quantity"])

    who = sb.candidates("qwen2", 30.0, 7.0)
    early, late = (
        post.forecast(who.assign(released=month)).draws["expected"].values[0, :, 0]
        for month in ("2024-01", "2025-01")
    )
    v = post.merged
    eta = [inverse(post, fraction) for fraction in (early, late)]
    shift = np.einsum("sjk,sk->sj", v["loading"], v["release_year"])  # of one year
    np.testing.assert_allclose(eta[1] - eta[0], shift, atol=2e-3)
    unsaid = post.forecast(who).draws["expected"].values[0, :, 0]  # the family's own date
    month = post.constant_data["year"].groupby(post.constant_data["family_of_model"]).mean()
    there = float(month.sel(family_of_model="qwen2")) - 1.0
    np.testing.assert_allclose(inverse(post, unsaid) - eta[0], there * shift, atol=2e-3)
    with pytest.raises(sb.DataError, match="new family and has no 'year'"):
        post.forecast(sb.candidates(params_b=1, tokens_t=1), new_family=True)

    mine = pd.DataFrame({"model": ["mine-1b"], "family": "mine", "params_b": 1.4, "tokens_t": 0.3,
                         "released": "2025-07", "ARC": 0.33, "HellaSwag": 0.55})  # fmt: skip
    seen = post.condition(mine)
    assert float(seen.constant_data["year"].sel(model="mine-1b")) == pytest.approx(2.5)
    seen.save(tmp_path / "post.nc")
    again = sb.load(tmp_path / "post.nc")
    assert again.spec == spec
    larger = sb.candidates("mine", 7, 1)
    pd.testing.assert_frame_equal(again.forecast(larger).frame, seen.forecast(larger).frame)


def inverse(post: sb.Posterior, expected: np.ndarray) -> np.ndarray:
    """Predictors at expected scores (S, J)."""
    v = post.merged
    fraction = (expected.astype(float) - v["lower"]) / (v["upper"] - v["lower"])
    return equations.inverse_link(post.spec.link, fraction, v["link_shape"], np)


@pytest.mark.long
def test_the_page_of_priors_runs():
    names = run("docs/priors.md")
    half = 100 * names["careful"].prior_predictive(names["data"], draws=500)["prior"]["gain"]
    spread = [float(gain.sel(doubled="size").std()) for gain in (names["gain"], half)]
    assert 0.4 < spread[1] / spread[0] < 0.6
    assert names["found"].frame["exact"].mean() > 0.9


@pytest.mark.long
def test_the_page_of_comparing_laws_runs():
    names = run("docs/howto/compare.md")
    assert names["table"].index[0] == "one skill"
    assert names["table"]["difference"].iloc[1] < 0


@pytest.mark.slow
def test_the_page_of_numpyro_runs():
    names = run("docs/numpyro.md")
    assert names["pointwise"].shape == names["replicated"].shape == (20, len(names["score"]))


@pytest.mark.parametrize("page", PAGES)
def test_code_names_what_there_is(page):
    for block in blocks(page):
        compile(block, page, "exec")
        for path in re.findall(r"\bsb\.([\w.]+)", block):
            operator.attrgetter(path)(sb)


OWN = {  # pages with tests of their own
    "README.md", "docs/extending.md", "docs/numpyro.md", "docs/priors.md", "docs/howto/compare.md",
}  # fmt: skip
FITTING = {f"docs/howto/{page}.md" for page in ("refit", "table")}


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p) and p not in OWN | FITTING])
def test_the_code_of_a_page_runs(page, at_work):
    run(page)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("page", sorted(FITTING))
def test_the_code_of_a_page_that_fits_runs(page, at_work):
    run(page)


def test_the_pages_of_the_api_are_up_to_date():
    listed = [n for names in api_page.GROUPS.values() for n in names]
    assert sorted(listed) == sorted(set(sb.__all__) - {"__version__"})
    pages = api_page.pages()
    assert set(pages) == {api_page.DOCS / "api.md", *(api_page.DOCS / "reference").glob("*.md")}
    for path, text in pages.items():
        assert path.read_text(encoding="utf-8") == text, "python -m tools.api_page"


def rows(page: str) -> list[str]:
    """Rows of its tables, as Markdown."""
    return re.findall(r"^\| .*$", (ROOT / page).read_text(encoding="utf-8"), re.M)


def test_priors_are_those_of_the_table():
    told = {}
    for row in rows("docs/model.md"):
        if found := re.match(r"\| `(\w+)` \| ([\d.]+) \|", row):
            told[found[1]] = float(found[2])
    priors = dataclasses.asdict(sb.Priors())
    assert told == {name: priors[name] for name in told}
    optional = "drift fan mixture_weight model_effect slope_deviation walk walk_compute"
    assert set(told) == set(priors) - set(optional.split())


def test_results_in_short_are_those_of_the_evidence():
    text = (ROOT / "docs/evidence.md").read_text(encoding="utf-8")
    section = {slug(s.split("\n")[0]): s for s in re.split(r"^## ", text, flags=re.M)}
    accuracy = " ".join(re.findall(r"^\|.*", section["accuracy"], re.M))
    checked = 0
    for row in rows("docs/results.md"):
        numbers = re.findall(r"\d+(?:\.\d+)?", re.sub(r"`[^`]*`|\]\([^)]*\)", "", row))
        if where := re.search(r"evidence\.md#([\w-]+)", row):
            known = re.findall(r"\d+(?:\.\d+)?", section[where[1]])
            label = re.findall(r"\d+", re.search(r"\[(.*?)\]", row)[1])
            assert set(numbers) - set(label) <= {*known, "90"}, row
        elif "trained link" in row or "sloth_bayes" in row or "FLOPs" in row:
            assert row.split("|", 2)[2] in accuracy, row
        else:
            continue
        checked += 1
    assert checked == len(rows("docs/results.md")) - 7  # heads of tables


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.findall(r"(?:^|[`/ (])sloth-bayes ([^`\n|]*)", text)
    for line in found:
        command, words = get_command(app), shlex.split(line)
        while words and hasattr(command, "commands"):
            assert words[0] in command.commands, line
            command = command.commands[words.pop(0)]
        options = {o for p in command.params for o in p.opts}
        assert {w for w in words if w.startswith("--") and w != "--help"} <= options, line
    for name, arguments in re.findall(
        r"python -m ((?:tests|studies|tools)\.[\w.]+)([^`\n]*)", text
    ):
        module = ROOT / f"{name.replace('.', '/')}.py"
        assert name.endswith(".NAME") or module.exists(), name
        for option in re.findall(r"--[\w-]+", arguments):
            assert f'"{option}"' in module.read_text(encoding="utf-8"), (name, option)
    for name in re.findall(r"`models/([\w-]+)`", text):
        assert name in recipes.recipe_names()


def slug(head: str) -> str:
    return re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(h) for h in re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)}


@pytest.mark.parametrize("page", [*PAGES, *sorted(
    str(p.relative_to(ROOT)) for p in (ROOT / "notebooks").glob("*.ipynb"))])  # fmt: skip
def test_links_lead_somewhere(page):
    here = ROOT / page
    for link in re.findall(r"\]\(([^)\s]+)\)", here.read_text(encoding="utf-8")):
        if link.startswith(("http", "attachment")):
            continue
        path, _, anchor = link.partition("#")
        target = (here.parent / path).resolve() if path else here
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link
