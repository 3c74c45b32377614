"""`glomseg doctor`: what is on this machine, what is missing, and whether a project's images can be reached."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import click

from glomseg.models.card import DEFAULT_MODEL

from . import options
from .commands import command
from .console import Console

_TRIED = ((0, 6), (0, 7))
"""The versions of QuPath that glomseg's windows were opened in."""


@command(
    short_help="Show what is on this machine, and if slides can be read.",
    interrupted="nothing was changed",
    only_with={"project": ("slides",), "benchmark": ("model",)},
)
@click.argument("project", required=False, type=click.Path(path_type=Path))
@options.slides_option
@click.option(
    "--benchmark",
    is_flag=True,
    help="Measure what computes a model fastest on this processor (torch, OpenVINO, ONNX Runtime), and remember it.",
)
@click.option("--model", "-m", help=f"With --benchmark: the model's name or folder [{DEFAULT_MODEL}].")
def doctor(project: Path | None, slides: tuple[Path, ...], benchmark: bool, model: str | None) -> int:
    """Show what glomseg finds on this machine and, given PROJECT, whether each of its images can be used.

    With --benchmark it takes about a minute, and nothing else should run meanwhile. What is remembered holds for models
    of this architecture on processors of this name. Exit code 1 where an image of the project cannot be used.
    """
    console = Console(quiet=False, as_json=False)
    console.table(("", "found"), [*_software(), *_qupath()])
    if benchmark:
        _measure(console, model or DEFAULT_MODEL)
    return _check_project(console, project, slides) if project else 0


def _measure(console: Console, model: str) -> None:
    """Measure, show and remember what computes a model fastest."""
    from glomseg.models.fastest import PLAIN, measure_machine
    from glomseg.models.machine import remember

    with console.spinner(f"measuring {model}") as tell:
        measured = measure_machine(model, progress=tell)
    rows = [
        (
            str(one.way),
            "" if one.ratio is None else f"{one.ratio:.2f}",
            "" if one.difference is None else f"{one.difference:.1g}",
            "" if one.opening_seconds is None else f"{one.opening_seconds:.1f}",
            one.problem or ("fastest" if one.way == measured.fastest else ""),
        )
        for one in measured.ways
    ]
    console.table((measured.model, f"time / {PLAIN}", "greatest difference", "seconds to begin", ""), rows)
    usual = measured.fastest == measured.usual
    click.echo(
        f"{measured.fastest} computes {measured.architecture} on {measured.processor} with {measured.threads} threads "
        + ("fastest, or as fast" if usual else f"{measured.times_faster:.2f} times as fast as {measured.usual}")
        + f" (a tile of {measured.tile_px} px, median of {measured.rounds})"
    )
    path, lost = remember(measured.architecture, measured.to_remember())
    click.echo(f"remembered in {path}, for commands without --backend" + (f"; {lost}: begun anew" if lost else ""))


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
        ("CPU", _computing()),
        ("OpenSlide", openslide.__library_version__),
        ("reads", ", ".join(kind.name for kind in FORMATS)),
    ]


def _computing() -> str:
    """Say what computes on this processor, and whether that was measured."""
    import torch

    from glomseg.errors import ModelError
    from glomseg.models.device import dtype_for
    from glomseg.models.machine import MEASURE, processor_name, read_notes

    usual = f"torch {str(dtype_for(torch.device('cpu'))).removeprefix('torch.')}"
    try:
        measured = read_notes().processors.get(processor_name(), {})
    except ModelError as error:
        return f"{processor_name()}: {usual} computes; {error}"
    ways = [f"{fastest.way} computes {architecture}" for architecture, fastest in measured.items()]
    said = (
        ", ".join([*ways, f"{usual} all others"]) if ways else f"{usual} computes; {MEASURE} looks for what is faster"
    )
    return f"{processor_name()}: {said}"


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
