"""Skills: standardised, aligned, named; no forecast depends on them; errors that teach."""

from __future__ import annotations

import json

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import sloth_bayes as sb
from sloth_bayes.api import Posterior
from sloth_bayes.evaluate import how_many_skills as howmany
from sloth_bayes.law import equations, terms
from sloth_bayes.plots import skills as skillplots
from sloth_bayes.predict.candidates import completed
from sloth_bayes.predict.new_effects import effects_of
from sloth_bayes.skills.find import suggest_names
from tests.cli.test_cli import fails, run
from tests.conftest import NAMES, converged, layout

ROTATIONS = ("geomin", "quartimin", "oblimin", "promax", "varimax", "none")


@pytest.fixture(scope="module")
def skills(tiny_posterior) -> sb.Skills:
    return tiny_posterior.skills()


@pytest.fixture(scope="module")
def shipped() -> sb.Skills:
    return sb.load("leaderboard").skills(draws=300)


def drawn(post: sb.Posterior, spec: sb.Sloth, **given: np.ndarray) -> sb.Posterior:
    """A posterior of 25 draws at random for the models of another, for the skills of `spec`."""
    rng, d = np.random.default_rng(0), 4 if spec.loadings == "identity" else spec.n_skills
    inputs = equations.INPUTS[spec.inputs]
    old = post.tree["posterior"].to_dataset()
    coords = {k: old[k].values for k in ("benchmark", "family", "model")}
    coords |= {"input": list(inputs), "skill": [f"skill {k + 1}" for k in range(d)]}
    names = ["loading", "bias", "slope", "family_effect", *["instruct"] * (spec.instruct != "none")]
    dims = terms.dims()
    names += ["residual"] * (spec.residual != "none")
    variables = {}
    for name in names:
        shape = [len(coords[dim]) for dim in dims[name]]
        values = given.get(name, rng.standard_normal((1, 25, *shape)))
        variables[name] = (("chain", "draw", *dims[name]), np.broadcast_to(values, (1, 25, *shape)))
    constant = post.constant_data
    constant = constant.drop_vars(["inputs", "input"]).copy(deep=True)
    x = equations.raw_inputs(
        spec.inputs, np.log(constant["params_b"].values), np.log(constant["tokens_t"].values),
        constant["centre"].values, np,
    )  # fmt: skip
    constant = constant.assign(inputs=(("model", "input"), x))
    used = {dim for dims, _ in variables.values() for dim in dims}
    coords |= {"chain": [0], "draw": np.arange(25)}
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(variables, {k: v for k, v in coords.items() if k in used}),
            "observed_data": post.tree["observed_data"].to_dataset(),
            "constant_data": constant,
        }
    )
    tree.attrs = dict(post.tree.attrs)
    return Posterior(tree, spec)


@pytest.fixture(scope="module")
def one_skill(tiny_posterior) -> sb.Posterior:
    return drawn(tiny_posterior, sb.Sloth(n_skills=1))


@pytest.fixture(scope="module")
def identity(tiny_posterior) -> sb.Posterior:
    spec = sb.Sloth(loadings="identity", residual="none")
    return drawn(tiny_posterior, spec, loading=np.eye(4))


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def merged(skills: sb.Skills, name: str) -> np.ndarray:
    values = skills.draws[name].values
    return values.reshape(-1, *values.shape[2:])


def wide_draws(post: sb.Posterior) -> dict[str, np.ndarray]:
    return {k: v.astype(np.float64) for k, v in post.merged.items()}


# -- standardisation -------------------------------------------------------------------------


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_skills_have_mean_zero_and_variance_one(tiny_posterior, rotation):
    found = tiny_posterior.skills(rotation)
    skill = merged(found, "model_skill")
    assert skill.dtype == np.float64
    assert skill.mean(1) == pytest.approx(np.zeros((400, 2)), abs=1e-12)
    assert skill.std(1) == pytest.approx(np.ones((400, 2)), abs=1e-10)
    correlation = np.stack([np.corrcoef(s.T) for s in skill])
    assert merged(found, "correlation") == pytest.approx(correlation, abs=1e-8)
    if rotation == "varimax":
        assert correlation == pytest.approx(np.broadcast_to(np.eye(2), (400, 2, 2)), abs=1e-8)


