"""Correct and retrain, on a real QuPath: what a person threw out is not found again, on slides never seen."""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageDraw
from shapely.geometry import Point
from support.reviewer import make_project, review
from support.tissue import PINK, PURPLE, WHITE

from glomseg.evaluation.matching import match, overlaps
from glomseg.evaluation.metrics import ObjectScore, object_score
from glomseg.geometry import geometries
from glomseg.qupath.objects import read_geojson
from glomseg.qupath.process import find_qupath, qupath_process

pytestmark = [pytest.mark.qupath, pytest.mark.slow]

BLUE = (95, 95, 165)
UM_PX = 2.0
SETTINGS = (
    "data.crop_px=64",
    "data.margin_px=0",
    "data.samples_per_epoch=80",
    "data.mining_every=0",
    "data.workers=0",
    "optimiser.batch_size=8",
    "optimiser.learning_rate=8e-3",
    "optimiser.ema_decay=0.8",
    "optimiser.precision=32-true",
    "validation.patience=0",
)
STEPS = 40
"""So many tell what was rejected from what was not; some 150 are taken in a minute where nothing else runs."""
QUICK = [word for setting in SETTINGS for word in ("--set", setting)]


def paint(rng, path, discs=8, decoys=8, width=2048, height=1536):
    """Paint a slide with glomeruli, and with discs of another colour that are none; returns the places of both."""
    picture = Image.new("RGB", (width, height), PINK)
    draw = ImageDraw.Draw(picture)
    for _ in range(180):
        draw.circle((rng.uniform(0, width), rng.uniform(0, height)), rng.uniform(6, 12), PURPLE)
    places = []
    while len(places) < discs + decoys:
        place, radius = np.array([rng.uniform(90, width - 90), rng.uniform(120, height - 90)]), rng.uniform(40, 52)
        if all(np.hypot(*(place - other)) > 130 for other, _ in places):
            draw.circle(tuple(place), radius, PURPLE if len(places) < discs else BLUE)
            places.append((place, radius))
    image = np.asarray(picture).astype(np.float32)
    image[:30] = WHITE
    image += rng.normal(0, 3, 3) + rng.normal(0, 10, image.shape)
    tifffile.imwrite(
        path,
        np.clip(image, 0, 255).astype(np.uint8),
        resolution=(1e4 / UM_PX, 1e4 / UM_PX),
        resolutionunit="CENTIMETER",
        photometric="rgb",
        tile=(256, 256),
    )
    return places[:discs], [(float(place[0]), float(place[1])) for place, _ in places[discs:]]


def object_f1(glomseg, model, slides, folder):
    """Segment slides, path to discs, and score what was found."""
    total = ObjectScore()
    for path, discs in slides.items():
        assert glomseg("segment", path, "--model", model, "-o", folder / path.stem).code == 0
        found = [item.geometry for item in read_geojson(folder / path.stem / f"{path.stem}.geojson")]
        met = overlaps(geometries(found), geometries([Point(*place).buffer(radius) for place, radius in discs]))
        total += object_score(met, match(met))
    return total.f1


@pytest.fixture(scope="module")
def qupath():
    if find_qupath() is None:
        pytest.skip("no QuPath is installed here (searched the usual places and PAQUO_QUPATH_DIR)")
    with qupath_process() as process:
        yield process


def test_what_was_rejected_is_not_found_again(qupath, glomseg, fields, tmp_path):
    start = tmp_path / "models" / "start"
    begun = glomseg("train", fields, "-o", start, "--mpp", 4, "--epochs", 5, "--set", "model.mpp=8", *QUICK)
    assert begun.code == 0, begun.err

    rng = np.random.default_rng(1)
    slides = {f"slide {number}.tif": paint(rng, tmp_path / f"slide {number}.tif") for number in range(4)}
    paths = [tmp_path / name for name in slides]
    held_out = {path: slides[path.name][0] for path in paths[3:]}
    before = object_f1(glomseg, start, held_out, tmp_path / "before")
    assert before < 0.8  # it takes the other discs for glomeruli

    project = qupath.call(make_project, tmp_path / "study", paths[:3])
    assert glomseg("annotate", project, "--model", start).code == 0
    thrown_out = qupath.call(review, project, {path.name: slides[path.name][1] for path in paths[:2]})
    assert thrown_out >= 14

    ended = glomseg("train", "--from-project", project, "-o", tmp_path / "better", "--epochs", 8, *QUICK)
    assert ended.code == 0, ended.err
    assert "slide 2.tif: not marked as reviewed; left out" in ended.err
    assert f"beginning with {start}" in ended.err
    exported = json.loads((tmp_path / "better/corrections/export.json").read_text())
    assert {folder.partition("/")[0] for folder in exported["images"]} == {
        "slide 0", "slide 1", "hard_negatives",
    }  # fmt: skip
    after = object_f1(glomseg, tmp_path / "better", held_out, tmp_path / "after")
    assert after > before + 0.1
    assert after > 0.9

    for minutes in (1, 3, 9):  # a busy machine takes few steps in a minute
        model = tmp_path / f"adapted in {minutes}"
        adapted = glomseg("train", "--from-project", project, "-o", model, "--minutes", minutes, *QUICK)
        assert adapted.code == 0, adapted.err
        made = json.loads((model / "adaptation.json").read_text())
        if made["steps"] >= STEPS:
            break
    assert "on reviewed images left out" in adapted.err
    assert "learned from 2 slides only" in " ".join(adapted.err.split())
    assert "gained" in adapted.err
    assert f"adapted to model {model.name}" in glomseg("status", project).err
    assert made["left_out"]["now"]["object_f1"] > made["left_out"]["before"]["object_f1"] + 0.1

    start.rename(tmp_path / "elsewhere")
    lost = glomseg("train", "--from-project", project, "-o", tmp_path / "none")
    assert lost.code == 1
    assert "model 'start', which is not found any more; name it with --start" in lost.err
