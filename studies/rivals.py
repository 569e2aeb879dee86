"""Our sampler and our variational guide against those of well-kept libraries, on one posterior.

    python -m studies.rivals --out DIR [--only NAME ...] [--budget SECONDS] [--quick]

The posterior is the default law's on the table that ships, one compiled density in one vector of
899 unconstrained parameters for everybody. Each rival runs in a process of its own, with nothing
compiled, 4 chains (as many as ours has by default) on the cores there are, and is stopped after
``--budget`` processor seconds. The clocks start with the process: imports and compilation count.
Rivals begin where they begin by themselves: uniform in (-2, 2) NumPyro and BlackJAX, near 0 nutpie.
Those called ``started`` are given what ours has before its warm-up instead: the coordinates of
skills and residuals, and draws of the variational start as first points, whose seconds count.

Of samplers: seconds until every identified quantity has 400 effective draws (bulk and tail) and an
R-hat of at most 1.01, over draws in steps of 100 a chain (nothing where that is not reached), what
is reached at the end, and seconds to the first draw after the warm-up. Of guides: seconds, ELBO,
Pareto k-hat, and how far forecasts are from those of the posterior that ships
(:func:`sloth_bayes.recipes.apart`). Of all: processor seconds, peak memory, and, in the same
process afterwards, the calibrations of :mod:`studies.seeds`. ``DIR/rivals.csv`` gets a row a
rival; a study that was cut off goes on where it was.

The rule, written before any run: a library's sampler is adopted, and ours deleted, if it reaches
the goal (400 effective draws of everything, R-hat at most 1.01) in at most 1.25 times the processor
seconds of ours, in the same run; it may use our variational start. A library's guide is adopted,
and ours deleted, if in at most 1.25 times the processor seconds of ours its forecasts are at most
as far from those of the posterior that ships. Else the table in ``docs/evidence.md`` says why ours
stays. If ours without its variational start reaches the goal in at most the seconds of ours, the
start goes. Processor seconds, because other work on the machine stretches wall seconds, of one
rival more than of another; those stand beside. (They favour samplers whose chains wait for each
other, as for Python's lock: if that decides, it is run again on an idle machine.)

Ours and NumPyro's kernel, warmed up by their own schedules, take 1,000 iterations of warm-up,
nutpie and BlackJAX their own default (of nutpie, whose low-rank metric is used, 800) and 1,000.
Times of a number of draws are those at which the slowest chain had them; of ours, which samples as
many chains at once as there are cores, what asking for fewer draws would have taken, in proportion
from the end of the rounds of warm-up on.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import resource
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

import sloth_bayes as sb

from . import resumed
from .seeds import calibration

BUDGET = 240.0  # processor seconds that a rival may take, by default
CHAINS, WARMUP, DRAWS = 4, 1000, 2500  # of all; draws at most
EVERY, CHUNK = 100, 25  # draws a chain between two looks at convergence; iterations of one call
ESS, R_HAT = 400, 1.01  # the goal
GUIDED, STEPS = 1000, 20_000  # draws of a guide that are judged; steps of a rival's at most
DIRECTIONS = 64  # of BlackJAX's low rank: what ours had before its blocks
SLACK = 1.25  # of the rule
LANES = (8, 50, 50)  # chains, warm-up and draws of a first look by short chains
LATE, STOPPED = 1.25, 124  # budgets after which what cannot be asked to end is ended; its status
_POOL, _MOST = 30, 100  # draws and iterations of each path of Pathfinder, all in memory at once
SHORT = 400  # iterations of warm-up of nutpie's second try from our start, half of its default


class Given(NamedTuple):
    """What everybody is given."""

    spec: sb.Sloth
    f: Any  # compiled functions
    laid_out: Any
    arrays: Any  # in the coordinates that are sampled
    budget: float
    warmup: int
    draws: int
    steps: int


class Found(NamedTuple):
    """What a sampler gave: wall and processor seconds at which all chains had each draw."""

    x: np.ndarray  # (chains, draws, D)
    wall: np.ndarray  # (draws,)
    cpu: np.ndarray  # (draws,)
    arrays: Any  # the coordinates of `x`
    steps: float = np.nan  # gradients a draw


class Guessed(NamedTuple):
    """What a guide gave."""

    x: np.ndarray  # (draws, D)
    log_density: np.ndarray | None  # (draws,) of the guide
    arrays: Any


class Clock:
    """Wall and processor seconds since the process began."""

    def __init__(self, begun: float) -> None:
        self.begun = begun

    def __call__(self) -> tuple[float, float]:
        """Seconds of both kinds."""
        return time.time() - self.begun, time.process_time()


def library(name: str) -> Any:
    """A rival's package.

    Raises
    ------
    SystemExit
        It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise SystemExit(
            f"studies.rivals: {name} is not installed ({error}): pip install 'sloth-bayes[rivals]'"
        ) from None


