"""`glomseg demo`: the main job on a small real sample."""

from __future__ import annotations

import json
import shutil
from importlib import resources
from pathlib import Path

import click

from . import options
from .annotate import annotate
from .commands import command

IMAGE = "kidney_biopsy.tif"


@command(short_help="Annotate a small real sample.", interrupted="the same command goes on where it stopped")
@click.option(
    "--output",
    "-o",
    default="glomseg-demo",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where to put it.",
)
@click.option("--device", default="auto", show_default=True, metavar="NAME", help=options.DEVICE_HELP)
@click.pass_context
def demo(context: click.Context, output: Path, device: str) -> int:
    """Copy a sample project of real PAS tissue to a folder and annotate it.

    The sample stays as you left it when the demo runs again.
    """
    from glomseg.errors import RunError
    from glomseg.runs.run import find_run

    project = output / "project.qpproj"
    if not project.exists():
        copy_sample(output)
    elif not (output / IMAGE).exists():
        raise RunError(f"{output} holds another project; choose another --output for the sample")
    code = int(context.invoke(annotate, project=project, device=device, overlay=True))
    run = find_run(project.parent.absolute() / "glomseg", None)
    pictures = sorted((run.folder / "overlay").glob("*.png"))
    click.echo(f"\nLook at {_short(pictures[0]) if pictures else _short(run.folder)}, then open {project} in QuPath.")
    return code


def copy_sample(folder: Path) -> None:
    """Copy the sample project to `folder` and make its image's address that of the copy; raises RunError."""
    from glomseg.errors import RunError
    from glomseg.files import write_text

    try:
        with resources.as_file(resources.files("glomseg") / "sample") as sample:
            shutil.copytree(sample, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    except OSError as error:
        raise RunError(
            f"cannot copy the sample to {folder}: {error.strerror or error}; choose another --output"
        ) from error
    project = folder / "project.qpproj"
    content = json.loads(project.read_text(encoding="utf-8"))
    content["uri"] = project.absolute().as_uri()
    for image in content["images"]:
        builder = image["serverBuilder"]
        builder["uri"] = (folder.absolute() / Path(builder["uri"]).name).as_uri()
    write_text(project, json.dumps(content, indent=2, ensure_ascii=False))


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
