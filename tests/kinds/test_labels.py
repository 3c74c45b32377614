"""No two commands read a mask differently: each kind right, or refused with one text."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile
from kinds.labels import LABELS, NUMBERS, PX, SIZE, THERE, WHITE, LabelCase
from PIL import Image

from glomseg.errors import LabelError, TrainingError
from glomseg.labelled.masks import look_at, read_label, read_mask
from glomseg.training.data.examples import read_example
from glomseg.training.data.find import find_examples

BLURRED = 0.04  # JPEG and soft edges move the outline by part of a pixel


@pytest.fixture(params=LABELS, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> LabelCase:
    return request.param


def expected_px(case: LabelCase) -> object:
    return 0 if case.objects == 0 else pytest.approx(PX, rel=BLURRED)


def test_a_mask_read_as_numbers_and_as_outlines(case: LabelCase, tmp_path: Path) -> None:
    path = tmp_path / case.name
    case.write(path)
    if case.objects is None:
        for read in (read_mask, read_label, look_at):
            with pytest.raises(LabelError, match=case.refusal) as raised:
                read(path)
            assert str(path) in str(raised.value)
        return
    mask, label = read_mask(path), read_label(path)
    assert len(mask.geometries) == case.objects
    assert shapely.area(mask.geometries).sum() == (label.numbers > 0).sum() == expected_px(case)
    assert mask.reading == label.reading == look_at(path)


def test_evaluate_reads_it_so(case: LabelCase, tmp_path: Path, glomseg: Callable) -> None:
    (tmp_path / "truth").mkdir()
    case.write(tmp_path / "truth" / case.name)
    (tmp_path / "predicted").mkdir()
    separate = case.objects == NUMBERS.max()
    Image.fromarray(NUMBERS.astype(np.uint8) if separate else WHITE).save(tmp_path / "predicted/a.png")
    folder = tmp_path / "out"
    command = ("evaluate", tmp_path / "predicted", tmp_path / "truth", "-o", folder, "--no-pictures", "--json")
    outcome = glomseg(*command)
    if case.objects is None:
        assert outcome.code == 1
        assert case.refusal in outcome.err
        assert len(outcome.err.strip().splitlines()) == 1
        return
    overall = json.loads(outcome.out)["overall"]
    assert overall["true_objects"] == case.objects
    assert overall["matched"] == case.objects


def test_training_learns_it_so(case: LabelCase, tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    stem = case.name.partition(".")[0]
    for name in (stem, "other"):
        Image.fromarray(np.full((SIZE, SIZE, 3), 200, np.uint8)).save(tmp_path / f"images/{name}.png")
    Image.fromarray(WHITE).save(tmp_path / "masks/other.png")
    case.write(tmp_path / "masks" / case.name)
    if case.objects is None:
        with pytest.raises(TrainingError, match=case.refusal):
            find_examples([tmp_path], model_mpp=0.5, tile_mpp=0.5)
        return
    examples = find_examples([tmp_path], model_mpp=0.5, tile_mpp=0.5)
    (learned,) = (read_example(item, 0.5).label for item in examples if item.label.name == case.name)
    assert int((learned > 0).sum()) == expected_px(case)


def test_train_says_how_masks_were_read(tmp_path: Path, glomseg: Callable) -> None:
    for number, name in enumerate(("white_on_black.png", "numbers.png", "bool.tif", "white.jpg")):
        case = next(case for case in LABELS if case.name == name)
        path = tmp_path / f"data/masks/{number}_{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        case.write(path)
        (tmp_path / "data/images").mkdir(exist_ok=True)
        Image.fromarray(np.full((SIZE, SIZE, 3), 200, np.uint8)).save(tmp_path / f"data/images/{path.stem}.png")
    sizes = ("--set", "data.validation_share=0.3", "--set", "data.test_share=0")
    result = glomseg("train", tmp_path / "data", "-o", tmp_path / "m", "--tile-mpp", "0.5", "--preview", *sizes)
    assert result.code == 0, result.err
    assert "3 masks, black and white; 1 numbered; 1 min-is-white" in result.err.replace("\n", " ")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.bool_])
def test_a_set_of_inverted_masks_is_refused(dtype: type, tmp_path: Path, glomseg: Callable) -> None:
    inverted = (~THERE).astype(dtype) * (255 if dtype is np.uint8 else 1)
    for name in "ab":
        for folder in ("data/images", "data/masks", "predicted"):
            (tmp_path / folder).mkdir(exist_ok=True, parents=True)
        Image.fromarray(np.full((SIZE, SIZE, 3), 200, np.uint8)).save(tmp_path / f"data/images/{name}.png")
        Image.fromarray(inverted.astype(dtype)).save(tmp_path / f"data/masks/{name}.png")
        Image.fromarray(WHITE).save(tmp_path / f"predicted/{name}.png")
    with pytest.raises(TrainingError, match="are they inverted"):
        find_examples([tmp_path / "data"], model_mpp=0.5, tile_mpp=0.5)
    truth = tmp_path / "data/masks"
    outcome = glomseg("evaluate", tmp_path / "predicted", truth, "-o", tmp_path / "out", "--no-pictures")
    assert outcome.code == 1
    assert "are they inverted" in outcome.err


@pytest.mark.parametrize("side", ["data/masks", "predicted"])
def test_one_inverted_mask_among_others_is_named(side: str, tmp_path: Path, glomseg: Callable) -> None:
    there = np.where(THERE, 255, 0).astype(np.uint8)
    for name in "abc":
        for folder in ("data/masks", "predicted"):
            (tmp_path / folder).mkdir(exist_ok=True, parents=True)
            mask = 255 - there if (folder, name) == (side, "b") else there
            Image.fromarray(mask).save(tmp_path / folder / f"{name}.png")
    arguments = ("evaluate", tmp_path / "predicted", tmp_path / "data/masks", "-o", tmp_path / "out", "--no-pictures")
    outcome = glomseg(*arguments)
    assert outcome.code == 0
    odd = f"mostly glomerulus, at the edges too, and the others are not, so maybe inverted: {tmp_path / side / 'b.png'}"
    assert f"{'truth' if 'mask' in side else 'predictions'}: {odd}" in outcome.out + outcome.err


@pytest.mark.parametrize("full", ["first", "last"])
def test_one_writer_of_min_is_white_is_read_one_way(full: str, tmp_path: Path, glomseg: Callable) -> None:
    """Numpy's bool becomes min-is-white with 0 for background; a tile that is nearly all glomerulus looks flipped."""
    crowded = np.ones_like(THERE)
    crowded[:40, :60] = False
    for name in ("first", "last", "middle"):
        for folder in ("data/images", "data/masks", "predicted"):
            (tmp_path / folder).mkdir(exist_ok=True, parents=True)
        Image.fromarray(np.full((SIZE, SIZE, 3), 200, np.uint8)).save(tmp_path / f"data/images/{name}.png")
        tifffile.imwrite(tmp_path / f"data/masks/{name}.tif", crowded if name == full else THERE)
        Image.fromarray(WHITE).save(tmp_path / f"predicted/{name}.png")
    truth = tmp_path / "data/masks"
    refusal = rf"fills {re.escape(str(truth))}.{full}\.tif and would be background there.+minisblack"
    with pytest.raises(TrainingError, match=refusal):
        find_examples([tmp_path / "data"], model_mpp=0.5, tile_mpp=0.5)
    for ours, theirs in ((tmp_path / "predicted", truth), (truth, tmp_path / "predicted")):
        outcome = glomseg("evaluate", ours, theirs, "-o", tmp_path / "out", "--no-pictures")
        assert outcome.code == 1
        assert re.search(refusal, outcome.err)
    tifffile.imwrite(truth / f"{full}.tif", THERE)
    assert len(find_examples([tmp_path / "data"], model_mpp=0.5, tile_mpp=0.5)) == 3
