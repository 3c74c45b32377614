"""Read from a DICOM file what says to which slide it belongs, without its pixels."""

from __future__ import annotations

import itertools
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from glomseg.errors import SlideError

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"  # VL Whole Slide Microscopy Image Storage
_IMPLICIT = "1.2.840.10008.1.2"
_UNREADABLE = ("1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99")  # big-endian, deflated: no slide is stored so
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")  # 4-byte lengths
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_SYNTAX, _CLASS, _TYPE = (0x0002, 0x0010), (0x0008, 0x0016), (0x0008, 0x0008)
_SERIES, _COLUMNS, _ROWS = (0x0020, 0x000E), (0x0048, 0x0006), (0x0048, 0x0007)
_PIXELS = (0x7FE0, 0x0010)
_MOST_FRAMES = 20_000  # that are looked at one by one
_WANTED = (_SYNTAX, _CLASS, _TYPE, _SERIES, _COLUMNS, _ROWS)
_MAX_DEPTH = 16

Tag = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class DicomHeader:
    """What one file says of itself: the series is the slide, the size in pixels that of this file's level."""

    series_uid: str
    is_whole_slide: bool
    image_type: tuple[str, ...]
    width: int
    height: int

    @property
    def is_level(self) -> bool:
        """Tell a level of the slide from its label, overview and thumbnail."""
        return self.is_whole_slide and not {"LABEL", "OVERVIEW", "THUMBNAIL"} & set(self.image_type)


def dicom_header(path: Path) -> DicomHeader | None:
    """Read the header of a DICOM file; None for any other file, and where it is damaged or stored as no slide is.

    The mark after the preamble tells, for most of these files have no ending.
    """
    try:
        if not path.is_file():  # a pipe would wait for ever
            return None
        with path.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                return None
            values = _values(file, os.fstat(file.fileno()).st_size)
    except (OSError, ValueError, struct.error):
        return None
    series = _text(values.get(_SERIES, b""))
    if not series:
        return None
    return DicomHeader(
        series_uid=series,
        is_whole_slide=_text(values.get(_CLASS, b"")) == WHOLE_SLIDE,
        image_type=tuple(part.strip().upper() for part in _text(values.get(_TYPE, b"")).split("\\") if part),
        width=int.from_bytes(values.get(_COLUMNS, b"")[:4], "little"),
        height=int.from_bytes(values.get(_ROWS, b"")[:4], "little"),
    )


def check_frames(path: Path) -> None:
    """Raise SlideError where the table of a file's frames is damaged: OpenSlide would end the whole process."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(132)
            _values(file, size, until=_PIXELS)
            _check_table(file, size)
    except (ValueError, struct.error) as error:
        raise SlideError(f"cannot open {path}: {error}; the file is damaged or cut off: copy it again") from error


def _check_table(file: BinaryIO, size: int) -> None:
    """Check that each offset of the table leads to a frame; the file stands before its pixels."""
    if _tag(file) != _PIXELS:
        raise ValueError("it has no pixels")
    _, length = _length(file, True)
    if length != _UNDEFINED:
        return
    if _tag(file) != _ITEM:
        raise ValueError("its table of frames is not where it should be")
    (count,) = struct.unpack("<I", file.read(4))
    start = file.tell() + count
    if count % 4 or start > size:
        raise ValueError("its table of frames is too long")
    offsets = struct.unpack(f"<{count // 4}I", file.read(count))
    if not offsets:  # there is none, or an extended one
        offsets = (0,)
    if offsets[0] != 0 or any(low >= high for low, high in itertools.pairwise(offsets)) or start + offsets[-1] > size:
        raise ValueError("its table of frames is out of order")
    for offset in offsets[:: 1 + len(offsets) // _MOST_FRAMES]:
        file.seek(start + offset)
        if _tag(file) != _ITEM:
            raise ValueError("its table of frames leads to none")


def _values(file: BinaryIO, size: int, until: Tag | None = None) -> dict[Tag, bytes]:
    """Collect the wanted elements; raises ValueError or struct.error where the file is not as DICOM says.

    Ends behind the last that is wanted, or before the element `until`.
    """
    values: dict[Tag, bytes] = {}
    explicit = True
    while file.tell() + 8 <= size:
        tag = _tag(file)
        if tag == until:
            file.seek(-4, os.SEEK_CUR)
            break
        if tag[0] > 2 and _SYNTAX in values:
            syntax = _text(values[_SYNTAX])
            if syntax in _UNREADABLE:
                raise ValueError(f"transfer syntax {syntax}")
            explicit = syntax != _IMPLICIT
        if until is None and tag > _ROWS:
            break
        kind, length = _length(file, explicit or tag[0] == 2)
        if tag in _WANTED and length < 4096:
            values[tag] = file.read(length)
        else:
            _skip(file, kind, length, explicit, 0)
    return values


def _tag(file: BinaryIO) -> Tag:
    group, element = struct.unpack("<HH", file.read(4))
    return group, element


def _length(file: BinaryIO, explicit: bool) -> tuple[bytes, int]:
    """Read an element's kind and its length in bytes."""
    if not explicit:
        return b"", int(struct.unpack("<I", file.read(4))[0])
    kind, short = struct.unpack("<2sH", file.read(4))
    return kind, int(struct.unpack("<I", file.read(4))[0]) if kind in _LONG else short


def _skip(file: BinaryIO, kind: bytes, length: int, explicit: bool, depth: int) -> None:
    """Go past a value; one of undefined length holds items, which hold elements."""
    if length != _UNDEFINED:
        file.seek(length, os.SEEK_CUR)
        return
    if depth > _MAX_DEPTH:
        raise ValueError("sequences within sequences")
    explicit = explicit and kind != b"UN"  # unknown sequences are stored implicitly
    while (tag := _tag(file)) != _SEQUENCE_END:
        (item,) = struct.unpack("<I", file.read(4))
        if tag != _ITEM:
            raise ValueError(f"{tag} instead of an item")
        if item != _UNDEFINED:
            file.seek(item, os.SEEK_CUR)
            continue
        while (inner := _tag(file)) != _ITEM_END:
            _skip(file, *_length(file, explicit), explicit, depth + 1)
            if inner == _SEQUENCE_END:
                raise ValueError("a sequence ends within an item")
        file.seek(4, os.SEEK_CUR)
    file.seek(4, os.SEEK_CUR)


def _text(value: bytes) -> str:
    return value.decode("latin-1").strip("\0 ")
