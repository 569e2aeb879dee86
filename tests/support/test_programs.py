"""Programs are kept for later processes where nothing speaks against it, and never in the way."""

from __future__ import annotations

import os

import jax
import numpy as np
import pytest

from sloth_bayes.support import programs

X = np.arange(3, dtype=np.float32)


def double(x):
    return 2 * x


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache folder, and a JAX that keeps nothing by itself."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    yield tmp_path / "sloth-bayes" / "programs"
    jax.config.update("jax_compilation_cache_dir", before)


def anew(of=double, **options):
    """What a new process computes."""
    return np.asarray(programs.Program(of, **options)(X))


def files(folder):
    return sorted(folder.iterdir()) if folder.is_dir() else []


def test_a_program_is_compiled_once_for_several_processes(folder, monkeypatch):
    np.testing.assert_array_equal(anew(), 2 * X)
    assert len(files(folder)) == 1
    monkeypatch.setattr(programs, "_keep", None)  # nothing is compiled, or this is called
    np.testing.assert_array_equal(anew(), 2 * X)


def test_a_program_is_kept_by_what_it_is(folder):
    anew()
    anew(lambda x: 3 * x)
    anew(level=0)
    np.testing.assert_array_equal(programs.Program(double)(X[:2]), 2 * X[:2])
    large = np.random.default_rng(0).normal(size=(2, 40_000)).astype(np.float32)
    for constant in large:  # constants that text would leave out
        found = programs.Program(lambda x, c=constant: x + c)(np.float32(1))
        np.testing.assert_allclose(found, 1 + constant)
    assert len(files(folder)) == 6


def test_an_argument_that_is_not_used_counts_too(folder):
    """A table with a model more has the same loadings: by text the two are one program."""
    for unused in (X, X[:2], [X, X]):
        found = programs.Program(lambda x, more: 2 * x)(X, unused)
        np.testing.assert_array_equal(found, 2 * X)


def test_names_of_what_is_passed_tell_programs_apart(folder):
    total = programs.Program(lambda table: 2 * sum(table.values()))
    for name in ("years", "months"):  # columns of two terms, which are otherwise alike
        np.testing.assert_array_equal(total({name: X}), 2 * X)


def test_static_arguments_make_programs_of_their_own(folder):
    power = programs.Program(lambda n, x: x**n, static=1)
    assert [float(power(n, np.float32(3))) for n in (1, 2, 2)] == [3, 9, 9]
    assert len(power.compiled) == 2


@pytest.mark.parametrize(
    "spoil", [lambda b: b[:-9], lambda b: b"", lambda b: b[:40] + b"x" + b[41:]]
)
def test_a_spoilt_file_costs_a_compilation(folder, spoil):
    anew()
    [path] = files(folder)
    whole = path.read_bytes()
    path.write_bytes(spoil(whole))
    np.testing.assert_array_equal(anew(), 2 * X)
    assert len(files(folder)) == 1
    assert len(path.read_bytes()) == len(whole)


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path, folder):
    (tmp_path / "sloth-bayes").write_text("a file")
    np.testing.assert_array_equal(anew(), 2 * X)


def test_a_full_disk_leaves_nothing_behind(folder, monkeypatch):
    def full(*names):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    np.testing.assert_array_equal(anew(), 2 * X)
    assert files(folder) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("jax_compilation_cache_dir", "elsewhere"), ("jax_enable_compilation_cache", False)],
)
def test_what_jax_is_told_wins(folder, tmp_path, name, value):
    before = getattr(jax.config, name)
    jax.config.update(name, str(tmp_path / value) if isinstance(value, str) else value)
    try:
        anew(lambda x: 5 * x)
    finally:
        jax.config.update(name, before)
    assert files(folder) == []


def test_a_program_that_calls_back_is_not_kept(folder):
    def called(x):
        return jax.pure_callback(double, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    np.testing.assert_array_equal(anew(called), 2 * X)
    assert files(folder) == []


def test_what_was_used_longest_ago_goes(folder, monkeypatch):
    anew()
    [first] = files(folder)
    os.utime(first, (0, 0))
    monkeypatch.setattr(programs, "_MOST", first.stat().st_size * 3 // 2)
    anew(lambda x: 7 * x)
    assert len(files(folder)) == 1
    assert first not in files(folder)


def test_settings_of_jax_stay_as_they_are(folder):
    before = dict(jax.config.values)
    anew(lambda x: 11 * x)
    assert dict(jax.config.values) == before


def test_options_that_this_compiler_lacks_are_left_out(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.setattr(programs, "_SHORT", {"xla_no_such_option": True})
    assert programs.options(1, short=True) == {"xla_backend_optimization_level": 1}


def test_flags_of_the_user_win(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=2")
    assert "xla_backend_optimization_level" not in programs.options(0)
