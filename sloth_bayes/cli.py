"""The command line, ``sloth-bayes``.

Tables for people by default, JSON and CSV for programs; results on standard output,
warnings and progress on standard error. Exit status: 0 good, 1 not converged, 2 bad
input, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperGroup

from ._files import read_table
from .down_cli import downstream
from .errors import DataError, FileFormatError, SlothBayesError
from .figure_cli import figures, report
from .passk_cli import passk
from .plan_cli import plan_app
from .ratings_cli import ratings

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from .diagnostics import Diagnostics
    from .evaluation import Evaluation
    from .forecast import Forecast
    from .leaderboard import Leaderboard
    from .observed import Observed
    from .recipes import Recipe
    from .scoreboard import Scoreboard
    from .skills import Skills
    from .tracking import Tracking

PIPED_WIDTH = 100  # columns, where there is no terminal to ask
_BAR = 30
_EXAMPLE = "sloth-bayes forecast --family meta-llama-3 --params 405 --tokens 15"
_SKILLS = (
    "loadings",
    "communality",
    "correlations",
    "families",
    "models",
    "coefficients",
    "tuning",
)
_NOT_CONVERGED, _BAD_INPUT, _INTERRUPTED, _CLOSED_PIPE = 1, 2, 130, 141
# typer bundles click, or depends on it: reached through what it exports
_ClickException = cast("type[Exception]", typer.BadParameter.__mro__[2])


class _Group(TyperGroup):
    """Turns every error a user can cause into one sentence and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except BrokenPipeError:
            # The reader has gone (| head): nothing more may be written, not even at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(_CLOSED_PIPE) from None
        except KeyboardInterrupt:
            typer.echo("sloth-bayes: interrupted", err=True)
            raise typer.Exit(_INTERRUPTED) from None
        except SlothBayesError as error:
            _say("error", str(error))
            raise typer.Exit(_BAD_INPUT) from None

    def main(self, *args: Any, **options: Any) -> Any:
        standalone = options.get("standalone_mode", True)
        options["standalone_mode"] = False
        if not standalone:
            return super().main(*args, **options)
        try:
            status = super().main(*args, **options)
        except _ClickException as error:  # a misspelt option or command, a missing value
            context = getattr(error, "ctx", None)
            where = f" (see {context.command_path} --help)" if context else ""
            message = getattr(error, "format_message", error.__str__)()
            _say("error", message.rstrip(".") + where)
            status = _BAD_INPUT
        sys.exit(status or 0)


app = typer.Typer(
    cls=_Group,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(rich_markup_mode="rich")
app.add_typer(data_app, name="data")
app.add_typer(plan_app, name="plan")
app.command()(ratings)
app.command()(downstream)
app.command()(passk)
app.command()(figures)
app.command()(report)


def main() -> None:
    """Run the command line."""
    app(prog_name="sloth-bayes")


def _show_version(value: bool) -> None:
    if value:
        from . import __version__

        typer.echo(f"sloth-bayes {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version)
    ] = False,
) -> None:
    """What would a language model score that nobody has trained, and how sure are we?

    Example: [bold]sloth-bayes forecast --family meta-llama-3 --params 405 --tokens 15[/bold]
    """
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


@data_app.callback(invoke_without_command=True)
def _data(ctx: typer.Context) -> None:
    """Tables that ship with the package: list, show, rebuild; and your evaluation files: read.

    Example: [bold]sloth-bayes data show open_llm_leaderboard --family qwen2[/bold]
    """
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


# -- forecast ----------------------------------------------------------------------------

PosteriorOption = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE", help="A posterior that ships, or a file (ends in .nc or has a /)."
    ),
]


