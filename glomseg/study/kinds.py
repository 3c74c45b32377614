"""Which objects of an image are glomeruli, which are sclerosed, what is the cortex; and what of the rest is said."""

from __future__ import annotations

import shapely
from shapely.geometry.base import BaseGeometry

from glomseg.geometry import polygons
from glomseg.qupath.annotations import AnnotatedImage
from glomseg.qupath.classes import (
    ANNOTATION,
    LeftOutObjects,
    describe_spellings,
    is_area,
    is_class,
    is_exactly,
    left_out,
)
from glomseg.qupath.objects import PathObject
from glomseg.qupath.review_mark import REVIEWED
from glomseg.runs.suggestions import suggested_class
from glomseg.segment.region import IGNORED
from glomseg.study.records import MeasureSettings


def is_glomerulus(item: PathObject, settings: MeasureSettings) -> bool:
    """Tell whether an object is an annotation of the measured class, or of one derived from it."""
    return item.object_type == ANNOTATION and is_class(item.class_name, settings.class_name)


def is_sclerotic(class_name: str | None, settings: MeasureSettings) -> bool:
    """Tell whether a class is one of globally sclerosed glomeruli, or derived from one."""
    return any(is_class(class_name, sclerotic) for sclerotic in settings.sclerotic)


def is_suggested(item: PathObject, settings: MeasureSettings) -> bool:
    """Tell whether a classifier suggests that an object is globally sclerosed, and nobody has given it that class."""
    return is_sclerotic(suggested_class(item), settings)


def is_cortex(item: PathObject, settings: MeasureSettings) -> bool:
    """Tell whether an object is a part of the region that densities refer to."""
    return is_area(item) and is_class(item.class_name, settings.cortex)


def areas_of(outline: BaseGeometry) -> BaseGeometry:
    """Return the areas of an outline, valid; a person can draw one that crosses itself."""
    return shapely.union_all(polygons(outline if outline.is_valid else shapely.make_valid(outline)))


def spellings(image: AnnotatedImage, settings: MeasureSettings) -> list[str]:
    """Say which classes of an image were read as another spelling of one that is measured."""
    return describe_spellings(image.objects, (settings.class_name, settings.cortex, *settings.sclerotic))


def unused(image: AnnotatedImage, settings: MeasureSettings) -> LeftOutObjects:
    """Count the objects of an image that take no part."""

    def used(item: PathObject) -> bool:
        if REVIEWED in item.metadata:
            return True
        has_part = is_glomerulus(item, settings) or is_cortex(item, settings) or is_exactly(item.class_name, IGNORED)
        return has_part and item.object_type == ANNOTATION and areas_of(item.geometry).area > 0

    return left_out(image.objects, used) + image.others
