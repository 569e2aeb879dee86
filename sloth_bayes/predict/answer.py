"""What answers share: a table, draws, and what to keep in mind."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..posterior.base import in_chains
from ..posterior.core import PosteriorDraws
from ..support.html import shown
from ..support.intervals import median_and_ends


def labelled(post: PosteriorDraws, /, labels: Any = None, **arrays: np.ndarray) -> xr.Dataset:
    """Draws ``(S, ...)`` in the posterior's chains.

    Parameters
    ----------
    labels
        Of the dimensions after the draws, in order.
    **arrays
        Each with all of these dimensions.
    """
    labels = labels or {}
    variables = {name: (tuple(labels), values) for name, values in arrays.items()}
    return in_chains(post.tree["posterior"].to_dataset(), variables, **labels)


def central(values: np.ndarray, prob: float, prefix: str = "") -> dict[str, np.ndarray]:
    """Columns of a table: median, lower and upper end of the interval of each of `values`."""
    names = (f"{prefix}median", f"{prefix}lower", f"{prefix}upper")
    return dict(zip(names, median_and_ends(values, prob)))


@dataclasses.dataclass(eq=False, repr=False)
class Answer:
    """What the answers of this layer share: a table, draws, and what to keep in mind.

    Attributes
    ----------
    frame : pandas.DataFrame
        The answer, tidy.
    draws : xarray.Dataset
        The same, draw by draw (dims chain, draw and what the answer is about).
    prob : float
        Mass of the central intervals in :attr:`frame`.
    messages : tuple of str
        What to keep in mind: a fit that has not converged, or is a first look; extrapolation,
        families never seen, curves that fall. Attributes of :attr:`frame` have it too.
    """

    posterior: PosteriorDraws
    frame: pd.DataFrame
    draws: xr.Dataset
    prob: float
    messages: Sequence[str]
    skill_names: Sequence[str] = ()  # what was asked about that is a skill

    def __post_init__(self) -> None:
        self.messages = tuple(dict.fromkeys([*self.posterior.cautions, *self.messages]))
        self.frame.attrs.update(fit=self.posterior.standing, warnings=list(self.messages))

    @property
    def is_skill(self) -> bool:
        """Whether the first thing asked about is a skill: its unit is a standard deviation."""
        first = self.frame.iloc[0]
        return str(first.get("of", first.get("objective"))) in self.skill_names

    def __repr__(self) -> str:
        return f"<sloth_bayes.{type(self).__name__}>\n{self.frame.to_string(index=False)}"

    def _repr_html_(self) -> str:
        of = f"{type(self).__name__}: {self.prob:.0%} intervals, {self.posterior.n_draws} draws"
        return shown(of, self.frame, standing=self.posterior.standing, notes=self.messages)
