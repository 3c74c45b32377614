"""The values of a mask file as they are stored, whole or a part at a time, and what the file says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin

from glomseg.errors import LabelError
from glomseg.labelled.label_block import LabelPixels, WholeLabel, grey_of
from glomseg.labelled.label_tiff import MAX_STRIP_PX, tiff_label
from glomseg.labelled.label_values import SaidOfValues
from glomseg.labelled.unread import other_picture, unread_label
from glomseg.slides import jpeg
from glomseg.slides.png import check_png
from glomseg.slides.readers import BROKEN, ORIENTATION, reason, turned

_PLUGINS: dict[bytes, Callable[[Path], Image.Image]] = {
    b"\x89PNG": PngImagePlugin.PngImageFile,
    b"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    b"BM": BmpImagePlugin.BmpImageFile,
}
_SCALED = {"L;2": 85, "L;4": 17}  # Pillow spreads grey levels of few bits over 0 to 255


@contextmanager
def open_label(path: Path) -> Iterator[LabelPixels]:
    """Open a mask file for a while; raises LabelError where it cannot be read, then or while it is read."""
    try:
        pixels = label_pixels(path)
        try:
            yield pixels
        finally:
            pixels.close()
    except BROKEN as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: BaseException) -> LabelError:
    return LabelError(f"{path} cannot be read as a mask ({reason(error)}); export it again")


def label_pixels(path: Path) -> LabelPixels:
    """Open a mask by what its first bytes say; raises LabelError, or what its reader does where it is damaged."""
    with path.open("rb") as file:
        magic = file.read(4)
    if magic[:2] not in (b"II", b"MM"):
        return _plain(path, magic)
    return tiff_label(path)


def _plain(path: Path, magic: bytes) -> WholeLabel:
    opener = next((opener for start, opener in _PLUGINS.items() if magic.startswith(start)), None)
    if opener is None:
        if said := unread_label(path) or other_picture(path):
            raise LabelError(f"{path} is {said}")
        raise LabelError(f"{path} cannot be read as a mask (only PNG, JPEG, BMP and TIFF); export it again")
    if said := jpeg.unread_kind(path):
        raise LabelError(f"{path} is {said}, which is not read here; write it as PNG or TIFF")
    with opener(path) as image:  # Pillow's limit on sizes is on Image.open; ours follows
        if image.width * image.height > MAX_STRIP_PX:
            raise LabelError(
                f"{path} is {image.width} x {image.height} px in one piece; write it in tiles: "
                "vips tiffsave IN OUT.tif --tile"
            )
        if getattr(image, "n_frames", 1) > 1:
            raise LabelError(f"{path} holds {getattr(image, 'n_frames', 1)} pictures; export the one that is meant")
        scale = _SCALED.get(_raw_mode(image), 1)
        palette = _palette(image)
        lossy = image.format == "JPEG"
        is_turned = bool(turned(_orientation(image)))
        mode = image.mode
        values = _decoded(path, image)
    if mode == "1":
        values = values.view(np.uint8) > 0  # Pillow hands out 255 for yes
    elif mode.startswith("I;16"):
        values = values.astype(np.uint16)
    coloured = False
    if values.ndim == 3:
        values, coloured = grey_of(values, path, alpha=values.shape[2] in (2, 4), exact=lossy)
    if scale > 1:
        values = values // np.uint8(scale)
    return WholeLabel(
        values, None, SaidOfValues(dtype=values.dtype, lossy=lossy, palette=palette, turned=is_turned), coloured
    )


def _orientation(image: Image.Image) -> object:
    """Give the tag of EXIF; a PNG without one would be decoded for it."""
    return image.getexif().get(ORIENTATION) if image.format == "JPEG" or "exif" in image.info else None


def _decoded(path: Path, image: Image.Image) -> NDArray[Any]:
    """Decode so that damage is an error: Pillow makes pixels of what follows a hole. Raises ValueError for it."""
    if image.format == "PNG":
        check_png(path.read_bytes())
    elif image.format == "JPEG":
        content = path.read_bytes()
        data = jpeg.joined(content, None, stored_as_rgb=False) if image.mode in ("L", "RGB") else None
        if data is not None:
            pixels = jpeg.decode(data, grey=image.mode == "L")
            return pixels[..., 0] if image.mode == "L" else pixels
        jpeg.check_holes(content)
    return np.asarray(image.convert("RGB") if image.mode in ("CMYK", "YCbCr", "LAB", "HSV") else image)


def _raw_mode(image: Image.Image) -> str:
    tile = getattr(image, "tile", None)
    said = tile[0][3] if tile else ""
    return str(said[0] if isinstance(said, tuple) and said else said)


def _palette(image: Image.Image) -> tuple[tuple[int, int, int], ...] | None:
    if image.mode != "P":
        return None
    flat = image.getpalette("RGB") or []
    return tuple((flat[at], flat[at + 1], flat[at + 2]) for at in range(0, len(flat) - 2, 3))
