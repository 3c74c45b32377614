"""What a run has learned since run.json was last written whole: a line an image, in a file of each process that works.

<run folder>/journal/<token>.jsonl

A line costs the same after ten thousand images as after one, and each file has one writer, so that shards on many
machines write without waiting for each other. `load_run` reads the lines after run.json, and run.json says how far
into each file it knows it already. A last line that a kill has cut off is left out: its image is done again. One in
the middle that cannot be read is counted, and said.
"""

from __future__ import annotations

import os
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from glomseg.errors import RunError
from glomseg.files import from_json, json_text
from glomseg.runs.image_record import ImageRecord, read_image_record, table_of

JOURNAL = "journal"


@dataclass(frozen=True)
class Journal:
    """The file of one process; `name` is nobody else's."""

    run_folder: Path
    name: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def path(self) -> Path:
        """Tell where it lies."""
        return self.run_folder / JOURNAL / f"{self.name}.jsonl"

    def append(self, entry_id: str, record: ImageRecord) -> None:
        """Write down what is known of an image now, as a whole line or not at all; raises RunError."""
        at = datetime.now(UTC).isoformat()
        line = json_text({"at": at, "entry_id": entry_id, "image": table_of(record)}, indent=None)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:
                before = file.seek(0, os.SEEK_END)
                try:
                    left = memoryview(line.encode("utf-8", "backslashreplace") + b"\n")
                    while left:
                        left = left[file.write(left) or 0 :]
                except OSError:
                    file.truncate(before)
                    raise
        except OSError as error:
            raise RunError(
                f"cannot write {self.path}: {error.strerror}; free space or choose another folder"
            ) from error


@dataclass(frozen=True, kw_only=True)
class JournalContent:
    """What came after run.json: the newest record of each image, and how many bytes of each file that were.

    `unreadable` says how many lines of which file could not be read.
    """

    records: Mapping[str, ImageRecord]
    counted: Mapping[str, int]
    unreadable: Mapping[Path, int]

    @property
    def problems(self) -> tuple[str, ...]:
        """Say what could not be read, and what that means."""
        return tuple(
            f"{path}: {count} of its lines cannot be read; images of which nothing else is known are segmented again"
            for path, count in self.unreadable.items()
        )


def read_journals(run_folder: Path, counted: Mapping[str, int]) -> JournalContent:
    """Read what came after run.json, which holds as many bytes of each file already as `counted` says.

    Raises RunError for a record that is none.
    """
    lines: list[tuple[str, str, ImageRecord]] = []
    known: dict[str, int] = {}
    unreadable: Counter[Path] = Counter()
    for path in sorted((run_folder / JOURNAL).glob("*.jsonl")):
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        known[path.stem] = whole
        for line in content[counted.get(path.stem, 0) : whole].splitlines():
            try:
                said = from_json(line)
                at, entry_id, table = str(said["at"]), str(said["entry_id"]), said["image"]
            except (ValueError, KeyError, TypeError):
                unreadable[path] += 1
                continue
            lines.append((at, entry_id, read_image_record(table, origin=f"{path.name}, image {entry_id}")))
    lines.sort(key=lambda line: line[0])
    records = {entry_id: record for _, entry_id, record in lines}
    return JournalContent(records=records, counted=known, unreadable=unreadable)


def remove_journals(run_folder: Path, names: Iterable[str], *, is_in_use: bool = False) -> None:
    """Remove files of which run.json holds every line, and their folder where it is empty then and not `is_in_use`.

    Another shard may have found the folder there, and be about to open its file in it.
    """
    for name in names:
        (run_folder / JOURNAL / f"{name}.jsonl").unlink(missing_ok=True)
    if not is_in_use:
        with suppress(OSError):  # there is none, or what a newer glomseg keeps there
            (run_folder / JOURNAL).rmdir()
