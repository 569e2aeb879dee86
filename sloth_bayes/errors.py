"""Exceptions and warnings of the package, and the wording they share.

Every error a user can cause is a :class:`SlothBayesError`; the command line turns
them into one sentence on standard error and exit status 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SlothBayesError(Exception):
    """Base class of every error that bad input can cause."""


class DataError(SlothBayesError, ValueError):
    """A table, a row or a score that the package cannot accept."""


class UnknownNameError(SlothBayesError, KeyError):
    """A family, benchmark, posterior or option that does not exist."""

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return str(self.args[0]) if self.args else ""


class SpecError(SlothBayesError, ValueError):
    """A specification that contradicts itself or names an unknown choice."""


class FileFormatError(SlothBayesError, OSError):
    """A file that is missing, truncated, foreign, or of another version."""

    def __str__(self) -> str:  # OSError formats its arguments as errno, strerror
        return str(self.args[0]) if self.args else ""


class WorkerError(SlothBayesError, RuntimeError):
    """An executor that cannot do the work, or whose workers died."""


class DataWarning(UserWarning):
    """A table with a column that is not used although it looks as if it should be."""


class ConvergenceWarning(UserWarning):
    """A fit whose draws should not be relied upon yet."""


class ExtrapolationWarning(UserWarning):
    """A forecast outside the sizes or tokens that the posterior has seen."""


def near(name: object, known: Iterable[str], n: int = 3, cutoff: float = 0.5) -> list[str]:
    """The names in `known` most like `name`, ignoring case; best first."""
    by_lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(str(name).lower(), by_lower, n=n, cutoff=cutoff)
    return [by_lower[c] for c in close]


def spelled_alike(name: object, known: Iterable[str]) -> str | None:
    """The known name that differs from `name` by case, spaces or punctuation only.

    Examples
    --------
    >>> spelled_alike("Qwen 2", ["qwen", "qwen2"]), spelled_alike("qwen2", ["qwen2"])
    ('qwen2', None)
    """

    def letters(text: object) -> str:
        return "".join(c for c in str(text).casefold() if c.isalnum())

    known = list(known)
    if name in known or not letters(name):
        return None
    return next((k for k in known if letters(k) == letters(name)), None)


def unknown(kind: str, name: object, known: Iterable[str], remedy: str = "") -> UnknownNameError:
    """An error that names what was asked for and what would have been accepted."""
    known = list(known)
    said = str(name).lower()
    close = near(name, known) or [k for k in known if len(said) > 2 and said in k.lower()][:3]
    if close:
        hint = f"did you mean {' or '.join(repr(c) for c in close)}?"
    elif not known:
        hint = "none is there yet."
    elif len(known) <= 12:
        hint = f"known: {', '.join(known)}."
    else:
        hint = f"{len(known)} are known, the first: {', '.join(known[:5])}, ..."
    return UnknownNameError(f"unknown {kind} {name!r}: {hint}{' ' + remedy if remedy else ''}")


def check_known(kind: str, names: Iterable[object], known: Iterable[str], remedy: str = "") -> None:
    """Raise the error of :func:`unknown` for the first of `names` that is not in `known`."""
    known = list(known)
    for name in names:
        if name not in known:
            raise unknown(kind, name, known, remedy)
