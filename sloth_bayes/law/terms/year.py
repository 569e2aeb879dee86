"""Effect of the date of release on the skills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from .base import Array, Term

REFERENCE = pd.Timestamp("2025-01-01")


def years(frame: pd.DataFrame) -> np.ndarray:
    """Years from :data:`REFERENCE` to the date of each model, or to the month of its family.

    Raises
    ------
    KeyError
        If the frame has neither a ``date`` nor a ``released``.
    """
    if "date" not in frame and "released" not in frame:
        raise KeyError("date")
    none = pd.Series(pd.NaT, frame.index)
    date = pd.to_datetime(frame.get("date", none))
    month = pd.Series(pd.PeriodIndex(frame.get("released", none), freq="M"), frame.index)
    date = date.fillna(month.dt.to_timestamp() + pd.Timedelta(days=14))
    return ((date - REFERENCE).dt.days / 365.25).to_numpy(float)


class Year(Term):
    """``beta years_m``: what a year adds to each skill, the same for all."""

    name = "year"
    dims: ClassVar = {"year": ("skill",)}
    adds_to, times = "skill", "years"
    inherited = False
    site = "year_raw"

    def used(self, spec: Any) -> bool:
        """If models are known by their dates."""
        return bool(spec.inputs == "date")

    def column(self, frame: pd.DataFrame) -> np.ndarray:
        """Years since the start of 2025, NaN where neither date nor month is known."""
        return years(frame)

    def scale(self, values: Mapping[str, Array], spec: Any) -> Array:
        """The prior's."""
        return spec.priors.year

    def prior(self, at: Any) -> dict[str, Array]:
        """One row."""
        return {self.name: at.rows(self.site, scale=at.spec.priors.year)}
