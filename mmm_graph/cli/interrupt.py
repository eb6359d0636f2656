"""Ctrl-C while a graph runs: the first asks it to stop at the next node, the second stops Python at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NOTICE = b"\nstopping after this node; Ctrl-C again stops at once\n"


@contextmanager
def cancel_on_interrupt() -> Iterator[threading.Event]:
    """Inside, the first Ctrl-C sets the event; the second raises KeyboardInterrupt."""
    cancel = threading.Event()
    before = signal.getsignal(signal.SIGINT) or signal.default_int_handler

    def interrupted(number: int, frame: FrameType | None) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()
        if sys.stderr.isatty():
            os.write(2, NOTICE)  # a handler may not enter the buffered stream

    signal.signal(signal.SIGINT, interrupted)
    try:
        yield cancel
    finally:
        signal.signal(signal.SIGINT, before)
