"""JPEG and PNG files that say who wrote them, so that a person's own pictures beside them are not taken for ours."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from glomseg.files import replacing

_MARK = b"glomseg"
_QUALITY = 88


def write_jpeg(picture: Image.Image, path: Path) -> None:
    """Write a picture as JPEG with our mark in its comment, whole or not at all; raises RunError."""
    with replacing(path) as temporary:
        picture.convert("RGB").save(temporary, "JPEG", quality=_QUALITY, comment=_MARK)


def png_mark() -> PngInfo:
    """Return our mark as a PNG takes it, in its comment."""
    mark = PngInfo()
    mark.add_text("comment", _MARK.decode())
    return mark


def is_marked(path: Path) -> bool:
    """Tell whether a file is a picture with our mark; False for what cannot be read."""
    try:
        with Image.open(path) as picture:
            return picture.info.get("comment") in (_MARK, _MARK.decode())
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return False
