"""Coordinates and integrated effects: a quicker sampler, and the same posterior."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from blackjax.adaptation.metric_estimators import fisher_score_low_rank
from scipy import stats

import sloth_bayes as sb
from sloth_bayes.infer import nuts
from sloth_bayes.infer.compiled import functions_of
from sloth_bayes.infer.metric import Metric, follow_gradients
from sloth_bayes.model.arrays import design, showing
from sloth_bayes.model.distributions import (
    Nesting,
    nested_complete,
    nested_draw,
    nested_log_density,
)
from sloth_bayes.model.loadings import sizes

RNG = np.random.default_rng(8)
# lineages of three, one and two families
MEMBERS = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 1, 1]], np.float32)
LINEAGES = Nesting(MEMBERS.argmax(0), len(MEMBERS))
KNOWN = np.array([[1, 1, 0, 1, 0, 1]], np.float32).T  # of two columns, both
SHARE = 0.3


def covariance(members: np.ndarray, share: float) -> np.ndarray:
    """Covariance of standardised effects of families nested in lineages."""
    return share * members.T @ members + (1 - share) * np.eye(members.shape[1])


# -- effects of families nested in lineages ------------------------------------------------


def test_the_density_of_known_effects_is_the_normal_one_without_the_others():
    """Integrating lineages and unknown families out leaves a normal, and standard normals."""
    which = np.flatnonzero(KNOWN[:, 0])

    def exact(w: np.ndarray) -> float:
        inside = stats.multivariate_normal.logpdf(w[which].T, cov=known_cov).sum()
        return inside + stats.norm.logpdf(np.delete(w, which, axis=0)).sum()

    for share in (SHARE, 0.8):
        known_cov = covariance(MEMBERS, share)[np.ix_(which, which)]
        for w in RNG.normal(size=(2, 6, 2)):
            for of in (KNOWN, np.tile(KNOWN, 2)):
                ours = float(nested_log_density(w, of, share, LINEAGES))
                assert ours == pytest.approx(exact(w), rel=1e-4)
            column = nested_log_density(w[:, 0], KNOWN[:, 0], share, LINEAGES)
            column += nested_log_density(w[:, 1], KNOWN[:, 0], share, LINEAGES)
            assert float(column) == pytest.approx(exact(w), rel=1e-4)


def test_without_lineages_effects_are_independent():
    w = RNG.normal(size=(6, 2))
    ours = float(nested_log_density(w, np.ones((6, 2)), None, LINEAGES))
    assert ours == pytest.approx(stats.norm.logpdf(w).sum(), rel=1e-5)


def test_completing_known_effects_gives_the_joint_prior_back():
    """Drawn, forgotten in part and drawn again: covariances of families and lineages."""
    n = 40_000

    def one(key):
        first, second = jax.random.split(key)
        w = nested_draw(first, SHARE, LINEAGES, 1)
        lineage, whole = nested_complete(second, w * KNOWN, KNOWN, SHARE, LINEAGES)
        return jnp.concatenate([whole[:, 0], lineage[:, 0]])

    drawn = np.asarray(jax.vmap(one)(jax.random.split(jax.random.PRNGKey(0), n)), float)
    want = np.block(
        [
            [covariance(MEMBERS, SHARE), SHARE * MEMBERS.T],
            [SHARE * MEMBERS, SHARE * np.eye(3)],
        ]
    )
    found = drawn.T @ drawn / n
    error = np.sqrt((want**2 + np.outer(np.diag(want), np.diag(want))) / n)
    assert (np.abs(found - want) < 5 * error).all()


def test_hiding_scores_counts_them_out(tiny_table):
    laid_out = design(tiny_table)
    full = laid_out.arrays
    observed = np.array(full.observed)
    np.testing.assert_array_equal(showing(full, observed).count, full.count)
    families = np.asarray(full.family_of_model)
    observed[families == 2] = 0
    hidden = showing(full, observed)
    assert (hidden.count[2] == 0).all()
    np.testing.assert_array_equal(np.delete(hidden.count, 2, 0), np.delete(full.count, 2, 0))
    # cells are those of the whole table, whatever is hidden
    assert hidden.cell_family.size == (full.count > 0).sum()
    lineage = full.lineage_of_family[full.cell_family]
    pairs = np.stack([lineage, full.cell_benchmark, full.cell_group], 1)
    assert len(np.unique(pairs, axis=0)) == len(np.unique(pairs[:, :2], axis=0))
    np.testing.assert_array_equal(np.unique(full.cell_group), np.arange(full.cell_group.max() + 1))


# -- the metric and its coordinates -------------------------------------------------------


@pytest.mark.slow
def test_another_anchor_is_the_same_draw():
    """Scores do not change, the way back is exact, and densities differ by the Jacobian."""
    data = sb.load_dataset("open_llm_leaderboard").select(
        benchmarks=["MMLU", "ARC", "HellaSwag", "GSM8K"]
    )
    spec = sb.Sloth(n_skills=2)
    old = design(data, spec.inputs).arrays
    n = sizes(spec, old)
    f = functions_of(spec, n, 5)
    x = 0.5 * RNG.normal(size=(3, f.size)).astype("f4")
    rotation = np.linalg.qr(RNG.normal(size=(4, 4)))[0].astype("f4")
    new = old._replace(anchor=rotation)

    y = f.over("reanchor", x, new, old)
    key = jax.random.PRNGKey(0)
    before, after = f.over("cells", x, key, old)[0], f.over("cells", y, key, new)[0]
    seen = old.observed > 0  # other effects are drawn, from their priors
    np.testing.assert_allclose(after[:, seen], before[:, seen], atol=2e-6)
    assert np.abs(y - x).max() > 0.1
    np.testing.assert_allclose(f.over("reanchor", y, old, new), x, atol=2e-5)

    moved = np.flatnonzero((np.abs(y - x) > 1e-5).any(0))  # the others are handed through

    def of_moved(part: Any, whole: Any) -> Any:
        whole = whole.at[moved].set(part)
        return f.jitted["reanchor"](whole[None], 0, new, old)[0][moved]

    jacobian = jax.jit(jax.jacfwd(of_moved))
    log_det = [np.linalg.slogdet(np.asarray(jacobian(r[moved], r), float))[1] for r in x]
    potentials = [f.over("potential", rows, at)[0] for rows, at in ((x, old), (y, new))]
    np.testing.assert_allclose(potentials[1] - potentials[0], log_det, atol=0.02)


def some_metric(size: int, rank: int, width: int = 1) -> Metric:
    """A metric with nothing in it that is zero; blocks of parameters from all over."""
    draws = RNG.normal(size=(50, size)) @ RNG.normal(size=(size, size))
    blocks = follow_gradients(draws, draws[::-1], 0, width).blocks
    vectors = np.linalg.qr(RNG.normal(size=(size, rank)))[0]
    scale, stretch = RNG.uniform(0.5, 2, size), RNG.uniform(-0.5, 3, rank)
    return Metric.of(RNG.normal(size=size), scale, vectors, stretch, blocks)


@pytest.mark.parametrize("width", [1, 8, 64])
def test_coordinates_and_back(width):
    metric = some_metric(30, 4, width)
    x = RNG.normal(size=(3, 30)).astype("f4")
    np.testing.assert_allclose(metric.to_x(metric.to_y(x)), x, atol=1e-4)
    np.testing.assert_allclose(metric.to_x(metric.to_y(x[0])), x[0], atol=1e-4)
    np.testing.assert_allclose(
        jax.jit(lambda m, y: m.to_x(y))(metric, metric.to_y(x)), x, atol=1e-4
    )


@pytest.mark.parametrize("width", [1, 8, 64])
def test_gradients_pass_through_coordinates(width):
    metric = some_metric(30, 4, width)
    y, c = RNG.normal(size=(2, 30)).astype("f4")
    matrix = (metric.to_x(np.eye(30, dtype="f4")) - metric.to_x(np.zeros(30, "f4"))).T  # linear
    found = jax.grad(lambda y: (c * metric.to_x(y)).sum())(y)
    np.testing.assert_allclose(found, matrix.T @ c, atol=1e-4)
    np.testing.assert_allclose(metric.slopes(c), matrix.T @ c, atol=1e-4)
    assert metric.log_det() == pytest.approx(np.linalg.slogdet(matrix.astype(float))[1], abs=1e-4)


def families(size: int, each: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws whose parameters go together in families, in no order; gradients; the covariance."""
    covariance = np.eye(size)
    order = RNG.permutation(size)
    for first in range(0, size - size % each, each):
        root = RNG.normal(size=(each, each)) + 2  # all of one sign: a ridge
        group = order[first : first + each]
        covariance[np.ix_(group, group)] = root @ root.T + 0.1 * np.eye(each)
    draws = RNG.multivariate_normal(np.zeros(size), covariance, size=count)
    return draws, np.linalg.solve(covariance, draws.T).T, covariance


