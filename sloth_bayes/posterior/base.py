"""What every posterior is: labelled draws in a tree of ArviZ's schema, and their file."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from ..errors import DataError, FileFormatError
from ..support.files import POINTER_WORDS, check_plain, check_writable, is_pointer, new_file
from ..support.html import shown
from .netcdf import read_tree
from .verdict import CAUTIONS, Diagnostics

_TEXT = ("data", "spec")  # attributes that are text, whatever it looks like
STORED = ("posterior", "sample_stats", "observed_data", "constant_data", "convergence")


class Drawn:
    """Draws of named variables, dims chain and draw first, with what they were drawn from.

    A kind of posterior says what its file is called, and which groups it cannot do without.
    """

    FORMAT: ClassVar[str]  # its files say so
    FORMAT_VERSION: ClassVar[int]
    NEEDED: ClassVar[tuple[str, ...]] = ("posterior", "constant_data")

    def __init__(self, tree: xr.DataTree) -> None:
        self.tree = tree

    @cached_property
    def constant_data(self) -> xr.Dataset:
        """What the fit was given, by model, family and benchmark. For the layers above."""
        return self.tree["constant_data"].to_dataset()

    def constant(self, name: str) -> np.ndarray:
        """One of :attr:`constant_data`, as an array. For the layers above."""
        return self.constant_data[name].values

    @property
    def n_draws(self) -> int:
        """Draws of all chains together."""
        sizes = self.tree["posterior"].sizes
        return int(sizes["chain"] * sizes["draw"])

    @cached_property
    def merged(self) -> dict[str, np.ndarray]:
        """Variables with chain and draw merged, ``(S, ...)``. For the layers above."""
        data = self.tree["posterior"].to_dataset()
        return {str(k): merge_chains(v) for k, v in data.data_vars.items()}

    @property
    def attrs(self) -> dict[str, Any]:
        """What was fitted, how and with which versions: plain values."""
        attrs = self.tree.attrs
        return {str(k): v if k in _TEXT else _plain(v) for k, v in attrs.items()}

    @property
    def method(self) -> str:
        """``"nuts"``, ``"svi"`` or ``"prior"``."""
        return str(self.tree.attrs.get("method", "nuts"))

    def diagnostics(self) -> Diagnostics:
        """Has the fit converged?"""
        raise NotImplementedError

    @property
    def known_verdict(self) -> bool | None:
        """The verdict of the diagnostics if they travel along, else None."""
        if "convergence" not in self.tree.children:
            return None
        return bool(self.tree["convergence"].attrs["ok"])

    @property
    def standing(self) -> str:
        """What is known of the fit, which every answer carries.

        ``"converged"``; ``"first look"`` (variational inference, however it ended);
        ``"not converged"``; ``"unknown"``, if its diagnostics were never asked for; or ``"prior"``.
        """
        known = self.known_verdict
        if self.method == "prior" and known is not False:  # which only conditioning makes it
            return "prior"
        if known is False:
            return "not converged"
        if self.method == "svi":
            return "first look"
        return "unknown" if known is None else "converged"

    @property
    def cautions(self) -> list[str]:
        """What an answer has to say of the fit behind it: nothing, or a sentence."""
        said = CAUTIONS.get(self.standing)
        return [] if said is None else [said]

    def _repr_html_(self) -> str:
        said: tuple[str, ...] = ("nobody has asked for its diagnostics() yet",)
        if self.method == "prior" or self.known_verdict is not None:
            said = self.diagnostics().messages  # kept: nothing is computed
        return shown(repr(self), standing=self.standing, notes=said)

    def thinned(self, draws: int) -> np.ndarray:
        """Positions within a chain of `draws` of all chains, evenly. For the layers above."""
        if not 1 <= draws <= self.n_draws:
            raise DataError(f"cannot keep {draws} of {self.n_draws} draws")
        sizes = self.tree["posterior"].sizes
        inside = np.linspace(0, sizes["draw"] - 1, -(-draws // sizes["chain"]))
        return inside.round().astype(int)

    def _slimmed(self, draws: int) -> xr.DataTree:
        """Fewer draws, thinned evenly within chains, in fewer digits; the same verdict."""
        keep = self.thinned(draws)
        convergence = self.diagnostics()  # of all draws
        posterior = self.tree["posterior"].to_dataset()
        groups = {name: self.tree[name].to_dataset() for name in self.NEEDED}
        groups["posterior"] = posterior.isel(draw=keep).map(rounded, keep_attrs=True)
        groups["convergence"] = convergence.to_dataset()
        if self.method == "nuts" and "sample_stats" in self.tree.children:
            # of every draw: energies of thinned ones would say nothing of the chains
            groups["sample_stats"] = self.tree["sample_stats"].to_dataset()
        tree = xr.DataTree.from_dict(groups)
        tree.attrs = {"slimmed_from": self.n_draws, **self.tree.attrs}
        return tree

    def _written(self) -> xr.Dataset:
        """The draws as a file holds them."""
        return self.tree["posterior"].to_dataset()

    def save(self, path: str | Path) -> Path:
        """Write the posterior to a netCDF file, atomically.

        Derived groups are not written: they are recomputed exactly. A fit that nobody has judged
        is judged first, and the file says how. An existing file is replaced only once the new one
        is complete.

        Returns
        -------
        pathlib.Path
            The file written.

        Raises
        ------
        FileFormatError
            If the file cannot be written.
        """
        path = check_writable(path)
        if self.method != "prior" and "sample_stats" in self.tree.children:
            self.diagnostics()  # a file says how the fit went, whether or not anybody asked
        groups = {k: v.to_dataset() for k, v in self.tree.children.items() if k in STORED}
        groups["posterior"] = self._written()
        tree = xr.DataTree.from_dict(groups)
        version = {"format": self.FORMAT, "format_version": self.FORMAT_VERSION}
        tree.attrs = {**self.tree.attrs, **version}
        encoding = {
            f"/{group}": {str(name): _compressed(var) for name, var in data.variables.items()}
            for group, data in groups.items()
        }
        # HDF5 ends the process where a disk is full: only whole bytes go there
        whole = tree.to_netcdf(engine="h5netcdf", encoding=encoding)
        with new_file(path) as temporary:
            temporary.write_bytes(whole)
        return path


def merge_chains(array: xr.DataArray) -> np.ndarray:
    """Draws with chain and draw merged, ``(S, ...)``. For the layers above."""
    return array.values.reshape(-1, *array.shape[2:])


def in_chains(
    like: xr.Dataset | xr.DataTree,
    variables: Mapping[str, tuple[tuple[str, ...], np.ndarray]],
    **coords: Any,
) -> xr.Dataset:
    """Dimensions and draws ``(S, ...)``, by chain and draw as in `like`. For the layers above."""
    shape = (like.sizes["chain"], like.sizes["draw"])
    coords = {k: like[k].values for k in ("chain", "draw")} | coords
    arrays = {
        name: (("chain", "draw", *dims), values.reshape(*shape, *values.shape[1:]))
        for name, (dims, values) in variables.items()
    }
    return xr.Dataset(arrays, coords=coords)


def read(kind: type[Drawn], path: Path, *needed: str) -> xr.DataTree:
    """The tree of a file that a kind of posterior has saved, with attributes that it needs.

    Raises
    ------
    FileFormatError
        If the file is missing, truncated, foreign, damaged, or of another version.
    """
    what = kind.FORMAT.removeprefix("sloth_bayes ")
    check_plain(path)
    if path.is_dir():
        raise FileFormatError(f"{path} is a folder, not a {what} file")
    if not path.is_file():
        raise FileFormatError(f"there is no {what} file {path}")
    if is_pointer(path):
        raise FileFormatError(f"{path} {POINTER_WORDS}")
    tree = _opened(path)
    if isinstance(tree, str):
        raise FileFormatError(
            f"{path} cannot be read as a {what} file ({tree}): it is truncated or not a netCDF "
            "file; fit or copy it again"
        )
    attrs = tree.attrs
    if attrs.get("format") != kind.FORMAT:
        raise FileFormatError(f"{path} was not written by {kind.__name__}.save of sloth_bayes")
    try:
        version = int(attrs["format_version"])
        for name in needed:
            attrs[name]
    except (KeyError, ValueError) as error:
        lost = str(error.args[0]) if isinstance(error, KeyError) else "format_version"
        raise FileFormatError(
            f"{path} does not say its {lost.replace('_', ' ')}: it is damaged; fit or copy it again"
        ) from None
    if version != kind.FORMAT_VERSION:
        raise FileFormatError(
            f"{path} has format version {version}, this package reads {kind.FORMAT_VERSION}: "
            + ("upgrade sloth-bayes" if version > kind.FORMAT_VERSION else "fit it again")
        )
    missing = set(kind.NEEDED) - set(tree.children)
    if missing:
        raise FileFormatError(f"{path} lacks {', '.join(sorted(missing))}: fit it again")
    tree.attrs = {k: v for k, v in attrs.items() if k not in ("format", "format_version")}
    return tree


def _opened(path: Path) -> xr.DataTree | str:
    """The tree in a file; or, if it cannot be read, the kind of error.

    What a damaged file leaves half-made is gone on return, and does not report how it ends.
    """
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        try:
            return read_tree(path)
        except Exception as error:
            reason = type(error).__name__
        gc.collect()
        return reason
    finally:
        sys.unraisablehook = hook


def _compressed(var: xr.Variable) -> dict[str, Any]:
    """How a variable is stored: names as compressible characters, large arrays deflated."""
    if var.dtype.kind in "UO":
        return {"dtype": "S1", "zlib": True, "complevel": 6}
    return {"zlib": True, "complevel": 6, "shuffle": True} if var.size > 100 else {}


def rounded(array: xr.DataArray) -> xr.DataArray:
    """Draws in fewer digits: effects of families and models by their spread, others by size.

    What has no sign may be as small as it likes, and keeps 9 significant bits.
    """
    if not {"family", "lineage", "model"} & set(array.dims):
        return round_bits(array)
    spread = array.std(("chain", "draw")).values
    step = np.exp2(np.floor(np.log2(np.where(spread > 0, spread, 1.0))) - 4)
    return array.copy(data=(np.round(array.values / step) * step).astype(np.float32))


def round_bits(array: xr.DataArray, bits: int = 8) -> xr.DataArray:
    """Round single-precision numbers to `bits` stored bits of mantissa."""
    whole = np.ascontiguousarray(array.values.astype(np.float32)).view(np.uint32)
    drop = 23 - bits
    half = np.uint32(1 << (drop - 1))
    mask = np.uint32((0xFFFFFFFF >> drop) << drop)
    return array.copy(data=((whole + half) & mask).view(np.float32).reshape(array.shape))


def _plain(value: Any) -> Any:
    """A file's attribute as a plain Python value: numbers, text, or the JSON it holds."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, str) and value[:1] in "[{":
        return json.loads(value)
    return value
