"""What a review teaches: tiles of what stands where a person reviewed, and around predictions that were rejected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import shapely

from glomseg.errors import TrainingError
from glomseg.files import new_folder
from glomseg.geojson import PathObject
from glomseg.project.reviews import Review, Reviews
from glomseg.region import IGNORED
from glomseg.slide import open_slide
from glomseg.training.export import ExportSettings, TileSource, export_tiles
from glomseg.training.layouts import HARD
from glomseg.training.tile_choice import tile_folders

TILE_PX = 512
REVIEWED_AREA = "glomseg reviewed area"
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
    pixels of the coarsest slide. Tiles lie inside the reviewed areas as a whole. Raises TrainingError where there is
    nothing to learn from.
    """
    places = tile_folders([(review.key, review.name) for review in reviews.images])
    stands = [_source(review, class_name, place) for review, place in zip(reviews.images, places, strict=True)]
    rejected = [
        replace(source, folder=f"{HARD}/{source.folder}", around=tuple(_centre(item) for item in review.rejected))
        for source, review in zip(stands, reviews.images, strict=True)
        if review.rejected
    ]
    names = {str(item.class_name) for source in stands for item in source.objects if _is(item, class_name)}
    settings = ExportSettings(
        classes=(class_name, *sorted(names - {class_name})),
        mpp=max([um_px / 2, *(_mpp(review) for review in reviews.images)]),
        size_px=TILE_PX,
        overlap_px=TILE_PX // 2,
        region=REVIEWED_AREA,
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
        remarks=(*reviews.remarks, *export.problems),
    )


def _is(item: PathObject, class_name: str) -> bool:
    """Tell whether an object is of a class or of one derived from it."""
    return item.class_name is not None and item.class_name.split(": ")[0] == class_name


def _source(review: Review, class_name: str, place: str) -> TileSource:
    """Keep the glomeruli of a review, and its area as an annotation that tiles must lie in."""
    ignored = [item.geometry for item in review.objects if str(item.class_name).split(": ")[0] == IGNORED]
    area = (review.area or EVERYWHERE).difference(shapely.union_all(ignored))
    reviewed = PathObject(geometry=area, class_name=REVIEWED_AREA)
    objects = (*(item for item in review.objects if _is(item, class_name)), reviewed)
    return TileSource(name=review.name, path=review.path, objects=objects, mpp=review.mpp, reviewed=True, folder=place)


def _centre(item: PathObject) -> tuple[float, float]:
    middle = item.geometry.centroid
    return middle.x, middle.y


def _mpp(review: Review) -> float:
    """Return the um per pixel of a reviewed slide; raises TrainingError where nobody knows it."""
    with open_slide(review.path, mpp=review.mpp) as slide:
        if not slide.mpp_x or not slide.mpp_y:
            raise TrainingError(f"{review.name}: its pixel size is not known; set it in QuPath")
        return (slide.mpp_x + slide.mpp_y) / 2