@pytest.mark.long
def test_parameters_that_go_together_share_a_block():
    """Families of seven in 230 parameters become round, from as many draws, without directions."""
    draws, gradients, covariance = families(230, 7, 230)
    left = {}
    for width in (1, 32):
        metric = follow_gradients(draws, gradients, 0, width)
        root = np.asarray(metric.to_x(np.eye(230)) - metric.mean, float).T
        half = np.linalg.solve(root, np.linalg.cholesky(covariance))
        left[width] = np.linalg.cond(half @ half.T)
    assert left[32] < left[1] / 30
    assert left[32] < 5


@pytest.mark.parametrize(("size", "each"), [(100, 5), (100, 20), (101, 30), (20, 7), (3, 3)])
def test_blocks_have_one_shape_whatever_goes_together(size, each):
    """Programs are compiled for it; a group that fits into no block goes by itself."""
    draws, gradients, _ = families(size, each, 300)
    metric = follow_gradients(draws, gradients, 2, 32)
    shapes = [
        [np.shape(a) for a in jax.tree.leaves(m)] for m in (metric, Metric.identity(size, 2, 32))
    ]
    assert shapes[0] == shapes[1]
    assert len(set(metric.blocks.place)) == size
    np.testing.assert_array_equal(metric.blocks.taken.ravel()[metric.blocks.place], np.arange(size))


