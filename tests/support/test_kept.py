"""Results kept by one run for the next: whole or refused, names as they were, one writer."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sloth_bayes as sb
from sloth_bayes.support import kept as module
from sloth_bayes.support.kept import keep, kept, only_writer

TABLE = pd.DataFrame({"family": ["NA", "1e3", "yi"], "error": [0.5, float("nan"), 1 / 3]})
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1, max_size=8)


def test_names_are_read_as_they_were_and_numbers_as_numbers(tmp_path):
    path = tmp_path / "cells.csv"
    assert kept(path) is None
    keep(path, TABLE)
    found = kept(path, ["family"])
    assert found["family"].tolist() == ["NA", "1e3", "yi"]
    pd.testing.assert_series_equal(found["error"], TABLE["error"], rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(names=st.lists(NAMES, min_size=1, max_size=5))
def test_any_name_survives(names, tmp_path_factory):
    path = tmp_path_factory.mktemp("kept") / "cells.csv"
    keep(path, pd.DataFrame({"family": names, "error": 0.5}))
    assert kept(path, ["family"])["family"].tolist() == names


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_what_is_cut_or_changed_is_refused(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("kept") / "cells.csv"
    keep(path, TABLE)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.sampled_from([b"", b"\0", b"9", b"\n", b'"', b"\xff"]))
    changed = whole[:at] + other + (whole[at + 1 :] if data.draw(st.booleans()) else b"")
    path.write_bytes(changed)
    if changed != whole:
        with pytest.raises(sb.FileFormatError, match=r"cells\.csv is damaged"):
            kept(path, ["family"])


def test_half_a_table_says_how_much_is_there(tmp_path):
    path = tmp_path / "cells.csv"
    keep(path, TABLE)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(sb.FileFormatError, match="it has 1 rows, and 3 were written; copy it"):
        kept(path)


def test_a_run_killed_between_seal_and_table_has_lost_nothing(tmp_path, monkeypatch):
    path, atomic_path = tmp_path / "cells.csv", module.atomic_path
    keep(path, TABLE[:2])

    def killed(file):
        if file == path:
            raise KeyboardInterrupt
        return atomic_path(file)

    monkeypatch.setattr(module, "atomic_path", killed)
    with pytest.raises(KeyboardInterrupt):
        keep(path, TABLE)
    assert len(kept(path, ["family"])) == 2
    monkeypatch.undo()
    keep(path, TABLE)
    assert len(kept(path, ["family"])) == 3


@pytest.mark.parametrize("sealed", [True, False])
def test_a_disk_that_is_full_again_and_again(sealed, tmp_path, monkeypatch):
    """The seal, which is small, may be written where the table cannot be."""
    path, atomic_path = tmp_path / "cells.csv", module.atomic_path
    keep(path, TABLE[:2])
    if not sealed:  # as an earlier version wrote it
        (tmp_path / ".cells.csv.seal").unlink()

    def full(file):
        if file == path:
            raise OSError(28, "No space left on device")
        return atomic_path(file)

    monkeypatch.setattr(module, "atomic_path", full)
    for _ in range(3):
        with pytest.raises(sb.FileFormatError, match="No space left"):
            keep(path, TABLE)
        assert len(kept(path, ["family"])) == 2
    monkeypatch.undo()
    keep(path, TABLE)
    assert len(kept(path, ["family"])) == 3


def test_what_is_damaged_is_not_written_over(tmp_path):
    path = tmp_path / "cells.csv"
    keep(path, TABLE)
    path.write_text("family,error\n")
    with pytest.raises(sb.FileFormatError, match="is damaged"):
        keep(path, TABLE)


@pytest.mark.parametrize(
    "name", ["", "a\rb", "\ud800"], ids=["empty", "carriage return", "surrogate"]
)
def test_a_name_that_no_table_holds_is_refused(name, tmp_path):
    with pytest.raises(sb.DataError, match="a family is empty, or has characters"):
        keep(tmp_path / "cells.csv", pd.DataFrame({"family": ["yi", name]}, dtype=object))


def test_what_a_table_is_of_is_remembered(tmp_path):
    keep(tmp_path / "a.csv", TABLE, of="x")
    assert kept(tmp_path / "a.csv", of="x") is not None
    with pytest.raises(sb.FileFormatError, match="of something else"):
        kept(tmp_path / "a.csv", of="y")


def test_a_link_and_its_file_are_one(tmp_path):
    path, link = tmp_path / "a.csv", tmp_path / "b.csv"
    link.symlink_to(path)
    keep(link, TABLE)
    assert not link.with_name(".b.csv.seal").exists()
    assert len(kept(path)) == len(kept(link)) == 3
    with only_writer(link), pytest.raises(sb.FileFormatError, match="another"), only_writer(path):
        pass


def test_a_table_of_an_earlier_version_has_no_seal(tmp_path):
    path = tmp_path / "cells.csv"
    TABLE.to_csv(path, index=False)
    assert len(kept(path)) == 3
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(sb.FileFormatError, match="is damaged"):
        kept(path)


@pytest.mark.parametrize("seal", [
    "", "[]", "{}", "[1]", '{"rows": 3}', "[{}]", "\xff", '[{"rows": Infinity, "sha256": ""}]',
    "[" * 3000,
])  # fmt: skip
def test_a_damaged_seal_is_no_seal_and_no_proof(seal, tmp_path):
    path = tmp_path / "cells.csv"
    keep(path, TABLE)
    (tmp_path / ".cells.csv.seal").write_bytes(seal.encode("latin-1"))
    with pytest.raises(sb.FileFormatError, match=r"\.seal is damaged: delete it and cells\.csv"):
        kept(path)


def test_a_head_says_what_a_table_is_of(tmp_path):
    path = tmp_path / "loo.csv"
    keep(path, TABLE, "# seed 1")
    assert len(kept(path, ["family"], "# seed 1")) == 3
    with pytest.raises(sb.FileFormatError, match="another run"):
        kept(path, head="# seed 2")
    path.write_bytes(path.read_bytes()[:5])
    with pytest.raises(sb.FileFormatError, match="is damaged"):
        kept(path, head="# seed 1")


def test_a_second_writer_is_refused_and_a_killed_one_holds_nothing(tmp_path):
    path = tmp_path / "new" / "cells.csv"
    with only_writer(path), ThreadPoolExecutor() as threads:

        def another():
            with only_writer(path):
                pass

        with pytest.raises(sb.FileFormatError, match="another run is writing"):
            threads.submit(another).result()
    code = f"""
import os, pathlib
from sloth_bayes.support.kept import only_writer
with only_writer(pathlib.Path({json.dumps(str(path))})):
    os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    with only_writer(path):
        pass


def test_a_folder_that_cannot_be_made_is_an_error_of_ours(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(sb.FileFormatError, match="cannot write"),
        only_writer(tmp_path / "file" / "cells.csv"),
    ):
        pass
