"""How many skills do the data support? Two answers side by side, with their errors."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from ..errors import DataError, SpecError
from ..law.spec import Spec
from ..posterior.base import merge_chains
from ..support.checks import whole
from ..support.files import user_path
from ..support.html import shown
from ..support.kept import keep, kept, only_writer
from ..support.shipped import PUBLISHED
from ..table.leaderboard import Leaderboard, load_dataset
from . import protocols

_LOO = "loo.csv"
_K_BAD = 0.7  # PSIS k-hat above which a leave-one-out term is not to be relied upon


@dataclasses.dataclass(frozen=True)
class SkillCount:
    """Fits with different numbers of skills, compared.

    Attributes
    ----------
    table : pandas.DataFrame
        Index n_skills. Inside the table: ``loo`` (PSIS leave-one-out log score, nats a score),
        ``loo_less_best`` and its standard error ``loo_se``, ``p_loo`` (effective number of
        parameters), ``bad_k`` (share of scores with a PSIS k-hat above 0.7). On families left
        out: ``lfo`` (log score of their larger models, nats a score), ``lfo_less_best``,
        ``lfo_se``, ``mae`` (points), ``cover_90``. Standard errors are of paired differences
        to the best row, over families: the scores of one share its luck.
    method : str
        ``"svi"`` or ``"nuts"``.
    words : str
        What the two support.
    """

    table: pd.DataFrame
    method: str
    words: str

    def __str__(self) -> str:
        return self.words

    def _repr_html_(self) -> str:
        return shown(f"SkillCount by {self.method.upper()}: {self.words}", self.table, index=True)


def how_many_skills(
    data: Leaderboard | None = None,
    spec: Spec | None = None,
    n_skills: Sequence[int] = (1, 2, 3, 4, 5),
    *,
    method: str = "svi",
    folds: Iterable[protocols.Fold] | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool | None = None,
    fit: dict[str, Any] | None = None,
    hidden: dict[str, Any] | None = None,
) -> SkillCount:
    """Compare numbers of skills by PSIS leave-one-out and by leaving families out.

    The two ask different things. Leave-one-out hides a single score of a model whose other
    scores stay: it rewards describing the table. Leaving families out hides the larger models
    of a family: it rewards the law, and is what a forecast needs.

    Parameters
    ----------
    data
        The table; the corrected leaderboard that ships by default.
    spec
        The specification, of which only the number of skills is changed.
    n_skills
        The numbers to compare.
    method
        ``"svi"`` (some minutes for the table that ships) or ``"nuts"``. Leave-one-out by a
        variational guide is a first look: the guide is not the posterior.
    folds
        What is left out; by default, lineage by lineage, the larger models of the families
        that no published fold tests (:func:`sloth_bayes.protocols.never_tested`), so that the
        choice has not seen the published protocol's answers.
    seed
        Of all fits.
    out
        A folder to keep results in, so that an interrupted comparison goes on where it was.
    progress
        Show progress bars.
    fit, hidden
        Further options of :meth:`sloth_bayes.Sloth.fit` and of
        :func:`sloth_bayes.cross_validate`.

    Returns
    -------
    SkillCount

    Raises
    ------
    SpecError
        If a number of skills is not positive, is given twice or exceeds the benchmarks, or the
        loadings are identities (one skill a benchmark).
    DataError
        If no family can be left out.
    FileFormatError
        If `out` holds results of another comparison, or cannot be written.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> data = sb.load_dataset("open_llm_leaderboard").select(benchmarks=["MMLU", "HellaSwag"])
    >>> folds = sb.protocols.leave_group_out(data, {"qwen": "qwen"}, n_observed=2)
    >>> found = sb.how_many_skills(
    ...     data, n_skills=[1], folds=folds, progress=False,
    ...     fit={"steps": 50, "draws": 25}, hidden={"steps": 50},
    ... )
    >>> found.table.index.tolist()
    [1]
    """
    from .cross_validate import cross_validate

    data = load_dataset(PUBLISHED) if data is None else data
    spec = Spec() if spec is None else spec
    numbers = _checked(n_skills, spec, len(data.benchmark_names))
    if folds is None:
        groups = protocols.never_tested(data)
        if not groups:
            raise DataError(
                "every family of this table is tested by a published fold: pass folds= to say what "
                "to leave out"
            )
        folds = protocols.leave_group_out(data, groups, 1, setting="never tested")
    folds = tuple(folds)
    asked: dict[str, Any] = {"method": method, "seed": whole("seed", seed, 0)}
    inside, outside, rows = {}, {}, {}  # by number of skills
    for d in numbers:
        one = spec.replace(n_skills=d)
        folder = None if out is None else user_path(out) / f"{d}-skills"
        about = {"spec": one.to_toml(), "data": data.fingerprint, **asked, "options": fit or {}}
        inside[d] = _leave_one_out(one, data, folder, progress, about)
        options = asked | (hidden or {})
        found = cross_validate(one, data, folds, out=folder, progress=progress, **options)
        outside[d] = found.frame.set_index(["fold", "model", "benchmark"])
        rows[d] = {
            "p_loo": (inside[d]["log_score"] - inside[d]["value"]).sum(),
            "bad_k": (inside[d]["k_hat"] > _K_BAD).mean(),
            "mae": 100 * found.frame["error"].mean(),
            "cover_90": found.frame["covered_90"].mean(),
        }
    first, others = outside[numbers[0]], pd.DataFrame(rows).T
    loo = _against_best({d: f["value"] for d, f in inside.items()}, inside[numbers[0]]["family"])
    lfo = _against_best({d: f["log_score"] for d, f in outside.items()}, first["family"])
    parts = [
        loo.add_prefix("loo"), others[["p_loo", "bad_k"]],
        lfo.add_prefix("lfo"), others[["mae", "cover_90"]],
    ]  # fmt: skip
    table = pd.concat(parts, axis=1).rename(columns={"loo_value": "loo", "lfo_value": "lfo"})
    table = table.rename_axis("n_skills")
    return SkillCount(table, method, _words(table, method, len(first)))


def _checked(n_skills: Sequence[int], spec: Spec, benchmarks: int) -> list[int]:
    if spec.loadings == "identity":
        raise SpecError("identity loadings have one skill a benchmark: there is nothing to compare")
    numbers = list(n_skills)
    for d in numbers:
        if isinstance(d, bool) or not isinstance(d, int | np.integer) or d < 1:
            raise SpecError(f"n_skills must be whole numbers of at least 1, not {d!r}")
        if d > benchmarks:
            raise SpecError(f"{d} skills are more than the {benchmarks} benchmarks can tell apart")
    if not numbers or len(set(numbers)) < len(numbers):
        raise SpecError("n_skills must be a list of different numbers, such as [1, 2, 3]")
    return [int(d) for d in numbers]


def _leave_one_out(
    spec: Spec, data: Leaderboard, folder: Path | None, progress: bool | None, about: dict[str, Any]
) -> pd.DataFrame:
    """PSIS leave-one-out of every observed score: value, k_hat, log_score with it, family.

    `about` says what they depend on, method, seed and options of the fit among it.
    """
    if folder is None:
        return _fitted(spec, data, progress, about)
    with only_writer(folder / _LOO):
        head = "# " + json.dumps(about, default=str)
        if kept(folder / _LOO, ["family"], head) is None:
            keep(folder / _LOO, _fitted(spec, data, progress, about), head)
        return kept(folder / _LOO, ["family"], head)


def _fitted(
    spec: Spec, data: Leaderboard, progress: bool | None, about: dict[str, Any]
) -> pd.DataFrame:
    from arviz_stats import loo

    from ..infer.fit import fit

    asked = {"method": about["method"], "seed": about["seed"], **about["options"]}
    tree = fit(spec, data, progress=progress, **asked).data_tree
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # k-hat is in the table
        found = loo(tree, pointwise=True)
    models = tree["observed_data"]["obs_model"].values
    family_of = tree["constant_data"].to_dataset()["family_of_model"]
    inside = merge_chains(tree["log_likelihood"].to_dataset()["score"]).astype(float)
    return pd.DataFrame(
        {
            "family": family_of.sel(model=models).values.astype(str),
            "value": np.asarray(found.elpd_i),
            "log_score": logsumexp(inside, axis=0) - np.log(len(inside)),
            "k_hat": np.asarray(found.pareto_k),
        }
    )


def _against_best(scores: dict[int, pd.Series], family: pd.Series) -> pd.DataFrame:
    """Mean log scores, and paired differences to the best with errors over families."""
    best = max(scores, key=lambda d: scores[d].mean())
    rows = {}
    for d, values in scores.items():
        difference = (values - scores[best]).to_numpy()
        total = pd.Series(difference).groupby(family.to_numpy()).agg(["sum", "size"])
        n, mean = len(total), difference.mean()
        # the error of a mean of clusters of different sizes: of the sums around their share
        off = total["sum"] - total["size"] * mean
        error = np.sqrt(n / (n - 1) * (off**2).sum()) / len(difference) if n > 1 else np.nan
        rows[d] = {"_value": values.mean(), "_less_best": mean, "_se": error}
    return pd.DataFrame(rows).T


def _words(table: pd.DataFrame, method: str, cells: int) -> str:
    """What the comparison supports."""
    out, best, close = [], {}, {}
    for name, what in (
        ("loo", "Inside the table (PSIS leave-one-out)"),
        ("lfo", f"On families left out ({cells} scores)"),
    ):
        best[name] = table[name].idxmax()
        gap, error = table[f"{name}_less_best"], table[f"{name}_se"].fillna(0.0)
        close[name] = list(table.index[gap >= -2 * error])
        text = f"{what} the best number of skills is {best[name]}"
        others = [d for d in close[name] if d != best[name]]
        if others:
            text += f"; {_listed(others)} cannot be told from it (within two standard errors)"
        elif len(table) > 1:
            text += ", by more than two standard errors"
        out.append(text + ".")
    both = [d for d in close["loo"] if d in close["lfo"]]
    if len(table) > 1 and both:
        out.append(f"Both support {_listed(both, 'or')}.")
    elif len(table) > 1:
        out.append(
            f"They disagree: the table is described better with {best['loo']}, new families are "
            f"forecast better with {best['lfo']}."
        )
    bad = table["bad_k"].max()
    if method == "svi":
        out.append(
            "Leave-one-out rests on variational guides here and is a first look: method='nuts' for "
            "numbers that matter."
        )
    if bad > 0.01:
        out.append(
            f"PSIS is unreliable for up to {bad:.0%} of the scores (k-hat above {_K_BAD}): leave-"
            "one-out then favours more skills than it should."
        )
    return " ".join(out)


def _listed(items: list[int], last: str = "and") -> str:
    *first, end = map(str, items)
    return f"{', '.join(first)} {last} {end}" if first else end
