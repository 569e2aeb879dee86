"""The verb ``fit``: a recipe, or a table of your own, becomes a posterior."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataError
from .options import Moves, Names, Progress, Steps, check_folder, command, given, split, table_of
from .output import leave, say

if TYPE_CHECKING:
    from ..infer.recipes import Recipe
    from ..table.leaderboard import Leaderboard


@dataclasses.dataclass
class Changes:
    """What a fit does otherwise than its recipe says."""

    method: Annotated[str | None, "nuts|svi", "Inference."] = None
    chains: Annotated[int | None, "NUTS chains."] = None
    draws: Annotated[int | None, "Draws a chain."] = None
    warmup: Annotated[int | None, "Draws of warm-up a chain."] = None
    thin: Annotated[int | None, "Iterations of NUTS a draw."] = None
    steps: Steps = None
    moves: Moves = None
    seed: Annotated[int | None, "Same seed, same numbers."] = None


@command
def fit(
    *,
    recipe: Annotated[
        str | None,
        typer.Argument(show_default=False),
        "[RECIPE]",
        "A folder with a spec.toml, such as models/leaderboard, or the name of one that ships.",
    ] = None,
    data: Annotated[
        str | None, "CSV|NAME", "A table of your own, or a data set that ships."
    ] = None,
    spec: Annotated[
        Path | None,
        "TOML",
        "The specification for --data (by default that of the leaderboard recipe).",
    ] = None,
    benchmarks: Annotated[
        Names, "Score columns of --data (by default those of the Open LLM Leaderboard)."
    ] = None,
    out: Annotated[
        Path | None,
        "FILE",
        "Where to save the posterior, .nc. Without it, posterior.nc and card.md go into the "
        "recipe's own folder.",
    ] = None,
    changed: Changes,
    progress: Progress = None,
) -> None:
    """Fit a recipe, or your own table; save the posterior; say whether it converged.

    Example: [bold]sloth-bayes fit --data mine.csv --out mine.nc --method svi[/bold]
    """
    from ..infer.recipes import CARD, POSTERIOR
    from ..law.equations import INPUTS
    from ..model.arrays import design_of
    from ..publish.card import write_card

    changes = given(changed)
    plan, table = _plan(recipe, data, spec, split(benchmarks))
    target = _own_folder(recipe, plan, changes) / POSTERIOR if out is None else out
    if target.suffix != ".nc":
        raise DataError(f"--out {target}: a posterior is a netCDF file, its name ends in .nc.")
    check_folder(target)

    options = dataclasses.replace(plan.fit, **changes)
    for name in ("warmup", "thin"):
        if options.method == "svi" and name in changes:
            raise DataError(f"--{name} goes with --method nuts: variational inference has none.")
    if options.method == "nuts" and changes.get("moves"):
        raise DataError("--moves goes with --method svi: it carries draws of its guide on.")
    options.checked()
    laid_out = design_of(plan.spec, table)
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
        + (f", {options.thin} iterations a draw" if options.thin > 1 else "")
        if options.method == "nuts"
        else f"{options.steps} steps"
    )
    typer.echo(f"Fitting by {options.method.upper()}, {effort}, seed {options.seed} ...")
    from ..infer.fit import fit as fit_table

    start = time.perf_counter()
    post = fit_table(plan.spec, table, **options.arguments(), progress=progress)
    seconds = time.perf_counter() - start
    found = post.diagnostics()
    if out is None:
        kept = post.slim(min(options.slim_draws, post.n_draws))
        beside = None
        if options.method == "nuts" and INPUTS[plan.spec.inputs]:
            # the card says how far variational inference is from it, at sizes beyond the largest
            beside = fit_table(plan.spec, table, method="svi", seed=options.seed, progress=progress)
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
        say("warning", f"not converged: {target} is saved, but do not rely on its intervals")
    leave(found.ok)


def _plan(
    recipe: str | None, data: str | None, spec: Path | None, benchmarks: list[str]
) -> tuple[Recipe, Leaderboard]:
    """What to fit, and on which table."""
    from ..api import Sloth
    from ..infer.recipes import FitOptions, Recipe, load

    if recipe is not None:
        theirs = {"--data": data, "--spec": spec, "--benchmarks": benchmarks}
        if clash := [name for name, value in theirs.items() if value]:
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
    file = data.lower().endswith(".csv") or "/" in data or os.sep in data
    table = table_of(data, benchmarks, file)
    chosen = Sloth() if spec is None else Sloth.from_toml(spec)
    return Recipe(Path(data).stem, chosen, Path(), FitOptions()), table


def _own_folder(recipe: str | None, plan: Recipe, changes: dict[str, Any]) -> Path:
    """The folder of a recipe, if the fit may be written there."""
    from ..infer.recipes import is_path
    from ..support.shipped import PACKAGE

    if recipe is None:
        raise DataError("say where to save the posterior: --out FILE.nc")
    if not is_path(recipe) or PACKAGE in plan.folder.resolve().parents:
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
