"""Skill ratings: exact cases, FLASK's files, errors, answers of the fit that ships, recovery."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner

import sloth_bayes as sb
from sloth_bayes.cli import app
from sloth_bayes.ratings import fit as layer
from sloth_bayes.ratings.reviews import SKILLS, TAXONOMY, skill_named
from sloth_bayes.ratings.table import load_categories
from sloth_bayes.support.shipped import shipped

MODELS = pd.DataFrame(
    {
        "model": ["a-1b", "a-7b", "b-7b", "b-70b", "c-13b", "d"],
        "params_b": [1, 7, 7, 70, 13, np.nan],
        "family": ["a", "a", "b", "b", "c", "d"],
        "kind": ["Base", "Base", "Chat", "Chat", "Chat", "Proprietary"],
    }
)


def means(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    cells = [(m, s, g) for m in MODELS["model"] for s in ("logic", "style") for g in ("x", "y")]
    frame = pd.DataFrame(cells, columns=["model", "skill", "judge"])
    return frame.assign(rating=rng.uniform(1.5, 4.5, len(frame)))


@pytest.fixture(scope="module")
def post() -> sb.RatingsPosterior:
    return sb.load_ratings_posterior()


# -- exact cases -------------------------------------------------------------------------


def test_ratings_of_one_cell_are_a_multivariate_t_over_the_judges_who_rated():
    from sloth_bayes.ratings.model import means_log_density

    rating = np.array([0.3, 0.5, 0.9]).reshape(3, 1, 1)
    mu = np.array([0.35, 0.4, 0.5]).reshape(3, 1, 1)
    own = np.array([0.02, 0.03, 0.05]).reshape(3, 1, 1)
    shared = np.array([[0.04]])
    for rated in ([1, 1, 1], [1, 0, 1], [0, 1, 0]):
        shown = np.array(rated, float).reshape(3, 1, 1)
        found = means_log_density(rating, shown, mu, own, shared, 4.0, np)[0, 0]
        keep = np.array(rated, bool)
        scale = np.diag(own[keep, 0, 0] ** 2) + 0.04**2
        exact = stats.multivariate_t(mu[keep, 0, 0], scale, 4).logpdf(rating[keep, 0, 0])
        assert found == pytest.approx(exact)
    assert means_log_density(rating, 0 * shown, mu, own, shared, 4.0, np)[0, 0] == 0
    normal = means_log_density(rating, shown, mu, own, shared, np.inf, np)[0, 0]
    assert normal == pytest.approx(stats.norm(0.4, 0.05).logpdf(0.5))


def test_probabilities_of_single_ratings_are_those_of_an_ordered_logistic():
    from sloth_bayes.ratings.model import log_probabilities, rating_probabilities

    threshold = np.array([-2.0, -1.0, 0.5, 2.5])
    p = rating_probabilities(np.array([0.3]), threshold, np)[0]
    above = 1 / (1 + np.exp(threshold - 0.3))
    np.testing.assert_allclose(p, [1 - above[0], *(above[:-1] - above[1:]), above[-1]])
    assert p.sum() == pytest.approx(1)
    logs = np.asarray(log_probabilities(np.array([0.3, -40.0]), threshold))
    np.testing.assert_allclose(np.exp(logs[0]), p, rtol=1e-5)
    assert np.isfinite(logs).all()


def test_a_curve_bends_at_its_knots_only():
    from sloth_bayes.ratings.model import curve

    x = np.array([0.0, 1.0, 2.0, 3.0])
    found = curve(x, np.array([0.5]), np.array([[-0.5]]), np.array([1.0]), np)
    np.testing.assert_allclose(found[:, 0], [0, 0.5, 0.5, 0.5])


def test_judges_and_rows_have_no_order():
    rows = means()
    one = layer.lay_out(sb.SkillRatings.from_means(rows, MODELS))
    shuffled = rows.sample(frac=1, random_state=1)
    other = layer.lay_out(sb.SkillRatings.from_means(shuffled, MODELS.iloc[::-1]))
    for a, b in zip(one[0].arrays.extra, other[0].arrays.extra):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one[0].arrays.inputs, other[0].arrays.inputs)
    assert one[1:] == other[1:]


def test_single_ratings_are_counted():
    rows = pd.DataFrame({"model": "a-1b", "skill": "logic", "rating": [1, 1, 5], "difficulty": 3})
    other = rows.assign(model="b-70b", rating=[4, 4, 4])
    found = sb.SkillRatings.from_ratings(pd.concat([rows, other]), MODELS)
    assert found.single
    assert found.levels == (3,)
    assert found.frame[list("12345")].to_numpy().tolist() == [[2, 0, 0, 0, 1], [0, 0, 0, 3, 0]]
    assert found.means()["logic"].tolist() == pytest.approx([7 / 3, 4])


def test_the_table_that_ships():
    found = sb.load_ratings()
    assert (len(found.models), len(found.skills), found.judges) == (
        103,
        9,
        ("gpt4turbo", "prometheus"),
    )
    assert found.models["params_b"].isna().sum() == 14
    assert set(found.models.loc[found.models["params_b"].isna(), "kind"]) == {"Proprietary"}
    chat = set(found.models.loc[found.models["kind"] == "Chat", "model"])
    distilled = sb.load_distilled()
    assert set(distilled["model"]) == chat
    stated = distilled[distilled["distilled"] != "unknown"]
    assert (stated["source"] != "").all()


def test_mt_bench_is_that_of_the_joint_table():
    found = sb.load_ratings(name="mt_bench")
    assert (len(found.models), found.judges) == (41, ("gpt-5.2",))
    about = found.models.set_index("model")
    assert about["kind"].value_counts().to_dict() == {"Thinking": 25, "Chat": 16}
    assert about.at["qwen3-4b", "params_b"] == 4
    assert about.at["qwen3-30b-a3b", "params_b"] == pytest.approx(np.sqrt(3 * 30))
    closed = about.index[about["params_b"].isna()]
    assert all(name.startswith(("gpt-4", "gpt-5", "o3")) for name in closed)
    assert len(closed) == 7
    published = sb.load_dataset("open_models").frame.set_index("model")
    rating = found.means().at["gemma-3-1b-it", "writing"]
    theirs = 10 * published.at["gemma-3-1b-it", "MT-Bench writing (Swallow)"]
    assert (rating - 1) / 4 == pytest.approx((theirs - 1) / 9)
    with pytest.raises(sb.UnknownNameError, match="did you mean 'mt_bench'"):
        sb.load_ratings(name="mtbench")


def test_twins_and_claims_of_mt_bench_name_what_is_there():
    folder = shipped("data") / "skill_ratings"
    about = sb.load_ratings(name="mt_bench").models.set_index("model")
    twins = pd.read_csv(folder / "mt_bench_twins.csv")
    plain, thinking = (about.loc[twins[side]] for side in ("plain", "thinking"))
    assert set(plain["kind"]) == {"Chat"}
    assert set(thinking["kind"]) == {"Thinking"}
    for column in ("lineage", "params_b"):
        assert plain[column].tolist() == thinking[column].tolist()
    claims = pd.read_csv(folder / "mt_bench_claims.csv")
    named = claims["category"].dropna()
    assert set(named) <= set(load_categories()["category"])
    assert set(claims["claim"]) == {"flat", "improves", "size gap", "thinking gap"}


# -- FLASK -------------------------------------------------------------------------------


def test_the_taxonomy_has_four_abilities_and_twelve_skills():
    assert len(TAXONOMY) == 4
    assert len(set(SKILLS)) == 12
    assert skill_named(" Meta-Cognition") == "metacognition"
    with pytest.raises(sb.UnknownNameError, match="insightfulness"):
        skill_named("insightfulnes")


@pytest.fixture
def flask(tmp_path):
    questions = [
        {"question_id": 1, "difficulty": 1, "domain": "Humanities"},
        {"question_id": 2, "difficulty": "Expert Level Knowledge", "domain": ["Math", "Coding"]},
    ]
    reviews = [
        {"question_id": 1, "score": {"Logical Correctness": 4, "FACTUALITY": "N/A", "Wit": 3}},
        {"question_id": 2, "score": {"logical correctness": "5", "Common-sense": 7}},
        {"question_id": 9, "score": {"Readability": 5}},
    ]
    paths = {}
    for name, lines in (("questions", questions), ("reviews", reviews)):
        paths[name] = tmp_path / f"{name}.jsonl"
        paths[name].write_text("\n".join(map(json.dumps, lines)) + "\n\n", encoding="utf-8")
    return paths


def test_reviews_say_what_was_read_and_what_was_skipped(flask):
    found = sb.read_reviews({"m": flask["reviews"]}, flask["questions"], judge="gpt-4")
    assert found.frame[["instance", "skill", "difficulty", "domain", "rating"]].values.tolist() == [
        ["1", "logical correctness", 1, "Humanities", 4],
        ["2", "logical correctness", 5, "Math, Coding", 5],
    ]
    skipped = found.skipped[["reason", "name", "count", "line"]].values.tolist()
    assert skipped == [
        ["not applicable", "", 1, 1],
        ["unknown skill", "Wit", 1, 1],
        ["not a rating of 1-5", "7", 1, 2],
        ["question not in the set", "", 1, 3],
    ]
    assert found.hard().frame["instance"].tolist() == ["2"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "not a JSON object"),
        ("[1]", "not a JSON object"),
        ('{"score": {}}', "it has no question_id, idx or id"),
        ('{"question_id": 3, "score": 4}', "score must map names of skills to 1-5 or N/A"),
        ('{"question_id": 1, "score": {}}', "its question was there already"),
    ],
)
def test_one_odd_line_is_counted_and_refuses_nothing(tmp_path, line, problem):
    path = tmp_path / "r.jsonl"
    path.write_text('{"question_id": 1, "score": {"Factuality": 4}}\n' + line, encoding="utf-8")
    found = sb.read_reviews({"m": path})
    assert found.frame["rating"].tolist() == [4]
    assert found.skipped.drop(columns="file").values.tolist() == [["line not used", problem, 1, 2]]


def test_a_file_of_odd_lines_only_is_refused_by_the_first(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text('\n{"score": {}}\n[1]', encoding="utf-8")
    with pytest.raises(sb.DataError, match="no line that can be used; line 2: it has no question"):
        sb.read_reviews({"m": path})


def test_a_skill_rated_twice_is_taken_once(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"idx": 3, "score": {"Factuality": 1, "factuality ": 2}}')
    found = sb.read_reviews({"m": path})
    assert found.frame["rating"].tolist() == [1]
    assert found.skipped["name"].tolist() == ["it rates factuality twice"]


def jsonl(path, lines):
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


def test_an_evaluation_set_with_odd_questions(tmp_path):
    questions = [
        {"idx": "1", "difficulty": "expert level knowledge"},
        {"idx": "2", "difficulty": "-1"},
        {"difficulty": 3},
        {"idx": "4", "difficulty": 2},
    ]
    reviews = [{"question_id": i, "score": {"Factuality": i}} for i in (1, 2, 4)]
    found = sb.read_reviews(
        {"m": jsonl(tmp_path / "r.jsonl", reviews)}, jsonl(tmp_path / "q.jsonl", questions)
    )
    assert found.frame[["instance", "difficulty", "rating"]].values.tolist() == [
        ["1", 5, 1], ["4", 2, 4],
    ]  # fmt: skip
    assert found.skipped[["reason", "name", "count", "line"]].values.tolist() == [
        ["question without difficulty", "", 1, 2],
        ["set line not used", "difficulty '-1'", 1, 2],
        ["set line not used", "it has no question_id, idx or id", 1, 3],
    ]
    with pytest.raises(sb.DataError, match="no difficulty is one of 1-5"):
        sb.read_reviews(
            {"m": tmp_path / "r.jsonl"}, jsonl(tmp_path / "q.jsonl", [{"idx": 1, "difficulty": -1}])
        )


def full_set(**more):
    return [
        {"idx": i, "difficulty": 5 if i % 4 == 0 else 2}
        | {key: value(i) for key, value in more.items()}
        for i in range(48)
    ]


def test_ids_of_the_hard_set_are_not_those_of_the_full_set(tmp_path):
    """FLASK-HARD counts its questions anew, from 0."""
    full = jsonl(tmp_path / "full.jsonl", full_set())
    hard = jsonl(tmp_path / "hard.jsonl", [{"idx": i, "difficulty": 5} for i in range(12)])
    rate = lambda n: [{"question_id": i, "score": {"Factuality": 3}} for i in range(n)]  # noqa: E731
    of_full = jsonl(tmp_path / "of_full.jsonl", rate(48))
    of_hard = jsonl(tmp_path / "of_hard.jsonl", rate(12))
    assert len(sb.read_reviews({"m": of_full}, full).frame) == 48
    assert set(sb.read_reviews({"m": of_hard}, hard).frame["difficulty"]) == {5}
    with pytest.raises(sb.DataError, match=r"evaluation set, which is FLASK-HARD.*Reviews\.hard"):
        sb.read_reviews({"m": of_full}, hard)
    with pytest.raises(sb.DataError, match="under other ids: FLASK-HARD counts its ids anew"):
        sb.read_reviews({"m": of_hard}, full)


@pytest.mark.parametrize(
    ("of_set", "of_review"),
    [
        ({"instruction": "What is {}?"}, {"instruction": "Prove {}!"}),
        ({"metrics": ["Readability"]}, {}),
        ({"metrics": "['Readability', 'Conciseness']"}, {}),
    ],
)
def test_questions_are_joined_only_where_they_are_the_same(tmp_path, of_set, of_review):
    def said(fields, i):
        return {k: v.format(i) if isinstance(v, str) else v for k, v in fields.items()}

    questions = [{"idx": i, "difficulty": 2} | said(of_set, i) for i in range(3)]
    reviews = [
        {"question_id": i, "score": {"Factuality": 3}} | said(of_review, i) for i in range(3)
    ]
    found = sb.read_reviews(
        {"m": jsonl(tmp_path / "r.jsonl", reviews)}, jsonl(tmp_path / "q.jsonl", questions)
    )
    assert found.frame.empty
    assert found.skipped[["reason", "count"]].values.tolist() == [
        ["another question of that id", 3]
    ]


def test_two_reviews_of_different_questions_under_one_id(tmp_path):
    one, two = (
        jsonl(tmp_path / f"{n}.jsonl", [{"idx": 1, "instruction": n, "score": {"Factuality": 3}}])
        for n in ("a", "b")
    )
    found = sb.read_reviews({"m": one, "n": two})
    assert found.frame["model"].tolist() == ["m"]
    assert found.skipped["reason"].tolist() == ["another question of that id"]


# -- errors ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.assign(rating=r["rating"] + 3), "lies outside 1-5"),
        (lambda r: r.assign(rating="good"), "is not a number"),
        (lambda r: pd.concat([r, r.iloc[:1]]), "two rows rate the same"),
        (lambda r: r.drop(columns="skill"), "lack the column 'skill'"),
        (lambda r: r.assign(rating=np.nan), "there is no rating"),
        (lambda r: r.replace("a-1b", "a-1bb"), "did you mean 'a-1b'"),
    ],
)
def test_means_that_cannot_be_right(change, message):
    with pytest.raises(sb.SlothBayesError, match=message):
        sb.SkillRatings.from_means(change(means()), MODELS)


def test_other_errors_name_the_remedy(post):
    with pytest.raises(sb.UnknownNameError, match="did you mean 'logic'"):
        sb.SkillRatings.from_means(means(), MODELS).select(skills="logics")
    with pytest.raises(sb.UnknownNameError, match="did you mean 'style'"):
        sb.SkillRatings.from_means(
            means().replace("style", "styles"), MODELS, skills=["logic", "style"]
        )
    with pytest.raises(sb.DataError, match="is not 1, 2, 3, 4 or 5"):
        sb.SkillRatings.from_ratings(means(), MODELS)
    few, rows = MODELS[MODELS["model"] != "c-13b"], means().query("model != 'c-13b'")
    with pytest.raises(sb.DataError, match="4 models have a known size"):
        sb.SkillRatings.from_means(rows, few)
    with pytest.raises(sb.DataError, match="no levels of difficulty"):
        post.degradation()
    with pytest.raises(sb.UnknownNameError, match="did you mean 'Chat'"):
        post.saturation(kind="Chatt")
    with pytest.raises(sb.UnknownNameError, match="gpt-4o-2024-05-13"):
        post.gaps("gpt-4o", "Proprietary")
    with pytest.raises(sb.DataError, match="positive number of rating points"):
        post.saturation(0)
    with pytest.raises(sb.FileFormatError, match="there is no ratings file"):
        sb.load_ratings_posterior("nowhere.nc")


# -- what the fit that ships says --------------------------------------------------------


def test_saturation_is_about_every_later_doubling(post):
    found = post.saturation(0.15, at=[7, 30])
    for skill, rows in found.frame.groupby("skill"):
        assert rows["p_saturated"].is_monotonic_increasing
        point = found.points[skill]
        np.testing.assert_allclose(rows["p_saturated"], [(point <= 7).mean(), (point <= 30).mean()])
    exact = post.along(np.array([14.0]), "Chat") - post.along(np.array([7.0]), "Chat")
    first = found.frame[found.frame["at"] == 7]
    np.testing.assert_allclose(first["gain_median"], np.median(exact[:, 0], axis=0))
    more = post.saturation(0.3, at=[7, 30]).frame["p_saturated"]
    assert (more >= found.frame["p_saturated"]).all()


def test_gaps_are_antisymmetric_and_of_nothing_to_itself(post):
    there, back = post.gaps("Chat", "Proprietary"), post.gaps("Proprietary", "Chat")
    np.testing.assert_allclose(there["gap"], -back["gap"], atol=1e-9)
    assert (post.gaps("Chat", "Chat")["gap"] == 0).all()
    assert there["certain"].all()


def test_severities_are_relative_to_an_average_judge(post):
    found = post.judged().pivot(index="skill", columns="judge", values="severity")
    np.testing.assert_allclose(found.sum(axis=1), 0, atol=0.02)
    means = sb.load_ratings().frame.groupby("judge")["rating"].mean()
    raw = means["gpt4turbo"] - means["prometheus"]
    model_based = found.at["all", "prometheus"] - found.at["all", "gpt4turbo"]
    assert model_based == pytest.approx(raw, abs=0.03)


def test_claims_are_not_forced_on_skills_without_counterpart(post):
    found = post.claims().set_index("flask_skill")
    assert found.loc[found["verdict"] == "cannot be tested", "p_holds"].isna().all()
    assert found.at["logical correctness", "p_holds"] > 0.5
    assert set(found.index) <= set(SKILLS)


def test_a_fit_survives_its_file(post, tmp_path):
    path = post.save(tmp_path / "r.nc")
    again = sb.load_ratings_posterior(path)
    pd.testing.assert_frame_equal(again.judged(), post.judged())
    assert again.diagnostics().ok
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(sb.FileFormatError, match="cannot be read"):
        sb.load_ratings_posterior(path)


def test_figures_draw(post):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from sloth_bayes.plots import ratings as ratingsplots

    assert len(post.saturation().plot()) == 9
    assert ratingsplots.gaps(post.gaps("Chat", "Proprietary"))[0].get_xlabel()
    assert len(ratingsplots.judges(post.judged())) == 2
    plt.close("all")


# -- the command line --------------------------------------------------------------------


def test_the_command_answers_and_refuses():
    run = CliRunner()
    good = run.invoke(app, ["ratings", "saturation", "--at", "7,70", "--json"])
    assert good.exit_code == 0
    assert len(json.loads(good.stdout)["ratings"]) == 18
    for arguments, message in (
        (["saturatio"], "did you mean 'saturation'"),
        (["sizes", "--plot", "x.png"], "no figure of sizes"),
        (["saturation", "--kind", "Bas"], "did you mean 'Base'"),
        (["degradation"], "no levels of difficulty"),
        (["judges", "--data", "nowhere.csv"], "cannot read nowhere.csv"),
    ):
        bad = run.invoke(app, ["ratings", *arguments])
        assert bad.exit_code == 2, arguments
        assert message in bad.stderr
        assert "Traceback" not in bad.stderr


# -- simulated ratings -------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("single", [False, True])
def test_intervals_cover_what_was_drawn(single):
    from ratings import recovery

    found = recovery(single, 6).set_index("quantity")
    assert 0.85 <= np.average(found["coverage"], weights=found["quantities"]) <= 0.95
