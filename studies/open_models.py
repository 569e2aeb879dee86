"""What the joint table is worth: models held out of it, forecast by NUTS.

    python -m studies.open_models --keep FOLDER [--out FILE.csv] [--only lineages shared weight]

*lineages*: Llama 3.1, Qwen2.5 and Gemma 2 leave the table, with everything that was made of them
(tuned, coder, distilled, continued), but for the smallest base and the smallest tuned model of
each. Larger ones are forecast, by the law of ``models/open`` on the joint table, and by the
recommended law on the former table with those smallest models added.

*shared*: of every third lineage, in alphabetical order, with a score on leaderboard v2, all models
but the smallest of each family have their scores on it hidden. They are forecast from the joint
table, and from the leaderboards' own columns alone; the difference is paired by score.

*weight*: the first again, mixtures of experts counting as active^(1 - w) total^w with w fixed at
0.3 and at 0.7, and by their active parameters; of mixtures that are hidden (all but the smallest
of each family of mixtures), forecast by each.

Each fit is saved in the folder and not made again.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import sloth_bayes as sb
from sloth_bayes.evaluate import scores
from sloth_bayes.infer import recipes

LINEAGES = ("llama-3.1", "qwen2.5", "gemma-2")
FAMILIES = (
    "llama-3.1",
    "llama-3.1-instruct",
    "qwen2.5",
    "qwen2.5-instruct",
    "gemma-2",
    "gemma-2-it",
)
TARGETS = (
    *("llama-3.1-70b", "llama-3.1-70b-instruct", "gemma-2-27b", "gemma-2-27b-it"),
    *("qwen2.5-32b", "qwen2.5-72b", "qwen2.5-32b-instruct", "qwen2.5-72b-instruct"),
)
FIT = {"method": "nuts", "chains": 4, "warmup": 800, "draws": 1000, "seed": 1}
PROB = 0.9


def table_of(frame: pd.DataFrame, like: sb.Leaderboard) -> sb.Leaderboard:
    """Some rows and scores of a table, as one."""
    names = [b for b in like.benchmark_names if frame[b].notna().any()]
    about = {b.name: b for b in like.benchmarks}
    frame = frame[frame[names].notna().any(axis=1)]
    return sb.Leaderboard.from_frame(frame, [about[n] for n in names], like.name)


def fitted(
    spec: sb.Sloth, table: sb.Leaderboard, name: str, keep: Path, **options: object
) -> sb.Posterior:
    """The fit of this name, made if the folder does not have it."""
    path = keep / f"{name}.nc"
    if not path.exists():
        begun = time.perf_counter()
        post = spec.fit(table, **(FIT | options))
        verdict = post.diagnostics()
        print(f"{name}: {time.perf_counter() - begun:.0f} s; {verdict.messages[0]}", flush=True)
        post.save(path)
    post = sb.load(path)
    post.diagnostics()
    return post


def forecasts(post: sb.Posterior, hidden: pd.DataFrame, label: str) -> pd.DataFrame:
    """How well hidden scores are forecast, one a row, in points."""
    names = [b for b in post.benchmarks if b in hidden and hidden[b].notna().any()]
    frame = hidden.drop(columns=["instruct"])
    fc = post.forecast(frame, benchmarks=names, prob=PROB)
    draws = fc.draws["score"].stack(sample=("chain", "draw")).transpose("sample", ...).values
    y = hidden[names].to_numpy(float)
    rows = []
    for i, who in enumerate(hidden.itertuples()):
        for j in np.flatnonzero(np.isfinite(y[i])):
            x, truth = 100 * draws[:, i, j], 100 * y[i, j]
            lower, upper = np.quantile(x, [(1 - PROB) / 2, (1 + PROB) / 2])
            rows.append(
                {
                    "law": label, "model": who.model, "family": who.family,
                    "lineage": who.lineage, "benchmark": names[j], "score": truth,
                    "median": np.median(x), "error": abs(np.median(x) - truth),
                    "crps": scores.crps(x[:, None], np.array([truth]))[0],
                    "interval_score": float(scores.interval_score(lower, upper, truth, PROB)),
                    "inside": lower <= truth <= upper, "width": upper - lower,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def summary(found: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Means by some columns."""
    columns = {"error": "mean", "crps": "mean", "interval_score": "mean", "inside": "mean"}
    columns |= {"width": "mean", "model": "nunique"}
    table = found.groupby(by, sort=False).agg(columns)
    return table.assign(scores=found.groupby(by, sort=False).size()).round(3)


def lineages(keep: Path) -> pd.DataFrame:
    """The first part."""
    joint = sb.load_dataset("open_models")
    frame = joint.described
    spec = sb.Sloth.from_toml(recipes.load("open").spec.to_toml())
    ours = frame["lineage"].isin(LINEAGES)
    of_family = frame[frame["family"].isin(FAMILIES)]
    smallest = of_family.loc[of_family.groupby("family")["params_b"].idxmin(), "model"]
    kept = frame[~ours | frame["model"].isin(smallest)]
    hidden = frame[frame["model"].isin(TARGETS)]
    post = fitted(spec, table_of(kept, joint), "lineages-joint", keep)
    found = [forecasts(post, hidden, "joint table, models/open")]

    former = sb.load_dataset("open_llm_leaderboard")
    names = list(former.benchmark_names)
    rows = former.frame
    rows = rows[~rows["lineage"].isin(LINEAGES)]
    six = frame.loc[frame["model"].isin(smallest), [*rows.columns[:7], *names]]
    both = pd.concat([rows, six], ignore_index=True)
    post = fitted(sb.Sloth(), table_of(both, former), "lineages-former", keep)
    hidden = hidden[[*rows.columns[:7], *names]]
    found.append(forecasts(post, hidden, "former table, recommended law"))
    return pd.concat(found)