def test_over_other_models(tiny_posterior):
    chosen = tiny_posterior.models[:8]
    found = tiny_posterior.skills(models=chosen)
    skill = found.draws["model_skill"].sel(model=chosen)
    assert float(abs(skill.mean("model")).max()) < 1e-12
    assert float(abs(skill.std("model") - 1).max()) < 1e-10
    assert float(abs(found.draws["model_skill"].mean("model")).max()) > 1e-3


# -- no forecast changes ---------------------------------------------------------------------


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_no_expected_score_changes(tiny_posterior, rotation):
    """Of models in the fit and of others, from the rotated quantities, in double precision."""
    found = tiny_posterior.skills(rotation)
    post, v = tiny_posterior, wide_draws(tiny_posterior)
    frame = pd.concat(
        [
            sb.candidates(["birch", "cedar-chat"], [20, 0.7], [2, 6]),
            sb.candidates("dogwood", 5, 3),
        ],
        ignore_index=True,
    )

    rows = completed(post, frame, True)
    for who, skill in (
        (post.known_effects(), merged(found, "model_skill")),
        (
            effects_of(post, rows, 4),
            found.of(frame, seed=4, new_family=True).values.reshape(400, 3, 2),
        ),
    ):
        theta = terms.skills(v, who.wide())
        before = theta @ np.swapaxes(v["loading"], 1, 2) + v["bias"][:, None]
        after = skill @ np.swapaxes(merged(found, "loading"), 1, 2)
        after = after + merged(found, "bias")[:, None]
        assert np.abs(after - before).max() < 1e-10 * max(1, np.abs(before).max())


def test_asking_for_skills_leaves_the_posterior_alone(tiny_posterior):
    frame = sb.candidates("birch", [5, 20], 2)
    before = tiny_posterior.forecast(frame).draws
    stored = tiny_posterior.tree.copy(deep=True)
    tiny_posterior.skills("promax")
    assert tiny_posterior.forecast(frame).draws.identical(before)
    assert tiny_posterior.tree.identical(stored)


# -- identifiability ---------------------------------------------------------------------------


def in_other_coordinates(post: sb.Posterior, seed: int) -> sb.Posterior:
    """The same law in every draw: skills through a matrix of its own, and shifted.

    Loadings times M, skills times the inverse of its transpose, and the shift of all families
    into the bias: what the identifiability theorem says nothing can see (paper, appendix A).
    """
    rng = np.random.default_rng(seed)
    data = post.tree["posterior"].to_dataset().astype(np.float64)
    d = data.sizes["skill"]
    shape = (data.sizes["chain"], data.sizes["draw"])
    matrix = np.linalg.qr(rng.standard_normal((*shape, d, d)))[0] * rng.uniform(
        0.3, 3, (*shape, 1, d)
    )
    turn = xr.DataArray(matrix, dims=("chain", "draw", "skill", "new"))
    back = xr.DataArray(
        np.swapaxes(np.linalg.inv(matrix), -1, -2), dims=("chain", "draw", "skill", "new")
    )
    shift = xr.DataArray(rng.standard_normal((*shape, d)), dims=("chain", "draw", "skill"))

    def through(name: str, by: xr.DataArray) -> xr.DataArray:
        turned = xr.dot(data[name], by, dim="skill").rename(new="skill")
        return turned.assign_coords(skill=data["skill"]).transpose(*data[name].dims)

    out = data.copy()
    out["bias"] = data["bias"] - xr.dot(data["loading"], shift, dim="skill")
    data["family_effect"] = data["family_effect"] + shift
    out["loading"] = through("loading", turn)
    for name in ("family_effect", "lineage_effect", "slope", "instruct", "slope_lineage",
                 "model_effect"):  # fmt: skip
        if name in data:
            out[name] = through(name, back)
    tree = post.tree.copy()
    tree["posterior"] = xr.DataTree(out)
    return Posterior(tree, post.spec)