def given(quick: bool = False, budget: float = BUDGET) -> Given:
    """The density of the default law and the table that ships; of two benchmarks if `quick`."""
    import jax

    from sloth_bayes.infer.compiled import functions_of
    from sloth_bayes.model.arrays import design_of
    from sloth_bayes.model.loadings import sizes

    data, spec = sb.load_dataset("open_llm_leaderboard"), sb.Sloth()
    if quick:
        data, spec = data.select(benchmarks=["MMLU", "GSM8K"]), sb.Sloth(n_skills=1)
    laid_out = design_of(spec, data)
    f = functions_of(spec, sizes(spec, laid_out.arrays))
    few = (50, 75, 100) if quick else (WARMUP, DRAWS, STEPS)
    return Given(spec, f, laid_out, jax.device_put(laid_out.arrays), budget, *few)


def potential(g: Given) -> Callable[[Any], Any]:
    """The potential of one vector of parameters, for JAX to compile."""
    from jax.flatten_util import ravel_pytree
    from numpyro.infer.util import potential_energy

    from sloth_bayes.infer.compiled import SCORES, unconstrained_sites
    from sloth_bayes.model.loadings import sizes

    n = sizes(g.spec, g.arrays)
    _, unravel = ravel_pytree(unconstrained_sites(g.spec, n))
    density = functools.partial(SCORES.density, g.spec, n)
    return lambda x: potential_energy(density, (g.arrays,), {}, unravel(x))


