"""Are the scores that ``post.surprises()`` flags the ones that are wrong?

    python -m studies.surprises --out DIR [--part clean injected exact real known] [--method svi]

Five parts, each with a CSV file in DIR that gets a row at a time, so that a study goes on where
it was cut off.

``clean``
    Tables drawn from the prior of the specification (those of :mod:`studies.simulation`), with
    nothing wrong in them: how many scores, and models, are flagged? PITs are uniform if the law
    holds and the leave-one-out weights are right: ``outside_90`` is the share of scores outside
    their 90% intervals.
``injected``
    The same tables, in each of which five scores are moved by 15 points, up or down as there is
    room: how many of them are flagged (recall), how many of the flagged are among them, and how
    many are among the worst 5% of the scores?
``exact``
    Scores of the first clean tables, evenly spread over the ranks: the PIT and the median
    against those of a fit without the score, by way of a forecast.
``real``
    The Open LLM Leaderboard with 50 scores moved by 15 points.
``known``
    ``open_models`` as published, ``corrected=False``, with the failures of format that its
    corrections name: where do they rank? By the law of ``models/open``, eight chains that step
    together (:mod:`studies.fits`), kept as DIR/known.nc.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import sloth_bayes as sb
from sloth_bayes.infer import recipes
from sloth_bayes.model.arrays import design_of
from studies import fits, resumed, simulation

PARTS = ("clean", "injected", "exact", "real", "known")
MOVED = 0.15  # by how much a score is wrong
EACH, OF_REAL = 5, 50  # errors in a simulated table, and in the leaderboard
FAILURES = "failure of format|was read|were not read|the run failed"
KNOWN = {"chains": 8, "warmup": 300, "draws": 125, "steps": 3000}
Fit = dict[str, Any]


class Cell(NamedTuple):
    """A score of a table to leave out."""

    seed: int
    model: str
    benchmark: str


def fitted(spec: sb.Sloth, data: sb.Leaderboard, seed: int, options: Fit) -> sb.Posterior:
    """A fit that says nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return spec.fit(data, seed=seed, progress=False, **options)


def changed(data: sb.Leaderboard, values: dict[tuple[str, str], float]) -> sb.Leaderboard:
    """The table with other values of some scores, by model and benchmark."""
    frame = data.frame
    frame["released"] = frame["family"].map(data.releases)
    for (model, benchmark), value in values.items():
        frame.loc[frame["model"] == model, benchmark] = value
    return sb.Leaderboard.from_frame(frame, data.benchmarks, data.name)


def with_errors(
    data: sb.Leaderboard, errors: int, seed: int
) -> tuple[sb.Leaderboard, set[tuple[str, str]]]:
    """The table with some scores moved by 15 points, and which."""
    rng = np.random.default_rng([seed, 21])
    scores = data.frame.set_index("model")[list(data.benchmark_names)].stack().dropna()
    chosen = scores.iloc[rng.choice(len(scores), errors, replace=False)]
    up = np.where(chosen > 1 - MOVED, False, (chosen < MOVED) | (rng.uniform(size=errors) < 0.5))
    moved = chosen + np.where(up, MOVED, -MOVED)
    values = {(str(m), str(b)): float(v) for (m, b), v in moved.items()}
    return changed(data, values), set(values)


def counted(found: sb.Surprises, wrong: set[tuple[str, str]]) -> dict[str, Any]:
    """What was flagged, and how much of it is wrong."""
    frame = found.frame
    of = pd.Series(
        [pair in wrong for pair in zip(frame["model"], frame["benchmark"])], index=frame.index
    )
    worst = frame.index < max(1, round(0.05 * len(frame)))
    outside = (frame["score"] < frame["lower"]) | (frame["score"] > frame["upper"])
    return {
        "scores": len(frame),
        "flagged": int(frame["flagged"].sum()),
        "models": len(found.models),
        "models_flagged": int(found.models["flagged"].sum()),
        "errors": len(wrong),
        "errors_flagged": int((of & frame["flagged"]).sum()),
        "errors_in_worst_5%": int((of & worst).sum()),
        "outside_90": round(float(outside.mean()), 4),
        "rough": int((~frame["exact"]).sum()),
    }


def simulated(table: simulation.Table, errors: int, options: Fit) -> dict[str, Any]:
    """A row of the parts clean and injected."""
    data, wrong = table.data, set[tuple[str, str]]()
    if errors:
        data, wrong = with_errors(data, errors, table.seed)
    post = fitted(simulation.SPEC, data, table.seed, options)
    begun = time.perf_counter()
    row = counted(post.surprises(progress=False), wrong)
    seconds = time.perf_counter() - begun
    r_hat = _r_hat(post)
    return {"seed": table.seed, **row, "r_hat": r_hat, "seconds": round(seconds, 2)}


def _r_hat(post: sb.Posterior) -> float:
    """What 1% of the R-hats exceed."""
    return round(float(post.diagnostics().table["r_hat"].quantile(0.99)), 3)


def cells(tables: list[simulation.Table], each: int, options: Fit) -> Iterator[tuple[Cell, Any]]:
    """Scores to leave out, with their table and the row that weights make of them."""
    for table in tables:
        post = fitted(simulation.SPEC, table.data, table.seed, options)
        frame = post.surprises(progress=False).frame
        for i in np.linspace(0, len(frame) - 1, each).round().astype(int):
            row = frame.iloc[i]
            yield Cell(table.seed, row["model"], row["benchmark"]), (table.data, row)