@pytest.mark.long
@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rotation=st.sampled_from(("geomin", "quartimin", "promax", "varimax")),
)
def test_what_is_not_identified_is_not_read(tiny_posterior, seed, rotation):
    """Rotation, reflection, scale and translation of the skills, another one in every draw."""
    wide = Posterior(tiny_posterior.tree.copy(), tiny_posterior.spec)
    wide.tree["posterior"] = xr.DataTree(wide.tree["posterior"].to_dataset().astype(np.float64))
    one = wide.skills(rotation, draws=40)
    other = in_other_coordinates(wide, seed).skills(rotation, draws=40)
    for name in ("loading", "correlation", "model_skill", "family_skill", "slope", "instruct"):
        assert merged(other, name) == pytest.approx(merged(one, name), abs=2e-4), name
    # the bias is of an average model, whatever was shifted into it
    assert merged(other, "bias") == pytest.approx(merged(one, "bias"), abs=2e-4)
    assert other.quality["congruence"].to_numpy() == pytest.approx(
        one.quality["congruence"].to_numpy(), abs=1e-4
    )


def test_truth_is_read_as_a_draw_is(tiny_posterior):
    """The posterior in other coordinates, aligned to the first reading, is the first reading."""
    one = tiny_posterior.skills()
    like = in_other_coordinates(tiny_posterior, 3).skills(like=one)
    assert like.names == one.names
    assert merged(like, "loading") == pytest.approx(merged(one, "loading"), abs=2e-3)


# -- tables ------------------------------------------------------------------------------------


def test_loadings_table(skills):
    found = skills.loadings(prob=0.5)
    assert found[["benchmark", "skill"]].drop_duplicates().shape == (8, 2)
    assert list(found.columns[2:]) == [
        "mean", "median", "sd", "lower", "upper", "p_positive", "prob",
    ]  # fmt: skip
    draws = merged(skills, "loading")
    row = found[(found["benchmark"] == "Facts") & (found["skill"] == skills.names[1])].iloc[0]
    mine = draws[:, NAMES.index("Facts"), 1]
    assert row["mean"] == pytest.approx(mine.mean())
    assert row["lower"] == pytest.approx(np.quantile(mine, 0.25))
    assert row["p_positive"] == pytest.approx((mine > 0).mean())
    wide = skills.table(prob=0.5)
    assert list(wide.index) == skills.benchmarks
    assert list(wide.columns) == skills.names
    assert wide.loc["Facts", skills.names[1]].startswith(f"{mine.mean():.2f} [")


def test_a_star_is_a_certain_sign(skills):
    found = skills.loadings().set_index(["benchmark", "skill"])["p_positive"]
    for benchmark, row in skills.table().iterrows():
        for skill, text in row.items():
            p = found[benchmark, skill]
            assert text.endswith("*") == (p > 0.95 or p < 0.05)


def test_communality(skills, tiny_posterior):
    found = skills.communality().set_index("benchmark")
    assert ((found["communality"] > 0) & (found["communality"] < 1)).all()
    assert (found["communality"] + found["own"]).to_numpy() == pytest.approx(np.ones(4))
    # by hand: variance over models of loadings times skills
    common = merged(skills, "model_skill") @ np.swapaxes(merged(skills, "loading"), 1, 2)
    who = tiny_posterior.known_effects()
    residual = terms.residuals(tiny_posterior.merged, who).astype(float)
    share = common.var(1) / (common.var(1) + residual.var(1))
    assert found["communality"].to_numpy() == pytest.approx(share.mean(0), abs=1e-6)
    bare = drawn(tiny_posterior, sb.Sloth(n_skills=2, residual="none")).skills()
    assert bare.communality()["communality"].to_numpy() == pytest.approx(np.ones(4))


