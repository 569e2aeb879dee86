"""The commands ``figures`` and ``report``: a posterior as files for other readers."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import DataError, FileFormatError

if TYPE_CHECKING:
    import pandas as pd

Posterior = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE", help="A posterior that ships, or a file (ends in .nc or has a /)."
    ),
]
Seed = Annotated[int, typer.Option(help="Same seed, same numbers.")]


def figures(
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for the figures.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[,NAME...]", help="Figures to make (by default all)."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Make figures again that are there.")
    ] = False,
    contact_sheet: Annotated[
        bool, typer.Option("--contact-sheet", help="Also all of them on one PNG.")
    ] = False,
    posterior: Posterior = "leaderboard",
    seed: Seed = 0,
) -> None:
    """Every figure and table of the paper, with its uncertainty, as PDF, PNG, CSV and caption.

    Example: [bold]sloth-bayes figures --out figures --only errors,loadings[/bold]
    """
    from .cli import _say, _split

    _no_window()
    from . import figures as module

    names = _split(only)
    for name in names:
        module.check(name)
    if out is None:
        raise DataError("figures need a folder: sloth-bayes figures --out figures")
    found = module.make(out, posterior, only=names or None, seed=seed, force=force)
    for row in found[found["status"] == "left out"].itertuples():
        _say("warning", f"{row.name} is left out: {row.note}")
    width = max(len(name) for name in found["name"])
    for row in found.itertuples():
        typer.echo(f"{row.name:{width}}  {row.status:8}  {row.paper}")
    if contact_sheet:
        typer.echo(f"wrote {module.contact_sheet(out)}", err=True)


def report(
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The report to write, .html.")
    ] = None,
    family: Annotated[
        list[str] | None, typer.Option(help="Family of the model; repeat for several.")
    ] = None,
    params: Annotated[
        list[str] | None, typer.Option(metavar="B[,B...]", help="Size in billions of parameters.")
    ] = None,
    tokens: Annotated[
        list[str] | None, typer.Option(metavar="T[,T...]", help="Training tokens in trillions.")
    ] = None,
    grid: Annotated[
        bool, typer.Option("--grid", help="Cross families, sizes and tokens; else they pair up.")
    ] = False,
    lineage: Annotated[
        list[str] | None,
        typer.Option(help="Base family, if the family is new but its base is not."),
    ] = None,
    instruct: Annotated[
        bool | None,
        typer.Option("--instruct/--base", help="Tuned or base (by default as the family is)."),
    ] = None,
    new_family: Annotated[
        bool, typer.Option("--new-family", help="Accept a family that nobody has seen.")
    ] = False,
    benchmarks: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[,NAME...]", help="Benchmarks to show (by default all)."),
    ] = None,
    prob: Annotated[float, typer.Option(help="Mass of the interval, between 0 and 1.")] = 0.9,
    candidates: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="A table instead of the flags, as forecast takes it."),
    ] = None,
    observed: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help="Evaluations of your own smaller models, as forecast takes them; --params and "
            "--tokens are then theirs. Repeatable.",
        ),
    ] = None,
    target_params: Annotated[
        list[str] | None,
        typer.Option(metavar="B[,B...]", help="With --observed: sizes to forecast, in billions."),
    ] = None,
    target_tokens: Annotated[
        list[str] | None,
        typer.Option(metavar="T[,T...]", help="With --observed: their tokens, in trillions."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="With --observed: the name of the model, or the rows of an export."),
    ] = None,
    allow_mismatch: Annotated[
        bool,
        typer.Option("--allow-mismatch", help="With --observed: other shots or metrics as well."),
    ] = False,
    assume_leaderboard_shots: Annotated[
        bool,
        typer.Option(
            "--assume-leaderboard-shots",
            help="With --observed: the leaderboard's where a file gives none.",
        ),
    ] = False,
    posterior: Posterior = "leaderboard",
    seed: Seed = 0,
) -> None:
    """A forecast as one HTML file: tables, plots, diagnostics, and what was assumed.

    Example: [bold]sloth-bayes report --family qwen2 --params 200 --tokens 7 --out a.html[/bold]
    """
    from .cli import _amount, _check_folder, _one, _say, _split, _targets
    from .errors import ConvergenceWarning, ExtrapolationWarning
    from .posterior import load

    if out is None:
        raise DataError("a report needs a file: sloth-bayes report ... --out report.html")
    if out.suffix.lower() not in (".html", ".htm"):
        raise FileFormatError(f"--out {out}: a report ends in .html.")
    _check_folder(out)
    flags = {"--family": family, "--params": params, "--tokens": tokens, "--lineage": lineage}
    only_observed = {
        "--target-params": target_params, "--target-tokens": target_tokens, "--model": model,
        "--allow-mismatch": allow_mismatch, "--assume-leaderboard-shots": assume_leaderboard_shots,
    }  # fmt: skip
    found = None
    if observed:
        if candidates is not None or new_family:
            other = "--new-family" if candidates is None else "--candidates"
            raise DataError(f"{other} does not go with --observed, whose family is then known.")
        found, rows = _targets(
            observed, target_params, target_tokens, grid, model=_split(model),
            family=_one("--family", family), lineage=_one("--lineage", lineage),
            instruct=instruct, params_b=_amount("--params", params),
            tokens_t=_amount("--tokens", tokens), allow_mismatch=allow_mismatch,
            assume_leaderboard_shots=assume_leaderboard_shots,
        )  # fmt: skip
    else:
        for name, value in only_observed.items():
            if value:
                raise DataError(
                    f"{name} goes with --observed FILE, the evaluation of your own model."
                )
        rows = _candidates(candidates, flags, grid, instruct)
    _no_window()
    from .report import write

    with warnings.catch_warnings():
        for kind in (ExtrapolationWarning, ConvergenceWarning):
            warnings.simplefilter("ignore", kind)  # the report says them
        post = load(posterior)
        if found is not None:
            post = post.condition(found, seed=seed)
        fc = post.forecast(
            rows, prob=prob, seed=seed, new_family=new_family,
            benchmarks=list(dict.fromkeys(_split(benchmarks))) or None,
        )  # fmt: skip
        path = write(fc, out)
    for note in fc.warnings:
        _say("warning", note)
    typer.echo(f"wrote {path}", err=True)


def _candidates(
    table: Path | None, flags: dict[str, Any], grid: bool, instruct: bool | None
) -> pd.DataFrame:
    """The models asked for, as ``forecast`` takes them."""
    from .cli import _numbers, _read_candidates, _split
    from .forecast import candidates

    if table is not None:
        clash = [name for name, value in flags.items() if value]
        clash += ["--grid"] * grid + ["--instruct/--base"] * (instruct is not None)
        if clash:
            raise DataError(f"--candidates replaces {clash[0]}: put it into the table.")
        return _read_candidates(table)
    missing = [name for name in ("--family", "--params", "--tokens") if not flags[name]]
    if missing:
        raise DataError(
            f"a report needs {' and '.join(missing)}, or --candidates: sloth-bayes report --family "
            "meta-llama-3 --params 405 --tokens 15 --out report.html"
        )
    return candidates(
        _split(flags["--family"]),
        _numbers("--params", flags["--params"], "billions of parameters"),
        _numbers("--tokens", flags["--tokens"], "trillions of tokens"),
        lineage=_split(flags["--lineage"]) or None, instruct=instruct, grid=grid,
    )  # fmt: skip


def _no_window() -> None:
    import matplotlib

    matplotlib.use("Agg")