@app.command()
def forecast(
    family: Annotated[
        list[str] | None, typer.Option(help="Family of the model; repeat for several.")
    ] = None,
    params: Annotated[
        list[str] | None,
        typer.Option(metavar="B[,B...]", help="Size in billions of parameters."),
    ] = None,
    tokens: Annotated[
        list[str] | None,
        typer.Option(metavar="T[,T...]", help="Training tokens in trillions."),
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
    of: Annotated[
        str,
        typer.Option(
            metavar="score|expected",
            help="What an evaluation would report, or its expectation, without that noise.",
        ),
    ] = "score",
    candidates: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="A table instead of the flags: family, params_b, tokens_t; optional: model, "
            "lineage, instruct.",
        ),
    ] = None,
    observed: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help="Evaluations of your own smaller models, read as data read does; --params and "
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
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw a figure (.png, .pdf, .svg).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="One CSV row a model and benchmark.")
    ] = False,
    posterior: PosteriorOption = "leaderboard",
    seed: Annotated[int, typer.Option(help="Same seed, same numbers.")] = 0,
) -> None:
    """Forecast the scores of models that nobody has trained, with intervals.

    Example: [bold]sloth-bayes forecast --family qwen2 --params 72 --tokens 12 --plot a.png[/bold]
    """
    if as_json and as_csv:
        raise DataError("--json and --csv exclude each other: ask for one of them.")
    if plot is not None:
        _check_figure(plot)
    flags = {"--family": family, "--params": params, "--tokens": tokens, "--lineage": lineage}
    only_observed = {
        "--target-params": target_params, "--target-tokens": target_tokens, "--model": model,
        "--allow-mismatch": allow_mismatch, "--assume-leaderboard-shots": assume_leaderboard_shots,
    }  # fmt: skip
    for name, value in only_observed.items():
        if value and not observed:
            raise DataError(f"{name} goes with --observed FILE, the evaluation of your own model.")
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
    elif candidates is not None:
        clash = [name for name, value in flags.items() if value]
        clash += ["--grid"] * grid + ["--instruct/--base"] * (instruct is not None)
        if clash:
            raise DataError(f"--candidates replaces {clash[0]}: put it into the table.")
        rows = _read_candidates(candidates)
    else:
        missing = [name for name in ("--family", "--params", "--tokens") if not flags[name]]
        if missing:
            raise DataError(
                f"a forecast needs {' and '.join(missing)} (billions of parameters, trillions "
                f"of tokens): {_EXAMPLE}"
            )
        from .forecast import candidates as make

        families, lineages = _split(family), _split(lineage)
        sizes = _numbers("--params", params, "billions of parameters")
        amounts = _numbers("--tokens", tokens, "trillions of tokens")
        counts = [len(families), len(sizes), len(amounts), len(lineages)]
        lengths = {name: count for name, count in zip(flags, counts) if count > 1}
        if len(set(lengths.values())) > 1 and not grid:
            listed = " and ".join(f"{name} has {n} values" for name, n in lengths.items())
            raise DataError(f"{listed}: lists must pair up; add --grid to cross them.")
        rows = make(
            families, sizes, amounts, lineage=lineages or None, instruct=instruct, grid=grid
        )

    from .errors import ConvergenceWarning, ExtrapolationWarning
    from .posterior import load

    post = load(posterior)
    fitted = post.known_verdict
    with warnings.catch_warnings():
        for kind in (ExtrapolationWarning, ConvergenceWarning):
            warnings.simplefilter("ignore", kind)  # reported below, as text
        if found is not None:
            post = post.condition(found, seed=seed)
        fc = post.forecast(
            rows,
            prob=prob,
            seed=seed,
            new_family=new_family,
            benchmarks=list(dict.fromkeys(_split(benchmarks))) or None,
        )
    frame = fc.summary(of=of)
    notes = list(fc.warnings)
    converged = post.known_verdict
    if found is not None and converged is False and fitted is not False:
        notes.append(post.diagnostics().messages[0])
    elif converged is False:
        notes.append(
            f"posterior {posterior!r} has not converged: see sloth-bayes diagnose"
            + ("" if posterior == "leaderboard" else f" --posterior {posterior}")
        )
    for note in notes:
        _say("warning", note)
    if as_json:
        typer.echo(json.dumps(_forecast_json(fc, frame, posterior, seed, of, converged, notes)))
    elif as_csv:
        typer.echo(frame.to_csv(index=False), nl=False)
    else:
        _print_forecast(fc, frame, posterior, of)
    if plot is not None:
        _draw(fc, plot)


def _forecast_json(
    fc: Forecast,
    frame: pd.DataFrame,
    name: str,
    seed: int,
    of: str,
    converged: bool | None,
    notes: list[str],
) -> dict[str, Any]:
    from . import __version__

    post = fc._posterior
    return {
        "forecast": _records(frame),
        "meta": {
            "posterior": name,
            "method": post.method,
            "models": len(post.models),
            "draws": post.n_draws,
            "converged": converged,
            "data": str(post.attrs["data"]),
            "data_fingerprint": str(post.attrs["data_fingerprint"]),
            "prob": fc.prob,
            "of": of,
            "seed": seed,
            "version": __version__,
            **({"conditioned": done} if (done := post.attrs.get("conditioned")) else {}),
        },
        "warnings": notes,
    }


def _print_forecast(fc: Forecast, frame: pd.DataFrame, name: str, of: str) -> None:
    from rich.table import Table

    post, console = fc._posterior, _console()
    what = "score" if of == "score" else "expected score"
    labels = max(len(b) for b in fc.benchmarks)
    with_bar = console.width >= labels + _BAR + 32
    unicode = (console.encoding or "").lower().startswith("utf")
    rows = frame.to_dict("records")
    each = len(rows) // len(fc.candidates)
    for i, who in enumerate(fc.candidates.itertuples()):
        kind = "tuned" if who.instruct else "base"
        new = "" if who.family in post.families else " (new)"
        size = f"{who.params_b:g}B parameters, {who.tokens_t:g}T tokens"
        console.print(f"{who.family}{new}, {size}, {kind}: {what} in percent", style="bold")
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("benchmark")
        table.add_column("median", justify="right")
        table.add_column(f"{100 * fc.prob:g}% interval", justify="right", no_wrap=True)
        if with_bar:
            table.add_column(f"0{'50':^{_BAR - 4}}100", no_wrap=True)
        for row in rows[i * each : (i + 1) * each]:
            low, middle, high = 100 * row["lower"], 100 * row["median"], 100 * row["upper"]
            cells = [row["benchmark"], f"{middle:.1f}", f"{low:.1f} - {high:4.1f}"]
            if with_bar:
                cells.append(_bar(low, middle, high, unicode))
            table.add_row(*cells)
        console.print(table)
        console.print()
    sizes = post._tree["posterior"].sizes
    notes = post.attrs.get("conditioned", [])
    fitted = len(post.models) - sum(len(note["models"]) for note in notes)
    console.print(
        f"Posterior {name}: {post.method.upper()}, {sizes['chain']} x {sizes['draw']} draws, "
        f"fitted on {fitted} models of {post.attrs['data']}.",
        style="dim",
    )
    if notes and post.known_verdict is not False:
        console.print(post.diagnostics().messages[0] + " Below 0.7 is good.", style="dim")


