"""What the joint table is worth: models held out of it, forecast by NUTS.

    python -m studies.open_models --keep FOLDER [--only lineages shared weight] [--laws ...]

*lineages*: Llama 3.1, Qwen2.5 and Gemma 2 leave the table, with everything that was made of them
(tuned, coder, distilled, continued), but for the smallest base and the smallest tuned model of
each. Larger ones are forecast, by laws on the joint table, and by the recommended law on the
former table with those smallest models added. Laws other than that of ``models/open`` are named by
their parts, as :mod:`studies.rehearsals` names them; they were added after forecasts by it had been
looked at, and choose nothing.

*shared*: of every third lineage, in alphabetical order, with a score on leaderboard v2, all models
but the smallest of each family have their scores on it hidden. They are forecast from the joint
table, and from the leaderboards' own columns alone; the difference is paired by score.

*weight*: mixtures of experts count as active^(1 - w) total^w with w estimated, fixed at 0.3 and at
0.7, and as their active parameters; mixtures that are hidden (all but the smallest of each lineage
that has no dense models) are forecast by each.

A fit is a fold of :func:`sloth_bayes.cross_validate`, by NUTS with the chains of the rehearsals: it
is made again by itself, longer, where the forecasts asked for have not converged, and is kept in
the folder.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import pandas as pd

import sloth_bayes as sb
from sloth_bayes.evaluate import scores
from sloth_bayes.infer import recipes
from studies import rehearsals
from studies.fits import table_of

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
OPEN = "models/open"
AWAY = " (on leaderboard v2)"  # a model's scores that are hidden, as a row of their own


def law(name: str) -> sb.Sloth:
    """That of ``models/open``, or one by its parts."""
    if name != OPEN:
        return rehearsals.law(name)
    return sb.Sloth.from_toml(recipes.load("open").spec.to_toml())


def joint_table() -> tuple[sb.Leaderboard, pd.DataFrame]:
    """The joint table, and its models with the months of their families."""
    joint = sb.load_dataset("open_models")
    frame = joint.described
    return joint, frame.assign(released=frame["family"].map(joint.releases))


def forecast(
    spec: sb.Sloth, table: sb.Leaderboard, test: pd.Series, label: str, keep: Path
) -> sb.Evaluation:
    """Forecasts of some models of a table, all of whose scores there are hidden."""
    frame = table.frame
    rows = frame[frame["model"].isin(test)]
    test = tuple(rows["model"])
    names = [b for b in table.benchmark_names if rows[b].notna().any()]
    seen = frame["family"].isin(rows["family"]) & ~frame["model"].isin(test)
    fold = sb.Fold("held out", 1, label, test, tuple(frame["model"][seen]), test, tuple(names), ())
    found = sb.cross_validate(
        spec, table, [fold], method="nuts", label=label,
        out=keep / label.replace("/", "-").replace(", ", "-").replace(" ", "-"), **rehearsals.FIT,
    )  # fmt: skip
    one = found.frame.iloc[0]
    print(
        f"{label}: {found.about['seconds']:.0f} s, R-hat at most {one['r_hat']:.3f}, effective "
        f"sample size at least {one['ess']:.0f}, made again {one['refits']:.0f} times",
        flush=True,
    )
    return found


def summary(found: dict[str, sb.Evaluation], by: list[str]) -> pd.DataFrame:
    """Means, in points, of each law and by some columns."""
    rows = pd.concat([one.frame.assign(law=name) for name, one in found.items()])
    points = ["error", "crps", "interval_score", "width_90"]
    rows[points] *= 100
    table = rows.groupby(["law", *by], sort=False)[[*points, "covered_90"]].mean()
    return table.assign(scores=rows.groupby(["law", *by], sort=False).size()).round(3)


def lineages(keep: Path, laws: list[str]) -> None:
    """The first part."""
    joint, frame = joint_table()
    ours = frame["lineage"].isin(LINEAGES)
    of_family = frame[frame["family"].isin(FAMILIES)]
    smallest = of_family.loc[of_family.groupby("family")["params_b"].idxmin(), "model"]
    rows = frame[~ours | frame["model"].isin([*smallest, *TARGETS])]
    targets = pd.Series(TARGETS)
    found = {}
    for name in laws:
        found[name] = forecast(law(name), table_of(rows, joint), targets, f"lineages, {name}", keep)
    former = sb.load_dataset("open_llm_leaderboard")
    names, about = list(former.benchmark_names), list(former.frame.columns[:7])
    rest = former.frame[~former.frame["lineage"].isin(LINEAGES)]
    those = frame.loc[frame["model"].isin([*smallest, *TARGETS]), [*about, *names]]
    both = table_of(pd.concat([rest, those], ignore_index=True), former)
    found["former table"] = forecast(sb.Sloth(), both, targets, "lineages, former table", keep)
    same = {
        name: sb.Evaluation(one.frame[one.frame["benchmark"].isin(names)], one.means, one.about)
        for name, one in found.items()
    }
    print(f"\nlineages\n{summary(found, []).to_string()}")
    print(f"\non the former table's benchmarks\n{summary(same, []).to_string()}")
    print(f"\nby model\n{summary(found, ['model']).to_string()}")
    first, lineage = next(iter(found)), frame.set_index("model")["lineage"]
    rows = found[first].frame.assign(lineage=found[first].frame["model"].map(lineage))
    one = {first: sb.Evaluation(rows, found[first].means, found[first].about)}
    for by in ("lineage", "benchmark"):
        print(f"\nby {by}\n{summary(one, [by]).to_string()}")
    print(f"\n{within_reach(rows)}", flush=True)


def within_reach(rows: pd.DataFrame) -> str:
    """How far the fit of the whole table is off where a score alone is left out of it."""
    found = sb.load("open").surprises(progress=False).frame
    cells = rows[["model", "benchmark"]].merge(found, on=["model", "benchmark"])
    error = 100 * (cells["score"] - cells["expected"]).abs()
    inside = cells["score"].between(cells["lower"], cells["upper"])
    return (
        f"the same {len(cells)} scores one at a time, all others in the fit: {error.mean():.1f} "
        f"points, {inside.mean():.0%} inside 90% intervals"
    )


def shared(keep: Path, laws: list[str]) -> None:
    """The second part."""
    joint, frame = joint_table()
    boards = {b.name: b.leaderboard for b in joint.benchmarks}
    v2 = [b for b, board in boards.items() if board == "v2"]
    own = [b for b, board in boards.items() if board in ("v1", "v2")]
    on = frame[
        frame[v2].notna().any(axis=1) & frame["params_b"].notna() & frame["tokens_t"].notna()
    ]
    chosen = sorted(on["lineage"].unique())[::3]
    smallest = on.loc[on.groupby("family")["params_b"].idxmin(), "model"]
    out = on[on["lineage"].isin(chosen) & ~on["model"].isin(smallest)]
    away = out.drop(columns=[b for b in boards if b not in v2]).assign(model=out["model"] + AWAY)
    shown = frame.copy()
    shown.loc[out.index, v2] = float("nan")
    whole = pd.concat([shown, away], ignore_index=True)
    known = shown.loc[shown[own].notna().any(axis=1), "family"]  # others are on no leaderboard
    tables = {
        "joint table": table_of(whole, joint),
        "leaderboards alone": table_of(
            whole.drop(columns=[b for b in boards if b not in own]), joint.select(benchmarks=own)
        ),
    }
    test = away.loc[away["family"].isin(known), "model"]
    found = {
        name: forecast(law(laws[0]), table, test, f"shared, {name}", keep)
        for name, table in tables.items()
    }
    elsewhere = frame.loc[out.index, [b for b in boards if b not in own]].notna().any(axis=1)
    on_both = set(out["model"][elsewhere] + AWAY)
    print(f"\nshared\n{summary(found, []).to_string()}")
    with_, alone = (
        100 * one.frame.set_index(["family", "model", "benchmark"])["error"]
        for one in found.values()
    )
    for name, of in (("all", test), ("on other tables too", on_both)):
        rows = with_.index.get_level_values("model").isin(of)
        less, family = (with_ - alone)[rows], with_.index.get_level_values("family")[rows]
        se, low, high = scores.bootstrap_interval(less.to_numpy(), family.to_numpy())
        print(
            f"{name}: {with_[rows].mean():.2f} points from the joint table, "
            f"{alone[rows].mean():.2f} from the leaderboards alone, a ratio of "
            f"{with_[rows].mean() / alone[rows].mean():.3f}; difference {less.mean():+.2f} "
            f"(standard error over families {se:.2f}, {low:+.2f} to {high:+.2f}), "
            f"{len(less)} scores",
            flush=True,
        )


def weight(keep: Path, laws: list[str]) -> None:
    """The third part."""
    joint, frame = joint_table()
    mixture = (frame["total_params_b"] > frame["params_b"]) & frame["tokens_t"].notna()
    of = frame[mixture]
    smallest = of.loc[of.groupby("lineage")["params_b"].idxmin(), "model"]
    dense = frame.loc[~mixture, "lineage"].unique()  # lineages that also have dense models
    hidden = of[~of["model"].isin(smallest) | of["lineage"].isin(dense)]["model"]
    seen = frame.loc[~frame["model"].isin(hidden), "lineage"]
    hidden = hidden[frame.loc[hidden.index, "lineage"].isin(seen)]
    weights = {"w estimated": None, "w = 0": 0.0, "w = 0.3": 0.3, "w = 0.7": 0.7}
    found = {}
    for name, w in weights.items():
        spec, rows = law(laws[0]), frame
        if w is not None:
            size = rows["params_b"] ** (1 - w) * rows["total_params_b"] ** w
            spec, rows = spec.replace(mixtures="active"), rows.assign(params_b=size)
            rows["total_params_b"] = size
        found[name] = forecast(spec, table_of(rows, joint), hidden, f"weight, {name}", keep)
    print(f"\nweight\n{summary(found, []).to_string()}", flush=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, required=True, help="folder of the fits")
    parts = {"lineages": lineages, "shared": shared, "weight": weight}
    parser.add_argument("--only", nargs="*", choices=list(parts), default=list(parts))
    parser.add_argument("--laws", nargs="+", default=[OPEN], help="of lineages; the first of all")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    options.keep.mkdir(parents=True, exist_ok=True)
    for part in options.only:
        parts[part](options.keep, options.laws)


if __name__ == "__main__":
    main()
