"""Typed records out of JSON and TOML: one reader for settings, cards, suites and recipes, one style of error.

A record is a frozen dataclass. Its annotations say the types, `limited` says what else holds of a field:

    @dataclass(frozen=True, kw_only=True)
    class Optimiser:
        learning_rate: float = limited(2e-3, above=0)
        schedule: Literal["cosine", "constant"] = "cosine"

    read_record(Optimiser, {"learning_rate": 1e-3}, origin="config.toml", error=TrainingError)

A field may be a text, a number, a truth value, a path, a `Literal` or `StrEnum`, a tuple or mapping of these, another
record, or one of them or None. What holds between fields a record checks in its `__post_init__`, and raises ValueError.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from glomseg.errors import GlomsegError, in_words

R = TypeVar("R")
_WORDS: dict[type, tuple[str, str]] = {  # one, and many of them
    bool: ("true or false", "truth values"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
    Path: ("a path", "paths"),
}


class _Wrong(ValueError):
    """A value that is wrong: what it is, and what to give, in words."""


def limited(
    default: Any = dataclasses.MISSING,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    among: Iterable[str] = (),
    pattern: str = "",
    what: str = "",
    key: str = "",
) -> Any:
    """Return a dataclass field with limits, which hold for each item of a tuple or mapping.

    A number is at least `low`, more than `above`, at most `high`; a text is one of `among`, or all of it matches
    `pattern`, which `what` describes ("a sha256 of 64 hexadecimal digits"). `key` is the field's name in the file,
    where that is another. A `default` that is a list or mapping is copied for each record.
    """
    limits = {"low": low, "high": high, "above": above, "among": tuple(among), "pattern": pattern, "what": what}
    metadata = {**limits, "key": key}
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def read_record(
    kind: type[R],
    table: Any,
    *,
    origin: str = "",
    error: type[GlomsegError] = GlomsegError,
    unknown: Literal["refuse", "leave"] = "refuse",
    prefix: str = "",
) -> R:
    """Make a record of a table; raises `error`, in one line that names `origin`, the key, its value and what to give.

    A key that the record does not have is refused, and the nearest one named, or left out where `unknown` says so.
    `prefix` stands before the keys in the messages, such as `optimiser.`
    """
    try:
        made: R = _record(kind, table, prefix, leave=unknown == "leave")
    except _Wrong as wrong:
        raise error(f"{origin}: {wrong}" if origin else str(wrong)) from wrong
    return made


def parse_toml(text: str, *, origin: str, error: type[GlomsegError] = GlomsegError) -> dict[str, Any]:
    """Parse TOML; raises `error`."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        raise error(f"{origin}: not TOML ({wrong}); correct it") from wrong


def parse_json(text: str, *, origin: str, error: type[GlomsegError] = GlomsegError) -> dict[str, Any]:
    """Parse a JSON object; raises `error`, for a key that stands twice too: which value counts is not said."""
    try:
        parsed = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as wrong:
        raise error(f"{origin}: not JSON ({in_words(wrong)}); correct it") from wrong
    if not isinstance(parsed, dict):
        raise error(f"{origin}: not a JSON object; correct it")
    return parsed


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"{twice} stands there twice")
    return table


def read_text(path: Path, *, what: str, error: type[GlomsegError] = GlomsegError) -> str:
    """Read a file of UTF-8; raises `error`, which says that it should be `what` ("a TOML file of settings")."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as wrong:
        raise error(f"{path}: cannot be read ({in_words(wrong)}); give {what}") from wrong


def plain(record: Any) -> Any:
    """Return a record as JSON and TOML take it: records to tables, tuples to lists, paths to texts, None left out."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        fields = dataclasses.fields(record)
        return {_key(item): plain(value) for item in fields if (value := getattr(record, item.name)) is not None}
    if isinstance(record, Mapping):
        return {str(key): plain(value) for key, value in record.items() if value is not None}
    if isinstance(record, tuple | list):
        return [plain(item) for item in record]
    return str(record) if isinstance(record, Path) else record


def no_such(what: str, name: str, known: Sequence[str], *, prefix: str = "") -> str:
    """Say that a name is none of the known ones, and which is meant: `no setting epoch; do you mean epochs?`."""
    near = difflib.get_close_matches(name, known, 1)
    meant = f"do you mean {prefix}{near[0]}?" if near else f"there are {', '.join(known)}"
    return f"no {what} {prefix}{name}; {meant}"


def _key(item: dataclasses.Field[Any]) -> str:
    return str(item.metadata.get("key") or item.name)