def _targets(
    paths: list[Path],
    sizes: list[str] | None,
    tokens: list[str] | None,
    grid: bool,
    **options: Any,
) -> tuple[Observed, pd.DataFrame]:
    """What was observed of your own models, and the models of their families to forecast."""
    import pandas as pd

    from .forecast import candidates as make

    for name, value in (("--target-params", sizes), ("--target-tokens", tokens)):
        if not value:
            raise DataError(f"--observed needs {name}: which model of the family to forecast?")
    found = _read_observed(paths, **options)
    for who in found.frame.itertuples():
        for value, what, option in (
            (who.params_b, "size", "--params"), (who.tokens_t, "number of tokens", "--tokens"),
        ):  # fmt: skip
            if math.isnan(value):
                text = f"the {what} of {who.model} is unknown and drawn, given its scores; "
                _say("warning", text + f"{option} says it, for a narrower forecast")
    columns = ["family", "lineage", "instruct"]
    each = [
        make(
            str(who.family),
            _numbers("--target-params", sizes, "billions of parameters"),
            _numbers("--target-tokens", tokens, "trillions of tokens"),
            lineage=str(who.lineage), instruct=bool(who.instruct), grid=grid,
        )
        for who in found.frame[columns].drop_duplicates("family").itertuples()
    ]  # fmt: skip
    return found, pd.concat(each, ignore_index=True)


def _one(option: str, values: list[str] | None) -> str | None:
    parts = _split(values)
    if len(parts) > 1:
        raise DataError(f"{option} takes one name with --observed: it is of all models read.")
    return parts[0] if parts else None


def _bar(low: float, middle: float, high: float, unicode: bool) -> str:
    """An interval on an axis from 0 to 100."""
    line, dot, empty = "━●·" if unicode else "=o."

    def cell(value: float) -> int:
        return min(_BAR - 1, int(value / 100 * _BAR))

    inside = range(cell(low), cell(high) + 1)
    cells = [line if k in inside else empty for k in range(_BAR)]
    cells[cell(middle)] = dot
    return "".join(cells)


def _check_figure(path: Path) -> None:
    kinds = (".png", ".pdf", ".svg")
    if path.suffix.lower() not in kinds:
        raise DataError(f"--plot {path}: a figure ends in {', '.join(kinds)}.")
    _check_folder(path)


def _draw(fc: Forecast | Skills | Tracking, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from ._files import atomic_path

    figure = fc.plot().flat[0].figure
    try:
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=160)
    except OSError as error:
        raise FileFormatError(f"cannot write {path}: {error.strerror or error}") from None
    typer.echo(f"wrote {path}", err=True)


def _read_candidates(path: Path) -> pd.DataFrame:
    """A table of candidates, with names filled in and flags made plain."""
    import pandas as pd

    frame = read_table(path, dtype="str")
    for column in ("family", "params_b", "tokens_t"):
        if column not in frame:
            raise DataError(
                f"{path} lacks the column {column!r}: candidates have family, params_b (billions) "
                "and tokens_t (trillions)."
            )
        for i, value in enumerate(frame[column]):
            if pd.isna(value):
                raise DataError(f"{path}: {column} of row {i + 1} is empty.")
    for column in ("params_b", "tokens_t"):
        frame[column] = [
            _number(f"{path}: {column} of row {i + 1}", v) for i, v in enumerate(frame[column])
        ]
    if "instruct" in frame:
        known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        flags: list[bool | None] = []
        for i, value in enumerate(frame["instruct"]):
            flag = None if pd.isna(value) else known.get(value.strip().lower(), value)
            if isinstance(flag, str):
                raise DataError(f"{path}: instruct of row {i + 1} is {flag!r}: true or false.")
            flags.append(flag)
        frame["instruct"] = pd.Series(flags, dtype=object)
    if "model" not in frame:
        frame["model"] = None
    named = [f"{r.family}-{r.params_b:g}B-{r.tokens_t:g}T" for r in frame.itertuples()]
    frame["model"] = frame["model"].where(frame["model"].notna(), pd.Series(named, dtype=object))
    return frame


# -- fit ---------------------------------------------------------------------------------


