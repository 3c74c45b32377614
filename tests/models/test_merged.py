"""Models of a class each, merged: one model that says of every pixel what its parts say, brought to one threshold."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from support.oracle import CLASSES, COLOURS, oracle_card, oracle_net, save_oracle
from support.slides import Disc, disc_slide

import glomseg
from glomseg import SegmentOptions
from glomseg.errors import ModelError, TrainingError
from glomseg.models.card import Dial
from glomseg.models.exporting import export_model
from glomseg.models.merging import merge_models
from glomseg.models.predict import load_model
from glomseg.models.store import read_card, save_model, write_card
from glomseg.models.variable_unet import VariableUNet
from glomseg.training.optimise import read_start

NAMES = CLASSES["class_names"]
THRESHOLDS = (0.5, 0.3)


def only(index: int) -> VariableUNet:
    """The oracle of one class alone."""
    both, net = oracle_net(2), VariableUNet(256, 1).eval()
    rows = {key: value[index : index + 1] if key.startswith("final.") else value for key, value in
            both.state_dict().items()}  # fmt: skip
    net.load_state_dict(rows)
    return net


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two models, of glomeruli that are not sclerosed and of such as are, with other thresholds and colours."""
    folder = tmp_path_factory.mktemp("parts")
    for index, threshold in enumerate(THRESHOLDS):
        card = oracle_card(class_names=(NAMES[index],), threshold=threshold)
        card = dataclasses.replace(card, name=f"part{index}", mean=(0.0,) * 3, std=(1.0,) * 3)
        save_model(folder / str(index), card, only(index))
    return [folder / "0", folder / "1"]


@pytest.fixture(scope="module")
def merged(parts: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return merge_models(parts, tmp_path_factory.mktemp("merged") / "both").folder


def test_each_class_is_there_where_its_own_model_says_so(parts: list[Path], merged: Path) -> None:
    pixels = np.random.default_rng(0).integers(40, 230, (2, 40, 56, 3), dtype=np.uint8)
    together = load_model(merged).predict(pixels) / 255
    assert together.shape == (2, 2, 40, 56)
    for index, (folder, threshold) in enumerate(zip(parts, THRESHOLDS, strict=True)):
        alone = load_model(folder).predict(pixels)[:, 0] / 255
        sure = np.abs(alone - threshold) > 0.01
        assert ((together[:, index] >= 0.5) == (alone >= threshold))[sure].all()
        assert (np.diff(together[:, index][np.unravel_index(np.argsort(alone, None), alone.shape)]) >= -0.01).all()
    card = read_card(merged)
    assert (card.class_names, card.threshold, card.halo_pixels) == (NAMES[:2], 0.5, 16)
    assert card.class_colors == ((0, 200, 0), (200, 0, 0))  # each had the same
    assert set(card.scores["parts"]) == {"part0", "part1"}


def test_a_slide_gets_the_outlines_of_both(tmp_path: Path, merged: Path) -> None:
    discs = [Disc(300, 300, 60, 60, colour=COLOURS[0]), Disc(700, 300, 60, 60, colour=COLOURS[1])]
    truth = disc_slide(tmp_path / "a.tif", discs=discs)
    glomseg.segment_slides([truth.path], tmp_path / "out", SegmentOptions(model=merged, device="cpu"))
    items = sorted(glomseg.read_geojson(tmp_path / "out" / "a.geojson"), key=lambda one: one.geometry.centroid.x)
    assert [item.class_name for item in items] == [*NAMES[:2]]
    assert items[1].measurements[f"Confidence: {NAMES[1]}"] > items[1].measurements[f"Confidence: {NAMES[0]}"]


def test_what_the_parts_say_and_it_does_not_is_told(parts: list[Path], tmp_path: Path, glomseg) -> None:
    save_model(
        tmp_path / "sure",
        oracle_card(sureness=0.9, minimum_area_um2=500, dials=(Dial(tta=True, sureness=0.8),)),
        only(0),
    )
    told = glomseg("models", "merge", tmp_path / "sure", parts[1], "-o", tmp_path / "both").out
    assert f"both: {NAMES[0]}, {NAMES[1]}" in told
    assert "sureness is not kept (oracle 0.9): all that is outlined counts, unless a run is given one" in told
    assert "values for other species and for flips (dials of oracle) are not kept" in told
    assert "minimum_area_um2 differs (oracle 500, part1 300): 300 holds for all" in told
    with pytest.raises(ModelError, match="holds a model already"):
        merge_models(parts, tmp_path / "both")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mpp": 2.0}, "oracle and part1 cannot be merged: mpp is 2.0 and 1.0"),
        ({"class_names": ("glomerulus: sclerotic",)}, "both know Glomerulus: Sclerotic; the mean of models"),
        ({"post": "cap"}, "post is cap and glomseg"),
        ({"num_classes": 2, "class_names": ("A", "B"), "class_colors": ((0, 0, 0),) * 2, "activation": "softmax"},
         "oracle tells its classes from each other by softmax"),
    ],
)  # fmt: skip
def test_what_cannot_be_merged_is_refused_by_name(
    change: dict[str, object], said: str, parts: list[Path], tmp_path: Path
) -> None:
    save_oracle(tmp_path / "other", **change)
    with pytest.raises(ModelError, match=said):
        merge_models([tmp_path / "other", parts[1]], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_it_is_no_part_of_another_and_not_gone_on_with(parts: list[Path], merged: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="both is a network as merged"):
        merge_models([merged, parts[0]], tmp_path / "out")
    with pytest.raises(ModelError, match="nothing to merge"):
        merge_models(parts[:1], tmp_path / "out")
    with pytest.raises(TrainingError, match="a merged, which cannot be trained"):
        read_start(merged)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"classes": 2}, "the classes of the parts are not those of the card"),
        ({"architecture": "merged"}, "merged is no part of a merged network"),
        ({"threshold": 0}, "threshold is 0"),
        ({"mean": [0.5]}, "three each, or none"),
    ],
)
def test_a_card_that_says_otherwise_is_refused(change: dict[str, object], said: str, merged: Path, tmp_path: Path):
    card = read_card(merged)
    first, second = card.architecture_args["parts"]
    write_card(tmp_path, dataclasses.replace(card, architecture_args={"parts": [{**first, **change}, second]}))
    (tmp_path / card.weights_name).symlink_to(merged / card.weights_name)
    with pytest.raises(ModelError, match=said):
        load_model(tmp_path)


@pytest.mark.slow
def test_it_is_exported_as_one_file(merged: Path, tmp_path: Path) -> None:
    export_model(merged, tmp_path / "out")
    pixels = np.random.default_rng(1).integers(40, 230, (2, 33, 70, 3), dtype=np.uint8)
    here, there = load_model(merged), load_model(tmp_path / "out")
    apart = np.abs(there.predict(pixels).astype(int) - here.predict(pixels))
    assert apart.max() <= (1 if here.dtype == torch.float32 else 6)
