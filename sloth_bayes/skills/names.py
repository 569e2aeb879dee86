"""Names of skills: as the paper reads them, or after the benchmarks that load on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy

from ..errors import DataError
from ..support.frames import listed

# The benchmarks by which the paper reads its skills (section 4.3), where names come from.
READING: dict[str, tuple[str, ...]] = {
    "reasoning": ("GSM8K", "MATH Lvl 5", "GPQA", "MMLU", "MMLU-PRO", "BBH", "MUSR"),
    "knowledge": ("ARC", "HellaSwag", "Winogrande"),
    "instruction following": ("IFEval", "TruthfulQA"),
}


def suggest_names(loading: np.ndarray, benchmarks: Sequence[str]) -> list[str]:
    """Names for skills by their loadings ``(J, d)``; the rule is that of ``post.skills()``.

    Examples
    --------
    >>> import numpy as np
    >>> from sloth_bayes.skills.names import suggest_names
    >>> suggest_names(np.array([[2, 0.1], [0, 1], [0, 2]]), ["GSM8K", "Mine", "Yours"])
    ['reasoning', 'Yours + Mine']
    """
    loading = np.asarray(loading, float)
    d = loading.shape[1]
    squared = np.maximum(loading, 0.0) ** 2
    share = squared / np.maximum((loading**2).sum(1, keepdims=True), 1e-300)
    concepts = {
        name: [benchmarks.index(b) for b in members if b in benchmarks]
        for name, members in READING.items()
    }
    concepts = {name: members for name, members in concepts.items() if members}
    given: dict[int, str] = {}
    if concepts:
        strength = np.stack([share[members].mean(0) for members in concepts.values()])
        for c, k in zip(*scipy.optimize.linear_sum_assignment(strength, maximize=True)):
            if strength[c, k] >= 0.5:
                given[int(k)] = list(concepts)[c]
    out: list[str] = []
    for k in range(d):
        top = np.argsort(-loading[:, k], kind="stable")[: min(2, len(benchmarks))]
        plain = " + ".join(benchmarks[j] for j in top)
        name = given.get(k, plain)
        out.append(name if name not in out else f"{name} ({k + 1})")
    return out


def checked_names(names: Sequence[str], d: int) -> list[str]:
    """One name for each of `d` skills, no two alike."""
    out = [str(name) for name in listed(names)]
    if len(out) != d:
        raise DataError(f"there are {d} skills, but {len(out)} names: {', '.join(out)}")
    if len(set(out)) < d:
        raise DataError(f"two skills cannot have one name: {', '.join(out)}")
    return out
