"""What a run knows of one image: how far it got, what it found, and what became of that in the project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from glomseg.errors import RunError
from glomseg.settings import plain, read_record


class State(StrEnum):
    """How far an image got."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Outcome(StrEnum):
    """What did not come about in the project."""

    NOT_COLLECTED = "not in the project"
    NOT_UNDONE = "not undone"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the outlines of an image depend on, beside the run's parameters."""

    file: str | None = None
    bytes: int | None = None
    modified_ns: int | None = None
    mpp: tuple[float, float] | None = None
    """The pixel size that was given beside the file, in um along x and y."""
    region_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Collected:
    """How many outlines the last write of the run added to the image, and what became of the others.

    `left_out` counts by class ("" for none) the predictions that were not added, `left_alone` a person's annotations.
    """

    at: str
    added: int = 0
    removed: int = 0
    kept: int = 0
    dropped_for_a_persons: int = 0
    dropped_as_rejected: int = 0
    dropped_outside: int = 0
    deletions_not_believed: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    left_alone: Mapping[str, int] = field(default_factory=dict)
    image_moved: bool = False


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Whose annotations stood in the image after a write, and the sha256 of the data for which that is true."""

    at: str
    data_sha256: str | None = None
    machine: int
    persons: int
    verdicts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Undone:
    """What an undo took away and brought back, or the backup that was restored instead.

    `left_alone` counts by class the annotations of people that stand there.
    """

    at: str
    removed: int = 0
    restored: int = 0
    left_to_a_persons: int = 0
    left_as_rejected: int = 0
    left_alone: Mapping[str, int] = field(default_factory=dict)
    restored_from: str | None = None


@dataclass(frozen=True, kw_only=True)
class ImageRecord:
    """What a run knows of one image.

    `size` is (width, height) in level-0 pixels, `mpp` um per level-0 pixel along x and y, `computed_by` what computed
    its network and with numbers of which type, `seconds` the wall time by stage, `colour_profile` the ICC profile of
    its file, where that was applied or differs from sRGB, `file_sample` a sum over some places of that file,
    `candidates` the objects that were not sure enough to count, `remarks` what of its file was not read, guessed or
    odd, in words that fit behind its name, `doubts` why its outlines deserve a closer look. `outcome` says what did not
    come about in the project, `reason` why that or the segmenting failed, and `conflict` that it was because somebody
    else saved the image meanwhile.
    """

    name: str = ""
    state: State | None = None
    path: str | None = None
    inputs: Inputs | None = None
    size: tuple[int, int] | None = None
    mpp: tuple[float, float] | None = None
    reading_mpp: float | None = None
    computed_by: str | None = None
    colour_profile: str | None = None
    file_sample: str | None = None
    glomeruli: int | None = None
    candidates: int | None = None
    glomerular_area_um2: float | None = None
    tissue_area_um2: float | None = None
    network_passes: float | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    collected: Collected | None = None
    standing: Standing | None = None
    undone: Undone | None = None
    outcome: Outcome | None = None
    conflict: bool = False
    reason: str | None = None

    @property
    def is_done(self) -> bool:
        """Tell whether its outlines are complete."""
        return self.state is State.DONE

    @property
    def is_well(self) -> bool:
        """Tell whether it is segmented, and nothing that was to happen in the project failed."""
        return self.is_done and self.outcome is None


def read_image_record(table: Any, *, origin: str) -> ImageRecord:
    """Make the record of an image of its table in run.json; raises RunError, which names `origin`.

    The table is flat and holds null for what is gone, as that of the first versions did.
    """
    if not isinstance(table, Mapping):
        raise RunError(f"{origin}: {table!r} is no record of an image")
    values = {key: value for key, value in table.items() if value is not None}
    if {"width", "height"} <= values.keys():
        values["size"] = (values["width"], values["height"])
    return read_record(ImageRecord, values, origin=origin, error=RunError, unknown="leave")


def table_of(record: ImageRecord) -> dict[str, Any]:
    """Return a record as run.json holds it."""
    table: dict[str, Any] = plain(record)
    if record.size is not None:
        del table["size"]
        table["width"], table["height"] = record.size
    for name, empty in (("seconds", {}), ("remarks", []), ("doubts", []), ("conflict", False), ("name", "")):
        if table.get(name) == empty:
            del table[name]
    return table
