"""Evaluating in one call from Python, and what is said where a model has seen the images before."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile
from PIL import Image
from support.slides import DISC, Disc, disc_slide, draw

from glomseg import EvaluateOptions, evaluate_model, evaluate_predictions
from glomseg.errors import EvaluationError, GlomsegError
from glomseg.evaluation.learned import learned_from
from glomseg.labelled.image_info import ImageInfo
from glomseg.qupath.objects import PathObject, write_geojson
from glomseg.runs.listener import Listener
from glomseg.runs.segmenter import SegmentOptions

CPU = SegmentOptions(device="cpu")


def labelled(root: Path, *names: str, mpp: float | None = 0.5) -> Path:
    """Draw small slides with discs, and their masks beside them."""
    for number, name in enumerate(names):
        image = root / f"{name}.tif"
        image.parent.mkdir(parents=True, exist_ok=True)
        slide = disc_slide(image, size=(512, 448), count=1, radius_um=25, seed=number, mpp=mpp)
        there = (draw((512, 448), slide.tissue, slide.discs) == DISC).all(axis=2)
        Image.fromarray(there * np.uint8(255)).save(root / f"{name}_mask.png")
    return root


@pytest.fixture
def model(oracle_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(oracle_folder, tmp_path / "model"))


def test_a_model_is_evaluated_from_python(model: Path, tmp_path: Path) -> None:
    data = labelled(tmp_path / "data", "s1", "s2", "s3")
    heard: list[str] = []
    options = EvaluateOptions(model=model, segment=CPU, pictures=False)
    result = evaluate_model(data, tmp_path / "out", options, listener=Listener(remark=heard.append))
    assert result.summary.overall.matched == result.summary.overall.true_objects == 3
    assert result.summary.overall.mean["dice"].units == 3
    assert any("truth: 3 masks, black and white" in remark for remark in heard)
    assert {path.name for path in result.folder.iterdir()} == {
        ".lock", ".written.json", "metrics.json", "per_slide.csv", "per_object.csv", "predictions"
    }  # fmt: skip


def test_predictions_are_scored_from_python(tmp_path: Path) -> None:
    data = labelled(tmp_path / "data", "s1", "s2")
    result = evaluate_predictions(data, data, tmp_path / "out", EvaluateOptions(pictures=False))
    assert result.summary.overall.pooled["f1"].value == 1
    with pytest.raises(EvaluationError, match="'half' is no part"):
        evaluate_predictions(data, data, tmp_path / "x", EvaluateOptions(part="half"))
    with pytest.raises(EvaluationError, match="`samples`"):
        evaluate_predictions(data, data, tmp_path / "x", EvaluateOptions(unit="animal"))


@pytest.mark.slow
def test_images_that_a_model_learned_from_are_said_and_can_be_left_out(model: Path, tmp_path: Path, glomseg) -> None:
    data = labelled(tmp_path / "data", "a/s1", "a/s2", "b/s1", "new")
    split = {"train": {"x": ["tiles/a/s1", "tiles/a/s2 [x=0,y=0]"]}, "validation": {}, "test": {"y": ["tiles/b/s1"]}}
    (model / "split.json").write_text(json.dumps({"by": "slide", "seed": 0, **split}))
    options = EvaluateOptions(model=model, segment=CPU, pictures=False)
    result = evaluate_model(data, tmp_path / "out", options)
    (said,) = (remark for remark in result.remarks if "training" in remark)
    assert said.startswith("2 of 4 images were in this model's training")
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["learned_from"] == {"train": 2, "validation": 0, "test": 1}
    command = ("evaluate", "--model", model, data, "-o", tmp_path / "out", "--device", "cpu", "--no-pictures")
    typed = glomseg(*command)
    assert "give --part test" in typed.err
    tested = glomseg(*command, "--part", "test")
    assert tested.code == 0, tested.err
    assert "part test: 1 of 4 images" in tested.err
    rows = list(csv.DictReader((tmp_path / "out/per_slide.csv").open()))
    assert [row["image"] for row in rows] == ["b/s1"]
    again = evaluate_predictions(tmp_path / "out/predictions", data, tmp_path / "scored", EvaluateOptions())
    assert any("training" in remark for remark in again.remarks), "the run's record says which model it was"
    with pytest.raises(GlomsegError, match="no image is of `part` validation"):
        evaluate_model(data, tmp_path / "out", EvaluateOptions(model=model, segment=CPU, part="validation"))


def test_a_card_that_names_the_data_is_said(model: Path, tmp_path: Path) -> None:
    card = json.loads((model / "card.json").read_text())
    card["training_data"] = [{"name": "mine", "licence": "none", "source": "folder mine"}]
    (model / "card.json").write_text(json.dumps(card))
    options = EvaluateOptions(model=model, segment=CPU, pictures=False)
    for folder, count in (("mine", 1), ("other", 0)):
        result = evaluate_model(labelled(tmp_path / folder, "s1"), tmp_path / f"out {folder}", options)
        assert sum("card says that it learned from mine" in remark for remark in result.remarks) == count


def test_a_slash_and_two_underscores_are_two_images(model: Path, tmp_path: Path) -> None:
    data = labelled(tmp_path / "data", "a/b", "a__b")
    result = evaluate_model(data, tmp_path / "out", EvaluateOptions(model=model, segment=CPU, pictures=False))
    assert result.summary.overall.images == result.summary.overall.matched == 2
    assert len(list((tmp_path / "out/predictions").glob("*.geojson"))) == 2


def test_slides_of_the_challenge_need_no_mpp(model: Path, tmp_path: Path) -> None:
    """80X and 40X by the challenge's table where the file says nothing: areas in um2 are those that were drawn."""
    root = tmp_path / "KPIs24 Testing Data/Task2_WSI_level"
    for group, mpp in (("DN", 0.2395 / 2), ("NEP25", 0.2395)):
        (root / group).mkdir(parents=True)
        disc = Disc(700, 600, 25 / mpp, 25 / mpp)
        picture = draw((1400, 1200), (0, 0, 1400, 1200), [disc])
        tifffile.imwrite(root / group / "08_368_01_wsi.tiff", picture, tile=(256, 256), photometric="rgb")
        there = (picture == DISC).all(axis=2)
        tifffile.imwrite(root / group / "08_368_01_mask.tiff", there * np.uint8(255), tile=(256, 256))
    options = EvaluateOptions(model=model, segment=CPU, pictures=False)
    result = evaluate_model(root, tmp_path / "out", options)
    areas = {image.info.group: image.values()["true_area_um2"] for image in result.evaluation.images}
    assert areas == pytest.approx({"DN": np.pi * 25**2, "NEP25": np.pi * 25**2}, rel=0.02)
    assert {image.info.split for image in result.evaluation.images} == {"test"}
    assert result.summary.overall.matched == 2
    masks = evaluate_predictions(root, root, tmp_path / "masks", EvaluateOptions(mpp=(0.2395, 0.2395), pictures=False))
    assert any("1 of 2 images say another size of their pixels than `mpp` (" in said for said in masks.remarks)
    unsaid = evaluate_predictions(root, root, tmp_path / "masks", EvaluateOptions(pictures=False))
    assert any("um per pixel of 2 images by the table of the KPIs challenge" in said for said in unsaid.remarks)


