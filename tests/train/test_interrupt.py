"""The first Ctrl-C is a flag, the second one interrupts."""

from __future__ import annotations

import signal
import threading

import pytest

from mmm_graph.train.interrupt import interruptible


def test_first_is_noted_second_interrupts_and_the_handler_returns() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interruptible() as pressed:
        assert not pressed()
        signal.raise_signal(signal.SIGINT)
        assert pressed()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


def test_other_threads_are_left_alone() -> None:
    found: list[bool] = []

    def work() -> None:
        with interruptible() as pressed:
            found.append(pressed())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]
