"""Does the default fit converge on every seed, and how long does it take?

    python -m studies.seeds --seeds 10 --out seeds.csv [--keep FOLDER] [--method svi]

Each seed is a fit of the default specification to the whole table that ships, in a fresh process
with an empty compilation cache. The file keeps one row a seed, so that a study goes on
where it was cut off: wall time of the fit (compilation, starts, warm-up and sampling), its
diagnostics (of SVI the ELBO and k-hat), the peak memory, and two calibrations made in the same
process, with which times can be compared between machines: a product of two float64 matrices of
2,000 rows, and a JAX scan of 100,000 steps over 1,000 numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from . import resumed


class Asked(NamedTuple):
    """What one row is of."""

    method: str
    seed: int


def calibration() -> dict[str, float]:
    """Seconds of a fixed matrix product, and of a fixed scan, each the best of three."""
    import jax
    import jax.numpy as jnp

    a = np.random.default_rng(0).normal(size=(2000, 2000))
    x = jnp.linspace(0.0, 1.0, 1000)
    scan = jax.jit(
        lambda x: jax.lax.scan(lambda c, _: (jnp.sin(c) + 0.1, None), x, None, length=100_000)[0]
    )
    scan(x).block_until_ready()

    def best(work: Any) -> float:
        times = []
        for _ in range(3):
            begun = time.perf_counter()
            work()
            times.append(time.perf_counter() - begun)
        return min(times)

    return {
        "matmul_seconds": round(best(lambda: a @ a), 3),
        "scan_seconds": round(best(lambda: scan(x).block_until_ready()), 3),
    }


def one(seed: int, method: str, keep: Path | None) -> dict[str, Any]:
    """Fit with one seed, in this process."""
    import sloth_bayes as sb

    warnings.simplefilter("ignore")
    data = sb.load_dataset("open_llm_leaderboard")
    begun = time.perf_counter()
    post = sb.Sloth().fit(data, method=method, seed=seed, progress=False)
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = post.diagnostics()
    stats, table = post.data_tree["sample_stats"].to_dataset(), found.table
    row: dict[str, Any] = {
        "method": method,
        "seed": seed,
        "ok": found.ok,
        "seconds": round(seconds, 1),
        "peak_mb": round(peak),
        "quantities": len(table),
    }
    if method == "nuts":
        row |= {
            "r_hat_99": round(table["r_hat"].quantile(0.99), 4),
            "r_hat_max": round(table["r_hat"].max(), 4),
            "ess_bulk_min": round(table["ess_bulk"].min()),
            "ess_tail_min": round(table["ess_tail"].min()),
            "divergences": int(stats["diverging"].sum()),
            "steps_per_iteration": round(float(stats["n_steps"].mean()), 1),
            "worst": table["quantity"].iloc[0],
        }
    else:
        from arviz_stats.base import array_stats

        elbo, log_weight = stats["elbo"].values, stats["log_weight"].values.ravel()
        row |= {
            "elbo": round(float(elbo[-max(1, len(elbo) // 10) :].mean()), 1),
            "best_start": round(max(post.attrs["starts_elbo"]), 1),
            "k_hat": round(float(array_stats.psislw(-log_weight.astype(float))[1]), 2),
        }
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        post.save(keep / f"{method}-{seed}.nc")
    return row | calibration()


def study(seeds: int, out: Path, method: str, keep: Path | None, first: int = 0) -> pd.DataFrame:
    """Fit the seeds that `out` does not hold yet, each in a process of its own."""
    environment = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "0"}

    def fitted(asked: Asked) -> dict[str, Any]:
        command = [sys.executable, "-m", "studies.seeds", "--one", str(asked.seed)]
        command += ["--method", method, *(["--keep", str(keep)] if keep else [])]
        printed = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stdout
        return json.loads(printed.splitlines()[-1])

    asked = [Asked(method, seed) for seed in range(first, first + seeds)]
    return resumed.rows(asked, fitted, out, str, ("method", "seed"))


def main() -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(prog="python -m studies.seeds", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="number of seeds (10)")
    parser.add_argument("--first", type=int, default=0, help="first seed (0)")
    parser.add_argument("--method", choices=["nuts", "svi"], default="nuts")
    parser.add_argument("--out", type=Path, help="CSV file that results go to")
    parser.add_argument("--keep", type=Path, help="folder to save the posteriors in")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(one(given.one, given.method, given.keep), default=str))
        return
    if given.out is None:
        parser.error("--out FILE is needed: the CSV file that results go to")
    table = study(given.seeds, given.out, given.method, given.keep, given.first)
    print(table.to_string(index=False))
    print(f"{table['ok'].sum()} of {len(table)} converged")


if __name__ == "__main__":
    main()
