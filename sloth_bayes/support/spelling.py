"""Units and spellings of numbers: one rule for tables, candidates and options.

A number in another spelling (7B, 2T, 45.3%, a decimal comma) is refused with what to write,
and one in another unit with what to divide by; neither is guessed.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..errors import DataError
from .checks import check_positive

# Column to its unit, and the largest amount that can be meant
_UNITS = {
    "params_b": ("billions of parameters", 2e4),
    "tokens_t": ("trillions of tokens", 100.0),
}
_UNITS["total_params_b"] = _UNITS["params_b"]
_ONE = {"params_b": 1e9, "total_params_b": 1e9, "tokens_t": 1e12}
_WORDS = {"k": 1e3, "thousand": 1e3, "m": 1e6, "mn": 1e6, "million": 1e6, "b": 1e9, "bn": 1e9,
          "billion": 1e9, "g": 1e9, "t": 1e12, "tn": 1e12, "trillion": 1e12}  # fmt: skip
# From which value on a number that is too large is divided by what, and why
_STEPS: dict[str, tuple[tuple[float, float, str], ...]] = {
    "params_b": ((1e6, 1e9, ""), (0, 1e3, "if it is in millions, ")),
    "tokens_t": (
        (1e9, 1e12, ""), (1e5, 1e6, "if it is in millions, "), (0, 1e3, "if it is in billions, "),
    ),
}  # fmt: skip
_STEPS["total_params_b"] = _STEPS["params_b"]
_SPELLED = re.compile(r"([+-]?\d+(?:[.,]\d+)?)\s*(%|[a-z]+)?(?:\s*(?:params|parameters|tokens))?")
_MIXTURE = re.compile(r"\d+\s*x\s*\d+(?:\.\d+)?\s*[bm]?|\d+(?:\.\d+)?b-a\d+(?:\.\d+)?b")


def plain_number(cell: Any) -> float:
    """A number as a table has to have it; a ValueError or TypeError for anything else.

    Examples
    --------
    >>> plain_number("0.45"), plain_number(7)
    (0.45, 7.0)
    """
    if isinstance(cell, bool | np.bool_):
        raise TypeError("a truth value is no number")
    if isinstance(cell, str) and "_" in cell:
        raise ValueError("Python's underscores are no number elsewhere")
    return float(cell)


def what_to_write(cell: Any, column: str = "") -> str:
    """The plain number that another spelling means, as advice; nothing if it means none.

    Parameters
    ----------
    cell
        What was given.
    column
        ``"params_b"`` or ``"tokens_t"``, whose units are known; any other holds scores.

    Examples
    --------
    >>> what_to_write("410M", "params_b"), what_to_write("45.3%"), what_to_write("0,45")
    ('write 0.41', 'write 0.453', 'write 0.45, with a decimal point')
    >>> what_to_write("8x7B", "params_b")
    'write the active parameters in billions, such as 12.9 of Mixtral 8x7B'
    """
    text = str(cell).strip().lower()
    if column == "params_b" and _MIXTURE.fullmatch(text):
        return "write the active parameters in billions, such as 12.9 of Mixtral 8x7B"
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?", text) and not text.startswith("0,"):
        return f"write {text.replace(',', '')} or, if the comma is decimal, use a decimal point"
    found = _SPELLED.fullmatch(text)
    if found is None:
        return ""
    value, word = float(found[1].replace(",", ".")), found[2] or ""
    if word == "%":
        value, known = value / 100, column not in _ONE
    elif word:
        known = word in _WORDS and column in _ONE
        value *= _WORDS.get(word, 1) / _ONE.get(column, 1)
    else:
        known = True
    if not known:
        return ""
    return f"write {value:.10g}" + (", with a decimal point" if "," in found[1] else "")


def other_unit(value: float, column: str) -> str:
    """Why an amount is too large for its unit, and what to divide by; nothing if it is not.

    Examples
    --------
    >>> other_unit(300, "tokens_t")
    '300: the unit is trillions of tokens; if it is in billions, divide by 1000: write 0.3'
    >>> other_unit(7e9, "params_b")
    '7e+09: the unit is billions of parameters; divide by 1e9: write 7'
    >>> other_unit(70, "params_b")
    ''
    """
    unit, largest = _UNITS[column]
    if not largest < value < np.inf:
        return ""
    by, kind = next((by, kind) for least, by, kind in _STEPS[column] if value >= least)
    shown = f"1e{len(f'{by:.0f}') - 1}" if by > 1e3 else "1000"
    written = f": write {value / by:.6g}" if value / by <= largest else ""
    return f"{value:g}: the unit is {unit}; {kind}divide by {shown}{written}"


def check_amount(value: Any, name: str, column: str) -> None:
    """A size or token count that can be meant, or an error that blames `name`."""
    unit, _ = _UNITS[column]
    check_positive(value, name, unit.split()[0])
    if wrong := other_unit(value, column):
        raise DataError(f"{name} is {wrong}.")
