"""What is remembered of an image: the predictions that stood in it after a write of ours, and those rejected before.

<project folder>/glomseg/memory/<entry id>/<mark>.geojson    true of data that carries this mark of a write
<project folder>/glomseg/memory/<entry id>.geojson           true of data without a mark, written by the first versions

It is written before the data that it is true of, under a name that this data alone bears: whenever a process ends, and
whichever state of the data is put back, what is remembered is true of it.
"""

from __future__ import annotations

from pathlib import Path

from glomseg.errors import GeoJSONError, ProjectError
from glomseg.qupath.image_data import readable_data
from glomseg.qupath.objects import PathObject, read_geojson
from glomseg.qupath.write_mark import mark_of
from glomseg.runs.changes import Written, find_write
from glomseg.runs.ownership import FINGERPRINT, REJECTED, Memory
from glomseg.runs.rights import is_there, may_read, say_no_right, unreadable_part
from glomseg.runs.run import checked_entry_id


def memory_path(runs_folder: Path, entry_id: str, mark: str | None) -> Path:
    """Tell where the memory of an image lies whose data carries this mark."""
    folder = runs_folder / "memory"
    name = checked_entry_id(entry_id)
    return folder / f"{name}.geojson" if mark is None else folder / name / f"{mark}.geojson"


def read_memory(runs_folder: Path, entry_id: str, data_folder: Path) -> Memory:
    """Read what is remembered of an image, as is true of the data that stands; a duplicate has that of its original.

    Where its file is gone or damaged, that is said in the memory, and the record of the write stands in, which tells as
    much. Raises ProjectError where the data cannot be read, or this user may not see what is remembered.
    """
    mark = mark_of(readable_data(data_folder))
    path = memory_path(runs_folder, entry_id, mark)
    if mark is not None and not is_there(path):
        path = next(iter(sorted((runs_folder / "memory").glob(f"*/{mark}.geojson"))), path)
    _refuse_unreadable(path, None if mark is None else runs_folder)
    damage = None
    if path.is_file():
        try:
            return Memory(predictions=tuple(read_geojson(path)), is_of_data=mark is not None)
        except GeoJSONError as error:
            damage = str(error)
    elif mark is not None:
        damage = f"{path} is gone"
    written = None if mark is None else find_write(runs_folder, entry_id, mark)
    if written is None:
        return Memory(is_of_data=mark is not None, lost=damage)
    return Memory(predictions=tuple(_from_change(written)), is_of_data=True, recovered=damage)


def _refuse_unreadable(path: Path, folder: Path | None) -> None:
    """Raise ProjectError where this user may not read a file that is there, or that may be in this folder."""
    hidden = path if is_there(path) and not may_read(path) else None
    if folder is not None and not is_there(path):
        hidden = unreadable_part(folder)
    if hidden is not None:
        raise ProjectError(say_no_right(hidden))


def _from_change(written: Written) -> list[PathObject]:
    """Gather from the record of a write what its memory held: what stood after it, and what was rejected before."""
    change = written.change
    gone = {item.metadata.get(FINGERPRINT) for item in change.removed}
    left = [
        item for item in change.remembered if REJECTED in item.metadata or item.metadata.get(FINGERPRINT) not in gone
    ]
    return [*left, *change.added]
