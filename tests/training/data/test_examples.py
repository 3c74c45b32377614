"""What an example is when it is read, and what is said of data that cannot be learned from."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage
from support import slides

from glomseg.errors import TrainingError
from glomseg.geometry import Box
from glomseg.training.data import examples as reading
from glomseg.training.data.examples import Example, read_example
from glomseg.training.data.find import find_examples


def disc(size: int = 64, radius: float = 15) -> np.ndarray:
    y, x = np.mgrid[:size, :size] + 0.5
    return (x - size / 2) ** 2 + (y - size / 2) ** 2 < radius**2


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Three images of 64 px with their masks."""
    for name in "abc":
        picture = np.where(disc()[..., None], (120, 60, 140), (225, 170, 205)).astype(np.uint8)
        save(tmp_path / f"data/images/{name}.png", picture)
        save(tmp_path / f"data/masks/{name}.png", disc().astype(np.uint8) * 255)
    return tmp_path / "data"


def complaint(*folders: Path, mpp: float | None = 1.0, spacing: float = 1.0, **options: object) -> str:
    with pytest.raises(TrainingError) as raised:
        find_examples(folders, model_mpp=spacing, tile_mpp=mpp, **options)
    return str(raised.value)


# --- reading


def example_of(root: Path, mask: np.ndarray, *, suffix: str = ".png", **more: object) -> Example:
    image = save(root / "image.png", np.full((*mask.shape[:2], 3), 200, np.uint8))
    label = save(root / f"label{suffix}", mask)
    return Example(name="a", image=image, label=label, slide="a", case="a", group="all", mpp=0.5, **more)


