"""Counts of parameters that are not sizes: packed weights, and totals of mixtures of experts.

The law wants the parameters that work on a token. A file counts what it holds.
"""

from __future__ import annotations

import re

from .identity import in_name

# Formats that keep one number for each weight, so that their count is right
_UNPACKED = ("fp8", "int8", "w8a8", "w8a16")
_SIZE = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)[-_ ]?([bm])(?![a-z0-9])")
_EXPERTS = re.compile(r"(?<![a-z0-9.])(\d+)x(\d+(?:\.\d+)?)b(?![a-z0-9])")
_ACTIVE = re.compile(r"(?<![a-z0-9])a(\d+(?:\.\d+)?)b(?![a-z0-9])")
_MIXTURE = re.compile(r"(?<![a-z0-9])(moe|mixtral|\w*moe)(?![a-z0-9])")
_CREDIBLE = (0.7, 1.5)  # a count over the size in the name: embeddings count, or do not


def stated_size(name: str) -> float | None:
    """The size in billions that a model's name states, if it states one.

    Examples
    --------
    >>> stated_size("lab/foo-410m"), stated_size("foo-7b-chat"), stated_size("foo")
    (0.41, 7.0, None)
    """
    found = _SIZE.findall(name.casefold())
    stated = {float(v) if unit == "b" else float(v) / 1e3 for v, unit in found}
    return stated.pop() if len(stated) == 1 else None


def given_in_millions(name: str, params_b: float) -> bool:
    """Whether a size is a thousand times the one in the model's name.

    Examples
    --------
    >>> given_in_millions("foo-410m", 410), given_in_millions("foo-410m", 0.41)
    (True, False)
    """
    said = stated_size(name)
    return said is not None and _CREDIBLE[0] < params_b / said / 1e3 < _CREDIBLE[1]


def why_not_the_size(
    name: str, count: float, weights: str = "", mixture: bool | None = None
) -> str:
    """Why a count of parameters, in billions, is not the model's size, and what is likely.

    Nothing where nothing speaks against it.

    Parameters
    ----------
    name
        Of the model; what it says of size, experts and quantisation is read.
    count
        What a file counts.
    weights
        How the weights are quantised, as the file has it.
    mixture
        Whether the file says that it is a mixture of experts.

    Examples
    --------
    >>> why_not_the_size("acme/Mix-8x7B", 46.7)
    "a mixture's total; of active parameters it has likely about 12.7B, if two experts work at once"
    >>> why_not_the_size("acme/Foo-7B-GPTQ", 1.129)
    'a count of packed weights (gptq); the size is likely 7B'
    >>> why_not_the_size("acme/foo-7b", 7.24)
    ''
    """
    plain = name.casefold()
    active, experts = _ACTIVE.search(plain), _EXPERTS.search(plain)
    if mixture or (mixture is None and (active or experts or _MIXTURE.search(plain))):
        likely = "the active ones are on its card"
        if active:
            likely = f"of active parameters it has likely {float(active[1]):g}B"
            if 0.7 * float(active[1]) < count < 1.3 * float(active[1]):
                return ""
        elif experts:
            n, one = int(experts[1]), float(experts[2])
            two = one + (count - one) / max(n - 1, 1)  # what is shared, and one expert more
            if n > 2 and one < two < count:
                likely = f"of active parameters it has likely about {two:.3g}B, if two experts"
                likely += " work at once"
        return f"a mixture's total; {likely}"
    said = stated_size(name)
    if said and _CREDIBLE[0] < count / said < _CREDIBLE[1]:
        return ""
    weights = weights or in_name(name)
    if weights and weights not in _UNPACKED:
        likely = f"likely {said:g}B" if said else "that of the model before it was quantised"
        return f"a count of packed weights ({weights}); the size is {likely}"
    if said:
        return f"at odds with the model's name; the size is likely {said:g}B"
    return ""