@app.command()
def fit(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="[RECIPE]",
            help="A folder with a spec.toml, such as models/leaderboard, or the name of one that "
            "ships.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="CSV|NAME", help="A table of your own, or a data set that ships."),
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option(
            metavar="TOML",
            help="The specification for --data (by default that of the leaderboard recipe).",
        ),
    ] = None,
    benchmarks: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[,NAME...]",
            help="Score columns of --data (by default those of the Open LLM Leaderboard).",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where to save the posterior, .nc. Without it, posterior.nc and card.md go into "
            "the recipe's own folder.",
        ),
    ] = None,
    method: Annotated[str | None, typer.Option(metavar="nuts|svi", help="Inference.")] = None,
    chains: Annotated[int | None, typer.Option(help="NUTS chains.")] = None,
    draws: Annotated[int | None, typer.Option(help="Draws a chain.")] = None,
    warmup: Annotated[int | None, typer.Option(help="Warm-up iterations a chain.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of a variational fit.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same numbers.")] = None,
    progress: Annotated[
        bool | None,
        typer.Option("--progress/--no-progress", help="Progress bar (by default in a terminal)."),
    ] = None,
) -> None:
    """Fit a recipe, or your own table; save the posterior; say whether it converged.

    Example: [bold]sloth-bayes fit --data mine.csv --out mine.nc --method svi[/bold]
    """
    from .design import design
    from .recipes import CARD, POSTERIOR, write_card

    asked = {
        "method": method, "chains": chains, "draws": draws, "warmup": warmup, "steps": steps,
        "seed": seed,
    }  # fmt: skip
    changes: dict[str, Any] = {k: v for k, v in asked.items() if v is not None}
    plan, table = _plan(recipe, data, spec, _split(benchmarks))
    target = _own_folder(recipe, plan, changes) / POSTERIOR if out is None else out
    if target.suffix != ".nc":
        raise DataError(f"--out {target}: a posterior is a netCDF file, its name ends in .nc.")
    _check_folder(target)

    options = dataclasses.replace(plan.fit, **changes)
    laid_out = design(table, plan.spec.inputs)
    typer.echo(
        f"{plan.name}: {len(laid_out.models)} models of {table.name}, {laid_out.n_observed} scores "
        f"on {len(laid_out.benchmarks)} benchmarks."
    )
    if laid_out.left_out:
        typer.echo(
            f"Left out, without size or tokens: {', '.join(laid_out.left_out)} "
            f"({len(laid_out.left_out)} models)."
        )
    effort = (
        f"{options.chains} chains x {options.draws} draws after {options.warmup}"
        if options.method == "nuts"
        else f"{options.steps} steps"
    )
    typer.echo(f"Fitting by {options.method.upper()}, {effort}, seed {options.seed} ...")
    start = time.perf_counter()
    post = plan.spec.fit(table, **options.arguments(), progress=progress)
    seconds = time.perf_counter() - start
    found = post.diagnostics()
    if out is None:
        kept = post.slim(min(options.slim_draws, post.n_draws))
        beside = None
        if options.method == "nuts":  # the card says how far variational inference is from it
            beside = plan.spec.fit(table, method="svi", seed=options.seed, progress=progress)
        path = target.with_name(CARD)
        card = write_card(post, found, seconds, path, kept=kept.n_draws, svi=beside)
        saved = [str(kept.save(target)), str(card)]
    else:
        saved = [str(post.save(target))]
    typer.echo(f"Fitted in {seconds:.0f} s. {found.messages[0]}")
    for message in found.messages[1:]:
        typer.echo(f"- {message}")
    typer.echo(f"Saved {' and '.join(saved)}.")
    if not found.ok:
        _say("warning", f"not converged: {target} is saved, but do not rely on its intervals")
        raise typer.Exit(_NOT_CONVERGED)


def _plan(
    recipe: str | None, data: str | None, spec: Path | None, benchmarks: list[str]
) -> tuple[Recipe, Leaderboard]:
    """What to fit, and on which table."""
    from .leaderboard import Leaderboard, load_dataset
    from .recipes import FitOptions, Recipe, load
    from .spec import Sloth

    if recipe is not None:
        given = {"--data": data, "--spec": spec, "--benchmarks": benchmarks}
        clash = [name for name, value in given.items() if value]
        if clash:
            raise DataError(
                f"{clash[0]} does not go with a recipe, whose spec.toml says it: to fit its "
                "specification to a table of your own, use --data CSV --spec TOML."
            )
        plan = load(recipe)
        return plan, plan.data()
    if data is None:
        raise DataError(
            "fit needs a recipe or --data: sloth-bayes fit models/leaderboard, or "
            "sloth-bayes fit --data mine.csv --out mine.nc"
        )
    if data.lower().endswith(".csv") or "/" in data or os.sep in data:
        table = Leaderboard.from_csv(data, benchmarks or None)
    else:
        table = load_dataset(data)
        table = table.select(benchmarks=benchmarks) if benchmarks else table
    chosen = Sloth() if spec is None else Sloth.from_toml(spec)
    return Recipe(Path(data).stem, chosen, Path(), FitOptions()), table


def _own_folder(recipe: str | None, plan: Recipe, changes: dict[str, Any]) -> Path:
    """The folder of a recipe, if the fit may be written there."""
    from . import _shipped
    from .recipes import is_path

    if recipe is None:
        raise DataError("say where to save the posterior: --out FILE.nc")
    package = Path(_shipped.__file__).resolve().parent
    if not is_path(recipe) or package in plan.folder.resolve().parents:
        raise DataError(
            f"recipe {plan.name!r} ships with the package and is read-only: add --out FILE.nc "
            "(in a checkout, give its folder: models/" + plan.name + ")"
        )
    if changes:
        raise DataError(
            f"--{next(iter(changes))} departs from {plan.folder / 'spec.toml'}: change it there, "
            "or add --out FILE.nc"
        )
    return plan.folder


# -- diagnose ----------------------------------------------------------------------------