def anywhere(g: Given, seed: int) -> np.ndarray:
    """Where NumPyro would begin: uniform in (-2, 2)."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-2, 2, (CHAINS, g.f.size)).astype(np.float32)


def started(g: Given, seed: int) -> tuple[Given, np.ndarray]:
    """The coordinates that our variational start chooses, and draws of its guide."""
    from sloth_bayes.infer import variational
    from sloth_bayes.infer.settings import Settings

    o, rng = Settings(), np.random.default_rng(seed)
    arrays, guide, _ = variational.starts(g.f, g.arrays, rng, o.starts, o.steps, False)
    return g._replace(arrays=arrays), guide.draw(rng, CHAINS)[0]


def compile_for(of: Callable[..., Any], *args: Any) -> Any:
    """A compiled function, with the options that ours is compiled with."""
    import jax

    from sloth_bayes.support.programs import options

    return jax.jit(of).lower(*args).compile(compiler_options=options())


# -- samplers ------------------------------------------------------------------------------


def ours(g: Given, seed: int, clock: Clock, start: bool = True) -> Found:
    """Our fit, and what it would have taken with fewer draws."""
    from sloth_bayes.infer import fit, nuts, variational
    from sloth_bayes.infer.metric import Metric
    from sloth_bayes.infer.settings import Settings

    o = Settings(warmup=g.warmup, draws=g.draws)
    *rounds, settle = nuts.schedule(g.warmup)
    marks: list[tuple[float, float]] = []
    lock = threading.Lock()

    @contextlib.contextmanager
    def watched(total: int, label: str, progress: bool | None) -> Iterator[Callable[[int], None]]:
        done = 0

        def advance(amount: int) -> None:
            nonlocal done
            with lock:
                done += amount
                if done >= CHAINS * sum(rounds) and not marks:
                    marks.append(clock())

        yield advance

    first, second = np.random.default_rng(seed).spawn(2)
    if start:
        with fit.compiling(g.f, "nuts", g.arrays):
            arrays, guide, _ = variational.starts(g.f, g.arrays, first, o.starts, o.steps, False)
    else:
        mean = 0.1 * first.standard_normal(g.f.size)
        guide = variational.Guide(Metric.identity(g.f.size), mean, np.full(g.f.size, -2.0))
        arrays = g.arrays
    kept, nuts.progress_bar = nuts.progress_bar, watched
    try:
        arrays, found = nuts.sample(
            g.f, guide, arrays, second, CHAINS, g.warmup, g.draws, progress=False
        )
    finally:
        nuts.progress_bar = kept
    share = (settle + 1 + np.arange(g.draws)) / (settle + g.draws)
    wall, cpu = ((a + (b - a) * share) for a, b in zip(marks[0], clock()))
    return Found(found[0], wall, cpu, arrays, float(found[1].mean()))


def in_chunks(
    chunk: Callable[[Any], tuple[Any, Any]], states: list[Any], skip: int, g: Given, clock: Clock
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Chains side by side, `CHUNK` iterations at a time, until the budget is spent.

    `chunk` takes a state and gives the next one, with positions and gradients of each iteration;
    the first `skip` iterations are warm-up.
    """
    import jax

    parts, wall, cpu, steps, done = [], [], [], [], 0
    with ThreadPoolExecutor(len(states)) as pool:
        while done < skip + g.draws and clock()[1] < g.budget:
            found = list(pool.map(lambda s: jax.device_get(chunk(s)), states))
            states = [state for state, _ in found]
            done += CHUNK
            if done > skip:
                parts.append(np.stack([x for _, (x, _) in found]))
                steps.append(np.mean([n for _, (_, n) in found]))
                now = clock()
                wall += [now[0]] * CHUNK
                cpu += [now[1]] * CHUNK
    if not parts:
        return np.empty((len(states), 0, g.f.size)), np.empty(0), np.empty(0), np.nan
    return np.concatenate(parts, 1), np.array(wall), np.array(cpu), float(np.mean(steps))


def numpyro(g: Given, seed: int, clock: Clock, dense: bool = False) -> Found:
    """NumPyro's NUTS kernel with the warm-up that MCMC gives it."""
    import jax
    from numpyro.infer import NUTS

    warmup = g.warmup // CHUNK * CHUNK
    kernel = NUTS(potential_fn=potential(g), dense_mass=dense)
    keys = jax.random.split(jax.random.PRNGKey(seed), CHAINS)
    states = [kernel.init(k, warmup, x, (), {}) for k, x in zip(keys, anywhere(g, seed))]

    def chunk(state: Any) -> Any:
        def step(state: Any, _: Any) -> Any:
            state = kernel.sample(state, (), {})
            return state, (state.z, state.num_steps)

        return jax.lax.scan(step, state, None, length=CHUNK)

    compiled = compile_for(chunk, states[0])
    return _found(in_chunks(compiled, states, warmup, g, clock), g)


def blackjax(g: Given, seed: int, clock: Clock, start: bool = False) -> Found:
    """BlackJAX's low-rank window adaptation, then its NUTS."""
    import jax

    package = library("blackjax")

    g, x = started(g, seed) if start else (g, anywhere(g, seed))
    of = potential(g)

    def density(x: Any) -> Any:
        return -of(x)

    warm = package.window_adaptation_low_rank(package.nuts, density, max_rank=DIRECTIONS)
    keys = jax.random.split(jax.random.PRNGKey(seed), 2 * CHAINS)

    def warmed(key: Any, x: Any) -> Any:
        (state, parameters), _ = warm.run(key, x, num_steps=g.warmup)
        return state, parameters

    def chunk(carry: Any) -> Any:
        state, parameters, key = carry
        kernel = package.nuts(density, **parameters)
        key, here = jax.random.split(key)

        def step(state: Any, key: Any) -> Any:
            state, info = kernel.step(key, state)
            return state, (state.position, info.num_integration_steps)

        state, out = jax.lax.scan(step, state, jax.random.split(here, CHUNK))
        return (state, parameters, key), out

    warming = compile_for(warmed, keys[0], x[0])
    with ThreadPoolExecutor(CHAINS) as pool:
        found = list(pool.map(lambda a: jax.block_until_ready(warming(*a)), zip(keys, x)))
    states = [(*pair, key) for pair, key in zip(found, keys[CHAINS:])]
    compiled = compile_for(chunk, states[0])
    return _found(in_chunks(compiled, states, 0, g, clock), g)


