"""Protocols: which scores a fold hides, and which of them it asks to be forecast.

A protocol is a tuple of :class:`Fold`. Nothing here knows a model: a fold is names only, so
that a test can prove from the masks that nothing leaks, and any method can be held to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..errors import DataError, check_known, unknown
from ..support.frames import listed
from ..support.shipped import shipped
from ..support.words import counted
from ..table.leaderboard import Leaderboard

Hide = Literal["strict", "family"]
_HIDE = ("strict", "family")


@dataclass(frozen=True)
class Fold:
    """One split of a table.

    Attributes
    ----------
    setting : str
        Folds of one setting are averaged together (``"lb_v1"``, say).
    n_observed : int
        Models of each test family that stay visible (0 if that is not how it was made).
    name : str
        The families, lineage or group that is tested.
    test : tuple of str
        Models to forecast.
    observed : tuple of str
        Models of the test families that stay visible.
    hidden : tuple of str
        Models of which every score is hidden: the test models, and under strict hiding
        their relatives.
    benchmarks : tuple of str
        Benchmarks whose forecasts are scored.
    complete : tuple of str
        Rows that a method without missing scores trains on: those of the published
        protocol for its folds, and for others every visible row with all of `benchmarks`.
    """

    setting: str
    n_observed: int
    name: str
    test: tuple[str, ...]
    observed: tuple[str, ...]
    hidden: tuple[str, ...]
    benchmarks: tuple[str, ...]
    complete: tuple[str, ...]

    @property
    def key(self) -> str:
        """A name that is unique within a protocol."""
        return f"{self.setting}/{self.n_observed}/{self.name}"

    def visible(self, data: Leaderboard) -> np.ndarray:
        """Mask ``(M, J)`` of the scores of a table that the fold shows to a method.

        Rows and columns as in ``data.frame``.
        """
        frame = data.frame
        scores = frame[list(data.benchmark_names)].notna().to_numpy()
        out: np.ndarray = scores & ~frame["model"].isin(self.hidden).to_numpy()[:, None]
        return out


def named(
    data: Leaderboard, name: str = "published", hide: Hide = "strict", n_observed: int = 1
) -> tuple[Fold, ...]:
    """The folds of a protocol by its name.

    Parameters
    ----------
    data
        The table.
    name
        ``"published"`` (:func:`published`); ``"lineage"`` or ``"family"``, one fold each
        (:func:`leave_group_out`); or a month, ``"YYYY-MM"`` (:func:`time_split`).
    hide
        As those functions have it; a time split hides all that came later.
    n_observed
        Models of a test family that stay visible; the published protocol has its own.

    Raises
    ------
    UnknownNameError
        If there is no such protocol.
    DataError
        If the table does not support it, or has no such choice.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> data = sb.load_dataset("open_llm_leaderboard")
    >>> [fold.key for fold in sb.protocols.named(data, "2024-03")]
    ['time split/1/2024-03']
    """
    check_known("way to hide", [hide], _HIDE)
    if name == "published":
        if n_observed != 1:
            raise DataError("the published protocol says itself how many models are observed")
        return published(data, hide)
    if name in ("lineage", "family"):
        return leave_group_out(data, name, n_observed, hide=hide)
    if name[:1].isdigit():
        if hide != "strict":
            raise DataError("a time split hides all that came later: it has no other way to hide")
        return time_split(data, name, n_observed)
    raise unknown("protocol", name, ["published", "lineage", "family"], "Or a month, YYYY-MM.")


def published(data: Leaderboard, hide: Hide = "strict") -> tuple[Fold, ...]:
    """The 73 folds of Maia Polo et al. (2024): three settings, one or two observed models.

    Rows with size, tokens and every benchmark of the setting, of families with more such
    rows than are observed. In a fold the smallest models of each test family stay visible
    and the larger ones are forecast.

    Parameters
    ----------
    data
        The table, with the published values for a comparison with published errors:
        ``load_dataset("open_llm_leaderboard", corrected=False)``.
    hide
        ``"strict"``: in a fold every row of a test model's lineage is hidden on all
        benchmarks, save the observed models and the rows that the published protocol
        itself keeps for training. ``"family"``: only the test models are, so that tuned
        twins and incomplete siblings, which no published method saw, are visible.

    Raises
    ------
    DataError
        If the table lacks a benchmark or a test family of the protocol.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> folds = sb.protocols.published(sb.load_dataset("open_llm_leaderboard", corrected=False))
    >>> len(folds), folds[0].key
    (73, 'lb_v1/1/bloom')
    """
    protocol = _protocol()
    folds = []
    for setting, names in protocol["benchmarks"].items():
        missing = [b for b in names if b not in data.benchmark_names]
        if missing:
            raise DataError(
                f"table {data.name!r} lacks {', '.join(missing)} of the published protocol"
            )
        complete = _rows(data, names, "all")
        of_family = complete.groupby("family")["model"].transform("size")
        for n, settings in protocol["test_families"].items():
            rows = complete[of_family > int(n)]
            folds += [
                _fold(data, rows, setting, "+".join(group), group, int(n), tuple(names), hide, True)
                for group in settings[setting]
            ]
    return tuple(folds)


def _protocol() -> Any:
    return json.loads((shipped("data") / "protocol.json").read_text(encoding="utf-8"))


def leave_group_out(
    data: Leaderboard,
    groups: Mapping[str, str] | str = "lineage",
    n_observed: int = 1,
    benchmarks: str | Iterable[str] | None = None,
    hide: Hide = "strict",
    setting: str = "leave-group-out",
) -> tuple[Fold, ...]:
    """One fold a group of families: the smallest models visible, the larger ones forecast.

    Parameters
    ----------
    data
        The table; rows without size or tokens are not tested, and hidden where their
        lineage is.
    groups
        ``"lineage"``, ``"family"``, or a mapping from family to group; families that are
        not in it are never tested.
    n_observed
        Models of each family, smallest first, that stay visible; 0 for a family that the
        fit has not seen at all.
    benchmarks
        Benchmarks whose forecasts are scored; all by default. A model is tested on those
        it has a score for.
    hide
        As in :func:`published`: ``"strict"`` hides every other row of the lineages tested.
    setting
        Name of the setting.

    Raises
    ------
    DataError
        If no group has more models than are observed.
    UnknownNameError
        If the mapping names a family, or `benchmarks` a benchmark, that the table lacks.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> data = sb.load_dataset("open_llm_leaderboard")
    >>> [fold] = sb.protocols.leave_group_out(data, {"llama-2": "llama-2"})
    >>> fold.observed, len(fold.test)
    (('llama-2-7b',), 2)
    """
    names = _benchmarks(data, benchmarks)
    if isinstance(groups, str):
        check_known("grouping", [groups], ["lineage", "family"])
        of_family = dict(zip(data.frame["family"], data.frame[groups]))
    else:
        of_family = dict(groups)
        check_known("family", of_family, data.families)
    if n_observed < 0:
        raise DataError(f"n_observed must be at least 0, not {n_observed}")
    rows = _rows(data, names, "any")
    rows = rows[rows.groupby("family")["model"].transform("size") > n_observed]
    by_group: dict[str, list[str]] = {}
    for family in rows["family"].unique():
        if family in of_family:
            by_group.setdefault(str(of_family[family]), []).append(family)
    if not by_group:
        raise DataError(
            f"no family has more than {counted(n_observed, 'model')} of known size and tokens with "
            "a score: nothing to forecast"
        )
    return tuple(
        _fold(data, rows, setting, group, families, n_observed, names, hide)
        for group, families in sorted(by_group.items())
    )


def never_tested(data: Leaderboard) -> dict[str, str]:
    """Families of a table that no published fold tests, with their lineages.

    What is chosen on them (a specification, the number of skills) has not seen what the
    published protocol measures. Of a table of your own that is every family. Pass it as
    `groups` to :func:`leave_group_out`.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> "llama-2" in sb.protocols.never_tested(sb.load_dataset("open_llm_leaderboard"))
    False
    """
    settings = _protocol()["test_families"].values()
    tested = {f for folds in settings for groups in folds.values() for f in chain(*groups)}
    frame = data.frame
    return {f: ln for f, ln in zip(frame["family"], frame["lineage"]) if f not in tested}


def time_split(
    data: Leaderboard,
    month: str,
    n_observed: int = 1,
    benchmarks: str | Iterable[str] | None = None,
) -> tuple[Fold, ...]:
    """Train on families released before a month, forecast later ones: one fold.

    Everything of a family released in `month` or later is hidden, save its `n_observed`
    smallest models; a later tuned variant of an earlier lineage is hidden too, but the
    earlier lineage is not, since it was public.

    Parameters
    ----------
    data
        A table that ships, with sourced release months (``data.releases``).
    month
        ``"YYYY-MM"``.
    n_observed
        Smallest models of each later family that stay visible; 0 hides it entirely.
    benchmarks
        Benchmarks whose forecasts are scored; all by default.

    Raises
    ------
    DataError
        If the month is not one, a family has no release month, or no family is on one of
        the two sides.

    Examples
    --------
    >>> import sloth_bayes as sb
    >>> [fold] = sb.protocols.time_split(sb.load_dataset("open_llm_leaderboard"), "2024-03")
    >>> set(fold.observed) & set(fold.test)
    set()
    """
    names = _benchmarks(data, benchmarks)
    try:
        start = pd.Period(month, freq="M")
    except ValueError:
        raise DataError(f"month must read YYYY-MM, not {month!r}") from None
    released = data.releases
    without = sorted(set(data.families) - set(released.dropna().index))
    if without:
        raise DataError(
            f"a time split needs a release month for every family; without one: "
            f"{', '.join(without[:5])}"
        )
    later = [f for f in data.families if released[f] >= start]
    if not later or len(later) == len(data.families):
        side = "later" if not later else "earlier"
        raise DataError(f"no family of the table is {side} than {month}: choose another month")
    rows = _rows(data, names, "any")
    rows = rows[rows["family"].isin(later)]
    observed = _smallest(rows, n_observed)
    test = tuple(m for m in rows["model"] if m not in observed)
    frame = data.frame
    hidden = tuple(frame.loc[frame["family"].isin(later) & ~frame["model"].isin(observed), "model"])
    complete = _complete_training(data, names, hidden)
    return (Fold("time split", n_observed, month, test, observed, hidden, names, complete),)


# -- building them -----------------------------------------------------------------------


def _benchmarks(data: Leaderboard, asked: Iterable[str] | None) -> tuple[str, ...]:
    names = tuple(data.benchmark_names if asked is None else listed(asked))
    check_known("benchmark", names, data.benchmark_names)
    return names


def _rows(
    data: Leaderboard, benchmarks: Iterable[str], scored: Literal["any", "all"]
) -> pd.DataFrame:
    """Rows of known size and tokens with a score on any, or all, of the benchmarks."""
    frame = data.frame.dropna(subset=["params_b", "tokens_t"])
    return frame.dropna(subset=list(benchmarks), how="all" if scored == "any" else "any")


def _complete_training(
    data: Leaderboard, benchmarks: tuple[str, ...], hidden: Iterable[str]
) -> tuple[str, ...]:
    rows = _rows(data, benchmarks, "all")
    return tuple(rows.loc[~rows["model"].isin(hidden), "model"])


def _smallest(rows: pd.DataFrame, n: int) -> tuple[str, ...]:
    """The `n` smallest models of every family; models of one size by name."""
    ordered = rows.sort_values(["params_b", "model"], kind="stable")
    return tuple(ordered.groupby("family", sort=False).head(n)["model"])


def _fold(
    data: Leaderboard,
    rows: pd.DataFrame,
    setting: str,
    name: str,
    families: Iterable[str],
    n_observed: int,
    benchmarks: tuple[str, ...],
    hide: Hide,
    spare: bool = False,
) -> Fold:
    """The fold that tests `families`, given the rows that the protocol keeps.

    `spare` keeps visible the relatives that the protocol itself trains on.
    """
    check_known("way to hide", [hide], _HIDE)
    mine = rows[rows["family"].isin(families)]
    absent = sorted(set(families) - set(mine["family"]))
    if absent:
        raise DataError(f"the table has too few complete models of {', '.join(absent)}")
    observed = _smallest(mine, n_observed)
    test = tuple(m for m in mine["model"] if m not in observed)
    frame, spared = data.frame, rows.loc[~rows["model"].isin(test), "model"]
    if hide == "strict":
        kept = spared if spare else observed
        hide_these = frame["lineage"].isin(mine["lineage"]) & ~frame["model"].isin(kept)
    else:
        hide_these = frame["model"].isin(test)
    hidden = tuple(frame.loc[hide_these, "model"])
    complete = tuple(spared) if spare else _complete_training(data, benchmarks, hidden)
    return Fold(setting, n_observed, name, test, observed, hidden, benchmarks, complete)
