"""glomeruli.csv: one row a glomerulus of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from glomseg.columns import Column, names, row
from glomseg.errors import GeoJSONError
from glomseg.files import csv_text
from glomseg.qupath.objects import PathObject
from glomseg.runs.candidates import counted_outlines
from glomseg.runs.run import Run
from glomseg.segment.columns import NAMING, PLACE, TOUCHES_EDGE
from glomseg.segment.shape import SHAPE, Shape, measure_shape
from glomseg.standing_files import write_kept

TABLE = "glomeruli.csv"


@dataclass(frozen=True)
class Outlined:
    """One outline of a run, and the image it lies on, whose pixels are `mpp` um in x and y."""

    image: str
    entry_id: str
    item: PathObject
    mpp: tuple[float, float]

    @cached_property
    def shape(self) -> Shape:
        """Measure the outline in um."""
        return measure_shape(self.item.geometry, *self.mpp)


COLUMNS: tuple[Column[Outlined], ...] = (
    Column("image", "", "Image", "Name of the image in the project, or of its file", lambda one: one.image),
    Column(
        "entry_id", "", "Entry id", "Id of the image in the project, or of its result in the run folder",
        lambda one: one.entry_id,
    ),
    *(column.of(lambda one: one.item) for column in (*NAMING, *PLACE, TOUCHES_EDGE)),
    *(column.of(lambda one: one.shape) for column in SHAPE),
)  # fmt: skip


def write_table(run: Run) -> tuple[str, ...]:
    """Write one CSV row for each glomerulus of a run to glomeruli.csv, from the results on disk.

    Returns which results cannot be read, and why, whose rows are missing; and what a person had changed, which is kept.
    """
    problems: list[str] = []
    rows = [row(COLUMNS, one) for one in _outlines(run, problems)]
    kept = write_kept({run.folder / TABLE: csv_text(names(COLUMNS), rows)})
    return (*problems, *kept)


def _outlines(run: Run, problems: list[str]) -> Iterator[Outlined]:
    for entry_id, record in run.images.items():
        if record.mpp is None or not run.has_result(entry_id):
            continue
        try:
            items = counted_outlines(run, entry_id)
        except GeoJSONError as error:
            problems.append(f"{record.name} is not in {TABLE}: {error}")
            continue
        for item in items:
            yield Outlined(record.name, entry_id, item, record.mpp)
