"""Kinds of models, and mixtures of experts: from a table's columns to forecasts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import sloth_bayes as sb
from sloth_bayes.errors import DataError, ExtrapolationWarning, SpecError
from sloth_bayes.plan.curves import goal_of, who_of

from ..conftest import BENCHMARKS, QUICK, layout

NAMES = [b.name for b in BENCHMARKS]
SPEC = sb.Sloth(n_skills=1, link="logistic", instruct="kinds", mixtures="effective")


def rows() -> pd.DataFrame:
    """Dense base models, tuned and reasoning ones, and mixtures of one lineage."""
    frame = layout()
    frame["kind"] = np.where(frame["instruct"], "instruct", "base")
    frame.loc[frame["family"] == "cedar-chat", "kind"] = "reasoning"
    frame["total_params_b"] = np.nan
    birch = frame["family"] == "birch"
    more = frame[birch].assign(
        model=lambda f: f["model"] + "-moe", family="birch-moe", kind="base", instruct=False,
        total_params_b=lambda f: 8 * f["params_b"],
    )  # fmt: skip
    return pd.concat([frame, more], ignore_index=True).drop(columns="instruct")


def table(scores: np.ndarray | float = 0.5) -> sb.Leaderboard:
    frame = rows()
    scores = np.broadcast_to(scores, (len(frame), len(NAMES)))
    return sb.Leaderboard.from_frame(
        frame.assign(**dict(zip(NAMES, scores.T))), BENCHMARKS, name="kinds"
    )


@pytest.fixture(scope="module")
def prior() -> sb.Posterior:
    return SPEC.prior(table(), draws=400, seed=2)


@pytest.fixture(scope="module")
def truth(prior) -> tuple[sb.Leaderboard, dict[str, np.ndarray]]:
    """A table drawn from the prior, and the draw; one where size and kind matter."""
    v = prior.merged
    size = np.abs(v["loading"][:, :, 0] * v["slope"][:, :1, 0]).mean(1)
    kind = np.abs(v["loading"][:, :, 0] * v["reasoning"]).mean(1)
    near = -np.abs(v["mixture_weight"] - 0.8)
    at = int(np.argmax(np.where((size > 0.15) & (kind > 0.15), near, -1)))
    cells = prior.data_tree["posterior_predictive"]["score"].values.reshape(prior.n_draws, -1)[at]
    observed = prior.data_tree["observed_data"]
    names = [observed["obs_model"].values, observed["obs_benchmark"].values]
    scores = pd.Series(cells, pd.MultiIndex.from_arrays(names)).unstack()
    scores = scores.loc[rows()["model"], NAMES].to_numpy()
    return table(scores), {name: values[at] for name, values in v.items()}


# -- the table ---------------------------------------------------------------------------


def test_a_table_says_kinds_and_totals_only_where_there_are_some():
    data = table()
    assert {"kind", "total_params_b"} <= set(data.frame)
    assert data.frame["instruct"].equals(data.frame["kind"] != "base")
    plain = data.select(families=["alder", "birch"])
    again = sb.Leaderboard.from_frame(plain.frame, BENCHMARKS)
    assert not {"kind", "total_params_b"} & set(again.frame)
    assert (again.described["kind"] == "base").all()
    assert again.described["total_params_b"].equals(again.frame["params_b"])


def test_it_survives_a_csv_file_and_more_rows(tmp_path):
    data = table()
    path = data.to_csv(tmp_path / "t.csv")
    assert sb.Leaderboard.from_csv(path, BENCHMARKS).fingerprint == data.fingerprint
    parts = data.frame["family"].isin(["alder", "birch"])
    plain = sb.Leaderboard.from_frame(data.frame[parts].drop(columns="total_params_b"), BENCHMARKS)
    both = plain.with_rows(data.frame[~parts])
    assert both.fingerprint == data.fingerprint


def test_tables_of_before_are_the_same():
    old = sb.load("leaderboard").attrs["data_fingerprint"]
    assert sb.load_dataset("open_llm_leaderboard").fingerprint == old


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "chat"}, "kind of model 'alder-0.5b' is 'chat': it is base, instruct or"),
        ({"kind": "base", "instruct": True}, "kind 'base', and its instruct is true"),
        ({"total_params_b": 0.1}, "total_params_b of model 'alder-0.5b' is 0.1, less"),
        ({"total_params_b": 5e10}, "divide by 1e9"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(change, words):
    frame = table().frame.drop(columns="instruct").iloc[:3].assign(**change)
    with pytest.raises(DataError, match=words):
        sb.Leaderboard.from_frame(frame, BENCHMARKS)


def test_compute_counts_active_parameters():
    with pytest.raises(SpecError, match="mixtures='effective' gives models another size"):
        sb.Sloth(inputs="flops", mixtures="effective")


# -- the law -----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_mixture_is_a_dense_model_of_its_effective_size(prior):
    """Of one draw: active^(1 - w) total^w parameters, all of them active."""
    post, at = prior, 7
    w = post.merged["mixture_weight"][at]
    active, total = 3.0, 24.0
    size = active ** (1 - w) * total**w
    mixture = sb.candidates("birch", active, 2.0, total_params_b=total, model="one")
    dense = sb.candidates("birch", float(size), 2.0, total_params_b=float(size), model="one")
    one, other = (
        post.forecast(c).draws["expected"].values.reshape(post.n_draws, -1)[at]
        for c in (mixture, dense)
    )
    np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.long
def test_what_is_not_said_of_a_mixture_is_as_its_family(prior):
    asked = sb.candidates("birch-moe", [3.0, 3.0], 2.0, total_params_b=[24.0, np.nan])
    asked["model"] = ["said", "not said"]
    found = prior.forecast(asked).draws["expected"].values
    np.testing.assert_allclose(found[..., 0, :], found[..., 1, :], atol=1e-6)


def test_a_kind_adds_its_effect_to_the_skills(prior):
    asked = sb.candidates("alder", 2.0, 1.0, kind=["base", "instruct", "reasoning"])
    assert asked["model"].tolist() == [
        "alder-2B-1T",
        "alder-2B-1T-instruct",
        "alder-2B-1T-reasoning",
    ]
    fc = prior.forecast(asked)
    mu = fc.draws["expected"].stack(sample=("chain", "draw")).transpose("sample", ...).values
    v, j = prior.merged, NAMES.index("Maths")
    eta = {}
    lower, upper = v["lower"][:, j], v["upper"][:, j]
    for i, kind in enumerate(fc.candidates["kind"]):
        fraction = (mu[:, i, j] - lower) / (upper - lower)
        eta[kind] = np.log(fraction / (1 - fraction))
    inside = np.isfinite(list(eta.values())).all(0) & (np.abs(eta["base"]) < 5)
    loading = v["loading"][:, j, 0]
    for kind, before in (("instruct", "base"), ("reasoning", "instruct")):
        shift = loading * v[kind][:, 0]
        close = inside & (np.abs(shift) < 3)
        np.testing.assert_allclose((eta[kind] - eta[before])[close], shift[close], atol=2e-2)


@pytest.mark.slow
def test_the_truth_is_found_and_forecasts_follow(truth):
    data, drawn = truth
    post = SPEC.fit(data, **{**QUICK, "draws": 300})
    w = post.merged["mixture_weight"]
    assert np.quantile(w, 0.005) < drawn["mixture_weight"] < np.quantile(w, 0.995)
    reasons = (post.merged["loading"] * post.merged["reasoning"][:, None]).sum(-1)
    true = (drawn["loading"] * drawn["reasoning"]).sum(-1)
    low, high = np.quantile(reasons, [0.005, 0.995], axis=0)
    assert ((low < true) & (true < high)).mean() >= 0.75
    told = post.log_prior() if hasattr(post, "log_prior") else post.data_tree["log_prior"]
    assert {"mixture_weight", "reasoning"} <= set(told.data_vars)


@pytest.mark.slow
def test_conditioning_takes_mixtures_of_unknown_tokens(truth):
    data, _ = truth
    post = SPEC.replace(unknown_inputs="latent").fit(data, **QUICK)
    new = pd.DataFrame(
        {"model": ["oak-moe"], "family": "oak", "kind": "reasoning", "params_b": 3.0,
         "total_params_b": 24.0, "tokens_t": np.nan, "Reading": 0.6, "Maths": 0.4}
    )  # fmt: skip
    known = post.condition(new)
    fc = known.forecast(sb.candidates("oak", 6.0, 2.0, total_params_b=48.0))
    assert fc.candidates["kind"].tolist() == ["reasoning"]
    row = fc.frame.set_index("benchmark").loc["Reading"]
    assert 0.4 < row["lower"] < 0.6 < row["upper"] < 1.0


def test_the_curve_of_a_mixture_passes_through_its_forecast(prior):
    """All its sizes have its share of active parameters; larger ones than its total too."""
    asked = sb.candidates("birch-moe", [3.0, 30.0], 2.0, total_params_b=[24.0, 240.0])
    fc = prior.forecast(asked, benchmarks=["Maths"])
    [axis] = fc.plot()
    diamonds = dict(zip(fc.candidates["params_b"], fc.frame["median"]))
    curve = max(axis.lines, key=lambda line: len(line.get_xdata()))
    for size, median in diamonds.items():
        there = np.interp(np.log(size), np.log(curve.get_xdata()), curve.get_ydata())
        assert there == pytest.approx(100 * median, abs=3.0)


def test_a_plan_says_that_its_sizes_are_of_dense_models(prior):
    words = "birch-moe are mixtures of experts, and sizes of a plan are those of dense models"
    assert any(note.startswith(words) for note in who_of(prior, "birch-moe").notes)
    assert not who_of(prior, "birch").notes


# -- candidates --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"total_params_b": 24e9}, "the unit is billions of parameters; divide by 1e9: write 24"),
        ({"kind": "thinking"}, "kind of candidate 'alder-2B-1T' is 'thinking'"),
        ({"kind": "base", "instruct": True}, "is of kind 'base', and its instruct is True"),
        ({"total_params_b": 1.0}, "at least the 2.0 that are active"),
    ],
)
def test_candidates_that_cannot_be(prior, options, words):
    with pytest.raises(DataError, match=words):
        prior.forecast(sb.candidates("alder", 2.0, 1.0, **options))


def test_the_default_kind_is_the_familys(prior):
    families = ["alder", "birch-chat", "cedar-chat"]
    found = prior.forecast(sb.candidates(families, 2.0, 1.0)).candidates
    assert found["kind"].tolist() == ["base", "instruct", "reasoning"]
    assert found["instruct"].tolist() == [False, True, True]


def seeing(post: sb.Posterior, keep, boards: list[str] | None = None) -> sb.Posterior:
    """The posterior of fewer scores, on benchmarks of these leaderboards."""
    tree = post.tree.copy()
    cells = tree["observed_data"].to_dataset()
    who = post.model_table().loc[cells["obs_model"].values]
    kept = keep(who.reset_index(), pd.Series(cells["obs_benchmark"].values))
    tree["observed_data"] = xr.DataTree(cells.isel(observation=np.flatnonzero(kept)))
    if boards:
        constant = tree["constant_data"].to_dataset()
        tree["constant_data"] = xr.DataTree(constant.assign(leaderboard=("benchmark", boards)))
    return sb.Posterior(tree, post.spec)


def test_a_kind_that_a_benchmark_never_saw_is_said(prior):
    post = seeing(prior, lambda who, of: (who["kind"] != "base") | (of != "Maths"))
    words = "no base model has a score on Maths: the forecast there rests on"
    with pytest.warns(ExtrapolationWarning, match=words):
        fc = post.forecast(sb.candidates("alder", 2.0, 1.0))
    assert any(words in note for note in fc.warnings)
    assert not post.forecast(sb.candidates("cedar-chat", 2.0, 6.0)).warnings
    said = {}
    for of in ("Maths", {"Facts": 1, "Maths": 2}, "Facts"):
        goals = [goal_of(post, of)]
        said[str(of)] = [n for n in who_of(post, "alder", goals=goals).notes if words in n]
    assert [len(notes) for notes in said.values()] == [1, 1, 0]  # a plan says it too


def test_another_family_of_the_kind_that_is_asked_for_is_named(prior):
    said = "most models of cedar are base: cedar-chat, of its lineage, is reasoning"
    for kind, noted in (("reasoning", True), ("base", False), ("instruct", False)):
        fc = prior.forecast(sb.candidates("cedar", 2.0, 1.0, kind=kind))
        assert any(note.startswith(said) for note in fc.warnings) == noted


def test_a_comparison_and_a_plan_are_of_the_kind_and_total_that_are_said(prior):
    cedar = {"family": "cedar", "params_b": 2.0, "tokens_t": 1.0}
    thinking = prior.compare(cedar | {"kind": "reasoning"}, cedar, benchmarks=["Maths"])
    mixture = prior.compare(cedar | {"total_params_b": 16.0}, cedar, benchmarks=["Maths"])
    assert (thinking.frame["sd"] > 0).all()
    assert (mixture.frame["sd"] > 0).all()
    with pytest.raises(DataError, match="compared with itself"):
        prior.compare(cedar | {"kind": "base"}, cedar)
    options = {"tokens": 1.0, "family": "cedar", "probability": 0.5}
    plain, asked = (
        prior.required_size("Maths", 0.6, kind=k, **options) for k in (None, "reasoning")
    )
    assert not plain.draws["size"].equals(asked.draws["size"])


@pytest.mark.parametrize("linking", [4, 5])
def test_a_weak_link_is_said(prior, linking):
    """Two leaderboards that share some models, and a lineage that is on one of them."""
    both = sorted(m for m in prior.models if m.startswith("alder"))[:linking]

    def keep(who: pd.DataFrame, of: pd.Series) -> pd.Series:
        new = of.isin(NAMES[2:])
        return who["model"].isin(both) | ((who["lineage"] == "cedar") == new)

    post = seeing(prior, keep, ["old", "old", "new", "new"])
    asked = sb.candidates("birch-chat", 2.0, 1.0)
    notes = [n for n in post.forecast(asked).warnings if "linked" in n]
    said = "birch is weakly linked to Facts and Code: the leaderboards that it is on share 4 models"
    assert [n.startswith(said) for n in notes] == ([True] if linking == 4 else [])
