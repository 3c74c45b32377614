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


def one_line(name: str) -> str:
    """Write what no line can show of a file's name, such as a line break, as Python does."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in name)
