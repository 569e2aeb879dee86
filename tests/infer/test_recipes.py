"""Recipes: the published laws and ours as files."""

from __future__ import annotations

import inspect
from pathlib import Path

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


def test_the_law_that_reaches_far_is_the_default_and_three_choices():
    far = sb.Sloth().replace(walk="compute", progress="date", slopes="tuned")
    assert recipes.load("far").spec == far


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
    assert published == sb.load_dataset("open_llm_leaderboard", corrected=False)
    assert published != sb.load_dataset("open_llm_leaderboard")


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
