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


def listed(names: list[str], most: int = 3) -> str:
    """The first of some names, and how many more there are.

    Examples
    --------
    >>> listed(["MMLU", "BBH"]), listed(["MMLU", "BBH", "GPQA", "MUSR", "ARC"])
    ('MMLU and BBH', 'MMLU, BBH, GPQA and 2 more')
    """
    if len(names) > most + 1:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
