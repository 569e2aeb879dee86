"""Values of a wrong type, refused where a public function is entered."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

import numpy as np

from ..errors import DataError
from .checks import whole

P = ParamSpec("P")
R = TypeVar("R")

_WORDS = {
    "None": "None", "bool": "True or False", "int": "a whole number", "float": "a number",
    "str": "text",
}  # fmt: skip
_LISTS = {f"{kind}[{of}]": of for kind in ("list", "Sequence", "Iterable") for of in _WORDS}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """The function, with an error of ours for an argument that its annotation does not allow.

    Annotations made of None, bool, int, float, str and lists of them are looked at; what has
    another is left to the function, as is text where a number is meant: it can say what to
    write instead.

    Examples
    --------
    >>> @checked
    ... def repeated(text: str, times: int = 2) -> str:
    ...     return text * times
    >>> repeated("ab")
    'abab'
    >>> repeated(3)
    Traceback (most recent call last):
    sloth_bayes.errors.DataError: repeated: text must be text, not int
    """
    signature = inspect.signature(function)
    kinds = {
        parameter.name: [kind.strip() for kind in str(parameter.annotation).split("|")]
        for parameter in signature.parameters.values()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    known = {name: each for name, each in kinds.items() if all(k in _WORDS | _LISTS for k in each)}

    @functools.wraps(function)
    def entered(*args: P.args, **kwargs: P.kwargs) -> R:
        given = signature.bind(*args, **kwargs).arguments
        for name, each in known.items():
            if name not in given:
                continue
            if not any(_is(given[name], kind) for kind in each):
                words = " or ".join(map(_worded, each))
                raise DataError(
                    f"{function.__name__}: {name} must be {words}, not {type(given[name]).__name__}"
                )
            if name == "seed":
                whole(name, given[name], 0)
        return function(*args, **kwargs)

    return entered


def _worded(kind: str) -> str:
    return f"a list of {_LISTS[kind]}" if kind in _LISTS else _WORDS[kind]


def _is(value: Any, kind: str) -> bool:
    if kind == "None":
        return value is None
    if kind == "str":
        return isinstance(value, str)
    if kind == "bool":
        return isinstance(value, bool | np.bool_)
    if kind in ("int", "float"):
        number = (int, np.integer) if kind == "int" else (int, float, np.integer, np.floating, str)
        return isinstance(value, number) and not isinstance(value, bool | np.bool_)
    if isinstance(value, str | bytes | dict) or not isinstance(value, Iterable):
        return False
    if getattr(value, "ndim", 1) != 1:  # a table, or many rows of numbers
        return False
    listed = isinstance(value, list | tuple | set | frozenset)
    return not (listed and _LISTS[kind] == "str") or all(isinstance(v, str) for v in value)
