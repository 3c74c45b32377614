"""One side of a comparison on one image: the outlines that a file or a QuPath project holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.affinity import scale
from shapely.geometry.base import BaseGeometry

from glomseg.errors import EvaluationError
from glomseg.geometry import Geometries, Numbers, geometries
from glomseg.labelled.label_values import LabelReading
from glomseg.labelled.masks import Mask, read_mask
from glomseg.labelled.names import GEOJSON
from glomseg.labelled.tile_files import TileLabels, tile_labels, tile_mpp
from glomseg.listing import first_names
from glomseg.qupath.annotations import AnnotatedImage
from glomseg.qupath.classes import LeftOutObjects, describe_spellings, is_area, is_class, is_exactly, left_out, names_of
from glomseg.qupath.doubtful_outlines import describe_doubtful
from glomseg.qupath.objects import PathObject, read_objects, repair
from glomseg.runs.ownership import RUN, owner
from glomseg.segment.region import IGNORED

LABELLED = "labelled object"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which annotations are meant: those of a class and the classes derived from it, and whose they are.

    `whose` is `all`, `machine` (of any run and untouched), `person`, or `run:ID` (of that run, touched or not).
    """

    class_name: str = "Glomerulus"
    whose: str = "all"

    def __post_init__(self) -> None:
        """Refuse what is none of these; raises EvaluationError."""
        if self.whose not in ("all", "machine", "person") and not self.whose.startswith("run:"):
            raise EvaluationError(f"{self.whose!r} names no set of annotations; use all, machine, person or run:ID")

    def wants(self, item: PathObject) -> bool:
        """Tell whether an object is of the class."""
        return is_class(item.class_name, self.class_name)

    def owns(self, item: PathObject) -> bool:
        """Tell whether an object is of those whom `whose` names."""
        if self.whose.startswith("run:"):
            return item.metadata.get(RUN) == self.whose.removeprefix("run:")
        return self.whose in ("all", owner(item))


@dataclass(frozen=True, kw_only=True)
class Outlines:
    """Outlines in level-0 pixels with their confidence (NaN where none is known); size is (width, height).

    `class_names` has one for each outline, none at all where no file names classes. `ignored` is what a person marked
    as not to be looked at, `other_classes` what stood there and was not asked for, `remarks` what was repaired or read
    otherwise, in words, `left_out` the objects that do not count. `reading` says how a mask was read.
    """

    geometries: Geometries
    confidences: Numbers
    class_names: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    mpp: tuple[float, float] | None = None
    ignored: BaseGeometry | None = None
    other_classes: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = field(default=())
    left_out: LeftOutObjects = field(default_factory=LeftOutObjects)
    reading: LabelReading | None = None

    def without(self, area: BaseGeometry | None) -> Outlines:
        """Leave out the outlines whose centre lies in `area`."""
        if area is None or not len(self.geometries):
            return self
        return self._only(~shapely.intersects(area, shapely.centroid(self.geometries)))

    def of_class(self, name: str) -> Outlines:
        """Keep the outlines of exactly one class."""
        return self._only(np.array([item == name for item in self.class_names], np.bool_))

    def _only(self, keep: NDArray[np.bool_]) -> Outlines:
        names = tuple(name for name, kept in zip(self.class_names, keep, strict=False) if kept)
        return replace(self, geometries=self.geometries[keep], confidences=self.confidences[keep], class_names=names)

    def stretched(self, size: tuple[int, int]) -> Outlines:
        """Stretch the outlines from their own size to another one."""
        assert self.size is not None
        x, y = size[0] / self.size[0], size[1] / self.size[1]
        moved = geometries([scale(item, x, y, origin=(0, 0)) for item in self.geometries])
        return replace(self, geometries=moved, size=size, mpp=None)


def empty_outlines() -> Outlines:
    """Return a side without any object."""
    return Outlines(geometries=geometries([]), confidences=np.zeros(0))


def read_outlines(path: Path, selection: Selection) -> Outlines:
    """Read a mask or a GeoJSON file; raises EvaluationError, GeoJSONError.

    All objects of a mask count, which names no classes and no owners, unless a `-tiles.json` beside it names classes.
    """
    if path.name.lower().endswith(GEOJSON):
        content = read_objects(path)
        outlines = select_outlines(content.objects, selection, path.name)
        return replace(outlines, remarks=(*content.remarks, *outlines.remarks))
    labels = tile_labels(path)
    named = labels is not None and not labels.are_objects
    mask = read_mask(path, numbers=labels.classes.keys() if labels is not None and named else None)
    scale = tile_mpp(path)
    outlines = Outlines(
        geometries=mask.geometries,
        confidences=np.full(len(mask.geometries), np.nan),
        size=mask.size,
        mpp=mask.mpp if scale is None else (scale, scale),
        reading=mask.reading,
    )
    return _named(outlines, mask, labels, selection) if labels is not None and named else outlines


