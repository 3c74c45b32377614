"""Score predictions against truth, image by image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import shapely

from glomseg.errors import EvaluationError, GlomsegError, SlideError
from glomseg.evaluation.both_sides import on_both_sides
from glomseg.evaluation.odd_places import odd_places
from glomseg.evaluation.one_spelling import with_one_spelling
from glomseg.evaluation.score import MPP_SLACK, ImageScore, score_image
from glomseg.evaluation.summary import Summary, summarise
from glomseg.labelled.alike import say_alike
from glomseg.labelled.find_files import Source
from glomseg.labelled.image_info import ImageInfo, info_of, refuse_shared_rows
from glomseg.labelled.label_files import (
    Outlines,
    Selection,
    check_classes,
    empty_outlines,
    image_outlines,
    read_outlines,
    touches_edge,
)
from glomseg.labelled.label_values import refuse_inverted, refuse_two_ways, say_mostly_marked, say_readings
from glomseg.labelled.padding import without_padding
from glomseg.labelled.pairs import Missing, Pair, of_other_names
from glomseg.labelled.sample_sheet import SampleSheet
from glomseg.progress import ProgressCount
from glomseg.qupath.classes import LeftOutObjects
from glomseg.qupath.doubtful_outlines import SPECK
from glomseg.slides.slide import open_slide


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """How to compare. `mpp` is (x, y) in um and wins over what files say; see `pair_up` for `missing`."""

    predicted: Selection = field(default_factory=Selection)
    true: Selection = field(default_factory=Selection)
    missing: Missing = "refuse"
    rescale: bool = False
    kpis: bool = False
    mpp: tuple[float, float] | None = None
    samples: SampleSheet | None = None
    group_by: str | None = None
    unit: str | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What came out: the scores of each image, their summary, and remarks to be said aloud.

    `left_out` names the images that cannot be read or compared, and why.
    """

    images: tuple[ImageScore, ...]
    summary: Summary
    remarks: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def evaluate(
    pairs: Sequence[Pair], settings: EvaluateSettings, *, progress: ProgressCount = lambda done, total: None
) -> Evaluation:
    """Score every pair of files, without those that cannot be read or compared.

    Raises EvaluationError, GeoJSONError where that is so of all of them, or of all together.
    """
    sides, left = [], _Left()
    for done, pair in enumerate(pairs):
        progress(done, len(pairs))
        with left.unless_it_fits(pair):
            sides.append((pair, *_read(pair, settings)))
    left.refuse_all(sides)
    evaluation = evaluate_outlines(sides, settings, progress=progress)
    return replace(evaluation, left_out=(*left.said, *evaluation.left_out))


