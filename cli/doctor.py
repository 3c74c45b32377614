"""`glomseg doctor`: what is on this machine, what is missing, and whether a project's images can be reached."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import click

from . import options
from .commands import command
from .console import Console

_TRIED = ((0, 6), (0, 7))
"""The versions of QuPath that glomseg's windows were opened in."""


@command(short_help="Show what is on this machine, and if slides can be read.", interrupted="nothing was changed")
@click.argument("project", required=False, type=click.Path(path_type=Path))
@options.slides_option
def doctor(project: Path | None, slides: tuple[Path, ...]) -> int:
    """Show what glomseg finds on this machine and, given PROJECT, whether each of its images can be used.

    Exit code 1 where an image of the project cannot be used.
    """
    console = Console(quiet=False, as_json=False)
    console.table(("", "found"), [*_software(), *_qupath()])
    return _check_project(console, project, slides) if project else 0


def _software() -> list[tuple[str, str]]:
    import openslide
    import torch

    from glomseg import __version__
    from glomseg.slides.formats import FORMATS

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        gpus.append("Apple GPU (mps)")
    return [
        ("glomseg", __version__),
        ("Python", f"{sys.version.split()[0]} on {platform.system()} {platform.machine()}, {sys.executable}"),
        ("torch", f"{torch.__version__}, {torch.get_num_threads()} threads"),
        ("GPU", ", ".join(gpus) or "none: the CPU does the work"),
        ("OpenSlide", openslide.__library_version__),
        ("reads", ", ".join(kind.name for kind in FORMATS)),
    ]


def _qupath() -> list[tuple[str, str]]:
    from glomseg.errors import QuPathError
    from glomseg.qupath.process import find_qupath, version_numbers

    try:
        found = find_qupath()
    except QuPathError as error:
        return [("QuPath", str(error))]
    if found is None:
        remedy = (
            "none: results are GeoJSON only; install it from qupath.github.io, or set PAQUO_QUPATH_DIR to its folder"
        )
        return [("QuPath", remedy)]
    tried = version_numbers(found.version)[:2] in _TRIED
    remark = "" if tried else "; glomseg's windows were tried in 0.6 and 0.7, and in no other"
    return [("QuPath", f"{found.version} in {found.folder}{remark}"), ("Java", found.java_version or "unknown")]


def _check_project(console: Console, project: Path, slides: tuple[Path, ...]) -> int:
    from glomseg.errors import SlideError
    from glomseg.qupath.project import read_project
    from glomseg.slides.slide import check_size, open_slide

    rows, failed = [], 0
    for image in read_project(project, slides=slides).images:
        problem, size, mpp = image.problem, "", ""
        if image.path is not None:
            known = image.mpp
            try:
                with open_slide(image.path, mpp=known) as slide:
                    size = f"{slide.width} x {slide.height}"
                    mpp = "" if slide.mpp_x is None else " x ".join(f"{value:g}" for value in slide.pixel_size)
                    check_size(slide, (image.width, image.height) if image.width and image.height else None)
                    problem = problem or (
                        None if mpp else f"{slide.stated.remark or 'no pixel size'}: give --mpp, or set it in QuPath"
                    )
            except SlideError as error:
                problem = problem or str(error)
        failed += problem is not None
        rows.append((image.entry_id, image.name, size, mpp, problem or "ready", str(image.path or "not found")))
    console.table(("id", "image", "px", "um/px", "state", "file"), rows)
    return int(failed > 0)
