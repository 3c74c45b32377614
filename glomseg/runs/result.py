"""What a command of the library did with the images of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from glomseg.runs.image_record import ImageRecord, State
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
        """Return the record of each image by its entry id; one of which nothing is written down counts as failed."""
        return {entry_id: self.run.images.get(entry_id) or self._unknown(entry_id) for entry_id in self.entry_ids}

    @property
    def unknown(self) -> tuple[str, ...]:
        """Name the images that were asked for and of which nothing is written down, by entry id."""
        return tuple(entry_id for entry_id in self.entry_ids if entry_id not in self.run.images)

    def _unknown(self, entry_id: str) -> ImageRecord:
        reason = f"nothing is written down of it in {self.run.folder}; give the same command again"
        return ImageRecord(name=f"image {entry_id}", state=State.FAILED, reason=reason)

    @property
    def failed(self) -> dict[str, ImageRecord]:
        """Return the records of the images that failed, or did not get into the project, by entry id."""
        return {entry_id: record for entry_id, record in self.records.items() if not record.is_well}

    @property
    def left(self) -> tuple[str, ...]:
        """Say by class and count what was left alone and left out in the project, in whole sentences."""
        collected = [record.collected for record in self.records.values() if record.is_well and record.collected]
        undone = [record.undone for record in self.records.values() if record.undone and not record.collected]
        alone = [*(one.left_alone for one in collected), *(one.left_alone for one in undone)]
        reasons = {
            "on a person's": sum(one.dropped_for_a_persons for one in collected),
            "deleted or rejected by a person before": sum(one.dropped_as_rejected for one in collected),
            "on one outside the area": sum(one.dropped_outside for one in collected),
        }
        not_back = {
            "on a person's": sum(one.left_to_a_persons for one in undone),
            "deleted or rejected by a person since": sum(one.left_as_rejected for one in undone),
        }
        said = {
            "left alone, as a person's": _by_class(alone),
            "left out, outlines": _by_class(one.left_out for one in collected) + _why(reasons),
            "not brought back": _why(not_back).strip(" ()"),
        }
        return tuple(f"{what}: {text}" for what, text in said.items() if text)


def _by_class(counts: Iterable[Mapping[str, int]]) -> str:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    entries = sorted(total.items(), key=lambda entry: (-entry[1], entry[0]))
    return ", ".join(f"{count} {f'of class {name}' if name else 'without a class'}" for name, count in entries)


def _why(reasons: Mapping[str, int]) -> str:
    texts = [f"{count} {reason}" for reason, count in reasons.items() if count]
    return f" ({', '.join(texts)})" if texts else ""
