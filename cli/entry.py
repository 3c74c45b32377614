"""The first step of the command `glomseg`: load the command line, and say in one line that this was stopped."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is being loaded ends with exit code 130, as it does later."""
    _keep_standard_streams()
    try:
        from .main import main as run
    except KeyboardInterrupt:
        sys.stderr.write("glomseg: interrupted before it began; nothing was done\n")
        sys.exit(130)
    run()


def _keep_standard_streams() -> None:
    """Open the standard streams that a caller closed, as `>&-` and some schedulers do, on nothing.

    The next file that is opened would take the number of a closed one, and what libraries and QuPath print would be
    written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            os.set_inheritable(number, True)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
