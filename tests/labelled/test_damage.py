"""A hole in a mask, where a sector was not copied, is an error and no background."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from glomseg.errors import LabelError
from glomseg.labelled.masks import look_at, read_label, read_mask
from glomseg.slides.png import check_png

SIZE = 1024
HOLE = 600


def scene() -> np.ndarray:
    """Draw 40 discs, white on black."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE]
    mask = np.zeros((SIZE, SIZE), np.uint8)
    for cy, cx in rng.integers(40, SIZE - 40, (40, 2)):
        mask[(y - cy) ** 2 + (x - cx) ** 2 < 35**2] = 255
    return mask


MASK = scene()
INDEXED = Image.fromarray((MASK > 0).astype(np.uint8), "P")
INDEXED.putpalette([0, 0, 0, 255, 255, 255])
WRITERS: dict[str, Callable[[Path], object]] = {
    "grey.png": lambda path: Image.fromarray(MASK).save(path),
    "rgb.png": lambda path: Image.fromarray(MASK).convert("RGB").save(path),
    "palette.png": lambda path: INDEXED.save(path),
    "grey.jpg": lambda path: Image.fromarray(MASK).save(path),
    "rgb.jpg": lambda path: Image.fromarray(MASK).convert("RGB").save(path),
    "progressive.jpg": lambda path: Image.fromarray(MASK).save(path, progressive=True),
    "jpeg_tiles.tif": lambda path: tifffile.imwrite(path, MASK, tile=(256, 256), compression="jpeg"),
    "jpeg_strips.tif": lambda path: tifffile.imwrite(path, MASK, rowsperstrip=64, compression="jpeg"),
    "jpeg_rgb.tif": lambda path: tifffile.imwrite(
        path, np.dstack([MASK] * 3), tile=(256, 256), compression="jpeg", photometric="rgb"
    ),
    "jpeg2000.tif": lambda path: tifffile.imwrite(path, MASK, tile=(256, 256), compression="jpeg2000"),
    "zip.tif": lambda path: tifffile.imwrite(path, MASK, tile=(256, 256), compression="zlib"),
    "lzw.tif": lambda path: tifffile.imwrite(path, MASK, tile=(256, 256), compression="lzw"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_hole_or_a_missing_end_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    assert int((read_label(path).numbers > 0).sum()) == pytest.approx((MASK > 0).sum(), rel=0.02)
    whole = path.read_bytes()
    for part in (0.3, 0.5, 0.8):
        at = int(part * len(whole))
        path.write_bytes(whole[:at] + bytes(HOLE) + whole[at + HOLE :])
        for read in (read_mask, read_label, look_at):
            with pytest.raises(LabelError, match=r"cannot be read as a mask \(.+\); export it again") as raised:
                read(path)
            assert str(path) in str(raised.value)
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(LabelError, match="cannot be read as a mask"):
        read_mask(path)


def test_one_changed_byte_of_a_png_is_damage_and_a_comment_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(MASK).save(path, dpi=(50_800, 50_800))
    whole = bytearray(path.read_bytes())
    check_png(bytes(whole))
    whole[whole.index(b"pHYs") + 5] ^= 1  # said beside the pixels, which are whole
    check_png(bytes(whole))
    whole[whole.index(b"IDAT") + 40] ^= 1
    with pytest.raises(ValueError, match="checksum"):
        check_png(bytes(whole))
