"""What is expected of a new task before its scores."""

from __future__ import annotations

from typing import NamedTuple


class Shrinkage(NamedTuple):
    """What is expected of a task before its scores.

    Attributes
    ----------
    weights
        Prior scale of the size of the weights: logits per standard deviation of skill.
    spread
        Prior scale of the spread of models about the curve, in logits.
    general
        How much further a task is expected to lie along the first whitened skill, the direction
        that benchmarks have in common, than along any other: in units of the weights' size.
    """

    weights: float
    spread: float = 1.0
    general: float = 1.0


SHRINKAGE = {"normal": Shrinkage(2.0), "strong": Shrinkage(0.5)}