def test_families_are_ranked_within_what_is_shown(skills):
    found = skills.families()
    assert set(found["family"]) == {"alder", "birch", "birch-chat", "cedar", "cedar-chat"}
    for _, part in found.groupby("skill"):
        assert part["mean"].is_monotonic_decreasing
        assert part["p_best"].sum() == pytest.approx(1)
        assert part["rank"].between(1, 5).all()
        assert (part["rank_lower"] <= part["rank"]).all()
        assert (part["rank"] <= part["rank_upper"]).all()
    tuned = skills.families(instruct=True)
    assert set(tuned["family"]) == {"birch-chat", "cedar-chat"}
    assert tuned["rank_upper"].max() <= 2
    assert set(skills.families(families=["cedar"])["rank"]) == {1.0}


def test_family_skill_is_that_of_a_model_at_the_typical_point(tiny_posterior, skills):
    """With no model effect of its own: the mean over draws of a new model's."""
    size, tokens = np.exp(tiny_posterior.tree["constant_data"]["centre"].values)
    frame = sb.candidates(tiny_posterior.families, size, tokens)
    there = skills.of(frame).values.reshape(400, 5, 2)
    # a new model draws an effect of its own; its family does not
    assert there.mean(0) == pytest.approx(merged(skills, "family_skill").mean(0), abs=0.1)


def test_superiority(skills):
    p = skills.superiority(skills.names[0])
    off = ~np.eye(5, dtype=bool)
    assert np.isnan(np.diag(p)).all()
    assert (p + p.T).to_numpy()[off] == pytest.approx(np.ones(20))
    values = merged(skills, "family_skill")[:, :, 0]
    assert p.loc["cedar", "alder"] == pytest.approx((values[:, 3] > values[:, 0]).mean())


def test_elasticities_are_differences_of_the_surface(skills):
    found = skills.elasticities([1.0, 8.0], 2.0)
    surface = skills.surface([1.0, 2.0, 8.0, 16.0], [2.0, 4.0]).mean(("chain", "draw"))
    for row in found.itertuples():
        a = surface.sel(params_b=row.params_b, tokens_t=2.0, skill=row.skill)
        point = (
            {"params_b": 2 * row.params_b, "tokens_t": 2.0}
            if row.of == "size"
            else {"params_b": row.params_b, "tokens_t": 4.0}
        )
        b = surface.sel(skill=row.skill, **point)
        assert row.mean == pytest.approx(float(b - a), abs=1e-10)


def test_the_interaction_is_how_elasticities_change(skills):
    typical = skills.elasticities().set_index(["of", "skill"])["mean"]
    coefficients = skills.coefficients().set_index(["input", "skill"])["mean"]
    for k, name in enumerate(skills.names):
        assert typical["size", name] == pytest.approx(coefficients["log_size", name])
        assert typical["tokens", name] == pytest.approx(coefficients["log_tokens", name])
        here, later = (
            skills.elasticities(4.0, tokens).set_index(["of", "skill"])["mean"]
            for tokens in (1.0, 2.0)
        )
        change = later["size", name] - here["size", name]
        assert change == pytest.approx(coefficients["log_size*log_tokens", name])
        assert coefficients["instruct", name] == pytest.approx(
            merged(skills, "instruct")[:, k].mean()
        )


def test_the_surface_is_zero_at_the_typical_point(skills, tiny_posterior):
    size, tokens = np.exp(tiny_posterior.tree["constant_data"]["centre"].values)
    assert abs(skills.surface([size], [tokens]).values).max() < 1e-12


def test_tuning_compares_with_the_base_family(skills, shipped):
    found = skills.tuning()
    assert dict(zip(found["family"], found["base"])) == {
        "birch-chat": "birch",
        "cedar-chat": "cedar",
    }
    values = merged(skills, "family_skill")
    row = found[(found["family"] == "cedar-chat") & (found["skill"] == skills.names[1])].iloc[0]
    assert row["mean"] == pytest.approx((values[:, 4, 1] - values[:, 3, 1]).mean())
    pairs = shipped.pairs()
    assert pairs["falcon-instruct"] == "falcon"  # not falcon-rw
    assert pairs["stablelm-2-1_-chat"] == "stablelm-2-1_"  # not stablelm-base-alpha
    assert pairs["wizardlm-v1.0-llama"] == "llama"


