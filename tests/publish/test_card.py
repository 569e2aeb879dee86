"""The card of a fit: what it says was fitted and measured."""

from __future__ import annotations

import numpy as np
import pytest

import sloth_bayes as sb
from sloth_bayes.publish.card import write_card


def section(card: str, title: str) -> str:
    return card.split(f"## {title}\n")[1].split("\n## ")[0]


def test_the_card_says_what_was_measured(tiny_posterior, tmp_path):
    found = tiny_posterior.diagnostics()
    path = write_card(tiny_posterior, found, 12.3, tmp_path / "card.md", kept=100)
    card = path.read_text()
    fitted = section(card, "What was fitted")
    assert tiny_posterior.attrs["data_fingerprint"] in fitted
    assert f"{len(tiny_posterior.models)} models" in fitted
    assert "12 s" in fitted
    assert "100 draws" in fitted
    convergence = section(card, "Convergence")
    assert found.messages[0] in convergence
    for name in found.table["quantity"].head(10):
        assert name in convergence
    checks = section(card, "In-sample check")
    for name in tiny_posterior.benchmarks:
        assert f"| {name} |" in checks
    loo = section(card, "Leave-one-out (PSIS-LOO)")
    counts = [int(row.split("|")[2]) for row in loo.splitlines() if row.startswith("| k-hat")]
    assert sum(counts) == tiny_posterior.attrs["n_scores"]
    assert ("not converged" in section(card, "When not to trust it")) == (not found.ok)


def test_the_card_compares_nuts_with_svi(tiny_posterior, tiny_svi, tmp_path):
    found = tiny_posterior.diagnostics()
    path = write_card(tiny_posterior, found, 1.0, tmp_path / "card.md", svi=tiny_svi)
    beside = section(path.read_text(), "Variational inference beside it")
    assert "k-hat" in beside
    assert f"{len(tiny_posterior.families)} models nobody has trained" in beside
    rows = [line.split("|")[1:-1] for line in beside.splitlines() if line.startswith("| ")][2:]
    assert [row[0].strip() for row in rows] == [*tiny_posterior.benchmarks, "all"]
    apart, most, width = (np.array([float(row[i]) for row in rows]) for i in (1, 2, 3))
    assert (apart <= most).all()
    assert (width > 0).all()
    path = write_card(tiny_posterior, found, 1.0, tmp_path / "card.md", svi=tiny_posterior)
    same = section(path.read_text(), "Variational inference beside it")
    assert "| all | 0.0 | 0.0 | 1.00 | 0% |" in same


def test_the_card_of_a_slimmed_posterior_has_no_loo(tiny_posterior, tmp_path):
    slim = tiny_posterior.slim(100)
    path = write_card(slim, slim.diagnostics(), 1.0, tmp_path / "card.md")
    assert "Not computed" in section(path.read_text(), "Leave-one-out (PSIS-LOO)")


def test_a_card_that_cannot_be_written(tiny_posterior, tmp_path):
    with pytest.raises(sb.FileFormatError, match="cannot write"):
        write_card(tiny_posterior, tiny_posterior.diagnostics(), 1.0, tmp_path / "no" / "card.md")
