"""Networks of one class and of three, ours and foreign, from the slide to GeoJSON and back."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from shapely.geometry import Point
from support.oracle import CLASSES, COLOURS, oracle_card, oracle_net, save_oracle
from support.slides import Disc, DiscSlide, disc_slide

from glomseg.models.predict import load_model
from glomseg.models.store import write_card
from glomseg.qupath.objects import read_geojson
from glomseg.runs.segment_slides import segment_slides
from glomseg.runs.segmenter import SegmentOptions
from glomseg.segment.contours import OutlineSettings
from glomseg.segment.outlines import find_glomeruli
from glomseg.segment.pipeline import SegmentSettings, outline_settings, segment_slide
from glomseg.segment.probability_map import ProbabilityMap
from glomseg.segment.tiles import BLOCK, ReadingFrame, Tile
from glomseg.slides.slide import open_slide

NAMES = CLASSES["class_names"]


class Bare(torch.nn.Module):
    """A network as another project would export it: of its own stride, and with a background as its first channel."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.net = oracle_net(classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.jit.is_scripting():
            assert x.shape[2] % 48 == 0
            assert x.shape[3] % 48 == 0
        logits = self.net(x) + 3
        return torch.cat([torch.full_like(logits[:, :1], 3.0), logits], dim=1)


def save_foreign(folder: Path, architecture: str, **card: object) -> Path:
    made = oracle_card(architecture=architecture, architecture_args={"stride": 48, "background": True}, **card)
    net = Bare(made.num_classes).eval()
    folder.mkdir()
    file = folder / made.weights_name
    if architecture == "torchscript":
        torch.jit.script(net).save(file)
    else:
        free = {"x": {0: "n", 2: "h", 3: "w"}}
        torch.onnx.export(net, (torch.rand(2, 3, 48, 96),), file, dynamo=False, input_names=["x"], dynamic_axes=free)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    write_card(folder, dataclasses.replace(made, weights_sha256=digest))
    return folder


@pytest.fixture
def slide(tmp_path: Path) -> DiscSlide:
    """Four discs of each class."""
    discs = [
        Disc(200.0 + 300 * column, 200.0 + 300 * row, 60, 60, colour=COLOURS[row])
        for row in range(3)
        for column in range(4)
    ]
    return disc_slide(tmp_path / "slide.tif", size=(1300, 1000), discs=discs)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")  # of torch's exporters
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize(
    ("network", "activation"),
    [("variable-unet", "sigmoid"), ("variable-unet", "softmax"), ("torchscript", "softmax"), ("onnx", "softmax")],
)
def test_from_the_slide_to_objects_and_back(
    tmp_path: Path, slide: DiscSlide, network: str, activation: str, classes: int
) -> None:
    card = {"activation": activation, **(CLASSES if classes == 3 else {})}
    folder = tmp_path / "model"
    folder = save_oracle(folder, **card) if network == "variable-unet" else save_foreign(folder, network, **card)
    model = load_model(folder)
    segment_slides([slide.path], tmp_path / "run", SegmentOptions(model=folder, device="cpu", keep_probability=True))
    (result,) = (tmp_path / "run").glob("*.geojson")
    objects = read_geojson(result)
    assert len(objects) == 4 * classes
    for item in objects:
        (disc,) = [disc for disc in slide.discs if item.geometry.contains(Point(disc.x, disc.y))]
        index = COLOURS.index(disc.colour)
        assert item.class_name == NAMES[index]
        assert item.color == CLASSES["class_colors"][index]
        assert item.geometry.area == pytest.approx(disc.area, rel=0.02)
        assert item.measurements["Confidence"] > 0.9
        by_class = {name: item.measurements.get(f"Confidence: {name}") for name in NAMES}
        assert max(by_class, key=lambda name: by_class[name] or 0) == item.class_name or classes == 1
    frame = ReadingFrame.of(slide.width, slide.height, slide.mpp, slide.mpp, 1.0)
    (probability,) = (tmp_path / "run" / "probability").glob("*.tif")
    with ProbabilityMap.kept(probability, frame, classes) as kept:
        again = find_glomeruli(kept, outline_settings(model.card, SegmentSettings()))
    assert [NAMES[item.class_index] for item in again] == [item.class_name for item in objects]
    for item, before in zip(again, objects, strict=True):  # GeoJSON rounds
        assert item.geometry.symmetric_difference(before.geometry).area < 0.01 * before.geometry.area