def nutpie(g: Given, seed: int, clock: Clock, start: bool = False, short: bool = False) -> Found:
    """Nutpie with its low-rank metric, on the compiled density."""
    import jax

    package = library("nutpie")
    from nutpie.compiled_pyfunc import from_pyfunc

    g, first = started(g, seed) if start else (g, None)
    size = g.f.size
    compiled = compile_for(jax.value_and_grad(potential(g)), np.zeros(size, np.float32))

    def logp(x: np.ndarray, **_: Any) -> tuple[float, np.ndarray]:
        value, slope = compiled(x.astype(np.float32))
        return -float(value), -np.asarray(slope, np.float64)

    drawn: list[list[Any]] = []  # of each chain, which all are called 0

    def expand_of(*_: Any) -> Callable[..., dict[str, np.ndarray]]:
        rows: list[Any] = []
        drawn.append(rows)

        def expand(x: np.ndarray, **_: Any) -> dict[str, np.ndarray]:
            rows.append((np.asarray(x, np.float32).copy(), *clock()))
            return {"one": np.zeros(1)}

        return expand

    more: dict[str, Any] = {}
    if first is not None:
        rows = iter(first)
        more["make_initial_point_fn"] = lambda seed: next(rows).astype(np.float64)
    model = from_pyfunc(
        size, lambda: logp, expand_of, [np.dtype(np.float64)], [(1,)], ["one"], **more
    )
    tune = min(SHORT if short else 800, g.warmup)
    sampler = package.sample(
        model, draws=g.draws, tune=tune, chains=CHAINS, cores=CHAINS, seed=seed,
        low_rank_modified_mass_matrix=True, progress_bar=False, blocking=False,
    )  # fmt: skip

    def least() -> int:
        """Iterations of the slowest chain, warm-up among them."""
        counts = [len(rows) for rows in drawn if rows]
        return min(counts) if len(counts) == CHAINS else 0

    while least() < tune + g.draws and clock()[1] < g.budget:
        time.sleep(0.2)  # to ask it whether it has finished can take what its callbacks wait for
    with contextlib.suppress(TimeoutError):
        sampler.cancel()
    have = max(0, least() - tune)
    each = [rows[tune : tune + have] for rows in drawn if rows][:CHAINS]
    x = np.array([[row[0] for row in rows] for rows in each]).reshape(CHAINS, have, size)
    wall, cpu = (np.array([[row[k] for row in rows] for rows in each]).max(0) for k in (1, 2))
    return Found(x, np.maximum.accumulate(wall), np.maximum.accumulate(cpu), g.arrays)


def _found(parts: tuple[np.ndarray, np.ndarray, np.ndarray, float], g: Given) -> Found:
    x, wall, cpu, steps = parts
    return Found(x[:, : g.draws], wall[: g.draws], cpu[: g.draws], g.arrays, steps)


# -- guides --------------------------------------------------------------------------------


def our_guide(g: Given, seed: int, clock: Clock) -> Guessed:
    """Our variational fit."""
    from sloth_bayes.infer import variational
    from sloth_bayes.infer.settings import Settings

    o, (first, second) = Settings(), np.random.default_rng(seed).spawn(2)
    arrays, guide, _ = variational.starts(g.f, g.arrays, first, o.starts, o.steps, False)
    guide, _ = variational.refined(g.f, arrays, guide, second, o.steps, o.rank)
    return Guessed(*guide.draw(second, GUIDED), arrays)


