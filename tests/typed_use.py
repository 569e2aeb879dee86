"""How a user's typed code reads: every public name, with what it gives back. Checked by pyright.

Nothing here is run. A name that is public and not used here fails a test (tests/test_house.py).
"""

from __future__ import annotations

from typing import assert_type

import numpy as np
import pandas as pd
import xarray as xr

import sloth_bayes as sb


def data() -> sb.Leaderboard:
    table = sb.load_dataset("open_llm_leaderboard")
    own = sb.Benchmark("MyEval", chance=0.25, n_questions=500)
    frames: list[pd.DataFrame] = [sb.datasets(), sb.load_corrections("open_llm_leaderboard")]
    frames += [sb.load_subscores("open_llm_leaderboard"), sb.known_tasks(), table.frame]
    found = sb.read_observed("results.json", params_b=1.4, tokens_t=0.3)
    assert_type(found, sb.Observed)
    return sb.Leaderboard.from_frame(frames[-1], benchmarks=[*table.benchmark_names, own])


def fitted(table: sb.Leaderboard) -> sb.Posterior:
    spec = sb.Sloth(n_skills=2, priors=sb.Priors(doubling=0.2))
    assert_type(spec.replace(df=8.0), sb.Sloth)
    assert_type(spec.prior_predictive(table), xr.DataTree)
    post = spec.fit(table, method="svi", steps=100)
    verdict = post.diagnostics()
    assert_type(verdict, sb.Diagnostics)
    print(verdict.ok, *verdict.messages, verdict.table.shape, post.data_tree, post.save("a.nc"))
    return sb.load("a.nc") if verdict.ok else post


def asked(post: sb.Posterior) -> None:
    fc = post.forecast(sb.candidates("qwen2", [60, 70], 7), prob=0.9)
    assert_type(fc, sb.Forecast)
    assert_type(fc.frame, pd.DataFrame)
    assert_type(post.condition(fc.frame), sb.Posterior)
    answers = (
        post.required_size("MMLU", 0.7, tokens=15),
        post.saturation("MMLU", tokens=15),
        post.optimal_allocation(1e24, "average"),
        post.compare({"family": "a"}, {"family": "b"}),
        post.next_evaluation({"family": "a"}, fc.candidates),
    )
    one, two, three, four, five = answers
    assert_type(one, sb.RequiredSize)
    assert_type(two, sb.Saturation)
    assert_type(three, sb.Allocation)
    assert_type(four, sb.Comparison)
    assert_type(five, sb.NextEvaluation)
    frames: list[pd.DataFrame] = [answer.frame for answer in answers]
    card = post.complete({"hle": 0.3})
    assert_type(card, sb.Completion)
    assert_type(card.next_evaluation(3), pd.DataFrame)
    assert_type(post.surprises(), sb.Surprises)
    assert_type(post.skills(), sb.Skills)
    task = post.downstream(sb.load_downstream("EQ-Bench"), name="EQ-Bench")
    assert_type(task, sb.Downstream)
    many = post.pass_at_k(sb.load_samples())
    assert_type(many, sb.PassAtK)
    print(frames, task.frame, many.frame, sb.unbiased_pass_at_k(10, [1, 5], [3]))
    run = sb.track(sb.load_curves(), run="pythia-1b")
    assert_type(run, sb.Tracking)


def judged(table: sb.Leaderboard, posts: dict[str, sb.Posterior]) -> None:
    folds = sb.protocols.leave_group_out(table, {"qwen": "qwen"}, n_observed=2)
    assert_type(folds[0], sb.Fold)
    found = sb.cross_validate(sb.Sloth(), table, folds)
    assert_type(found, sb.Evaluation)
    assert_type(sb.load_evaluation("leaderboard"), sb.Evaluation)
    assert_type(sb.compare_laws(posts), pd.DataFrame)
    assert_type(sb.compare_laws({"a": found, "b": found}), pd.DataFrame)
    stacked = sb.stack({"a": found, "b": found})
    assert_type(stacked, sb.Stack)
    assert_type(sb.how_many_skills(table), sb.SkillCount)
    print(sb.baselines.names(), sb.evaluation.published_errors(), stacked.weights(2.0))


def rated(post: sb.RatingsPosterior) -> None:
    ratings = sb.load_ratings("biggen")
    assert_type(ratings, sb.SkillRatings)
    assert_type(sb.load_ratings_posterior(), sb.RatingsPosterior)
    assert_type(post.saturation(), sb.RatingsSaturation)
    reviews = sb.read_reviews({"judge": "reviews.jsonl"})
    assert_type(reviews, sb.Reviews)
    print(sb.load_claims(), sb.load_distilled(), ratings.frame)


def drawn(fc: sb.Forecast, tree: xr.DataTree) -> np.ndarray:
    sb.report.write(fc, "report.html")
    sb.explorer.write(fc.posterior, "explorer.html")
    print(sb.figures.names(), sb.plots.priors(tree))
    return fc.plot(benchmarks=["MMLU"])


def wrong() -> None:
    try:
        sb.load("none")
    except (sb.UnknownNameError, sb.FileFormatError, sb.SpecError, sb.WorkerError) as error:
        raise sb.DataError(str(error)) from error
    except sb.SlothBayesError:
        sb.show_versions()
        print(sb.DataWarning, sb.ConvergenceWarning, sb.ExtrapolationWarning, sb.__version__)
