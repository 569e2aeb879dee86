"""Recipes: the published laws and ours as files, and the card of a fit."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

import sloth_bayes as sb
from sloth_bayes.infer import fit as inference
from sloth_bayes.infer import recipes

LAWS = ("flops", "leaderboard", "owen", "ruan", "size-and-tokens", "sloth-basic", "sloth-full")


def folder(tmp_path: Path, text: str) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "spec.toml").write_text(text)
    return tmp_path / "mine"


def test_every_recipe_that_ships_loads():
    assert set(LAWS) <= set(recipes.recipe_names())
    for name in recipes.recipe_names():
        recipe = recipes.load(name)
        assert recipe.name == name
        assert recipe.data().n_scores > 0


def test_a_recipe_is_fitted_as_a_specification_is():
    defaults = {k: p.default for k, p in inspect.signature(inference.fit).parameters.items()}
    assert recipes.FitOptions().arguments().items() <= defaults.items()


def test_the_leaderboard_recipe_is_the_default_written_out():
    recipe = recipes.load("leaderboard")
    assert recipe.spec == sb.Sloth()
    text = (recipe.folder / "spec.toml").read_text()
    for line in sb.Sloth().to_toml().splitlines():
        assert line in text
    assert recipe.fit.method == "nuts"
    assert recipe.fit.slim_draws >= 1000


@pytest.mark.parametrize("name", [n for n in LAWS if n != "leaderboard"])
def test_published_laws_share_nothing_that_they_did_not_share(name):
    spec = recipes.load(name).spec
    assert (spec.residual, spec.model_effect, spec.upper) == ("none", "none", "one")
    assert spec.intercept == ("shared" if name == "owen" else "family")
    assert spec.slopes == ("family" if name == "ruan" else "shared")
    assert (spec.inputs == "flops") == (name in ("owen", "flops", "ruan"))
    assert (spec.loadings == "free") == name.startswith("sloth")


def test_a_folder_of_ones_own(tmp_path):
    path = folder(
        tmp_path, 'n_skills = 2\n[fit]\nmethod = "svi"\nbenchmarks = ["MMLU", "BBH"]\nseed = 5\n'
    )
    for given in (path, str(path)):
        recipe = recipes.load(given)
        assert (recipe.name, recipe.spec.n_skills, recipe.folder) == ("mine", 2, path)
        assert recipe.fit.arguments()["seed"] == 5
        assert recipe.data().benchmark_names == ("MMLU", "BBH")


def test_published_values_can_be_asked_for(tmp_path):
    published = recipes.load(folder(tmp_path, "[fit]\ncorrected = false\n")).data()
    assert published == sb.load_dataset(corrected=False)
    assert published != sb.load_dataset()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[fit]\nwarmpu = 10\n", "warmpu.*did you mean 'warmup'"),
        ("[fit]\ndraws = true\n", "draws must be a number, not True"),
        ('[fit]\ncorrected = "yes"\n', "corrected must be true or false"),
        ('[fit]\nbenchmarks = "MMLU"\n', "benchmarks must be a list"),
        ("[fit]\nslim_draws = 0\n", "slim_draws must be at least 1"),
        ('[fit]\nmethod = "mcmc"\n', "method takes nuts, svi"),
        ("fit = 3\n", "fit must be a table"),
        ('link = "logstic"\n', "link takes logistic, richards"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    path = folder(tmp_path, text)
    with pytest.raises(sb.SpecError, match=message) as caught:
        recipes.load(path)
    assert str(path / "spec.toml") in str(caught.value)


def test_what_is_not_a_recipe(tmp_path):
    with pytest.raises(sb.UnknownNameError, match="did you mean 'leaderboard'"):
        recipes.load("leaderbord")
    with pytest.raises(sb.FileFormatError, match=r"no recipe: it has no file spec\.toml"):
        recipes.load(tmp_path)
    with pytest.raises(sb.FileFormatError, match="called by its name: owen"):
        recipes.load(tmp_path / "owen")
    with pytest.raises(sb.FileFormatError, match="not valid TOML"):
        recipes.load(folder(tmp_path, "n_skills = = 2\n"))
    recipe = recipes.load("owen")
    with pytest.raises(sb.SpecError, match="did you mean 'steps'"):
        recipe.run(stpes=3)
    with pytest.raises(sb.UnknownNameError, match="benchmark 'MMLX'"):
        recipe.run(benchmarks=["MMLX"])


def section(card: str, title: str) -> str:
    return card.split(f"## {title}\n")[1].split("\n## ")[0]


def test_the_card_says_what_was_measured(tiny_posterior, tmp_path):
    found = tiny_posterior.diagnostics()
    path = recipes.write_card(tiny_posterior, found, 12.3, tmp_path / "card.md", kept=100)
    card = path.read_text()
    fitted = section(card, "What was fitted")
    assert tiny_posterior.attrs["data_fingerprint"] in fitted
    assert f"{len(tiny_posterior.models)} models" in fitted
    assert "12 s" in fitted
    assert "100 draws" in fitted
    convergence = section(card, "Convergence")
    assert found.messages[0] in convergence
    for name in found.table["quantity"].head(10):
        assert name in convergence
    checks = section(card, "In-sample check")
    for name in tiny_posterior.benchmarks:
        assert f"| {name} |" in checks
    loo = section(card, "Leave-one-out (PSIS-LOO)")
    counts = [int(row.split("|")[2]) for row in loo.splitlines() if row.startswith("| k-hat")]
    assert sum(counts) == tiny_posterior.attrs["n_scores"]
    assert ("not converged" in section(card, "When not to trust it")) == (not found.ok)


def test_the_card_compares_nuts_with_svi(tiny_posterior, tiny_svi, tmp_path):
    found = tiny_posterior.diagnostics()
    path = recipes.write_card(tiny_posterior, found, 1.0, tmp_path / "card.md", svi=tiny_svi)
    beside = section(path.read_text(), "Variational inference beside it")
    assert "k-hat" in beside
    assert f"{len(tiny_posterior.families)} models nobody has trained" in beside
    rows = [line.split("|")[1:-1] for line in beside.splitlines() if line.startswith("| ")][2:]
    assert [row[0].strip() for row in rows] == [*tiny_posterior.benchmarks, "all"]
    apart, most, width = (np.array([float(row[i]) for row in rows]) for i in (1, 2, 3))
    assert (apart <= most).all()
    assert (width > 0).all()
    path = recipes.write_card(tiny_posterior, found, 1.0, tmp_path / "card.md", svi=tiny_posterior)
    same = section(path.read_text(), "Variational inference beside it")
    assert "| all | 0.0 | 0.0 | 1.00 | 0% |" in same


def test_the_card_of_a_slimmed_posterior_has_no_loo(tiny_posterior, tmp_path):
    slim = tiny_posterior.slim(100)
    path = recipes.write_card(slim, slim.diagnostics(), 1.0, tmp_path / "card.md")
    assert "Not computed" in section(path.read_text(), "Leave-one-out (PSIS-LOO)")


def test_a_card_that_cannot_be_written(tiny_posterior, tmp_path):
    with pytest.raises(sb.FileFormatError, match="cannot write"):
        recipes.write_card(
            tiny_posterior, tiny_posterior.diagnostics(), 1.0, tmp_path / "no" / "card.md"
        )
