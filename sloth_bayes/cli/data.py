"""The verbs of ``sloth-bayes data``: tables that ship, and evaluation files of your own."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import AsJson, Instruct, by_model, split
from .output import Output, console, plain, plain_table, records
from .request import read_observed

if TYPE_CHECKING:
    from ..table.leaderboard import Leaderboard
    from ..table.observed import Observed


def list_() -> None:
    """List the data sets that ship.

    Example: [bold]sloth-bayes data list[/bold]
    """
    from ..table.leaderboard import datasets

    columns = ("name", "models", "benchmarks", "scores", "licence", "title")
    table = plain_table(columns[:1], columns[1:4])
    for name in columns[4:]:
        table.add_column(name)
    for row in datasets().to_dict("records"):
        table.add_row(*(str(row[name]) for name in columns))
    console().print(table)


def show(
    name: Annotated[str, typer.Argument(help="A data set that ships.", show_default=False)],
    family: Annotated[
        list[str] | None, typer.Option(help="Show the scores of this family; repeatable.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="The rows as CSV.")] = False,
) -> None:
    """Show a data set: its benchmarks and families, or the scores of one family.

    Example: [bold]sloth-bayes data show open_llm_leaderboard --family qwen2[/bold]
    """
    from ..table.leaderboard import load_dataset

    data = load_dataset(name)
    chosen = data.select(families=split(family)) if family else data
    if as_csv:
        typer.echo(chosen.frame.to_csv(index=False), nl=False)
    elif family:
        _print_scores(chosen)
    else:
        _print_dataset(data)


def _print_scores(data: Leaderboard) -> None:
    """Scores of some models in percent, one table a leaderboard, to fit a narrow page."""
    out = console()
    frame = data.frame.sort_values(["family", "params_b"])
    boards = dict.fromkeys(b.leaderboard for b in data.benchmarks)
    for board in boards:
        names = [b.name for b in data.benchmarks if b.leaderboard == board]
        title = "" if board is None else f" {board}"
        out.print(f"{data.name}{title}: scores in percent", style="bold")
        table = plain_table(["model"], ["params B", "tokens T", *names])
        table.columns[0].overflow = "fold"
        for _, row in frame.iterrows():
            sizes = [plain(row["params_b"]), plain(row["tokens_t"])]
            table.add_row(row["model"], *sizes, *(plain(100 * row[n], ".1f") for n in names))
        out.print(table)
        out.print()


def _print_dataset(data: Leaderboard) -> None:
    from ..table.leaderboard import datasets

    out, frame = console(), data.frame
    about = datasets().set_index("name").loc[data.name]
    out.print(str(about["title"]), style="bold")
    out.print(
        f"{len(data)} models, {len(data.families)} families, {len(data.benchmarks)} benchmarks, "
        f"{data.n_scores} scores; {about['licence']}; {about['source']}; "
        f"fingerprint {data.fingerprint}\n"
    )
    head = ("leaderboard", "chance %", "questions", "scores", "range %")
    table = plain_table(["benchmark"], head)
    for b in data.benchmarks:
        scores = 100 * frame[b.name]
        table.add_row(
            b.name,
            b.leaderboard or "-",
            f"{100 * b.chance:.1f}",
            str(b.n_questions or "-"),
            str(int(scores.notna().sum())),
            f"{scores.min():.1f} - {scores.max():.1f}",
        )
    out.print(table)
    out.print("\nfamilies: " + ", ".join(data.families))


def read(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="Results of the lm-evaluation-harness (.json, or folders of them), or exports of "
            "the Open LLM Leaderboard (.csv).",
            show_default=False,
        ),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(help="What to call the model of the results; or rows to read of an export."),
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="Family (by default a new one, named as the model).")
    ] = None,
    lineage: Annotated[
        str | None, typer.Option(help="Base family (by default that of the family).")
    ] = None,
    instruct: Instruct = None,
    params: Annotated[
        list[str] | None,
        typer.Option(
            metavar="B|MODEL=B[,...]", help="Size in billions of parameters, of all or by model."
        ),
    ] = None,
    tokens: Annotated[
        list[str] | None,
        typer.Option(metavar="T|MODEL=T[,...]", help="Training tokens in trillions, likewise."),
    ] = None,
    allow_mismatch: Annotated[
        bool,
        typer.Option("--allow-mismatch", help="Use tasks with other shots or metrics as well."),
    ] = False,
    assume_leaderboard_shots: Annotated[
        bool,
        typer.Option(
            "--assume-leaderboard-shots", help="Take the leaderboard's where a file gives none."
        ),
    ] = False,
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="points|fractions", help="Unit of an export, if not as its format has it."
        ),
    ] = None,
    as_json: AsJson = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="One CSV row a model, as fit --data reads it.")
    ] = False,
) -> None:
    """Show which scores of your evaluation files count as the leaderboards' benchmarks.

    Example: [bold]sloth-bayes data read results.json --params 1.4 --tokens 0.3[/bold]
    """
    output = Output(as_json=as_json, as_csv=as_csv)
    found = read_observed(
        paths, model=split(model), family=family, lineage=lineage, instruct=instruct,
        params_b=by_model("--params", params), tokens_t=by_model("--tokens", tokens),
        allow_mismatch=allow_mismatch, assume_leaderboard_shots=assume_leaderboard_shots,
        scale=scale,
    )  # fmt: skip
    output.show(lambda: found.frame, lambda: _json(found), lambda: _print_observed(found))


def _json(found: Observed) -> dict[str, Any]:
    frame = found.frame.assign(date=None)  # evaluations do not tell when a model was released
    parts = {"observed": frame, "used": found.used, "skipped": found.skipped}
    answer: dict[str, Any] = {
        name: records(part.astype(object).where(part.notna(), None)) for name, part in parts.items()
    }
    return answer | {"warnings": found.messages}


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
        table = plain_table()
        for name in ("benchmark", "score", "task", "shots", "metric", "agrees"):
            table.add_column(name, justify="right" if name in ("score", "shots") else "left")
        for row in used.to_dict("records"):
            shots = "-" if row["shots"] != row["shots"] or row["shots"] is None else row["shots"]
            table.add_row(
                row["benchmark"], f"{100 * row['score']:.1f}", row["task"], str(shots),
                row["metric"] or "-", "yes" if row["matches"] else "no",
            )  # fmt: skip
        out.print(table)
        out.print()


def build(
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder to write to (by default the checkout's data/)."),
    ] = None,
) -> None:
    """Rebuild the tidy tables from the raw files kept beside them.

    Example: [bold]sloth-bayes data build --out tidy[/bold]
    """
    from ..table import rebuild as databuild

    for path in databuild.build(out):
        typer.echo(f"wrote {path}")
