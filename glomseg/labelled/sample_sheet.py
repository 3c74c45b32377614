"""Which animal, group, section and stain an image is of: from a sample sheet, else from its metadata in QuPath."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from glomseg.errors import MeasureError
from glomseg.labelled.sheets import read_sheet

FIELDS = ("animal", "group", "section", "stain")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Where a slide belongs; empty where nobody said."""

    animal: str = ""
    group: str = ""
    section: str = ""
    stain: str = ""


def sample_of(metadata: Mapping[str, str]) -> Sample:
    """Read a sample from metadata or from a row of a sheet; the case of the names does not count."""
    lowered = {key.strip().lower(): (value or "").strip() for key, value in metadata.items() if key}
    return Sample(**{field: lowered.get(field, "") for field in FIELDS})


def read_samples(path: Path) -> dict[str, Sample]:
    """Read a sample sheet: CSV with the column `image` and any of animal, group, section, stain.

    Semicolons and tabs separate as well as commas. Raises MeasureError for a sheet that cannot be used.
    """
    rows = read_sheet(path, "sample sheet", ["image"])
    if rows and not rows[0].keys() & set(FIELDS):
        raise MeasureError(f"the sample sheet {path} needs a column animal, group, section or stain beside image")
    samples: dict[str, Sample] = {}
    for row in rows:
        sample = sample_of(row)
        if samples.setdefault(row["image"], sample) != sample:
            raise MeasureError(f"the sample sheet {path} says two things about {row['image']}; leave one row")
    samples.pop("", None)
    return samples


def match_samples(
    samples: Mapping[str, Sample], images: Iterable[tuple[str, str, Sample]]
) -> tuple[dict[str, Sample], list[str]]:
    """Give each image, (key, name, sample in QuPath), its sample; the sheet names it by name, file stem or id.

    A cell that the sheet leaves empty keeps what QuPath says. Returns samples by key, and remarks on rows and images
    without a partner.
    """
    found: dict[str, Sample] = {}
    used: set[str] = set()
    missing = []
    for key, name, own in images:
        row = next((text for text in (name, Path(name).stem, key) if text in samples), None)
        if row is None:
            missing.append(name)
            found[key] = own
            continue
        used.add(row)
        merged = {field: getattr(samples[row], field) or getattr(own, field) for field in FIELDS}
        found[key] = Sample(**merged)
    remarks = []
    if unknown := sorted(samples.keys() - used):
        remarks.append(f"the sample sheet names images that are not here: {', '.join(unknown)}")
    if samples and missing:
        remarks.append(f"not in the sample sheet: {', '.join(missing)}")
    return found, remarks
