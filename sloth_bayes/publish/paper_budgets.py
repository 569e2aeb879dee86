"""The paper's table of the sizes and tokens that budgets are best spent on, beside ours."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..errors import DataError
from ..plan.budget import optimal_allocation
from ..posterior.core import PosteriorDraws
from ..skills.find import skills as find_skills

# Appendix B, table 2: budget in FLOPs, and of each skill the size (B) and tokens (T)
PAPER_SKILLS = ("reasoning", "knowledge", "instruction following")
PAPER_TABLE = {
    1e21: ((0.93, 0.18), (0.16, 1.04), (0.16, 1.04)),
    5.78e21: ((5.36, 0.18), (0.16, 6.02), (0.30, 3.24)),
    3.346e22: ((30.98, 0.18), (0.37, 15.0), (0.72, 7.78)),
    1.936e23: ((72.0, 0.45), (2.15, 15.0), (2.15, 15.0)),
    1.12005e24: ((72.0, 2.59), (12.44, 15.0), (12.44, 15.0)),
    6.48e24: ((72.0, 15.0), (72.0, 15.0), (72.0, 15.0)),
}


def paper_table(post: PosteriorDraws, prob: float = 0.9) -> pd.DataFrame:
    """Our optima beside those of the paper's table 2, over its support and budgets.

    The paper's skills are ours by their place: reasoning, knowledge, and the third, which in the
    posterior that ships is only partly the paper's instruction following (notebook 03 has the
    congruences); IFEval, which that skill is read by, stands beside it as a benchmark.

    Parameters
    ----------
    post
        The posterior, of three skills and with the benchmark IFEval.
    prob
        Mass of the intervals.

    Returns
    -------
    pandas.DataFrame
        budget, paper_skill, paper_params_b, paper_tokens_t, paper_regret (what the draw's own
        optimum would gain over the paper's size, expected, by our posterior), and the columns of
        :class:`Allocation`, a row a budget and objective.

    Raises
    ------
    DataError
        If the posterior has not three skills and IFEval.
    """
    skills = find_skills(post)
    if len(skills.names) != 3 or "IFEval" not in post.benchmarks:
        raise DataError(
            "the paper's table has three skills: use a posterior with three, and IFEval"
        )
    names = dict(zip(skills.names, PAPER_SKILLS)) | {"IFEval": PAPER_SKILLS[2]}
    answer = optimal_allocation(
        post, list(PAPER_TABLE), list(names), skills=skills, prob=prob,
        params_range=(0.16, 72.0), tokens_range=(0.18, 15.0),
    )  # fmt: skip
    found = answer.frame
    lines = dict(list(answer.curves.groupby(["budget", "objective"])))
    rows = []
    for budget, objective in zip(found["budget"], found["objective"]):
        skill, line = names[objective], lines[budget, objective]
        size, tokens = PAPER_TABLE[budget][PAPER_SKILLS.index(skill)]
        regret = np.interp(np.log(size), np.log(line["params_b"]), line["loss"])
        rows.append((skill, size, tokens, regret))
    columns = ["paper_skill", "paper_params_b", "paper_tokens_t", "paper_regret"]
    paper = pd.DataFrame(rows, columns=columns)
    return pd.concat([found[["budget"]], paper, found.drop(columns="budget")], axis=1)
