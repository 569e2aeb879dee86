"""Draws of the law of ratings, and the law at them."""

from __future__ import annotations

import json
import math
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import unknown
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
        return list(json.loads(self.tree.attrs["levels"]))

    @cached_property
    def about(self) -> pd.DataFrame:
        """The models: model, family, lineage, kind, params_b (as given)."""
        data = self.constant_data
        names = {
            "family": "family_of_model",
            "lineage": "lineage_of_model",
            "kind": "kind_of_model",
        }
        out = pd.DataFrame({"model": self.models})
        for column, source in names.items():
            out[column] = data[source].values.astype(str)
        return out.assign(params_b=data["params_b"].values.astype(float))

    def diagnostics(self) -> Diagnostics:
        """Has NUTS converged? Of the full fit, if the draws were thinned.

        See :class:`sloth_bayes.Diagnostics`: ``ok`` is False and the messages say what to do
        where it has not.
        """
        return diagnose(self, self._quantities)

    def _quantities(self) -> xr.Dataset:
        columns = {}
        for name, var in self.tree["posterior"].to_dataset().data_vars.items():
            if name == "loading" or float(var.std()) == 0:  # its sign is a convention
                continue
            dims = [str(d) for d in var.dims[2:]]
            flat = var.values.reshape(*var.shape[:2], -1)
            labels = pd.MultiIndex.from_product([self.names(d) for d in dims]) if dims else [()]
            where = [", ".join(k) if isinstance(k, tuple) else str(k) for k in labels]
            keep = flat.std((0, 1)) > 0
            named = [f"{name}[{w}]" if w else str(name) for w in np.array(where)[keep]]
            columns[str(name)] = xr.DataArray(
                flat[..., keep], dims=("chain", "draw", f"in_{name}"), coords={f"in_{name}": named}
            )
        return xr.Dataset(columns)

    # -- ratings at predictors -----------------------------------------------------------------

    def rating(self, eta: np.ndarray, level: int | None = None) -> np.ndarray:
        """Expected rating at predictors ``(S, M, J)``, of an average judge.

        Of single ratings at a level of difficulty, or over those of the table.
        """
        v = self.merged
        if "threshold" not in v:
            fraction = equations.link(LAW.link, eta, 1.0, np)
        else:
            weight = np.asarray(json.loads(self.tree.attrs["weight"]))
            if level is not None:
                weight = np.zeros_like(weight)
                weight[:, self.levels.index(level)] = 1.0
            fraction = np.zeros(eta.shape)
            for q in range(weight.shape[1]):
                here = eta + v["difficulty"][:, None, :, q]
                above = [
                    equations.link(LAW.link, here - v["threshold"][:, k, None, None], 1.0, np)
                    for k in range(4)
                ]
                fraction += weight[:, q] * np.mean(above, axis=0)
        out: np.ndarray = SCALE[0] + (SCALE[1] - SCALE[0]) * fraction
        return out

    def _doublings(self, params_b: Any) -> np.ndarray:
        return (np.log(np.asarray(params_b, float)) - self.tree.attrs["centre"]) / math.log(2)

    def along(self, params_b: Any, kind: str) -> np.ndarray:
        """Expected ratings ``(S, n, J)`` of a typical family at sizes ``(n,)`` or ``(S, n)``."""
        v = self.merged
        slope, bend = v["slope"], v["bend"]
        x, knots = self._doublings(params_b), self._doublings(np.array(KNOTS))
        beyond = np.clip(x[..., None] - knots, 0.0, None)  # as ratingsmodel.curve, without JAX
        eta = x[..., None] * slope[:, None] + beyond @ bend
        own = v["bias"] + v["kind_effect"][:, self.kinds.index(kind)]
        return self.rating(eta + own[:, None])

    def ask_kind(self, kind: str | None) -> str:
        """A kind of model of the fit; by default Chat, if there is one."""
        if kind is None:
            return "Chat" if "Chat" in self.kinds else self.kinds[0]
        if kind not in self.kinds:
            raise unknown("kind of model", kind, self.kinds)
        return kind

    def curve(self, kind: str | None = None, points: int = 40, prob: float = 0.9) -> pd.DataFrame:
        """Expected rating of a typical family: skill, params_b, median, lower, upper."""
        kind, prob = self.ask_kind(kind), check_prob(prob)
        low, high = self.extent()
        sizes = np.geomspace(low, high, points)
        middle, lower, upper = median_and_ends(self.along(sizes, kind), prob)
        return pd.DataFrame(
            {
                "skill": np.repeat(self.skills, points),
                "params_b": np.tile(sizes, len(self.skills)),
                "median": middle.T.ravel(), "lower": lower.T.ravel(), "upper": upper.T.ravel(),
            }
        )  # fmt: skip

    def extent(self) -> tuple[float, float]:
        """Smallest and largest known size (B)."""
        sizes = self.about["params_b"]
        return float(sizes.min()), float(sizes.max())
