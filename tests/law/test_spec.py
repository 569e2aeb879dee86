"""The specification: round trips, refusals, and that it cannot change under one's hands."""

from __future__ import annotations

import dataclasses
import math
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sloth_bayes as sb
from sloth_bayes.api import Sloth
from sloth_bayes.law import equations, likelihood
from sloth_bayes.law.spec import Priors

CHOICES = {
    "n_skills": st.integers(1, 20),
    "inputs": st.sampled_from(sorted(name for name, of in equations.INPUTS.items() if of)),
    "intercept": st.sampled_from(["lineage", "family", "shared"]),
    "instruct": st.sampled_from(["shared", "kinds", "none"]),
    "tuning": st.sampled_from(["benchmarks", "skills"]),
    "slopes": st.sampled_from(["pooled", "shared", "fan", "tuned", "fan-tuned", "family"]),
    "loadings": st.sampled_from(["free", "identity"]),
    "residual": st.sampled_from(["family", "none"]),
    "model_effect": st.sampled_from(["pooled", "none"]),
    "progress": st.sampled_from(["date", "none"]),
    "lower": st.sampled_from(["estimated", "chance"]),
    "upper": st.sampled_from(["estimated", "sourced", "questions", "one"]),
    "link": st.sampled_from(sorted(equations.LINKS)),
    "noise": st.sampled_from(["proportional", "constant"]),
    "df": st.sampled_from([*likelihood.STUDENT_T_DF, math.inf]),
}
SCALES = st.floats(1e-6, 1e6, allow_nan=False)
SHARES = ("lineage_share", "mixture_weight", "ceiling")
PRIORS = {
    f.name: st.floats(1e-3, 0.999) if f.name in SHARES else SCALES
    for f in dataclasses.fields(Priors)
}


@settings(deadline=None, max_examples=60)
@given(
    choices=st.fixed_dictionaries({}, optional=CHOICES),
    priors=st.fixed_dictionaries({}, optional=PRIORS),
)
def test_toml_round_trip(choices, priors):
    if not equations.INPUTS[choices.get("inputs", "translog")]:
        choices = choices | {"slopes": "shared", "progress": "none"}  # others need sizes
    if choices.get("instruct") == "none":
        choices = choices | {"tuning": "skills"}
    spec = Sloth(**choices, priors=priors)
    assert Sloth.from_toml(spec.to_toml()) == spec
    assert hash(Sloth.from_toml(spec.to_toml())) == hash(spec)


def test_toml_file_round_trip_and_a_fit_table_is_ignored(tmp_path):
    spec = sb.Sloth(n_skills=2, df=math.inf, priors={"doubling": 0.7})
    path = tmp_path / "spec.toml"
    text = spec.to_toml(path)
    assert path.read_text() == text
    assert sb.Sloth.from_toml(path) == sb.Sloth.from_toml(str(path)) == spec
    path.write_text(text + '\n[fit]\ndata = "open_llm_leaderboard"\n')
    assert sb.Sloth.from_toml(path) == spec


def test_what_a_file_does_not_mention_keeps_its_default():
    spec = sb.Sloth.from_toml("n_skills = 5\n[priors]\nnoise = 0.05\n")
    assert spec == sb.Sloth(n_skills=5).replace(priors={"noise": 0.05})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inputs": "translogg"}, ["inputs='translogg'", "translog", "flops"]),
        ({"intercept": "none"}, ["intercept", "lineage, family, shared"]),
        ({"n_skills": 0}, ["n_skills", "at least 1"]),
        ({"n_skills": 2.5}, ["n_skills", "whole number", "2.5"]),
        ({"n_skills": True}, ["n_skills", "whole number"]),
        ({"df": 7}, ["df=7", "2, 3, 4, 5, 6, 8, 10", "infinity"]),
        ({"df": -math.inf}, ["df=-inf"]),
        ({"df": math.nan}, ["df=nan"]),
        ({"priors": {"doubling": 0}}, ["doubling", "positive"]),
        ({"priors": {"noise": math.nan}}, ["noise", "positive"]),
        ({"priors": {"lineage_share": 1.0}}, ["lineage_share", "between 0 and 1"]),
        ({"priors": {"doublings": 1.0}}, ["'doublings'", "did you mean 'doubling'"]),
        ({"priors": 3}, ["Priors", "int"]),
    ],
)
def test_a_bad_choice_is_named_with_what_would_do(changes, words):
    with pytest.raises(sb.SpecError) as error:
        sb.Sloth(**changes)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n_skill = 3\n", ["'n_skill'", "did you mean 'n_skills'"]),
        ("[priors]\nloadings = 2.0\n", ["'loadings'", "did you mean 'loading'"]),
        ('[priors]\ndoubling = "big"\n', ["doubling", "'big'"]),
        ("[prior]\ndoubling = 1.0\n", ["'prior'", "did you mean 'priors'"]),
    ],
)
def test_a_bad_file_is_named_with_the_near_match(text, words):
    with pytest.raises(sb.SpecError) as error:
        sb.Sloth.from_toml(text)
    for word in words:
        assert word in str(error.value)


def test_what_is_not_toml_is_a_format_error(tmp_path):
    with pytest.raises(sb.FileFormatError, match="not valid TOML"):
        sb.Sloth.from_toml("n_skills = = 3\n")
    with pytest.raises(sb.FileFormatError, match="cannot read"):
        sb.Sloth.from_toml(tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(sb.FileFormatError, match="cannot read"):
        sb.Sloth.from_toml(tmp_path / "binary.toml")


def test_replace_changes_only_what_is_named():
    spec = sb.Sloth().replace(link="logistic", priors={"doubling": 1.0})
    assert (spec.link, spec.priors.doubling) == ("logistic", 1.0)
    assert spec.replace(link="richards", priors={"doubling": sb.Priors().doubling}) == sb.Sloth()
    twice = spec.replace(priors={"noise": 0.1})
    assert (twice.priors.doubling, twice.priors.noise) == (1.0, 0.1)
    with pytest.raises(sb.SpecError, match="did you mean 'link'"):
        spec.replace(links="logistic")


def test_frozen_hashable_and_picklable():
    spec = sb.Sloth(n_skills=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.n_skills = 3  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.priors.doubling = 3.0  # type: ignore[misc]
    assert {spec: 1}[sb.Sloth(n_skills=2)] == 1
    assert len({sb.Sloth(n_skills=k) for k in (1, 2, 2)}) == 2
    assert pickle.loads(pickle.dumps(spec)) == spec
