"""How far variational forecasts are from those of NUTS, with and without moves, on the whole table.

    python -m studies.guides --out guides.csv [--moves 0 10 20] [--seeds 3]

Each fit, of 1,000 draws, is in a process of its own. Its forecasts of models twice as large as
the largest of each family are set beside those of the posterior that ships
(:func:`sloth_bayes.recipes.apart`). The file keeps one row a fit; a study that was cut
off goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

import sloth_bayes as sb
from sloth_bayes.publish.card import apart

from . import resumed


class Asked(NamedTuple):
    """What one row is of."""

    moves: int
    seed: int


def one(moves: int, seed: int) -> dict[str, Any]:
    """Fit and compare."""
    warnings.simplefilter("ignore")
    exact, data = sb.load("leaderboard"), sb.load_dataset("open_llm_leaderboard")
    begun = time.perf_counter()
    post = sb.Sloth().fit(
        data, method="svi", chains=1, draws=1000, moves=moves, seed=seed, progress=False
    )
    seconds = time.perf_counter() - begun
    found = apart(exact, post).iloc[-1]
    row = {k: round(float(found[k]), 3) for k in ("mean", "most", "width", "outside")}
    return {"moves": moves, "seed": seed, "seconds": round(seconds, 1)} | row


def study(out: Path, moves: list[int], seeds: int) -> pd.DataFrame:
    """All fits that the file does not hold yet."""

    def fitted(asked: Asked) -> dict[str, Any]:
        command = [sys.executable, "-m", "studies.guides", "--out", str(out)]
        command += ["--one", json.dumps(asked)]
        ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(ended.stdout.strip().splitlines()[-1])

    asked = [Asked(number, seed) for seed in range(seeds) for number in moves]
    return resumed.rows(asked, fitted, out, str, ("moves", "seed"))


def main() -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(prog="python -m studies.guides", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="CSV, a row a fit")
    parser.add_argument("--moves", type=int, nargs="+", default=[0, 10, 20])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(*given.one)))
        return
    print(study(given.out, given.moves, given.seeds).to_string(index=False))


if __name__ == "__main__":
    main()
