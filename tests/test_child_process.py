"""What a process does that another has started."""

import os
import signal
import threading
import time

import pytest

from glomseg.child_process import without_interrupts


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals cannot be held back here")
def test_ctrl_c_is_held_back_and_heard_again():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    held = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    reached = []

    def begin():
        with without_interrupts():
            signal.raise_signal(signal.SIGINT)
            reached.append("the end of the block")

    try:
        with pytest.raises(KeyboardInterrupt):
            begin()
        assert reached
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == held
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals cannot be held back here")
def test_ctrl_c_that_another_thread_takes_is_held_back_too():
    """As threads of torch do: a worker that was half started ended with a traceback of its own."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    ended = threading.Event()
    threading.Thread(target=ended.wait, daemon=True).start()
    reached = []

    def begin():
        with without_interrupts():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            reached.append("the end of the block")

    try:
        with pytest.raises(KeyboardInterrupt):
            begin()
        assert reached
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        ended.set()
        signal.signal(signal.SIGINT, before)
