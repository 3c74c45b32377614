"""The command `glomseg`: the list of its commands, and the one place where an error becomes a message."""

from __future__ import annotations

import sys

import click

from glomseg import __version__
from glomseg.errors import GlomsegError

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


def main() -> None:
    """Run the command line: exit code 0 for success, 1 where something failed, 2 for a wrong call, 130 for Ctrl-C."""
    try:
        code = cli.main(standalone_mode=False)
    except GlomsegError as error:  # speaks of flags already, see `Command`
        click.echo(f"glomseg: {error}", err=True)
        code = 1
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (Interrupted, KeyboardInterrupt, click.Abort) as error:
        click.echo("glomseg: interrupted" + (f"; {error}" if str(error) else ""), err=True)
        code = 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; nothing is left to say
        code = 1
    except OSError as error:
        click.echo(f"glomseg: {error.filename or 'output'}: {error.strerror or error}; check the path", err=True)
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
