"""Decode JPEG so that damage is an error: libjpeg repairs it aloud, and other decoders drop what it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import simplejpeg

from glomseg.slides.jpeg2000 import check_jpeg2000

_JPEG2000 = (33003, 33004, 33005, 34712)
BLIND_TO_HOLES = (*_JPEG2000, 50000, 50001)  # and Zstd, WebP: they make pixels of anything
HOLE = bytes(512)  # a sector that was not copied; compressed pixels hold no such run
_RUN = bytes(128)  # of zeros, which baseline pixels hold only where zeros say "as before"
_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_SOF, _SOS = (0xC0, 0xC1, 0xC2), 0xDA
_PROGRESSIVE, _DHT = 0xC2, 0xC4
_UNREAD = {0xC3: "lossless JPEG", 0xF7: "JPEG-LS"}
_HEAD = 2**20  # bytes before the frame's header, where profiles and descriptions stand
_STORED_AS_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"  # an Adobe marker without colour transform


def joined(data: bytes, tables: bytes | None, *, stored_as_rgb: bool) -> bytes | None:
    """Make one JPEG file of an abbreviated stream and its tables; None where it is no baseline 8-bit picture.

    `stored_as_rgb` says that its samples are RGB though no marker does, as in Aperio's files.
    """
    start = _start_of_scan(data)
    if start is None:
        return None
    head = _SOI if not tables else tables.removesuffix(_EOI)
    marker = _STORED_AS_RGB if stored_as_rgb else b""
    return b"".join((head, data[2:start], marker, data[start:]))


def decode(data: bytes, *, grey: bool) -> npt.NDArray[np.uint8]:
    """Decode a JPEG file to (H, W, 3), or (H, W, 1) where `grey`.

    Raises ValueError for whatever libjpeg remarks, and for a hole of zeros, on which it may get in step again.
    """
    _check_scan(data)
    pixels: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "GRAY" if grey else "RGB", strict=True)
    return pixels


def unread_kind(path: Path) -> str | None:
    """Name the kind of a JPEG file that no decoder here is for, by the header of its frame; None for any other."""
    with path.open("rb") as file:
        start = file.read(len(_SOI))
        data = start + file.read(_HEAD) if start == _SOI else b""
    for marker, at in _markers(data):
        if marker in _UNREAD:
            return _UNREAD[marker]
        if _is_frame(marker) and data[at + 4 : at + 5] > b"\x08":
            return f"JPEG of {data[at + 4]} bits"
    return None


def _start_of_scan(data: bytes) -> int | None:
    """Go from marker to marker up to the compressed pixels; None where they are not of 8-bit baseline kind."""
    known = False
    for marker, at in _markers(data):
        if marker == _SOS:
            return at if known else None
        if _is_frame(marker):
            if marker not in _SOF or data[at + 4] != 8:
                return None
            known = True
    return None


def _markers(data: bytes) -> Iterator[tuple[int, int]]:
    """Give the markers of a JPEG file's header and where they stand, up to that of the first scan."""
    at = 2 if data.startswith(_SOI) else len(data)
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker != 0xFF:
            yield marker, at
        if marker == _SOS:
            return
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def _is_frame(marker: int) -> bool:
    return 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)


def _check_scan(data: bytes) -> None:
    """Raise ValueError where baseline pixels hold zeros that no encoder writes.

    The code of zeros alone is that of the first symbol of a Huffman table. Where that says "no change" of a block's
    mean and "end" of its details for each component, an even area is a run of zeros, and nothing is said.
    """
    start = _start_of_scan(data) if _RUN in data else None
    if start is None or data.rfind(_RUN) <= start:
        return
    first: dict[int, int] = {}
    for marker, at in _markers(data):
        if marker == _PROGRESSIVE:
            return
        if marker == _DHT:
            _first_symbols(data[at + 4 : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")], first)
    tables = [data[start + 6 + 2 * component] for component in range(data[start + 4])]
    if any(first.get(pair >> 4, 0) or first.get(0x10 | pair & 15, 0) for pair in tables):
        raise ValueError("a stretch of zeros lies in its compressed pixels")


def _first_symbols(tables: bytes, first: dict[int, int]) -> None:
    """Note the first symbol of each Huffman table in a segment, by class (4 bits) and number (4 bits)."""
    at = 0
    while at + 17 < len(tables):
        first[tables[at]] = tables[at + 17]
        at += 17 + sum(tables[at + 1 : at + 17])


def check_holes(data: bytes, compression: int | None = None) -> None:
    """Raise ValueError where compressed pixels hold a sector of zeros, for decoders that do not notice.

    `compression` is a TIFF's; JPEG 2000 says itself how many zeros it may hold.
    """
    if compression in _JPEG2000:
        check_jpeg2000(data)
    elif HOLE in data:
        raise ValueError("a stretch of zeros lies in its compressed pixels")
