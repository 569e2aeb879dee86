"""Where the time of a fit goes: compiling, starts, warm-up, draws, and what is derived from them.

    python -m tests.benchmarks.stages [--posterior open] [--warmup 200] [--draws 200] [--rounds 1]
                                       [--keep FILE.nc]

A recipe that ships, by NUTS, in this process. Compiling goes on beside
the starts, so that stages overlap: of each the wall seconds between its begin and end are shown,
of compilation those of each program. Short runs show what does not depend on draws; ``a draw`` is
an iteration of all four chains. With ``--rounds 2`` a second fit follows, with all compiled.
Empty the cache folder, or set ``JAX_ENABLE_COMPILATION_CACHE=0``, for the first to be cold.
"""

from __future__ import annotations

import argparse
import collections
import functools
import json
import os
import resource
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def profile(
    name: str, warmup: int, draws: int, rounds: int, keep: Path | None = None
) -> list[dict[str, Any]]:
    """Rows of seconds, and of the process's peak memory in megabytes; a row a fit."""
    begun = time.perf_counter()
    from sloth_bayes.infer import compiled, fit, nuts, recipes, variational

    warnings.simplefilter("ignore")
    recipe = recipes.load(name)
    recipe.data()
    seconds: dict[str, float] = collections.defaultdict(float)
    seconds["imports, table"] = time.perf_counter() - begun
    marks: list[float] = []
    lock = threading.Lock()

    def timed(of: Callable[..., Any], label: str) -> Callable[..., Any]:
        @functools.wraps(of)
        def run(*args: Any, **options: Any) -> Any:
            begun = time.perf_counter()
            try:
                return of(*args, **options)
            finally:
                seconds[label] += time.perf_counter() - begun

        return run

    def ready(self: Any, program: str, *args: Any, place: Any = None) -> Any:
        known = len(self.compiled)
        begun = time.perf_counter()
        found = of_ready(self, program, *args, place=place)
        if len(self.compiled) > known:
            seconds[f"compile {program}"] += time.perf_counter() - begun
        return found

    @contextmanager
    def watched(total: int, label: str, progress: bool | None) -> Iterator[Callable[[int], None]]:
        done = 0

        def advance(amount: int) -> None:
            nonlocal done
            with lock:
                done += amount
                if done >= total - 4 * (settle + draws) and not marks:
                    marks.append(time.perf_counter())

        yield advance
        marks.append(time.perf_counter())

    def over(self: Any, program: str, *args: Any) -> Any:
        if program != "values":
            return of_over(self, program, *args)
        return timed(of_over, "quantities")(self, program, *args)

    *_, settle = nuts.schedule(warmup)
    of_ready, compiled.Functions.ready = compiled.Functions.ready, ready
    of_over, compiled.Functions.over = compiled.Functions.over, over
    nuts.progress_bar = watched
    nuts.sample = timed(nuts.sample, "NUTS")
    variational.starts = timed(variational.starts, "starts")
    fit.build = timed(fit.build, "names")
    rows = []
    for number in range(rounds):
        marks.clear()
        begun, cpu = time.perf_counter(), time.process_time()
        post = recipe.run(progress=False, warmup=warmup, draws=draws, seed=number)
        seconds["fit"] = time.perf_counter() - begun
        seconds["fit, processor"] = time.process_time() - cpu
        late = marks[1] - marks[0]
        seconds["rounds of warm-up"] = seconds.pop("NUTS") - late
        seconds["settling and draws"] = late
        seconds["a draw of each chain"] = late / (settle + draws)
        seconds["MB of the fit"] = peak()
        with tempfile.TemporaryDirectory() as folder:
            said = timed(post.diagnostics, "verdict")().messages[0]
            seconds["MB with verdict"] = peak()
            timed(post.save, "file")(keep or Path(folder) / "post.nc")
        timed(getattr, "derived groups")(post, "data_tree")
        seconds["MB with derived groups"] = peak()
        rows.append({k: round(v, 2) for k, v in seconds.items()})
        print(json.dumps(rows[-1]), said, sep="\n", flush=True)
        seconds.clear()
    return rows


def peak() -> float:
    """Megabytes that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    from studies.seeds import calibration

    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.stages", description=__doc__)
    parser.add_argument("--posterior", default="open", help="a recipe that ships (open)")
    parser.add_argument("--warmup", type=int, default=200)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="file that the last fit is saved in")
    given = parser.parse_args()
    profile(given.posterior, given.warmup, given.draws, given.rounds, given.keep)
    print(json.dumps({"load": os.getloadavg()[0], **calibration()}))


if __name__ == "__main__":
    main()
