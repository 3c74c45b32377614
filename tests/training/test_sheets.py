"""A sheet shows every tile with its outlines and caption; curves show a history."""

import csv

import numpy as np
import pytest
from PIL import Image

from glomseg.errors import RunError, TrainingError
from glomseg.pictures.contact_sheet import CELL_PX, PREDICTED_COLOR, TRUE_COLOR
from glomseg.training.history import COLUMNS, draw_curves, read_history
from glomseg.training.sheets import contact_sheet

GREY = (200, 200, 200)


def tiles(count, height=64, width=64):
    y, x = np.mgrid[:height, :width]
    label = (x - 32) ** 2 + (y - 32) ** 2 < 20**2
    return [np.full((height, width, 3), GREY[0], np.uint8)] * count, [label] * count


def read(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def near(picture, colour):
    return (np.abs(picture - colour).sum(axis=-1) < 40).sum()


def test_outlines_in_two_colours(tmp_path):
    images, labels = tiles(3)
    shifted = [np.roll(label, 8, axis=1) for label in labels]
    contact_sheet(images, labels, tmp_path / "true.png", columns=3)
    contact_sheet(images, labels, tmp_path / "both.png", columns=3, predicted=shifted)
    one, two = read(tmp_path / "true.png"), read(tmp_path / "both.png")
    around = 2 * np.pi * 20 * CELL_PX / 64
    assert near(one[50:], TRUE_COLOR) > 3 * around
    assert near(one, PREDICTED_COLOR) == 0
    assert near(two[50:], TRUE_COLOR) > 2 * around
    assert near(two[50:], PREDICTED_COLOR) > 3 * around
    assert near(one[50:], GREY) > 3 * 0.8 * CELL_PX**2, "the tiles are seen"


def test_size_follows_columns_and_captions(tmp_path):
    images, labels = tiles(5)
    contact_sheet(images, labels, tmp_path / "a.png", columns=5)
    contact_sheet(images, labels, tmp_path / "b.png", columns=2, captions=["one\ntwo\nthree"] * 5, title="Worst")
    a, b = read(tmp_path / "a.png"), read(tmp_path / "b.png")
    assert a.shape[1] > 5 * CELL_PX > 4 * CELL_PX > a.shape[0] > CELL_PX
    assert b.shape[0] > 3 * (CELL_PX + 45)
    assert b.shape[1] < 3 * CELL_PX
    contact_sheet(images, labels, tmp_path / "c.png", columns=2, captions=[" \n \n "] * 5)
    c = read(tmp_path / "c.png")
    assert c.shape == b.shape
    assert (b.sum(axis=-1) < 200).sum() > (c.sum(axis=-1) < 200).sum() + 500, "captions and title are written"


def test_tiles_keep_their_shape_and_hidden_parts_are_pale(tmp_path):
    images, labels = tiles(1, 64, 128)
    weight = np.ones((64, 128))
    weight[:, 64:] = 0
    contact_sheet(images, [np.zeros_like(labels[0])], tmp_path / "a.png", weights=[weight])
    contact_sheet(images, [np.zeros_like(labels[0])], tmp_path / "b.png", weights=[np.ones_like(weight)])
    head, plain = read(tmp_path / "a.png")[:30], read(tmp_path / "b.png")[:30]
    assert (head < 200).sum() > (plain < 200).sum() + 500, "the legend says what is pale"
    picture = read(tmp_path / "a.png")[30:]
    half = CELL_PX**2 / 4
    assert near(picture, GREY) == pytest.approx(half, rel=0.05)
    assert near(picture, (242, 242, 242)) - near(picture, (255, 255, 255)) < half
    assert (picture == 242).all(axis=-1).sum() == pytest.approx(half, rel=0.05)


def test_a_sheet_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        contact_sheet(*tiles(1), tmp_path / "file" / "a.png")


def history(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def row(epoch, **values):
    f1 = 1 - 1 / epoch
    scores = {"val_loss": 1 / epoch, "val_object_f1": f1, "val_dice": f1, "val_precision": f1, "val_recall": f1}
    common = {"epoch": epoch, "step": 10 * epoch, "seconds": 2.5, "train_loss": 1.2 / epoch, "learning_rate": 1e-3}
    return common | scores | {"best": int(epoch == 3)} | values


def test_curves(tmp_path):
    rows = [row(epoch) for epoch in range(1, 6)]
    rows[1] |= {"val_loss": "", "val_object_f1": "nan", "val_dice": ""}
    draw_curves(history(tmp_path / "history.csv", rows), tmp_path / "curves.png")
    picture = read(tmp_path / "curves.png")
    assert picture.shape[1] > 2.5 * picture.shape[0]
    assert near(picture, (0, 114, 178)) > 300, "blue lines"
    assert near(picture, (213, 94, 0)) > 300, "orange lines"
    values = read_history(tmp_path / "history.csv")
    assert values["val_object_f1"][2] == pytest.approx(2 / 3)
    assert np.isnan(values["val_loss"][1])
    assert values["best"] == [0, 0, 1, 0, 0]


def test_curves_mark_the_best_epoch(tmp_path):
    for best in (0, 1):
        draw_curves(
            history(tmp_path / "h.csv", [row(e, best=best * (e == 3)) for e in (1, 2, 3, 4)]), tmp_path / "c.png"
        )
        picture = read(tmp_path / "c.png")
        grey = (np.abs(picture - 0x77) < 12).all(axis=-1)
        assert (grey.sum(axis=0) > 0.7 * len(picture)).any() == bool(best)


@pytest.mark.parametrize("rows", [[row(1)], [row(1, train_loss="inf", val_loss="nan", best="true")]])
def test_curves_of_one_epoch(tmp_path, rows):
    draw_curves(history(tmp_path / "history.csv", rows), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 5000


@pytest.mark.parametrize("text", ["", "epoch,step\n1,2\n", ",".join(COLUMNS) + "\n", ",".join(COLUMNS) + "\none\n"])
def test_no_history(tmp_path, text):
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(TrainingError, match="history"):
        draw_curves(tmp_path / "history.csv", tmp_path / "curves.png")
    with pytest.raises(TrainingError, match="history"):
        draw_curves(tmp_path / "none.csv", tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()
