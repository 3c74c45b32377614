"""What a process does that another has started."""

import signal

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
