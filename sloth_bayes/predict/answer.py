"""What answers share: a table, draws, and what to keep in mind."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import xarray as xr

from ..posterior.core import PosteriorDraws


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
        What to keep in mind: extrapolation, families never seen, curves that fall.
    """

    def __init__(
        self,
        posterior: PosteriorDraws,
        frame: pd.DataFrame,
        draws: xr.Dataset,
        prob: float,
        messages: Sequence[str],
        skills: Sequence[str] = (),
    ) -> None:
        self.frame = frame
        self.draws = draws
        self.prob = prob
        self.messages = tuple(dict.fromkeys(messages))
        self.posterior = posterior
        self.skill_names = tuple(skills)  # what was asked about that is a skill

    @property
    def is_skill(self) -> bool:
        """Whether the first thing asked about is a skill: its unit is a standard deviation."""
        first = self.frame.iloc[0]
        return str(first.get("of", first.get("objective"))) in self.skill_names

    def __repr__(self) -> str:
        return f"<sloth_bayes.{type(self).__name__}>\n{self.frame.to_string(index=False)}"

    def _repr_html_(self) -> str:
        return self.frame.to_html(index=False, float_format="{:.3g}".format)
