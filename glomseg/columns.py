"""What a table says: each column with its name, its unit, its meaning, and how its value is found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Record = TypeVar("Record")
Other = TypeVar("Other")
Row = dict[str, object]


@dataclass(frozen=True)
class Column(Generic[Record]):
    """A column of a table of records; `unit` is empty for what has none.

    `title` heads it in a report, `text` explains it in the data dictionary. `value` finds it in a record, None where
    it is not known. `measurement` names it in QuPath's measurement list, empty for what does not belong there.
    """

    name: str
    unit: str
    title: str
    text: str
    value: Callable[[Record], object]
    measurement: str = ""

    def of(self, part: Callable[[Other], Record | None]) -> Column[Other]:
        """Return the same column for records of which `part` finds what it speaks of; None there, None in the cell."""

        def value(record: Other) -> object:
            inner = part(record)
            return None if inner is None else self.value(inner)

        return Column(self.name, self.unit, self.title, self.text, value, self.measurement)


def names(columns: Iterable[Column[Record]]) -> list[str]:
    """List the names of columns."""
    return [column.name for column in columns]


def row(columns: Iterable[Column[Record]], record: Record) -> Row:
    """Return the values of a record by the names of the columns."""
    return {column.name: column.value(record) for column in columns}


def measurements(columns: Iterable[Column[Record]], record: Record) -> dict[str, float]:
    """Return the values that belong in QuPath's measurement list, by their names there; without what is not known."""
    values = {column.measurement: column.value(record) for column in columns if column.measurement}
    return {name: float(value) for name, value in values.items() if isinstance(value, bool | int | float)}


def dictionary(tables: Mapping[str, Sequence[Column[Any]]]) -> list[Row]:
    """Describe the columns of tables, one row each: table, name, unit, title, description."""
    return [
        {"table": table, "name": item.name, "unit": item.unit, "title": item.title, "description": item.text}
        for table, columns in tables.items()
        for item in columns
    ]