@pytest.mark.long
def test_a_normal_posterior_becomes_round_from_few_draws():
    """Eight directions apart in 200 dimensions, from 60 draws and their gradients."""
    size, stiff = 200, 8
    directions = np.linalg.qr(RNG.normal(size=(size, stiff)))[0]
    sd = np.array([30.0, 20, 10, 5, 0.2, 0.1, 0.05, 0.02])
    root = np.eye(size) + directions @ np.diag(sd - 1) @ directions.T
    draws = 3 + RNG.normal(size=(60, size)) @ root
    metric = follow_gradients(draws, (draws - 3) @ np.linalg.inv(root @ root), rank=20)
    np.testing.assert_allclose(metric.to_y(metric.mean), 0, atol=1e-5)
    to_y = np.asarray(metric.to_y(metric.mean + np.eye(size)), float).T  # linear: its columns
    before, after = (np.linalg.cond(m @ root @ root @ m.T) for m in (np.eye(size), to_y))
    assert before > 1e6
    assert after < before / 1e3
    # the covariance of as many draws alone has no inverse, and no say in most directions
    assert np.linalg.matrix_rank(np.cov(draws.T)) < 60


def test_a_metric_of_few_draws_has_as_many_directions():
    """Nine draws tell of eight directions; one compiled program takes metrics of any."""
    draws = RNG.normal(size=(9, 200))
    metric = follow_gradients(draws, draws, rank=20)
    assert (metric.vectors.shape, metric.stretch.shape) == ((200, 20), (20,))
    assert not metric.stretch[16:].any()
    x = draws[0].astype("f4")
    np.testing.assert_allclose(metric.to_x(metric.to_y(x)), x, atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize(("n", "rank"), [(60, 10), (400, 10), (400, 30)])
def test_a_known_covariance_is_found_as_well_as_by_blackjax(n, rank):
    """The same estimator, kept by others: 40 parameters of many scales, six directions apart."""
    size = 40
    scale = np.exp(RNG.normal(size=size))
    directions = np.linalg.qr(RNG.normal(size=(size, 6)))[0]
    apart = directions * (np.array([900, 100, 25, 0.04, 0.01, 0.0025]) - 1) @ directions.T
    covariance = scale[:, None] * (np.eye(size) + apart) * scale
    draws = RNG.multivariate_normal(np.ones(size), covariance, size=n)
    gradients = np.linalg.solve(covariance, (draws - 1).T).T

    metric = follow_gradients(draws, gradients, rank)
    theirs = fisher_score_low_rank(jnp.asarray(draws), jnp.asarray(-gradients), rank, cutoff=1.0)
    vectors, lam, sigma = (np.asarray(a, float) for a in (theirs.U, theirs.lam, theirs.sigma))
    roots = {
        "neither": np.eye(size),
        "ours": np.asarray(metric.to_x(np.eye(size)) - metric.mean, float),
        "theirs": (np.eye(size) + vectors * (np.sqrt(lam) - 1) @ vectors.T) * sigma,
    }
    left = {}  # how far from round the posterior is in each metric: mean log eigenvalue
    for name, root in roots.items():
        half = np.linalg.solve(root.T, np.linalg.cholesky(covariance))
        left[name] = np.abs(np.log(np.linalg.eigvalsh(half @ half.T))).mean()
    assert left["ours"] < 1.1 * left["theirs"]
    assert left["ours"] < left["neither"] / (3 if rank == 10 else 20)


def test_rounds_of_warm_up_add_up():
    for warmup in (20, 150, 200, 999, 1000):
        lengths = nuts.schedule(warmup)
        assert sum(lengths) == warmup
        assert min(lengths) >= 1


def test_a_step_leaves_the_turn():
    """No tree of 2^k - 1 steps ends within a tenth of half a period; most steps stay."""
    steps = np.geomspace(0.01, 1, 500)
    for longer in (True, False):
        found = np.array([nuts.off_turn(step, longer) for step in steps])
        steps_to_half = math.pi / found
        off = steps_to_half / 2 ** np.round(np.log2(steps_to_half))
        assert (np.abs(off - 1) > 0.06).all()
        assert (found / steps).max() <= 1.25
        assert (found / steps).min() >= 0.8
        assert (found == steps).mean() > 0.5
    assert nuts.off_turn(1.01 * math.pi / 32) == pytest.approx(1.25 * math.pi / 32)
    assert nuts.off_turn(1.01 * math.pi / 32, longer=False) == pytest.approx(0.93 * math.pi / 32)
