"""Headline scores that sub-scores give, by the leaderboards' own rules."""

from __future__ import annotations

import math
from collections.abc import Mapping

# Questions of each sub-task, where the headline is a mean over questions. The other
# headlines follow the unweighted mean over sub-tasks (data/README.md has the counts).
_QUESTIONS = {
    "GPQA": {"diamond": 198, "extended": 546, "main": 448},
    "MATH Lvl 5": {
        "algebra_hard": 307,
        "counting_and_prob_hard": 123,
        "geometry_hard": 132,
        "intermediate_algebra_hard": 280,
        "num_theory_hard": 154,
        "prealgebra_hard": 193,
        "precalculus_hard": 135,
    },
}


def headline(benchmark: str, subscores: Mapping[str, float]) -> float:
    """The headline score of one model that its sub-scores give, before rounding.

    GPQA and MATH Lvl 5 are means over questions, so their sub-scores are weighted by the
    number of questions; MMLU, BBH and MUSR are unweighted means over their sub-tasks.

    Parameters
    ----------
    benchmark
        A benchmark with sub-scores.
    subscores
        Sub-task to score in [0, 1]; every sub-task of the benchmark.

    Examples
    --------
    >>> tasks = {"murder_mysteries": 0.5, "object_placements": 0.25, "team_allocation": 0.75}
    >>> headline("MUSR", tasks)
    0.5
    >>> round(headline("GPQA", {"diamond": 0.3, "extended": 0.2, "main": 0.2}), 4)
    0.2166
    """
    weights = _QUESTIONS.get(benchmark, dict.fromkeys(subscores, 1))
    total = math.fsum(weights[task] * score for task, score in subscores.items())
    return total / sum(weights[task] for task in subscores)
