"""Rotations: minima that public implementations find too, invariances, alignment, errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sloth_bayes as sb
from sloth_bayes.skills import rotation

OBLIQUE = ("geomin", "quartimin", "oblimin", "promax", "target")
ROTATING = (*OBLIQUE, "varimax")
PATTERN = np.where(np.arange(24).reshape(8, 3) % 3 == np.arange(8)[:, None] % 3, np.nan, 0.0)


def simple(seed: int, rows: int = 8, skills: int = 3, noise: float = 0.15) -> np.ndarray:
    """Loadings on uncorrelated skills that some rotation makes nearly simple."""
    rng = np.random.default_rng(seed)
    pattern = noise * rng.standard_normal((rows, skills))
    pattern[np.arange(rows), np.arange(rows) % skills] += rng.uniform(0.6, 1.6, rows)
    mix = np.eye(skills) + 0.35
    return pattern @ np.linalg.cholesky(mix / mix[0, 0])


def turn(seed: int, d: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


def arguments(method: str) -> dict:
    return {"pattern": PATTERN} if method == "target" else {}


def rotated(a: np.ndarray, method: str, **more) -> rotation.Rotated:
    return rotation.rotate(a[None], method, **arguments(method), **more)


# -- against public implementations --------------------------------------------------------


def geometric(a, epsilon=0.01):
    """Geomin, written out on its own."""

    def value(L):
        return sum(np.prod(row**2 + epsilon) ** (1 / L.shape[1]) for row in L)

    return value(a)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("method", "theirs", "options", "ours"),
    [
        ("quartimin", "oblimin", (0, "oblique"), {}),
        ("oblimin", "oblimin", (-0.5, "oblique"), {"gamma": -0.5}),
        ("varimax", "varimax", (), {}),
        ("target", "target", (np.nan_to_num(PATTERN, nan=1.0), "oblique"), {}),
    ],
)
def test_statsmodels_finds_the_same(seed, method, theirs, options, ours):
    factor_rotation = pytest.importorskip("statsmodels.multivariate.factor_rotation")
    a = simple(seed)
    if method == "target":
        ours = {"pattern": options[0]}
    pattern, t = factor_rotation.rotate_factors(
        a, theirs, *options, algorithm="gpa", max_tries=1000, tol=1e-6
    )
    found = rotation.rotate(a[None], method, **ours)
    assert found.converged.all()
    assert found.loading[0] == pytest.approx(np.asarray(pattern), abs=2e-5)
    assert found.transform[0] == pytest.approx(np.asarray(t), abs=2e-5)


@pytest.mark.parametrize("seed", range(2))
def test_statsmodels_finds_the_same_geomin_without_its_gradient(seed):
    gpa = pytest.importorskip("statsmodels.multivariate.factor_rotation._gpa_rotation")
    a = simple(seed)

    def value(L=None, A=None, T=None, rotation_method=None):
        L = A @ np.linalg.inv(T).T if L is None else L
        return geometric(L)

    pattern, *_ = gpa.GPA(a, ff=value, rotation_method="oblique", max_tries=500, tol=1e-5)
    found = rotated(a, "geomin")
    assert found.loading[0] == pytest.approx(np.asarray(pattern), abs=1e-4)
    assert found.value[0] == pytest.approx(geometric(np.asarray(pattern)), rel=1e-9)


def test_factor_analyzer_finds_the_same_geomin():
    """Where it is installed: its geomin has a gradient of its own."""
    seed = 1
    rotator = pytest.importorskip("factor_analyzer.rotator")
    a = simple(seed)
    theirs = rotator.Rotator(method="geomin_obl", delta=0.01, tol=1e-8, max_iter=5000)
    pattern = theirs.fit_transform(a.copy())
    found = rotated(a, "geomin")
    assert found.loading[0] == pytest.approx(pattern, abs=2e-5)
    assert found.correlation[0] == pytest.approx(theirs.phi_, abs=2e-5)


@pytest.mark.parametrize("seed", range(2))
def test_statsmodels_finds_the_same_promax(seed):
    """Theirs raises to one power less; loadings follow from its transformation."""
    analytic = pytest.importorskip("statsmodels.multivariate.factor_rotation._analytic_rotation")
    a = simple(seed)
    _, t = analytic.promax(a, 5)
    found = rotated(a, "promax", power=4.0)
    assert found.transform[0] == pytest.approx(np.asarray(t), abs=1e-4)
    assert found.loading[0] == pytest.approx(a @ np.linalg.inv(np.asarray(t)).T, abs=1e-4)


# -- what a rotation must keep -------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(ROTATING), st.integers(0, 10**6))
def test_scores_of_models_stay(seed, method, other):
    """Skills times loadings is what it was, skills have variance one, correlations are theirs."""
    a = simple(seed)
    found = rotated(a @ turn(other, 3), method)
    skills = np.random.default_rng(seed).standard_normal((40, 3)) @ turn(other, 3)
    before = skills @ (a @ turn(other, 3)).T
    after = skills @ found.transform[0] @ found.loading[0].T
    assert after == pytest.approx(before, abs=1e-10)
    assert np.diag(found.correlation[0]) == pytest.approx(np.ones(3), abs=1e-12)
    implied = found.loading[0] @ found.correlation[0] @ found.loading[0].T
    assert implied == pytest.approx(a @ a.T, abs=1e-10)
    if method == "varimax":
        assert found.correlation[0] == pytest.approx(np.eye(3), abs=1e-10)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(("geomin", "quartimin", "promax", "varimax")),
    st.integers(0, 10**6),
)
def test_aligned_loadings_do_not_depend_on_the_coordinates(seed, method, other):
    """Rotating, reflecting or permuting the skills beforehand changes nothing that is read."""
    draws = np.stack([simple(seed, noise=0.1) for _ in range(3)])
    draws += 0.02 * np.random.default_rng(seed).standard_normal(draws.shape)
    first = rotation.reference(draws, method)
    found, how = rotation.follow(draws, method, first)
    again = np.stack([d @ turn(other + i, 3) for i, d in enumerate(draws)])
    second = rotation.reference(again, method)
    other_found, other_how = rotation.follow(again, method, second)
    assert second.loading == pytest.approx(first.loading, abs=1e-4)
    assert other_found.loading == pytest.approx(found.loading, abs=1e-4)
    assert other_found.correlation == pytest.approx(found.correlation, abs=1e-4)
    assert other_how.congruence == pytest.approx(how.congruence, abs=1e-4)


@pytest.mark.parametrize("method", ROTATING)
def test_a_local_minimum_is_a_minimum(method):
    """No small admissible step from it lowers the criterion."""
    if method == "promax":
        pytest.skip("promax minimises a criterion of varimax only")
    a = simple(5)
    found = rotated(a, method)
    criterion = {
        "geomin": rotation.geomin,
        "quartimin": rotation.oblimin,
        "oblimin": rotation.oblimin,
        "varimax": rotation.varimax,
        "target": lambda x: rotation.target(x, PATTERN),
    }[method]
    rng = np.random.default_rng(0)
    t = found.transform[0] + 1e-3 * rng.standard_normal((200, 3, 3))
    t = rotation._retract(t, method != "varimax")
    near = criterion(rotation._pattern(a[None], t, method != "varimax"))[0]
    assert (near >= found.value[0] - 1e-9).all()


@pytest.mark.parametrize("name", ["geomin", "oblimin", "varimax", "target"])
def test_gradients_are_those_of_their_criteria(name):
    criterion = {
        "geomin": rotation.geomin,
        "oblimin": lambda x: rotation.oblimin(x, 0.3),
        "varimax": rotation.varimax,
        "target": lambda x: rotation.target(x, PATTERN),
    }[name]
    at = simple(1)[None]
    gradient = criterion(at)[1]
    for j, k in [(0, 0), (3, 2), (7, 1)]:
        step = np.zeros_like(at)
        step[0, j, k] = 1e-6
        slope = (criterion(at + step)[0] - criterion(at - step)[0]) / 2e-6
        assert gradient[0, j, k] == pytest.approx(slope[0], rel=1e-5, abs=1e-8)


def test_known_patterns_come_back():
    """A perfect simple structure with correlated skills is recovered exactly."""
    pattern = np.zeros((9, 3))
    pattern[np.arange(9), np.arange(9) % 3] = np.linspace(0.5, 2, 9)
    phi = np.array([[1, 0.4, 0.2], [0.4, 1, -0.3], [0.2, -0.3, 1]])
    a = pattern @ np.linalg.cholesky(phi) @ turn(3, 3)
    for method, near in (("geomin", 0.02), ("quartimin", 1e-6)):
        ref = rotation.reference(a[None], method)
        order = rotation.align(ref.loading[None], pattern)
        back = ref.loading[:, order.order[0]] * order.sign[0]
        assert back == pytest.approx(pattern, abs=near)


def test_many_starts_find_the_better_minimum():
    """The reference is at least as good as what any single start finds."""
    a = np.random.default_rng(11).standard_normal((12, 4))
    ref = rotation.reference(a[None], "geomin", seed=1)
    values, starts = ref.optima.T
    assert len(values) > 1  # there are several
    assert (np.diff(values) > 0).all()
    assert starts.sum() == rotation.STARTS
    alone = rotation.rotate(a[None], "geomin").value[0]
    assert rotation.geomin(ref.loading[None])[0][0] == pytest.approx(values[0])
    assert values[0] <= alone + 1e-9


def test_the_reference_has_an_order_and_signs():
    ref = rotation.reference(simple(2)[None], "quartimin")
    size = (ref.loading**2).sum(0)
    assert (np.diff(size) <= 0).all()
    assert (ref.loading.sum(0) > 0).all()
    assert ref.unrotated @ np.linalg.inv(ref.transform).T == pytest.approx(ref.loading)


# -- alignment -------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 6), st.integers(0, 10**6))
def test_alignment_undoes_order_and_signs(d, seed):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((12, d))
    order, sign = rng.permutation(d), rng.choice([-1.0, 1.0], d)
    how = rotation.align((a[:, order] * sign)[None], a)
    back = (a[:, order] * sign)[:, how.order[0]] * how.sign[0]
    assert back == pytest.approx(a)
    assert how.congruence[0] == pytest.approx(np.ones(d))
    assert how.margin[0] > 0


@pytest.mark.parametrize("d", [3, 5])
def test_the_second_best_assignment_is_the_second_best(d):
    """Against all permutations, on either side of where they are no longer all tried."""
    import itertools

    rng = np.random.default_rng(d)
    draws, to = rng.standard_normal((20, 7, d)), rng.standard_normal((7, d))
    how = rotation.align(draws, to)
    for s, draw in enumerate(draws):
        unit, there = draw / np.linalg.norm(draw, axis=0), to / np.linalg.norm(to, axis=0)
        gain = np.abs(there.T @ unit)
        every = sorted(
            (gain[np.arange(d), list(p)].mean() for p in itertools.permutations(range(d))),
            reverse=True,
        )
        assert how.congruence[s].mean() == pytest.approx(every[0])
        assert how.margin[s] == pytest.approx(every[0] - every[1])


def test_two_columns_alike_are_ambiguous():
    a = np.array([[1.0, 1.0], [1.0, 1.001], [0.5, 0.5]])
    assert rotation.align(a[None], a).margin[0] < 1e-3


def test_none_and_one_column_stay_as_they_are():
    a = simple(0)
    assert rotated(a, "none").loading[0] == pytest.approx(a)
    one = rotation.rotate(a[None, :, :1], "geomin")
    assert one.loading[0] == pytest.approx(a[:, :1])
    assert one.correlation[0] == pytest.approx(np.ones((1, 1)))


def test_four_thousand_draws_are_rotated_and_aligned():
    """J = 12, d = 3; how long it takes is in tests/benchmarks."""
    rng = np.random.default_rng(0)
    draws = simple(0, rows=12) + 0.15 * rng.standard_normal((4000, 12, 3))
    draws = np.einsum("sjk,skl->sjl", draws, np.linalg.qr(rng.standard_normal((4000, 3, 3)))[0])
    found, how = rotation.follow(draws, "geomin", rotation.reference(draws, "geomin"))
    assert found.converged.all()
    assert found.loading.dtype == np.float64
    assert np.median(how.congruence) > 0.95


# -- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("geomni", {}, "did you mean 'geomin'"),
        ("varimax", {"epsilon": 0.1}, "takes no option"),
        ("geomin", {"gamma": 1.0}, "epsilon"),
        ("geomin", {"epsilon": 0.0}, "positive"),
        ("promax", {"power": -1.0}, "positive"),
        ("target", {}, "needs target="),
        ("geomin", {"pattern": PATTERN}, "not 'geomin'"),
        ("target", {"pattern": PATTERN[:5]}, r"\(5, 3\).*\(8, 3\)"),
        ("target", {"pattern": np.full((8, 3), np.nan)}, "at least one number"),
    ],
)
def test_bad_input_is_named(method, options, words):
    with pytest.raises(sb.SlothBayesError, match=words):
        rotation.rotate(simple(0)[None], method, **options)
