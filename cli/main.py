"""The command `glomseg`: the list of its commands, and the one place where an error becomes a message."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click

from glomseg import __version__
from glomseg.errors import GlomsegError
from glomseg.unexpected import describe, is_disk_full, is_out_of_memory

from .annotate import annotate
from .collect import collect
from .commands import Commands, Interrupted
from .compare import compare
from .demo import demo
from .doctor import doctor
from .evaluate import evaluate
from .export_tiles import export_tiles
from .gallery import gallery
from .measure import measure
from .models import models
from .qupath import qupath
from .report import report
from .restore import restore
from .rethreshold import rethreshold
from .segment import segment
from .status import status
from .train import train
from .undo import undo


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="glomseg")
def cli() -> None:
    """Find glomeruli on whole-slide images and hand them to QuPath as polygons to review.

    The main job: glomseg annotate project.qpproj
    """


cli.add_section("Start", (demo, doctor))
cli.add_section("Project", (annotate, segment, collect, rethreshold, undo, restore, status, qupath))
cli.add_section("Measure", (measure, report, gallery, evaluate, compare))
cli.add_section("Models and training", (export_tiles, train, models))


class Ended(KeyboardInterrupt):
    """A request to end the process, as a queue makes it or a terminal that closes: it does what Ctrl-C does."""

    number: int = signal.SIGINT


def main() -> None:
    """Run the command line: exit code 0 for success, 1 where something failed, 2 for a wrong call, 130 for Ctrl-C."""
    try:
        with _ended_as_by_hand():
            code = cli.main(standalone_mode=False)
    except GlomsegError as error:  # speaks of flags already, see `Command`
        click.echo(f"glomseg: {error}", err=True)
        code = 1
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (Interrupted, KeyboardInterrupt, click.Abort) as error:
        with suppress(OSError):  # a terminal that has closed hears nothing
            click.echo("glomseg: interrupted" + (f"; {error}" if str(error) else ""), err=True)
        code = 128 + _signal_of(error)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; nothing is left to say
        code = 1
    except (OSError, MemoryError, RuntimeError, ImportError) as error:
        if is_out_of_memory(error) or is_disk_full(error) or isinstance(error, PermissionError):
            click.echo(f"glomseg: {describe(error)}", err=True)
        elif isinstance(error, OSError):
            click.echo(f"glomseg: {error.filename or 'output'}: {error.strerror or error}; check the path", err=True)
        else:
            raise
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _signal_of(error: BaseException | None) -> int:
    while error is not None:
        if isinstance(error, Ended):
            return error.number
        error = error.__cause__
    return signal.SIGINT


@contextmanager
def _ended_as_by_hand() -> Iterator[None]:
    """Take a request to end for Ctrl-C, where nobody has said otherwise, as nohup does."""
    process = os.getpid()

    def end(number: int, frame: object) -> None:
        if os.getpid() != process:  # a child that was forked ends as it would
            os._exit(128 + number)
        ended = Ended()
        ended.number = number
        raise ended

    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    main()