def evaluate_outlines(
    sides: Iterable[tuple[Pair, Outlines, Outlines]],
    settings: EvaluateSettings,
    *,
    progress: ProgressCount = lambda done, total: None,
) -> Evaluation:
    """Score outlines at hand: (pair, predicted, true) of each image; raises EvaluationError where none can be."""
    sides = list(sides)
    if not sides:
        raise EvaluationError("there is nothing to score; name a prediction and its truth")
    check_classes([predicted for _, predicted, _ in sides], settings.predicted, "predictions")
    check_classes([true for _, _, true in sides], settings.true, "truth")
    sides, spelled = with_one_spelling(sides, settings.true.class_name)
    images, remarks = [], [*_masks_read(sides), *spelled, *of_other_names(pair for pair, _, _ in sides)]
    remarks += settings.samples.remarks if settings.samples else ()
    if settings.samples is not None:
        refuse_shared_rows([pair for pair, _, _ in sides], settings.samples)
    by_table, overruled, left = 0, list[str](), _Left()
    for done, (pair, predicted, true) in enumerate(sides):
        progress(done, len(sides))
        remarks += [*predicted.remarks, *true.remarks]
        info = info_of(pair, settings.samples, group_by=settings.group_by, unit=settings.unit)
        mpp = settings.mpp
        if mpp is not None and any(_differs(mpp, said) for said in (predicted.mpp, true.mpp, _table_mpp(info))):
            overruled.append(info.key)
        if mpp is None and not (predicted.mpp or true.mpp) and (table := _table_mpp(info)) is not None:
            mpp = table
            by_table += 1
        with left.unless_it_fits(pair):
            images.append(score_image(info, predicted, true, kpis=settings.kpis, rescale=settings.rescale, mpp=mpp))
    left.refuse_all(images)
    progress(len(sides), len(sides))
    for which, outlines in (("predictions", [ours for _, ours, _ in sides]), ("truth", [true for *_, true in sides])):
        if unused := sum((side.left_out for side in outlines), LeftOutObjects()):
            remarks.append(f"{which}: {unused}")
    remarks += _specks("predictions", [(image.info.key, image.predicted) for image in images])
    remarks += _specks("truth", [(image.info.key, image.true) for image in images])
    remarks += odd_places(images)
    remarks += on_both_sides(sides)
    remarks += _without_classes(sides, settings)
    if unknown := [image.info.key for image in images if image.mpp is None]:
        remarks.append(
            f"{len(unknown)} of {len(images)} images do not say how large their pixels are ({unknown[0]}): "
            "areas and distances in um are left out for them; give --mpp"
        )
    alone = [image.info.key for image in images if image.info.unit == image.info.key]
    if settings.samples is not None and 0 < len(alone) < len(images):
        remarks.append(
            f"{len(alone)} of {len(images)} images have no {settings.unit or 'animal'} in the sample sheet "
            f"({alone[0]}); each counts for itself"
        )
    remarks += say_alike("groups", (image.info.group for image in images))
    if settings.samples is not None:
        remarks += say_alike(f"{settings.unit or 'animal'}s", (image.info.unit for image in images))
    if overruled:
        remarks.append(
            f"{len(overruled)} of {len(images)} images say another size of their pixels than `mpp` ({overruled[0]}): "
            "`mpp` counts, and where images differ in scale their areas and distances are wrong"
        )
    if by_table:
        remarks.append(
            f"um per pixel of {by_table} images by the table of the KPIs challenge, their files do not say it"
        )
    unit = settings.unit or ("animal" if any(image.info.unit != image.info.key for image in images) else "image")
    group_by = settings.group_by or ("folder" if settings.samples is None else "group")
    by_class = {
        name: [score_image(image.info, image.predicted.of_class(name), image.true.of_class(name), mpp=image.mpp)
               for image in images]
        for name in _common_classes(images)
    }  # fmt: skip
    return Evaluation(
        images=tuple(images),
        summary=summarise(images, unit=unit, group_by=group_by, classes=by_class),
        remarks=tuple(dict.fromkeys(remarks)),
        left_out=tuple(left.said),
    )


