"""How far the families of a later month are ahead of those of an earlier one."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd

from .year import Year, years


class Progress(Year):
    """``beta years_f``: what the mean of family effects gains in a year, of release months.

    So that what later families have over earlier ones, which are also larger and saw more tokens,
    does not pass for what size and tokens do within a family. A family whose month a table does
    not say has the mean month of the models there.
    """

    name = "progress"
    dims: ClassVar = {"progress": ("skill",)}
    inherited, guesses, of_families = True, True, True
    site = "progress_raw"

    def used(self, spec: Any) -> bool:
        """If families are known by their months."""
        return bool(spec.progress == "date")

    def column(self, frame: pd.DataFrame) -> np.ndarray:
        """Years since the start of 2025, of a family without a month those of the model's date."""
        date = years(frame)
        if "released" not in frame:
            return date
        month = years(frame[["released"]])
        return np.where(np.isfinite(month), month, date)

    def of_new_family(self, known: np.ndarray) -> float | None:
        """As late as the latest family of the fit."""
        return float(known.max())