@app.command()
def diagnose(
    posterior: PosteriorOption = "leaderboard",
    top: Annotated[int, typer.Option(min=0, help="How many of the worst quantities.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Say whether a posterior has converged, and show its worst quantities.

    Example: [bold]sloth-bayes diagnose --posterior mine.nc --top 20[/bold]
    """
    from .posterior import load

    found = load(posterior).diagnostics()
    if as_json:
        worst = _records(found.table.head(top))
        summary = {"ok": found.ok, "messages": list(found.messages), "worst": worst}
        typer.echo(json.dumps(summary))
    else:
        _print_diagnostics(found, top)
    if not found.ok:
        raise typer.Exit(_NOT_CONVERGED)


def _print_diagnostics(found: Diagnostics, top: int) -> None:
    from rich.table import Table

    console = _console()
    for message in found.messages:
        console.print(message)
    worst = found.table.head(top)
    if worst.empty:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("quantity", overflow="fold")
    for name in ("R-hat", "bulk ESS", "tail ESS", "MCSE"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in worst.to_dict("records"):
        table.add_row(
            row["quantity"],
            _plain(row["r_hat"], ".3f"),
            _plain(row["ess_bulk"], ".0f"),
            _plain(row["ess_tail"], ".0f"),
            _plain(row["mcse"], ".2g"),
        )
    console.print(f"\nThe worst of {len(found.table)} quantities:", style="bold")
    console.print(table)


# -- skills ------------------------------------------------------------------------------


@app.command()
def skills(
    posterior: PosteriorOption = "leaderboard",
    rotation: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="geomin, quartimin, oblimin, promax, varimax, or none at all."
        ),
    ] = "geomin",
    names: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[,NAME...]", help="Names of the skills, in order."),
    ] = None,
    instruct: Annotated[
        bool | None,
        typer.Option("--instruct/--base", help="Rank only tuned, or only base families."),
    ] = None,
    top: Annotated[int, typer.Option(min=0, help="Families to show of each ranking.")] = 5,
    prob: Annotated[float, typer.Option(help="Mass of the intervals, between 0 and 1.")] = 0.9,
    table: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="The table that --csv writes: " + ", ".join(_SKILLS) + "."
        ),
    ] = "loadings",
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw the loadings (.png, .pdf, .svg).")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object with all tables.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One table as CSV: see --table.")] = False,
    seed: Annotated[int, typer.Option(help="Same seed, same numbers.")] = 0,
) -> None:
    """Show the skills: what each benchmark needs, and which families have them.

    Example: [bold]sloth-bayes skills --base --top 10 --plot loadings.pdf[/bold]
    """
    if as_json and as_csv:
        raise DataError("--json and --csv exclude each other: ask for one of them.")
    if plot is not None:
        _check_figure(plot)
    from .errors import unknown
    from .posterior import load
    from .rotation import METHODS

    if table not in _SKILLS:
        raise unknown("table", table, _SKILLS)
    if rotation == "target":
        by_name = ", ".join(m for m in METHODS if m != "target")
        raise DataError(f"a target is a matrix: use Posterior.skills. Here: {by_name}.")
    post = load(posterior)
    found = post.skills(rotation, names=_split(names) or None, prob=prob, seed=seed)
    notes = list(found.messages)
    if post.known_verdict is False:
        notes.append(f"posterior {posterior!r} has not converged: see sloth-bayes diagnose")
    for note in notes:
        _say("warning", note)

    def made(name: str) -> pd.DataFrame:
        if name == "families":
            return found.families(instruct=instruct)
        return cast("pd.DataFrame", getattr(found, name)())

    if as_json:
        from . import __version__

        answer: dict[str, Any] = {name: _records(made(name)) for name in _SKILLS}
        answer["quality"] = _records(found.quality.reset_index())
        answer["meta"] = {
            "posterior": posterior, "method": post.method, "rotation": found.rotation,
            "skills": found.names, "ambiguous": found.ambiguous, "prob": prob, "seed": seed,
            "data": str(post.attrs["data"]), "version": __version__,
        }  # fmt: skip
        typer.echo(json.dumps(answer | {"warnings": notes}))
    elif as_csv:
        typer.echo(made(table).to_csv(index=False), nl=False)
    else:
        _print_skills(found, made("families"), top, posterior)
    if plot is not None:
        _draw(found, plot)


def _print_skills(found: Skills, families: pd.DataFrame, top: int, name: str) -> None:
    from rich.table import Table

    console, post = _console(), found._posterior
    mass = f"{100 * found.prob:g}%"
    console.print(
        f"Loadings ({found.rotation}): logits per standard deviation of skill, {mass} interval; "
        "* sign certain",
        style="bold",
    )
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("benchmark", no_wrap=True)
    for skill in found.names:
        table.add_column(skill, justify="right")
    table.add_column("its own", justify="right", no_wrap=True)
    own = found.communality().set_index("benchmark")["own"]
    for benchmark, cells in found.table().iterrows():
        # an interval goes under its mean where both do not fit on a line
        table.add_row(str(benchmark), *map(str, cells), f"{100 * own[benchmark]:.0f}%")
    console.print(table)
    pairs = [
        f"{r.skill} and {r.with_skill} {r.mean:.2f} [{r.lower:.2f}, {r.upper:.2f}]"
        for r in found.correlations().itertuples()
    ]
    if pairs:
        console.print("\nCorrelations: " + "; ".join(pairs) + ".")
    for skill in found.names if top else ():
        rows = families[families["skill"] == skill]
        console.print(
            f"\n{skill}: families by efficiency, in standard deviations, at typical size and "
            f"tokens (of {len(rows)})",
            style="bold",
        )
        ranking = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for head in ("family", "", "mean", f"{mass} interval", "rank", "P(best)"):
            ranking.add_column(head, justify="left" if head in ("family", "") else "right")
        for row in rows.head(top).itertuples():
            ranking.add_row(
                row.family, "tuned" if row.instruct else "base", f"{row.mean:.2f}",
                f"{row.lower:.2f} to {row.upper:5.2f}",
                f"{row.rank:.0f} ({row.rank_lower:.0f}-{row.rank_upper:.0f})",
                f"{row.p_best:.2f}",
            )  # fmt: skip
        console.print(ranking)
    console.print(
        f"\nPosterior {name}: {post.method.upper()}, {post.n_draws} draws, fitted on "
        f"{len(post.models)} models of {post.attrs['data']}.",
        style="dim",
    )


# -- evaluate ----------------------------------------------------------------------------


@app.command()
def evaluate(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="[RECIPE]",
            help="The specification: a recipe that ships, a folder with a spec.toml, or a baseline "
            "(--baselines lists them).",
        ),
    ] = "leaderboard",
    protocol: Annotated[
        str,
        typer.Option(
            metavar="published|lineage|family|YYYY-MM",
            help="The published folds; one fold a lineage or family; or families released since "
            "a month.",
        ),
    ] = "published",
    hide: Annotated[
        str,
        typer.Option(
            metavar="strict|family", help="Hide relatives of the test models, or only the models."
        ),
    ] = "strict",
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--folds", metavar="KEY[,KEY...]", help="Only these folds, such as lb_v1/2/opt."
        ),
    ] = None,
    observed: Annotated[
        int, typer.Option(min=0, help="Models of a test family that stay visible (not published).")
    ] = 1,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="CSV|NAME",
            help="A table (by default the leaderboard: as published for the published folds, else "
            "corrected).",
        ),
    ] = None,
    benchmarks: Annotated[
        list[str] | None, typer.Option(metavar="NAME[,NAME...]", help="Score columns of --data.")
    ] = None,
    method: Annotated[str, typer.Option(metavar="svi|nuts", help="Inference.")] = "svi",
    steps: Annotated[int | None, typer.Option(help="Steps of a variational fit.")] = None,
    draws: Annotated[int | None, typer.Option(help="Draws (of each chain).")] = None,
    warmup: Annotated[int | None, typer.Option(help="Warm-up iterations of a chain.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same numbers.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Keep every forecast here; a run that was interrupted goes on from it.",
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="The scoreboard: strict, twins visible, every lineage, time splits, and all "
            "baselines. Needs --out.",
        ),
    ] = False,
    list_baselines: Annotated[
        bool, typer.Option("--baselines", help="List the baselines and leave.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    progress: Annotated[
        bool | None,
        typer.Option("--progress/--no-progress", help="Progress bar (by default in a terminal)."),
    ] = None,
) -> None:
    """Forecast models that were hidden from the fit, and score the forecasts.

    Example: [bold]sloth-bayes evaluate --protocol 2024-03 --out since-2024-03[/bold]
    """
    from . import baselines, recipes, scoreboard
    from .evaluation import cross_validate

    if list_baselines:
        typer.echo("\n".join(baselines.names()))
        return
    asked = {"steps": steps, "draws": draws, "warmup": warmup}
    options: dict[str, Any] = {k: v for k, v in asked.items() if v is not None}
    if everything:
        if out is None:
            raise DataError("--all writes many files: say where with --out FOLDER.")
        board = scoreboard.run(
            recipes.load(recipe).spec, out, method=method, seed=seed, progress=progress,
            say=lambda text: _say("evaluating", text), **options,
        )  # fmt: skip
        if as_json:
            typer.echo(json.dumps({"scoreboard": _records(board.table)}))
        else:
            _print_scoreboard(board)
        return
    table = _evaluation_table(data, protocol, _split(benchmarks))
    folds = _evaluation_folds(table, protocol, hide, observed, _split(only))
    begun = time.perf_counter()
    if recipe in baselines.names():
        found = baselines.evaluate(recipe, table, folds, seed=seed)
        if out is not None:
            found.save(out)
    else:
        found = cross_validate(
            recipes.load(recipe).spec, table, folds, method=method, seed=seed, out=out,
            progress=progress, **options,
        )  # fmt: skip
    failed = found.not_converged()
    if as_json:
        summary = _records(found.summary().reset_index())
        typer.echo(json.dumps({"summary": summary, "not_converged": failed, "about": found.about}))
    else:
        _print_evaluation(found)
        _say("time", f"{time.perf_counter() - begun:.0f} s")
    if failed:
        _say("warning", f"{len(failed)} fits did not converge: {', '.join(failed[:5])}. Try "
             f"--steps {2 * int(found.about['options'].get('steps', 2000))}, or more --warmup and "
             "--draws with nuts.")  # fmt: skip
        raise typer.Exit(_NOT_CONVERGED)


def _evaluation_table(data: str | None, protocol: str, benchmarks: list[str]) -> Leaderboard:
    from .leaderboard import Leaderboard, datasets, load_dataset

    name = data or "open_llm_leaderboard"
    if name in list(datasets()["name"]):
        table = load_dataset(name, corrected=protocol != "published")
        return table.select(benchmarks=benchmarks) if benchmarks else table
    return Leaderboard.from_csv(name, benchmarks=benchmarks or None)


def _evaluation_folds(
    table: Leaderboard, protocol: str, hide: str, observed: int, only: list[str]
) -> Any:
    from . import protocols
    from .errors import unknown

    way: Any = hide
    if hide not in ("strict", "family"):
        raise unknown("way to hide", hide, ["strict", "family"])
    if protocol == "published":
        folds = protocols.published(table, way)
    elif protocol in ("lineage", "family"):
        folds = protocols.leave_group_out(table, protocol, observed, hide=way)
    elif protocol[:1].isdigit():
        folds = protocols.time_split(table, protocol, observed)
    else:
        known = ["published", "lineage", "family"]
        raise unknown("protocol", protocol, known, "Or a month, YYYY-MM.")
    keys = [fold.key for fold in folds]
    for key in only:
        if key not in keys:
            raise unknown("fold", key, keys)
    return tuple(f for f in folds if not only or f.key in only)


def _print_evaluation(found: Evaluation) -> None:
    from rich.table import Table

    console = _console()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("setting", no_wrap=True)
    heads = ("observed", "folds", "scores", "MAE", "CRPS", "log score", "in 50%", "in 90%",
             "90% width")  # fmt: skip
    for name in heads:
        table.add_column(name, justify="right", no_wrap=True)
    for (setting, n), row in found.summary().iterrows():  # type: ignore[misc]
        table.add_row(
            str(setting), "" if setting == "all" else str(n), str(int(row["folds"])),
            str(int(row["cells"])), _plain(row["mae"], ".2f"), _plain(row["crps"], ".2f"),
            _plain(row["log_score"], ".2f"), _plain(100 * row["cover_50"], ".0f"),
            _plain(100 * row["cover_90"], ".0f"), _plain(row["width_90"], ".1f"),
        )  # fmt: skip
    console.print(f"{found.about['label']}: forecasts of hidden models", style="bold")
    console.print(table)
    console.print(
        "\nMAE, CRPS and width in percentage points, averaged over folds; log score in nats; "
        "coverage in percent of scores."
    )


def _print_scoreboard(board: Scoreboard) -> None:
    from rich.table import Table

    console = _console()
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    shown = [c for c in board.table.columns if "/" in c or c in ("mean", "crps")]
    for name in ("method", "by", *shown):
        table.add_column(name.replace("lb_", ""), justify="right" if name in shown else "left")
    for row in board.table.to_dict("records"):
        table.add_row(row["method"], row["source"], *(_plain(row[c], ".2f") for c in shown))
    console.print("Mean absolute error in percentage points", style="bold")
    console.print(table)
    for name, part in board.parts.items():
        console.print(f"\n{name}")
        _print_evaluation(part)
    console.print("\nOurs less the best single published configuration, points", style="bold")
    console.print(board.differences.round(2).to_string())


# -- data --------------------------------------------------------------------------------


@data_app.command("list")
def data_list() -> None:
    """List the data sets that ship.

    Example: [bold]sloth-bayes data list[/bold]
    """
    from rich.table import Table

    from .leaderboard import datasets

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    columns = ("name", "models", "benchmarks", "scores", "licence", "title")
    for name in columns:
        table.add_column(name, justify="right" if name in columns[1:4] else "left")
    for row in datasets().to_dict("records"):
        table.add_row(*(str(row[name]) for name in columns))
    _console().print(table)


@data_app.command("show")
def data_show(
    name: Annotated[str, typer.Argument(help="A data set that ships.", show_default=False)],
    family: Annotated[
        list[str] | None, typer.Option(help="Show the scores of this family; repeatable.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="The rows as CSV.")] = False,
) -> None:
    """Show a data set: its benchmarks and families, or the scores of one family.

    Example: [bold]sloth-bayes data show open_llm_leaderboard --family qwen2[/bold]
    """
    from .leaderboard import load_dataset

    data = load_dataset(name)
    chosen = data.select(families=_split(family)) if family else data
    if as_csv:
        typer.echo(chosen.frame.to_csv(index=False), nl=False)
    elif family:
        _print_scores(chosen)
    else:
        _print_dataset(data)


def _print_scores(data: Leaderboard) -> None:
    """Scores of some models in percent, one table a leaderboard, to fit a narrow page."""
    from rich.table import Table

    console = _console()
    frame = data.frame.sort_values(["family", "params_b"])
    boards = dict.fromkeys(b.leaderboard for b in data.benchmarks)
    for board in boards:
        names = [b.name for b in data.benchmarks if b.leaderboard == board]
        title = "" if board is None else f" {board}"
        console.print(f"{data.name}{title}: scores in percent", style="bold")
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("model", overflow="fold")
        for column in ("params B", "tokens T", *names):
            table.add_column(column, justify="right")
        for _, row in frame.iterrows():
            sizes = [_plain(row["params_b"]), _plain(row["tokens_t"])]
            table.add_row(row["model"], *sizes, *(_plain(100 * row[n], ".1f") for n in names))
        console.print(table)
        console.print()


def _print_dataset(data: Leaderboard) -> None:
    from rich.table import Table

    from .leaderboard import datasets

    console, frame = _console(), data.frame
    about = datasets().set_index("name").loc[data.name]
    console.print(str(about["title"]), style="bold")
    console.print(
        f"{len(data)} models, {len(data.families)} families, {len(data.benchmarks)} benchmarks, "
        f"{data.n_scores} scores; {about['licence']}; {about['source']}; "
        f"fingerprint {data.fingerprint}\n"
    )
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("benchmark", "leaderboard", "chance %", "questions", "scores", "range %"):
        table.add_column(column, justify="left" if column == "benchmark" else "right")
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
    console.print(table)
    console.print("\nfamilies: " + ", ".join(data.families))


@data_app.command("read")
def data_read(
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
    instruct: Annotated[
        bool | None,
        typer.Option("--instruct/--base", help="Tuned or base (by default as the family is)."),
    ] = None,
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
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="One CSV row a model, as fit --data reads it.")
    ] = False,
) -> None:
    """Show which scores of your evaluation files count as the leaderboards' benchmarks.

    Example: [bold]sloth-bayes data read results.json --params 1.4 --tokens 0.3[/bold]
    """
    if as_json and as_csv:
        raise DataError("--json and --csv exclude each other: ask for one of them.")
    found = _read_observed(
        paths, model=_split(model), family=family, lineage=lineage, instruct=instruct,
        params_b=_amount("--params", params), tokens_t=_amount("--tokens", tokens),
        allow_mismatch=allow_mismatch, assume_leaderboard_shots=assume_leaderboard_shots,
        scale=scale,
    )  # fmt: skip
    if as_json:
        frame = found.frame.assign(date=None)  # evaluations do not tell when a model was released
        parts = {"observed": frame, "used": found.used, "skipped": found.skipped}
        answer: dict[str, Any] = {
            name: _records(part.astype(object).where(part.notna(), None))
            for name, part in parts.items()
        }
        typer.echo(json.dumps(answer | {"warnings": found.messages}))
    elif as_csv:
        typer.echo(found.frame.to_csv(index=False), nl=False)
    else:
        _print_observed(found)


def _read_observed(paths: list[Path], **options: Any) -> Observed:
    """Read evaluation files, with everything left out of them told on standard error."""
    from .observed import collect, nothing_left

    found = collect(paths, **options)
    for message in found.messages:
        _say("warning", message)
    if found.used.empty:
        raise DataError(nothing_left(found, command_line=True))
    return found


def _amount(option: str, values: list[str] | None) -> float | dict[str, float] | None:
    """One number for all models, or numbers by model."""
    parts = _split(values)
    if not parts:
        return None
    named = [part.rpartition("=") for part in parts]
    if all(equals for _, equals, _ in named):
        return {name.strip(): _number(f"{option} of {name}", value) for name, _, value in named}
    if len(parts) > 1:
        raise DataError(f"{option} takes one number, or MODEL=NUMBER for each of several models.")
    return _number(option, parts[0])


def _print_observed(found: Observed) -> None:
    from rich.table import Table

    from .leaderboard import load_dataset

    console, known = _console(), load_dataset().families
    for who in found.frame.itertuples():
        used = found.used[found.used["model"] == who.model]
        size = "unknown size" if math.isnan(who.params_b) else f"{who.params_b:.4g}B parameters"
        amount = "unknown" if math.isnan(who.tokens_t) else f"{who.tokens_t:g}T"
        new = "" if who.family in known else " (new)"
        console.print(
            f"{who.model}: family {who.family}{new}, {size}, {amount} tokens, "
            f"{'tuned' if who.instruct else 'base'}; scores in percent",
            style="bold",
        )
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for name in ("benchmark", "score", "task", "shots", "metric", "agrees"):
            table.add_column(name, justify="right" if name in ("score", "shots") else "left")
        for row in used.to_dict("records"):
            shots = "-" if row["shots"] != row["shots"] or row["shots"] is None else row["shots"]
            table.add_row(
                row["benchmark"], f"{100 * row['score']:.1f}", row["task"], str(shots),
                row["metric"] or "-", "yes" if row["matches"] else "no",
            )  # fmt: skip
        console.print(table)
        console.print()


@data_app.command("build")
def data_build(
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder to write to (by default the checkout's data/)."),
    ] = None,
) -> None:
    """Rebuild the tidy tables from the raw files kept beside them.

    Example: [bold]sloth-bayes data build --out tidy[/bold]
    """
    from .databuild import build

    for path in build(out):
        typer.echo(f"wrote {path}")


# -- shared ------------------------------------------------------------------------------


def _console() -> Console:
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)


def _say(kind: str, text: str) -> None:
    """One line on standard error."""
    with contextlib.suppress(BrokenPipeError):
        typer.echo(f"sloth-bayes: {kind}: {' '.join(text.split())}", err=True)


def _split(values: list[str] | None) -> list[str]:
    """Repeated options and comma lists, as one list."""
    return [part.strip() for value in values or [] for part in value.split(",") if part.strip()]


def _numbers(option: str, values: list[str] | None, unit: str) -> list[float]:
    return [_number(f"{option} (in {unit})", value) for value in _split(values)]


def _number(what: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{what} takes plain numbers, such as 7 or 0.5, not {text!r}") from None


def _plain(value: float, form: str = "g") -> str:
    return "-" if math.isnan(value) else format(value, form)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values: NaN and infinities, which JSON lacks, become null."""
    return [
        {
            str(k): None if isinstance(v, float) and not math.isfinite(v) else v
            for k, v in row.items()
        }
        for row in frame.to_dict("records")
    ]


def _check_folder(path: Path) -> None:
    """Before any work: can the file be written at all?"""
    if not path.parent.is_dir():
        raise FileFormatError(f"cannot write {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise FileFormatError(f"cannot write {path}: it is a folder")
