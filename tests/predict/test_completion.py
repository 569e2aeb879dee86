"""Score cards completed: of models of the table, of new ones, and what to run next."""

import numpy as np
import pandas as pd
import pytest

import sloth_bayes as sb
from sloth_bayes.errors import DataError, UnknownNameError
from sloth_bayes.law.likelihood import StudentT
from sloth_bayes.predict.completion import within
from tests.cli.test_cli import fails, run

SCORES = {"gpqa_diamond": 0.83, "mmlu_pro": 0.86, "swe_bench_verified": 0.70, "hle": 0.22}


@pytest.fixture(scope="module")
def post():
    return sb.load("frontier")


@pytest.fixture(scope="module")
def card(post):
    return post.complete(SCORES)


def test_a_model_of_the_table_lacks_what_the_table_lacks(post):
    card = post.complete("gpt-5.5")
    row = sb.load_dataset("frontier_scorecards").frame.set_index("model").loc["gpt-5.5"]
    missing = [b for b in post.benchmarks if pd.isna(row[b])]
    assert sorted(card.frame["benchmark"]) == sorted(missing)
    assert len(card.observed) == len(post.benchmarks) - len(missing)
    assert (card.frame["lower"] <= card.frame["median"]).all()
    assert (card.frame["median"] <= card.frame["upper"]).all()
    assert card.frame["p_within"].is_monotonic_decreasing
    assert card.frame["p_within"].between(0, 1).all()


def test_a_new_card_is_observed_and_says_what_it_takes_for_granted(post, card):
    assert len(card.frame) == len(post.benchmarks) - len(SCORES)
    assert set(card.observed["benchmark"]) == set(SCORES)
    assert any("Kind" in m for m in card.messages)
    assert any("date" in m for m in card.messages)


def test_better_scores_complete_to_better_scores(post, card):
    worse = post.complete({name: 0.8 * score for name, score in SCORES.items()})
    both = card.frame.merge(worse.frame, on="benchmark")
    gained = both["median_x"] - both["median_y"]
    assert (gained > 0).mean() > 0.75  # two skills: a few rise as four fall
    assert gained.mean() > 0.05
    assert gained.min() > -0.15


def test_a_known_provider_keeps_its_draws_and_the_model_has_its_own(post):
    row = pd.DataFrame(
        [{"model": "x", "family": "OpenAI", "kind": "reasoning", "date": "2026-05-01", **SCORES}]
    )
    card = post.complete(row)
    assert card.posterior.attrs["conditioned"][-1]["k_hat"] < 0.7
    after, before = card.posterior, post
    place = after.families.index("OpenAI"), before.families.index("OpenAI")
    effects = (p.merged["family_effect"][:, at] for p, at in zip((after, before), place))
    kept = [set(map(tuple, e.round(6))) for e in effects]
    assert kept[0] <= kept[1]


def test_p_within_is_what_draws_say():
    rng = np.random.default_rng(0)
    mu, sd = rng.normal(0.8, 0.05, (1, 4000)), np.full((1, 4000), 0.06)
    drawn = np.clip(mu + sd * rng.standard_t(4, (50, *mu.shape)), 0, 1)
    found = within(mu, sd, np.array([0.8]), StudentT(4))
    assert found[0] == pytest.approx((abs(drawn - 0.8) <= 0.1).mean(), abs=0.005)
    near_one = within(mu, sd, np.array([0.95]), StudentT(4))[0]
    assert near_one == pytest.approx((drawn >= 0.85).mean(), abs=0.005)


def test_next_evaluations_take_away_ever_less_and_follow_prices(card):
    runs = card.next_evaluation(5)
    assert runs["left"].is_monotonic_decreasing
    assert runs["benchmark"].is_unique
    assert runs["reduction"][0] == pytest.approx(1 - runs["left"][0])
    first, second = runs["benchmark"][:2]
    dear = card.next_evaluation(2, cost={first: 1e6, second: 1.0})
    assert dear["benchmark"].tolist() == [second, first]
    alone = card.next_evaluation(1, of=first)
    assert alone["left"][0] < runs["left"][0]


def test_what_makes_no_sense_is_refused(post, card):
    with pytest.raises(UnknownNameError, match="gpqa"):
        post.complete({"gpqa": 0.5, "hle": 0.2})
    with pytest.raises(UnknownNameError, match="gpt-9"):
        post.complete("gpt-9")
    with pytest.raises(DataError, match="divide by 100"):
        post.complete({"hle": 22.0})
    with pytest.raises(DataError, match="no score"):
        post.complete({"model": "x"})
    with pytest.raises(DataError, match="positive"):
        card.next_evaluation(cost={"ifbench": 0})
    with pytest.raises(UnknownNameError):
        card.next_evaluation(cost={"no such": 1})


def test_the_command(tmp_path):
    tall = tmp_path / "mine.csv"
    pd.DataFrame({"benchmark": list(SCORES), "score": list(SCORES.values())}).to_csv(
        tall, index=False
    )
    figure = tmp_path / "card.png"
    result = run("complete", "--scores", tall, "--plot", figure, "--top", 3, "--next", 2)
    assert result.exit_code in (0, 1), result.output
    assert "4 scores observed" in result.stdout
    assert "To run next" in result.stdout
    assert figure.exists()
    wide = tmp_path / "wide.csv"
    pd.DataFrame([SCORES]).to_csv(wide, index=False)
    csv = run("complete", "--scores", wide, "--csv").stdout.splitlines()
    assert csv[0] == "model,benchmark,median,lower,upper,prob,p_within"
    assert "say whose card" in fails("complete")
    assert "gpt-9" in fails("complete", "--model", "gpt-9")
