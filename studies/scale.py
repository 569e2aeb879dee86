"""What a fit costs: seconds and memory against models, benchmarks, skills and draws.

    python -m studies.scale --out DIR [--only svi] [--vary models] [--quick] [--longest SECONDS]
    python -m studies.scale --out ANOTHER --walk compute

One factor at a time is varied around a centre of 300 models, 12 benchmarks, 3 skills and 1,000
draws, by SVI and by NUTS. Tables are drawn from the prior of the specification that is fitted,
with 15% of the scores missing. Every point is a process of its own, with an empty compilation
cache, so that its peak memory and its compilation are its own. ``DIR/cost.csv`` gets one row a
point and ``DIR/cost.png`` the picture; a study that was cut off goes on where it was.

SVI runs with `SVI`'s settings and is timed whole, first and once compiled. NUTS runs with
`NUTS`'s, too short to converge: a fit of few draws and one of all draws, of the same seed and
therefore with the same warm-up, whose difference is the time of the draws alone. A NUTS point that
would take more than ``--longest``, by the points before it, is not run, and its row says so; it is
run when the study goes on with more time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import sloth_bayes as sb
from sloth_bayes.support.kept import keep, kept

CENTRE = {"models": 300, "benchmarks": 12, "skills": 3, "draws": 1000}
VARIED: dict[str, dict[str, tuple[int, ...]]] = {
    "svi": {
        "models": (100, 300, 1000, 3000, 10000),
        "benchmarks": (6, 12, 24, 60),
        "skills": (1, 2, 3, 4, 5, 6),
        "draws": (250, 1000, 4000, 16000),
    },
    "nuts": {
        "models": (100, 300, 1000, 3000, 10000),
        "benchmarks": (6, 12, 24, 60),
        "skills": (1, 3, 6),
        "draws": (250, 1000, 4000),
    },
}
SVI: dict[str, Any] = {"method": "svi", "steps": 1000, "starts": 1, "chains": 1}
CHAINS, FEW = 2, 25  # of NUTS: chains, and draws a chain of the fit that is subtracted
NUTS: dict[str, Any] = {
    "method": "nuts", "steps": 500, "starts": 1, "chains": CHAINS, "warmup": 50,
    "max_tree_depth": 6,
}  # fmt: skip
LONGEST = 240.0  # seconds that a NUTS point may take, by default
GIVE_UP = 1800.0  # seconds after which any point is stopped


def layout(models: int, seed: int = 0) -> pd.DataFrame:
    """Models in families of 1 to 8, families in lineages of 1 to 3, one a row."""
    rng = np.random.default_rng([seed, models])
    rows: list[dict[str, Any]] = []
    for k in itertools.count():
        lineage, tokens = f"l{k}", float(np.exp(rng.uniform(np.log(0.1), np.log(15))).round(3))
        for f in range(rng.integers(1, 4)):
            family = lineage if f == 0 else f"{lineage}-t{f}"
            sizes = np.exp(rng.uniform(np.log(0.1), np.log(100), rng.integers(1, 9)))
            for i, size in enumerate(np.sort(sizes).round(3)):
                rows.append(
                    {"model": f"{family}-{i}", "family": family, "lineage": lineage,
                     "instruct": f > 0, "params_b": float(size), "tokens_t": tokens}
                )  # fmt: skip
                if len(rows) == models:
                    return pd.DataFrame(rows)
    raise AssertionError


def simulate(
    models: int, benchmarks: int, skills: int, walk: str = "none", seed: int = 0
) -> sb.Leaderboard:
    """A table of any size, drawn from the prior."""
    rng = np.random.default_rng([seed, models, benchmarks])
    chances = itertools.cycle((0.25, 0.0, 0.25, 0.5, 0.1, 0.0))
    questions = itertools.cycle((10000, 1300, 1200, 1300, 12000, 500))
    meta = [
        sb.Benchmark(f"b{j}", chance=c, n_questions=n)
        for j, c, n in zip(range(benchmarks), chances, questions)
    ]
    names = [b.name for b in meta]
    missing = rng.random((models, benchmarks)) < 0.15
    missing[np.arange(models), np.arange(models) % benchmarks] = False  # every row and column
    frame = layout(models, seed)
    frame[names] = np.where(missing, np.nan, 0.5)
    data = sb.Leaderboard.from_frame(frame, benchmarks=meta, name="simulated")
    prior = sb.Sloth(n_skills=skills, walk=walk).prior(data, draws=1, seed=seed)
    drawn = prior.data_tree["posterior_predictive"]["score"]
    score = pd.Series(
        drawn.values.ravel(), [drawn["obs_model"].values, drawn["obs_benchmark"].values]
    )
    frame[names] = score.unstack().reindex(index=frame["model"], columns=names).to_numpy()
    return sb.Leaderboard.from_frame(frame, benchmarks=meta, name="simulated")


def measure(
    method: str, table: Path, skills: int, draws: int, walk: str = "none"
) -> dict[str, Any]:
    """Fit one table: seconds, those of compilation, memory.

    ``first_s`` is a fit with nothing compiled, ``again_s`` the same fit in the same process:
    compilation goes on beside other work, so that ``compile_s``, all that was spent on it,
    is not their difference. What takes more than a minute is not fitted again.
    """
    import jax

    compiling: list[float] = []

    def listen(event: str, duration: float, **_: Any) -> None:
        if event.startswith("/jax/core/compile/"):  # tracing, lowering, XLA
            compiling.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    meta = [sb.Benchmark(**b) for b in json.loads(table.with_suffix(".json").read_text())]
    data = sb.Leaderboard.from_csv(table, benchmarks=meta)
    spec = sb.Sloth(n_skills=skills, walk=walk)
    out: dict[str, Any] = {"start_mb": _peak_mb()}

    def fit(draws: int) -> tuple[sb.Posterior, float]:
        begun = time.perf_counter()
        options = SVI if method == "svi" else NUTS
        post = spec.fit(data, seed=0, progress=False, draws=draws, **options)
        return post, time.perf_counter() - begun

    if method == "svi":
        post, out["first_s"] = fit(draws)
        if out["first_s"] < 60:
            _, out["again_s"] = fit(draws)
    else:
        each = draws // CHAINS
        _, out["first_s"] = fit(FEW)
        _, short = fit(FEW)
        post, out["again_s"] = fit(each)
        taken = out["again_s"] - short
        steps = post.data_tree["sample_stats"]["n_steps"].values[:, FEW:]
        out["s_per_iteration"] = taken / (each - FEW)
        out["warmup_s"] = short - FEW * out["s_per_iteration"]  # and variational starts
        # Chains run side by side: the steps of one chain in the time of all.
        out["s_per_1000_leapfrogs"] = 1000 * taken / steps.mean(0).sum()
    out |= {"compile_s": sum(compiling), "peak_mb": _peak_mb()}
    out |= {"scores": post.attrs["n_scores"], "families": len(post.families)}
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in out.items()}


def _peak_mb() -> float:
    """Largest resident memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform != "darwin" else peak / 1024**2


