"""Does conditioning agree with a refit?

    python -m studies.agreement --families 20 --out DIR [--together] [--method svi] [--draws 500]

For each family (one a lineage, spread over the alphabet, with at least two models): *base* is a
fit without any model of its lineage; *conditioned* is base, conditioned on the smallest model;
*refit* is a fit of base's table with that model in it. The larger models are forecast by all
three, base not having seen the family. With ``--together`` one base fit leaves out the lineages
of all families, and each refit adds one model: half the fits.

DIR/families.csv keeps one row a family, and DIR/cells.csv one a forecast score, so
that a study goes on where it was cut off. Differences, widths and errors are in percentage
points; ``noise`` is what the same differences are between the two halves of the refit's chains,
divided by the square root of 2, as two fits would have them.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import sloth_bayes as sb
from sloth_bayes.support.kept import keep, kept

Fit = Callable[[sb.Leaderboard], sb.Posterior]
_BASE = "base.nc"
_LEAST = 3  # scores of the smallest model
_WAYS = ("never", "conditioned", "refit")


def chosen(data: sb.Leaderboard, n: int) -> list[str]:
    """Families to study: of each lineage the one with the most models, `n` of them."""
    frame, names = data.frame, list(data.benchmark_names)
    frame = frame[frame[["params_b", "tokens_t"]].notna().all(axis=1)]
    found = {}
    for family, rows in frame.groupby("family"):
        small = rows.nsmallest(1, "params_b")
        scored = rows[rows["params_b"] > small["params_b"].item()][names].notna().to_numpy()
        if scored.any() and small[names].notna().to_numpy().sum() >= _LEAST:
            lineage = small["lineage"].item()
            best = found.get(lineage, ("", 0))
            if len(rows) > best[1]:
                found[lineage] = (str(family), len(rows))
    families = sorted(family for family, _ in found.values())
    if n > len(families):
        raise SystemExit(f"there are {len(families)} families to study, not {n}")
    return [families[i] for i in np.linspace(0, len(families) - 1, n).round().astype(int)]


def without(data: sb.Leaderboard, families: list[str]) -> sb.Leaderboard:
    """The table without the lineages of some families."""
    frame = data.frame
    gone = frame.loc[frame["family"].isin(families), "lineage"]
    keep = frame.loc[~frame["lineage"].isin(gone), "model"]
    return data.select(models=list(keep), benchmarks=list(data.benchmark_names))


def _forecast(post: sb.Posterior, larger: pd.DataFrame) -> pd.DataFrame:
    columns = ["model", "family", "lineage", "instruct", "params_b", "tokens_t"]
    frame = post.forecast(larger[columns], new_family=True).frame
    return 100 * frame.set_index(["model", "benchmark"])[["lower", "median", "upper"]]


def _half(post: sb.Posterior, half: int) -> sb.Posterior:
    """Every second chain of a posterior, or every second draw of a single one."""
    tree = post.tree.copy()
    draws = tree["posterior"].to_dataset()
    dim = "chain" if draws.sizes["chain"] > 1 else "draw"
    tree["posterior"] = type(tree)(draws.isel({dim: slice(half, None, 2)}))
    return sb.Posterior(tree, post.spec)


def one(
    data: sb.Leaderboard, family: str, fit: Fit, base: tuple[sb.Posterior, float] | None = None
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Compare the three ways for one family: its row, and its cells."""
    frame, names = data.frame, list(data.benchmark_names)
    rows = frame[
        (frame["family"] == family) & frame["params_b"].notna() & frame["tokens_t"].notna()
    ]
    small = rows.nsmallest(1, "params_b")
    larger = rows[rows["params_b"] > small["params_b"].item()]
    table = without(data, [family])
    if base is None:
        begun = time.perf_counter()
        base = fit(table), time.perf_counter() - begun
        base = base[0], time.perf_counter() - begun
    post, seconds_base = base
    seen = sb.Leaderboard.from_frame(_table_of(post, data), data.benchmarks)
    begun = time.perf_counter()
    refit = fit(seen.with_rows(small))
    seconds_refit = time.perf_counter() - begun
    post.diagnostics()  # kept with the posterior: not a part of conditioning
    begun = time.perf_counter()
    conditioned = post.condition(small)
    seconds = time.perf_counter() - begun

    found = dict(zip(_WAYS, (_forecast(p, larger) for p in (post, conditioned, refit))))
    halves = [_forecast(_half(refit, half), larger) for half in (0, 1)]
    cells = pd.concat(found, axis=1)
    cells.columns = [f"{way}_{what}" for way, what in cells.columns]
    truth = 100 * larger.set_index("model")[names].stack()
    cells["truth"] = truth.reindex(cells.index).to_numpy()
    note = conditioned.attrs["conditioned"][-1]

    def apart(a: pd.DataFrame, b: pd.DataFrame, columns: list[str]) -> float:
        return float((a - b)[columns].abs().to_numpy().mean())

    ends = ["lower", "upper"]
    row: dict[str, Any] = {
        "family": family,
        "observed_scores": int(small[names].notna().to_numpy().sum()),
        "larger_models": len(larger),
        "k_hat": note.get("k_hat"),
        "effective": note["ess"],
        "draws": note["draws"],
        "median_apart": apart(found["conditioned"], found["refit"], ["median"]),
        "ends_apart": apart(found["conditioned"], found["refit"], ends),
        "median_noise": apart(halves[0], halves[1], ["median"]) / math.sqrt(2),
        "ends_noise": apart(halves[0], halves[1], ends) / math.sqrt(2),
        "scores": int(cells["truth"].notna().sum()),
    }
    known = cells[cells["truth"].notna()]
    for way in _WAYS:
        lower, upper = known[f"{way}_lower"], known[f"{way}_upper"]
        row[f"{way}_covered"] = float(known["truth"].between(lower, upper).mean())
        row[f"{way}_width"] = float((upper - lower).mean())
        row[f"{way}_error"] = float((known[f"{way}_median"] - known["truth"]).abs().mean())
    row |= {
        "seconds_condition": seconds, "seconds_refit": seconds_refit, "seconds_base": seconds_base,
        "base_ok": post.diagnostics().ok, "refit_ok": refit.diagnostics().ok,
    }  # fmt: skip
    rounded = {k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}
    return rounded, cells.reset_index().assign(family=family)


