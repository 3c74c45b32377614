from pathlib import Path

import numpy as np
from scipy import ndimage
from shapely.geometry import Point
from support.slides import write_pyramid

from glomseg.slides.slide import open_slide
from glomseg.study.sharpness import measure_sharpness


def test_a_slide_out_of_focus_has_less_detail(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(80, 250, (100, 100, 3)).repeat(6, axis=0).repeat(6, axis=1)
    fine = np.clip(coarse + rng.normal(0, 15, coarse.shape), 0, 255)
    found = []
    for name, sigma in (("sharp", 0), ("soft", 1.5), ("blurred", 6)):
        image = ndimage.gaussian_filter(fine, (sigma, sigma, 0)).astype(np.uint8)
        with open_slide(write_pyramid(tmp_path / f"{name}.tif", image, 0.5)) as slide:
            found.append(measure_sharpness(slide, [Point(300, 300).buffer(100)]))
            assert measure_sharpness(slide, []) is None
    assert found[0] > 1.3 * found[1] > 1.3 * 1.3 * found[2]
