"""The columns of an outline as it lies on its image, whoever drew it; its form has those of `shape.SHAPE`."""

from __future__ import annotations

from glomseg.columns import Column
from glomseg.qupath.objects import PathObject

NAMING: tuple[Column[PathObject], ...] = (
    Column("object_id", "", "Object", "Id of the annotation in QuPath", lambda item: item.object_id),
    Column("name", "", "Name", "Name of the annotation", lambda item: item.name),
    Column("class", "", "Class", "Class of the annotation", lambda item: item.class_name),
)
PLACE: tuple[Column[PathObject], ...] = (
    Column(
        "confidence", "", "Confidence",
        "The model's mean probability inside the outline, 0 to 1; empty for a person's own",
        lambda item: item.measurements.get("Confidence"),
    ),
    Column(
        "agreement", "", "Agreement",
        "How much several models agree: 1 less the mean range of their probabilities inside; empty of one model",
        lambda item: item.measurements.get("Agreement"),
    ),
    Column(
        "x_px", "px", "x (px)", "Centre of area, from the left of the image, in full-resolution pixels",
        lambda item: item.geometry.centroid.x,
    ),
    Column(
        "y_px", "px", "y (px)", "Centre of area, from the top of the image, in full-resolution pixels",
        lambda item: item.geometry.centroid.y,
    ),
)  # fmt: skip
TOUCHES_EDGE: Column[PathObject] = Column(
    "touches_edge", "", "Touches edge", "1 where the outline reaches the edge of the image or of the processed area",
    lambda item: bool(item.measurements.get("Touches edge", 0)),
)  # fmt: skip
