"""The ratios that README quotes: each against a rival run in the same process, in turn.

    python -m tests.benchmarks.ratios [--out FILE.json] [--only forecasts|fits]

Machines, and what else runs on them, change seconds; a ratio of two things that were run one
after the other, several times, changes less. Both sides are run once before the clock starts
(except where compilation is what is measured), then alternately; the medians of their seconds
are divided.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

import sloth_bayes as sb
from sloth_bayes.api import Posterior

CANDIDATES, DRAWS, SINGLE = 1000, 4000, 50  # SINGLE of the candidates are forecast one by one
SMALL = ["MMLU", "HellaSwag", "GSM8K"]  # benchmarks of the fits that are compiled anew
FOLDS = {"qwen": "qwen", "opt": "opt", "pythia": "pythia", "falcon": "falcon"}


class Side(NamedTuple):
    """One of two things that are compared, and how much of the whole it does."""

    name: str
    run: Callable[[], Any]
    times: float = 1.0  # its seconds are multiplied by this


class Ratio(NamedTuple):
    """What is compared: how many times faster the second is than the first."""

    what: str
    rival: Side
    ours: Side
    rounds: int = 3
    warm: bool = True


def interleaved(ratio: Ratio) -> dict[str, Any]:
    """Median seconds of both sides, run in turn, and their ratio."""
    sides = (ratio.rival, ratio.ours)
    if ratio.warm:
        for side in sides:
            side.run()
    seconds: dict[str, list[float]] = {side.name: [] for side in sides}
    for _ in range(ratio.rounds):
        for side in sides:
            begun = time.perf_counter()
            side.run()
            seconds[side.name].append(side.times * (time.perf_counter() - begun))
    rival, ours = (statistics.median(seconds[side.name]) for side in sides)
    return {
        "what": ratio.what,
        "rival": ratio.rival.name,
        "rival_s": round(rival, 3),
        "ours": ratio.ours.name,
        "ours_s": round(ours, 3),
        "ratio": round(rival / ours, 2),
    }


def posterior(draws: int = DRAWS) -> Posterior:
    """The posterior that ships, with copies of its draws that differ in the fourth digit."""
    post = sb.load("leaderboard")
    tree, once = post.tree.copy(), post.tree["posterior"].to_dataset()
    copies = -(-draws // post.n_draws)
    rng = np.random.default_rng(0)
    many = xr.concat([once] * copies, dim="draw").assign_coords(
        draw=np.arange(copies * once.sizes["draw"])
    )
    many = many.isel(draw=slice(draws // once.sizes["chain"]))
    tree["posterior"] = xr.DataTree(
        many.map(lambda v: v * (1 + 1e-4 * rng.standard_normal(v.shape, dtype=np.float32)))
    )
    return Posterior(tree, post.spec)


def candidates(post: Posterior, n: int = CANDIDATES) -> pd.DataFrame:
    """Models inside the range of the data, over all families in turn."""
    sizes = np.geomspace(0.2, 100, n).tolist()
    families = [post.families[i % len(post.families)] for i in range(n)]
    return sb.candidates(families, sizes, 2.0, model=[f"model {i}" for i in range(n)])


def double_precision_at_once(post: Posterior, frame: pd.DataFrame) -> np.ndarray:
    """Expected scores and their quantiles, all draws and candidates in one array of float64."""
    from sloth_bayes.law import equations, terms

    v = {k: a.astype(np.float64) for k, a in post.merged.items()}
    constant = post.constant_data
    family = np.array([post.families.index(f) for f in frame["family"]])
    size, tokens = (np.log(frame[c].to_numpy(float)) for c in ("params_b", "tokens_t"))
    filled = post.forecast(frame).candidates
    inputs = equations.raw_inputs(post.spec.inputs, size, tokens, constant["centre"].values, np)
    columns = {"instruct": filled["instruct"].to_numpy(float)}
    who = terms.effects_of_table(v, inputs, columns, {"family": family})
    theta, residual = terms.skills(v, who), terms.residuals(v, who)
    eta = equations.predictor(theta, v["loading"], residual, np) + v["bias"][:, None]
    fraction = equations.link(post.spec.link, eta, v["link_shape"][:, None], np)
    mu = equations.expected(fraction, v["lower"][:, None], v["upper"][:, None])
    return np.concatenate([mu.mean(0)[None], np.quantile(mu, [0.05, 0.5, 0.95], axis=0)])


def forecasts() -> list[Ratio]:
    """Reading a posterior's draws."""
    post = posterior()
    frame = candidates(post)
    few = [frame.iloc[[i]] for i in range(0, len(frame), len(frame) // SINGLE)]

    def one_by_one() -> None:
        for row in few:
            _ = post.forecast(row).frame

    size = f"{CANDIDATES:,} candidates x {len(post.benchmarks)} benchmarks x {post.n_draws:,} draws"
    return [
        Ratio(
            f"forecast of {size}: scores with intervals",
            Side("one by one", one_by_one, len(frame) / len(few)),
            Side("one call", lambda: post.forecast(frame).frame),
        ),
        Ratio(
            f"forecast of {size}: expected scores",
            Side("float64, all at once", lambda: double_precision_at_once(post, frame)),
            Side("float32, in blocks", lambda: post.forecast(frame).summary("expected")),
        ),
        Ratio(
            f"forecast of {size}: what noise costs",
            Side("scores with intervals", lambda: post.forecast(frame).frame),
            Side("expected scores", lambda: post.forecast(frame).summary("expected")),
        ),
    ]


def fits() -> list[Ratio]:
    """Fitting, folds, and loading instead of fitting."""
    import jax

    from sloth_bayes.infer import compiled as programs
    from sloth_bayes.infer import fit as inference

    jax.config.update("jax_enable_compilation_cache", False)  # that of earlier processes
    data = sb.load_dataset("open_llm_leaderboard")
    small = data.select(benchmarks=SMALL)
    spec, svi = sb.Sloth(n_skills=2), {"method": "svi", "steps": 1000, "starts": 2, "draws": 250}
    nuts = {"chains": 2, "warmup": 100, "draws": 100, "steps": 1000, "starts": 2,
            "max_tree_depth": 7}  # fmt: skip
    folds = sb.protocols.leave_group_out(small, FOLDS, n_observed=1)

    def forget() -> None:
        jax.clear_caches()
        for function in (*vars(inference).values(), *vars(programs).values()):
            if hasattr(function, "cache_clear"):
                function.cache_clear()

    def folds_apart() -> None:
        for fold in folds:
            forget()
            sb.cross_validate(spec, small, [fold], steps=500, progress=False)

    def folds_together() -> None:
        forget()
        sb.cross_validate(spec, small, folds, steps=500, progress=False)

    def fit_anew() -> None:
        forget()
        spec.fit(small, progress=False, **svi)

    with tempfile.TemporaryDirectory() as folder:
        path = spec.fit(small, progress=False, **svi).save(Path(folder) / "small.nc")
        stored = path.read_bytes()

    def load() -> Posterior:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "small.nc"
            copy.write_bytes(stored)
            return sb.load(copy)

    return [
        Ratio(
            f"{len(folds)} folds by SVI, compilation included",
            Side("each compiles its program", folds_apart),
            Side("one compiled program", folds_together),
            rounds=1,
            warm=False,
        ),
        Ratio(
            "SVI fit of 3 benchmarks",
            Side("first, with compilation", fit_anew),
            Side("compiled", lambda: spec.fit(small, progress=False, **svi)),
            rounds=2,
            warm=False,
        ),
        Ratio(
            "fit of 3 benchmarks, compiled",
            Side("NUTS (2 x 100 draws)", lambda: spec.fit(small, progress=False, **nuts)),
            Side("SVI", lambda: spec.fit(small, progress=False, **svi)),
            rounds=2,
        ),
        Ratio(
            "a posterior of 3 benchmarks",
            Side("fitted by SVI, compiled", lambda: spec.fit(small, progress=False, **svi)),
            Side("loaded from its file", load),
        ),
    ]


def main() -> None:
    """Measure and print the ratios."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.ratios", description=__doc__)
    parser.add_argument("--out", type=Path, help="JSON file that the rows also go to")
    parser.add_argument("--only", choices=["forecasts", "fits"], help="one group")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    rows = []
    for name, group in (("forecasts", forecasts), ("fits", fits)):
        if arguments.only in (None, name):
            for ratio in group():
                row = interleaved(ratio)
                rows.append(row)
                print(
                    f"{row['what']}: {row['ours']} {row['ours_s']:.3g} s, "
                    f"{row['rival']} {row['rival_s']:.3g} s: {row['ratio']:.3g} times",
                    flush=True,
                )
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
