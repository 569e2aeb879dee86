"""The random walk of a family's skills: its steps, its draws for the unseen, its prior."""

from __future__ import annotations

import warnings
import zlib

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import sloth_bayes as sb
from sloth_bayes.law.terms import TERMS, Owner, Population
from sloth_bayes.posterior.log_prior import log_prior
from sloth_bayes.predict.new_effects import effects_of
from tests.conftest import layout, leaderboard

WALK = TERMS["walk"]
SPEC = sb.Sloth(n_skills=2, walk="pooled")
COMPUTE = SPEC.replace(walk="compute")


def table() -> sb.Leaderboard:
    rng = np.random.default_rng(0)
    return leaderboard(rng.uniform(0.3, 0.7, (len(layout()), 4)))


@pytest.fixture(scope="module")
def prior() -> sb.Posterior:
    return SPEC.prior(table(), draws=1500, seed=4)


def test_steps_by_hand():
    compute = np.array([4.0, 1.0, 3.0, 2.0, 3.0])
    family = np.array(["a", "a", "a", "b", "a"])
    reach = WALK.reach({"compute": compute}, family)
    two, one = np.sqrt(2), 1.0
    want = [[two, one], [0, 0], [two, 0], [0, 0], [two, 0]]  # two of equal compute are one
    np.testing.assert_allclose(reach, want)


