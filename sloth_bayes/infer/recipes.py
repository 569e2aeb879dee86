"""Recipes: a specification together with what to fit it on, and how.

A recipe is a folder ``models/NAME`` with a ``spec.toml``: the choices of a
:class:`~sloth_bayes.Sloth` and, optionally, a table ``[fit]``. The published laws and the
posteriors that ship are recipes; a folder of your own works as well.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import FileFormatError, SpecError, unknown
from ..law.spec import Spec, check_keys, read_toml
from ..posterior.core import PosteriorDraws
from ..support.files import user_path
from ..support.shipped import shipped
from ..table.leaderboard import Leaderboard, load_dataset
from .settings import Settings, check_method

SPEC, POSTERIOR, CARD = "spec.toml", "posterior.nc", "card.md"


@dataclass(frozen=True)
class FitOptions(Settings):
    """The table ``[fit]`` of a recipe: what to fit on, and how.

    Attributes
    ----------
    dataset
        A data set that ships.
    corrected
        Use its corrected values; False takes them as published.
    benchmarks
        Benchmarks to keep; empty for all.
    method, chains, draws, warmup, thin, steps, starts, rank, moves, target_accept,
    max_tree_depth, seed
        As :func:`sloth_bayes.infer.fit.fit` takes them, with its defaults.
    slim_draws
        Draws, over all chains, of the posterior that is kept in the folder.
    """

    dataset: str = "open_llm_leaderboard"
    corrected: bool = True
    benchmarks: tuple[str, ...] = ()
    slim_draws: int = 1000

    def __post_init__(self) -> None:
        if isinstance(self.benchmarks, list):
            object.__setattr__(self, "benchmarks", tuple(self.benchmarks))
        for f in dataclasses.fields(self):
            value, kind = getattr(self, f.name), type(f.default)
            accepted = (int, float) if kind is float else kind
            # True is an int, and would pass for one draw
            if not isinstance(value, accepted) or (kind is not bool and isinstance(value, bool)):
                wanted = {str: "text", bool: "true or false", tuple: "a list of names"}
                raise SpecError(
                    f"[fit] {f.name} must be {wanted.get(kind, 'a number')}, not {value!r}"
                )
        check_method(self.method)
        if self.slim_draws < 1:
            raise SpecError(f"[fit] slim_draws must be at least 1, not {self.slim_draws}")

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of :meth:`sloth_bayes.Sloth.fit`."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(Settings)}


@dataclass(frozen=True)
class Recipe:
    """A named model: its specification, its folder and how to fit it.

    Attributes
    ----------
    name : str
        Name of the folder.
    spec : Spec
        The specification.
    folder : pathlib.Path
        Where ``spec.toml`` lies.
    fit : FitOptions
        What to fit it on, and how.

    Examples
    --------
    >>> from sloth_bayes.infer import recipes
    >>> recipes.load("owen").spec.inputs
    'flops'
    """

    name: str
    spec: Spec
    folder: Path
    fit: FitOptions

    def data(self) -> Leaderboard:
        """The table it is fitted on.

        Raises
        ------
        UnknownNameError
            If no such data set ships, or it lacks a benchmark that the recipe lists.
        """
        data = load_dataset(self.fit.dataset, corrected=self.fit.corrected)
        return data.select(benchmarks=self.fit.benchmarks) if self.fit.benchmarks else data

    def run(self, progress: bool | None = None, **changes: Any) -> PosteriorDraws:
        """Fit the recipe.

        Parameters
        ----------
        progress
            Show a progress bar on standard error; by default only in a terminal.
        **changes
            Fields of :class:`FitOptions` to use instead of the recipe's.

        Returns
        -------
        Posterior
            The full fit; ``slim`` makes the form that ships.

        Raises
        ------
        SpecError
            If an option is unknown or out of range.

        Examples
        --------
        >>> from sloth_bayes.infer import recipes
        >>> owen = recipes.load("owen")
        >>> owen.run(method="svi", steps=20, starts=1, draws=25, benchmarks=["MMLU"]).n_draws
        100
        """
        check_keys(FitOptions, changes, "[fit]")
        fit = dataclasses.replace(self.fit, **changes)
        data = dataclasses.replace(self, fit=fit).data()
        from .fit import fit as fit_table  # needs JAX

        return fit_table(self.spec, data, **fit.arguments(), progress=progress)


def recipe_names() -> list[str]:
    """Names of the recipes that ship.

    Examples
    --------
    >>> from sloth_bayes.infer import recipes
    >>> "leaderboard" in recipes.recipe_names()
    True
    """
    return sorted(path.parent.name for path in shipped("models").glob(f"*/{SPEC}"))


def load(name_or_path: str | Path) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    name_or_path
        The folder of a recipe (anything with a separator, or a ``Path``), or the name of
        one that ships.

    Raises
    ------
    UnknownNameError
        If no recipe of that name ships.
    FileFormatError
        If the folder has no readable ``spec.toml``.
    SpecError
        If ``spec.toml`` names an unknown choice.

    Examples
    --------
    >>> from sloth_bayes.infer import recipes
    >>> recipe = recipes.load("leaderboard")
    >>> recipe.name, recipe.fit.method
    ('leaderboard', 'nuts')
    """
    if is_path(name_or_path):
        folder = user_path(name_or_path)
    else:
        names = recipe_names()
        if name_or_path not in names:
            remedy = "A path to a folder of your own has a separator: ./NAME."
            raise unknown("recipe", name_or_path, names, remedy)
        folder = shipped("models") / name_or_path
    source = folder / SPEC
    if not source.is_file():
        name = folder.resolve().name
        here = f"; the one that ships is called by its name: {name}" if name in _shipping() else ""
        raise FileFormatError(f"{folder} is no recipe: it has no file {SPEC}{here}")
    table = read_toml(source).get("fit", {})
    try:
        if not isinstance(table, dict):
            raise SpecError("fit must be a table, [fit]")
        check_keys(FitOptions, table, "[fit]")
        return Recipe(folder.resolve().name, Spec.from_toml(source), folder, FitOptions(**table))
    except SpecError as error:
        raise SpecError(f"{source}: {error}") from None


def is_path(name_or_path: str | Path) -> bool:
    """Whether a recipe is given as a folder rather than by the name of one that ships."""
    text = str(name_or_path)
    return isinstance(name_or_path, Path) or "/" in text or os.sep in text


def _shipping() -> list[str]:
    try:
        return recipe_names()
    except FileFormatError:
        return []
