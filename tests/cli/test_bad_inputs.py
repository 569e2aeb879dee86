"""Bad inputs as a table, in one process: one sentence with a remedy, status 2, nothing written."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sloth_bayes as sb
from sloth_bayes.errors import FileFormatError, SpecError
from sloth_bayes.infer.settings import Settings
from sloth_bayes.posterior import pareto
from sloth_bayes.support import files
from sloth_bayes.support.files import atomic_path, check_writable
from tests.cli.test_cli import fails, run

LONG = "a" * 300
FORECAST = "forecast --family qwen2 --params 7 --tokens 7"
FIT = "fit --data t.csv --benchmarks MMLU,HellaSwag --out x.nc"
NEW = "forecast --params 7 --tokens 7 --benchmarks MMLU --csv --family"

CASES = [
    # names that the system refuses
    (f"forecast --posterior {LONG}.nc --family qwen2 --params 7 --tokens 7", "name too long"),
    (f"fit --data {LONG}.csv --out x.nc", "name too long"),
    (f"fit --data t.csv --out {LONG}.nc", "name too long"),
    (f"fit --data t.csv --spec {LONG}.toml --out x.nc", "name too long"),
    (f"fit ./{LONG}", "name too long"),
    (f"data read {LONG}.json", "name too long"),
    (f"{FORECAST} --plot {LONG}.png", "name too long"),
    ("data read loop", "symbolic links"),
    ("fit ./loop", "symbolic links"),
    ("fit --data ./loop --out x.nc", "symbolic links"),
    ("forecast --candidates loop", "symbolic links"),
    (f"{FORECAST} --plot loop/x.png", "symbolic links"),
    ("forecast --posterior loop/x.nc --family qwen2 --params 7 --tokens 7", "symbolic links"),
    # what never ends
    ("forecast --candidates pipe", "a pipe or a device"),
    ("fit --data ./pipe --out x.nc", "a pipe or a device"),
    ("data read pipe", "a pipe or a device"),
    ("fit --data t.csv --spec pipe --out x.nc", "a pipe or a device"),
    ("forecast --posterior ./pipe --family qwen2 --params 7 --tokens 7", "a pipe or a device"),
    (f"{FIT} --method svi --chains 1000000", "chains must be at most 1000"),
    (f"{FIT} --method svi --draws 10000000", "draws must be at most 1000000"),
    (f"{FIT} --method svi --draws 10000000000000", "draws must be at most"),
    (f"{FIT} --chains 1000 --draws 100000", "100,000,000 draws of every parameter"),
    (f"{FIT} --method svi --moves 10000000000", "days; ask for fewer"),
    (f"{FIT} --method svi --steps 1000000000000", "days; ask for fewer"),
    (f"{FIT} --method svi --seed 100000000000000000000", "seed must be at most"),
    # damaged files
    *[
        (verb.format(name), "cannot read")
        for name in ("cut.csv.gz", "cut.csv.xz", "other.csv.gz", "other.csv.xz")
        for verb in ("forecast --candidates {}", "fit --data ./{} --out x.nc")
    ],
    ("fit --data t.csv --spec number.toml --out x.nc", "priors must be a table"),
    ("fit --data t.csv --spec list.toml --out x.nc", "priors must be a table"),
    ("fit --data t.csv --spec deep.toml --out x.nc", "nests too far"),
    ("data read surrogate.json", "write the name in UTF-8"),
    ("forecast --candidates twice.csv", "has 2 columns 'params_b'"),
    (
        "forecast --candidates kinds.csv",
        "a column 'kinds', which nobody reads: rename it to 'kind'",
    ),
    # names
    (f"{NEW} a\udce9 --new-family", "write the name in UTF-8"),
    (f"{NEW} Qwen2 --lineage llama-2", "spelled like 'qwen2', which is known"),
    (f"{NEW} mine --lineage Qwen-2 --new-family", "lineage 'Qwen-2' is spelled like 'qwen2'"),
    ("data read r.json --family qwen2 --lineage yi", "is of lineage 'qwen2', not 'yi'"),
    # options that do not go together, or say nothing
    (f"{FIT} --method nuts --moves 3", "--moves goes with --method svi"),
    (f"{FIT} --method svi --warmup 30", "--warmup goes with --method nuts"),
    (f"{FIT} --method svi --thin 2", "--thin goes with --method nuts"),
    (f"{FORECAST} --benchmarks ,", "--benchmarks is empty"),
    (f"{FORECAST} --benchmarks AIME", "did you mean 'AIME (Swallow)'?"),
    (f"{FORECAST} --total nan", "--total (in billions of parameters) takes plain numbers"),
    ("plan saturation --of MMLU --family qwen3", "give tokens= (--tokens, in trillions) or"),
    ("downstream EQ-Bench --n-questions 0", "n_questions must be a number of at least 1"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Files that are damaged, endless or say what cannot be."""
    at = tmp_path_factory.mktemp("bad")
    sb.load_dataset("open_llm_leaderboard").select(benchmarks=["MMLU", "HellaSwag"]).to_csv(
        at / "t.csv"
    )
    (at / "kinds.csv").write_text("family,params_b,tokens_t,kinds\nqwen2,7,7,instruct\n")
    (at / "loop").symlink_to("other-loop")
    (at / "other-loop").symlink_to("loop")
    os.mkfifo(at / "pipe")
    for ending, opened in (("gz", gzip.open), ("xz", lzma.open)):
        with opened(at / f"cut.csv.{ending}", "wb") as file:
            file.write((at / "t.csv").read_bytes())
        whole = (at / f"cut.csv.{ending}").read_bytes()
        (at / f"cut.csv.{ending}").write_bytes(whole[: len(whole) // 2])
        (at / f"other.csv.{ending}").write_bytes(b"hello" * 30)
    (at / "number.toml").write_text("priors = 3\n")
    (at / "list.toml").write_text("priors = [1]\n")
    (at / "deep.toml").write_text("a = " + "[" * 3000 + "]" * 3000)
    (at / "twice.csv").write_text("family,params_b,tokens_t,params_b\nqwen2,7,7,70\n")
    for name, model in (("r", "mine-1b"), ("surrogate", "\ud800")):
        results = {"arc_challenge": {"acc_norm": 0.4}}
        config = {"num_fewshot": 25, "model_args": f"pretrained=lab/{model}"}
        (at / f"{name}.json").write_text(json.dumps({"results": results, "config": config}))
    return at


@pytest.mark.parametrize(("line", "said"), CASES)
def test_one_sentence(line, said, folder, monkeypatch):
    monkeypatch.chdir(folder)
    before = sorted(os.listdir(folder))
    assert said.lower() in fails(*line.split(" ")).lower()
    assert sorted(os.listdir(folder)) == before


# -- names in figures and tables ---------------------------------------------------------


def test_dollars_are_no_formula(tmp_path):
    found = run(*NEW.split(), r"$\foo{$", "--new-family", "--plot", tmp_path / "a.png")
    assert found.exit_code == 0
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_texts_of_the_caller_stay_formulas():
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots()
    axis.set_title("$x^2$")
    fc = sb.load().forecast(sb.candidates("qwen2", 7, 7), benchmarks=["MMLU"])
    fc.plot(ax=axis)
    assert axis.title.get_parse_math() or axis.get_title() != "$x^2$"
    plt.close(figure)


def test_a_new_family_that_is_spelled_like_a_known_one_is_named():
    found = run(*NEW.split(), "Qwen2", "--new-family")
    assert found.exit_code == 0
    assert "spelled like 'qwen2'" in found.stderr
    found = run(*NEW.split(), "mine", "--lineage", "quen2", "--new-family")
    assert "its lineage 'quen2' is new (did you mean 'qwen2'?)" in found.stderr


def test_no_cell_is_a_formula(tmp_path):
    table = tmp_path / "c.csv"
    table.write_text("family,params_b,tokens_t,model\nqwen2,7,7,=1+1\n")
    found = run("forecast", "--candidates", table, "--csv", "--benchmarks", "MMLU")
    assert found.stdout.splitlines()[1].startswith("'=1+1,qwen2")


@pytest.mark.parametrize("width", [30, 40, 80])
def test_nothing_is_cut_on_a_narrow_page(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    for verb in ("ratings saturation", "data show open_llm_leaderboard"):
        found = run(*verb.split())
        assert found.exit_code == 0
        assert "…" not in found.stdout


# -- standard output ---------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    ("redirected", "status"),
    [("> /dev/full", 2), (">&-", 2), ("| true", 0), ("--plot a.png > /dev/null", 0)],
)
def test_output_that_cannot_be_written(redirected, status, tmp_path):
    command = f"{sys.executable} -m sloth_bayes {FORECAST} {redirected}"
    env = dict(os.environ, MPLBACKEND="nonsense", PYTHONPATH=str(Path(sb.__file__).parents[1]))
    found = subprocess.run(
        command, shell=True, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert found.returncode == status
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_help_in_other_encodings(encoding):
    env = dict(os.environ, PYTHONIOENCODING=encoding)
    env["PYTHONPATH"] = str(Path(sb.__file__).parents[1])
    command = [sys.executable, "-m", "sloth_bayes", "--help"]
    found = subprocess.run(command, env=env, capture_output=True, check=False)
    assert (found.returncode, found.stderr) == (0, b"")


# -- files are kept ----------------------------------------------------------------------


def test_a_full_disk_keeps_the_earlier_file(tmp_path, monkeypatch):
    post, path = sb.load("leaderboard"), tmp_path / "a.nc"
    path.write_bytes(b"earlier")

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FileFormatError, match="No space left on device"):
        post.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.nc"]
    assert path.read_bytes() == b"earlier"


def test_a_folder_that_takes_nothing_is_found_out_before(tmp_path, monkeypatch):
    def refused(**options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(files.tempfile, "TemporaryFile", refused)
    with pytest.raises(FileFormatError, match="Read-only file system"):
        check_writable(tmp_path / "a.nc")
    table = tmp_path / "t.csv"
    table.write_text("model,family,params_b,tokens_t,MMLU\na-1b,a,1,1,0.4\n")
    assert "Read-only" in fails("fit", "--data", table, "--out", tmp_path / "a.nc")


def test_a_folder_that_may_not_be_entered(tmp_path, monkeypatch):
    def refused(self, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refused)
    with pytest.raises(FileFormatError, match="Permission denied"):
        files.user_path(tmp_path / "a.nc")


def test_links_are_followed_and_modes_kept(tmp_path):
    (tmp_path / "there").mkdir()
    real, link = tmp_path / "there" / "a.txt", tmp_path / "link.txt"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    with atomic_path(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o640


def test_the_longest_name_can_be_written(tmp_path):
    with atomic_path(tmp_path / ("a" * 255)) as temporary:
        temporary.write_text("done")
    assert [p.name for p in tmp_path.iterdir()] == ["a" * 255]


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("cut", [100, 1000, 20_000])
def test_a_damaged_posterior_is_silent_but_for_its_error(cut, tmp_path, capfd):
    path = sb.load("leaderboard").save(tmp_path / "a.nc")
    whole = bytearray(path.read_bytes())
    whole[cut : cut + 64] = b"\xff" * 64
    for content in (bytes(whole), bytes(whole[: len(whole) // 2])):
        path.write_bytes(content)
        try:
            sb.load(path)
        except sb.SlothBayesError as error:
            del error
    assert capfd.readouterr().err == ""


def test_a_damaged_figure_on_the_contact_sheet(tmp_path):
    name = next(iter(sb.figures.FIGURES))
    (tmp_path / f"{name}.png").write_bytes(b"no picture")
    with pytest.raises(FileFormatError, match=f"{name}.png cannot be read as a PNG"):
        sb.figures.contact_sheet(tmp_path)


# -- fits --------------------------------------------------------------------------------


def test_settings_that_are_large_but_can_be_meant():
    for options in (
        {"chains": 64, "draws": 10_000, "warmup": 10_000},
        {"method": "svi", "steps": 100_000, "moves": 200, "draws": 1000},
        {"seed": 2**63 - 1},
    ):
        assert Settings(**options).checked() == Settings(**options)
    with pytest.raises(SpecError, match="seed must be at most"):
        Settings(seed=2**63).checked()


def test_too_few_draws_have_no_tail():
    for n in (1, 5, 24, 100):
        log_weights, k_hat = pareto.smoothed(range(n))
        assert len(log_weights) == n
        assert np.isnan(k_hat) == (n < 25)
