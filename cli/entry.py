"""The first step of the command `glomseg`: load the command line, and say in one line that this was stopped."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is being loaded ends with exit code 130, as it does later."""
    try:
        from .main import main as run
    except KeyboardInterrupt:
        sys.stderr.write("glomseg: interrupted before it began; nothing was done\n")
        sys.exit(130)
    run()