def shared(keep: Path) -> pd.DataFrame:
    """The second part."""
    joint = sb.load_dataset("open_models")
    frame = joint.described
    spec = sb.Sloth.from_toml(recipes.load("open").spec.to_toml())
    boards = {b.name: b.leaderboard for b in joint.benchmarks}
    v2 = [b for b, board in boards.items() if board == "v2"]
    own = [b for b, board in boards.items() if board in ("v1", "v2")]
    on = frame[
        frame[v2].notna().any(axis=1) & frame["params_b"].notna() & frame["tokens_t"].notna()
    ]
    chosen = sorted(on["lineage"].unique())[::3]
    smallest = on.loc[on.groupby("family")["params_b"].idxmin(), "model"]
    out = on[on["lineage"].isin(chosen) & ~on["model"].isin(smallest)]
    hidden = frame.loc[out.index].drop(columns=[b for b in boards if b not in v2])
    shown = frame.copy()
    shown.loc[out.index, v2] = np.nan
    alone = shown.drop(columns=[b for b in boards if b not in own])
    post = fitted(spec, table_of(shown, joint), "shared-joint", keep)
    found = [forecasts(post, hidden, "joint table")]
    few = joint.select(benchmarks=own)
    post = fitted(spec, table_of(alone, few), "shared-alone", keep)
    known = hidden["family"].isin(post.families)  # a family may have been on other tables only
    found.append(forecasts(post, hidden[known], "leaderboards alone"))
    elsewhere = frame.loc[out.index, [b for b in boards if b not in own]].notna().any(axis=1)
    on_both = set(out["model"][elsewhere])
    result = pd.concat(found)
    return result.assign(on_others=result["model"].isin(on_both))


def paired(found: pd.DataFrame) -> dict[str, float]:
    """Error of the joint table against that of the leaderboards alone, by score."""
    wide = found.pivot_table(index=["family", "model", "benchmark"], columns="law", values="error")
    wide = wide.dropna()
    joint, alone = wide["joint table"], wide["leaderboards alone"]
    se, low, high = scores.bootstrap_interval(
        (joint - alone).to_numpy(), wide.index.get_level_values("family").to_numpy()
    )
    return {
        "scores": len(wide), "joint": joint.mean(), "alone": alone.mean(),
        "ratio": joint.mean() / alone.mean(), "difference": (joint - alone).mean(),
        "se": se, "low": low, "high": high,
    }  # fmt: skip


def weight(keep: Path) -> pd.DataFrame:
    """The third part."""
    joint = sb.load_dataset("open_models")
    frame = joint.described
    spec = sb.Sloth.from_toml(recipes.load("open").spec.to_toml())
    mixture = (frame["total_params_b"] > frame["params_b"]) & frame["tokens_t"].notna()
    of = frame[mixture]
    smallest = of.loc[of.groupby("lineage")["params_b"].idxmin(), "model"]
    dense = frame.loc[~mixture, "lineage"].unique()  # lineages that also have dense models
    hidden = of[~of["model"].isin(smallest) | of["lineage"].isin(dense)]
    kept = frame[~frame["model"].isin(hidden["model"])]
    laws: dict[str, float | None] = {
        "w estimated": None,
        "w = 0": 0.0,
        "w = 0.3": 0.3,
        "w = 0.7": 0.7,
    }
    found = []
    for label, w in laws.items():

        def counted(rows: pd.DataFrame, w: float | None = w) -> pd.DataFrame:
            if w is None:
                return rows
            size = rows["params_b"] ** (1 - w) * rows["total_params_b"] ** w
            return rows.assign(params_b=size, total_params_b=size)

        law = spec if w is None else spec.replace(mixtures="active")
        name = f"weight-{label.replace(' ', '')}"
        post = fitted(law, table_of(counted(kept), joint), name, keep)
        if w is None:
            draws = post.tree["posterior"]["mixture_weight"].values
            quantiles = np.quantile(draws, [0.05, 0.5, 0.95]).round(3).tolist()
            print("w, 5%, 50%, 95%:", json.dumps(quantiles), flush=True)
        rows = counted(hidden)
        rows = rows[rows["lineage"].isin(post.lineages)]
        found.append(forecasts(post, rows, label))
    return pd.concat(found)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, required=True, help="folder of the fits")
    parser.add_argument("--out", type=Path, help="every forecast, as CSV")
    parts = {"lineages": lineages, "shared": shared, "weight": weight}
    parser.add_argument("--only", nargs="*", choices=list(parts), default=list(parts))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    options.keep.mkdir(parents=True, exist_ok=True)
    every = []
    for part in options.only:
        found = parts[part](options.keep).assign(part=part)
        every.append(found)
        print(f"\n{part}\n{summary(found, ['law']).to_string()}", flush=True)
        if part == "lineages":
            same = found[
                found["benchmark"].isin(sb.load_dataset("open_llm_leaderboard").benchmark_names)
            ]
            print(f"\non the former table's benchmarks\n{summary(same, ['law']).to_string()}")
            print(f"\nby model\n{summary(found, ['law', 'model']).to_string()}", flush=True)
        if part == "shared":
            print(summary(found, ["law", "on_others"]).to_string())
            for name, rows in (("all", found), ("on other tables too", found[found["on_others"]])):
                print(name, {k: round(float(v), 3) for k, v in paired(rows).items()}, flush=True)
    if options.out is not None:
        pd.concat(every).to_csv(options.out, index=False)


if __name__ == "__main__":
    main()
