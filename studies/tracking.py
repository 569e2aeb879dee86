"""Training runs forecast from their checkpoints and finished siblings, as a command.

    python -m studies.tracking --out DIR [--until 0.05 0.1 0.25 0.5] [--curves FILE]
    python -m studies.tracking --choose

Final scores of Pythia 6.9B and 12B from their checkpoints up to a fraction of the schedule and
the six smaller sizes in full. Rivals extrapolate each curve alone (from the same checkpoints):
*last* carries the last score forward; *log tokens* is a straight line in the log of tokens by
least squares; *power law* is ``c - a t^-b`` by least squares. A fourth, which knows the siblings
as well, adds the largest sibling's gain since the same fraction (*sibling's gain*).

``--choose`` compares settings of the law on the finals of 1.4B and 2.8B, forecast from the four
smaller sizes: the rule that the default follows reads no final of 6.9B or 12B.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

import sloth_bayes as sb
from sloth_bayes.evaluate import scores
from sloth_bayes.runs.tracking import CURVES

TARGETS = ("pythia-6.9b", "pythia-12b")
CHOOSE = ("pythia-1.4b", "pythia-2.8b")
VARIANTS = {
    "default": {},
    "two skills": {"n_skills": 2},
    "shared slopes": {"slopes": "shared"},
    "no drift": {"residual": "family"},
    "no offset": {"inputs": "translog"},
    "normal noise": {"df": float("inf")},
}
RIVALS = ("last", "log tokens", "power law", "sibling's gain")
SINCE = 0.005  # of the schedule: what the rivals fit, one checkpoint more than ours


def known(curves: pd.DataFrame, targets: tuple[str, ...]) -> pd.DataFrame:
    """The targets and the runs smaller than all of them."""
    size = curves.groupby("run")["params_b"].first()
    keep = [*size.index[size < size[list(targets)].min()], *targets]
    return curves[curves["run"].isin(keep)]


def rivals(curves: pd.DataFrame, run: str, until: float, name: str) -> dict[str, float]:
    """The rivals' forecasts of a run's final score."""

    def curve(run: str, upto: float) -> tuple[np.ndarray, np.ndarray]:
        rows = curves[curves["run"] == run].sort_values("tokens_t")
        seen = (rows["tokens_t"] / rows["final_tokens_t"]).to_numpy()
        keep = (seen >= SINCE) & (seen <= upto * 1.001)
        return seen[keep], rows[name].to_numpy()[keep]

    x, y = curve(run, until)
    end = np.polyfit(np.log(x), y, 1)[1] if x.size > 1 else y[-1]

    def misfit(p: np.ndarray) -> np.ndarray:
        return p[0] - np.exp(p[1]) * x ** -np.exp(p[2]) - y

    starts = [[y[-1] + 0.1, np.log(0.1), np.log(b)] for b in (0.1, 0.5, 1.0)]
    best = min((least_squares(misfit, s) for s in starts), key=lambda r: r.cost).x
    size = curves.groupby("run")["params_b"].first()
    sibling = size[size < size[list(TARGETS)].min()].idxmax()
    gain = curve(sibling, 1.0)[1][-1] - curve(sibling, until)[1][-1]
    found = (y[-1], end, best[0] - np.exp(best[1]), y[-1] + gain)
    return dict(zip(RIVALS, np.clip(found, 0, 1)))


def summary(frame: pd.DataFrame) -> dict[str, float]:
    """Mean absolute errors in points, coverage and width of the intervals."""
    truth = frame["truth"]
    methods = ["median", *[r for r in RIVALS if r in frame]]
    out = {("ours" if m == "median" else m): 100 * (frame[m] - truth).abs().mean() for m in methods}
    out["coverage"] = ((frame["lower"] <= truth) & (truth <= frame["upper"])).mean()
    out["width"] = 100 * (frame["upper"] - frame["lower"]).mean()
    return out


def choose(curves: pd.DataFrame, names: list[str]) -> None:
    """Settings of the law by their score on the smaller sizes' finals."""
    for name in names:
        begin = time.perf_counter()
        found = sb.track(
            known(curves, CHOOSE), CHOOSE, 0.1, spec=CURVES.replace(**VARIANTS[name]),
            chains=2, warmup=400, draws=400, progress=False,
        )  # fmt: skip
        frame = found.frame
        draws = found.draws["score"].stack(s=("chain", "draw")).transpose("s", ...).values
        crps = scores.crps(draws.reshape(len(draws), -1), frame["truth"].to_numpy())
        values = summary(frame) | {
            "crps": 100 * crps.mean(),
            "but wsc": 100 * crps[frame["benchmark"] != "wsc"].mean(),
            "seconds": time.perf_counter() - begin,
            "r_hat": found.diagnostics().table["r_hat"].max(),
        }
        print(name, {k: round(float(v), 2) for k, v in values.items()}, flush=True)


def study(curves: pd.DataFrame, fractions: list[float], out: Path, options: dict) -> None:
    """Write ``forecasts.csv`` and ``summary.csv``, and a figure a fraction."""
    out.mkdir(parents=True, exist_ok=True)
    frames, rows = [], []
    for until in fractions:
        begin = time.perf_counter()
        found = sb.track(known(curves, TARGETS), TARGETS, until, **options)
        frame = found.frame
        each = [rivals(curves, r, until, b) for r, b in zip(frame["run"], frame["benchmark"])]
        rest = pd.DataFrame(each).drop(columns="last")  # the frame has it already
        frame = pd.concat([frame.assign(until=until), rest], axis=1)
        frames.append(frame)
        verdict = found.diagnostics()
        rows.append(
            {"until": until, **summary(frame), "converged": verdict.ok,
             "seconds": time.perf_counter() - begin}
        )  # fmt: skip
        calm = frame[frame["benchmark"] != "wsc"]
        rows.append({"until": until, **summary(calm), "without": "wsc"})
        print(pd.DataFrame(rows[-2:]).round(2).to_string(index=False), flush=True)
        print(verdict, flush=True)
        found.plot().flat[0].figure.savefig(out / f"until-{until:g}.png", dpi=130)
        pd.concat(frames).to_csv(out / "forecasts.csv", index=False, float_format="%.5f")
        pd.DataFrame(rows).to_csv(out / "summary.csv", index=False, float_format="%.3f")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m studies.tracking", description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--until", type=float, nargs="+", default=[0.05, 0.1, 0.25, 0.5])
    parser.add_argument("--curves", type=Path, help="another file of curves like the one shipped")
    parser.add_argument("--choose", nargs="*", choices=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    curves = sb.load_curves() if given.curves is None else pd.read_csv(given.curves)
    if given.choose is not None:
        choose(curves, given.choose or list(VARIANTS))
    elif given.out is None:
        parser.error("give --out DIR, or --choose")
    else:
        import matplotlib

        matplotlib.use("Agg")
        study(curves, given.until, given.out, {"seed": given.seed, "progress": False})


if __name__ == "__main__":
    main()
