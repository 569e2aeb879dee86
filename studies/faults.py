"""What is lost when something goes wrong.

    python -m studies.faults --out DIR [--moments 40] [--sizes 20] [--only PART ...]

*kills*: `sloth-bayes evaluate --out` is killed (kill -9) again and again, each time at a random
moment after it went on from where the last one was; it must end with the file of an undisturbed
run. *refit*: `sloth-bayes fit --out` over an earlier posterior is killed at random moments; the
earlier posterior, or the new one, must be there. *interrupts*: Ctrl-C at random moments of each
verb must end it with status 130 and one line, an earlier answer unharmed, nothing half-written
beside it. *disk*: no file may grow beyond a size, as on a full disk: one sentence, status 2, the
earlier answer unharmed. *writers*: of two evaluations with different seeds in one folder, one is
refused. *worker*: a worker is killed; a run with others goes on with what was done.
*bytes*: files of every kind, spoilt: an answer or an exception of ours, and nothing else on
standard error.

One row a fault goes to DIR/faults.csv, a table of the parts to standard output; status 1 if
anything was lost. Moments begin a quarter of a second after the start, when Python itself is
awake.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import gzip
import io
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd

import sloth_bayes as sb
from sloth_bayes import cli
from sloth_bayes.infer import recipes

AWAKE = 0.25  # seconds after which Python hears
WITHIN = 2.0  # seconds in which Ctrl-C must have ended a verb
LINEAGES = ("llama-2", "qwen", "yi", "bloom", "falcon", "mpt")
BENCHMARKS = ("MMLU", "HellaSwag", "ARC")
MODEL = ("--family", "qwen2", "--params", "100", "--tokens", "10")

Row = dict[str, Any]


class Bench:
    """A folder to break things in, and commands that are broken there.

    Parameters
    ----------
    out
        The folder.
    seed
        Of the moments.
    lineages
        Of the table, a fold each.
    """

    def __init__(self, out: Path, seed: int = 0, lineages: tuple[str, ...] = LINEAGES) -> None:
        self.out = out
        self.moments = random.Random(seed)
        out.mkdir(parents=True, exist_ok=True)
        # what is compiled is compiled once
        self.environment = os.environ | {
            "JAX_COMPILATION_CACHE_DIR": str(out / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        data = sb.load_dataset("open_llm_leaderboard")
        frame = data.frame[data.frame["lineage"].isin(lineages)]
        self.table = out / "table.csv"
        frame.drop(columns=[b for b in data.benchmark_names if b not in BENCHMARKS]).to_csv(
            self.table, index=False
        )

    def start(self, *arguments: Any, limit: int | None = None) -> subprocess.Popen[str]:
        """A command of the program, which may write files of `limit` bytes at most."""

        def prepare() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # as in a terminal, whoever starts this
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        command = [sys.executable, "-m", "sloth_bayes", *map(str, arguments)]
        return subprocess.Popen(
            command, env=self.environment, preexec_fn=prepare, text=True, cwd=self.out,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    def ended(self, *arguments: Any, limit: int | None = None) -> tuple[int, str, float]:
        """Status, standard error and seconds of a command that nobody disturbs."""
        begun = time.perf_counter()
        process = self.start(*arguments, limit=limit)
        said = process.communicate()[1]
        return process.returncode, said, time.perf_counter() - begun

    def disturbed(
        self, number: signal.Signals, longest: float, *arguments: Any
    ) -> tuple[int, str, float, float]:
        """Status, standard error, moment of the signal, seconds until the end after it."""
        moment = self.moments.uniform(AWAKE, max(longest, AWAKE + 0.1))
        process = self.start(*arguments)
        time.sleep(moment)
        begun = time.perf_counter()
        process.send_signal(number)
        said = process.communicate()[1]
        return process.returncode, said, moment, time.perf_counter() - begun

    def evaluation(self, folder: str, seed: int = 0) -> tuple[Any, ...]:
        """An evaluation of some seconds."""
        return (
            "evaluate", "owen", "--data", self.table, "--benchmarks", ",".join(BENCHMARKS),
            "--protocol", "lineage", "--steps", 200, "--draws", 50, "--seed", seed,
            "--out", self.out / folder,
        )  # fmt: skip

    def small_fit(self, path: Path, seed: int) -> tuple[Any, ...]:
        """A fit of some seconds."""
        return (
            "fit", "--data", self.table, "--benchmarks", ",".join(BENCHMARKS), "--method", "svi",
            "--steps", 120, "--draws", 50, "--seed", seed, "--out", path,
        )  # fmt: skip

    def litter(self) -> list[str]:
        """Temporary folders that were left behind."""
        return [str(p) for p in self.out.rglob(".*-*") if p.is_dir()]


def kills(bench: Bench, moments: int, **_: Any) -> Iterator[Row]:
    """An evaluation that is killed until it is done."""
    *_, longest = bench.ended(*bench.evaluation("whole"))
    if moments > 5:  # by now it is compiled
        *_, longest = bench.ended(*bench.evaluation("again"))
    whole = (bench.out / "whole" / "cells.csv").read_bytes()
    done = chain = 0
    while done < moments:
        chain += 1
        folder, path = f"chain-{chain}", bench.out / f"chain-{chain}" / "cells.csv"
        for _ in range(min(5, moments - done)):
            status, _, moment, _ = bench.disturbed(
                signal.SIGKILL, longest, *bench.evaluation(folder)
            )
            done += 1
            try:
                right, kept = True, sb.load_evaluation(path.parent) if path.exists() else None
            except sb.SlothBayesError as error:
                right, kept = False, error
            yield {
                "part": "kills", "verb": "evaluate", "moment": moment, "status": status,
                "right": right, "note": repr(kept),
            }  # fmt: skip
        status, said, _ = bench.ended(*bench.evaluation(folder))
        same = path.exists() and path.read_bytes() == whole
        yield {
            "part": "kills", "verb": "evaluate, resumed", "status": status,
            "right": same and "error" not in said, "note": "" if same else said,
        }  # fmt: skip


def refit(bench: Bench, moments: int, **_: Any) -> Iterator[Row]:
    """A fit over an earlier posterior, killed."""
    path, new = bench.out / "mine.nc", bench.out / "new.nc"
    bench.ended(*bench.small_fit(path, 0))
    _, _, longest = bench.ended(*bench.small_fit(new, 1))
    either = [sb.load(p).tree["posterior"].to_dataset() for p in (path, new)]
    for _ in range(moments):
        status, _, moment, _ = bench.disturbed(
            signal.SIGKILL, 1.05 * longest, *bench.small_fit(path, 1)
        )
        try:
            found = sb.load(path).tree["posterior"].to_dataset()
            right, note = any(found.equals(one) for one in either), ""
        except sb.SlothBayesError as error:
            right, note = False, str(error)
        yield {
            "part": "refit", "verb": "fit", "moment": moment, "status": status, "right": right,
            "note": note,
        }  # fmt: skip


def verbs(bench: Bench) -> dict[str, tuple[tuple[Any, ...], Path | None]]:
    """Commands, and the file that each writes."""
    out = bench.out
    return {
        "forecast": (("forecast", *MODEL, "--plot", out / "f.png"), out / "f.png"),
        "report": (("report", *MODEL, "--out", out / "r.html"), out / "r.html"),
        "skills": (("skills", "--json"), None),
        "plan size": (("plan", "size", "--of", "MMLU", "--target", 0.7, "--tokens", 15), None),
        "diagnose": (("diagnose",), None),
        "data show": (("data", "show", "open_models"), None),
        "fit": (bench.small_fit(out / "fit.nc", 0), out / "fit.nc"),
        "evaluate": (bench.evaluation("interrupted"), out / "interrupted" / "cells.csv"),
    }


def interrupts(bench: Bench, moments: int, only: tuple[str, ...] = (), **_: Any) -> Iterator[Row]:
    """Ctrl-C in every verb."""
    for verb, (command, path) in verbs(bench).items():
        if only and verb not in only:
            continue
        *_, longest = bench.ended(*command)
        if moments > 5:  # by now it is compiled
            *_, longest = bench.ended(*command)
        before = None if path is None else path.read_bytes()
        for _ in range(moments):
            if verb == "evaluate":  # which would find that all is done
                assert path is not None
                for file in path.parent.iterdir():
                    file.unlink()
            status, said, moment, after = bench.disturbed(signal.SIGINT, longest, *command)
            lines = said.splitlines()
            finished = status in (0, 1) and "interrupted" not in said
            told = status == 130 and lines[-1:] == ["sloth-bayes: interrupted"]
            told &= "Traceback" not in said and not any("error:" in line for line in lines)
            unharmed = path is None or verb == "evaluate" or path.read_bytes() == before
            right = (finished or (told and after < WITHIN)) and unharmed and not bench.litter()
            yield {
                "part": "interrupts", "verb": verb, "moment": moment, "status": status,
                "seconds": after, "right": right, "note": "" if right else said[-300:],
            }  # fmt: skip
        if verb == "evaluate":
            assert path is not None
            bench.ended(*command)
            same = path.read_bytes() == before
            yield {"part": "interrupts", "verb": "evaluate, resumed", "right": same}


def disk(bench: Bench, sizes: int, only: tuple[str, ...] = (), **_: Any) -> Iterator[Row]:
    """Files that may not grow."""
    for verb in only or ("forecast", "report", "fit", "evaluate"):
        command, path = verbs(bench)[verb]
        assert path is not None
        bench.ended(*command)
        before = path.read_bytes()
        for i in range(sizes):
            limit = int(len(before) * i / sizes)
            if verb == "evaluate":  # which would find that all is done
                half = sb.load_evaluation(path.parent)
                first = half.frame["fold"] == half.frame["fold"].iloc[0]
                means = half.means["fold"] == half.frame["fold"].iloc[0]
                sb.Evaluation(half.frame[first], half.means[means], half.about).save(path.parent)
            status, said, _ = bench.ended(*command, limit=limit)
            told = status == 2 and "Traceback" not in said and "error: cannot write" in said
            if verb == "evaluate":  # twice in vain, and then there is room
                bench.ended(*command, limit=limit)
                bench.ended(*command)
            # a figure's size may differ by its date
            unharmed = path.read_bytes() == before
            yield {
                "part": "disk", "verb": verb, "moment": limit, "status": status,
                "right": told and unharmed and not bench.litter(),
                "note": said[-300:].strip(),
            }  # fmt: skip


def writers(bench: Bench, **_: Any) -> Iterator[Row]:
    """Two evaluations with different seeds in one folder, at once."""
    alone = {}
    for seed in (1, 2):
        bench.ended(*bench.evaluation(f"alone-{seed}", seed))
        alone[seed] = (bench.out / f"alone-{seed}" / "cells.csv").read_bytes()
    both = {seed: bench.start(*bench.evaluation("shared", seed)) for seed in alone}
    said = {seed: process.communicate()[1] for seed, process in both.items()}
    refused = [s for s, process in both.items() if process.returncode == 2]
    right = len(refused) == 1 and "another run is writing" in said[refused[0]]
    (winner,) = set(both) - set(refused) if right else (0,)
    right = right and (bench.out / "shared" / "cells.csv").read_bytes() == alone[winner]
    note = " ".join(line for lines in said.values() for line in lines.splitlines())
    yield {"part": "writers", "verb": "evaluate", "right": right, "note": note}


def _dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def worker(bench: Bench, **_: Any) -> Iterator[Row]:
    """An executor whose only worker is killed, then one that works."""
    data = sb.Leaderboard.from_csv(bench.table, benchmarks=BENCHMARKS)
    spec, options = recipes.load("owen").spec, {"steps": 200, "draws": 50, "progress": False}
    whole = sb.cross_validate(spec, data, "lineage", out=bench.out / "workers-whole", **options)
    out = bench.out / "workers"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        submit, count = pool.submit, iter(range(10**6))

        def submitted(task: Callable[..., Any], *arguments: Any) -> Any:
            found = submit(task, *arguments)
            if next(count) == 3:
                submit(_dies)
            return found

        pool.submit = submitted  # type: ignore[method-assign]
        try:
            sb.cross_validate(spec, data, "lineage", out=out, executor=pool, **options)
            note = "the worker did not die"
        except sb.SlothBayesError as error:
            note = str(error)
    done = len(sb.load_evaluation(out).frame) if (out / "cells.csv").exists() else 0
    again = sb.cross_validate(spec, data, "lineage", out=out, **options)
    same = (out / "cells.csv").read_bytes() == (bench.out / "workers-whole/cells.csv").read_bytes()
    right = same and "lost its workers" in note and again.frame.equals(whole.frame)
    note = f"{done} of {len(whole.frame)} forecasts were kept; {note}"
    yield {"part": "worker", "verb": "cross_validate", "right": right, "note": note}


def _spoilt(content: bytes, dice: random.Random) -> bytes:
    """Bytes as something has gone wrong with them."""
    how, at = dice.randrange(6), dice.randrange(len(content))
    some = dice.randbytes(dice.choice([1, 1, 2, 8, 64]))
    if how == 0:
        return content[:at]
    if how == 1:
        return content[:at] + some + content[at + len(some) :]
    if how == 2:
        return content[:at] + some + content[at:]
    if how == 3:
        return content[:at] + content[at + dice.choice([1, 7, 100]) :]
    if how == 4:
        other = dice.randrange(len(content))
        return content[:at] + content[other : other + 50] + content[at:]
    words = [
        b"1e999",
        b"-1",
        b"NaN",
        b'"',
        b"{",
        b"]",
        b",",
        b"\n",
        b"\0",
        b"\xff\xfe",
        b"\xed\xa0\x80",
    ]
    return content[:at] + dice.choice(words) + content[at:]


@functools.cache
def readers(folder: Path) -> dict[str, tuple[str, bytes, Callable[[Path], Any]]]:
    """Of each kind of file: its ending, what a good one holds, and how it is read."""
    data = sb.load_dataset("open_llm_leaderboard").select(benchmarks=list(BENCHMARKS))
    table = data.to_csv(folder / "good.csv").read_bytes()
    posterior = sb.load("leaderboard").slim(20).save(folder / "good.nc").read_bytes()
    results = {
        "results": {"arc_challenge": {"acc_norm,none": 0.4}, "hellaswag": {"acc_norm,none": 0.7}},
        "n-shot": {"arc_challenge": 25, "hellaswag": 10},
        "config": {"model_args": "pretrained=lab/mine-1b"},
    }
    asked = b"family,params_b,tokens_t\nqwen2,100,10\n"
    board = b"Model,ARC,HellaSwag,MMLU\nlab/mine-7b,50.1,70.2,45.3\nlab/mine-13b,55.0,75.5,50.1\n"

    def of_table(path: Path) -> Any:
        return sb.Leaderboard.from_csv(path, benchmarks=BENCHMARKS)

    kept = sb.load_evaluation("leaderboard").save(folder / "evaluation")
    names = ("about.json", "cells.csv", ".cells.csv.seal")
    good = {name: (kept / name).read_bytes() for name in names}

    def evaluation(path: Path) -> None:
        """One of the three files is spoilt, with a seal and without."""
        dice = random.Random(path.name)
        name = dice.choice(names)
        for other in names:
            (kept / other).write_bytes(good[other])
        (kept / name).write_bytes(_spoilt(good[name], dice))
        if name != names[2] and dice.random() < 0.5:
            (kept / names[2]).unlink()
        sb.load_evaluation(kept).summary()

    def candidates(path: Path) -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            try:
                cli.app(["forecast", "--candidates", str(path), "--benchmarks", "MMLU", "--csv"])
            except SystemExit as end:
                if end.code not in (0, 2):
                    raise ValueError(f"status {end.code}") from None

    return {
        "posterior": (".nc", posterior, lambda path: sb.load(path).diagnostics()),
        "table": (".csv", table, of_table),
        "table, gzip": (".csv.gz", gzip.compress(table), of_table),
        "candidates": (".csv", asked, candidates),
        "results": (".json", json.dumps(results, indent=1).encode(), sb.read_observed),
        "export": (".csv", board, sb.read_observed),
        "evaluation": (".json", b"{}", evaluation),
        "specification": (".toml", sb.Sloth().to_toml().encode(), sb.Sloth.from_toml),
    }


def spoil(folder: Path, kind: str, first: int, number: int) -> list[Row]:
    """Read spoilt files of a kind: what was neither an answer nor an exception of ours."""
    noise: list[str] = []
    sys.unraisablehook = lambda what: noise.append(repr(what.exc_value))
    ending, content, read = readers(folder)[kind]
    rows = []
    gc.freeze()  # or each collection goes over all that a test run has imported
    for i in range(first, first + number):
        path = folder / f"spoilt-{i}{ending}"
        path.write_bytes(_spoilt(content, random.Random(f"{kind} {i}")))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read(path)
            note = ""
        except sb.SlothBayesError as error:
            note = "" if str(error).strip() else "an empty message"
        except Exception as error:
            note = f"{type(error).__name__}: {error}"
        gc.collect()
        note = note or "; ".join(noise)
        noise.clear()
        if note:
            path.rename(folder / f"kept-{kind}-{i}{ending}")
        else:
            path.unlink()
        rows.append({"part": "bytes", "verb": kind, "moment": i, "right": not note, "note": note})
    gc.unfreeze()
    return rows


def bytes_(bench: Bench, files: int = 2000, **_: Any) -> Iterator[Row]:
    """Files of whatever bytes, each kind in a process of its own, which must survive."""
    folder = bench.out / "bytes"
    folder.mkdir(exist_ok=True)
    kinds = list(readers(folder))
    for kind in kinds:
        code = (
            "import json, pathlib, sys; from studies import faults; "
            f"rows = faults.spoil(pathlib.Path({str(folder)!r}), {kind!r}, 0, "
            f"{files // len(kinds) + 1}); print(json.dumps(rows))"
        )
        process = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        if process.returncode:
            note = f"status {process.returncode}: {process.stderr[-300:]}"
            yield {"part": "bytes", "verb": kind, "right": False, "note": note}
            continue
        yield from json.loads(process.stdout.splitlines()[-1])
        if process.stderr:
            yield {"part": "bytes", "verb": kind, "right": False, "note": process.stderr[-300:]}


PARTS = {
    f.__name__.rstrip("_"): f for f in (kills, refit, interrupts, disk, writers, worker, bytes_)
}


def main() -> None:
    """Break things, and say what was lost."""
    parser = argparse.ArgumentParser(prog="python -m studies.faults", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="an empty folder")
    parser.add_argument("--moments", type=int, default=40, help="signals a part or verb (40)")
    parser.add_argument("--sizes", type=int, default=20, help="sizes of the full disk (20)")
    parser.add_argument("--files", type=int, default=2000, help="spoilt files (2000)")
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
    given = parser.parse_args()
    bench, rows = Bench(given.out.resolve()), []
    for part in given.only:
        for row in PARTS[part](bench, moments=given.moments, sizes=given.sizes, files=given.files):
            rows.append(row)
            if not row["right"]:
                print(row, file=sys.stderr, flush=True)
            pd.DataFrame(rows).to_csv(given.out / "faults.csv", index=False)
    found = pd.DataFrame(rows)
    grouped = found.groupby(["part", "verb"], sort=False)
    table = grouped["right"].agg(faults="size", right="sum")
    if "seconds" in found:
        table["slowest"] = grouped["seconds"].max().round(2)
    print(table.to_string(na_rep=""))
    sys.exit(0 if found["right"].all() else 1)


if __name__ == "__main__":
    main()
