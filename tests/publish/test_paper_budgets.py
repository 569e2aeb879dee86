"""The paper's table of best sizes and tokens, beside ours."""

from __future__ import annotations

import pytest

import sloth_bayes as sb
from sloth_bayes.publish.paper_budgets import paper_table


@pytest.mark.long
def test_the_table_of_the_paper():
    found = paper_table(sb.load("leaderboard"))
    assert len(found) == 6 * 4
    last = found[found["budget"] == 6.48e24]
    assert (last["edge"] == "only").all()
    assert last["params_b"].to_numpy() == pytest.approx(72)
    assert last["tokens_t"].to_numpy() == pytest.approx(15)
    spent = 6e21 * found["paper_params_b"] * found["paper_tokens_t"] / found["budget"]
    assert spent.between(0.9, 1.1).all()  # the paper rounds
    assert (found["paper_regret"] >= found["regret"] - 1e-3).all()
