"""Draws of the law of ratings, and the law at them."""

from __future__ import annotations

import math
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import check_known
from ..law import equations
from ..law.spec import Priors, Spec
from ..posterior.base import Drawn
from ..posterior.diagnostics import diagnose
from ..posterior.verdict import Diagnostics
from ..support.checks import check_prob
from ..support.intervals import median_and_ends
from .rated import SCALE

KNOTS = (7.0, 13.0, 30.0, 70.0)  # sizes (B) where the gain of a doubling may change
GAIN = 0.1  # rating points a doubling, below which a skill counts as saturated
LAW = Spec(
    n_skills=1,
    inputs="size",
    slopes="shared",
    model_effect="pooled",
    lower="chance",
    upper="one",
    link="logistic",
    unknown_inputs="latent",
    priors=Priors(model_effect=0.5),
)
"""The law of ratings: one general skill, residuals by family and skill, size only.

Set before any held-out score was seen. Single models differ more here than on leaderboards (one
base model has many tunings), hence the wider prior of their effect."""


DIMS: dict[str, tuple[str, ...]] = {
    "bias": ("skill",),
    "slope": ("skill",),
    "bend": ("knot", "skill"),
    "kind_effect": ("kind", "skill"),
    "family_effect": ("family", "skill"),
    "lineage_effect": ("lineage", "skill"),
    "loading": ("skill",),
    "severity": ("judge", "skill"),
    "stretch": ("judge",),
    "judge_noise": ("judge", "skill"),
    "noise_scale": ("skill",),
    "sampling_fraction": (),
    "threshold": ("step",),
    "difficulty": ("skill", "level"),
    "step_scale": (),
    "curve_scale": (),
    "kind_scale": (),
    "severity_scale": (),
    "residual_scale": ("skill",),
    "model_scale": (),
    "lineage_share": (),
    "residual_share": (),
    "params_b": ("of_unknown_size",),
    "predictor": ("model", "skill"),
}
"""Dimensions of every posterior variable, after chain and draw."""


def curve(x: Any, slope: Any, bend: Any, knots: Any, xp: Any) -> Any:
    """Effect of size (..., J): `slope` (..., J) a doubling, changed by `bend` (..., K, J) at knots.

    `x` (M,) or (..., M) are doublings; the result is (..., M, J).
    """
    beyond = xp.clip(x[..., None] - knots, 0.0, None)
    return x[..., None] * slope[..., None, :] + beyond @ bend


def named_ends(
    values: np.ndarray, prob: float, middle: str = "median", prefix: str = ""
) -> dict[str, np.ndarray]:
    """Columns of a table: the median of draws, and the ends of their interval."""
    return dict(zip((middle, f"{prefix}lower", f"{prefix}upper"), median_and_ends(values, prob)))