def our_lanes(g: Given, seed: int, clock: Clock) -> Guessed:
    """Short chains from our start, in lanes of one program, in place of a guide."""
    from sloth_bayes.infer import lanes, variational
    from sloth_bayes.infer.settings import Settings

    o, (first, second) = Settings(), np.random.default_rng(seed).spawn(2)
    arrays, guide, _ = variational.starts(g.f, g.arrays, first, o.starts, o.steps, False)
    arrays, x, _ = lanes.sample(
        g.f, guide, arrays, second, *LANES, o.target_accept, o.max_tree_depth
    )
    return Guessed(x.reshape(-1, g.f.size), None, arrays)


def auto_guide(g: Given, seed: int, clock: Clock, name: str) -> Guessed:
    """One of NumPyro's guides, by Adam, until half of the budget is spent."""
    import jax
    import numpyro as package
    from numpyro import distributions as dist
    from numpyro.infer import SVI, Trace_ELBO, autoguide

    of = potential(g)

    def model() -> None:
        space = dist.ImproperUniform(dist.constraints.real_vector, (), (g.f.size,))
        x = package.sample("x", space)
        with package.handlers.block():  # it is a model of its own
            value = of(x)
        package.factor("density", -value)

    guide = getattr(autoguide, name)(model)
    svi = SVI(model, guide, package.optim.Adam(0.01), Trace_ELBO(2))
    state = svi.init(jax.random.PRNGKey(seed))

    chunk = compile_for(
        lambda state: jax.lax.scan(lambda s, _: svi.stable_update(s), state, None, length=100),
        state,
    )
    for _ in range(max(1, g.steps // 100)):
        state, loss = chunk(state)
        if not np.isfinite(loss).all() or clock()[1] > g.budget / 2:
            break
    fitted = svi.get_params(state)
    drawn = guide.sample_posterior(jax.random.PRNGKey(seed + 1), fitted, sample_shape=(GUIDED,))
    x = np.asarray(drawn["x"]).reshape(GUIDED, -1)
    return Guessed(x, np.asarray(guide.get_posterior(fitted).log_prob(x)), g.arrays)


def pathfinder(g: Given, seed: int, clock: Clock) -> Guessed:
    """BlackJAX's multi-path Pathfinder, of four paths from where NumPyro would begin."""
    import jax

    package = library("blackjax")
    of = potential(g)
    start = anywhere(g, seed)
    algorithm = package.multipathfinder(lambda x: -of(x))
    key = jax.random.PRNGKey(seed)
    run = compile_for(
        lambda key, x: algorithm.init(key, x, num_samples=_POOL, maxiter=_MOST), key, start
    )
    state, _ = run(key, start)
    x = algorithm.sample(jax.random.PRNGKey(seed + 1), state, GUIDED)
    return Guessed(np.asarray(x), None, g.arrays)


SAMPLERS: dict[str, Callable[..., Found]] = {
    "ours": ours,
    "ours, no variational start": functools.partial(ours, start=False),
    "NumPyro, diagonal": numpyro,
    "NumPyro, dense": functools.partial(numpyro, dense=True),
    "nutpie": nutpie,
    "nutpie, started": functools.partial(nutpie, start=True),
    "nutpie, started, short": functools.partial(nutpie, start=True, short=True),
    "BlackJAX, low rank": blackjax,
    "BlackJAX, low rank, started": functools.partial(blackjax, start=True),
}
GUIDES: dict[str, Callable[..., Guessed]] = {
    "our guide": our_guide,
    "our lanes": our_lanes,
    "NumPyro, low-rank normal": functools.partial(auto_guide, name="AutoLowRankMultivariateNormal"),
    "NumPyro, full normal": functools.partial(auto_guide, name="AutoMultivariateNormal"),
    "BlackJAX, Pathfinder": pathfinder,
}


# -- judging -------------------------------------------------------------------------------


def posterior(g: Given, x: np.ndarray, arrays: Any, method: str) -> sb.Posterior:
    """Draws ``(chains, draws, D)`` as a posterior, of the quantities that forecasts need."""
    import jax

    from sloth_bayes.posterior.label import build

    chains, draws = x.shape[:2]
    values = g.f.over("values", x.reshape(-1, g.f.size), jax.random.PRNGKey(0), arrays)
    shape, dims = (chains, draws), ("chain", "draw")
    none = {name: (dims, np.zeros(shape)) for name in ("energy", "diverging")}
    none["reached_max_tree_depth"] = (dims, np.zeros(shape, bool))
    stats = xr.Dataset(none)
    attrs = {"method": method, "seed": 0, "starts_elbo": [0.0], "data": "rivals"}
    tree = build(g.spec, g.laid_out, values, chains=chains, sample_stats=stats, attrs=attrs).tree
    return sb.Posterior(tree, g.spec)


def convergence(post: sb.Posterior, draws: int) -> dict[str, Any]:
    """The worst R-hat and effective sample sizes of the first draws of each chain."""
    groups = {name: node.to_dataset() for name, node in post.tree.children.items()}
    for name in ("posterior", "sample_stats"):
        groups[name] = groups[name].isel(draw=slice(draws))
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = dict(post.tree.attrs)
    table = sb.Posterior(tree, post.spec).diagnostics().table
    ess = float(table[["ess_bulk", "ess_tail"]].min(axis=1).min())
    r_hat = float(table["r_hat"].max())
    return {
        "quantities": len(table),
        "ess_min": round(ess, 1),
        "ess_median": round(float(table["ess_bulk"].median()), 1),
        "r_hat_max": round(r_hat, 4),
        "reached": bool(ess >= ESS and r_hat <= R_HAT),
    }


def judged(g: Given, found: Found) -> dict[str, Any]:
    """When a sampler reached the goal, by bisection over its draws, and where it ended."""
    have = found.x.shape[1]
    row: dict[str, Any] = {"draws": have, "gradients_a_draw": round(found.steps, 1)}
    if have < 4:
        return row | {"reached": False}
    finite = np.isfinite(found.x).all()
    post = posterior(g, np.nan_to_num(found.x), found.arrays, "nuts")
    end = convergence(post, have)
    row |= {
        "finite": bool(finite), "first_draw_s": round(float(found.wall[0]), 1),
        "end_s": round(float(found.wall[-1]), 1), "end_cpu_s": round(float(found.cpu[-1]), 1),
        "ess_a_second": round(end["ess_min"] / float(found.wall[-1]), 3),
        "ess_a_cpu_second": round(end["ess_min"] / float(found.cpu[-1]), 3),
    } | end  # fmt: skip
    if end["reached"]:
        low, high = 0, -(-have // EVERY)  # in steps; the last one has it
        while high - low > 1:
            middle = (low + high) // 2
            there = convergence(post, middle * EVERY)["reached"]
            low, high = (low, middle) if there else (middle, high)
        at = min(high * EVERY, have)
        row |= {
            "goal_draws": at,
            "goal_s": round(float(found.wall[at - 1]), 1),
            "goal_cpu_s": round(float(found.cpu[at - 1]), 1),
        }
    return row


def beside(g: Given, guess: Guessed, quick: bool) -> dict[str, Any]:
    """How near a guide is to the posterior."""
    from arviz_stats.base import array_stats

    from sloth_bayes.publish.card import apart

    row: dict[str, Any] = {}
    if guess.log_density is not None:
        value, _ = g.f.over("potential", guess.x, guess.arrays)
        log_weight = -value.astype(float) - guess.log_density
        row["elbo"] = round(float(log_weight.mean()), 1)
        row["k_hat"] = round(float(array_stats.psislw(-log_weight)[1]), 2)
    post = posterior(g, guess.x[None], guess.arrays, "svi")
    if not quick:
        last = apart(sb.load("leaderboard"), post).iloc[-1]
        row |= {k: round(float(last[k]), 3) for k in ("mean", "most", "width", "outside")}
    return row


def one(name: str, seed: int, begun: float, budget: float, quick: bool) -> dict[str, Any]:
    """Run one rival in this process: its row."""
    warnings.simplefilter("ignore")
    clock = Clock(begun)
    g = given(quick, budget)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            if clock()[1] > LATE * budget:
                os._exit(STOPPED)

    if not name.startswith("our"):  # which ends, and is what the budget is measured by
        threading.Thread(target=watch, daemon=True).start()
    found = (SAMPLERS | GUIDES)[name](g, seed, clock)
    over.set()
    wall, cpu = clock()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row: dict[str, Any] = {
        "rival": name,
        "seconds": round(wall, 1),
        "cpu_s": round(cpu, 1),
        "peak_mb": round(peak),
        "load": round(os.getloadavg()[0], 1),
    }
    row |= judged(g, found) if isinstance(found, Found) else beside(g, found, quick)
    return row | calibration()


class Asked(NamedTuple):
    """What one row is of."""

    rival: str


def study(out: Path, names: list[str], budget: float, quick: bool, seed: int = 0) -> pd.DataFrame:
    """Run the rivals that ``out/rivals.csv`` does not hold yet, each in a process of its own."""
    out.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "0"}

    def run(asked: Asked) -> dict[str, Any]:
        command = [sys.executable, "-m", "studies.rivals", "--out", str(out), "--one", asked.rival]
        command += ["--budget", str(budget), "--seed", str(seed), "--begun", str(time.time())]
        ended = subprocess.run(
            [*command, *(["--quick"] if quick else [])],
            env=environment, capture_output=True, text=True,
        )  # fmt: skip
        if ended.returncode == STOPPED:
            return {
                "rival": asked.rival,
                "failed": f"stopped after {LATE * budget:.0f} processor seconds",
            }
        if ended.returncode:
            said = ended.stderr.strip().splitlines() or [f"signal {-ended.returncode}"]
            return {"rival": asked.rival, "failed": said[-1][:200]}
        return json.loads(ended.stdout.strip().splitlines()[-1])

    return resumed.rows(map(Asked, names), run, out / "rivals.csv", str, ("rival",))


def verdicts(table: pd.DataFrame) -> list[str]:
    """What the rule says of each rival, a sentence each."""
    rows = table.set_index("rival").to_dict("index")
    said = []
    for mine, names, seconds, apart in (
        ("ours", SAMPLERS, "goal_cpu_s", ""),
        ("our guide", GUIDES, "cpu_s", "mean"),
    ):
        base = rows.get(mine, {})
        if not base.get(seconds, np.nan) > 0:
            said.append(f"{mine} did not reach the goal: the rule says nothing")
            continue
        for name in names:
            if name not in rows or name == mine:
                continue
            ratio = rows[name].get(seconds, np.nan) / base[seconds]
            good = ratio <= (1.0 if name.startswith("ours") else SLACK)  # NaN is not
            good = good and (not apart or rows[name].get(apart, np.nan) <= base[apart])
            taken = f"{ratio:.2f} times the seconds of {mine}" if ratio > 0 else "not reached"
            said.append(f"{name}: {taken}: {'passes' if good else 'no'}")
    return said


def main() -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(prog="python -m studies.rivals", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of rivals.csv")
    parser.add_argument("--only", nargs="+", choices=[*SAMPLERS, *GUIDES], metavar="NAME")
    parser.add_argument(
        "--budget",
        type=float,
        default=BUDGET,
        metavar="SECONDS",
        help=f"processor seconds that a rival may take ({BUDGET:.0f})",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="two benchmarks, few draws")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--begun", type=float, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(one(asked.one, asked.seed, asked.begun, asked.budget, asked.quick)))
        return
    names = asked.only or [*SAMPLERS, *GUIDES]
    table = study(asked.out, names, asked.budget, asked.quick, asked.seed)
    print(table.to_string(index=False))
    print(*verdicts(table), sep="\n")


if __name__ == "__main__":
    main()
