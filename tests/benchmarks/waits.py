"""How long a person waits for an answer: whole processes, and conditioning, cold and warm.

    python -m tests.benchmarks.waits [--rounds 3] [--out FILE.json]

Cold is a process with an empty cache folder, imports included; warm is one that finds there what
an earlier process has compiled, or the same process again, with another family. Each is run in
turn, several times; of each the least of its wall seconds and of its processor seconds count.
Ratios are to importing pandas and xarray, which every reader of a posterior must: they change less
from machine to machine than seconds do. Beside them stand the calibrations of
:mod:`studies.seeds`, and the load of the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

FLOOR = "import pandas and xarray"
OBSERVED = {
    "results": {"arc_challenge": {"acc,none": 0.35, "acc_norm,none": 0.38}},
    "n-shot": {"arc_challenge": 25},
    "config": {"model_args": "pretrained=lab/mine-1b"},
}
_CONDITION = """
import json, sys, time, warnings
import pandas as pd, sloth_bayes as sb
warnings.simplefilter("ignore")
post, seconds = sb.load(sys.argv[1]), {}
for name in ("first", "again"):
    mine = pd.DataFrame({"model": [name], "family": name, "params_b": 1.4, "tokens_t": 0.3,
                         "MMLU": 0.33, "HellaSwag": 0.55})
    begun = time.perf_counter(), time.process_time()
    post.condition(mine)
    ended = time.perf_counter(), time.process_time()
    seconds[name] = [b - a for a, b in zip(begun, ended)]
print(json.dumps(seconds))
"""


class Wait(NamedTuple):
    """A process, and what it says of its parts."""

    what: str
    command: list[str]
    aim: float | None = None  # seconds on two idle cores
    cold: bool = False  # with an empty cache folder
    again: str = ""  # what its second part is called
    aim_again: float | None = None


def waits(folder: Path) -> list[Wait]:
    """What is measured."""
    results = folder / "results.json"
    results.write_text(json.dumps(OBSERVED))
    python, cli = [sys.executable, "-c"], [sys.executable, "-m", "sloth_bayes", "forecast"]
    who = ["--family", "qwen3", "--params", "100", "--tokens", "40", "--benchmarks", "MMLU"]
    seen = ["--observed", str(results), "--params", "1.4", "--tokens", "0.3"]
    seen += ["--target-params", "12", "--target-tokens", "0.3"]
    found = [
        Wait(FLOOR, [*python, "import pandas, xarray"]),
        Wait("import sloth_bayes", [*python, "import sloth_bayes"], 0.15),
        Wait("sloth-bayes forecast", [*cli, *who], 1.0),
    ]
    for cold, word in ((True, "cold"), (False, "warm")):
        what = f"sloth-bayes forecast --observed, {word}"
        found.append(Wait(what, [*cli, *seen], 4.0, cold))
    for name in ("open", "leaderboard"):
        for cold, word in ((True, "cold"), (False, "warm")):
            what = f"condition {name}, {word}, JAX's import included"
            again = f"condition {name}, again" if not cold else ""
            command = [*python, _CONDITION, name]
            found.append(Wait(what, command, 2.0 if cold else None, cold, again, 0.5))
    return found


def measure(wait: Wait, folder: Path) -> dict[str, list[float]]:
    """Wall and processor seconds of a process, or of the parts that it tells of."""
    with tempfile.TemporaryDirectory() as empty:
        cache = empty if wait.cold else str(folder / "cache")
        environment = os.environ | {"XDG_CACHE_HOME": cache}
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        ended = subprocess.run(wait.command, env=environment, capture_output=True, text=True)
        wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode not in (0, 1):
        raise SystemExit(f"{wait.what}: {ended.stderr.strip()[-300:]}")
    if wait.command[-2] == _CONDITION:
        parts = json.loads(ended.stdout)
        found = {wait.what: parts["first"]}
        return found | ({wait.again: parts["again"]} if wait.again else {})
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {wait.what: [wall, cpu]}


def study(rounds: int) -> list[dict[str, Any]]:
    """Rows of all waits."""
    least: dict[str, list[float]] = {}
    aims: dict[str, float | None] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        every = waits(folder)
        for wait in every:
            aims |= {wait.what: wait.aim} | ({wait.again: wait.aim_again} if wait.again else {})
            if not wait.cold:
                measure(wait, folder)  # which fills the cache folder
        for _ in range(rounds):
            for wait in every:
                for what, seconds in measure(wait, folder).items():
                    known = least.get(what, seconds)
                    least[what] = [min(pair) for pair in zip(known, seconds)]
    floor = least[FLOOR]
    return [
        {"what": what, "wall_s": round(wall, 3), "cpu_s": round(cpu, 3), "aim_s": aims[what],
         "ratio": round(wall / floor[0], 2), "cpu_ratio": round(cpu / floor[1], 2)}
        for what, (wall, cpu) in least.items()
    ]  # fmt: skip


def main() -> None:
    """Measure and print."""
    from studies.seeds import calibration

    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.waits", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="times that each is run (3)")
    parser.add_argument("--out", type=Path, help="JSON file that the rows also go to")
    given = parser.parse_args()
    rows = study(given.rounds)
    print(f"{'':58}  wall s   cpu s   aim s  ratio of wall and of processor seconds")
    for row in rows:
        aim = "" if row["aim_s"] is None else f"{row['aim_s']:.2f}"
        print(
            f"{row['what']:58}{row['wall_s']:8.2f}{row['cpu_s']:8.2f}{aim:>8}"
            f"{row['ratio']:7.1f}{row['cpu_ratio']:7.1f}"
        )
    machine = {"cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0], **calibration()}
    print(json.dumps(machine))
    if given.out is not None:
        given.out.write_text(json.dumps({"rows": rows, "machine": machine}, indent=1) + "\n")


if __name__ == "__main__":
    main()
