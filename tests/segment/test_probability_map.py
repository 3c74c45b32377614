"""The map on disk: whole or an error, and nothing of others taken away."""

from pathlib import Path

import numpy as np
import pytest

from glomseg.errors import RunError, SlideError
from glomseg.segment.probability_map import ProbabilityMap, remove_leftovers
from glomseg.segment.tiles import ReadingFrame, Tile

FRAME = ReadingFrame(1.0, 1, 1, 640, 480)
TILE = Tile(64, 32, 320, 160, 0)


def noise(classes: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (classes, TILE.height, TILE.width), dtype=np.uint8)


class Grudging:
    """A file that takes a few bytes at a time, as one on a disk that is nearly full."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def seek(self, place):
        return self.file.seek(place)

    def write(self, data):
        part = min(len(data), 7, self.room)
        if part == 0:
            raise OSError(28, "No space left on device")
        self.room -= part
        return self.file.write(data[:part])

    def close(self):
        self.file.close()


@pytest.mark.parametrize("classes", [1, 3])
def test_what_is_written_in_parts_is_written_whole(classes: int) -> None:
    with ProbabilityMap(FRAME, classes) as values:
        values._file = Grudging(values._file, room=10**9)
        values.write(TILE, noise(classes))
        assert np.array_equal(values.read(64, 32, 320, 160), noise(classes))
        assert not values.read(0, 0, 64, 480).any()


def test_a_disk_that_is_full_in_the_middle_of_a_row_is_an_error() -> None:
    with ProbabilityMap(FRAME) as values:
        values._file = Grudging(values._file, room=1000)
        with pytest.raises(RunError, match="No space left"):
            values.write(TILE, noise())


def test_a_place_where_no_map_fits(tmp_path: Path, full_disk, unwritable: Path) -> None:
    with full_disk(after_bytes=1000), pytest.raises(RunError, match="cannot keep probabilities"):
        ProbabilityMap(FRAME, folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(RunError, match="cannot keep probabilities"):
        ProbabilityMap(FRAME, folder=unwritable)


def test_leftovers_of_a_killed_process_go_and_nothing_else(tmp_path: Path) -> None:
    left = ProbabilityMap(FRAME, folder=tmp_path)
    left._file.close()
    kept = tmp_path / "probability"
    kept.mkdir()
    (kept / ".slide one.a1b2_c3d.tif").touch()
    others = [".hidden", ".DS_Store", ".notes.tif", "whole.tif", ".slide.a1b2_c3d.txt"]
    for name in others:
        (kept / name).touch()
    (kept / ".folder.abcdefgh.tif").mkdir()
    (tmp_path / ".probability-of-mine.txt").touch()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in kept.iterdir()) == sorted([*others, ".folder.abcdefgh.tif"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [".probability-of-mine.txt", "probability"]


def test_kept_probabilities_of_something_else_are_refused(tmp_path: Path) -> None:
    with ProbabilityMap(FRAME) as values:
        values.write(TILE, noise())
        values.save(tmp_path / "kept.tif")
    with pytest.raises(RunError, match="another image, scale or model"):
        ProbabilityMap.kept(tmp_path / "kept.tif", FRAME, 2)
    (tmp_path / "text.tif").write_text("no picture")
    with pytest.raises(RunError, match="no probabilities that can be read"):
        ProbabilityMap.kept(tmp_path / "text.tif", FRAME, folder=tmp_path)
    (tmp_path / "short.tif").write_bytes((tmp_path / "kept.tif").read_bytes()[:3000])
    with pytest.raises(RunError, match="no probabilities"):
        ProbabilityMap.kept(tmp_path / "short.tif", FRAME, folder=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.tif", "short.tif", "text.tif"]


@pytest.mark.parametrize(
    ("size", "mpp", "reading", "message"),
    [
        ((600, 600), 352.778, 1.0, "would be 212 mm long.*give `mpp`"),
        ((300_000, 200_000), 0.5, 0.05, "px, more than fits anywhere"),
    ],
)
def test_a_frame_larger_than_any_slide(size: tuple[int, int], mpp: float, reading: float, message: str) -> None:
    with pytest.raises(SlideError, match=message):
        ReadingFrame.of(*size, mpp, mpp, reading)
    ReadingFrame.of(300_000, 200_000, 0.25, 0.25, 0.5)
