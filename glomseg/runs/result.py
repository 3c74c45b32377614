"""What a command of the library did with the images of a run."""

from __future__ import annotations

from dataclasses import dataclass

from glomseg.runs.image_record import ImageRecord
from glomseg.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How the images that were asked for stand in `run`, and what the user should know.

    `is_waiting` says that the outlines are in the run folder and not in the project, for want of a QuPath or because
    that was asked for.
    """

    run: Run
    entry_ids: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    is_waiting: bool = False

    @property
    def records(self) -> dict[str, ImageRecord]:
        """Return the record of each image by its entry id."""
        return {entry_id: self.run.images[entry_id] for entry_id in self.entry_ids if entry_id in self.run.images}

    @property
    def failed(self) -> dict[str, ImageRecord]:
        """Return the records of the images that failed, or did not get into the project, by entry id."""
        return {entry_id: record for entry_id, record in self.records.items() if not record.is_well}