def left_out(cell: Cell, data: sb.Leaderboard, row: Any, options: Fit) -> dict[str, Any]:
    """A row of the part exact: weights against a fit without the score."""
    rest = changed(data, {(cell.model, cell.benchmark): np.nan})
    post = fitted(simulation.SPEC, rest, cell.seed, options)
    who = rest.frame.set_index("model").loc[[cell.model]].reset_index()
    columns = ["model", "family", "lineage", "instruct", "params_b", "tokens_t"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        forecast = post.forecast(who[columns], benchmarks=[cell.benchmark], new_family=True)
    drawn = forecast.draws["score"].values.ravel()
    equal = (drawn == row["score"]).mean()  # at 0 and 1
    return {
        **cell._asdict(),
        "pit": row["pit"],
        "pit_of_fit": float((drawn < row["score"]).mean() + 0.5 * equal),
        "expected": row["expected"],
        "expected_of_fit": float(np.median(drawn)),
        "sd_of_fit": float(drawn.std()),
        "k_hat": row["k_hat"],
        "draws": drawn.size,
    }


def failures() -> pd.DataFrame:
    """The failures of format that the corrections of ``open_models`` name."""
    table = sb.load_corrections("open_models")
    named = set(sb.load_dataset("open_models", corrected=False).benchmark_names)
    emptied = (table["to"] == "") & table["column"].isin(named)
    return table[emptied & table["note"].str.contains(FAILURES)]


def known(post: sb.Posterior) -> pd.DataFrame:
    """Ranks of the failures, in percent of all scores."""
    frame = post.surprises().frame
    frame["rank"] = 100 * (np.arange(len(frame)) + 1) / len(frame)
    wanted = failures()[["model", "column", "note"]].rename(columns={"column": "benchmark"})
    columns = ["model", "benchmark", "score", "expected", "p", "flagged", "k_hat", "rank"]
    return wanted.merge(frame[columns], on=["model", "benchmark"], how="left")


def run(part: str, out: Path, given: argparse.Namespace, options: Fit) -> pd.DataFrame:
    """One part: its rows."""
    file = out / f"{part}.csv"

    def said(row: dict[str, Any]) -> str:
        return ", ".join(f"{name} {value}" for name, value in row.items())

    if part in ("clean", "injected"):
        errors = EACH if part == "injected" else 0
        tables = simulation.from_prior(given.tables)
        return resumed.rows(tables, lambda t: simulated(t, errors, options), file, said)
    if part == "exact":
        tables = list(simulation.from_prior(given.tables))[: given.of_exact]
        found = dict(cells(tables, given.cells, options))
        by = ("seed", "model", "benchmark")
        return resumed.rows(found, lambda c: left_out(c, *found[c], options), file, said, by)
    whole = {k: v for k, v in options.items() if k in ("method", "steps", "moves")}
    if part == "real":
        data, wrong = with_errors(sb.load_dataset("open_llm_leaderboard"), OF_REAL, 0)
        post = fitted(sb.Sloth(), data, 0, whole)
        row = counted(post.surprises(), wrong) | {"r_hat": _r_hat(post)}
        table = pd.DataFrame([row])
    else:
        path = out / "known.nc"
        if path.exists():
            post = sb.load(path)
        else:
            spec = sb.Sloth.from_toml(recipes.load("open").spec.to_toml())
            laid_out = design_of(spec, sb.load_dataset("open_models", corrected=False))
            post, r_hat = fits.by_lanes(spec, laid_out, laid_out.arrays, 0, **KNOWN)
            print(f"known: R-hat of expected scores at most {r_hat:.3f}", flush=True)
            post.save(path)
        table = known(post)
    table.to_csv(file, index=False)
    return table


def summary(part: str, table: pd.DataFrame) -> str:
    """What a part found, in a line."""
    if part == "known":
        seen = table[table["rank"].notna()]
        worst = (seen["rank"] <= 2).sum()
        return f"known: {worst} of {len(seen)} failures are among the worst 2% of the scores"
    if part == "exact":
        apart = (table["pit"] - table["pit_of_fit"]).abs()
        medians = (table["expected"] - table["expected_of_fit"]).abs() * 100
        return (
            f"exact: PITs of {len(table)} scores are {apart.mean():.3f} apart in the mean, "
            f"{apart.max():.3f} at most; medians {medians.mean():.2f} points"
        )
    total = table.sum(numeric_only=True)
    text = f"{part}: {total['flagged']:.0f} of {total['scores']:.0f} scores flagged"
    text += f", {table['outside_90'].mean():.1%} outside their 90% intervals"
    if total["errors"]:
        text += (
            f"; of {total['errors']:.0f} errors {total['errors_flagged']:.0f} flagged, "
            f"{total['errors_in_worst_5%']:.0f} among the worst 5%"
        )
    return text


def main() -> None:
    """Run the study from the command line."""
    parser = argparse.ArgumentParser(prog="python -m studies.surprises", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder that results go to")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--tables", type=int, default=10, help="simulated tables (10)")
    parser.add_argument("--cells", type=int, default=8, help="scores of a table left out (8)")
    parser.add_argument("--of-exact", type=int, default=2, help="tables of the part exact (2)")
    parser.add_argument("--method", choices=["nuts", "svi"], default="nuts")
    parser.add_argument("--steps", type=int, help="steps of a variational fit")
    parser.add_argument("--moves", type=int, help="with svi: trajectories of each draw")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    options: Fit = dict(simulation.FIT)
    if given.method == "svi":
        options = {name: options[name] for name in ("chains", "draws", "steps", "starts")}
        options["method"] = "svi"
    options |= {k: v for k in ("steps", "moves") if (v := getattr(given, k)) is not None}
    if given.steps is None:
        whole_steps = {name: value for name, value in options.items() if name != "steps"}
    else:
        whole_steps = options
    for part in given.part:
        use = whole_steps if part in ("real", "known") else options
        print(summary(part, run(part, given.out, given, use)))


if __name__ == "__main__":
    main()
