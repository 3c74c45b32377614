"""JPEG and PNG files that say that we wrote them and how: a person's own beside them, and what one drew into them.

The mark is the comment "glomseg <sha256>", of the file without it.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from glomseg.files import replacing

_MARK = "glomseg {}"
_QUALITY = 88
_LARGEST = 1 << 28
"""Bytes of a file that may be one of ours: whatever has more is another's."""


def write_marked(picture: Image.Image, path: Path, *, is_packed: bool = True) -> None:
    """Write a picture with our mark, as PNG or JPEG by the name's end, whole or not at all; raises RunError.

    A PNG that is not packed takes more room and less time.
    """
    content = io.BytesIO()
    if _is_png(path):
        picture.save(content, "PNG", optimize=is_packed)
    else:
        picture.convert("RGB").save(content, "JPEG", quality=_QUALITY)
    with replacing(path) as temporary:
        temporary.write_bytes(_marked(content.getvalue(), _is_png(path)))


def is_as_written(path: Path) -> bool:
    """Tell whether a file is a picture of ours that nobody changed since; False for what cannot be read."""
    place, comment = _place(_is_png(path))
    try:
        if path.stat().st_size > _LARGEST:
            return False
        content = path.read_bytes()
    except OSError:
        return False
    length = len(comment(hashlib.sha256().hexdigest()))
    return content == _marked(content[:place] + content[place + length :], _is_png(path))


def _marked(content: bytes, is_png: bool) -> bytes:
    place, comment = _place(is_png)
    return content[:place] + comment(hashlib.sha256(content).hexdigest()) + content[place:]


def _place(is_png: bool) -> tuple[int, Callable[[str], bytes]]:
    """Return where in a file the comment stands, behind what says how large it is, and how it is written there."""
    return (33, _png_comment) if is_png else (20, _jpeg_comment)


def _png_comment(digest: str) -> bytes:
    chunk = b"tEXtcomment\0" + _MARK.format(digest).encode()
    return struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))


def _jpeg_comment(digest: str) -> bytes:
    text = _MARK.format(digest).encode()
    return b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text


def _is_png(path: Path) -> bool:
    return path.suffix.lower() == ".png"
