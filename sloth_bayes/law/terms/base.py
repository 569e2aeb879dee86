"""What a term of the law is.

A term says all there is to say of one part of the law: its prior, its dimensions in the
posterior, what it adds to the skills or the predictors of models, and how it is drawn for a
model that the posterior does not know. Model, posterior, forecasts and conditioning go over
:data:`sloth_bayes.law.terms.TERMS` and know no term by name.

Priors are written with the sites that :mod:`sloth_bayes.model.sites` hands them, so that a term
is one file, and reading a posterior needs no JAX.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from ...errors import DataError
from ..equations import TOKENS
from . import densities

Array = Any  # numpy.ndarray or jax.Array


@dataclasses.dataclass(frozen=True)
class Effects:
    """What the law takes of M models; leading axes S are draws, where there are any."""

    inputs: Array  # (M, P), or (S, M, P) where some are unknown
    columns: Mapping[str, Array]  # (M,) each: what terms read of a model besides its inputs
    of: Mapping[str, Array]  # (S, M, ...): coefficients of the terms that are not shared by all

    def at(self, rows: Any) -> Effects:
        """Those of some of the models."""
        return Effects(
            self.inputs[..., rows, :],
            {name: column[rows] for name, column in self.columns.items()},
            {name: coefficient[:, rows] for name, coefficient in self.of.items()},
        )

    def wide(self) -> Effects:
        """The same in double precision."""
        parts = (self.columns, self.of)
        double = [{k: a.astype(np.float64) for k, a in part.items()} for part in parts]
        return Effects(self.inputs.astype(np.float64), *double)


class Owner(NamedTuple):
    """Whose a coefficient is: names, and places in the posterior (None if it is not there)."""

    names: Mapping[str, tuple[str, ...]]  # of family, lineage and model
    places: Mapping[str, int | None]
    columns: Mapping[str, float]  # what terms read of the model


class Population(NamedTuple):
    """What coefficients that a posterior does not have are drawn from."""

    values: Mapping[str, np.ndarray]  # draws (S, ...) of every quantity
    spec: Any
    normal: Callable[..., np.ndarray]  # standard normals of a shape, keyed by whose they are
    family: np.ndarray  # (M,) of the posterior's models
    columns: Mapping[str, np.ndarray]  # (M,) each: what terms read of these
    alike: bool = False  # whether draws may not depend on size and tokens


class Given(NamedTuple):
    """Draws, and what the prior of a table's law depends on besides."""

    values: Mapping[str, np.ndarray]  # draws (S, ...) of every quantity, in double precision
    spec: Any
    members: np.ndarray  # (F,) place of each family's lineage
    chance: np.ndarray  # (J,)
    shortfall: np.ndarray  # (J,) as the table expects it; 0 where it does not say
    chance_sd: np.ndarray  # (J,) of floors, as the table has it; 0 where it does not say
    questions: np.ndarray  # (J,) number of the set of questions that each asks
    level: np.ndarray  # (S, J) average predictor of a benchmark's observed scores
    family: np.ndarray  # (M,) of each model
    columns: Mapping[str, np.ndarray]  # (M,) each: what terms read of a model


