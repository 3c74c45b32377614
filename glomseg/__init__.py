"""Find glomeruli on whole-slide images and hand them to QuPath as polygons to review.

What stands in `__all__` is loaded when it is first asked for, so that importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glomseg.errors import GlomsegError
    from glomseg.evaluation.evaluate_model import (
        EvaluateOptions,
        EvaluationResult,
        evaluate_model,
        evaluate_predictions,
    )
    from glomseg.models.predict import load_model
    from glomseg.pictures.overlay import OverlayStyle
    from glomseg.qupath.objects import read_geojson
    from glomseg.report.gallery import write_gallery
    from glomseg.report.html import write_report
    from glomseg.runs.annotate import AnnotateOptions, annotate_project
    from glomseg.runs.collect import collect_run
    from glomseg.runs.each_image import WriteOptions
    from glomseg.runs.listener import Listener
    from glomseg.runs.restore import restore_image
    from glomseg.runs.result import RunResult
    from glomseg.runs.rethreshold import RethresholdOptions, rethreshold_run
    from glomseg.runs.segment_slides import segment_slides
    from glomseg.runs.segmenter import SegmentOptions
    from glomseg.runs.undo_run import undo_run
    from glomseg.segment.pipeline import SegmentSettings, segment_slide
    from glomseg.slides.slide import open_slide
    from glomseg.study.measure_project import MeasureOptions, measure_project
    from glomseg.study.records import MeasureSettings
    from glomseg.study.tables import write_tables
    from glomseg.study.write_back import write_measurements
    from glomseg.training.train_model import TrainOptions, TrainResult, retrain_from_project, train_model

__version__ = "0.1.0"
__all__ = [
    "AnnotateOptions",
    "EvaluateOptions",
    "EvaluationResult",
    "GlomsegError",
    "Listener",
    "MeasureOptions",
    "MeasureSettings",
    "OverlayStyle",
    "RethresholdOptions",
    "RunResult",
    "SegmentOptions",
    "SegmentSettings",
    "TrainOptions",
    "TrainResult",
    "WriteOptions",
    "__version__",
    "annotate_project",
    "collect_run",
    "evaluate_model",
    "evaluate_predictions",
    "load_model",
    "measure_project",
    "open_slide",
    "read_geojson",
    "restore_image",
    "rethreshold_run",
    "retrain_from_project",
    "segment_slide",
    "segment_slides",
    "train_model",
    "undo_run",
    "write_gallery",
    "write_measurements",
    "write_report",
    "write_tables",
]

_PLACES = {
    "AnnotateOptions": "glomseg.runs.annotate",
    "EvaluateOptions": "glomseg.evaluation.evaluate_model",
    "EvaluationResult": "glomseg.evaluation.evaluate_model",
    "GlomsegError": "glomseg.errors",
    "Listener": "glomseg.runs.listener",
    "MeasureOptions": "glomseg.study.measure_project",
    "MeasureSettings": "glomseg.study.records",
    "OverlayStyle": "glomseg.pictures.overlay",
    "RethresholdOptions": "glomseg.runs.rethreshold",
    "RunResult": "glomseg.runs.result",
    "SegmentOptions": "glomseg.runs.segmenter",
    "SegmentSettings": "glomseg.segment.pipeline",
    "TrainOptions": "glomseg.training.train_model",
    "TrainResult": "glomseg.training.train_model",
    "WriteOptions": "glomseg.runs.each_image",
    "annotate_project": "glomseg.runs.annotate",
    "collect_run": "glomseg.runs.collect",
    "evaluate_model": "glomseg.evaluation.evaluate_model",
    "evaluate_predictions": "glomseg.evaluation.evaluate_model",
    "load_model": "glomseg.models.predict",
    "measure_project": "glomseg.study.measure_project",
    "open_slide": "glomseg.slides.slide",
    "read_geojson": "glomseg.qupath.objects",
    "restore_image": "glomseg.runs.restore",
    "rethreshold_run": "glomseg.runs.rethreshold",
    "retrain_from_project": "glomseg.training.train_model",
    "segment_slide": "glomseg.segment.pipeline",
    "segment_slides": "glomseg.runs.segment_slides",
    "train_model": "glomseg.training.train_model",
    "undo_run": "glomseg.runs.undo_run",
    "write_gallery": "glomseg.report.gallery",
    "write_measurements": "glomseg.study.write_back",
    "write_report": "glomseg.report.html",
    "write_tables": "glomseg.study.tables",
}
"""Where each name of the face is defined; the imports for type checkers above say the same."""


def __getattr__(name: str) -> Any:
    """Load a name of the face on first use."""
    if name not in _PLACES:
        raise AttributeError(f"module 'glomseg' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
