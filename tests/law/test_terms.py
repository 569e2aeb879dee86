"""Terms of one's own: what is refused, and that entries and not names are what counts."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

import sloth_bayes as sb
from sloth_bayes import law
from sloth_bayes.model.arrays import design_of
from sloth_bayes.plan.budget import coefficients
from sloth_bayes.plan.curves import goal_of, values, who_of


class Own(law.Term):
    """An effect of each lineage, of a doubling of tokens."""

    name = "own"
    dims: ClassVar = {"own": ("lineage", "skill")}
    adds_to, of, times = "skill", "lineage", "tokens"
    site = "own_raw"
    sd = 0.3

    def scale(self, values, spec):
        return self.sd

    def prior(self, at):
        return {"own": at.rows("own_raw", "lineage", scale=self.sd)}


def changed(**attributes) -> law.Term:
    return type("Changed", (Own,), attributes)()


@pytest.fixture
def registry():
    before = dict(law.TERMS)
    law.TERMS["own"] = Own()
    yield law.TERMS
    law.TERMS.clear()
    law.TERMS.update(before)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (Own, "must be an instance"),
        (changed(name="other"), "is called 'other'"),
        (changed(adds_to="skills"), "adds_to is 'skill' or 'benchmark'"),
        (changed(of="lineages"), "of is 'lineage', 'family', 'model'"),
        (changed(of="", times="", dims={"own": ("skill",)}), "the same to all models"),
        (changed(dims={}), r"must say dims\['own'\] = \('lineage', 'skill'\)"),
        (changed(times="params_b"), "'params_b', which is taken"),
        (changed(site="family_raw"), "of another term"),
        (changed(site=""), "must name the sample site"),
    ],
)
def test_an_entry_that_cannot_be_what_it_says_is_refused(registry, entry, says):
    registry["own"] = entry
    with pytest.raises(sb.SpecError, match=says):
        sb.Sloth(terms=["own"])


def test_names_of_terms_are_checked_and_in_order(registry):
    registry["more"] = changed(
        name="more", dims={"more": ("lineage", "skill")}, site="more_raw", times=""
    )
    spec = sb.Sloth(terms=("own", "more", "own"))
    assert spec.terms == ("more", "own")
    assert spec == sb.Sloth(terms=["more", "own"])
    with pytest.raises(sb.SpecError, match="'owm', which is not a term"):
        sb.Sloth(terms=["owm"])
    with pytest.raises(sb.SpecError, match="list of names"):
        sb.Sloth(terms=5)
    with pytest.raises(sb.SpecError, match="doublings of tokens"):
        sb.Sloth(terms=["own"], inputs="size")


@pytest.mark.long
def test_a_process_without_the_entry_does_not_go_on_without_the_term(registry, tmp_path):
    file = tmp_path / "spec.pickle"
    file.write_bytes(pickle.dumps(sb.Sloth(terms=["own"])))
    code = f"import pickle; pickle.loads(open({str(file)!r}, 'rb').read())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "SpecError: terms has 'own'" in found.stderr
    assert pickle.loads(file.read_bytes()) == sb.Sloth(terms=["own"])


@pytest.fixture
def post(registry, tiny_table) -> sb.Posterior:
    spec = sb.Sloth(n_skills=2, link="logistic", terms=["own"])
    return spec.prior(tiny_table, draws=300)


@pytest.mark.slow
def test_another_object_under_the_name_is_another_law(post, registry, tiny_table):
    registry["own"] = changed(sd=1e-3)
    again = post.spec.prior(tiny_table, draws=300)
    assert post.merged["own"].std() == pytest.approx(0.3, rel=0.1)
    assert again.merged["own"].std() == pytest.approx(1e-3, rel=0.1)


@pytest.mark.long
def test_a_plan_follows_every_term(post):
    """Coefficients of doublings are those of the law, by differences of skills."""
    who = who_of(post, "cedar")
    goal = goal_of(post, "Maths")
    found = coefficients(post, who, goal)
    centre = np.exp(post.constant("centre"))
    slope = post.merged["slope"].astype(float)
    slope[:, 1] += post.merged["own"][:, post.lineages.index("cedar")]
    j = post.benchmarks.index("Maths")
    want = np.einsum("spk,sk->sp", slope, post.merged["loading"][:, j])
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)
    assert values(post, who, centre[:1], centre[1:], goal).shape == (300, 1)


@pytest.mark.long
def test_relatives_that_nobody_has_seen_share_their_draw(post):
    new = pd.DataFrame({"model": ["a", "b"], "family": ["new", "new-chat"], "lineage": "new",
                        "params_b": 7.0, "tokens_t": 2.0})  # fmt: skip
    from sloth_bayes.predict.candidates import completed
    from sloth_bayes.predict.new_effects import effects_of

    own = effects_of(post, completed(post, new, True), 0).of["own"]
    np.testing.assert_array_equal(own[:, 0], own[:, 1])
    assert own.std() == pytest.approx(0.3, rel=0.15)
    assert abs(np.corrcoef(own[:, 0, 0], post.merged["own"][:, 0, 0])[0, 1]) < 0.2


@pytest.mark.slow
def test_conditioning_draws_a_new_lineages_term_and_refuses_what_it_cannot(post, registry):
    mine = pd.DataFrame({"model": ["mine-1b"], "family": "mine", "params_b": 1.4, "tokens_t": 4.0,
                         "Reading": 0.45, "Maths": 0.2})  # fmt: skip
    seen = post.condition(mine, reweight=False)
    drawn = seen.merged["own"][:, seen.lineages.index("mine")]
    assert np.isfinite(drawn).all()
    assert 0.1 < drawn.std() < 0.5
    registry["extra"] = changed(
        name="extra", dims={"extra": ("family", "benchmark")}, adds_to="benchmark", of="family",
        site="extra_raw",
    )  # fmt: skip
    with pytest.raises(sb.SpecError, match="conditioning cannot draw"):
        sb.Posterior(post.tree, post.spec.replace(terms=["own", "extra"])).condition(mine)


@pytest.mark.slow
def test_a_nested_term_of_ones_own_keeps_its_lineages_part(registry, tiny_table):
    from sloth_bayes.law.terms import Nested

    class Second(Nested):
        name, lineage, share = "second", "second_lineage", "second_share"
        dims: ClassVar = {
            "second_share": (), "second_lineage": ("lineage", "skill"),
            "second": ("family", "skill"),
        }  # fmt: skip
        adds_to, site = "skill", "second_raw"

        def scale(self, values, spec):
            return 0.3

        def prior(self, at):
            share = at.share("second_share")
            lineage, effect = at.nested_skills("second_raw", 0.3, share)
            found = {"second_share": share, "second": effect}
            return found if lineage is None else found | {"second_lineage": lineage}

    registry["second"] = Second()
    post = sb.Sloth(n_skills=1, link="logistic", terms=["second"]).prior(tiny_table, draws=400)
    v = post.merged
    assert v["second"].std() == pytest.approx(0.3, rel=0.1)
    birch, chat = (post.families.index(f) for f in ("birch", "birch-chat"))
    together = np.corrcoef(v["second"][:, birch, 0], v["second"][:, chat, 0])[0, 1]
    assert together == pytest.approx(0.5, abs=0.12)
    away = v["second"][:, birch] - v["second_lineage"][:, post.lineages.index("birch")]
    assert away.std() < v["second"].std()
    assert "second_lineage" in post.data_tree["log_prior"]


def test_a_likelihood_says_which_degrees_of_freedom_it_takes():
    with pytest.raises(sb.SpecError, match="df takes 2, 3"):
        sb.Sloth(df=7)


def test_the_table_says_which_column_it_lacks(registry, tiny_table):
    registry["own"] = changed(
        times="year", of="", dims={"own": ("skill",)}, column=lambda self, frame: frame["moe"]
    )
    with pytest.raises(sb.DataError, match="lacks the column that the term 'own' reads"):
        design_of(sb.Sloth(terms=["own"]), tiny_table)
