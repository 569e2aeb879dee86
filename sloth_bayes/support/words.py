"""Words of messages."""

from __future__ import annotations


def counted(n: int, one: str, many: str = "") -> str:
    """A number and what it counts, in the singular or the plural.

    Examples
    --------
    >>> counted(1, "score"), counted(2, "family", "families")
    ('1 score', '2 families')
    """
    return f"{n} {one if n == 1 else many or one + 's'}"