class Term:
    """One term of the law.

    Attributes
    ----------
    name : str
        Its coefficient among the posterior's variables, and in the registry.
    dims : dict
        Dimensions of each of its variables, after chain and draw.
    adds_to : str
        ``"skill"``, ``"benchmark"`` (the predictor), or ``""``: nothing by itself.
    of : str
        Who has a coefficient of its own: a ``"lineage"``, a ``"family"``, a ``"model"``;
        ``""`` if all share one.
    times : str
        What the coefficient is multiplied by: ``"inputs"``, ``"tokens"`` (doublings), a column of
        numbers that the term reads off the table (:meth:`column`; the posterior keeps it under
        this name), or ``""``.
    site : str
        The sample site of the coefficient, which must follow when skills are turned.
    key : str
        What draws for the unseen are keyed by, beside the owner; the name by default.
    guesses : bool
        Whether a cell of its column that is unknown counts as the mean of its family or, where
        all of these are unknown, of all models. Otherwise every cell has to be known.
    inherited : bool
        Whether a candidate whose cell is not said has the mean of its family, if that is known.
    of_families : bool
        Whether its column says something of families: a candidate of a family that is known has
        that of the family and no other.
    otherwise : float or None
        What a candidate of a new family has where its cell is not said; None if it has to be.
    """

    name: ClassVar[str]
    dims: ClassVar[dict[str, tuple[str, ...]]] = {}
    adds_to: ClassVar[str] = ""
    of: ClassVar[str] = ""
    times: ClassVar[str] = ""
    site: ClassVar[str] = ""
    key: ClassVar[str] = ""
    guesses: ClassVar[bool] = False
    inherited: ClassVar[bool] = True
    of_families: ClassVar[bool] = False
    otherwise: ClassVar[float | None] = None

    def used(self, spec: Any) -> bool:
        """Whether a specification has the term; by default, if its ``terms`` name it."""
        return self.name in spec.terms

    def prior(self, at: Any) -> dict[str, Array]:
        """Sample the term's quantities: arrays by name, the coefficient under the term's.

        `at` is a :class:`sloth_bayes.model.sites.Sites`. Effects on skills are in the coordinates
        in which skills are sampled: ``at.rows`` makes such ones; what is in units of skill has to
        be multiplied by ``at.unit.tril.T``.
        """
        raise NotImplementedError

    @property
    def reads(self) -> str:
        """The column of numbers that the term is multiplied by, or ``""``."""
        return "" if self.times in ("", "inputs", "tokens") else self.times

    def column(self, frame: pd.DataFrame) -> np.ndarray:
        """That column of a table of models, as numbers ``(M,)``, NaN where unknown."""
        return frame[self.times].to_numpy(float)

    def of_new_family(self, known: np.ndarray) -> float | None:
        """What a candidate of a new family has where its cell is not said.

        By default the mean of the `known` cells ``(M,)`` if the term guesses, or what is said to
        be there `otherwise`; None if it has to be said.
        """
        return float(known.mean()) if self.guesses else self.otherwise

    def reach(self, columns: Mapping[str, np.ndarray], family: np.ndarray) -> np.ndarray | None:
        """How coefficients of models follow from independent steps, ``(M, K)``.

        None where each is independent of the others by itself. A coefficient is :meth:`scale`
        times this times standard normal steps.

        Parameters
        ----------
        columns
            What terms read of the models, ``(M,)`` each.
        family
            The family of each, ``(M,)``.
        """
        return None

    def added(self, coefficient: Array, who: Effects) -> Array:
        """What the term adds, ``(..., M, d)`` to skills or ``(..., M, J)`` to predictors."""
        if self.times == "inputs":
            if not self.of:
                return who.inputs @ coefficient
            return (who.inputs[..., None, :] @ coefficient)[..., 0, :]
        if not self.of:
            coefficient = coefficient[..., None, :]
        if not self.times:
            return coefficient
        x = who.inputs[..., TOKENS] if self.times == "tokens" else who.columns[self.times]
        return x[..., None] * coefficient

    def free(self, spec: Any) -> bool:
        """Whether every owner has a coefficient of its own (a term may be there and fixed)."""
        return bool(self.of) and self.used(spec)

    def scale(self, values: Mapping[str, Array], spec: Any) -> Array:
        """Prior standard deviation of a coefficient, in units of skill or logits.

        A number, or an array whose first axis is that of the draws in `values` (or 1) and whose
        others broadcast to the coefficient without its owner: ``(S, 1)`` beside skills.
        """
        raise NotImplementedError

    def log_prior(self, given: Given) -> dict[str, np.ndarray]:
        """Log density ``(S,)`` of the prior of each of its quantities, at the draws.

        Of the quantities themselves, so that no rotation of the skills changes it; by default
        of a normal coefficient of standard deviation :meth:`scale`.
        """
        return {self.name: self._normal(self.name, given)}

    def _normal(self, name: str, given: Given, factor: Any = 1.0, mean: Any = 0.0) -> np.ndarray:
        """Log density of normal coefficients of one of its quantities."""
        values = given.values[name]
        scale = np.asarray(self.scale(given.values, given.spec), float)
        if scale.ndim and self.of:
            scale = scale[:, None]
        return densities.total(densities.normal(values, factor * scale, mean))

    def common(self, spec: Any) -> bool:
        """Whether it adds the same to all models of its owner."""
        return self.of != "model" and not self.times

    def drawn(self, shape: tuple[int, ...], spec: Any) -> tuple[int, ...]:
        """Shape of the standard normals that a coefficient of `shape` is the scale times of."""
        return shape

    def unseen(self, population: Population, owner: Owner) -> np.ndarray:
        """Coefficient ``(S, ...)`` of an owner that the posterior does not have."""
        v, spec, normal, *_ = population
        shape = v[self.name].shape[2:]
        return self.scale(v, spec) * normal(shape, self.key or self.name, *owner.names[self.of])

    def turned(self, sites: Mapping[str, Array], move: Array, back: Array) -> Array:
        """The term's site when skills are turned: rows of anchor units times `move`.

        `back` turns rows in units of skill.
        """
        return sites[self.site] @ move