def test_an_image_is_averaged_and_its_label_is_not(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    example = example_of(tmp_path, disc().astype(np.uint8) * 7, values=((7, 2),))
    save(example.image, np.repeat(stripes[..., None], 3, axis=2))
    read = read_example(example, 2.0)
    assert read.image.shape == (16, 16, 3)
    assert set(np.unique(read.image)) == {128}
    assert set(np.unique(read.label)) == {0, 2}
    assert read.label.astype(bool).sum() == pytest.approx(disc().sum() / 16, rel=0.1)
    larger = read_example(example, 0.25)
    assert larger.label.shape == (128, 128)
    assert (larger.label > 0).sum() == 4 * disc().sum()


@pytest.mark.parametrize("factor", [3, 5, 8])
def test_labels_stay_where_they_are_when_shrunk(tmp_path: Path, factor: int) -> None:
    """A label's centre moves by less than half a pixel of the result."""
    example = example_of(tmp_path, disc(240, 70).astype(np.uint8) * 255)
    label = read_example(example, 0.5 * factor).label
    rows, columns = np.nonzero(label)
    assert (rows.mean() + 0.5) * factor == pytest.approx(120, abs=factor / 4)
    assert (columns.mean() + 0.5) * factor == pytest.approx(120, abs=factor / 4)


@pytest.mark.parametrize(
    ("mask", "suffix"),
    [
        (disc(), ".png"),
        (disc().astype(np.uint8), ".png"),
        (disc().astype(np.uint8) * 255, ".jpg"),
        (disc().astype(np.uint8) * 255, ".tif"),
        (disc().astype(np.uint8) * 255, ".bmp"),
        (disc().astype(np.uint16) * 4000, ".png"),
        (np.repeat(disc()[..., None], 3, axis=2).astype(np.uint8) * 255, ".png"),
    ],
    ids=["1 bit", "0 and 1", "JPEG", "TIFF", "BMP", "instances", "RGB"],
)
def test_masks_of_all_kinds_say_the_same(tmp_path: Path, mask: np.ndarray, suffix: str) -> None:
    example = example_of(tmp_path, mask, suffix=suffix)
    assert np.abs(read_example(example, 0.5).label - disc().astype(int)).sum() <= (8 if suffix == ".jpg" else 0)


def test_a_jpeg_in_a_tiff_is_cut_at_the_middle(tmp_path: Path) -> None:
    example = example_of(tmp_path, disc(), suffix=".tif")
    tifffile.imwrite(example.label, disc().astype(np.uint8) * 255, compression="jpeg", tile=(64, 64))
    assert (read_example(example, 0.5).label != disc()).sum() <= 8


def test_parts_of_a_slide_that_reach_off_it_are_not_valid(tmp_path: Path) -> None:
    made = slides.disc_slide(tmp_path / "a.tif", size=(600, 400), mpp=0.5, count=2)
    slides.write_pyramid(tmp_path / "m.tif", np.full((400, 600, 3), 255, np.uint8), 0.5)
    box = Box(500, 300, 200, 200)
    example = Example(
        name="a", image=made.path, label=tmp_path / "m.tif", slide="a", case="a", group="all", mpp=0.5, box=box
    )
    read = read_example(example, 1.0)
    assert read.label.shape == (100, 100)
    assert read.valid[:50, :50].all()
    assert read.valid.sum() == read.label.sum() == 2500


@pytest.mark.slow
def test_few_slides_stay_open(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc to count open files in")
    made = slides.disc_slide(tmp_path / "0.tif", size=(300, 300), mpp=0.5, count=1, radius_um=20)
    names = [made.path, *(Path(shutil.copy(made.path, tmp_path / f"{number}.tif")) for number in range(1, 30))]
    for path in names * 2:
        box = Box(0, 0, 100, 100)
        example = Example(name="a", image=path, label=None, slide="a", case="a", group="all", mpp=0.5, box=box)
        assert read_example(example, 1.0).image.shape == (50, 50, 3)
    held = [link for link in Path("/proc/self/fd").iterdir() if os.path.realpath(link).startswith(str(tmp_path))]
    assert len(held) == reading.OPEN_SLIDES


# --- bad data


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    assert "nothing holds no images" in complaint(tmp_path / "nothing")
    assert "nowhere is no folder" in complaint(tmp_path / "nowhere")
    assert "no folder of training data" in complaint()


def test_all_problems_in_one_error(plain: Path) -> None:
    (plain / "masks/a.png").unlink()
    save(plain / "masks/b.png", disc(32).astype(np.uint8) * 255)
    whole = (plain / "images/c.png").read_bytes()
    (plain / "images/c.png").write_bytes(whole[: len(whole) // 2])
    save(plain / "masks/d.png", disc().astype(np.uint8))
    lines = complaint(plain).splitlines()
    assert len(lines) == 4
    for name, text in (
        ("images/a.png", "has no mask of its name"),
        ("images/b.png", "is 64 x 64 px, its label"),
        ("images/c.png", "cannot be read"),
        ("masks/d.png", "has no image of its name"),
    ):
        assert any(name in line and text in line for line in lines), (name, lines)


def test_many_problems_are_counted(plain: Path) -> None:
    for index in range(30):
        shutil.copy(plain / "images/a.png", plain / f"images/more{index}.png")
    lines = complaint(plain).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "and 10 more"


Change = Callable[[Path], object]
UNREADABLE: dict[str, tuple[Change, str]] = {
    "a text": (lambda root: (root / "masks/a.png").write_text("no picture"), "a.png cannot be read as a mask"),
    "an empty file": (lambda root: (root / "images/a.png").write_bytes(b""), "a.png"),
    "a colour picture": (lambda root: shutil.copy(root / "images/a.png", root / "masks/a.png"), "colour picture"),
    "a soft mask": (
        lambda root: save(root / "masks/a.png", np.hypot(*(np.mgrid[:64, :64] - 32)).astype(np.uint8) * 5),
        "mostly grey and no mask",
    ),
    "dark greys": (
        lambda root: save(root / "masks/a.png", np.arange(4096).reshape(64, 64).astype(np.uint8) // 2),
        "values in steps up to 127",
    ),
    "two of a name": (lambda root: shutil.copy(root / "masks/a.png", root / "masks/a_mask.png"), "are both named 'a'"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_one_bad_file_is_named(plain: Path, kind: str) -> None:
    change, text = UNREADABLE[kind]
    change(plain)
    said = complaint(plain)
    assert text in said
    assert len(said.splitlines()) == 1
    assert str(plain) in said


@pytest.mark.parametrize(("value", "text"), [(0, "no glomerulus in any of 3 masks"), (255, "from edge to edge")])
def test_masks_of_one_value(plain: Path, value: int, text: str) -> None:
    for name in "abc":
        save(plain / f"masks/{name}.png", np.full((64, 64), value, np.uint8))
    assert text in complaint(plain)


def test_a_value_without_a_class(plain: Path) -> None:
    for name, value in zip("abc", (1, 2, 3), strict=True):
        save(plain / f"masks/{name}.png", disc().astype(np.uint8) * value)
    said = complaint(plain, classes=("Glomerulus", "Glomerulus: Sclerotic"))
    assert "c.png has the values 3, which no class has (known: 0, 1, 2)" in said
    assert len(find_examples([plain], model_mpp=1, tile_mpp=1)) == 3


def test_an_unknown_scale_names_the_option_once(plain: Path) -> None:
    said = complaint(plain, mpp=None)
    assert len(said.splitlines()) == 1
    assert "a.png and 2 more; give" in said
    assert "`tile_mpp`" in said


def test_images_too_coarse_to_learn_from(plain: Path) -> None:
    assert "a.png has 4 um per pixel, too coarse to be read at 1" in complaint(plain, mpp=4.0)


def test_the_mask_of_a_slide(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    made = slides.disc_slide(tmp_path / "images/a.tif", count=2)
    mask = (slides.draw((made.width, made.height), (0, 0, 0, 0), made.discs) == slides.DISC).astype(np.uint8)
    save(tmp_path / "masks/a.png", mask[..., 0] * 255)
    assert "write it as a tiled TIFF" in complaint(tmp_path)
    (tmp_path / "masks/a.png").unlink()
    slides.write_pyramid(tmp_path / "masks/a.tif", mask[:-10] * 255, 0.5)
    assert "is 2048 x 1536 px, its label" in complaint(tmp_path)
    shutil.copy(made.path, tmp_path / "masks/a.tif")
    assert "colour picture" in complaint(tmp_path)


@pytest.mark.parametrize("kind", ["0 and 255", "0 and 1", "90", "numbers", "16 bit"])
def test_the_mask_of_a_slide_is_learned_as_it_is_meant(tmp_path: Path, kind: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    made = slides.disc_slide(tmp_path / "images/a.tif", count=5)
    there = (slides.draw((made.width, made.height), (0, 0, 0, 0), made.discs) == slides.DISC)[..., 0]
    numbers = ndimage.label(there)[0] * 47
    mask = {
        "0 and 255": there * np.uint8(255),
        "0 and 1": there * np.uint8(1),
        "90": there * np.uint8(90),
        "numbers": numbers.astype(np.uint8),
        "16 bit": (numbers * 3).astype(np.uint16),
    }[kind]
    tifffile.imwrite(tmp_path / "masks/a.tif", mask, tile=(256, 256), metadata=None)
    examples = find_examples([tmp_path], model_mpp=1.0, tile_mpp=0.5)
    learned = [read_example(example, 1.0) for example in examples]
    shown = sum(int((item.label > 0).sum()) for item in learned)
    boxes = [example.box for example in examples]
    true = sum(int(there[int(b.y) : int(b.y + b.height) : 2, int(b.x) : int(b.x + b.width) : 2].sum()) for b in boxes)
    assert shown == pytest.approx(true, rel=0.01)
    assert shown > 0


def test_a_mask_that_changed_after_the_survey(plain: Path) -> None:
    example = find_examples([plain], model_mpp=1, tile_mpp=1)[0]
    save(example.label, disc(32).astype(np.uint8))
    with pytest.raises(TrainingError, match="export both again at one size"):
        read_example(example, 1.0)
    example.image.unlink()
    with pytest.raises(TrainingError, match="no such image"):
        read_example(example, 1.0)


def test_progress_counts_every_image(plain: Path) -> None:
    seen = []
    find_examples([plain], model_mpp=1, tile_mpp=1, progress=lambda *numbers: seen.append(numbers))
    assert seen == [(1, 3), (2, 3), (3, 3)]