def _table_of(post: sb.Posterior, data: sb.Leaderboard) -> pd.DataFrame:
    """The rows that a posterior was fitted on, with those left out of the fit for want of size."""
    frame = data.frame
    lineages = set(post.lineages)
    return frame[frame["model"].isin(post.models) & frame["lineage"].isin(lineages)]


def study(
    data: sb.Leaderboard, families: list[str], out: Path, fit: Fit, together: bool = False
) -> pd.DataFrame:
    """Study the families that `out` does not hold yet."""
    out.mkdir(parents=True, exist_ok=True)
    path, base = out / "families.csv", None
    table = kept(path, ["family"])
    done = set() if table is None else set(table["family"])
    if together and set(families) - done:
        base_path, rest = out / _BASE, without(data, families)
        begun = time.perf_counter()
        if base_path.exists():
            post = sb.load(base_path)
            if set(post.lineages) & set(
                data.frame.loc[data.frame["family"].isin(families), "lineage"]
            ):
                raise SystemExit(
                    f"{base_path} was fitted for other families: choose another folder"
                )
        else:
            post = fit(rest)
            post.diagnostics()
            post.save(base_path)
        base = post, time.perf_counter() - begun
    for family in families:
        if family in done:
            continue
        row, cells = one(data, family, fit, base)
        earlier = kept(out / "cells.csv", ["family", "model"])
        if earlier is not None:  # one that was cut off may have left this family's
            cells = pd.concat([earlier[earlier["family"] != family], cells])
        keep(out / "cells.csv", cells)
        table = pd.concat([table, pd.DataFrame([row])], ignore_index=True)
        keep(path, table)
        print(row, file=sys.stderr, flush=True)
    return table


def summary(table: pd.DataFrame) -> str:
    """The study in a few lines: averages over families, coverage over scores."""
    lines = [
        f"{len(table)} families, {table['scores'].sum()} scores of larger models",
        f"conditioned against refit: medians {table['median_apart'].mean():.2f} points apart, "
        f"interval ends {table['ends_apart'].mean():.2f} (two refits: "
        f"{table['median_noise'].mean():.2f} and {table['ends_noise'].mean():.2f})",
        f"k-hat: median {table['k_hat'].median():.2f}, at most {table['k_hat'].max():.2f}, above "
        f"0.7 in {(table['k_hat'] > 0.7).sum()}; effective draws at least "
        f"{table['effective'].min():.0f} of {table['draws'].max()}",
        f"seconds: condition {table['seconds_condition'].mean():.1f}, at most "
        f"{table['seconds_condition'].max():.1f}; refit {table['seconds_refit'].mean():.0f}",
    ]
    for way in _WAYS:
        share = np.average(table[f"{way}_covered"], weights=table["scores"])
        lines.append(
            f"{way}: 90% intervals cover {100 * share:.1f}%, {table[f'{way}_width'].mean():.1f} "
            f"points wide; error {table[f'{way}_error'].mean():.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(prog="python -m studies.agreement", description=__doc__)
    parser.add_argument("--families", type=int, default=20, help="number of families (20)")
    parser.add_argument("--only", help="these families instead, separated by commas")
    parser.add_argument("--out", type=Path, required=True, help="folder that results go to")
    parser.add_argument("--together", action="store_true", help="one base fit without all of them")
    parser.add_argument("--method", choices=["nuts", "svi"], default="nuts")
    parser.add_argument("--draws", type=int, help="draws of each chain")
    parser.add_argument("--warmup", type=int, help="warm-up iterations of each chain")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    data = sb.load_dataset("open_llm_leaderboard")
    families = given.only.split(",") if given.only else chosen(data, given.families)
    options = {k: v for k in ("draws", "warmup") if (v := getattr(given, k)) is not None}

    def fit(table: sb.Leaderboard) -> sb.Posterior:
        return sb.Sloth().fit(
            table, method=given.method, seed=given.seed, progress=False, **options
        )

    print(summary(study(data, families, given.out, fit, given.together)))


if __name__ == "__main__":
    main()
