"""What a review teaches: tiles of what stands where a person reviewed, and around predictions that were rejected."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import shapely
from shapely.geometry.base import BaseGeometry

from glomseg.errors import ProjectError, SlideError, TrainingError
from glomseg.files import new_folder
from glomseg.qupath.annotations import AnnotatedImage
from glomseg.qupath.classes import best_class, describe_spellings, is_area, is_exactly, left_out
from glomseg.qupath.objects import PathObject, repair
from glomseg.runs.ownership import VERDICT, owner
from glomseg.runs.reviewed import ReviewedImage, ReviewedProject
from glomseg.runs.suggestions import suggested_class
from glomseg.segment.region import IGNORED
from glomseg.training.data.layouts import HARD
from glomseg.training.data.survey import COARSEST
from glomseg.training.review_record import ReviewRecord, write_review_record
from glomseg.training.tiles.choice import tile_folders
from glomseg.training.tiles.export import Export, export_tiles
from glomseg.training.tiles.plan import ExportSettings, TileRequest, open_image

TILE_PX = 512
EVERYWHERE = shapely.box(-1e8, -1e8, 1e8, 1e8)


@dataclass(frozen=True, kw_only=True)
class Corrections:
    """How many tiles a review gave: of what stands (`annotated` with a glomerulus, `background` without), and `hard`.

    `hard` ones lie around predictions that a person rejected or deleted. `remarks` say what was left out.
    """

    annotated: int
    background: int
    hard: int
    remarks: tuple[str, ...]


def export_corrections(
    reviewed: ReviewedProject,
    folder: Path,
    *,
    mpp: float,
    class_names: Sequence[str] = ("Glomerulus",),
    record: ReviewRecord | None = None,
    progress: Callable[[str], None] = lambda name: None,
) -> Corrections:
    """Write the tiles of the reviewed areas to `folder`, in QuPath's layout, whole or not at all.

    With them goes the `record` of the review that they are of. `mpp` (um per pixel) is what the network reads at:
    tiles have half of it, so that nothing is lost on the way, or the pixels of the coarsest slide. `class_names` are
    the classes that it finds. What lies off the reviewed areas has the label `Ignore*`. Raises TrainingError where
    there is nothing to learn from.
    """
    reviewed = _fine_enough(reviewed, mpp)
    places = tile_folders([(item.image.entry_id, item.image.name) for item in reviewed.images])
    standing = [_request(item, class_names, place) for item, place in zip(reviewed.images, places, strict=True)]
    rejected = [
        replace(request, folder=f"{HARD}/{request.folder}", around=centres)
        for request, item in zip(standing, reviewed.images, strict=True)
        if (centres := _centres(item, request))
    ]
    glomeruli = [item for request in standing for item in request.image.objects]
    names = {str(item.class_name) for item in glomeruli if any(is_exactly(item.class_name, one) for one in class_names)}
    remarks = _remarks(reviewed, class_names)
    settings = ExportSettings(
        classes=(*class_names, *sorted(names - set(class_names))),
        tile_mpp=max([mpp / 2, *(_mpp(item.image) for item in reviewed.images)]),
        size_px=TILE_PX,
        overlap_px=TILE_PX // 2,
        negatives=1.0,
    )
    with new_folder(folder) as place:
        export = export_tiles(
            [*standing, *rejected],
            place,
            settings,
            project=reviewed.project.folder.name,
            home=folder,
            progress=progress,
        )
        if record is not None:
            write_review_record(place, record)
    hard = [item for item in export.images if item.folder.startswith(f"{HARD}/")]
    usual = [item for item in export.images if item not in hard]
    return Corrections(
        annotated=sum(item.annotated for item in usual),
        background=sum(item.background for item in usual),
        hard=sum(item.annotated + item.background for item in hard),
        remarks=(*reviewed.remarks, *remarks, *export.profiles, *export.problems, *_silent(reviewed, places, export)),
    )


def _fine_enough(reviewed: ReviewedProject, mpp: float) -> ReviewedProject:
    """Leave out damaged images and those too coarse to learn from, which would make all others' tiles as coarse."""
    kept: list[ReviewedImage] = []
    remarks: list[str] = []
    for item in reviewed.images:
        try:
            own = _mpp(item.image)
        except (SlideError, ProjectError) as error:
            remarks.append(f"{item.image.name}: {error}; left out")
            continue
        if own <= COARSEST * mpp:
            kept.append(item)
        else:
            remarks.append(
                f"{item.image.name}: its pixels are {own:.3g} um, too coarse to be read at {mpp:.3g}; left out"
            )
    if not kept:
        raise TrainingError("; ".join(remarks))
    return replace(reviewed, images=tuple(kept), remarks=(*reviewed.remarks, *remarks))


def _silent(reviewed: ReviewedProject, places: Sequence[str], export: Export) -> list[str]:
    """Say which reviewed images gave no tile."""
    written = {item.folder.removeprefix(f"{HARD}/") for item in export.images}
    names = [item.image.name for item in reviewed.images]
    return [
        f"{name}: no tissue in what was reviewed; left out"
        for name, place in zip(names, places, strict=True)
        if place not in written and not any(line.startswith(f"{name}: ") for line in export.problems)
    ]