def test_models_table(skills, tiny_table):
    found = skills.models()
    assert len(found) == 2 * len(layout())
    joined = found.merge(tiny_table.frame, on="model", suffixes=("", "_there"))
    assert (joined["params_b"] == joined["params_b_there"]).all()
    assert (joined["family"] == joined["family_there"]).all()


def test_quality_is_reported(skills):
    assert list(skills.quality.index) == skills.names
    assert skills.quality["congruence"].between(0, 1).all()
    assert "r_hat" in skills.quality
    assert 0 <= skills.ambiguous <= 1
    assert skills.optima["starts"].sum() <= 64


def test_draws_without_data_are_told_to_be_unlike(tiny_prior):
    """The prior has no preferred rotation: its draws are not one solution, and that is said."""
    found = tiny_prior.skills(draws=300)
    assert found.ambiguous > 0.01
    assert any("ambiguous" in m for m in found.messages)


def test_the_same_seed_gives_the_same_skills(tiny_posterior, skills):
    assert tiny_posterior.skills(seed=0).draws.identical(skills.draws)
    other = tiny_posterior.skills(seed=7)  # other starts, the same best one
    assert merged(other, "loading") == pytest.approx(merged(skills, "loading"), abs=1e-4)


# -- names -----------------------------------------------------------------------------------


def test_names_are_suggested_from_the_paper(shipped):
    assert shipped.names[:2] == ["reasoning", "knowledge"]


@pytest.mark.parametrize(
    ("loading", "benchmarks", "names"),
    [
        ([[2, 0], [1, 0.2], [0.1, 1]], ["GSM8K", "BBH", "HellaSwag"], ["reasoning", "knowledge"]),
        # given out one to one: two skills of knowledge are not both called so
        ([[2, 0.1], [0, 1], [0.2, 1]], ["ARC", "Mine", "Yours"], ["knowledge", "Mine + Yours"]),
        # a share below one half gives no name
        ([[1, 1], [1, 1.1]], ["GSM8K", "BBH"], ["GSM8K + BBH", "reasoning"]),
        ([[-2, 0], [0, 1]], ["GSM8K", "Mine"], ["Mine + GSM8K", "Mine + GSM8K (2)"]),
        ([[1.0]], ["Mine"], ["Mine"]),
    ],
)
def test_the_rule_of_names(loading, benchmarks, names):
    assert suggest_names(np.array(loading), benchmarks) == names


def test_names_can_be_given(tiny_posterior, skills):
    assert tiny_posterior.skills(names=["one", "two"]).names == ["one", "two"]
    renamed = skills.rename({skills.names[0]: "first"})
    assert renamed.names == ["first", skills.names[1]]
    assert list(renamed.quality.index) == renamed.names
    assert list(renamed.loadings()["skill"].unique()) == renamed.names
    assert skills.names[0] != "first"
    assert merged(renamed, "loading") is not None


@pytest.mark.long
def test_a_target_names_and_orders_the_skills(tiny_posterior):
    target = pd.DataFrame(
        {"facts": [np.nan, 0.0, np.nan], "sums": [0.0, np.nan, np.nan]},
        index=["Facts", "Maths", "Reading"],
    )
    found = tiny_posterior.skills("target", target=target)
    assert found.names == ["facts", "sums"]
    mean = found.loadings().pivot(index="benchmark", columns="skill", values="mean")
    assert abs(mean.loc["Maths", "facts"]) < abs(mean.loc["Maths", "sums"])
    array = np.full((4, 2), np.nan)
    array[NAMES.index("Facts"), 1] = array[NAMES.index("Maths"), 0] = 0
    same = tiny_posterior.skills("target", target=array)
    assert merged(same, "loading") == pytest.approx(merged(found, "loading"), abs=1e-6)


# -- trivial answers ----------------------------------------------------------------------------


