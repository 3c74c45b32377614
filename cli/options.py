"""Options that several commands share, worded once."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, get_args

import click

from glomseg.models.card import DEFAULT_MODEL, SPECIES_DIAMETER_UM, PostName
from glomseg.models.machine import BackendChoice

if TYPE_CHECKING:
    from glomseg.runs.candidates import CandidateChoice
    from glomseg.runs.segmenter import SegmentOptions
    from glomseg.runs.shard import Shard
    from glomseg.segment.pipeline import Stitch

OF_OVERLAY = ("overlay_color", "overlay_width")
"""What changes nothing where no picture is drawn."""
OF_COLLECT = ("forget_rejections", "believe_deletions", "on_conflict")
"""What changes nothing where outlines stay in the run folder."""
DEVICE_HELP = "auto, cpu, cuda, cuda:N or mps: where the network runs."
backend_option = click.option(
    "--backend",
    type=click.Choice(get_args(BackendChoice)),
    default="auto",
    show_default=True,
    help="What computes on a CPU; auto is the fastest that `glomseg doctor --benchmark` measured on this processor, "
    "else torch.",
)

Command = Callable[..., Any]


class PixelSize(click.ParamType[tuple[float, float]]):
    """`0.25`, or `0.25,0.5` for x and y."""

    name = "um/px"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Turn the text into um per pixel in x and y."""
        from glomseg.slides.pixel_size import parse_mpp

        try:
            return value if isinstance(value, tuple) else parse_mpp(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Numbers(click.ParamType[tuple[float, ...]]):
    """Numbers with commas between them, as in `0.8,1.25`."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Turn the text into numbers."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not numbers with commas between them, such as 0.8,1.25", param, ctx)


class ShardNumber(click.ParamType["Shard"]):
    """`2/5`: the second of five shares."""

    name = "i/n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Shard:
        """Turn the text into a shard."""
        from glomseg.errors import RunError
        from glomseg.runs.shard import Shard, parse_shard

        try:
            return value if isinstance(value, Shard) else parse_shard(str(value))
        except RunError as error:
            self.fail(str(error).removeprefix("`shard` "), param, ctx)


_reading = (
    click.option(
        "--tta-scales",
        type=Numbers(),
        default=(),
        metavar="FACTORS",
        help="Average over enlargements too, as in 0.8,1.25: as many more times the work.",
    ),
    click.option(
        "--post", type=click.Choice(get_args(PostName)), help="How probabilities become objects [model's, or glomseg]."
    ),
    click.option(
        "--stitch",
        type=click.Choice(("own", "mean")),
        default="own",
        show_default=True,
        help="A pixel is decided by its own tile, or is the mean of all windows that show it.",
    ),
    click.option(
        "--overlap", type=click.FloatRange(0, 0.9), help="With --stitch mean: what windows share of a side [0.5]."
    ),
)


def reading_options(command: Command) -> Command:
    """Add the options that say how a network reads, and what becomes of what it says."""
    return _together(command, *_reading)


icc_option = click.option(
    "--icc", is_flag=True, help="Read colours as the ICC profile in each file says, not as they are stored."
)
_overlay_color = click.option(
    "--overlay-color",
    type=click.Choice(("class", "confidence")),
    default="class",
    show_default=True,
    help="Colour of the outlines: their class, or orange (unsure) over green to blue (sure).",
)


def overlay_color(command: Command) -> Command:
    """Add --overlay-color, which says what colours an outline."""
    return _overlay_color(command)


def candidates_option(command: Command) -> Command:
    """Add --candidates, what becomes of objects that are not sure enough to count."""
    return click.option(
        "--candidates",
        type=click.Choice(("none", "review", "all")),
        default="review",
        show_default=True,
        help="What is less sure than counts: drop it, keep it for the review, or show it as well, as class Candidate.",
    )(command)


def segmenting(command: Command) -> Command:
    """Add the options that say how to segment."""
    return _together(
        command,
        click.option(
            "--model",
            "-m",
            multiple=True,
            help="A model's name, or its folder. Repeated: the mean of several, and how much they agree "
            f"[of a project the one that it was adapted to, else {DEFAULT_MODEL}].",
        ),
        click.option(
            "--threshold", type=click.FloatRange(0, 1, True, True), help="Probability on the outline [model's]."
        ),
        click.option(
            "--sureness",
            type=click.FloatRange(0, 1),
            help="Mean probability from which an object counts; others are kept aside as candidates [model's].",
        ),
        click.option(
            "--species",
            type=click.Choice(tuple(SPECIES_DIAMETER_UM)),
            help="Read at this species' scale [the model's own].",
        ),
        click.option("--tta", is_flag=True, help="Average over flips: four times the work, steadier outlines."),
        reading_options,
        click.option("--device", default="auto", show_default=True, metavar="NAME", help=DEVICE_HELP),
        backend_option,
        click.option("--batch", type=click.IntRange(1), help="Tiles in one network pass [the device's]."),
        icc_option,
        click.option("--overlay", is_flag=True, help="Draw a PNG of each slide with its outlines."),
        _overlay_color,
        click.option(
            "--overlay-width",
            type=click.IntRange(100, 20_000),
            default=1600,
            show_default=True,
            help="With --overlay: longer side of the PNG in pixels.",
        ),
        click.option(
            "--keep-probability",
            is_flag=True,
            help="Keep the probabilities as pyramidal OME-TIFF, for `glomseg rethreshold`.",
        ),
        candidates_option,
        click.option(
            "--sclerosis",
            is_flag=True,
            help="Measure on each outline how probable global sclerosis is, and mark what is likely for the review. "
            "Learned on PAS of human biopsies.",
        ),
        click.option(
            "--shard",
            type=ShardNumber(),
            metavar="I/N",
            help="Only share I of N, for job arrays: the shares are the same on every machine, and go into one run.",
        ),
        click.option(
            "--workers",
            type=click.IntRange(0),
            help="Processes that share the slides; 0 is this one alone [by cores, memory and slides].",
        ),
        click.option(
            "--slide-timeout",
            type=click.FloatRange(1),
            default=900,
            show_default=True,
            metavar="SECONDS",
            help="With workers: give up a slide that makes no step for so long, tried twice.",
        ),
        click.option(
            "--cache",
            type=click.Path(file_okay=False, path_type=Path),
            metavar="DIR",
            help="Copy slides to this folder, on a disk of this machine, while those before them are segmented.",
        ),
        click.option(
            "--scheduler",
            metavar="ADDRESS",
            help="Have the workers of this dask.distributed scheduler do the slides (pip install 'glomseg[cluster]').",
        ),
        click.option("--classify", is_flag=True, help="As --sclerosis, and give what is likely the class at once."),
        resuming,
    )


class SegmentFlags(TypedDict):
    """What the options of `segmenting` hand to a command."""

    model: tuple[str, ...]
    threshold: float | None
    sureness: float | None
    species: str | None
    tta: bool
    tta_scales: tuple[float, ...]
    post: PostName | None
    stitch: Stitch
    overlap: float | None
    device: str
    backend: BackendChoice
    batch: int | None
    icc: bool
    overlay: bool
    overlay_color: str
    overlay_width: int
    keep_probability: bool
    candidates: CandidateChoice
    sclerosis: bool
    classify: bool
    shard: Shard | None
    workers: int | None
    slide_timeout: float
    cache: Path | None
    scheduler: str | None
    resume: bool
    restart: bool


def command_line() -> str:
    """Return how glomseg was called, as one would type it."""
    return shlex.join(["glomseg", *sys.argv[1:]])


def segment_options(flags: SegmentFlags, *, mpp: tuple[float, float] | None) -> SegmentOptions:
    """Turn the options of `segmenting` into those of the library."""
    from glomseg.pictures.overlay import OverlayStyle
    from glomseg.runs.segmenter import SegmentOptions

    style = OverlayStyle(
        width_px=flags["overlay_width"], color_by="confidence" if flags["overlay_color"] == "confidence" else "class"
    )
    return SegmentOptions(
        model=flags["model"] or None,
        device=flags["device"],
        backend=flags["backend"],
        threshold=flags["threshold"],
        sureness=flags["sureness"],
        species=flags["species"],
        tta=flags["tta"],
        tta_scales=flags["tta_scales"],
        post=flags["post"],
        stitch=flags["stitch"],
        overlap=flags["overlap"],
        batch=flags["batch"],
        mpp=mpp,
        icc=flags["icc"],
        overlay=style if flags["overlay"] else None,
        keep_probability=flags["keep_probability"],
        candidates=flags["candidates"],
        resume=flags["resume"],
        restart=flags["restart"],
        command=command_line(),
        shard=flags["shard"],
        workers="auto" if flags["workers"] is None else flags["workers"],
        slide_timeout=flags["slide_timeout"],
        cache=flags["cache"],
        scheduler=flags["scheduler"],
        sclerosis="classify" if flags["classify"] else "suggest" if flags["sclerosis"] else "off",
    )


def resuming(command: Command) -> Command:
    """Add --resume and --restart, which say what to do about what an earlier, stopped command left."""
    return _together(
        command,
        click.option(
            "--resume",
            is_flag=True,
            callback=_one_of_two,
            help="Go on where an earlier run stopped; an error where there is none to go on with.",
        ),
        click.option(
            "--restart",
            is_flag=True,
            callback=_one_of_two,
            help="Start over instead of going on where an earlier run stopped.",
        ),
    )


def _one_of_two(context: click.Context, option: click.Parameter, value: bool) -> bool:
    if value and context.params.get("restart" if option.name == "resume" else "resume"):
        raise click.UsageError("--resume goes on and --restart starts over; give one of them")
    return value


def output(command: Command) -> Command:
    """Add the options that say how to talk."""
    return _together(
        command,
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output."),
        click.option("--quiet", "-q", is_flag=True, help="Print errors only."),
    )


def project_argument(command: Command) -> Command:
    """Add the argument PROJECT: a project.qpproj or its folder."""
    return click.argument("project", type=click.Path(path_type=Path))(command)


def believe_deletions_option(command: Command) -> Command:
    """Add --believe-deletions, which takes it for a review where all outlines of a run are gone at once."""
    return click.option(
        "--believe-deletions",
        is_flag=True,
        help="Where all outlines of a run are gone from an image: they were deleted on purpose.",
    )(command)


def on_conflict_option(command: Command) -> Command:
    """Add --on-conflict, what to do where somebody saved an image while we worked."""
    return click.option(
        "--on-conflict",
        type=click.Choice(("stop", "skip", "merge")),
        default="skip",
        show_default=True,
        help="Where somebody saved an image meanwhile: stop there, leave that image out, or read it again and go on.",
    )(command)


def slides_option(command: Command) -> Command:
    """Add --slides, where images that moved are looked for."""
    return click.option(
        "--slides",
        multiple=True,
        type=click.Path(path_type=Path),
        help="Look for images that moved in this folder, by file name. May be repeated.",
    )(command)


def samples_option(command: Command) -> Command:
    """Add --samples, which says of which animal and group an image is."""
    return click.option(
        "--samples",
        type=click.Path(path_type=Path),
        help="Sample sheet: CSV with image, animal, group, section, stain [QuPath's image metadata].",
    )(command)


def _together(command: Command, *options: Callable[[Command], Command]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