class _Left:
    """The images that are left out for what is wrong with them alone, in words."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self._first: GlomsegError | None = None

    @contextmanager
    def unless_it_fits(self, pair: Pair) -> Iterator[None]:
        """Leave an image out where the block says that something is wrong with it."""
        try:
            yield
        except GlomsegError as error:
            self._first = self._first or error
            self.said.append(f"{pair.key}: {str(error).removeprefix(f'{pair.key}: ')}; left out")

    def refuse_all(self, kept: Sequence[object]) -> None:
        """Raise what was wrong first where nothing was kept."""
        if self._first is not None and not kept:
            raise self._first


def _specks(which: str, outlines: Sequence[tuple[str, Outlines]]) -> list[str]:
    """Say how many objects of one side are far too small to be one, off the edges of their images, and count."""
    found = {}
    for key, side in outlines:
        area = shapely.area(side.geometries)
        small = (area < SPECK * area.max(initial=0)) & ~touches_edge(side.geometries, side.size)
        if small.any():
            found[key] = int(small.sum())
    if not found:
        return []
    are = "speck of less than a hundredth" if sum(found.values()) == 1 else "specks of less than a hundredth"
    return [
        f"{which}: {sum(found.values())} {are} of the largest object, in {len(found)} of {len(outlines)} images "
        f"({next(iter(found))}), count as objects: remove them where they are none"
    ]


def _without_classes(sides: Sequence[tuple[Pair, Outlines, Outlines]], settings: EvaluateSettings) -> list[str]:
    """Say where a class or an owner is asked for, and masks have none."""
    masks = [
        all(side.reading is not None and not any(side.class_names) for side in outlines)
        for outlines in zip(*((ours, theirs) for _, ours, theirs in sides), strict=True)
    ]
    said = []
    if all(masks) and settings.true.class_name != Selection().class_name:
        said.append(f"masks have no classes: `class_name` {settings.true.class_name!r} changes nothing")
    for name, whose, is_mask in zip(
        ("predicted_set", "truth_set"), (settings.predicted.whose, settings.true.whose), masks, strict=True
    ):
        if is_mask and whose != Selection().whose:
            said.append(f"nobody owns what a mask shows: `{name}` {whose} changes nothing")
    return said


def _table_mpp(info: ImageInfo) -> tuple[float, float] | None:
    """Give um per pixel by the table of the KPIs challenge, for an image in its folders."""
    return None if info.kpis is None or info.kpis.mpp is None else (info.kpis.mpp, info.kpis.mpp)


def _differs(mpp: tuple[float, float], other: tuple[float, float] | None) -> bool:
    return other is not None and any(abs(a / b - 1) > MPP_SLACK for a, b in zip(mpp, other, strict=True))


def _common_classes(images: Sequence[ImageScore]) -> list[str]:
    """Name the classes that both sides have, where there are several at all."""
    ours = {name for image in images for name in image.predicted.class_names if name}
    theirs = {name for image in images for name in image.true.class_names if name}
    return sorted(ours & theirs) if len(ours | theirs) > 1 else []


def _masks_read(sides: Sequence[tuple[Pair, Outlines, Outlines]]) -> list[str]:
    """Say how masks were read on each side; raises LabelError where a whole truth, or one of a side, seems inverted."""
    predicted = {str(pair.predicted.path): ours.reading for pair, ours, _ in sides if pair.predicted and ours.reading}
    true = {str(pair.true.path): theirs.reading for pair, _, theirs in sides if theirs.reading}
    refuse_two_ways(predicted)
    refuse_two_ways(true)
    if len(true) == len(sides):
        refuse_inverted(true.values(), f"{len(true)} masks of the truth" if len(true) > 1 else "mask of the truth")
    both = (("predictions", predicted), ("truth", true))
    said = [(which, [say_readings(items.values()), *say_mostly_marked(items)]) for which, items in both]
    return [f"{which}: {text}" for which, texts in said for text in texts if text]


def _read(pair: Pair, settings: EvaluateSettings) -> tuple[Outlines, Outlines]:
    true = read_source(pair.true, settings.true)
    if pair.image is not None:
        true = without_padding(_with_image(true, pair.image), pair.image)
    if pair.predicted is None:
        return replace(empty_outlines(), size=true.size), true
    return read_source(pair.predicted, settings.predicted), true


def _with_image(true: Outlines, path: Path) -> Outlines:
    """Take the size of the image and of its pixels from its file, where the truth does not say them."""
    if true.size and true.mpp:
        return true
    try:
        with open_slide(path) as slide:
            size = (slide.width, slide.height)
            mpp = slide.known_mpp
    except SlideError:
        return true  # the scores stand without the image
    if true.size and true.size != size:
        return true  # a mask of another resolution than its image
    return replace(true, size=size, mpp=true.mpp or mpp)


def read_source(source: Source, selection: Selection) -> Outlines:
    """Read one side of one image, with what a run's record or a project knows of it; raises EvaluationError."""
    if source.annotated is None:
        return read_outlines(source.path, selection)
    return image_outlines(source.annotated, selection, source.stem)
