"""Ctrl-C that is heard.

Python raises ``KeyboardInterrupt`` wherever the main thread happens to be: inside a callback
of the compiler it is swallowed, or leaves the compiler broken; and nowhere before the compiler
returns. As a library, long work holds the signal back and asks between its steps
(:func:`held`, :func:`check`). A program has nothing to go on with, and ends at once
(:func:`end_the_process`): files are written whole or not at all, and what resumes keeps what it
has.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_pending = False
INTERRUPTED = 130  # exit status: 128 and the number of the signal


def end_the_process(words: str, clean: Callable[[], None]) -> None:
    """Let Ctrl-C end this process from now on: one line on standard error, status 130.

    So does SIGTERM, with status 143. The system tells a thread, which works while the main thread
    is in the compiler. Does nothing where the signal is ignored (a background job of a shell) or
    someone else handles it.

    Parameters
    ----------
    words
        What to say.
    clean
        Removes what would be left behind; the main thread stands still then, if it runs Python.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    heard = [signal.SIGINT]
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        heard.append(signal.SIGTERM)
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)

    def wait() -> None:
        number = 0
        while number not in heard:  # other signals are told of, too
            number = ours.recv(1)[0]
        with contextlib.suppress(Exception):
            clean()
        with contextlib.suppress(OSError, ValueError):  # nobody may read what standard error holds
            if select.select([], [2], [], 0.2)[1]:
                os.write(2, f"{words}\n".encode())
        os._exit(128 + number)

    threading.Thread(target=wait, daemon=True).start()
    signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)  # before there is a handler
    _open.append(theirs)
    for each in heard:
        signal.signal(each, lambda number, frame: threading.Event().wait())


_open: list[socket.socket] = []  # or it would be closed


def leave_alone() -> None:
    """Ignore Ctrl-C from now on, all being done: Python gives up its handlers as it ends."""
    if _open:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def check() -> None:
    """Raise ``KeyboardInterrupt`` if Ctrl-C was pressed since :func:`held` began."""
    if _pending:
        raise KeyboardInterrupt


@contextmanager
def held() -> Iterator[None]:
    """Hold Ctrl-C back until the next :func:`check`, or the end; a second one goes through.

    Does nothing outside the main thread, or where someone else handles the signal (an
    outer call of this function, a notebook's kernel of another make).
    """
    global _pending
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:
        global _pending
        if _pending:
            signal.default_int_handler(number, frame)
        _pending = True

    _pending = False
    signal.signal(signal.SIGINT, note)
    try:
        yield
        check()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _pending = False