def test_one_skill_is_standardised_only(one_skill):
    found = one_skill.skills("geomin")
    assert found.rotation == "none"
    assert any("nothing to rotate" in m for m in found.messages)
    assert merged(found, "model_skill").std(1) == pytest.approx(np.ones((25, 1)), abs=1e-10)
    assert found.correlations().empty
    # the sampler's coordinates, scaled
    scale = merged(found, "loading") / one_skill.merged["loading"]
    assert scale == pytest.approx(np.broadcast_to(scale[:, :1], scale.shape), rel=1e-4)


def test_identity_loadings_are_benchmarks(identity):
    found = identity.skills()
    assert found.rotation == "none"
    assert found.names == NAMES
    loading = merged(found, "loading")
    assert loading == pytest.approx(loading * np.eye(4), abs=1e-12)
    assert any("nothing to rotate" in m for m in found.messages)


def test_as_many_skills_as_benchmarks(tiny_posterior):
    """The square case rotates like any other. (A fit has no more: see Sloth.)"""
    found = drawn(tiny_posterior, sb.Sloth(n_skills=4)).skills("quartimin", n=4)
    assert len(found.names) == 4
    assert merged(found, "model_skill").std(1) == pytest.approx(np.ones((25, 4)), abs=1e-8)


# -- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rotation": "geomni"}, "did you mean 'geomin'"),
        ({"rotation": "target", "target": np.zeros((3, 2))}, r"\(3, 2\).*\(4, 2\)"),
        ({"rotation": "target", "target": [["a", "b"]] * 4}, "numbers"),
        ({"rotation": "target"}, "needs target="),
        ({"n": 3}, "has 2 skills, not 3"),
        ({"n": 9}, "9 skills are more than the 4 benchmarks"),
        ({"n": 0}, "number of skills"),
        ({"names": ["a"]}, "2 skills, but 1 name"),
        ({"names": ["a", "a"]}, "one name"),
        ({"names": "ab"}, "2 skills, but 1 name"),
        ({"names": {"reasonning": "x"}}, "unknown skill"),
        ({"models": ["alder-9b"]}, "unknown model"),
        ({"models": ["alder-1b", "alder-2b"]}, "more than 2 models"),
        ({"draws": 401}, "cannot keep 401 of 400"),
        ({"prob": 90}, "prob must lie"),
        ({"epsilon": -1.0}, "positive"),
        ({"power": 3.0}, "option"),
    ],
)
def test_bad_input_is_named(tiny_posterior, options, words):
    with pytest.raises(sb.SlothBayesError, match=words):
        tiny_posterior.skills(**options)


def test_a_target_that_names_an_unknown_benchmark(tiny_posterior):
    target = pd.DataFrame(np.zeros((1, 2)), index=["Fatcs"])
    with pytest.raises(sb.UnknownNameError, match="Facts"):
        tiny_posterior.skills("target", target=target)


@pytest.mark.parametrize("rotation", ["geomin", "none"])
def test_skills_that_span_fewer_directions(tiny_posterior, rotation):
    spec = sb.Sloth(n_skills=2, inputs="flops", intercept="shared", instruct="none")
    slope = np.array([[0.5, 0.0]]) if rotation == "none" else np.array([[0.5, 0.2]])
    post = drawn(tiny_posterior, spec, family_effect=np.zeros((5, 2)), slope=slope)
    with pytest.raises(sb.SpecError, match="fewer directions"):
        post.skills(rotation)


def test_like_must_be_alike(skills, one_skill, shipped):
    with pytest.raises(sb.DataError, match="2 skills, this posterior 1"):
        one_skill.skills(like=skills)
    with pytest.raises(sb.DataError, match="other benchmarks"):
        one_skill.skills(like=shipped)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda s: s.superiority("reasonning"), "unknown skill"),
        (lambda s: s.superiority(s.names[0], ["cedr"]), "cedar"),
        (lambda s: s.families(families=["cedr"]), "cedar"),
        (lambda s: s.families(instruct=True, families=["cedar"]), "no family is left"),
        (lambda s: s.elasticities(-1.0), "positive"),
        (lambda s: s.elasticities([1, 2], [1, 2, 3]), "pair up"),
        (lambda s: s.surface([0.0], [1.0]), "positive"),
        (lambda s: s.loadings(prob=1.5), "prob must lie"),
        (lambda s: s.of(sb.candidates("dogwood", 5, 3)), "new_family"),
        (lambda s: s.plot("heatmap"), "unknown figure"),
        (lambda s: s.plot("loadings_forest", ax=plt.subplots()[1]), "needs 2 axes, not 1"),
        (lambda s: s.plot("skills_and_compute", families=["cedr"]), "cedar"),
    ],
)
def test_bad_questions_are_named(skills, ask, words):
    with pytest.raises(sb.SlothBayesError, match=words):
        ask(skills)


