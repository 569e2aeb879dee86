"""The verb ``skills``: what each benchmark needs, and which families have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..errors import DataError, check_known
from ..support.shipped import POSTERIOR
from .options import Instruct, Names, PosteriorName, Probs, Seed, command, split
from .output import (
    Output,
    cells,
    console,
    facts,
    plain_table,
    rests_on,
    warnings_of,
)

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
_META = "posterior method rotation skills ambiguous prob seed converged data version"
_HELP = {
    "plot": "Also draw the loadings (.png, .pdf, .svg).",
    "as_json": "One JSON object with all tables.",
    "as_csv": "One table as CSV: see --table.",
}


@command
def skills(
    *,
    posterior: PosteriorName = POSTERIOR,
    rotation: Annotated[
        str, "NAME", "geomin, quartimin, oblimin, promax, varimax, or none at all."
    ] = "geomin",
    names: Annotated[Names, "Names of the skills, in order."] = None,
    instruct: Annotated[Instruct, "Rank only tuned, or only base families."] = None,
    top: Annotated[int, typer.Option(min=0), "Families to show of each ranking."] = 5,
    prob: Probs = 0.9,
    table: Annotated[
        str, "NAME", "The table that --csv writes: " + ", ".join(_TABLES) + "."
    ] = "loadings",
    output: Annotated[Output, _HELP],
    seed: Seed = 0,
) -> None:
    """Show the skills: what each benchmark needs, and which families have them.

    Example: [bold]sloth-bayes skills --base --top 10 --plot loadings.pdf[/bold]
    """
    from ..api import load
    from ..skills.rotation import METHODS

    check_known("table", [table], _TABLES)
    if rotation == "target":
        by_name = ", ".join(m for m in METHODS if m != "target")
        raise DataError(f"a target is a matrix: use Posterior.skills. Here: {by_name}.")
    post = load(posterior)
    found = post.skills(rotation, names=split(names) or None, prob=prob, seed=seed)
    notes = warnings_of(post, posterior, found.messages)

    def made(name: str) -> pd.DataFrame:
        if name == "families":
            return found.families(instruct=instruct)
        return cast("pd.DataFrame", getattr(found, name)())

    meta = facts(
        _META, post, posterior, rotation=found.rotation, skills=found.names,
        ambiguous=found.ambiguous, prob=prob, seed=seed,
    )  # fmt: skip
    tables = {name: made(name) for name in _TABLES} if output.as_json else {}
    answer = {**tables, "quality": found.quality.reset_index(), "meta": meta, "warnings": notes}
    output.end(
        made(table), answer, lambda: _print(found, made("families"), top, posterior), found.plot,
        post.known_verdict,
    )  # fmt: skip


def _print(found: Skills, families: pd.DataFrame, top: int, name: str) -> None:
    out, post = console(), found.posterior
    mass = f"{100 * found.prob:g}%"
    out.print(
        f"Loadings ({found.rotation}): logits per standard deviation of skill, {mass} interval; "
        "* sign certain",
        style="bold",
    )
    own = found.communality().set_index("benchmark")["own"]
    # an interval goes under its mean where both do not fit on a line
    rows = [[str(b), *map(str, row), f"{100 * own[b]:.0f}%"] for b, row in found.table().iterrows()]
    out.print(plain_table(["benchmark", *found.names, "its own"], rows, fixed=(0, -1)))
    pairs = [
        f"{r.skill} and {r.with_skill} {r.mean:.2f} [{r.lower:.2f}, {r.upper:.2f}]"
        for r in found.correlations().itertuples()
    ]
    if pairs:
        out.print("\nCorrelations: " + "; ".join(pairs) + ".")
    kind = families["instruct"].map({True: "tuned", False: "base"})
    families = families.assign(kind=kind)
    for skill in found.names if top else ():
        ranked = families[families["skill"] == skill]
        out.print(
            f"\n{skill}: families by efficiency, in standard deviations, at typical size and "
            f"tokens (of {len(ranked)})",
            style="bold",
        )
        ranking = cells(
            ranked.head(top),
            ("family", "{family}"),
            ("", "{kind}"),
            ("mean", "{mean:.2f}"),
            (f"{mass} interval", "{lower:.2f} to {upper:5.2f}"),
            ("rank", "{rank:.0f} ({rank_lower:.0f}-{rank_upper:.0f})"),
            ("P(best)", "{p_best:.2f}"),
        )
        out.print(plain_table(*ranking, sides="ll"))
    out.print("\n" + rests_on(post, name, draws=str(post.n_draws)), style="dim")
