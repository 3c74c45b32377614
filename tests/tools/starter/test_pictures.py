"""Public pictures laid out with their truth: scale, slivers, unclear places, and what is set apart."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from glomseg import open_slide
from glomseg.labelled.label_files import Selection, read_outlines
from tools.starter import pictures


def laid_out(monkeypatch: pytest.MonkeyPatch, checkouts: Path, *words: str) -> Path:
    output = checkouts.parent / "pictures"
    monkeypatch.setattr(sys, "argv", ["pictures", str(checkouts), "--output", str(output), *words])
    pictures.main()
    return output


def test_photographs_have_the_scale_of_their_lens_and_slivers_are_not_asked_for(monkeypatch, tmp_path) -> None:
    folder = tmp_path / "checkouts/bupt-ai-cz+Glomeruli-Instance-Segmentation/code/tools/coco_test/JPEGImages"
    folder.mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (600, 500), "pink").save(folder / f"{number}-Masson.jpg")
        whole, sliver = (
            [[x, 20], [x + side, 20], [x + side, 20 + side], [x, 20 + side]] for x, side in ((10, 400), (500, 90))
        )
        shapes = [{"points": whole}, {"points": sliver}]
        (folder / f"{number}-Masson.json").write_text(json.dumps({"shapes": shapes}))
    output = laid_out(monkeypatch, tmp_path / "checkouts", "--only", "bupt-trichrome")
    assert [path.name for path in sorted((output / "bupt-trichrome").rglob("*.tif"))] == [
        "0-Masson.tif", "2-Masson.tif", "1-Masson.tif",
    ]  # fmt: skip
    with open_slide(output / "bupt-trichrome/rest/1-Masson.tif") as slide:
        assert slide.mpp == pytest.approx(0.46, rel=1e-3)
    truth = read_outlines(output / "bupt-trichrome/rest/1-Masson.geojson", Selection())
    assert [item.area for item in truth.geometries] == [160_000]
    assert truth.ignored is not None
    assert truth.ignored.area == 8100


def test_ellipses_and_unclear_places_are_those_that_we_keep(monkeypatch, tmp_path, capsys) -> None:
    folder = tmp_path / "checkouts/SaBay89+GlomeruliDetection/Images"
    folder.mkdir(parents=True)
    kept = {name: truth for name, truth in json.loads(pictures.ELLIPSES.read_text()).items() if name.startswith("PAS")}
    for name in kept:
        Image.new("RGB", (1062, 780), "pink").save(folder / f"{name}.jpg")
    output = laid_out(monkeypatch, tmp_path / "checkouts", "--only", "sabay-pas", "rpark-he")
    said = capsys.readouterr().out
    assert "sabay-pas: 4 pictures, 52 glomeruli" in said
    assert "rpark-he is left out" in said
    for path in (output / "sabay-pas").rglob("*.geojson"):
        truth = read_outlines(path, Selection())
        assert len(truth.geometries) == len(kept[path.stem]["glomeruli"])
        assert (truth.ignored is None) == (not kept[path.stem]["unclear"])


def test_organs_that_are_not_there_are_named(tmp_path, capsys) -> None:
    (tmp_path / "negatives/torchstain").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "negatives/torchstain/a.png")
    pictures.copy_organs(tmp_path, tmp_path / "organs")
    assert [path.name for path in (tmp_path / "organs").rglob("*")] == ["breast", "a.png"]
    assert "nothing of skin" in capsys.readouterr().out
