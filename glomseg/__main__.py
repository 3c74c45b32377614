"""`python -m glomseg`: the command line."""

from __future__ import annotations

from glomseg_cli.entry import main

if __name__ == "__main__":
    main()