def test_tiles_exported_with_their_json_are_scored_by_the_labels_alone(tmp_path: Path, glomseg) -> None:
    """export.json and <image>-tiles.json lie beside the labels in the sequence that the documentation shows."""
    slide = disc_slide(tmp_path / "s.tif", size=(1024, 768), count=3, radius_um=25)
    outlines = tmp_path / "s.geojson"
    discs = [shapely.Point(disc.x, disc.y).buffer(disc.radius_x) for disc in slide.discs]
    write_geojson(outlines, [PathObject(geometry=disc, class_name="Glomerulus") for disc in discs])
    tiles = tmp_path / "tiles"
    made = glomseg("export-tiles", slide.path, "--geojson", outlines, "-o", tiles, "--tile-mpp", "1", "--size", "256")
    assert made.code == 0, made.err
    assert list(tiles.rglob("*.json"))
    result = evaluate_predictions(tiles, tiles, tmp_path / "out", EvaluateOptions(pictures=False))
    assert result.summary.overall.pooled["f1"].value == 1
    assert result.summary.overall.true_objects == result.summary.overall.matched > 0
    assert result.summary.overall.images == len(
        list(tiles.rglob("*-labelled.png")) or list(tiles.rglob("labels/*.png"))
    )


def test_a_slide_that_a_model_learned_from_in_tiles_is_known(tmp_path: Path) -> None:
    """A model adapted to a project and scored on that project has seen its slides, though as tiles."""
    place = "[x=0,y=0,w=512,h=512]"
    split = {
        "train": {"s1": [f"corrections/s1/s1 {place}", f"corrections/odd [1]/odd [1] {place}"]},
        "validation": {"s2": [f"corrections/s2/s2 {place}"]},
        "test": {},
    }
    (tmp_path / "split.json").write_text(json.dumps(split))
    learned = learned_from(tmp_path, [ImageInfo(key=key) for key in ("s1", "odd [1]", "s2", "s3", f"s1/s1 {place}")])
    assert learned is not None
    assert learned.parts == {"s1": "train", "odd [1]": "train", "s2": "validation", f"s1/s1 {place}": "train"}


@pytest.mark.parametrize(
    "name",
    ["plots/groups.png", "gallery/misses.png", "plots/thresholds.svg", "thresholds.csv", "predictions/a.geojson",
     "predictions/candidates/a.geojson", "predictions/glomeruli.csv", "predictions/probability/a.tif"],
)  # fmt: skip
def test_a_persons_file_in_the_output_folder_stays(model: Path, tmp_path: Path, name: str) -> None:
    data, output = labelled(tmp_path / "data", "a"), tmp_path / "out"
    own = output / name
    own.parent.mkdir(parents=True)
    own.write_text("mine; 1,5\n", encoding="utf-8")
    with pytest.raises(GlomsegError):
        evaluate_model(data, output, EvaluateOptions(model=str(model), sweep=True, segment=CPU))
    assert own.read_text(encoding="utf-8") == "mine; 1,5\n"
    own.unlink()
    for _ in range(2):
        evaluate_model(data, output, EvaluateOptions(model=str(model), sweep=True, segment=CPU))


def test_predictions_that_a_person_corrected_are_said_not_to_be_the_models(model: Path, tmp_path: Path) -> None:
    data, output = labelled(tmp_path / "data", "a", "b"), tmp_path / "out"
    options = EvaluateOptions(model=str(model), segment=CPU)
    assert "person changed" not in " ".join(evaluate_model(data, output, options).remarks)
    path = output / "predictions" / "a.geojson"
    corrected = [PathObject(geometry=shapely.box(10, 10, 90, 90), class_name="Glomerulus")]
    write_geojson(path, corrected)
    remarks = evaluate_model(data, output, options).remarks
    assert any("a person changed the predictions on 1 of 2 images since (a)" in remark for remark in remarks)
