"""One ceiling for benchmarks that ask the same questions: whether a simulated one is found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sloth_bayes as sb

TRUE = 0.8  # of both


@pytest.fixture(scope="module")
def table() -> sb.Leaderboard:
    """An old board, of models half of the way to the ceiling, and a new one, of those there."""
    rng = np.random.default_rng(3)
    rows = pd.DataFrame(
        [
            {"model": f"f{i:02}-{k}", "family": f"f{i:02}", "lineage": f"f{i:02}",
             "instruct": False, "params_b": 4.0**k, "tokens_t": 2.0, "size": k}
            for i in range(20) for k in range(5)
        ]
    )  # fmt: skip
    eta = 1.2 * (rows["size"] - 2) + 0.5 * rng.standard_normal(20)[np.arange(100) // 5]
    for name, easier in (("Old", -0.5), ("New", 0.5)):
        score = TRUE / (1 + np.exp(-eta - easier)) + 0.01 * rng.standard_normal(100)
        rows[name] = score.clip(0, 1)
    rows.loc[rows["size"] > 2, "Old"] = np.nan
    rows.loc[rows["size"] < 2, "New"] = np.nan
    benchmarks = [sb.Benchmark("Old"), sb.Benchmark("New", questions="Old")]
    return sb.Leaderboard.from_frame(rows.drop(columns="size"), benchmarks)


@pytest.mark.slow
def test_a_board_of_weak_models_learns_its_ceiling_from_another(table):
    """By NUTS; where each has a ceiling of its own the old board knows much less of it."""
    ends = {}
    for upper in ("questions", "estimated"):
        law = sb.Sloth(
            n_skills=1, intercept="family", inputs="size", link="logistic", upper=upper,
            priors=sb.Priors(ceiling=0.2),
        )  # fmt: skip
        fit = {"chains": 2, "warmup": 300, "draws": 300, "steps": 600, "starts": 2}
        post = law.fit(table, progress=False, **fit)
        old = post.merged["upper"][:, post.benchmarks.index("Old")]
        ends[upper] = np.quantile(old, [0.05, 0.95])
    low, high = ends["questions"]
    assert low < TRUE < high
    assert high - low < 0.5 * np.diff(ends["estimated"])[0]