class Nested(Term):
    """A term whose coefficients, of families, have a part in common within their lineage.

    The share of the variance that is the lineage's is a parameter.

    Attributes
    ----------
    lineage, share : str
        Variables: the lineage's part, and that share.
    lineage_key : str
        What draws of the lineage's part are keyed by.
    """

    of = "family"
    lineage: ClassVar[str]
    share: ClassVar[str]
    lineage_key: ClassVar[str] = ""

    def share_of(self, values: Mapping[str, np.ndarray], draws: int) -> np.ndarray:
        """Share ``(S, 1)`` of the variance that is the lineage's; 0 without lineages."""
        return values.get(self.share, np.zeros(draws, np.float32))[:, None]

    def unseen(self, population: Population, owner: Owner) -> np.ndarray:
        """Around the lineage's part, which is drawn too where it is not known."""
        v, spec, normal, *_ = population
        shape, scale = v[self.name].shape[2:], self.scale(v, spec)
        share = self.share_of(v, len(v[self.name]))
        own = (
            np.sqrt(1 - share)
            * scale
            * normal(shape, self.key or self.name, *owner.names["family"])
        )
        if self.lineage not in v:
            return own
        place = owner.places["lineage"]
        if place is not None:
            return own + v[self.lineage][:, place]
        drawn = normal(shape, self.lineage_key or self.lineage, *owner.names["lineage"])
        return own + np.sqrt(share) * scale * drawn

    def log_prior(self, given: Given) -> dict[str, np.ndarray]:
        """Of the share, of the lineages' part, and of the families' given it."""
        v, mean = given.values, given.spec.priors.lineage_share
        if self.share not in v:
            return super().log_prior(given)
        out = {self.share: densities.beta(v[self.share], 4 * mean, 4 * (1 - mean))}
        share = v[self.share][:, None, None]
        out[self.lineage] = self._normal(self.lineage, given, np.sqrt(share))
        around = v[self.lineage][:, given.members]
        return out | {self.name: self._normal(self.name, given, np.sqrt(1 - share), around)}

    def lineage_given(
        self, coefficients: np.ndarray, known: np.ndarray, share: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The lineage's part given its families: mean and variance ``(S, C)``, standardised.

        Parameters
        ----------
        coefficients
            Standardised ``(S, R, C)`` of R families.
        known
            ``(R, C)``: which of them count.
        share
            ``(S, 1)``, from :meth:`share_of`.
        """
        whole = 1 - share + share * known.sum(0)
        total = np.where(known, np.nan_to_num(coefficients), 0.0).sum(1)
        return share * total / whole, share * (1 - share) / whole


def read(term: Term, frame: pd.DataFrame, name: str) -> np.ndarray | None:
    """A term's column of a table as numbers, NaN where unknown; None if the table lacks it."""
    try:
        return np.asarray(term.column(frame), float)
    except KeyError:
        return None
    except Exception as error:
        raise DataError(
            f"what the term {term.name!r} reads of {name} makes no sense: {error}"
        ) from None


def guessed(column: np.ndarray, family: np.ndarray) -> np.ndarray:
    """A column with the mean of the family, or of all, where it is NaN."""
    cells = pd.Series(column)
    mean = cells.groupby(family).transform("mean")
    return cells.fillna(mean).fillna(cells.mean()).to_numpy(float)


def filled(term: Term, frame: pd.DataFrame, name: str) -> np.ndarray:
    """A term's column of a table, every cell known; for the layers above.

    Raises
    ------
    DataError
        If a cell is missing, naming the model and the column.
    """
    column = read(term, frame, name)
    if column is not None and term.guesses:
        column = guessed(column, frame["family"].to_numpy(str))
    if column is None:
        raise DataError(
            f"{name} lacks the column that the term {term.name!r} reads: add it, or leave the "
            "term out (of a table only its own columns can be read, and 'released')"
        )
    for model in frame["model"][~np.isfinite(column)]:
        raise DataError(
            f"model {model!r} has no {term.times!r}, which the term {term.name!r} needs: fill it "
            "in, or leave the term out"
        )
    return column
