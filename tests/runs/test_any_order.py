"""Runs, imports, deletions, undos, restores, kills, saves by others, data put back and missing, in any order.

All on files of a real project and a real QuPath.

A person deletes outlines at places; what they deleted is true of the data in which they did it, and of all that is made
of that data. A run may add an outline at every other place, and must not at these. What a person copied onto another
plane stays there, and keeps a run off its place where nothing stands under it on the first plane. A training from the
review, which is closed all the time, learns as rejected at most what was deleted, whatever was done before it.
"""

import json
import random
import shutil

import pytest
from support.groovy import import_run
from support.kill import Killed, call_killed, killed_at
from support.qupath_side import copy_to_plane, delete_at
from support.runs import FREE, discs, made_run, standing

from glomseg.errors import GlomsegError, ProjectError
from glomseg.qupath import annotations
from glomseg.qupath.image_data import readable_data
from glomseg.qupath.project import read_project
from glomseg.qupath.review_mark import REVIEWED
from glomseg.runs import collect, undo_run
from glomseg.runs.backups import list_backups
from glomseg.runs.collect import collect_run
from glomseg.runs.lock import HOLDER
from glomseg.runs.ownership import RUN, owner
from glomseg.runs.restore import restore_image
from glomseg.runs.reviewed import read_reviewed
from glomseg.runs.write_image import collect_image, undo_image

pytestmark = pytest.mark.qupath
STEPS = 300


class Killing:
    """QuPath's process, which may end at an operation on files while it writes."""

    def __init__(self, qupath):
        self.qupath, self.info, self.at = qupath, qupath.info, None

    def call(self, function, *args, **kwargs):
        if self.at is None or function not in (collect_image, undo_image):
            return self.qupath.call(function, *args, **kwargs)
        result = self.qupath.call(call_killed, self.at, function, *args, **kwargs)
        if result is None:
            raise Killed
        return result


def let_save(data, content):
    """Let somebody save at the moment of the next rename, in the process of QuPath; None lets nobody."""
    from glomseg.qupath import image_data, swap

    def put(new, target):
        image_data.swap = swap.swap
        data.write_bytes(content)
        swap.swap(new, target)

    image_data.swap = swap.swap if content is None else put


