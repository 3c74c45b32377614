"""What a review teaches: tiles of what stands where a person reviewed, and around predictions that were rejected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import shapely

from glomseg.errors import TrainingError
from glomseg.files import new_folder
from glomseg.qupath.objects import PathObject
from glomseg.runs.reviews import Review, Reviews
from glomseg.segment.region import IGNORED
from glomseg.slides.slide import open_slide
from glomseg.training.data.layouts import HARD
from glomseg.training.data.survey import COARSEST
from glomseg.training.tiles.choice import tile_folders
from glomseg.training.tiles.export import Export, export_tiles
from glomseg.training.tiles.plan import ExportSettings, TileSource

TILE_PX = 512
EVERYWHERE = shapely.box(-1e8, -1e8, 1e8, 1e8)


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """How many tiles a review gave: of what stands (`annotated` with a glomerulus, `background` without), and `hard`.

    `hard` ones lie around predictions that a person rejected or deleted. `remarks` say what was left out.
    """

    annotated: int
    background: int
    hard: int
    remarks: tuple[str, ...]


def export_reviews(
    reviews: Reviews,
    folder: Path,
    *,
    um_px: float,
    class_name: str = "Glomerulus",
    progress: Callable[[str], None] = lambda name: None,
) -> Lessons:
    """Write the tiles of the reviewed areas to `folder`, in QuPath's layout, whole or not at all.

    `um_px` is the spacing that the network reads at: tiles have half of it, so that nothing is lost on the way, or the
    pixels of the coarsest slide. What lies off the reviewed areas has the label `Ignore*`. Raises TrainingError where
    there is nothing to learn from.
    """
    reviews = _fine_enough(reviews, um_px)
    places = tile_folders([(review.key, review.name) for review in reviews.images])
    stands = [_source(review, class_name, place) for review, place in zip(reviews.images, places, strict=True)]
    rejected = [
        replace(source, folder=f"{HARD}/{source.folder}", around=centres)
        for source, review in zip(stands, reviews.images, strict=True)
        if (centres := _centres(review, source))
    ]
    names = {str(item.class_name) for source in stands for item in source.objects if _is(item, class_name)}
    settings = ExportSettings(
        classes=(class_name, *sorted(names - {class_name})),
        mpp=max([um_px / 2, *(_mpp(review) for review in reviews.images)]),
        size_px=TILE_PX,
        overlap_px=TILE_PX // 2,
        negatives=1.0,
    )
    with new_folder(folder) as place:
        export = export_tiles(
            [*stands, *rejected], place, settings, project=reviews.project.folder.name, progress=progress
        )
    hard = [item for item in export.images if item.folder.startswith(f"{HARD}/")]
    usual = [item for item in export.images if item not in hard]
    return Lessons(
        annotated=sum(item.annotated for item in usual),
        background=sum(item.background for item in usual),
        hard=sum(item.annotated + item.background for item in hard),
        remarks=(*reviews.remarks, *export.problems, *_silent(reviews, places, export)),
    )


def _fine_enough(reviews: Reviews, um_px: float) -> Reviews:
    """Leave out images too coarse to learn from, which would make the tiles of all others as coarse."""
    scales = [(review, _mpp(review)) for review in reviews.images]
    remarks = [
        f"{review.name}: its pixels are {mpp:.3g} um, too coarse to be read at {um_px:.3g}; left out"
        for review, mpp in scales
        if mpp > COARSEST * um_px
    ]
    if len(remarks) == len(scales):
        raise TrainingError("; ".join(remarks))
    kept = tuple(review for review, mpp in scales if mpp <= COARSEST * um_px)
    return replace(reviews, images=kept, remarks=(*reviews.remarks, *remarks))


def _silent(reviews: Reviews, places: Sequence[str], export: Export) -> list[str]:
    """Say which reviewed images gave no tile."""
    written = {item.folder.removeprefix(f"{HARD}/") for item in export.images}
    return [
        f"{review.name}: no tissue in what was reviewed; left out"
        for review, place in zip(reviews.images, places, strict=True)
        if place not in written and not any(line.startswith(f"{review.name}: ") for line in export.problems)
    ]


def _is(item: PathObject, class_name: str) -> bool:
    """Tell whether an object is of a class or of one derived from it."""
    return item.class_name is not None and item.class_name.split(": ")[0] == class_name


def _source(review: Review, class_name: str, place: str) -> TileSource:
    """Keep the glomeruli of a review, and the area of which it says something."""
    ignored = [item.geometry for item in review.objects if str(item.class_name).split(": ")[0] == IGNORED]
    return TileSource(
        name=review.name,
        path=review.path,
        objects=tuple(item for item in review.objects if _is(item, class_name)),
        mpp=review.mpp,
        reviewed=True,
        folder=place,
        known=(EVERYWHERE if review.area is None else review.area).difference(shapely.union_all(ignored)),
    )


def _centres(review: Review, source: TileSource) -> tuple[tuple[float, float], ...]:
    """Tell where predictions were thrown out, in the area of which the review says something."""
    middles = [item.geometry.centroid for item in review.rejected]
    return tuple((point.x, point.y) for point in middles if source.known is None or source.known.intersects(point))


def _mpp(review: Review) -> float:
    """Return the um per pixel of a reviewed slide; raises TrainingError where nobody knows it."""
    with open_slide(review.path, mpp=review.mpp) as slide:
        if not slide.mpp_x or not slide.mpp_y:
            raise TrainingError(f"{review.name}: its pixel size is not known; set it in QuPath")
        return (slide.mpp_x + slide.mpp_y) / 2
