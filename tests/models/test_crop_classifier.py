"""The classifier of single glomeruli: what ships, what is refused."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from glomseg.errors import ModelError
from glomseg.models.crop_classifier import CROP_PX, SHIPPED, CropNetwork, load_classifier, save_classifier
from glomseg.models.store import list_models, shipped_folder


@pytest.fixture(scope="module")
def classifier():
    return load_classifier()


def crops(data, kind, slides):
    folder = data / "kidney" / "crops"
    for path in sorted((folder / "images" / kind).glob("*.jpg")):
        if path.name.startswith(slides):
            with Image.open(path) as image, Image.open(folder / "masks" / f"{path.stem}.png") as mask:
                size = (CROP_PX, CROP_PX)
                inside = np.asarray(mask.convert("L").resize(size, Image.Resampling.BOX)) >= 128
                yield np.asarray(image.convert("RGB").resize(size, Image.Resampling.BOX)), inside


def test_the_shipped_one_tells_the_crops_apart_that_it_learned_from(classifier, data):
    """No measure of what it can do elsewhere: that stands on its card."""
    slides = ("SAS_21937", "SESCAM_7", "VUHSK_1502")
    yes = classifier.probabilities(list(crops(data, "sclerotic", slides)))
    no = classifier.probabilities(list(crops(data, "non_sclerotic", slides)))
    assert len(yes) > 15
    assert len(no) > 30
    assert np.mean(np.array(yes) >= 0.5) > 0.9
    assert np.mean(np.array(no) < 0.5) > 0.9


def test_its_card_says_what_was_measured_and_on_what(classifier):
    card = classifier.card
    assert card.measurement == "Sclerotic probability"
    assert {item.licence for item in card.training_data} == {"CC BY 4.0"}
    for part in ("by_slide", "by_laboratory"):
        for measure in ("auc", "f1", "balanced_accuracy"):
            value, low, high = card.scores[part][measure]
            assert 0.5 < low <= value <= high <= 1
    assert card.scores["by_laboratory"]["crops"] == 946


def test_no_model_that_outlines(classifier):
    assert SHIPPED not in list_models()


def test_no_crop_has_no_answer_and_a_batch_is_its_crops(classifier):
    assert classifier.probabilities([]) == []
    random = np.random.default_rng(0)
    some = [
        (random.integers(0, 256, (CROP_PX, CROP_PX, 3), np.uint8), random.random((CROP_PX, CROP_PX)) < 0.5)
        for _ in range(3)
    ]
    some.append((some[0][0], np.zeros((CROP_PX, CROP_PX), bool)))  # a sliver without a pixel's centre in it
    together = classifier.probabilities(some)
    alone = [classifier.probabilities([one])[0] for one in some]
    assert together == pytest.approx(alone, abs=1e-4)
    assert all(0 <= value <= 1 for value in together)


def test_saved_and_loaded_it_is_the_same(classifier, tmp_path):
    torch.manual_seed(0)
    net = CropNetwork().eval()
    card = save_classifier(tmp_path / "mine", classifier.card, net)
    again = load_classifier(tmp_path / "mine")
    assert again.card == card
    assert card.weights_sha256 != classifier.card.weights_sha256
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in again.net.state_dict().items())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"threshold": 1.5}, "threshold"),
        ({"weights_sha256": "0" * 64}, "not the file"),
        ({"format_version": 2}, "format_version"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_card_is_refused_by_name(tmp_path, change, named):
    folder = tmp_path / "wrong"
    shutil.copytree(shipped_folder() / SHIPPED, folder)
    path = folder / "classifier.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | change), "utf-8")
    with pytest.raises(ModelError, match=named):
        load_classifier(folder)


def test_damaged_missing_and_endless_weights_are_refused(classifier, tmp_path):
    with pytest.raises(ModelError, match=r"classifier\.json"):
        load_classifier(tmp_path)
    net = CropNetwork()
    with torch.no_grad():
        net.linear.bias.fill_(float("nan"))
    save_classifier(tmp_path, dataclasses.replace(classifier.card), net)
    with pytest.raises(ModelError, match="not finite"):
        load_classifier(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="not the weights"):
        load_classifier(tmp_path)
