"""Half a file that a killed process left goes when the same is written again; what may be a person's stays."""

import os
from pathlib import Path

import pytest

from glomseg.files import new_folder, replacing, write_text
from glomseg.leftovers import _left_in

DAY = 86400


def left(path: Path, *, days: float, folder: bool = False) -> Path:
    """Leave half of something, as old as said."""
    if folder:
        path.mkdir()
        (path / "half").write_text("half")
    else:
        path.write_text("half")
    then = path.stat().st_mtime - days * DAY
    os.utime(path, (then, then))
    return path


@pytest.fixture(autouse=True)
def first_look():
    _left_in.cache_clear()


def test_what_was_left_goes_with_the_next_of_its_name_and_nothing_else(tmp_path: Path) -> None:
    gone = [left(tmp_path / f".a b.{digits}.csv", days=1.1) for digits in ("0123abcd", "99999999")]
    kept = [
        left(tmp_path / ".a b.0123abce.csv", days=0.9),  # another glomseg may be writing it
        left(tmp_path / ".a.0123abcd.csv", days=9),
        left(tmp_path / ".a b.0123abcd.tif", days=9),
        left(tmp_path / ".a b.csv", days=9),
        left(tmp_path / "a b.0123abcd.csv", days=9),
        left(tmp_path / ".a b.Mine1234.csv", days=9),
        left(tmp_path / ".a b.0123abcd", days=9, folder=True),
    ]
    write_text(tmp_path / "a b.csv", "new")
    write_text(tmp_path / "a b.csv", "newer")
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in kept)


def test_a_folder_that_was_left_goes(tmp_path: Path) -> None:
    gone = left(tmp_path / ".model.0123abcd", days=2, folder=True)
    kept = left(tmp_path / ".model.0123abcd.pt", days=2)
    with new_folder(tmp_path / "model") as folder:
        (folder / "card.json").write_text("{}")
    assert not gone.exists()
    assert kept.exists()


def test_what_an_exchange_may_have_left_stays(tmp_path: Path) -> None:
    """The data that a person saved at that very moment may be in there and nowhere else."""
    kept = left(tmp_path / ".data.0123abcd.qpdata", days=9)
    with replacing(tmp_path / "data.qpdata", put=os.replace) as temporary:
        temporary.write_text("new")
    assert kept.exists()
