"""What the verbs share of their output: text, tables, JSON, CSV, figures, exit statuses."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from ..errors import DataError, FileFormatError
from .options import AsCsv, AsJson, Plot, PosteriorName, Seed, check_folder

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    from ..api import Posterior
    from ..posterior.core import PosteriorDraws

NOT_CONVERGED = 1  # exit status
PIPED_WIDTH = 100  # columns, where there is no terminal to ask
_FIGURES = (".png", ".pdf", ".svg")


# -- groups of options -------------------------------------------------------------------


@dataclass
class Output:
    """How a verb answers: a table for people, JSON or CSV; and a figure, if asked for.

    A verb that has more to say of an option, such as of the rows of its CSV, declares it
    again in a subclass: it keeps its place.
    """

    plot: Plot = None
    as_json: AsJson = False
    as_csv: AsCsv = False

    def __post_init__(self) -> None:
        if self.as_json and self.as_csv:
            raise DataError("--json and --csv exclude each other: ask for one of them.")
        if self.plot is not None:
            if self.plot.suffix.lower() not in _FIGURES:
                raise DataError(f"--plot {self.plot}: a figure ends in {', '.join(_FIGURES)}.")
            check_folder(self.plot)

    def show(
        self,
        table: Callable[[], pd.DataFrame],
        answer: Callable[[], dict[str, Any]],
        people: Callable[[], None],
        indent: int | None = None,
    ) -> None:
        """The table as CSV, the answer as JSON, or what is printed for people."""
        if self.as_json:
            typer.echo(json.dumps(answer(), indent=indent))
        elif self.as_csv:
            typer.echo(table().to_csv(index=False), nl=False)
        else:
            people()

    def draw(self, plot: Callable[[], Any]) -> None:
        """The figure, if one is asked for; `plot` returns an array of axes."""
        if self.plot is None:
            return
        from ..support.files import atomic_path

        no_window()
        figure = plot().flat[0].figure
        try:
            with atomic_path(self.plot) as temporary:
                figure.savefig(temporary, dpi=160)
        except OSError as error:
            raise FileFormatError(f"cannot write {self.plot}: {error.strerror or error}") from None
        typer.echo(f"wrote {self.plot}", err=True)

    def end(self, notes: Iterable[str], plot: Callable[[], Any], converged: bool) -> None:
        """Notes, the figure, and the exit status of a verb that fits."""
        for note in notes:
            say("note", note)
        self.draw(plot)
        leave(converged)


@dataclass
class PosteriorOutput(Output):
    """The output of a verb that asks a posterior, and which one."""

    posterior: PosteriorName = "leaderboard"
    seed: Seed = 0

    def load(self) -> Posterior:
        """The posterior asked for."""
        from ..api import load

        return load(self.posterior)


def leave(converged: bool | None) -> None:
    """The exit status of an answer: a script should notice what rests on an unfinished fit.

    A posterior that has not been judged (None) counts as good.
    """
    if converged is False:
        raise typer.Exit(NOT_CONVERGED)


# -- text --------------------------------------------------------------------------------


def say(kind: str, text: str) -> None:
    """One line on standard error."""
    with contextlib.suppress(BrokenPipeError):
        typer.echo(f"sloth-bayes: {kind}: {' '.join(text.split())}", err=True)


def plain(value: float, form: str = "g") -> str:
    """A number, or a dash where there is none."""
    return "-" if math.isnan(value) else format(value, form)


def rests_on(post: PosteriorDraws, name: str, draws: str | None = None) -> str:
    """What an answer rests on; `draws` by default as chains times draws."""
    sizes = post.tree["posterior"].sizes
    conditioned = post.attrs.get("conditioned", [])
    fitted = len(post.models) - sum(len(note["models"]) for note in conditioned)
    draws = draws or f"{sizes['chain']} x {sizes['draw']}"
    return (
        f"Posterior {name}: {post.method.upper()}, {draws} draws, fitted on {fitted} models of "
        f"{post.attrs['data']}."
    )


def not_converged(name: str) -> str:
    """The warning that goes with every answer of such a posterior."""
    ask = "" if name == "leaderboard" else f" --posterior {name}"
    return f"posterior {name!r} has not converged: see sloth-bayes diagnose{ask}"


def unconverged(post: PosteriorDraws, fitted: bool | None, name: str) -> list[str]:
    """The warning that a forecast needs; `fitted`: the verdict before any conditioning."""
    if post.known_verdict is not False:
        return []
    return [not_converged(name) if fitted is False else post.diagnostics().messages[0]]


# -- tables ------------------------------------------------------------------------------


def console(piped: int = PIPED_WIDTH) -> Console:
    """Where tables are printed; `piped` columns wide where there is no terminal."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else piped
    return Console(width=width, highlight=False, markup=False, emoji=False)


def plain_table(
    left: Iterable[str] = (), right: Iterable[str] = (), title: str | None = None, **options: Any
) -> Table:
    """A table without lines: columns of words to the left, of numbers to the right."""
    from rich.table import Table

    if title is None:
        look: dict[str, Any] = {"padding": (0, 2, 0, 0), "header_style": "dim"}
    else:
        look = {"title": title, "title_justify": "left", "pad_edge": False}
    table = Table(box=None, **look | options)
    for name in left:
        table.add_column(name)
    for name in right:
        table.add_column(name, justify="right")
    return table


def print_tables(tables: list[Any], post: PosteriorDraws, name: str) -> None:
    """Tables, each a title, a head and rows, and the posterior that they are from."""
    out = console()
    for i, (title, head, rows) in enumerate(tables):
        if title:
            if i:
                out.print()
            out.print(title, style="bold")
        if not rows:
            out.print(head[0])
            continue
        table = plain_table(head[:1], head[1:], show_header=any(head))
        for row in rows:
            table.add_row(*row)
        out.print(table)
    out.print("\n" + rests_on(post, name), style="dim")


# -- JSON --------------------------------------------------------------------------------


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values: NaN and infinities, which JSON lacks, become null."""
    return [
        {
            str(k): None if isinstance(v, float) and not math.isfinite(v) else v
            for k, v in row.items()
        }
        for row in frame.to_dict("records")
    ]


def rounded(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values, to ten decimals."""
    return json.loads(frame.to_json(orient="records"))


# -- figures -----------------------------------------------------------------------------


def no_window() -> None:
    """Draw to files, on a machine without a screen as well."""
    import matplotlib

    matplotlib.use("Agg")
