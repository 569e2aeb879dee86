"""What tuning adds to each benchmark by itself: its arithmetic, and that a fit finds it."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import sloth_bayes as sb
from sloth_bayes.law import terms
from sloth_bayes.posterior.log_prior import log_prior
from sloth_bayes.predict.new_effects import effects_of

NAMES = ["Reading", "Maths", "Facts", "Code", "Chat"]
SPEC = sb.Sloth(
    n_skills=1, inputs="size", intercept="family", instruct="kinds", tuning="benchmarks"
)
KINDS = ("base", "instruct", "reasoning")
ROWS = pd.DataFrame(
    [
        {"model": f"f{i:02}-{k}", "family": f"f{i:02}", "lineage": f"f{i:02}",
         "kind": KINDS[i % 3], "params_b": 4.0**k, "tokens_t": 2.0}
        for i in range(45) for k in range(3)
    ]
)  # fmt: skip


def table(scores: np.ndarray | float) -> sb.Leaderboard:
    """Nobody asks a base model to chat."""
    columns = pd.DataFrame(np.full((len(ROWS), 5), 1.0) * scores, columns=NAMES)
    columns.loc[ROWS["kind"] == "base", "Chat"] = np.nan
    about = [sb.Benchmark(n) for n in NAMES]
    return sb.Leaderboard.from_frame(pd.concat([ROWS, columns], axis=1), benchmarks=about)


@pytest.fixture(scope="module")
def prior() -> sb.Posterior:
    return SPEC.prior(table(0.5), draws=400, seed=4)


@pytest.mark.long
def test_each_kind_adds_to_benchmarks_by_itself(prior):
    v = prior.merged
    for name in ("tuning", "tuning_to_reason"):
        scale = v[f"{name}_scale"]
        assert (v[name] / scale[:, None]).std() == pytest.approx(1.0, rel=0.1)
        assert np.median(scale) == pytest.approx(0.5 * 0.674, rel=0.15)  # half-normal
    rows = pd.DataFrame(
        {"model": KINDS, "family": "mine", "lineage": "mine", "kind": KINDS, "params_b": 4.0,
         "instruct": [0.0, 1.0, 1.0], "reasons": [0.0, 0.0, 1.0], "tokens_t": 2.0}
    )  # fmt: skip
    who = effects_of(prior, rows, 1)
    base, tuned, reasons = np.moveaxis(terms.residuals(v, who), 1, 0)
    np.testing.assert_allclose(tuned - base, v["tuning"], atol=1e-5)
    np.testing.assert_allclose(reasons - tuned, v["tuning_to_reason"], atol=1e-5)


@pytest.mark.long
def test_where_no_base_model_is_its_forecast_is_wider(prior):
    """Only the prior tells what tuning adds there."""
    without = SPEC.replace(tuning="skills").prior(table(0.5), draws=400, seed=4)
    assert "tuning" not in without.merged
    spreads = []
    for post in (without, prior):
        v, rows = post.merged, pd.DataFrame(
            {"model": ["b", "t"], "family": "f00", "lineage": "f00", "instruct": [0.0, 1.0],
             "reasons": 0.0, "params_b": 4.0, "tokens_t": 2.0}
        )  # fmt: skip
        who = effects_of(post, rows, 1)
        eta = terms.skills(v, who) @ np.swapaxes(v["loading"], 1, 2)
        eta = eta + terms.residuals(v, who)
        spreads.append((eta[:, 1] - eta[:, 0]).std(0)[NAMES.index("Chat")])
    assert spreads[1] > spreads[0] + 0.02


def test_its_density_is_that_of_its_prior(prior):
    found, v = log_prior(prior), prior.merged
    scale = v["tuning_scale"][:, None].astype(float)
    want = -0.5 * (v["tuning"] / scale) ** 2 - np.log(scale * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(found["tuning"].values.ravel(), want.sum(1), rtol=1e-4)


def test_a_law_without_kinds_has_none(prior, tmp_path):
    kept = sb.load(prior.slim(100).save(tmp_path / "few.nc"))
    assert kept.spec == SPEC
    assert kept.merged["tuning"].shape == (100, 5)
    for spec, names in (
        (SPEC.replace(instruct="shared"), {"tuning"}),
        (SPEC.replace(tuning="skills"), set()),
    ):
        assert {t.name for t in terms.of(spec)} & {"tuning", "tuning_to_reason"} == names
    with pytest.raises(sb.SpecError, match="instruct='shared' or 'kinds'"):
        SPEC.replace(instruct="none")


@pytest.mark.slow
def test_a_fit_finds_what_tuning_adds_to_benchmarks():
    """In predictors, and beyond what skills gain, where base models are; by NUTS."""
    truth = SPEC.prior(table(0.5), draws=40, seed=6)
    of = int(np.argmin(np.abs(truth.merged["tuning_scale"] - 0.6)))
    drawn = truth.data_tree["posterior_predictive"]["score"].values.reshape(40, -1)[of]
    scores = np.full((len(ROWS), 5), np.nan)
    scores[np.isfinite(table(0.5).frame[NAMES].to_numpy(float))] = drawn
    fit = {"chains": 2, "warmup": 300, "draws": 300, "steps": 600, "starts": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        post = SPEC.fit(table(scores), progress=False, **fit)
    a, b = post.merged, truth.merged
    true = b["tuning"][of] + b["loading"][of] @ b["instruct"][of]
    found = a["tuning"] + np.einsum("sjk,sk->sj", a["loading"], a["instruct"])
    sd, off = found.std(0), found.mean(0) - true
    assert (np.abs(off) < 3 * sd).all(), (off, sd)
    assert sd[:4].mean() < 0.5 * sd[4], sd  # of Chat no base model tells