# -- figures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", skillplots.FIGURES)
def test_every_figure_draws_on_its_own_axes_or_on_mine(skills, kind, tmp_path):
    before = dict(matplotlib.rcParams)
    axes = skills.plot(kind)
    assert dict(matplotlib.rcParams) == before
    figure = axes[0].figure
    figure.savefig(tmp_path / "figure.pdf")
    assert (tmp_path / "figure.pdf").stat().st_size > 2000
    _, mine = plt.subplots(1, len(axes), squeeze=False)
    function = getattr(sb.plots, kind)
    assert list(function(skills, ax=mine)) == list(mine.ravel())
    labelled = axes[0].get_xlabel() or [t.get_text() for t in axes[0].get_xticklabels()]
    assert labelled


def test_the_heat_map_shows_intervals(skills):
    (axis,) = skills.plot("loadings")
    assert len(axis.patches) == 3 * 4 * 2  # mean and both ends of every loading
    texts = {t.get_text() for t in axis.texts}
    mean = skills.loadings()["mean"]
    assert {f"{m:.2f}" for m in mean} == texts


def test_the_forest_has_a_row_a_benchmark(skills):
    axes = skills.plot("loadings_forest")
    assert [a.get_title(loc="left") for a in axes] == skills.names
    assert [t.get_text() for t in axes[0].get_yticklabels()] == NAMES


def test_pairs_of_one_size_face_each_other(skills):
    pairs = skillplots.model_pairs(skills)
    assert set(pairs["base"].str.replace("-chat", "")) == set(
        pairs["tuned"].str.replace("-chat", "")
    )
    assert len(pairs) == 9  # birch-chat has four sizes, cedar-chat five, and so have their bases


def test_one_skill_has_no_correlation_to_draw(one_skill):
    with pytest.raises(sb.DataError, match="no correlation"):
        one_skill.skills().plot("skill_correlations")
    assert len(one_skill.skills().plot("loadings")) == 1


def test_no_tuned_models_no_pairs(tiny_posterior):
    post = drawn(tiny_posterior, sb.Sloth(n_skills=2))
    post.constant_data["instruct"][:] = 0
    found = post.skills()
    assert found.tuning().empty
    with pytest.raises(sb.DataError, match="nothing to compare"):
        found.plot("base_and_tuned")


# -- how many -------------------------------------------------------------------------------------


def test_differences_to_the_best_are_paired_over_families():
    """Two families of two scores: all of the difference is one family's."""
    family = pd.Series(["a", "a", "b", "b"])
    scores = {1: pd.Series([1.0, 1.0, 0.0, 0.0]), 2: pd.Series([1.0, 1.0, 1.0, 1.0])}
    found = howmany._against_best(scores, family)
    assert found.loc[2].tolist() == [1.0, 0.0, 0.0]
    assert found.loc[1, ["_value", "_less_best"]].tolist() == [0.5, -0.5]
    # sums 0 and -2 around their shares of -1 each: sqrt(2 * (1 + 1)) / 4
    assert found.loc[1, "_se"] == pytest.approx(0.5)


def comparison(loo, lfo, error):
    index = pd.Index([1, 2, 3], name="n_skills")
    table = pd.DataFrame({"loo": loo, "lfo": lfo, "bad_k": 0.0}, index=index)
    for name in ("loo", "lfo"):
        table[f"{name}_less_best"] = table[name] - table[name].max()
        table[f"{name}_se"] = np.where(table[f"{name}_less_best"] < 0, error, 0.0)
    return table


