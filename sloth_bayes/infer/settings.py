"""How a table is fitted: the options of a fit, which need no JAX to be read or checked."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ..errors import SpecError
from ..support.checks import whole

LEAST_WARMUP = 20  # iterations, of which some learn a metric and the last settle the step
_DRAWS, _WORK = 1_000_000, 1e9  # more draws, or gradients, than can be meant
_GRADIENTS_A_MOVE = 8
RANK = 512  # directions that the metric of a guide stretches


@dataclass(frozen=True)
class Settings:
    """Options of :func:`sloth_bayes.infer.fit.fit`, which explains them, and their defaults."""

    method: str = "nuts"
    chains: int = 4
    draws: int = 1500
    warmup: int = 1000
    thin: int = 1
    steps: int = 1000
    starts: int = 4
    rank: int = RANK
    moves: int = 0
    target_accept: float = 0.8
    max_tree_depth: int = 10
    seed: int = 0

    def checked(self) -> Settings:
        """The same with whole numbers as ``int``.

        Raises
        ------
        SpecError
            If the method is unknown or a number is out of its range.
        """
        check_method(self.method)
        nuts = self.method == "nuts"
        least = {"seed": 0, "moves": 0, "warmup": LEAST_WARMUP if nuts else 0}
        counts = [f.name for f in dataclasses.fields(Settings) if isinstance(f.default, int)]
        found: dict[str, Any] = {
            name: whole(name, getattr(self, name), least.get(name, 1)) for name in counts
        }
        if found["moves"] and nuts:
            raise SpecError(
                "moves carry draws of a variational guide on: they go with method='svi'"
            )
        if not 0 < self.target_accept < 1:
            raise SpecError(f"target_accept must lie between 0 and 1, not {self.target_accept}")
        settings = dataclasses.replace(self, **found)
        _refuse_absurd(settings)
        return settings


def check_method(method: str) -> None:
    """Raise `SpecError` unless this is a method of fitting."""
    if method not in ("nuts", "svi"):
        raise SpecError(f"method={method!r} is not a choice; method takes nuts, svi")


def _refuse_absurd(o: Settings) -> None:
    """An error for what no machine would finish, with what it would cost."""
    kept = o.chains * o.draws
    if kept > _DRAWS:
        raise SpecError(
            f"{o.chains} chains x {o.draws} draws are {kept:,} draws of every parameter, "
            f"gigabytes a thousand parameters: ask for at most {_DRAWS:,} in all (4,000 are "
            "plenty)"
        )
    work = o.starts * o.steps
    if o.method == "nuts":
        work += o.chains * (o.warmup + o.draws) * o.thin
    else:
        work += o.moves * _GRADIENTS_A_MOVE * kept
    if work > _WORK:
        raise SpecError(
            f"this fit takes {work:.2g} gradients of the whole table at least: at a thousand a "
            f"second that is {work / 1000 / 86400:,.0f} days; ask for fewer steps, moves, "
            "draws or warm-up iterations"
        )
