"""Zeros in compressed pixels: a hole is always named, and what encoders write never."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
import tifffile

from glomseg.slides import jpeg

Y, X = np.mgrid[:256, :256]
RNG = np.random.default_rng(0)
EVEN = np.full((256, 256, 3), 243, np.uint8)
NOISE = EVEN - RNG.integers(0, 90, EVEN.shape, dtype=np.uint8)
PICTURES = {
    "even": EVEN,
    "black": 0 * EVEN,
    "half": np.where(X[..., None] < 200, EVEN, NOISE),
    "a slope": np.dstack([Y, X, 255 - Y]).astype(np.uint8),
    "a steep slope": np.dstack([(4 * Y) % 256, X, Y]).astype(np.uint8),
    "stripes": np.repeat(255 * (X[..., None] % 2), 3, axis=2).astype(np.uint8),
    "noise": NOISE,
}


def written(picture: np.ndarray, quality: int, *, optimize: bool, subsampling: int, grey: bool) -> bytes:
    pixels = np.ascontiguousarray(picture[..., 0] if grey else picture)
    more = {} if grey else {"outcolorspace": "ycbcr", "subsampling": "444" if subsampling == 0 else "420"}
    return bytes(imagecodecs.jpeg8_encode(pixels, level=quality, optimize=optimize, **more))


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("name", PICTURES)
def test_what_an_encoder_writes_is_read(name: str, optimize: bool, grey: bool) -> None:
    for quality in (5, 30, 75, 92):
        for subsampling in (0, 2):
            data = written(PICTURES[name], quality, optimize=optimize, subsampling=subsampling, grey=grey)
            assert jpeg.decode(data, grey=grey).shape[:2] == (256, 256)


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("size", [200, 600, 4096])
def test_a_hole_is_found_wherever_it_is(optimize: bool, grey: bool, size: int) -> None:
    data = written(NOISE, 85, optimize=optimize, subsampling=2, grey=grey)
    start = data.rindex(b"\xff\xda") + 20
    for at in RNG.integers(start, len(data) - size - 2, 30).tolist():
        with pytest.raises(ValueError, match=r"."):
            jpeg.decode(data[:at] + bytes(size) + data[at + size :], grey=grey)


def test_no_tile_of_a_real_slide_is_called_damaged(data) -> None:
    with tifffile.TiffFile(data / "slides/CMU-1-Small-Region.svs") as tiff:
        page = tiff.pages.first
        for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
            tiff.filehandle.seek(offset)
            whole = jpeg.joined(tiff.filehandle.read(size), page.jpegtables, stored_as_rgb=True)
            assert jpeg.decode(whole, grey=False).ndim == 3
