"""What is said of a fit's convergence, and the bars that it is held to."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import xarray as xr

from ..support.html import shown

R_HAT_MOST, R_HAT_ALL = 1.01, 1.02  # for 99% of the quantities, and for every one
ESS_LEAST = 400  # bulk and tail, over all chains (Vehtari et al., 2021)
E_BFMI_LEAST = 0.3
ANOTHER_MODE = 10.0  # nats of ELBO below the best start
K_HAT_MOST = 0.7
TO_GAIN_MOST = 3.0  # nats of ELBO that the guide of a finished fit may still gain
STEPS_LEAST = 100  # of an optimisation, below which its ELBO says nothing
_WORST = 5  # quantities that a notebook shows
# What answers say of the fit behind them, by its standing
CAUTIONS = {
    "not converged": "the posterior has not converged: see its diagnostics()",
    "first look": (
        "a first look: fitted by variational inference, whose intervals tend to be too narrow; "
        "fit by NUTS for numbers that matter"
    ),
}


@dataclasses.dataclass(frozen=True, repr=False)
class Diagnostics:
    """Convergence of a fit.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a quantity (quantity, r_hat, ess_bulk, ess_tail, mcse), worst first. Only
        identified quantities are listed: every observed cell's expected score;
        asymptotes, link, noise and all scales; and, free of the rotation of skills, the
        products of loadings with each other (``loading[a, b]``), with the family and
        lineage effects, the slopes and what deviates from them, the instruct effect and
        the effects of single models. ``mcse`` is the Monte Carlo
        standard error of the mean, in the quantity's own unit.
    ok : bool
        True if NUTS has converged, or the ELBO of SVI has. How close an SVI guide then is
        to the posterior is what PSIS k-hat in the messages says.
    messages : tuple of str
        The verdict and, where something is wrong, what to do about it.
    standing : str
        The verdict in a word: ``"converged"``, ``"first look"``, ``"not converged"``,
        ``"unknown"`` or ``"prior"``.
    """

    table: pd.DataFrame
    ok: bool
    messages: tuple[str, ...]
    standing: str = ""

    def __str__(self) -> str:
        return "\n".join(self.messages)

    __repr__ = __str__

    def __post_init__(self) -> None:
        said = self.standing if self.standing in ("first look", "prior", "unknown") else "converged"
        object.__setattr__(self, "standing", said if self.ok else "not converged")

    def _repr_html_(self) -> str:
        what, *notes = self.messages
        worst = self.table.head(_WORST)
        return shown(what, worst, standing=self.standing, notes=notes, form="{:.4g}")

    def to_dataset(self) -> xr.Dataset:
        """As a dataset, to travel inside a file."""
        data = {c: ("quantity", self.table[c].to_numpy(np.float32)) for c in self.table.columns[1:]}
        return xr.Dataset(
            data,
            coords={"quantity": self.table["quantity"].to_numpy(str)},
            attrs={"ok": int(self.ok), "messages": json.dumps(self.messages)},
        )

    @classmethod
    def from_dataset(cls, data: xr.Dataset) -> Diagnostics:
        """The inverse of :meth:`to_dataset`."""
        table = data.to_dataframe().reset_index()
        return cls(table, bool(data.attrs["ok"]), tuple(json.loads(data.attrs["messages"])))
