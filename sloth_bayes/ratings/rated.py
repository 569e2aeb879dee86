"""Ratings as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

SCALE = (1, 5)  # of a rating
BASE = "Base"  # the kind that is not tuned to chat


@dataclass(frozen=True)
class Ratings:
    """The fields of :class:`sloth_bayes.SkillRatings`, and what a fit reads of them."""

    frame: pd.DataFrame
    models: pd.DataFrame
    skills: tuple[str, ...]
    judges: tuple[str, ...]
    levels: tuple[int, ...]
    instances: Mapping[str, int]
    name: str = "ratings"

    @property
    def single(self) -> bool:
        """Whether single ratings are counted, rather than means given."""
        return bool(self.levels)

    def means(self) -> pd.DataFrame:
        """Mean rating of each model (rows) and skill, over judges and difficulties.

        For the layers above.
        """
        if self.single:
            counts = self.frame.groupby(["model", "skill"])[list("12345")].sum()
            mean = (counts * np.arange(1, 6)).sum(axis=1) / counts.sum(axis=1)
        else:
            mean = self.frame.groupby(["model", "skill"])["rating"].mean()
        return mean.unstack("skill")[list(self.skills)]
