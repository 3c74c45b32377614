"""The sample of `glomseg demo`: small, attributed, and a project whose slide lies beside it."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from glomseg.segment.tissue import find_tissue
from glomseg.slides.slide import open_slide

SAMPLE = Path(str(resources.files("glomseg"))) / "sample"


def test_sample_is_a_small_slide_with_tissue_and_attribution():
    slide = SAMPLE / "kidney_biopsy.tif"
    assert slide.stat().st_size < 2_000_000
    with open_slide(slide) as opened:
        assert opened.pixel_size == (0.5, 0.5)
        assert len(opened.levels) == 3
        assert 0.2 < find_tissue(opened).mask.mean() < 0.6
    text = (SAMPLE / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for part in ("Bueno", "CC BY 4.0", "k7nvtgn2x6", "Changes", "no measure"):
        assert part in text


def test_sample_project_describes_its_slide():
    project = json.loads((SAMPLE / "project.qpproj").read_text(encoding="utf-8"))
    (image,) = project["images"]
    server = image["serverBuilder"]
    with open_slide(SAMPLE / "kidney_biopsy.tif") as opened:
        assert (server["metadata"]["width"], server["metadata"]["height"]) == (opened.width, opened.height)
        levels = [(level["downsample"], level["width"], level["height"]) for level in server["metadata"]["levels"]]
        assert levels == [(level.downsample_x, level.width, level.height) for level in opened.levels]
    folder = project["uri"].removeprefix("file:").removesuffix("project.qpproj")
    assert server["uri"] == f"file://{folder}kidney_biopsy.tif"
