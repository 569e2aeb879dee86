"""The command line, ``sloth-bayes``.

Tables for people by default, JSON and CSV for programs; results on standard output,
warnings and progress on standard error. Exit status: 0 good, 1 an answer that rests on a
fit that has not converged, 2 bad input, 130 interrupted.

Here are the verbs in the order of the help, and what is made of errors; each verb is in the
module of its name, and what they share in ``options``, ``output`` and ``request``.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any, TextIO, cast

import typer
from typer.core import TyperGroup

from ..errors import DataWarning, SlothBayesError
from ..support.interrupt import INTERRUPTED
from .complete import complete
from .data import build, list_, read, show, surprises
from .diagnose import diagnose
from .downstream import downstream
from .evaluate import evaluate
from .explore import explore
from .figures import figures
from .fit import fit
from .forecast import forecast
from .output import say
from .passk import passk
from .plan import compare, next_, saturation, size
from .plan_allocate import allocate
from .plan_track import track
from .ratings import ratings
from .report import report
from .skills import skills

_BAD_INPUT, _CLOSED_PIPE = 2, 141
# typer bundles click, or depends on it: reached through what it exports
_ClickException = cast("type[Exception]", typer.BadParameter.__mro__[2])


class Group(TyperGroup):
    """Turns every error a user can cause into one sentence and an exit status.

    Without a verb it prints its help.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run a verb, with warnings of tables said as errors are."""
        os.environ["MPLBACKEND"] = "Agg"  # figures go to files, whatever else it names
        if isinstance(sys.stdout, io.TextIOWrapper):  # of what an encoding lacks, a mark
            sys.stdout.reconfigure(errors="replace")
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _said(warnings.showwarning)
                result = super().invoke(ctx)
            if ctx.invoked_subcommand is None:
                typer.echo(ctx.get_help())
            sys.stdout.flush()
            return result
        except BrokenPipeError:
            # The reader has gone (| head): nothing more may be written, not even at exit.
            _drop(sys.stdout)
            raise typer.Exit(_CLOSED_PIPE) from None
        except KeyboardInterrupt:
            typer.echo("sloth-bayes: interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except SlothBayesError as error:
            say("error", str(error))
            raise typer.Exit(_BAD_INPUT) from None
        except OSError as error:
            _drop(sys.stdout)
            what = f" {error.filename}" if error.filename else ""
            say("error", f"cannot read or write{what}: {error.strerror or error}")
            raise typer.Exit(_BAD_INPUT) from None
        except UnicodeEncodeError as error:
            text = ascii(error.object[max(0, error.start - 20) : error.end])
            say("error", f"{text} has characters that are no text: write the name in UTF-8")
            raise typer.Exit(_BAD_INPUT) from None

    def main(self, *args: Any, **options: Any) -> Any:
        """Run it; as a program, an exit status becomes the status of the process."""
        if sys.stdout is None:  # closed by the caller
            say("error", "standard output is closed: there is nowhere to answer")
            sys.exit(_BAD_INPUT)
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
            say("error", message.rstrip(".") + where)
            status = _BAD_INPUT
        sys.exit(status or 0)


app = typer.Typer(
    cls=Group,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(cls=Group, rich_markup_mode="rich")
plan_app = typer.Typer(cls=Group, rich_markup_mode="rich")
app.add_typer(data_app, name="data")
app.add_typer(plan_app, name="plan")

_VERBS = {
    app: [
        forecast,
        complete,
        explore,
        report,
        skills,
        downstream,
        passk,
        ratings,
        figures,
        evaluate,
        fit,
        diagnose,
    ],
    data_app: [list_, show, read, surprises, build],
    plan_app: [size, allocate, saturation, compare, next_, track],
}  # fmt: skip
_EXPERIMENTAL = [allocate]  # they lose to a simple rule, and say so: not in the help
for _parent, _verbs in _VERBS.items():
    for _verb in _verbs:
        _parent.command(_verb.__name__.rstrip("_"), hidden=_verb in _EXPERIMENTAL)(_verb)


def _drop(stream: TextIO) -> None:
    """Let go of what a stream still holds, which would be tried again at exit."""
    with contextlib.suppress(OSError, ValueError):  # closed, or no stream of the system
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _said(otherwise: Callable[..., None]) -> Callable[..., None]:
    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, DataWarning):
            say("warning", str(message).rstrip("."))
        else:
            otherwise(message, category, *where, **more)

    return show


def main() -> None:
    """Run the command line."""
    app(prog_name="sloth-bayes")


def _show_version(value: bool) -> None:
    if value:
        from ..support.version import __version__

        typer.echo(f"sloth-bayes {__version__}")
        raise typer.Exit


def _show_versions(value: bool) -> None:
    if value:
        from ..support.versions import show_versions

        show_versions()
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version)
    ] = False,
    versions: Annotated[
        bool,
        typer.Option("--versions", help="Print what a bug report needs.", callback=_show_versions),
    ] = False,
) -> None:
    """What would a language model score that nobody has trained, and how sure are we?

    Exit status: 0 good, 1 the fit behind the answer has not converged, 2 bad input.

    Example: [bold]sloth-bayes forecast --family meta-llama-3 --params 405 --tokens 15[/bold]
    """


@data_app.callback(invoke_without_command=True)
def _data() -> None:
    """Tables that ship with the package: list, show, rebuild; your evaluation files: read.

    And scores, of tables that were fitted, that look wrong: surprises.

    Example: [bold]sloth-bayes data show open_llm_leaderboard --family qwen2[/bold]
    """


@plan_app.callback(invoke_without_command=True)
def _plan() -> None:
    """Decide with the posterior: how large, how to split a budget, what to measure next.

    Example: [bold]sloth-bayes plan size --of MMLU --target 0.7 --tokens 15[/bold]
    """
