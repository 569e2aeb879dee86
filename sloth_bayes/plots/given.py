"""What the figures read of the answers they are given, where several read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr

    from ..posterior.core import PosteriorDraws


class Skills(Protocol):
    """Rotated skills of a posterior: see :class:`sloth_bayes.skills.tables.Skills`."""

    prob: float
    posterior: PosteriorDraws

    @property
    def names(self) -> list[str]:
        """Names of the skills, in order."""

    @property
    def benchmarks(self) -> list[str]:
        """Benchmarks, in the order of the table."""

    def loadings(self, prob: float | None = None) -> pd.DataFrame:
        """Loadings, summarised."""

    def correlations(self, prob: float | None = None) -> pd.DataFrame:
        """Correlations of pairs of skills, summarised."""

    def models(self, prob: float | None = None) -> pd.DataFrame:
        """Skills of models, summarised."""

    def surface(self, params_b: np.ndarray, tokens_t: np.ndarray) -> xr.DataArray:
        """Skills over size x tokens."""

    def merged(self, name: str) -> np.ndarray:
        """A variable's draws, chains together."""

    def pairs(self) -> dict[str, str]:
        """Tuned families and the base family of each."""


class Answer(Protocol):
    """An answer about plans: see :class:`sloth_bayes.predict.answer.Answer`."""

    posterior: PosteriorDraws
    frame: pd.DataFrame
    prob: float

    @property
    def is_skill(self) -> bool:
        """Whether the first thing asked about is a skill."""


class CurveAnswer(Answer, Protocol):
    """An answer read off a curve: a required size or a point of saturation."""

    curve: pd.DataFrame


class Card(Answer, Protocol):
    """Score cards, completed: see :class:`sloth_bayes.predict.completion.Completion`."""

    draws: xr.Dataset
    observed: pd.DataFrame


class Surprises(Protocol):
    """Scores left out one by one: see :class:`sloth_bayes.predict.surprises.Surprises`."""

    frame: pd.DataFrame
