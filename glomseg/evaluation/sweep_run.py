"""What other thresholds would have made of the probabilities that a run has kept."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from glomseg.evaluation.evaluate import Evaluation
from glomseg.evaluation.plots import SUFFIXES, draw_sweep
from glomseg.evaluation.predictions import Predictions
from glomseg.evaluation.sweep import Kept, Point, best, sweep
from glomseg.files import csv_text, read_csv
from glomseg.labelled.pairs import Pair
from glomseg.runs.listener import Listener
from glomseg.segment.tiles import ReadingFrame
from glomseg.standing_files import remove_kept, write_kept

TABLE = "thresholds.csv"
COLUMNS = ("threshold", "images", "true", "predicted", "matched", "precision", "recall", "f1", "pq", "dice")


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """The threshold of the best object F1 on validation images (None without any), its F1 there and on the others."""

    best_threshold: float | None
    f1_on_validation: float | None = None
    f1_on_others: float | None = None

    def in_words(self) -> str:
        """Say it in words."""
        if self.best_threshold is None:
            return "no best threshold: no image is marked as validation (column split), and others must not choose it"
        rest = "" if self.f1_on_others is None else f", and {self.f1_on_others:.3f} on the others"
        return (
            f"best threshold on validation images: {self.best_threshold:g}, "
            f"with an object F1 of {self.f1_on_validation:.3f} there{rest}"
        )

    def to_table(self) -> dict[str, Any]:
        """Return what metrics.json says."""
        return asdict(self)


def sweep_run(
    predictions: Predictions, pairs: Sequence[Pair], evaluation: Evaluation, output: Path, listener: Listener
) -> SweepResult:
    """Score the kept probabilities of `pairs` at other thresholds; writes thresholds.csv and a plot into `output`."""
    run, segmenter = predictions.run, predictions.segmenter
    kept = []
    for pair, image in zip(pairs, evaluation.images, strict=True):
        if pair.predicted is None:  # could not be segmented, at any threshold
            continue
        entry_id = pair.predicted.path.name.removesuffix(".geojson")
        record = run.images[entry_id]
        assert record.size is not None
        assert record.mpp is not None
        assert record.reading_mpp is not None
        frame = ReadingFrame.of(*record.size, *record.mpp, record.reading_mpp)
        path = run.folder / "probability" / f"{entry_id}.tif"
        kept.append(Kept(probability=path, frame=frame, true=image.true, split=image.info.split))
    points = sweep(
        kept,
        segmenter.model.card,
        segmenter.settings,
        extras=segmenter.model.extras,
        scratch=run.folder,
        progress=lambda done, total: listener.waiting(f"thresholds, image {done} of {total}"),
    )
    rows = [row for point in points for row in _rows(point)]
    for text in write_kept({output / TABLE: csv_text(COLUMNS, rows)}):
        listener.warning(text)
    draw_sweep(points, output / "plots")
    threshold = best(points)
    at = next((point for point in points if point.threshold == threshold), None)
    return SweepResult(
        best_threshold=threshold,
        f1_on_validation=None if at is None else at.validation.f1,
        f1_on_others=None if at is None or not at.others.true else at.others.f1,
    )


def remove_sweep(output: Path) -> tuple[str, ...]:
    """Remove what a former evaluation said of other thresholds, which is not of the scores beside it.

    Returns where a table that a person changed is kept, in words.
    """
    table = output / TABLE
    with suppress(OSError, UnicodeDecodeError, csv.Error):
        if read_csv(table)[0] == list(COLUMNS):
            for path in sweep_pictures(output):
                path.unlink(missing_ok=True)
            return remove_kept(table)
    return ()


def sweep_pictures(output: Path) -> list[Path]:
    """Tell where the plot of a sweep lies."""
    return [output / "plots" / f"thresholds{suffix}" for suffix in SUFFIXES]


def _rows(point: Point) -> list[dict[str, object]]:
    sides = (
        ("validation", point.validation, point.validation_pixels),
        ("others", point.others, point.others_pixels),
    )
    return [
        {
            "threshold": point.threshold,
            "images": side,
            "true": objects.true,
            "predicted": objects.predicted,
            "matched": objects.matched,
            "precision": objects.precision,
            "recall": objects.recall,
            "f1": objects.f1,
            "pq": objects.pq,
            "dice": pixels.dice,
        }
        for side, objects, pixels in sides
    ]
