"""Find damage in a PNG: its parts carry checksums, which decoders of pixels do not all compare."""

from __future__ import annotations

import zlib

_SIGNATURE = 8
_FRAME = 12  # length, name and checksum around the content of a chunk


def check_png(data: bytes) -> None:
    """Raise ValueError where a part that the pixels depend on is not as it was written, or the end is missing."""
    view, at = memoryview(data), _SIGNATURE
    while at + _FRAME <= len(data):
        size = int.from_bytes(view[at : at + 4], "big")
        name, end = bytes(view[at + 4 : at + 8]), at + _FRAME + size
        if end > len(data):
            break
        is_critical = not name[0] & 0x20  # a capital letter, as the format has it
        if is_critical and zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise ValueError("its pixels are not those that were written: a checksum does not fit")
        if name == b"IEND":
            return
        at = end
    raise ValueError("the end of the file is missing")
