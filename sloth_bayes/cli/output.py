"""What the verbs share of their output: text, tables, JSON, CSV, figures, exit statuses."""

from __future__ import annotations

import contextlib
import json
import math
import os
import string
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..errors import DataError
from ..support.shipped import POSTERIOR
from .options import AsCsv, AsJson, Plot, PosteriorName, Seed, check_folder

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from rich.console import Console
    from rich.table import Table

    from ..api import Posterior
    from ..posterior.core import PosteriorDraws

NOT_CONVERGED = 1  # exit status
_NARROW = 80  # below it every column may fold
PIPED_WIDTH = 100  # columns, where there is no terminal to ask
_FIGURES = (".png", ".pdf", ".svg")

Rows = list[list[str]]
Section = tuple[str | None, list[str], Rows]  # title, head and rows


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


def facts(keys: str, post: PosteriorDraws, name: str, **more: Any) -> dict[str, Any]:
    """What an answer is from: of what is known of its posterior, and `more`, the `keys`."""
    from ..support.version import __version__

    known = {
        "posterior": name,
        "method": post.method,
        "models": len(post.models),
        "draws": post.n_draws,
        "converged": post.known_verdict,
        "data": str(post.attrs["data"]),
        "data_fingerprint": str(post.attrs.get("data_fingerprint")),
        "version": __version__,
        **more,
    }
    return {key: known[key] for key in keys.split() if key in known}


def as_csv(frame: pd.DataFrame) -> str:
    """A table as CSV, with an apostrophe before text that a spreadsheet would compute."""
    formula = ("=", "+", "-", "@")

    def harmless(cell: Any) -> Any:
        return f"'{cell}" if isinstance(cell, str) and cell.startswith(formula) else cell

    return frame.map(harmless).to_csv(index=False)


# -- groups of options -------------------------------------------------------------------


@dataclass
class Output:
    """How a verb answers: a table for people, JSON or CSV; and a figure, if asked for."""

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

    def end(
        self,
        table: pd.DataFrame,
        answer: dict[str, Any],
        people: Callable[[], None],
        plot: Callable[[], Any] | None = None,
        converged: bool | None = None,
        *,
        said: Sequence[str] | None = None,
        fit: bool = False,
        indent: int | None = None,
    ) -> None:
        """Say all that a verb has to say: its answer, warnings, a figure, and the exit status.

        Parameters
        ----------
        table, answer, people
            The answer as CSV, as JSON, and how it is printed for people.
        plot
            Makes an array of axes, for the figure.
        converged
            Whether the fit behind the answer has converged; None, if nobody has judged it.
        said
            What to say on standard error, if not the answer's warnings.
        fit
            Whether the verb itself has fitted: what is said are notes, after the answer, and
            numbers in JSON are rounded.
        indent
            How far JSON is indented.
        """
        said = answer.get("warnings", ()) if said is None else said
        if not fit:
            say("warning", *said)
        if self.as_json:
            typer.echo(json.dumps(answer, indent=indent, default=rounded if fit else records))
        elif self.as_csv:
            typer.echo(as_csv(table), nl=False)
        else:
            people()
        if fit:
            say("note", *said)
        if plot is not None and self.plot is not None:
            no_window()
            _draw(plot().flat[0].figure, self.plot)
        leave(converged)


@dataclass
class PosteriorOutput(Output):
    """The output of a verb that asks a posterior, and which one."""

    posterior: PosteriorName = POSTERIOR
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


def _draw(figure: Figure, path: Path) -> None:
    from ..support.files import new_file

    with new_file(path) as temporary:
        figure.savefig(temporary, dpi=160)
    typer.echo(f"wrote {path}", err=True)


def no_window() -> None:
    """Draw to files, on a machine without a screen as well."""
    import matplotlib

    matplotlib.use("Agg")


# -- text --------------------------------------------------------------------------------


def say(kind: str, *texts: str) -> None:
    """Each text as one line on standard error."""
    for text in texts:
        with contextlib.suppress(BrokenPipeError):
            typer.echo(f"sloth-bayes: {kind}: {' '.join(text.split())}", err=True)


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


def warnings_of(
    post: PosteriorDraws, name: str, said: Iterable[str] = (), fitted: bool | None = False
) -> list[str]:
    """The warnings of an answer: of the fit, in the words of commands, and what else is `said`.

    `fitted` is the verdict before any conditioning, where there was some.
    """
    rest = [note for note in said if note not in post.cautions]
    if post.known_verdict is not False:
        return [*post.cautions, *rest]
    if fitted is not False:
        return [post.diagnostics().messages[0], *rest]
    ask = "" if name == POSTERIOR else f" --posterior {name}"
    return [f"posterior {name!r} has not converged: see sloth-bayes diagnose{ask}", *rest]


# -- tables ------------------------------------------------------------------------------


def plain(value: Any, form: str = "g") -> str:
    """A value, or a dash where there is none; ``.1p`` is percent without its sign."""
    if value != value:
        return "-"
    if form.endswith("p"):
        value, form = 100 * value, form[:-1] + "f"
    return str(format(value, form))


class _Cells(string.Formatter):
    def format_field(self, value: Any, form: str) -> str:
        return plain(value, form)


def cells(frame: pd.DataFrame, *columns: tuple[str, str]) -> tuple[list[str], Rows]:
    """Head and rows, of columns, each a name and a format, see `plain`."""
    form = _Cells().vformat
    rows = [[form(text, (), row) for _, text in columns] for row in frame.to_dict("records")]
    return [name for name, _ in columns], rows


def console(piped: int = PIPED_WIDTH) -> Console:
    """Where tables are printed; `piped` columns wide where there is no terminal."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else piped
    return Console(width=width, highlight=False, markup=False, emoji=False)


def plain_table(
    head: Sequence[str],
    rows: Rows,
    sides: str = "l",
    title: str | None = None,
    fixed: Iterable[int] = (),
    **options: Any,
) -> Table:
    """A table without lines.

    Parameters
    ----------
    head, rows
        The cells.
    sides
        l or r for each column, to the left or right; those it does not reach are to the right.
    title
        Set above the table, as wide as it.
    fixed
        Columns that do not wrap.
    options
        For rich.
    """
    from rich.table import Table

    if title is None:
        look: dict[str, Any] = {"padding": (0, 2, 0, 0), "header_style": "dim"}
    else:
        look = {"title": title, "title_justify": "left", "pad_edge": False}
    table = Table(box=None, **look | options)
    for name, side in zip(head, sides.ljust(len(head), "r")):
        # a narrow page folds what is too long: nothing is cut
        table.add_column(name, justify="left" if side == "l" else "right", overflow="fold")
    for i in fixed if console().width >= _NARROW else ():
        table.columns[i].no_wrap = True
    for row in rows:
        table.add_row(*row)
    return table


def print_tables(sections: Iterable[Section], post: PosteriorDraws, name: str) -> None:
    """Tables, each below its title, and the posterior that they are from."""
    out = console()
    for i, (title, head, rows) in enumerate(sections):
        if title:
            if i:
                out.print()
            out.print(title, style="bold")
        out.print(plain_table(head, rows, show_header=any(head)) if rows else head[0])
    out.print("\n" + rests_on(post, name), style="dim")