def _request(reviewed: ReviewedImage, class_names: Sequence[str], place: str) -> TileRequest:
    """Ask for tiles of the glomeruli that stand, in the area of which the review says something."""
    standing = reviewed.standing
    ignored = [item.geometry for item in standing if is_exactly(item.class_name, IGNORED)]
    nameless = [item.geometry for item in _nameless(reviewed)]
    unclear = [item for said in _unclear(reviewed, class_names) for item in said.items]
    is_unclear = {id(item) for item in unclear}
    glomeruli = tuple(
        item for item in standing if best_class(item.class_name, class_names) and id(item) not in is_unclear
    )
    around = _around(unclear).difference(
        shapely.union_all([repair(item.geometry) for item in glomeruli if is_area(item)])
    )
    known = EVERYWHERE if reviewed.area is None else reviewed.area
    return TileRequest(
        image=replace(reviewed.image, objects=glomeruli),
        folder=place,
        known=known.difference(shapely.union_all([*ignored, *nameless, around])),
    )


@dataclass(frozen=True)
class _Unclear:
    """Outlines in what was reviewed that nobody has settled, so that they teach nothing, and what to do about it."""

    items: list[PathObject]
    said: str


def _unclear(reviewed: ReviewedImage, class_names: Sequence[str]) -> list[_Unclear]:
    """List what the mark "fully reviewed" alone does not settle.

    That is what a person meant to edit, what a run was not sure of, and what a classifier suggests to be of another
    class that the network tells apart, as long as no verdict says so.
    """

    def is_suggested(item: PathObject) -> bool:
        suggested = best_class(suggested_class(item), class_names)
        return owner(item) == "machine" and suggested not in (None, best_class(item.class_name, class_names))

    outlines = [item for item in reviewed.standing if is_area(item) and best_class(item.class_name, class_names)]
    to_edit = [item for item in outlines if item.metadata.get(VERDICT) == "edit"]
    suggested = [item for item in outlines if is_suggested(item)]
    return [
        _Unclear(to_edit, "outlines that are to be edited teach nothing; accept in the review what is right now"),
        _Unclear(list(reviewed.candidates), "candidates that nobody judged teach nothing; judge them in the review"),
        _Unclear(suggested, "outlines that may be of another class teach nothing; accept them, or give that class"),
    ]


def _around(items: Sequence[PathObject]) -> BaseGeometry:
    """Return the places of objects whose outlines may be wrong, with a quarter of the diameter around each."""
    shapes = [repair(item.geometry) for item in items]
    return shapely.union_all([shape.buffer(math.sqrt(shape.area / math.pi) / 2) for shape in shapes])


def _nameless(reviewed: ReviewedImage) -> list[PathObject]:
    """List the outlines without a class: what each one shows nobody has said, so it teaches nothing.

    One that holds the centre of a smaller outline is drawn around a part of the image, and says nothing of it.
    """
    outlines = [item for item in reviewed.standing if is_area(item)]
    tree = shapely.STRtree([item.geometry.centroid for item in outlines])

    def is_around(item: PathObject) -> bool:
        inside = tree.query(item.geometry, predicate="contains")
        return any(outlines[at].geometry.area < item.geometry.area for at in inside)

    return [item for item in outlines if item.class_name is None and not is_around(item)]


def _remarks(reviewed: ReviewedProject, class_names: Sequence[str]) -> list[str]:
    """Say what stands in the reviewed images and is not learned as a glomerulus, or as one of another spelling."""
    remarks = [
        f"{item.image.name}: {len(nameless)} outlines without a class teach nothing; give each its class in QuPath"
        for item in reviewed.images
        if (nameless := _nameless(item))
    ]
    remarks += [
        f"{item.image.name}: {len(unclear.items)} {unclear.said}"
        for item in reviewed.images
        for unclear in _unclear(item, class_names)
        if unclear.items
    ]
    remarks += [f"{item.image.name}: {remark}" for item in reviewed.images for remark in item.image.remarks]
    standing = [item for image in reviewed.images for item in image.standing]
    remarks += describe_spellings(standing, class_names)
    unused = left_out(standing, lambda item: is_area(item) and best_class(item.class_name, class_names) is not None)
    unused = sum((item.image.others for item in reviewed.images), unused)
    return [*remarks, str(unused)] if unused else remarks


def _centres(reviewed: ReviewedImage, request: TileRequest) -> tuple[tuple[float, float], ...]:
    """Tell where predictions were thrown out, in the area of which the review says something."""
    middles = [item.geometry.centroid for item in reviewed.rejected]
    return tuple((point.x, point.y) for point in middles if request.known is None or request.known.intersects(point))


def _mpp(image: AnnotatedImage) -> float:
    """Return the um per pixel of a reviewed slide; raises TrainingError where nobody knows it."""
    with open_image(image) as slide:
        if not slide.mpp_x or not slide.mpp_y:
            raise TrainingError(f"{image.name}: its pixel size is not known; set it in QuPath")
        return (slide.mpp_x + slide.mpp_y) / 2
