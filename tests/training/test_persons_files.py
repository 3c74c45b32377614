"""What a person put, changed or reviewed where a training writes, or goes on, is neither lost nor taken for another."""

import json
import shutil
from dataclasses import replace

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from support.tissue import UM_PX

from glomseg.errors import GlomsegError, RunError, TrainingError
from glomseg.qupath.project import read_project
from glomseg.runs.lock import locked
from glomseg.training.config import TrainConfig
from glomseg.training.data.training_data import read_data
from glomseg.training.review_record import NAME, check_review, record_of, remove_tiles, write_review_record
from glomseg.training.train_model import TrainOptions, preview_training, retrain_from_project, train_model

OPTIONS = TrainOptions(settings=("epochs=1", "model.mpp=8", "data.crop_px=64"), tile_mpp=UM_PX, device="cpu")


def test_a_folder_in_which_another_training_works_is_refused_and_one_that_it_refuses_is_as_it_was(fields, tmp_path):
    """Two that began at once both ended well, with the settings of one and the weights of the other."""
    with locked(tmp_path / "model"):
        before = {path.name for path in (tmp_path / "model").iterdir()}
        with pytest.raises(RunError, match="another glomseg is working in"):
            train_model([fields], tmp_path / "model", OPTIONS)
        with pytest.raises(RunError, match="another glomseg is working in"):
            retrain_from_project(tmp_path / "none.qpproj", tmp_path / "model", OPTIONS)
        assert {path.name for path in (tmp_path / "model").iterdir()} == before
    with pytest.raises(GlomsegError):
        train_model([tmp_path / "nowhere"], tmp_path / "other", OPTIONS)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("split.json", '{"mine": 1}'),
        ("split.json", '{"by": "slide", "seed": 0, "train": {}, "validation": {}, "test": {}, "note": "blind"}'),
        ("survey.csv", "image,remark\na.png,good\n"),
        ("history.csv", "when,what\n2026,stained\n"),
        ("curves.png", "mine"),
        ("worst.png", "mine"),
        ("adaptation.json", '{"mine": 1}'),
        ("weights.safetensors", "mine"),
    ],
)
@pytest.mark.parametrize("restart", [False, True])
def test_a_persons_file_is_not_replaced(fields, tmp_path, name, content, restart):
    (tmp_path / name).write_text(content)
    with pytest.raises(GlomsegError, match=name):
        train_model([fields], tmp_path, replace(OPTIONS, restart=restart))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: content}


def test_a_persons_picture_is_no_preview(fields, tmp_path):
    preview_training([fields], tmp_path, OPTIONS)
    preview_training([fields], tmp_path, OPTIONS)  # ours is replaced
    path = tmp_path / "preview.png"
    with Image.open(path) as drawn:
        comment = PngInfo()
        comment.add_text("comment", drawn.info["comment"])
        drawn.putpixel((3, 3), (255, 0, 0))
        drawn.save(path, pnginfo=comment)
    with pytest.raises(GlomsegError, match=r"preview\.png is there and not as glomseg wrote it"):
        preview_training([fields], tmp_path, OPTIONS)


def test_a_training_that_goes_on_replaces_nothing_that_a_person_drew_or_wrote(fields, tmp_path):
    train_model([fields], tmp_path, OPTIONS)
    train_model([fields], tmp_path, OPTIONS)  # there is nothing left to do
    for name, change in (("worst.png", b"drawn into"), ("history.csv", b"")):
        was = (tmp_path / name).read_bytes()
        changed = was + change if change else b"remark," + was.replace(b"\n", b"\nx,").removesuffix(b"x,")
        (tmp_path / name).write_bytes(changed)
        with pytest.raises(RunError, match=f"{name}.*so nothing was written"):
            train_model([fields], tmp_path, OPTIONS)
        assert (tmp_path / name).read_bytes() == changed
        (tmp_path / name).write_bytes(was)
    train_model([fields], tmp_path, OPTIONS)


def test_a_corrected_label_of_the_same_length_is_another(fields, tmp_path):
    """A training that goes on must not learn the rest of its epochs from other labels without a word."""
    shutil.copytree(fields / "images", tmp_path / "images")
    (tmp_path / "masks").mkdir()
    for path in (fields / "masks").iterdir():
        Image.open(path).save(tmp_path / "masks" / f"{path.stem}.bmp")
    config = TrainConfig()
    before = read_data([tmp_path], config, tile_mpp=UM_PX).digest
    assert read_data([tmp_path], config, tile_mpp=UM_PX).digest == before
    label = min((tmp_path / "masks").iterdir())
    size = label.stat().st_size
    Image.open(label).rotate(90).save(label)
    assert label.stat().st_size == size
    assert read_data([tmp_path], config, tile_mpp=UM_PX).digest != before


@pytest.fixture
def tiles(tmp_path, study):
    """Tiles of a review, in the folder of a training, with the record of what they are of."""
    folder = tmp_path / "model/corrections"
    (folder / "slide").mkdir(parents=True)
    (folder / "slide/a-labelled.png").write_text("as written")
    write_review_record(folder, record_of(read_project(study)))
    return folder


def test_tiles_as_they_were_written_go(tiles):
    assert remove_tiles(tiles) == ()
    assert not tiles.exists()


@pytest.mark.parametrize("changed", ["slide/a-labelled.png", "slide/notes.txt", NAME])
def test_tiles_that_a_person_changed_are_kept(tiles, changed):
    (tiles / changed).write_text("mine")
    tiles.with_name("corrections-1").mkdir()  # of an earlier time
    (said,) = remove_tiles(tiles)
    assert "corrections-2 now" in said
    assert (tiles.with_name("corrections-2") / changed).read_text() == "mine"


def test_a_training_that_goes_on_says_what_was_reviewed_since(tiles, study):
    assert check_review(tiles, study) == ()
    content = json.loads(study.read_text("utf-8"))
    content["images"][1].setdefault("metadata", {})["glomseg.reviewed"] = "AB 2026-11-27"
    study.write_text(json.dumps(content), "utf-8")
    (said,) = check_review(tiles, study)
    assert "since this training began: kidney_02.tif; it goes on with the review as it stood then" in said


def test_the_tiles_of_another_project_are_not_gone_on_with(tiles, study):
    content = json.loads(study.read_text("utf-8"))
    for image in content["images"]:
        image["imageName"] = f"other {image['imageName']}"
    study.write_text(json.dumps(content), "utf-8")
    assert len(check_review(tiles, study)) == 0  # renamed
    for image in content["images"]:
        (study.parent / f"data/{image['entryID']}/data.qpdata").write_bytes(image["imageName"].encode())
    with pytest.raises(TrainingError, match=r"learns from another project, with the images kidney_01\.tif"):
        check_review(tiles, study)
    (tiles / NAME).unlink()  # as older trainings have it
    assert check_review(tiles, study) == ()
