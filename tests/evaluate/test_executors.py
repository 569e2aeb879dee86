"""Cross-validation by other executors: the same numbers, whoever computes and whatever dies."""

from __future__ import annotations

import collections
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import jax
import numpy as np
import pandas as pd
import pytest

import sloth_bayes as sb
from sloth_bayes.evaluate import cross_validate, protocols
from sloth_bayes.infer.compiled import places

QUICK = {"steps": 600, "draws": 200, "progress": False}  # as in test_evaluation: compiled once


@pytest.fixture(scope="module")
def folds(tiny_table):
    """Three fits."""
    lineages = {"alder": "alder", "birch": "birch", "cedar": "cedar", "cedar-chat": "cedar"}
    return protocols.leave_group_out(tiny_table, lineages, n_observed=2)


@pytest.fixture(scope="module")
def serial(tiny_spec, tiny_table, folds) -> sb.Evaluation:
    with ThreadPoolExecutor(1) as pool:
        return sb.cross_validate(tiny_spec, tiny_table, folds, executor=pool, **QUICK)


def same(a: sb.Evaluation, b: sb.Evaluation) -> None:
    pd.testing.assert_frame_equal(a.frame, b.frame)
    pd.testing.assert_frame_equal(a.means, b.means)


@pytest.fixture(scope="module")
def cluster():
    """A dask cluster of two worker processes on this machine.

    Dask gives linear algebra one thread in a worker, which sums in another order: 6e-8 of a
    score. Here it has as many as in this process, so that numbers can be compared strictly.
    """
    distributed = pytest.importorskip("distributed")
    dask = pytest.importorskip("dask")
    with (
        dask.config.set({"distributed.nanny.pre-spawn-environ": {}}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.mark.slow
def test_dask_gives_the_same_numbers_and_shows_progress(
    serial, tiny_spec, tiny_table, folds, cluster, capsys
):
    found = sb.cross_validate(
        tiny_spec, tiny_table, folds, executor=cluster.get_executor(), **QUICK | {"progress": True}
    )
    same(found, serial)
    shown = capsys.readouterr().err
    assert "0/3" in shown
    assert "1/3" in shown  # when the first result came, not at the end


@pytest.mark.slow
def test_a_killed_dask_worker_is_survived(serial, tiny_spec, tiny_table, folds, cluster):
    """A process killed while it fits: another does its work again, to the same numbers."""
    pids = cluster.run(os.getpid)
    killed = []

    def kill_the_first_that_works() -> None:
        deadline = time.monotonic() + 60
        while not killed and time.monotonic() < deadline:
            for address, keys in cluster.processing().items():
                if keys:
                    os.kill(pids[address], signal.SIGKILL)
                    killed.append(address)
                    return
            time.sleep(0.02)

    killer = threading.Thread(target=kill_the_first_that_works)
    killer.start()
    # another seed, so that the cluster cannot know the results
    try:
        found = sb.cross_validate(
            tiny_spec, tiny_table, folds, executor=cluster.get_executor(), seed=7, **QUICK
        )
    finally:
        killer.join()
    assert len(killed) == 1
    assert killed[0] not in cluster.run(os.getpid)
    same(found, sb.cross_validate(tiny_spec, tiny_table, folds, seed=7, **QUICK))


@pytest.mark.slow
def test_processes_give_the_same_numbers_and_a_dead_one_says_what_to_do(
    serial, tiny_spec, tiny_table, folds, tmp_path, monkeypatch
):
    """Killed after the first fit: that one is kept, and the next run computes the others."""
    write, out = cross_validate.write, tmp_path / "kept"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:

        def write_and_kill(evaluation, folder):
            write(evaluation, folder)
            for pid in list(pool._processes):
                os.kill(pid, signal.SIGKILL)

        monkeypatch.setattr(cross_validate, "write", write_and_kill)
        with pytest.raises(sb.WorkerError) as error:
            sb.cross_validate(tiny_spec, tiny_table, folds, executor=pool, out=out, **QUICK)
        monkeypatch.setattr(cross_validate, "write", write)
        for words in ("ProcessPoolExecutor", "1 of 3 fits", str(out), "run the same again"):
            assert words in str(error.value)
        with pytest.raises(sb.WorkerError, match="give a folder as out"):
            sb.cross_validate(tiny_spec, tiny_table, folds, executor=pool, **QUICK)
    first = sb.load_evaluation(out).frame
    assert first["fold"].nunique() == 1
    again = sb.cross_validate(tiny_spec, tiny_table, folds, out=out, **QUICK)
    pd.testing.assert_frame_equal(again.frame, serial.frame, rtol=1e-4)  # six digits in the file


def test_an_executor_that_cannot_work_is_refused(tiny_spec, tiny_table, folds):
    if "fork" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("fork")
        with (
            ProcessPoolExecutor(1, mp_context=context) as pool,
            pytest.raises(sb.WorkerError, match="spawn"),
        ):
            sb.cross_validate(tiny_spec, tiny_table, folds, executor=pool, **QUICK)
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(sb.WorkerError, match="0 of 3 fits"):
        sb.cross_validate(tiny_spec, tiny_table, folds, executor=pool, **QUICK)


def test_an_error_of_the_work_itself_comes_through(tiny_spec, tiny_table, folds, monkeypatch):
    def fails(task):
        raise sb.DataError("the table is odd")

    monkeypatch.setattr(cross_validate, "forecast_task", fails)
    with ThreadPoolExecutor(1) as pool, pytest.raises(sb.DataError, match="odd"):
        sb.cross_validate(tiny_spec, tiny_table, folds, executor=pool, **QUICK)


@pytest.fixture
def ctrl_c():
    """A background job of a shell ignores SIGINT, and hands that on to what it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_is_heard_while_workers_work(tiny_spec, tiny_table, folds, ctrl_c):
    futures: list[Future] = []

    class Busy(Executor):
        def submit(self, *args, **kwargs):
            futures.append(Future())
            if len(futures) == 3:
                threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
            return futures[-1]

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        sb.cross_validate(tiny_spec, tiny_table, folds, executor=Busy(), **QUICK)
    assert time.monotonic() - begun < 30  # nobody would ever have finished
    assert len(futures) == 3
    assert all(f.cancelled() for f in futures)


def test_a_task_is_small(monkeypatch):
    """What travels to a worker for the full table: below 100 kB, in milliseconds."""
    tasks: list[cross_validate.Task] = []

    class Stop(Exception):
        pass

    def look(given, executor, out):
        tasks.extend(given)
        raise Stop

    monkeypatch.setattr(cross_validate, "_run", look)
    coordinates = {"anchor": np.eye(12, dtype="f4"), "information": np.ones(12, "f4")}
    monkeypatch.setattr(cross_validate, "common_coordinates", lambda *a: coordinates)
    with pytest.raises(Stop):
        sb.cross_validate(sb.Sloth(), sb.load_dataset("open_llm_leaderboard", corrected=False))
    assert len(tasks) == 50
    assert max(len(pickle.dumps(task)) for task in tasks) < 100_000


_FIT = """
import sys
import jax
import sloth_bayes as sb
from sloth_bayes.infer import compiled, fit, nuts
used = set()  # devices on which chains have run
if sys.argv[1] == "spread":  # as if the devices were accelerators
    fit.places = nuts.places = jax.local_devices
    ready = compiled.Functions.ready
    def watched(p, name, *args, place=None):
        found = ready(p, name, *args, place=place)
        def run(*args):
            out = found(*args)
            used.update(x.device for x in jax.tree.leaves(out))
            return out
        return run if name == "nuts_chunk" else found
    compiled.Functions.ready = watched
data = sb.load_dataset("open_llm_leaderboard").select(benchmarks=["MMLU", "HellaSwag"])
for method, more in {"svi": {}, "nuts": {"warmup": 20, "max_tree_depth": 3}}.items():
    post = sb.Sloth(n_skills=1).fit(
        data, method=method, steps=40, starts=2, chains=2, draws=10, progress=False, **more
    )
    print(jax.device_count(), *post.expected_scores().values[:, -1, :50].ravel())
assert used == (set(jax.local_devices()) if sys.argv[1] == "spread" else set())
"""


@pytest.mark.slow  # compiles programs in processes of their own
def test_several_devices_change_no_fit():
    """Chains in threads on one device, or each on a device of its own: the same numbers."""
    seen = []
    for count, how in ((1, "together"), (2, "together"), (2, "spread")):
        flags = f"--xla_force_host_platform_device_count={count}"
        environment = {**os.environ, "XLA_FLAGS": flags}
        done = subprocess.run(
            [sys.executable, "-c", _FIT, how], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        svi, nuts = (np.array(line.split(), float) for line in done.stdout.splitlines())
        assert (svi[0], nuts[0]) == (count, count)
        assert (svi.size, nuts.size) == (1 + 50, 1 + 2 * 50)
        seen.append(np.concatenate([svi[1:], nuts[1:]]))
    for other in seen[1:]:
        np.testing.assert_array_equal(seen[0], other)


@pytest.mark.slow
def test_chains_take_turns_on_accelerators_and_share_a_processor(monkeypatch):
    device = collections.namedtuple("device", ["platform", "id"])
    gpus, cores = ([device(kind, i) for i in range(2)] for kind in ("gpu", "cpu"))
    for found, wanted in ((gpus, gpus), (gpus[:1], [None]), (cores, [None])):
        monkeypatch.setattr(jax, "local_devices", lambda found=found: found)
        assert places() == wanted
    monkeypatch.setattr(jax, "local_devices", lambda: gpus)
    with jax.default_device(jax.devices("cpu")[0]):
        assert places() == [None]
