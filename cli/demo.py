"""`glomseg demo`: the main job on a small real sample."""

from __future__ import annotations

import json
import shutil
from importlib import resources
from pathlib import Path

import click

from . import options
from .commands import command
from .console import Console

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
@options.output
def demo(output: Path, device: str, quiet: bool, as_json: bool) -> int:
    """Copy a sample project of real PAS tissue to a folder and annotate it.

    The sample stays as you left it when the demo runs again.
    """
    from glomseg.errors import RunError
    from glomseg.pictures.overlay import OverlayStyle
    from glomseg.runs.annotate import AnnotateOptions, annotate_project

    project = output / "project.qpproj"
    if not project.exists():
        copy_sample(output)
    elif not (output / IMAGE).exists():
        raise RunError(f"{output} holds another project; choose another `output` for the sample")
    console = Console(quiet=quiet, as_json=as_json)
    asked = AnnotateOptions(device=device, overlay=OverlayStyle(), command=options.command_line())
    with console.listening() as listener:
        result = annotate_project(project, asked, listener=listener)
    code = console.run_result(result)
    pictures = sorted((result.run.folder / "overlay").glob("*.png"))
    look = _short(pictures[0]) if pictures else _short(result.run.folder)
    if not (as_json or quiet):
        click.echo(f"\nLook at {look}, then open {project} in QuPath.")
    return code


def copy_sample(folder: Path) -> None:
    """Copy the sample project to `folder` and make its image's address that of the copy; raises RunError."""
    from glomseg.errors import RunError
    from glomseg.files import write_text

    if any(folder.glob("*.qpproj")) or any((folder / name).exists() for name in ("classifiers", "data", IMAGE)):
        raise RunError(f"{folder} holds another project; choose another `output` for the sample")
    try:
        with resources.as_file(resources.files("glomseg") / "sample") as sample:
            shutil.copytree(sample, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    except OSError as error:
        raise RunError(
            f"cannot copy the sample to {folder}: {error.strerror or error}; choose another `output`"
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