def test_words_follow_the_numbers():
    agree = howmany._words(comparison([1, 2, 3], [1, 2.99, 3], 0.1), "nuts", 50)
    assert "(PSIS leave-one-out) the best number of skills is 3, by more than two" in agree
    assert "2 cannot be told from it" in agree
    assert agree.endswith("Both support 3.")
    differ = howmany._words(comparison([1, 2, 3], [3, 2, 1], 0.1), "svi", 50)
    assert "described better with 3, new families are forecast better with 1" in differ
    assert "first look" in differ


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_skills": [0, 1]}, "at least 1"),
        ({"n_skills": [2, 2]}, "different"),
        ({"n_skills": [1, 5]}, "5 skills are more than the 4 benchmarks"),
        ({"spec": sb.Sloth(loadings="identity")}, "identity"),
        ({"n_skills": [1], "method": "mcmc"}, "svi"),
    ],
)
def test_how_many_names_bad_input(tiny_table, options, words):
    with pytest.raises(sb.SlothBayesError, match=words):
        sb.how_many_skills(tiny_table, **options)


@pytest.mark.slow
def test_how_many_goes_on_where_it_was(tiny_table, tmp_path):
    quick = {"steps": 600, "draws": 100}
    ask = {"n_skills": [1, 2], "out": tmp_path, "progress": False, "fit": quick, "hidden": quick}
    first = sb.how_many_skills(tiny_table, **ask)
    assert first.table.index.tolist() == [1, 2]
    assert (first.table["lfo_less_best"] <= 0).all()
    assert first.table["p_loo"].between(1, 200).all()
    again = sb.how_many_skills(tiny_table, **ask)
    pd.testing.assert_frame_equal(first.table, again.table, atol=1e-4)
    with pytest.raises(sb.FileFormatError, match="another comparison"):
        sb.how_many_skills(tiny_table, seed=1, **ask)


# -- the command line ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tiny_posterior, tmp_path_factory):
    return converged(tiny_posterior).save(tmp_path_factory.mktemp("skills") / "tiny.nc")


def test_the_verb_prints_loadings_and_a_ranking(saved, skills):
    result = run("skills", "--posterior", saved, "--top", 2)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Loadings (geomin)")
    rows: dict[str, str] = {}
    for line in lines[2:]:
        rows.setdefault(line.split()[0] if line else "", line)
    for name, cells in skills.table().iterrows():
        for text in cells:
            assert text.strip() in rows[name]
    best = skills.families().groupby("skill").head(2)
    for row in best.itertuples():
        assert f"{row.mean:.2f}" in rows[row.family] or row.family in result.stdout
    assert sum("families by efficiency" in line for line in lines) == 2


def test_the_verb_as_json_and_csv(saved, skills):
    result = run("skills", "--posterior", saved, "--json", "--names", "one,two")
    answer = json.loads(result.stdout)
    assert answer["meta"]["skills"] == ["one", "two"]
    assert len(answer["loadings"]) == 8
    assert answer["loadings"][0]["mean"] == pytest.approx(skills.loadings()["mean"][0])
    assert {"families", "correlations", "communality", "tuning"} <= set(answer)
    csv = run("skills", "--posterior", saved, "--csv", "--table", "families", "--base").stdout
    assert csv.splitlines()[0].startswith("skill,family,lineage,instruct")
    assert len(csv.splitlines()) == 1 + 2 * 3


def test_the_verb_draws(saved, tmp_path):
    result = run("skills", "--posterior", saved, "--plot", tmp_path / "loadings.svg")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "loadings.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--rotation", "geomni"), "did you mean 'geomin'"),
        (("--rotation", "target"), "a target is a matrix"),
        (("--names", "one"), "2 skills, but 1 name"),
        (("--table", "loading", "--csv"), "did you mean 'loadings'"),
        (("--json", "--csv"), "exclude each other"),
        (("--plot", "loadings.txt"), ".png, .pdf, .svg"),
    ],
)
def test_the_verb_names_bad_input(saved, arguments, words):
    assert words in fails("skills", "--posterior", saved, *arguments)
