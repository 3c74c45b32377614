"""Which animal, group, section and stain an image is of: from a sample sheet, else from its metadata in QuPath."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from glomseg.errors import MeasureError
from glomseg.study.records import Sample

FIELDS = ("animal", "group", "section", "stain")


def sample_of(metadata: Mapping[str, str]) -> Sample:
    """Read a sample from metadata or from a row of a sheet; the case of the names does not count."""
    lowered = {key.strip().lower(): (value or "").strip() for key, value in metadata.items() if key}
    return Sample(**{field: lowered.get(field, "") for field in FIELDS})


def read_samples(path: Path) -> dict[str, Sample]:
    """Read a sample sheet: CSV with the column `image` and any of animal, group, section, stain.

    Semicolons and tabs separate as well as commas. Raises MeasureError for a sheet that cannot be used.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MeasureError(f"the sample sheet {path} does not exist; check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise MeasureError(f"the sample sheet {path} cannot be read ({error}); save it as CSV in UTF-8") from error
    header = text.partition("\n")[0]
    separator = max(",;\t", key=header.count)
    reader = csv.DictReader(text.splitlines(), delimiter=separator)
    names = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
    if "image" not in names or not names.keys() & set(FIELDS):
        raise MeasureError(f"the sample sheet {path} needs a column image, and animal, group, section or stain")
    samples: dict[str, Sample] = {}
    for row in reader:
        image = (row[names["image"]] or "").strip()
        sample = sample_of({key: value for key, value in row.items() if isinstance(value, str)})
        if samples.setdefault(image, sample) != sample:
            raise MeasureError(f"the sample sheet {path} says two things about {image}; leave one row")
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
