"""Does the wheel work alone: a forecast from what ships, and a tiny fit.

    python -m build
    for python in python3.11 python3.12 python3.13; do
        $python -m venv /tmp/$python && /tmp/$python/bin/pip install dist/*.whl
        /tmp/$python/bin/python -I tools/wheel_alone.py
    done

Prints where it was imported from and all versions; exits with an error if that is not the
installed package, or if either fails. CI runs it on 3.11; the newest of everything, with a newer
Python, is what its tests have.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

import sloth_bayes as sb

HERE = Path(sb.__file__).resolve()
ROOT = Path(__file__).resolve().parents[1]
FORECAST = "forecast --family meta-llama-3 --params 405 --tokens 15"


def main() -> None:
    """Forecast and fit."""
    if HERE.is_relative_to(ROOT):
        sys.exit(f"{HERE} is the checkout: install the wheel and run this with python -I")
    subprocess.run([sys.executable, "-I", "-m", "sloth_bayes", *FORECAST.split()], check=True)
    data = sb.load_dataset("open_llm_leaderboard").select(benchmarks=["MMLU", "HellaSwag"])
    spec = sb.Sloth(n_skills=1, link="logistic")
    post = spec.fit(data, method="svi", steps=300, starts=1, draws=25, progress=False)
    fc = post.forecast(sb.candidates("qwen2", 60, 7), benchmarks="MMLU")
    row = fc.frame.iloc[0]
    if not 0.2 < row["lower"] < row["median"] < row["upper"] <= 1 or not np.isfinite(row["sd"]):
        sys.exit(f"a forecast that cannot be: {row.to_dict()}")
    if post.data_tree["log_likelihood"]["score"].sizes["chain"] != 1:
        sys.exit("the tree of the fit is not in ArviZ's schema")
    print(f"\nfrom {HERE.parent}\n")
    sb.show_versions()


if __name__ == "__main__":
    main()
