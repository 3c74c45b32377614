"""The options that say what to measure, and how the commands that measure talk about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .console import Console

if TYPE_CHECKING:
    from glomseg.study.measure_project import MeasureOptions, StudyResult
    from glomseg.study.write_back import Amended

Function = Callable[..., int]
OF_PAS = ("pas_threshold", "stain_vectors")
"""What changes nothing where no stain is measured."""

_OPTIONS = (
    options.slides_option,
    options.samples_option,
    click.option(
        "--class", "class_name", default="Glomerulus", show_default=True, metavar="CLASS",
        help="The class to measure, with the classes derived from it.",
    ),
    click.option(
        "--sclerotic", multiple=True, default=("Glomerulus: Sclerotic",), show_default=True, metavar="CLASS",
        help="Class of globally sclerosed glomeruli. May be repeated.",
    ),
    click.option(
        "--sclerotic-in-means", is_flag=True,
        help="Let globally sclerosed profiles enter the means of size, form and stain.",
    ),
    click.option(
        "--cortex", default="Cortex", show_default=True, metavar="CLASS",
        help="Class of the region that densities refer to; without one, all tissue.",
    ),
    click.option("--mpp", type=options.PixelSize(), help="Size of a pixel where neither QuPath nor the file knows it."),
    click.option("--reference", metavar="GROUP", help="The group to compare with [control, or the first]."),
    click.option(
        "--primary", metavar="QUANTITY",
        help="The primary outcome, shown first: a column of animals.csv such as mean_area_um2.",
    ),
    click.option(
        "--beta", type=click.FloatRange(0, 10, min_open=True), default=1.38, show_default=True,
        help="Weibel-Gomez shape coefficient.",
    ),
    click.option(
        "--k", type=click.FloatRange(0, 10, min_open=True), default=1.01, show_default=True,
        help="Weibel-Gomez size coefficient.",
    ),
    click.option("--pas", is_flag=True, help="Measure the PAS-positive fraction by colour deconvolution."),
    click.option(
        "--pas-threshold", type=click.FloatRange(0, 3, True), default=0.3, show_default=True,
        help="With --pas: optical density of PAS from which a pixel is positive.",
    ),
    click.option(
        "--stain-vectors", default="estimate", show_default=True, metavar="HOW",
        help="With --pas: estimate (once a study), per-slide, standard, or 'r,g,b;r,g,b' of haematoxylin and PAS.",
    ),
)  # fmt: skip


def measuring(command: Function) -> Function:
    """Add the options that say what to measure; the command gets them as one `measuring`, MeasureOptions."""

    @wraps(command)
    def with_options(
        *,
        slides: tuple[Path, ...],
        samples: Path | None,
        class_name: str,
        sclerotic: tuple[str, ...],
        sclerotic_in_means: bool,
        cortex: str,
        mpp: tuple[float, float] | None,
        reference: str | None,
        primary: str | None,
        beta: float,
        k: float,
        pas: bool,
        pas_threshold: float,
        stain_vectors: str,
        **others: Any,
    ) -> int:
        from glomseg.study.measure_project import MeasureOptions
        from glomseg.study.pas import PasSettings, parse_stains
        from glomseg.study.records import MeasureSettings

        stains = parse_stains(stain_vectors)
        stain = PasSettings(threshold=pas_threshold, stains=stains, per_slide=stain_vectors == "per-slide")
        settings = MeasureSettings(
            class_name=class_name,
            sclerotic=sclerotic,
            sclerotic_in_means=sclerotic_in_means,
            cortex=cortex,
            mpp=mpp,
            beta=beta,
            k=k,
            pas=stain if pas else None,
        )
        given = MeasureOptions(slides=slides, samples=samples, reference=reference, primary=primary, settings=settings)
        return command(measuring=given, **others)

    function: Function = with_options
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def show_amended(console: Console, images: Iterable[Amended]) -> None:
    """Say what came of writing into each image."""
    for image in images:
        (console.warn if image.problem else console.say)(f"{image.name}: {image}")


def measure_aloud(console: Console, project: Path, given: MeasureOptions) -> StudyResult:
    """Measure a project or a run folder, show what goes on, and make the remarks that are due."""
    from glomseg.study.measure_project import measure_project

    with console.spinner("reading the annotations") as update:
        result = measure_project(project, given, progress=update)
    for remark in result.study.remarks:
        console.warn(remark)
    for slide in result.study.slides:
        for remark in slide.remarks:
            console.warn(f"{slide.image.name}: {remark}")
    return result