class RatingsDraws(Drawn):
    """Draws of the law of ratings, and the law at them; see :class:`RatingsPosterior`."""

    FORMAT, FORMAT_VERSION = "sloth_bayes ratings", 1

    def __repr__(self) -> str:
        return (
            f"<sloth_bayes.RatingsPosterior of {self.tree.attrs['name']!r}: {self.n_draws} draws; "
            f"{len(self.models)} models, {len(self.skills)} skills, {len(self.judges)} judge(s)>"
        )

    @property
    def data_tree(self) -> xr.DataTree:
        """The draws in ArviZ's schema."""
        return self.tree

    def names(self, dim: str) -> list[str]:
        """The labels of a dimension; none if no variable has it. For the layers above."""
        data = self.tree["posterior"].to_dataset()
        return [str(v) for v in data[dim].values] if dim in data.coords else []

    @property
    def skills(self) -> list[str]:
        """Skills, in the order of the ratings."""
        return self.names("skill")

    @property
    def models(self) -> list[str]:
        """Models, sorted."""
        return self.names("model")

    @property
    def judges(self) -> list[str]:
        """Judges, sorted."""
        return self.names("judge")

    @property
    def kinds(self) -> list[str]:
        """Kinds of model, sorted."""
        return self.names("kind")

    @property
    def levels(self) -> list[int]:
        """Levels of difficulty; empty where means were fitted."""
        return list(self.attrs["levels"])

    @cached_property
    def about(self) -> pd.DataFrame:
        """The models: model, family, lineage, kind, params_b (as given)."""
        columns = {
            name: self.constant(f"{name}_of_model").astype(str)
            for name in ("family", "lineage", "kind")
        }
        sizes = self.constant("params_b").astype(float)
        return pd.DataFrame({"model": self.models, **columns, "params_b": sizes})

    def diagnostics(self) -> Diagnostics:
        """Has NUTS converged? Of the full fit, if the draws were thinned.

        See :class:`sloth_bayes.Diagnostics`: ``ok`` is False and the messages say what to do
        where it has not.
        """
        return diagnose(self, self._quantities)

    def _quantities(self) -> xr.Dataset:
        columns = {}
        for name, var in self.tree["posterior"].to_dataset().data_vars.items():
            flat = var.values.reshape(*var.shape[:2], -1)
            varies = flat.std((0, 1)) > 0
            if name == "loading" or not varies.any():  # its sign is a convention
                continue
            names = [self.names(str(d)) for d in var.dims[2:]]
            labels = np.array([", ".join(k) for k in product(*names)])
            named = [f"{name}[{k}]" if k else str(name) for k in labels[varies]]
            dim = f"in_{name}"
            columns[str(name)] = xr.DataArray(
                flat[..., varies], dims=("chain", "draw", dim), coords={dim: named}
            )
        return xr.Dataset(columns)

    # -- ratings at predictors -----------------------------------------------------------------

    def rating(self, eta: np.ndarray, level: int | None = None) -> np.ndarray:
        """Expected rating at predictors ``(S, M, J)``, of an average judge.

        Of single ratings at a level of difficulty, or over those of the table. For the layers
        above.
        """
        v = self.merged
        if "threshold" not in v:
            fraction = equations.link(LAW.link, eta, 1.0, np)
        else:
            weight = np.asarray(self.attrs["weight"])
            if level is not None:
                weight = np.broadcast_to(np.equal(self.levels, level) * 1.0, weight.shape)
            fraction = np.zeros(eta.shape)
            for q in range(weight.shape[1]):
                here = (eta + v["difficulty"][:, None, :, q])[..., None]
                above = here - v["threshold"][:, None, None]
                fraction += weight[:, q] * equations.link(LAW.link, above, 1.0, np).mean(-1)
        out: np.ndarray = SCALE[0] + (SCALE[1] - SCALE[0]) * fraction
        return out

    def _doublings(self, params_b: Any) -> np.ndarray:
        return (np.log(np.asarray(params_b, float)) - self.tree.attrs["centre"]) / math.log(2)

    def along(self, params_b: Any, kind: str) -> np.ndarray:
        """Expected ratings ``(S, n, J)`` of a typical family at sizes ``(n,)`` or ``(S, n)``.

        For the layers above.
        """
        v, knots = self.merged, self._doublings(KNOTS)
        eta = curve(self._doublings(params_b), v["slope"], v["bend"], knots, np)
        own = v["bias"] + v["kind_effect"][:, self.kinds.index(kind)]
        return self.rating(eta + own[:, None])

    def ask_kind(self, kind: str | None) -> str:
        """A kind of model of the fit; by default Chat, if there is one. For the layers above."""
        if kind is None:
            return "Chat" if "Chat" in self.kinds else self.kinds[0]
        check_known("kind of model", [kind], self.kinds)
        return kind

    def curve(self, kind: str | None = None, points: int = 40, prob: float = 0.9) -> pd.DataFrame:
        """Expected rating of a typical family: skill, params_b, median, lower, upper.

        Experimental as a forecast of a lineage never seen: on BiGGen-Bench it errs by 0.41 rating
        points, least squares on size and kind by 0.39 (``docs/evidence.md``).
        """
        kind, prob = self.ask_kind(kind), check_prob(prob)
        low, high = self.extent()
        sizes = np.geomspace(low, high, points)
        return self.by_skill(sizes, self.along(sizes, kind), prob)

    def by_skill(self, sizes: np.ndarray, values: np.ndarray, prob: float) -> pd.DataFrame:
        """Median and interval of draws ``(S, n, J)`` at sizes ``(n,)``: a row a skill and size.

        For the layers above.
        """
        index = pd.MultiIndex.from_product([self.skills, sizes], names=["skill", "params_b"])
        ends = {name: v.T.ravel() for name, v in named_ends(values, prob).items()}
        return pd.DataFrame(ends, index=index).reset_index()

    def extent(self) -> tuple[float, float]:
        """Smallest and largest known size (B). For the layers above."""
        sizes = self.about["params_b"]
        return float(sizes.min()), float(sizes.max())
