"""Units and spellings: one rule for tables, candidates and options."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sloth_bayes.errors import DataError
from sloth_bayes.support.spelling import check_amount, other_unit, plain_number, what_to_write


@pytest.mark.parametrize(
    ("cell", "column", "advice"),
    [
        ("7B", "params_b", "write 7"),
        ("7 b", "params_b", "write 7"),
        ("1.5 billion", "params_b", "write 1.5"),
        ("410M", "params_b", "write 0.41"),
        ("1,5B", "params_b", "write 1.5, with a decimal point"),
        ("2T", "tokens_t", "write 2"),
        ("300B tokens", "tokens_t", "write 0.3"),
        ("45.3 %", "MMLU", "write 0.453"),
        ("45,3%", "MMLU", "write 0.453, with a decimal point"),
        ("0,453", "MMLU", "write 0.453, with a decimal point"),
        ("1,000", "params_b", "write 1000 or, if the comma is decimal, use a decimal point"),
        ("8x22B", "params_b", "write the active parameters in billions"),
        ("30B-A3B", "params_b", "write the active parameters in billions"),
        ("45%", "params_b", ""),
        ("7B", "MMLU", ""),
        ("large", "params_b", ""),
        ("?", "MMLU", ""),
    ],
)
def test_advice_for_other_spellings(cell, column, advice):
    found = what_to_write(cell, column)
    assert found.startswith(advice)
    assert bool(found) == bool(advice)


@given(st.floats(1e-3, 1e4), st.sampled_from(["params_b", "tokens_t"]))
def test_what_is_advised_is_what_was_meant(value, column):
    unit = "B" if column == "params_b" else "T"
    advice = what_to_write(f"{value:.6f}{unit}", column)
    assert float(advice.removeprefix("write ")) == pytest.approx(value, abs=1e-6)


@given(st.floats(allow_nan=False) | st.text() | st.none() | st.booleans())
def test_a_plain_number_is_one_and_nothing_else_is(cell):
    try:
        number = plain_number(cell)
    except (TypeError, ValueError):
        return
    assert not isinstance(cell, bool)
    assert number == float(cell) or number != number


@given(st.floats(1e-3, 2e4), st.sampled_from([1e3, 1e9]))
def test_a_size_in_another_unit_is_told_what_to_write(value, by):
    raw = value * by
    said = other_unit(raw, "params_b")
    assert bool(said) == (raw > 2e4)
    if by == 1e9 and raw >= 1e7:
        assert f"divide by 1e9: write {value:.6g}" in said


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (7000, "if it is in billions, divide by 1000: write 7"),
        (300_000, "if it is in millions, divide by 1e6: write 0.3"),
        (15e12, "divide by 1e12: write 15"),
    ],
)
def test_tokens_in_another_unit(value, advice):
    assert other_unit(value, "tokens_t").endswith(advice)
    with pytest.raises(DataError, match=r"tokens is .*the unit is trillions of tokens"):
        check_amount(value, "tokens", "tokens_t")


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1e9])
def test_what_is_no_amount_is_no_matter_of_units(value):
    assert other_unit(value, "params_b") == ""


@pytest.mark.parametrize("value", [0.5, 2, 100])
def test_amounts_that_can_be_meant(value):
    assert other_unit(value, "tokens_t") == ""
    check_amount(value, "tokens", "tokens_t")
