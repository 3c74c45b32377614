"""A save in QuPath at each moment of our writes: nothing of either is lost without a word.

QuPath moves `data.qpdata` to `.bkp`, writes the new one in place, takes `.bkp` away, and writes `summary.json` last. It
is played here step by step between our operations on files, through a file that it holds open, at once and as slow as
on a share.
"""

import os
import shutil
from itertools import count

import pytest
from support.kill import meanwhile

from glomseg.errors import ConflictError
from glomseg.qupath.image_copies import copy_image_data, restore_image_data
from glomseg.qupath.image_data import other_copies
from glomseg.qupath.project import image_state, read_project
from glomseg.qupath.safe_write import put_in_place, stage
from glomseg.qupath.swap import sha256_of

pytestmark = pytest.mark.slow

STEPS = 7
PACES = [*range(1, STEPS + 1), "one an operation"]
_move, _remove = os.replace, os.unlink  # as they are where ours are counted


class QuPath:
    """A QuPath that saves `content` as an image's data: so many steps at an operation of ours, the rest afterwards."""

    def __init__(self, data_folder, content, pace):
        self.data, self.content, self.pace = data_folder / "data.qpdata", content, pace
        self.backup, self.done, self.file = data_folder / "data.qpdata.bkp", 0, None

    def acting_at(self, first):
        def act(number):
            if number == first:
                self.step(self.pace if self.pace in range(STEPS + 1) else 1)
            elif number > first and self.pace == PACES[-1]:
                self.step()

        return act

    def step(self, number=1):
        for _ in range(min(number, STEPS - self.done)):
            if self.done == 0 and self.data.exists():
                _move(self.data, self.backup)
            elif self.done == 1:
                self.file = self.data.open("wb", buffering=0)
            elif self.done == 2:
                self.file.write(self.content[:1000])
            elif self.done == 3:
                self.file.write(self.content[1000:])
            elif self.done == 4 and self.backup.exists():
                _remove(self.backup)
            elif self.done == 5:
                self.file.close()
            elif self.done == 6:
                self.data.with_name("summary.json").write_text('{"hierarchy": {"nObjects": 3}}')
            self.done += 1


@pytest.fixture
def copies(study_0_6_0, tmp_path):
    """Make the project anew each time; its image, and the data that a person saves."""
    theirs = (read_project(study_0_6_0).images[2].data_folder / "data.qpdata").read_bytes()
    (tmp_path / "theirs").write_bytes(theirs)
    numbers = count()

    def make():
        folder = shutil.copytree(study_0_6_0.parent, tmp_path / f"copy-{next(numbers)}")
        return folder / "project.qpproj", read_project(folder / "project.qpproj").images[0], theirs

    return make


def check(image, qupath, ours, theirs, error, told):
    ended = qupath.done == STEPS
    qupath.step(STEPS)
    stands = (image.data_folder / "data.qpdata").read_bytes()
    kept = [path.read_bytes() for path in other_copies(image.data_folder)]
    assert stands in (ours, theirs), told
    assert theirs in (stands, *kept), told
    assert not [path.name for path in image.data_folder.iterdir() if path.name.startswith(".")], told
    assert error or not ended, told  # a save that came to its end while we wrote is said


@pytest.mark.parametrize("can_exchange", [True, False])
@pytest.mark.parametrize("pace", PACES)
def test_while_a_result_is_put_in_place(copies, tmp_path, pace, can_exchange):
    for first in range(-1, 60):
        project, image, theirs = copies()
        new = read_project(project).images[1].data_folder
        qupath = QuPath(image.data_folder, theirs, pace)
        if first < 0:  # it has begun when the image is read
            qupath.step(pace if pace in range(STEPS) else 1)
        state, staged = image_state(image), stage(project, "1", image.path, tmp_path / f"scratch-{first}")
        for name in ("data.qpdata", "summary.json"):
            shutil.copy(new / name, staged.data_folder / name)
        ours, error = (staged.data_folder / "data.qpdata").read_bytes(), None
        try:
            with meanwhile(qupath.acting_at(first), can_exchange=can_exchange) as done:
                put_in_place(staged, state, [])
        except ConflictError as conflict:
            error = conflict
        if not qupath.done:
            assert done() > 5
            assert (image.data_folder / "data.qpdata").read_bytes() == ours
            break
        if first >= 0 or state.sha256 != sha256_of(tmp_path / "theirs"):  # else what is written is based on theirs
            check(image, qupath, ours, theirs, error, f"begun at operation {first}")
    else:
        raise AssertionError("more than 60 operations")


@pytest.mark.parametrize("can_exchange", [True, False])
@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("was_saved", [True, False])
def test_while_a_backup_is_brought_back(copies, tmp_path, pace, can_exchange, was_saved):
    for first in range(60):
        project, image, theirs = copies()
        data = image.data_folder / "data.qpdata"
        ours = shutil.copy(read_project(project).images[1].data_folder / "data.qpdata", tmp_path / "ours").read_bytes()
        before = data.read_bytes()
        if was_saved:
            data.write_bytes(ours)
        else:
            for path in (data, data.with_name("summary.json")):
                path.unlink()
        copy_image_data(project, "1", tmp_path / f"backup-{first}")
        data.write_bytes(before)
        qupath, error = QuPath(image.data_folder, theirs, pace), None
        try:
            with meanwhile(qupath.acting_at(first), can_exchange=can_exchange) as done:
                restore_image_data(tmp_path / f"backup-{first}", image.data_folder)
        except ConflictError as conflict:
            error = conflict
        if not qupath.done:
            assert done() >= 3
            assert data.exists() == was_saved
            break
        check(image, qupath, ours, theirs, error, f"begun at operation {first}")
    else:
        raise AssertionError("more than 60 operations")
