"""Score one image: everything that is said of it later, and of each of its objects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import shapely

from glomseg.errors import EvaluationError
from glomseg.evaluation.boundary import BoundaryDistance, boundary_distance
from glomseg.evaluation.kpis_f1 import KpisScore, kpis_score
from glomseg.evaluation.matching import Matching, Overlaps, match, merges, overlaps, splits
from glomseg.evaluation.metrics import IOU_THRESHOLDS, ObjectScore, PixelScore, object_score, pixel_score
from glomseg.geometry import Geometries
from glomseg.labelled.image_info import ImageInfo
from glomseg.labelled.kpis import reduction
from glomseg.labelled.label_files import Outlines, touches_edge

SIZE_SLACK = 0.02
"""Outlines may reach off their image by this share of its size; further out they are of another image or scale."""
MPP_SLACK = 0.01


@dataclass(frozen=True, kw_only=True)
class ObjectRow:
    """One object of one side; `status` is matched, missed (true, no partner) or false (predicted, no partner).

    Lengths and areas in um are NaN where the size of a pixel is not known. `iou` is that with its partner, or the
    best of any object where there is none.
    """

    side: str
    number: int
    status: str
    partner: int | None
    iou: float
    confidence: float
    class_name: str
    x_px: float
    y_px: float
    area_px: float
    area_um2: float
    hausdorff95_um: float = math.nan
    mean_distance_um: float = math.nan
    split: bool = False
    merge: bool = False
    touches_edge: bool = False


@dataclass(frozen=True, kw_only=True)
class ImageScore:
    """All counts of one image; `at` holds the object counts at each of IOU_THRESHOLDS, the first at 0.5."""

    info: ImageInfo
    pixels: PixelScore
    at: tuple[ObjectScore, ...]
    splits: int
    merges: int
    mpp: tuple[float, float] | None
    kpis: KpisScore | None
    objects: tuple[ObjectRow, ...] = field(repr=False)
    predicted: Outlines = field(repr=False)
    true: Outlines = field(repr=False)

    @property
    def half(self) -> ObjectScore:
        """Counts at IoU 0.5."""
        return self.at[0]

    def values(self) -> Mapping[str, float]:
        """Name the image's own scores, as the columns of per_slide.csv; NaN where there is nothing to measure."""
        um2 = math.nan if self.mpp is None else self.mpp[0] * self.mpp[1]
        pairs = [row for row in self.objects if row.side == "predicted" and row.status == "matched"]
        values = {
            **pixel_values(self.pixels),
            **object_values(self.half),
            "f1_50_95": float(np.mean([score.f1 for score in self.at])),
            "hausdorff95_um": _mean([row.hausdorff95_um for row in pairs]),
            "mean_distance_um": _mean([row.mean_distance_um for row in pairs]),
            "true_objects": self.half.true,
            "predicted_objects": self.half.predicted,
            "matched": self.half.matched,
            "count_bias": self.half.count_bias,
            "splits": self.splits,
            "merges": self.merges,
            "true_area_um2": self.pixels.true * um2,
            "predicted_area_um2": self.pixels.predicted * um2,
        }
        return values if self.kpis is None else {**values, "kpis_f1": self.kpis.f1}


def pixel_values(score: PixelScore) -> dict[str, float]:
    """Name the pixel scores."""
    return {
        "dice": score.dice,
        "iou": score.iou,
        "pixel_precision": score.precision,
        "pixel_recall": score.recall,
    }


def object_values(score: ObjectScore) -> dict[str, float]:
    """Name the object scores."""
    return {
        "f1": score.f1,
        "precision": score.precision,
        "recall": score.recall,
        "dq": score.f1,
        "sq": score.sq,
        "pq": score.pq,
    }


