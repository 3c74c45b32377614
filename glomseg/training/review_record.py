"""Of what review the tiles of a training are, and as what they were written, so that nothing else is taken for them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from glomseg.errors import GlomsegError, ProjectError, TrainingError
from glomseg.files import remove_folder, write_json
from glomseg.listing import first_names
from glomseg.qupath.project import Project, ProjectImage, image_state, read_project
from glomseg.qupath.review_mark import REVIEWED
from glomseg.settings import parse_json, plain, read_record

NAME = "review.json"


@dataclass(frozen=True, kw_only=True)
class ReviewRecord:
    """Of each image of a project, by entry id, its name and what stood in it; the sha256 of each file made of them."""

    names: Mapping[str, str] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def record_of(project: Project) -> ReviewRecord:
    """Say what stands in the images of a project now."""
    return ReviewRecord(
        names={image.entry_id: image.name for image in project.images},
        states={image.entry_id: _state(image) for image in project.images},
    )


def _state(image: ProjectImage) -> str:
    try:
        sha256 = image_state(image).sha256
    except ProjectError:
        sha256 = None
    return f"{sha256} {image.metadata.get(REVIEWED)}"


def write_review_record(folder: Path, record: ReviewRecord) -> None:
    """Write the record into a folder of tiles, with the sums of all that lies there."""
    write_json(folder / NAME, plain(replace(record, files=_sums(folder))))


def remove_tiles(folder: Path) -> tuple[str, ...]:
    """Remove a folder of tiles; one in which anything is not as it was written is kept beside it, and that is said."""
    record = _read(folder)
    if record is not None and _sums(folder) == record.files:
        remove_folder(folder)
        return ()
    numbers = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(1))
    kept = next(place for place in numbers if not place.exists())
    folder.rename(kept)
    return (
        f"{folder} held files that a person changed or put there; they are in {kept} now, and are not learned from",
    )


def check_review(folder: Path, project: Path) -> tuple[str, ...]:
    """Say of what images of a project there is more by now than a folder of tiles has, in a training that goes on.

    Raises TrainingError where the tiles are of another project, and ProjectError.
    """
    record, now = _read(folder), record_of(read_project(project))
    if record is None or not record.names:
        return ()
    same_names = record.names.items() & now.names.items()
    if not same_names and not set(record.states.values()) & set(now.states.values()):
        raise TrainingError(
            f"{folder.parent}: its training learns from another project, with the images "
            f"{first_names(record.names.values())}; give that one, name another `output`, or start over with `restart`"
        )
    changed = [name for key, name in now.names.items() if now.states[key] != record.states.get(key)]
    if not changed:
        return ()
    return (
        f"saved, added or marked as reviewed since this training began: {first_names(changed)}; it goes on with the "
        "review as it stood then: `restart` learns from what stands now",
    )


def _read(folder: Path) -> ReviewRecord | None:
    """Return what was written; None where there is none, as of older trainings, or it cannot be read."""
    try:
        table = parse_json((folder / NAME).read_text(encoding="utf-8"), origin=NAME)
        return read_record(ReviewRecord, table, origin=NAME, unknown="leave")
    except (OSError, UnicodeDecodeError, GlomsegError):
        return None


def _sums(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / NAME)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
