"""Ctrl-C that is heard at safe points.

Python raises ``KeyboardInterrupt`` wherever the main thread happens to be: inside a callback
of the compiler it is swallowed, or leaves the compiler broken. Long work holds the signal
back and asks between its steps.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_pending = False


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