def _record(kind: Any, table: Any, prefix: str, *, leave: bool) -> Any:
    if not isinstance(table, Mapping):
        name = prefix.removesuffix(".")
        raise _Wrong(f"{name} is {table!r}, not a table; write {name}.key=value" if name else "not a table; correct it")
    hints, fields = _described(kind)
    values = {}
    for key, value in table.items():
        if key in fields:
            values[fields[key].name] = _value(f"{prefix}{key}", value, hints[fields[key].name], fields[key], leave)
        elif not leave:
            raise _Wrong(no_such("setting", str(key), list(fields), prefix=prefix))
    missing = [f"{prefix}{key}" for key, item in fields.items() if item.name not in values and _is_needed(item)]
    if missing:
        raise _Wrong(f"no {', '.join(missing)}; add what is missing")
    try:
        return kind(**values)
    except _Wrong:
        raise
    except ValueError as error:
        raise _Wrong(str(error)) from error


@functools.cache
def _described(kind: Any) -> tuple[dict[str, Any], dict[str, dataclasses.Field[Any]]]:
    """Return the types of a record's fields by name, and its fields by key: once for all of thousands of records."""
    return get_type_hints(kind), {_key(item): item for item in dataclasses.fields(kind) if item.init}


def _is_needed(item: dataclasses.Field[Any]) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _value(name: str, value: Any, kind: Any, item: dataclasses.Field[Any], leave: bool) -> Any:
    """Return `value` as `kind`, within the limits of its field."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, UnionType):
        if value is None and NoneType in inner:
            return None
        return _one_of(name, value, [one for one in inner if one is not NoneType], item, leave)
    if origin is Literal:
        if value not in inner:
            raise _Wrong(f"{name} is {value!r}; it is one of {', '.join(map(str, inner))}")
        return value
    if origin is tuple:
        return _tuple(name, value, inner, item, leave)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise _Wrong(f"{name} is {value!r}, not a table; write {name}.key=value")
        return {str(key): _value(f"{name}.{key}", one, inner[1], item, leave) for key, one in value.items()}
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, f"{name}.", leave=leave)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        if value not in [*kind]:
            raise _Wrong(f"{name} is {value!r}; it is one of {', '.join(kind)}")
        return kind(value)
    return _limited(name, _simple(name, value, kind), item.metadata)


def _one_of(name: str, value: Any, kinds: Sequence[Any], item: dataclasses.Field[Any], leave: bool) -> Any:
    """Return `value` as the first kind that takes it; the error is that of the last one."""
    for number, kind in enumerate(kinds, 1):
        try:
            return _value(name, value, kind, item, leave)
        except _Wrong:
            if number == len(kinds):
                raise
    raise AssertionError("a union of nothing")


def _tuple(name: str, value: Any, inner: tuple[Any, ...], item: dataclasses.Field[Any], leave: bool) -> Any:
    open_end = len(inner) == 2 and inner[1] is Ellipsis
    kinds = [inner[0]] * len(value) if open_end and isinstance(value, list | tuple) else list(inner)
    if not isinstance(value, list | tuple) or len(value) != len(kinds):
        count = "" if open_end else f"{len(inner)} "
        raise _Wrong(f"{name} is {value!r}, not a list of {count}{_WORDS.get(inner[0], ('', 'items'))[1]}")
    return tuple(_value(name, one, kind, item, leave) for one, kind in zip(value, kinds, strict=True))


def _simple(name: str, value: Any, kind: Any) -> Any:
    """Return a text, number, truth value or path; whole numbers are numbers, and true is none."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**1000 else math.inf
    if kind is Path and isinstance(value, str):
        value = Path(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _Wrong(f"{name} is {value!r}, not {_WORDS[kind][0]}")
    if kind is float and not math.isfinite(value):
        raise _Wrong(f"{name} is {value!r}, not a finite number")
    return value


def _limited(name: str, value: Any, limits: Mapping[str, Any]) -> Any:
    low, high, above, among = (limits.get(key) for key in ("low", "high", "above", "among"))
    if among and value not in among:
        raise _Wrong(f"{name} is {value!r}; it is one of {', '.join(among)}")
    if limits.get("pattern") and not re.fullmatch(limits["pattern"], str(value)):
        raise _Wrong(f"{name} is {value!r}, not {limits.get('what') or limits['pattern']}")
    if not isinstance(value, int | float) or isinstance(value, bool):
        return value
    if (low is not None and value < low) or (above is not None and value <= above) or _exceeds(value, high):
        raise _Wrong(f"{name} is {value!r}; give {_bounds(low, above, high)}")
    return value


def _exceeds(value: float, high: float | None) -> bool:
    return high is not None and value > high


def _bounds(low: float | None, above: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    said = (("at least", low), ("more than", above), ("at most", high))
    return ", ".join(f"{word} {bound:g}" for word, bound in said if bound is not None)
