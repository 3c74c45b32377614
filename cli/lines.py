"""Progress as lines "@ {json}" on standard error, for a program that runs us and draws it itself."""

from __future__ import annotations

import json
import os

import click

LINES = "GLOMSEG_PROGRESS"
"""Set to "lines" by such a program."""


def wants_lines() -> bool:
    """Tell whether progress is to come as lines."""
    return os.environ.get(LINES) == "lines"


def tell_line(**what: str | int) -> None:
    """Write one line of progress."""
    click.echo("@ " + json.dumps(what), err=True)