def _named(outlines: Outlines, mask: Mask, labels: TileLabels, selection: Selection) -> Outlines:
    """Take the objects of a mask that are meant, by the classes that a file beside it gives their numbers."""
    names = [labels.classes.get(value, "") for value in mask.values.tolist()]
    ignored = [item for item, name in zip(mask.geometries, names, strict=True) if is_exactly(name, IGNORED)]
    keep = np.array([is_class(name, selection.class_name) for name in names], np.bool_)
    others = Counter(
        (name, LABELLED) for name, kept in zip(names, keep, strict=True) if not kept and not is_exactly(name, IGNORED)
    )
    return replace(
        replace(outlines, class_names=tuple(names))._only(keep),
        ignored=shapely.union_all(ignored) if ignored else None,
        other_classes=frozenset(name for name, _ in others),
        left_out=LeftOutObjects(counts=others),
    )


def image_outlines(image: AnnotatedImage, selection: Selection, name: str) -> Outlines:
    """Take the annotations that are meant out of an image, as `select_outlines` does."""
    outlines = select_outlines(image.objects, selection, name)
    return replace(
        outlines,
        size=image.size_px,
        mpp=image.mpp,
        remarks=(*(f"{name}: {remark}" for remark in image.remarks), *outlines.remarks),
        left_out=outlines.left_out + image.others,
    )


def select_outlines(objects: Sequence[PathObject], selection: Selection, name: str) -> Outlines:
    """Take the annotations that are meant out of all objects of an image, valid ones; `name` stands in the remarks.

    Where no annotation has a class, all count. What is not of the class, no annotation or no polygon is left out.
    """
    annotations = [item for item in objects if item.object_type == "annotation"]
    classes = {item.class_name for item in annotations if item.class_name}
    wanted = [item for item in annotations if selection.wants(item) or not classes]
    wanted = [item for item in wanted if selection.owns(item)]
    remarks = []
    if wanted and not classes:
        names = sorted({item.name for item in wanted if item.name})
        named = f" (named {first_names(names)})" if names else ""
        count = f"1{named} counts" if len(wanted) == 1 else f"all {len(wanted)}{named} count"
        remarks.append(f"{name}: no annotation has a class; {count} as {selection.class_name}")
    remarks += [f"{name}: {said}" for said in describe_spellings(wanted, (selection.class_name,))]
    areas = [item for item in wanted if is_area(item)]
    outlines = [repair(item.geometry) for item in areas]
    remarks += [f"{name}: {said}" for said in describe_doubtful(outlines)]
    ignored = [item.geometry for item in annotations if is_exactly(item.class_name, IGNORED)]

    def is_used(item: PathObject) -> bool:
        if is_exactly(item.class_name, IGNORED):
            return True
        return is_area(item) and (selection.wants(item) or not classes)

    return Outlines(
        geometries=geometries(outlines),
        confidences=np.array([item.measurements.get("Confidence", np.nan) for item in areas], dtype=np.float64),
        class_names=tuple(": ".join(names_of(item.class_name)) for item in areas),
        ignored=shapely.union_all([repair(item) for item in ignored]) if ignored else None,
        other_classes=frozenset(classes - {item.class_name for item in annotations if selection.wants(item)}),
        remarks=tuple(remarks),
        left_out=left_out(objects, is_used),
    )


def check_classes(sides: Iterable[Outlines], selection: Selection, which: str) -> None:
    """Raise EvaluationError where one whole side holds annotations and none of the class that was asked for."""
    sides = list(sides)
    others = sorted({name for side in sides for name in side.other_classes})
    if others and not any(len(side.geometries) for side in sides):
        raise EvaluationError(
            f"no annotation of class {selection.class_name!r} ({selection.whose}) in the {which} "
            f"(there: {', '.join(others)}); name another with `class_name`"
        )


def touches_edge(items: Geometries, size: tuple[int, int] | None) -> NDArray[np.bool_]:
    """Tell which outlines reach the edge of an image; none where its size is not known."""
    if size is None or not len(items):
        return np.zeros(len(items), np.bool_)
    bounds = shapely.bounds(items)
    return np.asarray((bounds[:, :2] <= 0).any(axis=1) | (bounds[:, 2:] >= size).any(axis=1))
