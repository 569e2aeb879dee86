"""How much data is enough? As a command.

    python -m studies.learning --out DIR [--plot FILE.png]

The Open LLM Leaderboard, its lineages left out in five groups. Each group is forecast by fits of 8,
16, 32 and all families of the others (nested, in random order: the first that gives every benchmark
five scores of 8 families). What is forecast is the largest model of every family of the group that
has two sizes, one family at a time: the fit is conditioned on the 0 to 4 smallest models of the
family, and on one, three, six or all benchmarks of its smallest. Nothing is tuned here, no
published fold is read, and no other model of the lineage is shown.

Fits are by NUTS, 8 chains of 250 draws after 200 (:mod:`studies.fits`), and made again, twice as
long, up to twice, where R-hat of the scores that they saw is above 1.05 (added after the run that
is published, in which six of 20 fits, all of few families, had missed that bar). DIR keeps a file
a fit, so that a study goes on where it was cut off. Errors are in points, ``bias`` is median less
score, and standard errors are over families.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import sloth_bayes as sb
from sloth_bayes.evaluate import scores
from sloth_bayes.evaluate.cross_validate import masked
from sloth_bayes.evaluate.evaluation import bins
from sloth_bayes.evaluate.scored import score_cells
from sloth_bayes.law.equations import doublings_of_compute
from sloth_bayes.model.arrays import design_of
from sloth_bayes.support.kept import keep, kept
from studies import fits

GROUPS, LEAST = 5, 5  # groups of lineages; scores of a benchmark among the fewest families
TRAINING = (8, 16, 32, 0)  # families that a fit sees; 0 is all
MODELS, BENCHMARKS = (0, 1, 2, 3, 4), (3, 6)
FIT = {"chains": 8, "warmup": 200, "draws": 250, "steps": 1000}
HELD_OUT = " (held out)"
MEASURES = {"error": 100, "crps": 100, "covered_90": 100, "width_90": 100, "bias": 100}
TEXT = ["family", "model", "which", "benchmark", "kind", "released"]


def groups(data: sb.Leaderboard) -> list[list[str]]:
    """Lineages of the table, in random groups."""
    lineages = np.random.default_rng(22).permutation(sorted(set(data.frame["lineage"])))
    return [sorted(map(str, part)) for part in np.array_split(lineages, GROUPS)]


def in_order(data: sb.Leaderboard, hidden: list[str], group: int) -> list[str]:
    """The families of the other lineages, in the order in which a fit gets to see them."""
    frame, names = data.frame, list(data.benchmark_names)
    families = sorted(set(frame.loc[~frame["lineage"].isin(hidden), "family"]))
    rng = np.random.default_rng([22, group])
    while True:
        found = [str(family) for family in rng.permutation(families)]
        first = frame[frame["family"].isin(found[: TRAINING[0]])]
        if (first[names].notna().sum() >= LEAST).all():
            return found


def asked(rows: pd.DataFrame, names: list[str], full: bool, seed: int) -> Iterator[dict[str, Any]]:
    """What of a family is shown: its smallest models, or some benchmarks of the smallest."""
    smaller = rows[rows["params_b"] < rows["params_b"].max()]
    for n in MODELS if full else MODELS[:2]:
        if n <= len(smaller):
            there = smaller.iloc[:n][names].notna().any()
            yield {"observed": n, "which": "all", "n": int(there.sum()), "shown": smaller.iloc[:n]}
    if full:
        one = smaller.iloc[:1]
        scored = one[names].columns[one[names].notna().all()].to_numpy(str)
        some = [[b] for b in scored]
        rng = np.random.default_rng(seed)
        some += [list(rng.permutation(scored)[:k]) for k in BENCHMARKS if k < len(scored)]
        for only in some:
            shown = one.drop(columns=[b for b in names if b not in only])
            which = only[0] if len(only) == 1 else "some"
            yield {"observed": 1, "which": which, "n": len(only), "shown": shown}


def forecasts(
    data: sb.Leaderboard, post: sb.Posterior, hidden: list[str], full: bool
) -> pd.DataFrame:
    """Forecasts of the largest models of hidden families, a row each score."""
    frame, names = data.frame, list(data.benchmark_names)
    frame = frame[
        frame["lineage"].isin(hidden) & frame[["params_b", "tokens_t"]].notna().all(axis=1)
    ]
    months, found = data.releases.astype(str), []
    for k, (family, rows) in enumerate(frame.groupby("family")):
        rows = rows.sort_values(["params_b", "tokens_t", "model"])
        if rows["params_b"].nunique() < 2:
            continue
        # under names of their own: the fit knows them, without scores
        own = rows.assign(**{c: rows[c] + HELD_OUT for c in ("model", "family", "lineage")})
        target = own.iloc[[-1]]
        y = target[names].to_numpy(float)[0]
        there = np.isfinite(y)
        compute = pd.Series(doublings_of_compute(own["params_b"], own["tokens_t"]), own.index)
        for what in asked(own, names, full, k):
            shown = what.pop("shown")
            told = post.condition(shown.drop(columns="date"), seed=k) if len(shown) else post
            columns = ["model", "family", "lineage", "instruct", "params_b", "tokens_t"]
            forecast = told.forecast(target[columns], new_family=True, seed=k)
            draws = forecast.draws["score"].values.reshape(-1, len(names))[:, there]
            cells = score_cells(
                draws, y[there], np.zeros(there.sum()), np.random.default_rng(k)
            )[["score", "median", "error", "crps", "covered_90", "width_90"]]  # fmt: skip
            note = told.attrs["conditioned"][-1] if len(shown) else {}
            away = (compute.iloc[-1] - compute[shown.index]).min() if len(shown) else np.nan
            found.append(
                cells.assign(
                    **what, family=family, model=rows["model"].iloc[-1],
                    models=len(rows), measurable=int(rows.iloc[0][names].notna().sum()),
                    kind="tuned" if rows["instruct"].iloc[-1] else "base",
                    released=months[family], benchmark=np.array(names)[there],
                    doublings=away, k_hat=note.get("k_hat", np.nan),
                )
            )  # fmt: skip
    return pd.concat(found, ignore_index=True)


def study(data: sb.Leaderboard, out: Path) -> pd.DataFrame:
    """All forecasts; those that `out` does not hold yet are made."""
    out.mkdir(parents=True, exist_ok=True)
    spec = sb.Sloth()
    parts: list[pd.DataFrame] = []
    laid_out = design_of(spec, data)
    for group, hidden in enumerate(groups(data)):
        order = in_order(data, hidden, group)
        for training in TRAINING:
            path = out / f"group-{group}-of-{training or 'all'}.csv"
            found = kept(path, TEXT)
            if found is None:
                begun = time.process_time()
                shown = order[: training or None]
                table = laid_out.table
                arrays = masked(laid_out, table.loc[~table["family"].isin(shown), "model"])
                for times in (1, 2, 4):
                    fit = FIT | {k: times * FIT[k] for k in ("warmup", "draws")}
                    post, r_hat = fits.by_lanes(spec, laid_out, arrays, len(parts), **fit)
                    if post.diagnostics().ok:
                        break
                found = forecasts(data, post, hidden, not training)
                found = found.assign(group=group, training=training or len(order), r_hat=r_hat)
                found["everything"] = not training
                found["bias"] = found["median"] - found["score"]
                found["seconds"] = time.process_time() - begun
                keep(path, found)
                print(f"{path.name}: R-hat {r_hat:.3f}, {found['seconds'][0]:.0f} s",
                      file=sys.stderr, flush=True)  # fmt: skip
            parts.append(found)
    return pd.concat(parts, ignore_index=True)


def summed(rows: pd.DataFrame) -> dict[str, float]:
    """Means over forecasts, and standard errors over families of error and coverage."""
    family = rows["family"].to_numpy(str)
    out: dict[str, float] = {"scores": len(rows), "families": rows["family"].nunique()}
    for name, unit in MEASURES.items():
        values = unit * rows[name].to_numpy(float)
        out[name] = values.mean()
        if name in ("error", "covered_90", "bias"):
            out[f"{name}_se"] = scores.bootstrap_interval(values, family)[0]
    return out


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """What the study says: a row each amount of data, and each part of the forecasts."""
    whole = found["which"] == "all"
    single = ~found["which"].isin(["all", "some"])
    found = found.assign(whole=whole, single=single)
    every = found[found["everything"]]
    one = every[(every["observed"] == 1) & every["whole"]]
    parts: list[tuple[str, Any, pd.DataFrame]] = []
    for n in (0, 1):
        what = f"training families, {n} model{'s' * (n == 0)} observed"
        of = found[found["whole"] & (found["observed"] == n)]
        for training in TRAINING[:-1]:
            parts.append((what, training, of[of["training"] == training]))
        parts.append((what, "all", of[of["everything"]]))
    for least in (2, 3, 5):
        of = every[every["whole"] & (every["models"] >= least)]
        for n in MODELS[:least]:
            what = f"models observed, families of {least} or more"
            parts.append((what, n, of[of["observed"] == n]))
    for least in (6, 12):
        of = every[(every["measurable"] == least) & (every["observed"] <= 1)]
        for n in (0, 1, 3, 6, 12):
            rows = of[of["single"]] if n == 1 else of[(of["n"] == n) & ~of["single"]]
            parts.append((f"benchmarks observed, of {least}", n, rows))
    nothing = every[every["observed"] == 0].set_index(["model", "benchmark"])["error"]
    for b in dict.fromkeys(every.loc[every["single"], "which"]):
        parts.append(("the one benchmark observed", b, every[every["which"] == b]))
    for name, by in (
        ("doublings", bins(one["doublings"])), ("released", one["released"].str[:4]),
        ("kind", one["kind"]), ("benchmark", one["benchmark"]),
    ):  # fmt: skip
        parts += [(f"one model observed, by {name}", k, rows)
                  for k, rows in one.groupby(by, observed=True)]  # fmt: skip
    table = []
    for what, part, rows in parts:
        if len(rows):
            before = nothing.reindex(pd.MultiIndex.from_frame(rows[["model", "benchmark"]]))
            gain = 100 * (before.to_numpy() - rows["error"].to_numpy()).mean()
            table.append({"what": what, "part": str(part), **summed(rows), "gain": gain})
    return pd.DataFrame(table)


def figure(table: pd.DataFrame, path: str) -> None:
    """Error, CRPS, width and coverage against three amounts of data."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from sloth_bayes.plots.style import COLOURS

    panels = {
        "training families, 1 model observed": "families the fit has seen",
        "models observed, families of 3 or more": "models of the family observed",
        "benchmarks observed, of 12": "benchmarks of one model observed",
    }
    figure, axes = plt.subplots(2, 3, figsize=(8.4, 4.6), sharey="row", layout="constrained")
    for (what, label), (top, below) in zip(panels.items(), axes.T):
        rows = table[table["what"] == what]
        at = np.arange(len(rows))
        top.errorbar(at, rows["error"], rows["error_se"], fmt="o-", ms=5, color=COLOURS[0],
                     label="error of the median")  # fmt: skip
        top.plot(at, rows["crps"], "s--", ms=4, color=COLOURS[1], label="CRPS")
        below.plot(at, rows["width_90"], "o-", ms=5, color=COLOURS[2])
        for x, width, inside in zip(at, rows["width_90"], rows["covered_90"]):
            below.annotate(f"{inside:.0f}%", (x, width), (0, 7), textcoords="offset points",
                           ha="center", fontsize="small")  # fmt: skip
        below.set_xticks(at, rows["part"])
        top.set_xticks(at, [])
        top.margins(x=0.1)
        below.margins(x=0.1)
        below.set_xlabel(label)
        top.set_title(f"{rows['families'].max():.0f} families", loc="left", fontsize="medium")
    for axis in axes[:, 0]:
        axis.set_ylim(0, 1.15 * axis.get_ylim()[1])
    axes[0, 0].set_ylabel("points")
    axes[1, 0].set_ylabel("width of 90% intervals (points)\nand share inside")
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=2, frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(prog="python -m studies.learning", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder that results go to")
    parser.add_argument("--plot", help="a PNG file")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    found = study(sb.load_dataset("open_llm_leaderboard"), given.out)
    table = summary(found)
    keep(given.out / "learning.csv", table)
    if given.plot:
        figure(table, given.plot)
    each = found.groupby(["group", "training"])[["r_hat", "seconds"]].first()
    asked_of = ["group", "training", "family", "observed", "which", "n"]
    k_hat = found.groupby(asked_of)["k_hat"].first()
    print(
        f"{len(each)} fits, {each['seconds'].sum():.0f} s; R-hat of the scores that they saw at "
        f"most {each['r_hat'].max():.3f}; k-hat above 0.7 in {(k_hat > 0.7).sum()} of "
        f"{k_hat.notna().sum()} conditionings"
    )
    with pd.option_context(
        "display.width", 200, "display.max_columns", None, "display.max_rows", None
    ):
        print(table.round(1).to_string(index=False))


if __name__ == "__main__":
    main()