@pytest.mark.parametrize("tile", [96, 300])
def test_a_large_stride_gives_the_same_for_any_tile(tmp_path: Path, slide: DiscSlide, tile: int) -> None:
    model = load_model(save_foreign(tmp_path / "model", "torchscript", activation="softmax", **CLASSES))
    assert model.stride == 48
    with open_slide(slide.path) as opened:
        one = segment_slide(opened, model, SegmentSettings())
        other = segment_slide(opened, model, SegmentSettings(tile_px=tile, batch_size=2))
    assert len(one.glomeruli) == 12
    assert one.glomeruli == other.glomeruli


def painted(*planes: np.ndarray) -> ProbabilityMap:
    height, width = planes[0].shape
    values = ProbabilityMap(ReadingFrame(1.0, 1, 1, width, height), len(planes))
    values.write(Tile(0, 0, width, height, 0), np.stack(planes).astype(np.uint8))
    return values


def square(x: int, y: int, side: int, value: int = 255, size: int = 10 * BLOCK) -> np.ndarray:
    plane = np.zeros((size, size))
    plane[y : y + side, x : x + side] = value
    return plane


SETTINGS = OutlineSettings(threshold=0.5, minimum_area_um2=200, split_depth_um=3, tolerance_um=0.25)


def test_two_classes_that_touch_are_two_objects() -> None:
    left, right = find_glomeruli(painted(square(20, 40, 50), square(70, 40, 50)), SETTINGS)
    assert (left.class_index, right.class_index) == (0, 1)
    assert left.geometry.area == pytest.approx(2500, rel=0.03)
    assert right.geometry.area == pytest.approx(2500, rel=0.03)
    assert left.geometry.intersection(right.geometry).area < 30
    assert left.probabilities == (1, 0)


def test_an_island_of_another_class_belongs_to_what_is_around_it() -> None:
    """Ten by ten pixels in the middle rather look like the other class: one object, of the class of most of it."""
    first, second = square(40, 40, 60, 200), square(60, 60, 10, 250)
    (only,) = find_glomeruli(painted(first, second), SETTINGS)
    assert only.class_index == 0
    assert only.geometry.area == pytest.approx(3600, rel=0.01)
    assert only.probabilities[1] == pytest.approx(100 * 250 / 255 / 3600, abs=1e-3)


def test_classes_that_share_a_probability_add_up_where_they_exclude_each_other() -> None:
    """0.45 and 0.4 are 0.85 of a glomerulus for a softmax, and nothing above a half for two questions of their own."""
    values = painted(square(40, 40, 60, 115), square(40, 40, 60, 102))
    assert find_glomeruli(values, SETTINGS) == []
    (only,) = find_glomeruli(values, dataclasses.replace(SETTINGS, exclusive=True))
    assert only.class_index == 0
    assert only.confidence == pytest.approx(217 / 255)


def test_kept_probabilities_of_classes_are_channels_with_names(tmp_path: Path) -> None:
    import tifffile

    with painted(square(20, 40, 50, size=40 * BLOCK), square(70, 40, 50, size=40 * BLOCK)) as values:
        values.save(tmp_path / "kept.tif", ("One", "Two"))
        with ProbabilityMap.kept(tmp_path / "kept.tif", values.frame, 2) as kept:
            assert np.array_equal(kept.read(0, 0, 640, 640), values.read(0, 0, 640, 640))
            assert np.array_equal(kept.peaks, values.peaks)
    with tifffile.TiffFile(tmp_path / "kept.tif") as file:
        series = file.series[0]
        assert (series.axes, series.shape, len(series.levels)) == ("CYX", (2, 640, 640), 2)
        assert series.levels[1].asarray()[1, 30, 50] == 255
        assert 'Name="Two"' in file.ome_metadata