def score_image(
    info: ImageInfo,
    predicted: Outlines,
    true: Outlines,
    *,
    kpis: bool = False,
    rescale: bool = False,
    mpp: tuple[float, float] | None = None,
) -> ImageScore:
    """Compare both sides of one image; `mpp` wins over what the files say of the size of their pixels.

    `rescale` stretches a prediction of another size to that of the truth. `kpis` adds the challenge's own counts.
    Raises EvaluationError where sizes or pixel sizes differ.
    """
    predicted = _fitted(info.key, predicted, true, rescale)
    mpp = mpp or _common_mpp(info.key, predicted, true)
    predicted = predicted.without(true.ignored)
    true = true.without(true.ignored)
    met = overlaps(predicted.geometries, true.geometries)
    matchings = [match(met, threshold) for threshold in IOU_THRESHOLDS]
    size = true.size or predicted.size
    split, merged = splits(met), merges(met)
    return ImageScore(
        info=info,
        pixels=pixel_score(predicted.geometries, true.geometries, met),
        at=tuple(object_score(met, matching) for matching in matchings),
        splits=len(split),
        merges=len(merged),
        mpp=mpp,
        kpis=kpis_score(predicted.geometries, true.geometries, size, reduce=reduction(mpp and mpp[0], info.kpis))
        if kpis
        else None,
        objects=(
            *_rows("predicted", predicted, true.geometries, met, matchings[0], mpp, size, set(merged.tolist())),
            *_rows("true", true, predicted.geometries, met, matchings[0], mpp, size, set(split.tolist())),
        ),
        predicted=predicted,
        true=true,
    )


def _fitted(key: str, predicted: Outlines, true: Outlines, rescale: bool) -> Outlines:
    """Check that both sides speak of one image, and stretch the prediction where that is wanted."""
    if predicted.size and true.size and predicted.size != true.size:
        if rescale:
            return predicted.stretched(true.size)
        raise EvaluationError(
            f"{key}: the prediction is {predicted.size[0]} x {predicted.size[1]} px and the truth "
            f"{true.size[0]} x {true.size[1]}; make them one size, or stretch the prediction with --rescale"
        )
    size = true.size or predicted.size
    for side, items in (("prediction", predicted.geometries), ("truth", true.geometries)):
        if size and len(items):
            places, slack = shapely.bounds(items), SIZE_SLACK * max(size)
            off = np.count_nonzero(((places < -slack) | (places > np.add((*size, *size), slack))).any(axis=1))
            if off:
                right, bottom = np.nanmax(places[:, 2:], axis=0)
                raise EvaluationError(
                    f"{key}: the {side} reaches to {right:.0f}, {bottom:.0f} px on an image of {size[0]} x {size[1]} "
                    f"({off} of {len(items)} outlines lie off it); where it is of another image or scale, export it "
                    "again in full-resolution pixels, else delete or move what lies off it"
                )
    return predicted


def _common_mpp(key: str, predicted: Outlines, true: Outlines) -> tuple[float, float] | None:
    ours, theirs = predicted.mpp, true.mpp
    if ours and theirs and any(abs(a / b - 1) > MPP_SLACK for a, b in zip(ours, theirs, strict=True)):
        raise EvaluationError(
            f"{key}: the prediction has {ours[0]:g} um per pixel and the truth {theirs[0]:g}; "
            "are they of one image? Say which is right with --mpp"
        )
    return theirs or ours


def _rows(
    side: str,
    outlines: Outlines,
    others: Geometries,
    met: Overlaps,
    matching: Matching,
    mpp: tuple[float, float] | None,
    size: tuple[int, int] | None,
    flagged: set[int],
) -> list[ObjectRow]:
    """Describe each object of one side."""
    mine = side == "predicted"
    here, there = (matching.predicted, matching.true) if mine else (matching.true, matching.predicted)
    partner = dict(zip(here.tolist(), there.tolist(), strict=True))
    best = np.zeros(len(outlines.geometries))
    np.maximum.at(best, met.predicted if mine else met.true, met.iou)
    best[here] = matching.iou
    at_edge = touches_edge(outlines.geometries, size)
    rows = []
    for number, item in enumerate(outlines.geometries):
        other = partner.get(number)
        distance = BoundaryDistance(math.nan, math.nan)
        if mine and other is not None and mpp is not None:
            distance = boundary_distance(item, others[other], *mpp)
        rows.append(
            ObjectRow(
                side=side,
                number=number,
                status="matched" if other is not None else "false" if mine else "missed",
                partner=other,
                iou=float(best[number]),
                confidence=float(outlines.confidences[number]),
                class_name=outlines.class_names[number] if outlines.class_names else "",
                x_px=item.centroid.x,
                y_px=item.centroid.y,
                area_px=item.area,
                area_um2=item.area * mpp[0] * mpp[1] if mpp else math.nan,
                hausdorff95_um=distance.hausdorff95_um,
                mean_distance_um=distance.mean_um,
                split=not mine and number in flagged,
                merge=mine and number in flagged,
                touches_edge=bool(at_edge[number]),
            )
        )
    return rows


def _mean(values: list[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan
