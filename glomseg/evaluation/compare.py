"""Compare two evaluations of the same data: which is better, by how much, and could it be chance?"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glomseg.errors import EvaluationError, in_words
from glomseg.evaluation.evaluation_folder import METRICS, PER_SLIDE
from glomseg.evaluation.intervals import Scale, intervals, least_p, sign_flip_test
from glomseg.files import from_json, read_csv

COMPARED = ("dice", "iou", "f1", "precision", "recall", "sq", "pq", "f1_50_95", "hausdorff95_um",
            "mean_distance_um", "kpis_f1")  # fmt: skip

SAME_AREA = 1.01
"""Of one truth at one pixel size, but for rounding."""
_ROUNDED = 1e-5
"""So much a mean may differ from that of rows with eight digits."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One score of A and of B: means over units, B less A with its 95 % interval, and the p of the paired test.

    A unit's score is the mean over its images. The interval is None for fewer than ENOUGH_UNITS units, and where all
    differ alike; `lowest` and `highest` are the differences of single units, None for one; `least_p` is the smallest p
    that so many units can give.
    """

    name: str
    a: float
    b: float
    difference: float
    low: float | None
    high: float | None
    p: float
    least_p: float
    units: int
    lowest: float | None = None
    highest: float | None = None


def compare(first: Path, second: Path) -> list[Difference]:
    """Compare the results in two folders that `evaluate` wrote; raises EvaluationError where they do not fit.

    Paired by image, averaged within units (animals, cases), tested by flipping the signs of the units' differences.
    """
    a, b = _read(first), _read(second)
    if a.keys() != b.keys():
        odd = sorted(a.keys() ^ b.keys())
        raise EvaluationError(f"{odd[0]!r} stands in only one of {first} and {second}; evaluate both on the same data")
    for name, row in a.items():
        if row["true_objects"] != b[name]["true_objects"]:
            raise EvaluationError(
                f"{name!r} has {row['true_objects']} true objects in {first} and {b[name]['true_objects']} "
                f"in {second}; evaluate both against the same truth"
            )
        areas = [float(rows[name].get("true_area_um2") or 0) for rows in (a, b)]
        if all(areas) and max(areas) > SAME_AREA * min(areas):
            raise EvaluationError(
                f"{name!r} has {areas[0]:.6g} um2 of true objects in {first} and {areas[1]:.6g} in {second}: of "
                "another truth, or with another pixel size; evaluate both alike"
            )
        if row["unit"] != b[name]["unit"]:
            raise EvaluationError(
                f"{name!r} counts for {row['unit']!r} in {first} and for {b[name]['unit']!r} in {second}; "
                "evaluate both with the same sample sheet"
            )
    differences = [
        _difference(name, a, b)
        for name in COMPARED
        if any(row.get(name) and b[key].get(name) for key, row in a.items())
    ]
    if not differences:
        raise EvaluationError(f"{first} and {second} share no score; evaluate both again")
    return differences


def _difference(name: str, a: Mapping[str, Mapping[str, str]], b: Mapping[str, Mapping[str, str]]) -> Difference:
    """Compare one score over the images where both have it."""
    keys = [key for key in a if a[key].get(name) and b[key].get(name)]
    units = sorted({a[key]["unit"] for key in keys})
    members = {unit: [key for key in keys if a[key]["unit"] == unit] for unit in units}
    one, two = (np.array([_mean(rows, members[unit], name) for unit in units]) for rows in (a, b))
    difference = two - one
    (interval,) = intervals(lambda some: difference[some].mean(keepdims=True), units, [Scale.DIFFERENCE])
    return Difference(
        name=name,
        a=float(one.mean()),
        b=float(two.mean()),
        difference=float(difference.mean()),
        low=interval.low,
        high=interval.high,
        p=sign_flip_test(difference),
        least_p=least_p(len(units)),
        units=len(units),
        lowest=interval.lowest,
        highest=interval.highest,
    )


def _mean(rows: Mapping[str, Mapping[str, str]], keys: Sequence[str], name: str) -> float:
    return float(np.mean([float(rows[key][name]) for key in keys]))


def _read(folder: Path) -> dict[str, dict[str, str]]:
    """Read the rows of per_slide.csv by image; raises EvaluationError, too, where they are not as they were written."""
    path = folder / PER_SLIDE
    try:
        means = from_json((folder / METRICS).read_text(encoding="utf-8"))["overall"]["mean"]
        listed = read_csv(path)[1]
        rows = {row["image"]: row for row in listed}
        if not rows or not all(row["true_objects"] and row["unit"] for row in rows.values()):
            raise ValueError("no rows")
        for row in rows.values():
            for name in (*COMPARED, "true_area_um2"):
                float(row.get(name) or 0)
        values = {name: means[name]["value"] for name in COMPARED if name in means}
        written = {name: float(value) for name, value in values.items() if value is not None}
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise EvaluationError(
            f"{folder} holds no finished evaluation ({in_words(error)}); make one with: "
            f"glomseg evaluate ... -o {folder}"
        ) from error
    for name, value in written.items():
        found = [float(row[name]) for row in listed if row.get(name)]
        mean = float(np.mean(found)) if found else math.nan
        if not math.isclose(mean, value, rel_tol=_ROUNDED, abs_tol=_ROUNDED):
            raise EvaluationError(
                f"{path} is not as it was written: the mean {name} of its rows is {mean:.6g}, and {value:.6g} in "
                f"{METRICS}; a spreadsheet may have saved it with other numbers; evaluate again"
            )
    return rows
