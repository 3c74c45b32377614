"""A PNG that was damaged on its way is refused by name, never read with garbage in it."""

import numpy as np
import pytest
from PIL import Image

from glomseg.errors import SlideError
from glomseg.geometry import Box
from glomseg.slides.slide import open_slide


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_hole_of_zeros_is_an_error(tmp_path, mode):
    path = tmp_path / "picture.png"
    pixels = np.random.default_rng(0).integers(0, 255, (256, 256) if mode == "L" else (256, 256, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    with open_slide(path, mpp=0.5) as slide:
        assert slide.read_downsampled(Box(0, 0, 256, 256), 1, 1).shape == (256, 256, 3)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 600] = bytes(600)
    path.write_bytes(content)
    with pytest.raises(SlideError, match=r"picture\.png"), open_slide(path, mpp=0.5) as slide:
        slide.read_downsampled(Box(0, 0, 256, 256), 1, 1)
