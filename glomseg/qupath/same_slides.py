"""Which images of a project are of one slide: levels of a DICOM series, each opening as the whole, and copies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from glomseg.qupath.project import ProjectImage
from glomseg.slides.find_slides import dicom_copies, dicom_series


@dataclass(frozen=True, kw_only=True)
class SameSlides:
    """What to say of the images that are of another one's slide, by entry id, in words that fit behind their names.

    `other_levels` would be the whole slide again and are to be left out; `stand_for` gives the entry id of the image
    that stands for each. `copies` are entries of the same file, which a person made and which count, each for itself.
    """

    other_levels: Mapping[str, str]
    copies: Mapping[str, str]
    stand_for: Mapping[str, str]

    def left(self, images: Iterable[ProjectImage]) -> tuple[ProjectImage, ...]:
        """Return the images without the other levels of a slide."""
        return tuple(image for image in images if image.entry_id not in self.other_levels)

    def remarks(self, images: Iterable[ProjectImage]) -> list[str]:
        """Say of some of the images by name what is left out, and what is there twice."""
        said = {**{entry_id: f"{why}; left out" for entry_id, why in self.other_levels.items()}, **self.copies}
        return [f"{image.name}: {said[image.entry_id]}" for image in images if image.entry_id in said]


def same_slides(images: Iterable[ProjectImage]) -> SameSlides:
    """Tell which images of a project are of one slide; the largest level of a DICOM series stands for it.

    Of each file no more than its header is read. A copy of a DICOM slide under another path is known as such by its
    series; that of another file is a slide of its own.
    """
    by_file: dict[Path, list[ProjectImage]] = {}
    for image in images:
        if image.path is not None and image.problem is None:
            by_file.setdefault(image.path.resolve(), []).append(image)
    other_levels: dict[str, str] = {}
    stand_for: dict[str, str] = {}
    series = dicom_series(by_file)
    for first, *others in series:
        for image in (image for path in others for image in by_file.pop(path)):
            whole = by_file[first][0]
            stand_for[image.entry_id] = whole.entry_id
            other_levels[image.entry_id] = f"another level of the slide of {whole.name}"
    copies = {
        image.entry_id: f"of the same file as {first.name} (id {first.entry_id}); both count, as if of two slides"
        for first, *others in by_file.values()
        for image in others
    }
    for copy, original in dicom_copies(series).items():
        one = by_file[original][0]
        said = f"of a copy of the slide of {one.name} (id {one.entry_id}); both count, as if of two slides"
        copies.update({image.entry_id: said for image in by_file[copy]})
    return SameSlides(other_levels=other_levels, copies=copies, stand_for=stand_for)
