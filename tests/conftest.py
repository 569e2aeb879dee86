"""A small table with known truth, and its fits, shared by all tests."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
import platform
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from filelock import FileLock

import sloth_bayes as sb

BENCHMARKS = [
    sb.Benchmark("Reading", chance=0.25, n_questions=2000),
    sb.Benchmark("Maths", chance=0.0, n_questions=1000),
    sb.Benchmark("Facts", chance=0.25, n_questions=5000),
    sb.Benchmark("Code", chance=0.0, n_questions=500, rounding=0.01),
]
NAMES = [b.name for b in BENCHMARKS]

# family, lineage, tuned, tokens, sizes
FAMILIES = [
    ("alder", "alder", False, 1.0, (0.5, 1.0, 2.0, 4.0, 8.0)),
    ("birch", "birch", False, 2.0, (1.0, 3.0, 7.0, 13.0, 30.0)),
    ("birch-chat", "birch", True, 2.0, (1.0, 3.0, 7.0, 13.0)),
    ("cedar", "cedar", False, 6.0, (0.5, 1.5, 7.0, 14.0, 40.0)),
    ("cedar-chat", "cedar", True, 6.0, (0.5, 1.5, 7.0, 14.0, 40.0)),
]
FIT = {
    "chains": 2,
    "warmup": 200,
    "draws": 200,
    "steps": 600,
    "starts": 2,
    "max_tree_depth": 7,
    "progress": False,
}
# variational starts as in FIT, so that their program is compiled once
QUICK = {
    "method": "svi",
    "steps": 600,
    "starts": 1,
    "chains": 2,
    "draws": 100,
    "progress": False,
}


# Files that ask a posterior at every test, start a process each, or compile a prior of their own
SLOWER = ("test_bad_inputs.py", "test_kinds.py", "test_surprises.py", "test_untold.py")
collect_ignore = ["cases"]  # its scripts need the tools whose files they make


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as quick what neither fits a table nor takes long."""
    for item in items:
        fits = any(name.startswith("tiny_") for name in getattr(item, "fixturenames", ()))
        marked = any(item.get_closest_marker(name) for name in ("slow", "long"))
        if not (fits or marked or "benchmarks" in item.path.parts or item.path.name in SLOWER):
            item.add_marker("quick")


class Truth(NamedTuple):
    """A table drawn from the prior, with the expected scores of models left out of it."""

    table: sb.Leaderboard
    held_out: pd.DataFrame  # candidates: larger models of the same families
    expected: np.ndarray  # (held-out models, benchmarks)


def layout() -> pd.DataFrame:
    """Models without scores, one a row."""
    return pd.DataFrame(
        [
            {
                "model": f"{family}-{size:g}b",
                "family": family,
                "lineage": lineage,
                "instruct": tuned,
                "params_b": size,
                "tokens_t": tokens,
            }
            for family, lineage, tuned, tokens, sizes in FAMILIES
            for size in sizes
        ]
    )


def unjudged(post: sb.Posterior) -> sb.Posterior:
    """The posterior as a fit leaves it: nobody has asked whether it has converged."""
    groups = {k: v.to_dataset() for k, v in post.tree.children.items() if k != "convergence"}
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = post.tree.attrs
    return sb.Posterior(tree, post.spec)


def converged(post: sb.Posterior) -> sb.Posterior:
    """The posterior with a good verdict, which decides over exit statuses and warnings."""
    tree = post.tree.copy()
    verdict = dataclasses.replace(post.diagnostics(), ok=True)
    tree["convergence"] = xr.DataTree(verdict.to_dataset())
    return sb.Posterior(tree, post.spec)


def leaderboard(scores: np.ndarray, rows: pd.DataFrame | None = None) -> sb.Leaderboard:
    """A table of the layout with `scores`, ``(models, benchmarks)``."""
    rows = layout() if rows is None else rows
    frame = rows.assign(**dict(zip(NAMES, np.asarray(scores, float).T)))
    return sb.Leaderboard.from_frame(frame, benchmarks=BENCHMARKS, name="tiny")


def simulate(spec: sb.Sloth, seed: int) -> Truth:
    """One table drawn from the prior of `spec`, through the package's own prior."""
    rows = layout()
    scores = np.full((len(rows), len(NAMES)), 0.5)
    scores[3, 0] = scores[8, 1] = scores[8, 3] = scores[17, 2] = np.nan
    prior = spec.prior(leaderboard(scores), draws=20, seed=seed)
    drawn = prior.data_tree["posterior_predictive"]["score"].values[0, -1]
    scores[np.isfinite(scores)] = drawn
    larger = sb.candidates(
        family=[f for f, *_ in FAMILIES],
        params_b=[2 * sizes[-1] for *_, sizes in FAMILIES],
        tokens_t=[tokens for *_, tokens, _ in FAMILIES],
    )
    with pytest.warns(sb.ExtrapolationWarning):
        expected = prior.forecast(larger, seed=seed).draws["expected"].values[0, -1]
    return Truth(leaderboard(scores), larger, expected)


@pytest.fixture(scope="session")
def tiny_spec() -> sb.Sloth:
    """Every kind of effect there is."""
    return sb.Sloth(n_skills=2, slopes="pooled", model_effect="pooled")


@pytest.fixture(scope="session")
def once(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Makes a thing once for all processes and runs on the same code; the others read its file."""
    package = Path(sb.__file__).parent
    parts = [platform.python_version(), version("jax"), Path(__file__).read_text("utf-8")]
    parts.append(str(find_spec("pyarrow")))  # which frames that are pickled need
    parts += [path.read_text("utf-8") for path in sorted(package.rglob("*.py"))]
    digest = hashlib.sha256("".join(parts).encode()).hexdigest()[:16]
    root = request.config.cache.mkdir(f"fits-{digest}")

    def made(name: str, make: Callable[[Path], Any], read: Callable[[Path], Any]) -> Any:
        path = root / name
        with FileLock(f"{path}.lock"):
            if not path.exists():
                make(path)
        return read(path)

    return made


@pytest.fixture(scope="session")
def tiny_truth(tiny_spec: sb.Sloth, once: Callable[..., Any]) -> Truth:
    def make(path: Path) -> None:
        path.write_bytes(pickle.dumps(simulate(tiny_spec, seed=3)))

    return once("truth.pickle", make, lambda path: pickle.loads(path.read_bytes()))


@pytest.fixture(scope="session")
def tiny_table(tiny_truth: Truth) -> sb.Leaderboard:
    return tiny_truth.table


@pytest.fixture(scope="session")
def tiny_posterior(
    tiny_spec: sb.Sloth, tiny_table: sb.Leaderboard, once: Callable[..., Any]
) -> sb.Posterior:
    """NUTS, long enough for sensible numbers, not for convergence."""
    return once(
        "nuts.nc",
        lambda path: tiny_spec.fit(tiny_table, seed=1, **FIT).save(path),
        lambda path: unjudged(sb.load(path)),
    )


@pytest.fixture(scope="session")
def tiny_svi(
    tiny_spec: sb.Sloth, tiny_table: sb.Leaderboard, once: Callable[..., Any]
) -> sb.Posterior:
    return once(
        "svi.nc",
        lambda path: tiny_spec.fit(tiny_table, **QUICK).save(path),
        lambda path: unjudged(sb.load(path)),
    )


@pytest.fixture(scope="session")
def tiny_prior(tiny_spec: sb.Sloth, tiny_table: sb.Leaderboard) -> sb.Posterior:
    return tiny_spec.prior(tiny_table, draws=4000, seed=5)
