"""Tasks side by side in threads, which XLA lets go of while it computes, and progress bars."""

from __future__ import annotations

import functools
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

from . import interrupt


def workers() -> int:
    """Processor cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


@contextmanager
def progress_bar(total: int, label: str, progress: bool | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error; by default only where a person can see it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a notebook without widgets gets a bar of text
        from tqdm.auto import tqdm  # not needed to read a posterior

    disable = None if progress is None else not progress
    lock = threading.Lock()
    with tqdm(total=total, desc=label, disable=disable, leave=False, mininterval=0.2) as bar:

        def advance(amount: int) -> None:
            with lock:
                bar.update(amount)

        yield advance


def side_by_side(
    tasks: Sequence[Callable[[], Any]], stop: threading.Event | None = None
) -> Iterator[tuple[int, Any]]:
    """Run tasks in threads, as many as there are cores: results as they come, numbered.

    `stop` is set on Ctrl-C or an error, for tasks that look at it; tasks that have not
    begun are dropped.
    """
    stop = stop or threading.Event()
    with ThreadPoolExecutor(min(len(tasks), workers())) as pool:
        futures = {pool.submit(task): i for i, task in enumerate(tasks)}
        try:
            left = set(futures)
            while left:
                done, left = wait(left, timeout=0.2, return_when=FIRST_COMPLETED)
                interrupt.check()
                for future in done:
                    yield futures[future], future.result()
        finally:
            stop.set()
            for future in futures:
                future.cancel()


def gather(tasks: Sequence[Callable[[threading.Event], Any]]) -> list[Any]:
    """Results, in order, of tasks that look at an event; Ctrl-C stops them at the next look."""
    stop = threading.Event()
    results = dict(side_by_side([functools.partial(task, stop) for task in tasks], stop))
    return [results[i] for i in range(len(tasks))]
