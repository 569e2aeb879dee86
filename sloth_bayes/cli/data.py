"""The verbs of ``sloth-bayes data``: tables that ship, and evaluation files of your own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..support.shipped import POSTERIOR
from .options import AsCsv, AsJson, PosteriorName, Progress, Seed, Strings, Tuned, command, split
from .output import (
    Output,
    cells,
    console,
    facts,
    plain,
    plain_table,
    rests_on,
    warnings_of,
)
from .output import as_csv as table_as_csv
from .request import read_observed, reading

if TYPE_CHECKING:
    from ..api import Posterior
    from ..predict.surprises import Surprises
    from ..table.leaderboard import Leaderboard
    from ..table.observed import Observed


def list_() -> None:
    """List the data sets that ship.

    Example: [bold]sloth-bayes data list[/bold]
    """
    from ..table.leaderboard import datasets

    names = ("name", "models", "benchmarks", "scores", "licence", "title")
    table = cells(datasets(), *[(name, f"{{{name}}}") for name in names])
    console().print(plain_table(*table, sides="lrrrll"))


@command
def show(
    name: Annotated[str, typer.Argument(show_default=False), "A data set that ships."],
    family: Annotated[Strings, "Show the scores of this family; repeatable."] = None,
    as_csv: Annotated[AsCsv, "The rows as CSV."] = False,
) -> None:
    """Show a data set: its benchmarks, what links them, its families; or one family's scores.

    Example: [bold]sloth-bayes data show open_llm_leaderboard --family qwen2[/bold]
    """
    from ..table.leaderboard import load_dataset

    data = load_dataset(name)
    chosen = data.select(families=split(family)) if family else data
    if as_csv:
        typer.echo(table_as_csv(chosen.frame), nl=False)
    elif family:
        _print_scores(chosen)
    else:
        _print_dataset(data)


def _print_scores(data: Leaderboard) -> None:
    """Scores of some models in percent, a table or more a leaderboard, to fit a narrow page."""
    out = console()
    frame = data.frame.sort_values(["family", "params_b"])
    for board in dict.fromkeys(b.leaderboard for b in data.benchmarks):
        names = [b.name for b in data.benchmarks if b.leaderboard == board]
        there = frame.dropna(subset=names, how="all").dropna(axis=1, how="all")
        if there.empty:
            continue
        head = {"model": "model", "params_b": "params B", "tokens_t": "tokens T"}
        about = [(c, head[c]) for c in head if c in there]
        # the title says the table that a name has in brackets, or begins with
        last = f"{board}".rpartition(" ")[2] + " "
        short = {n: n.partition(" (")[0].removeprefix(last) for n in names if n in there}
        room = out.width - max(map(len, there["model"])) - 9 * len(about) + 8
        for n, part in enumerate(_side_by_side(short, room)):
            of = (f" {board}" if board else "") + (", on" if n else "")
            out.print(f"{data.name}{of}: scores in percent", style="bold")
            rows = [
                [row["model"], *(plain(row[c]) for c, _ in about[1:]),
                 *(plain(row[name], ".1p") for name in part)]
                for row in there.to_dict("records")
            ]  # fmt: skip
            titles = [title for _, title in about] + [short[name] for name in part]
            out.print(plain_table(titles, rows, fixed=range(1), padding=(0, 1, 0, 0)))
            out.print()


def _side_by_side(short: dict[str, str], room: int) -> list[list[str]]:
    """Names in as few lists as the page has room for, by what stands above their columns."""
    parts: list[list[str]] = [[]]
    left = room
    for name, title in short.items():
        need = max(5, len(title)) + 1
        if parts[-1] and need > left:
            parts.append([])
            left = room
        parts[-1].append(name)
        left -= need
    return parts


def _print_dataset(data: Leaderboard) -> None:
    from ..table.benchmarks import settings
    from ..table.leaderboard import datasets

    out = console()
    about = datasets().set_index("name").loc[data.name]
    out.print(str(about["title"]), style="bold")
    out.print(
        f"{len(data)} models, {len(data.families)} families, {len(data.benchmarks)} benchmarks, "
        f"{data.n_scores} scores; {about['licence']}; {about['source']}; "
        f"fingerprint {data.fingerprint}\n"
    )
    known = settings(data.name)
    percent = 100 * data.frame[[b.name for b in data.benchmarks]]
    for board in dict.fromkeys(b.leaderboard for b in data.benchmarks):
        head = (board or "benchmark", "chance %", "questions", "scores", "range %", "setting")
        rows = [
            [
                b.name,
                f"{100 * b.chance:.1f}",
                str(b.n_questions or "-"),
                str(percent[b.name].count()),
                f"{percent[b.name].min():.1f} - {percent[b.name].max():.1f}",
                known[b.name],
            ]
            for b in data.benchmarks
            if b.leaderboard == board
        ]
        out.print(plain_table(head, rows, sides="lrrrrl", fixed=range(5)))
        out.print()
    shared = data.shared_models()
    out.print("models that leaderboards share", style="bold")
    rows = [[board, *map(str, row)] for board, row in zip(shared.index, shared.to_numpy())]
    out.print(plain_table(["", *shared.columns], rows))
    out.print("\nfamilies: " + ", ".join(data.families))


@dataclass
class Evaluations:
    """What evaluation files do not tell of their models, and how to read them."""

    model: Annotated[
        Strings, "What to call the model of the results; or rows to read of an export."
    ] = None
    family: Annotated[str | None, "Family (by default a new one, named as the model)."] = None
    lineage: Annotated[str | None, "Base family (by default that of the family)."] = None
    instruct: Tuned = None
    params: Annotated[
        Strings, "B|MODEL=B[,...]", "Size in billions of parameters, of all or by model."
    ] = None
    tokens: Annotated[Strings, "T|MODEL=T[,...]", "Training tokens in trillions, likewise."] = None
    allow_mismatch: Annotated[bool, "Use tasks with other shots, metrics or settings as well."] = (
        False
    )
    assume_leaderboard_shots: Annotated[bool, "Take the leaderboard's where a file gives none."] = (
        False
    )
    scale: Annotated[
        str | None, "points|fractions", "Unit of an export, if not as its format has it."
    ] = None


@command
def read(
    *,
    paths: Annotated[
        list[Path],
        typer.Argument(show_default=False),
        "PATH...",
        "Results of the lm-evaluation-harness, lighteval, HELM, OpenCompass or Inspect (or folders "
        "of them), or exports of the Open LLM Leaderboard (.csv, .parquet, .xlsx).",
    ],
    evaluations: Evaluations,
    as_json: AsJson = False,
    as_csv: Annotated[AsCsv, "One CSV row a model, as fit --data reads it."] = False,
) -> None:
    """Show which scores of your evaluation files count as the leaderboards' benchmarks.

    Example: [bold]sloth-bayes data read results.json --params 1.4 --tokens 0.3[/bold]
    """
    output = Output(as_json=as_json, as_csv=as_csv)
    found = read_observed(paths, **reading(**vars(evaluations)))
    # evaluations do not tell when a model was released
    parts = {
        "observed": found.frame.assign(date=None),
        "used": found.used,
        "skipped": found.skipped,
    }
    blank = {name: part.astype(object).where(part.notna(), None) for name, part in parts.items()}
    answer = {**blank, "warnings": found.messages}
    output.end(found.frame, answer, lambda: _print_observed(found), said=())


def _print_observed(found: Observed) -> None:
    from ..table.leaderboard import load_dataset

    out, known = console(), load_dataset().families
    for who in found.frame.itertuples():
        used = found.used[found.used["model"] == who.model]
        size = "unknown size" if math.isnan(who.params_b) else f"{who.params_b:.4g}B parameters"
        amount = "unknown" if math.isnan(who.tokens_t) else f"{who.tokens_t:g}T"
        new = "" if who.family in known else " (new)"
        out.print(
            f"{who.model}: family {who.family}{new}, {size}, {amount} tokens, "
            f"{'tuned' if who.instruct else 'base'}; scores in percent",
            style="bold",
        )
        words = {"metric": {"": "-"}, "matches": {True: "yes", False: "no"}}
        table = cells(
            used.astype(object).where(used.notna(), "-").replace(words),
            ("benchmark", "{benchmark}"),
            ("score", "{score:.1p}"),
            ("task", "{task}"),
            ("shots", "{shots}"),
            ("metric", "{metric}"),
            ("agrees", "{matches}"),
        )
        out.print(plain_table(*table, sides="lrlrll"))
        out.print()


@command
def surprises(
    *,
    posterior: PosteriorName = POSTERIOR,
    top: Annotated[int, typer.Option(min=0), "How many of the most surprising scores."] = 20,
    level: Annotated[float, "Scores are flagged whose two-sided p is at most this."] = 0.01,
    refit: Annotated[
        int, typer.Option(min=0), "N", "Settle the first N rough rows by a fit each."
    ] = 0,
    as_json: AsJson = False,
    as_csv: Annotated[AsCsv, "All scores, one CSV row each."] = False,
    seed: Seed = 0,
    progress: Progress = None,
) -> None:
    """Show observed scores that the posterior without them finds unlikely, worst first.

    Example: [bold]sloth-bayes data surprises --top 10[/bold]
    """
    from ..api import load

    output = Output(as_json=as_json, as_csv=as_csv)
    post = load(posterior)
    found = post.surprises(level=level, refit=refit, seed=seed, progress=progress)
    answer = {
        **facts("posterior method draws converged data version", post, posterior),
        "level": level,
        "scores": found.frame,
        "models": found.models,
        "warnings": warnings_of(post, posterior, found.messages),
    }
    output.end(
        found.frame,
        answer,
        lambda: _print_surprises(found, post, posterior, top),
        converged=post.known_verdict,
    )


def _print_surprises(found: Surprises, post: Posterior, name: str, top: int) -> None:
    out = console()
    scores, several = found.frame, found.models
    out.print(
        f"{scores['flagged'].sum()} of {len(scores)} scores are surprising (*: p at most "
        f"{found.level:g}; by chance alone about {found.level * len(scores):.0f} would be); "
        "in percent",
        style="bold",
    )
    table = cells(
        scores.head(top).assign(
            star=scores["flagged"].map({True: "*", False: ""}),
            rough=scores["exact"].map({True: "", False: "~"}),
        ),
        ("model", "{model}"),
        ("benchmark", "{benchmark}"),
        ("score", "{score:.1p}"),
        ("expected", "{expected:.1p}"),
        ("90% interval", "{lower:.1p} - {upper:.1p}"),
        ("is", "{direction}"),
        ("p", "{rough}{p:.1e}{star}"),
    )
    out.print(plain_table(*table, sides="llrrrlr", fixed=range(2, 7)))
    if several["flagged"].any():
        out.print(
            f"\n{several['flagged'].sum()} of {len(several)} models are surprising by all their "
            f"scores together (p at most {found.level:g}; by chance alone about "
            f"{found.level * len(several):.0f} would be)",
            style="bold",
        )
        table = cells(
            several[several["flagged"]].head(max(1, top // 2)),
            ("model", "{model}"),
            ("scores", "{n_scores}"),
            ("starred", "{n_flagged}"),
            ("worst", "{worst}"),
            ("mostly", "{direction}"),
            ("p", "{p:.1e}"),
        )
        out.print(plain_table(*table, sides="lrrllr", fixed=range(1, 6)))
    rough = "" if scores["exact"].all() else " ~ is a rough p."
    out.print(
        "\nHigh may be contamination, or another setting than the benchmark's; low a failure of "
        f"format, or a broken run.{rough}"
    )
    out.print("\n" + rests_on(post, name), style="dim")


@command
def build(
    out: Annotated[
        Path | None, "DIR", "Folder to write to (by default the checkout's data/)."
    ] = None,
) -> None:
    """Rebuild the tidy tables from the raw files kept beside them.

    Example: [bold]sloth-bayes data build --out tidy[/bold]
    """
    from ..table import rebuild as databuild

    for path in databuild.build(out):
        typer.echo(f"wrote {path}")