def test_the_prior_is_a_walk(prior):
    """Increments over doublings and scale are independent standard normals."""
    tree = prior.tree["posterior"].to_dataset()
    walk, scale = tree["walk"].values[0].astype(float), tree["walk_scale"].values[0].astype(float)
    compute = prior.constant("compute").astype(float)
    where = prior.models.index
    first, then, last = (where(f"cedar-{size}b") for size in ("0.5", "7", "40"))
    assert not walk[:, first].any()
    steps = [
        (walk[:, b] - walk[:, a]) / (scale * np.sqrt(compute[b] - compute[a]))[:, None]
        for a, b in ((first, then), (then, last))
    ]
    for step in steps:
        assert stats.kstest(step.ravel(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(steps[0].ravel(), steps[1].ravel())[0, 1]) < 5 / np.sqrt(3000)
    found = np.asarray(log_prior(prior)["walk"]).ravel()
    doublings = np.concatenate(
        [np.diff(np.sort(compute[prior.constant("family_of_model") == f])) for f in prior.families]
    )
    sd = scale[:, None] * np.sqrt(doublings)
    entropy = 2 * stats.norm(scale=sd).entropy().sum(1)  # of two skills
    assert abs((found + entropy).mean()) < 5 * (found + entropy).std() / np.sqrt(len(found))


@pytest.mark.long
def test_a_walk_of_compute_goes_where_compute_does():
    """A family that walked by w is where w doublings more compute would have brought it."""
    post = COMPUTE.prior(table(), draws=1500, seed=4)
    v = {k: a.astype(float) for k, a in post.merged.items()}
    doubling = v["slope"][:, :2].mean(1)  # of size and tokens by half of one each
    length = (doubling**2).sum(-1)
    walk = np.einsum("smk,sk->sm", v["walk"], doubling) / length[:, None]  # in doublings
    np.testing.assert_allclose(v["walk"], walk[..., None] * doubling[:, None], atol=0.01)
    compute = post.constant("compute").astype(float)
    first, last = (post.models.index(f"cedar-{size}b") for size in ("0.5", "40"))
    assert not walk[:, first].any()
    root = np.sqrt(compute[last] - compute[first])
    step = walk[:, last] / v["walk_scale"] / root
    assert stats.kstest(step, "norm").pvalue > 1e-3
    density = log_prior(post)["walk"]
    doublings = np.concatenate(
        [np.diff(np.sort(compute[post.constant("family_of_model") == f])) for f in post.families]
    )
    entropy = stats.norm(scale=v["walk_scale"][:, None] * np.sqrt(doublings)).entropy().sum(1)
    off = np.asarray(density).ravel() + entropy
    assert abs(off.mean()) < 5 * off.std() / np.sqrt(len(off))
    rows = pd.DataFrame(
        {"model": list("ab"), "family": "cedar", "lineage": "cedar", "instruct": 0.0,
         "params_b": [40.0, 160.0], "tokens_t": 6.0, "compute": np.log2([240.0, 960.0])}
    )  # fmt: skip
    seen, far = np.moveaxis(effects_of(post, rows, 1).of["walk"], 1, 0)
    np.testing.assert_allclose(seen, post.merged["walk"][:, last], atol=0.005)
    on = np.einsum("sk,sk->s", far - seen, doubling) / length / v["walk_scale"] / np.sqrt(2)
    assert stats.kstest(on, "norm").pvalue > 1e-3
    np.testing.assert_allclose(
        far - seen, (on * v["walk_scale"] * np.sqrt(2))[:, None] * doubling, atol=0.005
    )


# -- models that nobody has seen ------------------------------------------------------------

S = 20_000
SCALE, KNOWN = 0.5, {3.0: 0.0, 5.0: 2.0, 9.0: -1.0}  # of the family: walk at each compute


def unseen(compute: float, family: str = "f") -> np.ndarray:
    values = {
        "walk_scale": np.full(S, SCALE),
        "walk": np.tile(np.array([*KNOWN.values(), 7.0])[None, :, None], (S, 1, 1)),
    }

    def normal(shape, *key):
        seed = zlib.crc32("|".join(key).encode())
        return np.random.default_rng(seed).standard_normal((S, *shape))

    columns = {"compute": np.array([*KNOWN, 7.0])}
    population = Population(values, SPEC, normal, np.array(["f", "f", "f", "g"]), columns)
    owner = Owner({"family": (family,)}, {"model": None}, {"compute": compute})
    return WALK.unseen(population, owner)[:, 0]


@pytest.mark.parametrize(
    ("compute", "mean", "doublings"),
    [
        (3.0, 0.0, 0), (5.0, 2.0, 0), (9.0, -1.0, 0),  # where it is known
        (4.0, 1.0, 0.5), (8.0, -0.25, 0.75),  # a bridge: t (1 - t) of its length
        (10.0, -1.0, 1), (11.5, -1.0, 2.5), (19.0, -1.0, 10),  # on from the largest
        (1.0, 0.0, 2), (2.75, 0.0, 0.25),  # and from the smallest
    ],
)  # fmt: skip
def test_a_new_model_of_a_known_family(compute, mean, doublings):
    drawn, sd = unseen(compute), SCALE * np.sqrt(doublings)
    assert drawn.mean() == pytest.approx(mean, abs=5 * sd / np.sqrt(S) + 1e-6)
    # between two whole doublings the path is a bridge: the same variance in the mean
    assert drawn.std() == pytest.approx(sd, rel=0.03, abs=1e-6)


def test_models_of_a_family_are_on_one_path():
    near, far, below = unseen(11.0), unseen(14.0), unseen(1.0)
    assert np.cov(near, far)[0, 1] == pytest.approx(SCALE**2 * 2, rel=0.05)
    assert abs(np.corrcoef(far, below)[0, 1]) < 5 / np.sqrt(S)
    new = [unseen(c, "new") for c in (6.0, 9.0, 11.0)]  # the typical compute is 6
    assert not new[0].any()
    assert np.cov(new[1], new[2])[0, 1] == pytest.approx(SCALE**2 * 3, rel=0.05)


def test_intervals_of_skills_widen_with_the_distance(prior):
    sizes = [40.0, 80.0, 320.0, 1280.0]
    asked = sb.candidates("cedar", sizes, 6.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        effects = prior.forecast(asked, seed=1).summary("expected")
    assert len(effects) == 4 * len(sizes)
    rows = pd.DataFrame(
        {"model": list("abcd"), "family": "cedar", "lineage": "cedar", "instruct": 0.0,
         "params_b": sizes, "tokens_t": 6.0, "compute": np.log2(np.array(sizes) * 6.0)}
    )  # fmt: skip
    walk = effects_of(prior, rows, 1).of["walk"]
    sd = walk.std(0).mean(-1)
    assert (np.diff(sd) > 0).all()


@pytest.mark.long
def test_a_guess_stands_in_for_an_unknown_size():
    rows = layout()
    rows.loc[rows["model"] == "cedar-7b", "params_b"] = np.nan
    rng = np.random.default_rng(0)
    data = leaderboard(rng.uniform(0.3, 0.7, (len(rows), 4)), rows)
    post = SPEC.replace(unknown_inputs="latent").prior(data, draws=5)
    compute = pd.Series(post.constant("compute").astype(float), post.models)
    others = compute[[m for m in post.models if m.startswith("cedar-") and "chat" not in m]]
    assert compute["cedar-7b"] == pytest.approx(others.drop("cedar-7b").mean(), rel=1e-6)