def points(
    only: str | None = None, quick: bool = False, vary: Collection[str] = tuple(CENTRE)
) -> list[dict[str, Any]]:
    """All points, the cheap ones of each factor first; the centre once a method."""
    out: list[dict[str, Any]] = []
    for method, factors in VARIED.items():
        if only not in (None, method):
            continue
        for factor, values in factors.items():
            if factor not in vary:
                continue
            for value in values[:2] if quick else values:
                point = {"method": method, **CENTRE, factor: value}
                if point not in out:
                    out.append(point)
    return out


def predicted(point: dict[str, Any], done: pd.DataFrame) -> float:
    """Seconds that a point may take: the nearest smaller one's, compilation apart, in proportion.

    0 where there is no smaller one on an axis through it.
    """
    nearest = (np.inf, 0.0)
    same = done[(done["method"] == point["method"]) & (done["status"] == "run")]
    for row in same.to_dict("records"):
        growth = float(np.prod([point[k] / row[k] for k in CENTRE]))
        if sum(point[k] != row[k] for k in CENTRE) == 1 and 1 < growth < nearest[0]:
            compiling = row["compile_s"]
            nearest = (growth, compiling + max(0.0, row["process_s"] - compiling) * growth)
    return nearest[1]


def study(
    out: Path,
    only: str | None = None,
    quick: bool = False,
    longest: float = LONGEST,
    vary: Collection[str] = tuple(CENTRE),
    walk: str = "none",
) -> pd.DataFrame:
    """Measure the points that ``out/cost.csv`` does not hold yet; a folder is of one law."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "cost.csv"
    environment = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "0"}
    with tempfile.TemporaryDirectory() as tables:
        for point in points(only, quick, vary):
            done = kept(path)
            done = pd.DataFrame(columns=["method", "status"]) if done is None else done
            if "predicted_s" in done:  # not run, for want of time
                done = done[~(done["predicted_s"] <= longest)]
            if len(done) and (done[list(point)] == pd.Series(point)).all(axis=1).any():
                continue
            row: dict[str, Any] = {**point, "status": "run"}
            guess = predicted(point, done) if point["method"] == "nuts" else 0.0
            if guess > longest:
                row |= {"status": "not run", "predicted_s": round(guess)}
            else:
                row |= _in_processes(point | {"walk": walk}, environment, Path(tables))
            done = pd.concat([done, pd.DataFrame([row])], ignore_index=True)
            keep(path, done)
            print({k: v for k, v in row.items() if v == v}, file=sys.stderr, flush=True)
    return kept(path)


def _in_processes(
    point: dict[str, Any], environment: dict[str, str], tables: Path
) -> dict[str, Any]:
    """Draw the table in one process, if no other point has, and fit it in another."""
    table = tables / "{models}-{benchmarks}-{skills}.csv".format(**point)
    begun = time.perf_counter()
    for stage in ("simulate", "measure"):
        if stage == "simulate" and table.exists():
            continue
        given = json.dumps({**point, "stage": stage})
        command = [sys.executable, "-m", "studies.scale", "--out", str(table), "--point", given]
        left = GIVE_UP - (time.perf_counter() - begun)
        try:
            ended = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=left
            )
        except subprocess.TimeoutExpired:
            return {"status": f"stopped after {GIVE_UP:.0f} s"}
        if ended.returncode:
            last = (ended.stderr.strip().splitlines() or [f"signal {-ended.returncode}"])[-1]
            return {"status": f"failed: {last[:200]}"}
    found: dict[str, Any] = json.loads(ended.stdout.strip().splitlines()[-1])
    return found | {"process_s": round(time.perf_counter() - begun, 1)}


def _point(table: Path, point: dict[str, Any]) -> None:
    """What a process of one point does."""
    if point["stage"] == "simulate":
        data = simulate(point["models"], point["benchmarks"], point["skills"], point["walk"])
        data.frame.to_csv(table, index=False)
        meta = [
            {"name": b.name, "chance": b.chance, "n_questions": b.n_questions}
            for b in data.benchmarks
        ]
        table.with_suffix(".json").write_text(json.dumps(meta))
    else:
        found = measure(point["method"], table, point["skills"], point["draws"], point["walk"])
        print(json.dumps(found))


def plot(cost: pd.DataFrame, path: Path) -> None:
    """Small multiples: time and memory against each factor, both axes logarithmic."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    from sloth_bayes.plots import COLOURS, STYLE

    lines = {
        "svi": (COLOURS[0], "o", ("again_s", "SVI fit, compiled"), ("first_s", "SVI fit, first")),
        "nuts": (
            COLOURS[1], "s", ("s_per_1000_leapfrogs", "NUTS, 1,000 leapfrog steps"),
            ("warmup_s", "NUTS, starts and warm-up"),
        ),
    }  # fmt: skip
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            2, len(CENTRE), figsize=(11, 5.6), sharey="row", sharex="col", layout="constrained"
        )
        for factor, (above, below) in zip(CENTRE, axes.T):
            others = [k for k in CENTRE if k != factor]
            here = cost[(cost[others] == pd.Series(CENTRE)[others]).all(axis=1)]
            ticks = sorted(set(here[factor].astype(int)))
            for method, (colour, marker, solid, dotted) in lines.items():
                rows = here[here["method"] == method].sort_values(factor)
                if rows.empty:  # a study of one method, or one cut off
                    continue
                style = {"color": colour, "marker": marker, "ms": 5, "lw": 1.6}
                above.plot(rows[factor], rows[solid[0]], label=solid[1], **style)
                style_of_dotted = style | {"ls": ":", "lw": 1.2, "ms": 3.5}
                above.plot(rows[factor], rows[dotted[0]], label=dotted[1], **style_of_dotted)
                below.plot(rows[factor], rows["peak_mb"], label=method.upper(), **style)
                for value in rows.loc[rows["status"] != "run", factor]:
                    for ax in (above, below):
                        ax.axvline(value, color=colour, lw=1, ls=(0, (1, 3)))
                    above.annotate(
                        f"{method.upper()}\nnot run", (value, 0.02), xytext=(-3, 0),
                        xycoords=("data", "axes fraction"), textcoords="offset points",
                        ha="right", va="bottom", fontsize=7, color=colour,
                    )  # fmt: skip
            below.set_xlabel(factor)
            for ax in (above, below):
                ax.set(xscale="log", yscale="log")
                ax.set_xticks(ticks, [f"{t:,}" for t in ticks])
                ax.xaxis.set_minor_formatter(NullFormatter())
                ax.tick_params(axis="x", which="minor", length=0)
                ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if ax is below else (1,)))
                ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,g}"))
                ax.yaxis.set_minor_formatter(NullFormatter())
        axes[0, 0].set_ylabel("seconds")
        axes[1, 0].set_ylabel("peak memory (MB)")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
        figure.savefig(path, dpi=130)
        plt.close(figure)


def main() -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(prog="python -m studies.scale", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of cost.csv and cost.png")
    parser.add_argument("--only", choices=list(VARIED), help="one method")
    parser.add_argument("--vary", nargs="+", choices=list(CENTRE), default=list(CENTRE))
    parser.add_argument("--walk", default="none", choices=["none", "compute"])
    parser.add_argument("--quick", action="store_true", help="the two smallest of each factor")
    parser.add_argument(
        "--longest", type=float, default=LONGEST, metavar="SECONDS",
        help=f"that a NUTS point may take ({LONGEST:.0f})",
    )  # fmt: skip
    parser.add_argument("--point", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.point:
        _point(given.out, given.point)
        return
    cost = study(given.out, given.only, given.quick, given.longest, given.vary, given.walk)
    plot(cost, given.out / "cost.png")
    print(cost.to_string(index=False))


if __name__ == "__main__":
    main()
