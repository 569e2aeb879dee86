"""The verb ``skills``: what each benchmark needs, and which families have it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..errors import DataError, unknown
from .options import PosteriorName, Probs, Seed, split, with_groups
from .output import Output, console, leave, not_converged, plain_table, records, rests_on, say

if TYPE_CHECKING:
    import pandas as pd

    from ..skills.tables import Skills


_TABLES = (
    "loadings",
    "communality",
    "correlations",
    "families",
    "models",
    "coefficients",
    "tuning",
)


@dataclass
class _Output(Output):
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw the loadings (.png, .pdf, .svg).")
    ] = None
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object with all tables.")] = (
        False
    )
    as_csv: Annotated[bool, typer.Option("--csv", help="One table as CSV: see --table.")] = False


@with_groups
def skills(
    *,
    posterior: PosteriorName = "leaderboard",
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
    prob: Probs = 0.9,
    table: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="The table that --csv writes: " + ", ".join(_TABLES) + "."
        ),
    ] = "loadings",
    output: _Output,
    seed: Seed = 0,
) -> None:
    """Show the skills: what each benchmark needs, and which families have them.

    Example: [bold]sloth-bayes skills --base --top 10 --plot loadings.pdf[/bold]
    """
    from ..api import load
    from ..skills.rotation import METHODS

    if table not in _TABLES:
        raise unknown("table", table, _TABLES)
    if rotation == "target":
        by_name = ", ".join(m for m in METHODS if m != "target")
        raise DataError(f"a target is a matrix: use Posterior.skills. Here: {by_name}.")
    post = load(posterior)
    found = post.skills(rotation, names=split(names) or None, prob=prob, seed=seed)
    notes = list(found.messages)
    if post.known_verdict is False:
        notes.append(not_converged(posterior))
    for note in notes:
        say("warning", note)

    def made(name: str) -> pd.DataFrame:
        if name == "families":
            return found.families(instruct=instruct)
        return cast("pd.DataFrame", getattr(found, name)())

    def answer() -> dict[str, Any]:
        from ..support.version import __version__

        meta = {
            "posterior": posterior, "method": post.method, "rotation": found.rotation,
            "skills": found.names, "ambiguous": found.ambiguous, "prob": prob, "seed": seed,
            "converged": post.known_verdict, "data": str(post.attrs["data"]),
            "version": __version__,
        }  # fmt: skip
        tables = {name: records(made(name)) for name in _TABLES}
        quality = records(found.quality.reset_index())
        return {**tables, "quality": quality, "meta": meta, "warnings": notes}

    output.show(
        lambda: made(table), answer, lambda: _print(found, made("families"), top, posterior)
    )
    output.draw(found.plot)
    leave(post.known_verdict)


def _print(found: Skills, families: pd.DataFrame, top: int, name: str) -> None:
    out, post = console(), found.posterior
    mass = f"{100 * found.prob:g}%"
    out.print(
        f"Loadings ({found.rotation}): logits per standard deviation of skill, {mass} interval; "
        "* sign certain",
        style="bold",
    )
    table = plain_table(["benchmark"], [*found.names, "its own"])
    for column in (table.columns[0], table.columns[-1]):
        column.no_wrap = True
    own = found.communality().set_index("benchmark")["own"]
    for benchmark, cells in found.table().iterrows():
        # an interval goes under its mean where both do not fit on a line
        table.add_row(str(benchmark), *map(str, cells), f"{100 * own[benchmark]:.0f}%")
    out.print(table)
    pairs = [
        f"{r.skill} and {r.with_skill} {r.mean:.2f} [{r.lower:.2f}, {r.upper:.2f}]"
        for r in found.correlations().itertuples()
    ]
    if pairs:
        out.print("\nCorrelations: " + "; ".join(pairs) + ".")
    for skill in found.names if top else ():
        rows = families[families["skill"] == skill]
        out.print(
            f"\n{skill}: families by efficiency, in standard deviations, at typical size and "
            f"tokens (of {len(rows)})",
            style="bold",
        )
        ranking = plain_table(["family", ""], ["mean", f"{mass} interval", "rank", "P(best)"])
        for row in rows.head(top).itertuples():
            ranking.add_row(
                row.family, "tuned" if row.instruct else "base", f"{row.mean:.2f}",
                f"{row.lower:.2f} to {row.upper:5.2f}",
                f"{row.rank:.0f} ({row.rank_lower:.0f}-{row.rank_upper:.0f})",
                f"{row.p_best:.2f}",
            )  # fmt: skip
        out.print(ranking)
    out.print("\n" + rests_on(post, name, draws=str(post.n_draws)), style="dim")
