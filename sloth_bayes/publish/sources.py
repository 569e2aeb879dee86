"""What the figures of a paper are made from, what one is, and how captions name things.

A figure of :mod:`sloth_bayes.figures` is a tidy table, a caption with numbers from that table,
and a function that draws it at the width of a column or of a page.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ..api import Posterior, Sloth
from ..errors import DataError
from ..evaluate import evaluation as evaluations
from ..evaluate.evaluation import Evaluation, load_evaluation
from ..skills.tables import Skills
from ..support.shipped import shipped

SHORT = {  # of settings and parts of the evaluation
    "lb_v1": "v1", "lb_v2": "v2", "lb_v1v2": "v1+v2", "all": "all six",
    "lineages": "lineages in turn", "since-2023-09": "since 2023-09",
    "since-2024-03": "since 2024-03",
}  # fmt: skip
ANOTHER = "of another specification than the posterior's"
LEVEL = 0.9  # mass of intervals in figures of a paper


def _evaluation() -> Path:
    return shipped("models") / "leaderboard" / "evaluation"


@dataclasses.dataclass(frozen=True)
class Sources:
    """What the figures are made from: a posterior, and the evaluation that ships.

    Attributes
    ----------
    posterior : Posterior
        The posterior of the figures on the law and its skills.
    seed : int
        Seed of what is not in the posterior's draws.
    """

    posterior: Posterior
    seed: int = 0

    @cached_property
    def skills(self) -> Skills:
        """Skills of all draws."""
        return self.posterior.skills(prob=LEVEL)

    @cached_property
    def strict(self) -> Evaluation:
        """The published protocol, relatives hidden."""
        return load_evaluation("leaderboard", "strict")

    @cached_property
    def folds(self) -> pd.DataFrame:
        """Errors of all methods, fold by fold: ours, published, and refitted here.

        mae in points; mape, in percent of the score, is not known of the published ones.
        """
        ours = evaluations.fold_errors(self.strict.frame)
        refits = pd.read_csv(_evaluation() / "baselines.csv")
        return pd.concat(
            [
                ours.assign(method="sloth_bayes", source="sloth_bayes"),
                evaluations.published_errors().assign(source="published"),
                refits.drop(columns="loss").assign(source="refitted here"),
            ],
            ignore_index=True,
        )

    @cached_property
    def methods(self) -> pd.DataFrame:
        """Error of every method in every setting, over one or two observed, and over all six.

        setting (``"all"``: over several), n_observed (0: both), mae, se, lower, upper (points;
        families resampled), method, source.
        """
        rows = []
        for (source, method), part in self.folds.groupby(["source", "method"], sort=False):
            found = mean_and_se(part)
            for n in (1, 2):
                here = mean_and_se(part[part["n_observed"] == n]).iloc[[-1]]
                found = pd.concat([found, here.assign(n_observed=n)], ignore_index=True)
            rows.append(found.assign(method=method, source=source))
        return pd.concat(rows, ignore_index=True)

    @cached_property
    def by_benchmark(self) -> pd.DataFrame:
        """Errors by fold and benchmark: ours, and three published laws refitted (points)."""
        f = self.strict.frame
        key = ["setting", "n_observed", "fold", "benchmark"]
        ours = (100 * f.groupby(key, sort=False)["error"].mean()).rename("mae").reset_index()
        refits = pd.read_csv(_evaluation() / "baselines_by_benchmark.csv")
        return pd.concat([ours.assign(method="sloth_bayes"), refits], ignore_index=True)

    @cached_property
    def digest(self) -> str:
        """What the numbers depend on: draws, data, specification, evaluation, studies."""
        found = hashlib.sha256(self.posterior.spec.to_toml().encode())
        for group in ("posterior", "observed_data", "constant_data"):
            data = self.posterior.tree[group].to_dataset()
            for name in sorted(map(str, data.variables)):
                values = data[name].values
                raw = values.tobytes() if values.dtype != object else repr(values.tolist()).encode()
                found.update(name.encode() + raw)
        for folder in (_evaluation(), shipped("studies")):
            for path in sorted(folder.rglob("*.*")):
                found.update(path.name.encode() + path.read_bytes())
        return found.hexdigest()[:16]

    @property
    def described(self) -> str:
        """The posterior, for a caption."""
        post = self.posterior
        return (
            f"Posterior by {post.method.upper()}, {post.n_draws:,} draws, fitted on "
            f"{len(post.models)} models of {post.attrs['data']}."
        )

    @cached_property
    def evaluated(self) -> str:
        """Whose forecasts were scored, for a caption."""
        found = self.strict.about
        text = f"Forecasts of the evaluation that ships, by {found['method'].upper()}"
        return f"{text}." if self.posterior_is_evaluated else f"{text}: {ANOTHER}."

    @cached_property
    def posterior_is_evaluated(self) -> bool:
        """Whether the evaluation that ships is of the posterior's specification."""
        return Sloth.from_toml(self.strict.about["spec"]) == self.posterior.spec


@dataclasses.dataclass(frozen=True)
class Drawing:
    """One figure of a paper.

    Attributes
    ----------
    frame : pandas.DataFrame
        The numbers behind it, tidy.
    caption : str
        One paragraph, with numbers.
    draw : callable
        Makes the :class:`matplotlib.figure.Figure`, ``draw(wide)``: of a page's width if
        `wide`, else of a column's.
    """

    frame: pd.DataFrame
    caption: str
    draw: Callable[[bool], Figure]


def mean_and_se(folds: pd.DataFrame, of: str = "mae") -> pd.DataFrame:
    """Mean error and its standard error, by setting and over settings."""
    series = folds.set_index(["setting", "n_observed", "fold"])[of].dropna()
    return evaluations.paired(series).rename(columns={"difference": of}).reset_index()


def short_setting(setting: str, n: int | None = None) -> str:
    """``lb_v1v2`` and 1 as ``v1+v2, 1``."""
    name = SHORT.get(setting, setting)
    return name if not n else f"{name}, {n}"


def short_method(method: str) -> str:
    """A method's name for a narrow axis."""
    method = re.sub(r" \((Owen|Ruan)\)| intercept", "", method)
    return method.replace("trained link", "trained").replace("Size+Tokens", "Size+tokens")


def certain(p_positive: Any) -> Any:
    """Whether a sign is certain, of probabilities that it is positive."""
    return (p_positive > 0.95) | (p_positive < 0.05)


def needs(condition: bool, text: str) -> None:
    """A figure that cannot be drawn from this posterior says why."""
    if not condition:
        raise DataError(text)
