"""What the candidates of a run would add: recall over all that it saw, beside the precision of what it was sure of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from glomseg.evaluation.matching import match, overlaps
from glomseg.evaluation.metrics import ObjectScore
from glomseg.evaluation.score import ImageScore
from glomseg.labelled.label_files import Selection, read_outlines
from glomseg.labelled.pairs import Pair
from glomseg.runs.run import RECORD, Run, load_run


@dataclass(frozen=True, kw_only=True)
class WithCandidates:
    """Counts at IoU 0.5 over images whose candidates are known, added up: `sure` alone, and with `candidates` more.

    `unknown` names the images whose candidates were not kept.
    """

    images: int
    candidates: int
    sure: ObjectScore
    everything: ObjectScore
    unknown: tuple[str, ...] = ()

    def in_words(self) -> str:
        """Say it in words."""
        sure, every = self.sure, self.everything
        text = (
            f"sure: precision {sure.precision:.3f} ({sure.matched} of {sure.predicted}), recall {sure.recall:.3f} "
            f"({sure.matched} of {sure.true}); with {self.candidates} candidates recall {every.recall:.3f} "
            f"({every.matched} of {every.true}), pooled over {self.images} image{'' if self.images == 1 else 's'}"
        )
        if not self.unknown:
            return text
        return f"{text}; left out: {len(self.unknown)} images whose run kept no candidates ({self.unknown[0]})"

    def to_table(self) -> dict[str, Any]:
        """Return what metrics.json says."""
        return {
            "images": self.images,
            "candidates": self.candidates,
            "precision_of_sure": self.sure.precision,
            "recall_of_sure": self.sure.recall,
            "recall_with_candidates": self.everything.recall,
            "sure": asdict(self.sure),
            "with_candidates": asdict(self.everything),
            "not_kept": list(self.unknown),
        }


def score_candidates(
    pairs: Sequence[Pair], images: Sequence[ImageScore], selection: Selection
) -> WithCandidates | None:
    """Score what a run was sure of, and that with its candidates, as scored `images` of `pairs`; None without any.

    Predictions that are no results of a run have no candidates, nor has a run whose model sets nothing aside. Raises
    GeoJSONError, and RunError where a run's record is damaged.
    """
    runs: dict[Path, Run | None] = {}
    unknown, counts, sure, everything, images_scored = [], 0, ObjectScore(), ObjectScore(), 0
    for pair, image in zip(pairs, images, strict=True):
        if pair.predicted is None or (run := _run_of(pair.predicted.path, runs)) is None:
            continue
        entry_id = pair.predicted.path.name.removesuffix(".geojson")
        record = run.images.get(entry_id)
        if record is None or (run.parameters.sureness is None and not record.candidates):
            continue
        path = run.candidates_path(entry_id)
        if record.candidates and not path.is_file():
            unknown.append(image.info.key)
            continue
        geometries = image.predicted.geometries
        if path.is_file():
            candidates = read_outlines(path, selection)
            if record.size and image.true.size and record.size != image.true.size:
                candidates = replace(candidates, size=record.size).stretched(image.true.size)
            geometries = np.concatenate([geometries, candidates.without(image.true.ignored).geometries])
        met = overlaps(geometries, image.true.geometries)
        matched = len(match(met).iou)
        counts += len(geometries) - len(image.predicted.geometries)
        sure += image.half
        everything += ObjectScore(matched, len(geometries), image.half.true, 0.0)
        images_scored += 1
    if not images_scored and not unknown:
        return None
    return WithCandidates(
        images=images_scored, candidates=counts, sure=sure, everything=everything, unknown=tuple(unknown)
    )


def _run_of(path: Path, runs: dict[Path, Run | None]) -> Run | None:
    """Return the run that a file of outlines is a result of, read once; None where it is of none."""
    folder = path.parent
    if folder not in runs:
        runs[folder] = load_run(folder) if (folder / RECORD).is_file() else None
    return runs[folder]