class Machine:
    """A project under random work; `deleted` holds what a person has deleted, by the bytes of the data."""

    def __init__(self, study, process, seed):
        self.study, self.process, self.random = study, process, random.Random(seed)
        self.data = study.parent / "data/1/data.qpdata"
        self.number = 0
        self.deleted = {self.data.read_bytes(): frozenset()}
        self.told, self.taught, self.runs_before = [], 0, None
        content = json.loads(study.read_text("utf-8"))
        content["images"][0].setdefault("metadata", {})[REVIEWED] = "by AB"
        study.write_text(json.dumps(content), "utf-8")

    @property
    def gone(self):
        return self.deleted[self.data.read_bytes()]

    def places(self):
        """Where outlines of the machine's stand, and the run of each."""
        found = {}
        for item in standing(self.process, self.study).values():
            if owner(item) == "machine":
                found[_place(item.geometry.centroid.x)] = item.metadata[RUN]
        return found

    def copies(self):
        """What a person copied onto another plane: the places, by id."""
        items = standing(self.process, self.study).values()
        return {item.object_id: _place(item.geometry.centroid.x) for item in items if item.is_off_plane}

    def keep(self, gone):
        self.deleted.setdefault(self.data.read_bytes(), gone)

    def new_run(self):
        """Let a run find outlines at some places; returns its name and these."""
        self.number += 1
        name = f"run-{self.number:03d}"
        places = sorted(self.random.sample(range(len(FREE)), self.random.randint(3, len(FREE))))
        made_run(self.study, name, discs(name, [FREE[place] for place in places], shift=self.random.choice((0, 0, 6))))
        return name, places

    def annotate(self):
        name, places = self.new_run()
        gone, stood, copies = self.gone, self.places(), self.copies()
        found = set(places) - gone - (set(copies.values()) - set(stood))
        self.process.at = self.random.choice((None, None, self.random.randrange(30)))
        try:
            record = collect_run(self.study, name).records["1"]
        except Killed:
            self.keep(gone)
            assert set(self.places()) in (set(stood), found)
            return
        finally:
            self.process.at = None
        assert record.outcome is None, record.reason
        assert record.collected.deletions_not_believed == 0
        self.keep(gone)
        assert (set(self.places()), self.copies()) == (found, copies)

    def delete(self):
        stand = self.places()
        runs = list(stand.values())
        free = [place for place, run in stand.items() if runs.count(run) > 1]
        if not free:
            return
        chosen = {self.random.choice(free)}
        gone = self.gone | chosen
        image = read_project(self.study).images[0]
        assert self.process.call(delete_at, self.study, "1", image.path, [FREE[place] for place in chosen]) == 1
        self.keep(gone)

    def undo(self):
        gone, before, copies = self.gone, set(self.places()), self.copies()
        self.process.at = self.random.choice((None, None, self.random.randrange(30)))
        try:
            undo_run.undo_run(self.study)
        except GlomsegError:
            assert set(self.places()) == before
        except Killed:
            pass
        finally:
            self.process.at = None
        self.keep(gone)
        assert not set(self.places()) & gone
        assert self.copies() == copies

    def copy_to_plane(self):
        gone, stand = self.gone, self.places()
        if stand:
            image, place = read_project(self.study).images[0], self.random.choice(list(stand))
            assert self.process.call(copy_to_plane, self.study, "1", image.path, FREE[place]) == 1
            self.keep(gone)

    def put_back(self):
        self.data.write_bytes(self.random.choice(list(self.deleted)))

    def restore(self):
        backups = list_backups(self.study.parent / "glomseg", "1")
        if backups:
            number = self.random.choice((None, self.random.randrange(20)))
            try:
                with killed_at(10**9 if number is None else number, can_exchange=self.random.random() < 0.5):
                    restore_image(self.study, "1", self.random.choice(backups).name)
            except Killed:  # the script cannot know that this process goes on without the call that held the folder
                (self.study.parent / "glomseg" / HOLDER).unlink(missing_ok=True)
            assert readable_data(self.data.parent).read_bytes() in self.deleted
            if not self.data.is_file():  # ended between aside and in place; QuPath reads on from the copy, too
                shutil.copy(readable_data(self.data.parent), self.data)

    def import_by_script(self):
        """The script of QuPath brings a run in."""
        image = read_project(self.study).images[0]
        if image.uri != image.path.as_uri():  # has moved, and no write of ours has told QuPath yet where it lies
            return
        name, places = self.new_run()
        gone, stood, copies = self.gone, self.places(), self.copies()
        made = self.process.call(import_run, self.study, "1", name)
        assert made["doubtful"] == 0
        self.keep(gone)
        assert set(self.places()) == set(places) - gone - (set(copies.values()) - set(stood))
        assert self.copies() == copies

    def missing(self):
        """A share has not brought the data yet."""
        content = self.data.read_bytes()
        self.data.unlink()
        name, _ = self.new_run()
        record = collect_run(self.study, name).records["1"]
        assert "is missing" in record.reason
        assert not self.data.exists()
        self.data.write_bytes(content)

    def saved_meanwhile(self):
        """Somebody saves between the last look and the rename."""
        gone, content = self.gone, self.random.choice(list(self.deleted))
        name, _ = self.new_run()
        if content == self.data.read_bytes():
            return
        try:
            self.process.qupath.call(let_save, self.data, content)
            record = collect_run(self.study, name).records["1"]
        finally:
            self.process.qupath.call(let_save, self.data, None)
        if record.outcome is None:  # nothing was to be written
            self.keep(gone)
        else:
            assert record.conflict
            assert self.data.read_bytes() == content

    def learn(self):
        """A training from the review takes nothing for rejected that nobody deleted."""
        try:
            (image,) = read_reviewed(self.study).images
        except ProjectError:  # nothing can be learned
            return
        rejected = {_place(item.geometry.centroid.x) for item in image.rejected}
        assert rejected <= self.gone
        self.taught += len(rejected)

    def runs_of_before(self):
        """The folder of the runs is brought back from another day, looked at, and put right again."""
        folder, kept = self.study.parent / "glomseg", self.study.parent / "kept"
        if self.runs_before is None and folder.is_dir():
            self.runs_before = shutil.copytree(folder, self.study.parent / "of before")
        elif self.runs_before is not None:
            folder.rename(kept)
            self.runs_before.rename(folder)
            self.learn()
            shutil.rmtree(folder)
            kept.rename(folder)
            self.runs_before = None

    def run(self, steps, *, by_script):
        work = [self.annotate] * 3 + [self.delete] * 3 + [self.undo] * 2 + [self.put_back, self.restore]
        work += [self.missing, self.saved_meanwhile, self.runs_of_before, self.copy_to_plane]
        work += [self.import_by_script] * by_script
        for _ in range(steps):
            step = self.random.choice(work)
            self.told.append(step.__name__)
            try:
                step()
                self.learn()
            except (AssertionError, KeyError) as error:
                raise AssertionError(f"after {self.told}") from error


def _place(x):
    return min(range(len(FREE)), key=lambda place: abs(FREE[place][0] - x))


def machine(study, one_process, monkeypatch, seed):
    killing = Killing(one_process)

    class Held:
        def __enter__(self):
            return killing

        def __exit__(self, *_):
            return False

    for module in (annotations, collect, undo_run):
        monkeypatch.setattr(module, "qupath_process", Held)
    return Machine(study, killing, seed)


def test_a_short_while(study_0_6_0, one_process, monkeypatch):
    machine(study_0_6_0, one_process, monkeypatch, seed=1).run(25, by_script=False)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 15))
def test_a_long_while(study_0_6_0, one_process, monkeypatch, seed):
    walked = machine(study_0_6_0, one_process, monkeypatch, seed)
    walked.run(STEPS, by_script=True)
    assert walked.taught
