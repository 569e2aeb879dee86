"""Do intervals hold at any distance, on any benchmark, and of averages? As a command.

    python -m studies.distances DIR [DIR ...] --out FILE.csv

Each folder holds an evaluation (``sloth-bayes evaluate --out DIR``) of the same folds. One row
each evaluation, kind of forecast (scores, or averages over a model's benchmarks) and part: all;
doublings of compute to the nearest model of the family that was shown, in bins; a benchmark; a
setting. Errors, CRPS and widths are means over forecasts, in points (``sloth-bayes evaluate``
averages within folds first); ``low`` and ``high`` are the ends of the 95% family-bootstrap
interval of the coverage of 90% intervals. ``less_*`` is the first evaluation less this one, on
the same forecasts, and ``se_*`` its standard error over families. ``trend`` is the change of the
coverage a doubling, by least squares, and ``trend_se`` its standard error over families.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import pandas as pd

import sloth_bayes as sb
from sloth_bayes.evaluate import scores
from sloth_bayes.evaluate.evaluation import KEY, bins, clusters

SAME = [*KEY, "model", "benchmark"]
NEAR = 2  # doublings, where intervals should cost next to nothing
TOLD = {"error": 100, "crps": 100, "covered_90": 1, "width_90": 100}


def parts(frame: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """By what, which, and the rows there."""
    yield "all", "all", frame
    yield "near", "under 2 doublings", frame[frame["doublings"] < NEAR]
    setting = frame["setting"] + ", " + frame["n_observed"].astype(str)
    by = {"doublings": bins(frame["doublings"]), "setting": setting}
    if frame["benchmark"].nunique() > 1:
        by["benchmark"] = frame["benchmark"]
    for what, names in by.items():
        for name, rows in frame.groupby(names, observed=True, sort=what != "setting"):
            yield what, str(name), rows


def trend(
    rows: pd.DataFrame, group: np.ndarray, replicates: int = 4000, seed: int = 0
) -> tuple[float, float]:
    """Change of the coverage of 90% intervals a doubling, and its standard error over families."""
    x, y = rows["doublings"].to_numpy(float), rows["covered_90"].to_numpy(float)
    there = np.isfinite(x)
    each, place = np.unique(group[there], return_inverse=True)
    x, y = x[there] - x[there].mean(), y[there]
    sums = np.stack([np.bincount(place, v) for v in (np.ones_like(x), x, y, x * x, x * y)])
    draw = np.random.default_rng(seed).integers(0, len(each), (replicates, len(each)))

    def slope(of: np.ndarray) -> np.ndarray:
        n, sx, sy, sxx, sxy = of
        return np.asarray((n * sxy - sx * sy) / (n * sxx - sx * sx))

    with np.errstate(invalid="ignore", divide="ignore"):
        return float(slope(sums.sum(1))), float(np.nanstd(slope(sums[:, draw].sum(2)), ddof=1))


def table(first: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """One row a part of an evaluation, with its difference to the first."""
    frame = frame.sort_values(SAME, ignore_index=True)
    first = first.sort_values(SAME, ignore_index=True)
    if not frame[SAME].equals(first[SAME]):
        raise SystemExit("the evaluations do not forecast the same scores: run the same folds")
    families = pd.Series(clusters(frame), frame.index)
    out = []
    for what, name, rows in parts(frame):
        group = families[rows.index].to_numpy()
        row: dict[str, object] = {"by": what, "part": name, "n": len(rows)}
        for column, unit in TOLD.items():
            values = unit * rows[column].to_numpy(float)
            less = unit * first.loc[rows.index, column].to_numpy(float) - values
            row |= {column: values.mean(), f"less_{column}": less.mean()}
            row[f"se_{column}"] = scores.bootstrap_interval(less, group)[0]
        _, row["low"], row["high"] = scores.bootstrap_interval(
            rows["covered_90"].to_numpy(float), group
        )
        row["families"] = len(np.unique(group))
        if what == "all":
            row["trend"], row["trend_se"] = trend(rows, group)
        out.append(row)
    return pd.DataFrame(out)


def figure(rows: pd.DataFrame, labels: dict[str, str], path: str) -> None:
    """Coverage and width by distance, of scores and of averages; bars are bootstrap intervals."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from sloth_bayes.plots.style import COLOURS

    figure, axes = plt.subplots(2, 2, figsize=(7.6, 4.8), sharex=True, layout="constrained")
    near = rows[rows["by"] == "doublings"]
    for (of, name), part in near.groupby(["forecast", "evaluation"], sort=False):
        k, column = list(labels).index(name), int(of == "averages")
        at = np.arange(len(part)) + 0.12 * (k - (len(labels) - 1) / 2)
        y = 100 * part[["covered_90", "low", "high"]].to_numpy()
        bars = np.abs(y[:, 1:] - y[:, :1]).T
        top, below = axes[:, column]
        top.errorbar(at, y[:, 0], bars, fmt="o", ms=5, color=COLOURS[k], label=labels[name])
        below.plot(at, part["width_90"], "o-", ms=5, color=COLOURS[k])
        below.set_xticks(range(len(part)), part["part"])
        top.set_title(f"{of} (n = {part['n'].sum():,})", loc="left")
    for axis in axes[1]:
        axis.set_ylim(0, 1.08 * axis.get_ylim()[1])
    for axis in axes[0]:
        axis.axhline(90, color="#888888", ls=":", lw=1, zorder=0)
        axis.set_ylim(50, 102)
    axes[0, 0].set_ylabel("inside 90% intervals (%)")
    axes[1, 0].set_ylabel("width (points)")
    figure.supxlabel("doublings of compute to the nearest model shown", fontsize="medium")
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Compare the evaluations of the command line."""
    parser = argparse.ArgumentParser(prog="python -m studies.distances", description=__doc__)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--out", required=True, help="a CSV file")
    parser.add_argument("--plot", help="a PNG file")
    given = parser.parse_args()
    found = [sb.load_evaluation(name if "/" in name else f"./{name}") for name in given.folders]
    out = []
    for name, one in zip(given.folders, found):
        bad = one.not_converged()
        print(f"{name}: {one.about['label']}, {len(bad)} folds not converged {' '.join(bad)}")
        for kind, own, first in (
            ("scores", one.frame, found[0].frame), ("averages", one.means, found[0].means),
        ):  # fmt: skip
            out.append(table(first, own).assign(evaluation=name, forecast=kind))
    rows = pd.concat(out, ignore_index=True)
    rows.insert(0, "forecast", rows.pop("forecast"))
    rows.insert(0, "evaluation", rows.pop("evaluation"))
    rows.round(5).to_csv(given.out, index=False)
    if given.plot:
        labels = {name: one.about["label"] for name, one in zip(given.folders, found)}
        figure(rows, labels, given.plot)
    shown = [c for c in rows if not c.startswith("less_crps") and c != "families"]
    with pd.option_context("display.width", 250, "display.max_columns", None):
        print(rows[shown].round(3).to_string(index=False))


if __name__ == "__main__":
    main()
