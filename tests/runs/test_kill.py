"""A kill at every operation on files: an image is in its old state or in its new one, and what is known of it is true.

The process that holds QuPath's JVM and the one that waits for it are killed alike. What is checked after each kill is
what a person would lose by: their objects, what they deleted, a way back.
"""

import json
import re
import shutil
from pathlib import Path

import pytest
from support.kill import Killed, call_full, call_killed, full_at, killed_at, using
from support.qupath_side import delete_predictions
from support.runs import FREE, discs, made_run, standing

from glomseg.errors import RunError
from glomseg.qupath.amend import amend_image
from glomseg.qupath.process import QuPathProcess
from glomseg.qupath.project import read_project
from glomseg.report.judgements import apply_labels
from glomseg.runs import undo_run
from glomseg.runs.backups import list_backups
from glomseg.runs.collect import collect_run
from glomseg.runs.ownership import FINGERPRINT, RUN, owner
from glomseg.runs.restore import restore_image
from glomseg.runs.run import load_run
from glomseg.runs.write_image import collect_image, undo_image
from glomseg.study import write_back
from glomseg.study.measure_project import MeasureOptions, measure_project

pytestmark = [pytest.mark.qupath, pytest.mark.slow]

DELETED = 3
MOST = 60
LEAST = 35
"""Fewer operations of QuPath's process than a write makes mean that some are not seen."""


class Ending:
    """The process of QuPath, which ends at an operation when it is next asked to write."""

    def __init__(self, qupath: QuPathProcess, number: int, *, can_exchange: bool = True) -> None:
        self._qupath, self._number, self._can_exchange = qupath, number, can_exchange
        self.was_killed = False

    def call(self, function, *args, **kwargs):
        if function not in (collect_image, undo_image, amend_image):
            return self._qupath.call(function, *args, **kwargs)
        result = self._qupath.call(
            call_killed, self._number, function, *args, can_exchange=self._can_exchange, **kwargs
        )
        if result is None:
            self.was_killed = True
            raise Killed
        return result


@pytest.fixture(scope="module")
def reviewed(qupath, tmp_path_factory):
    """A project into which a run was brought, and of which a person deleted some outlines; and what stands there."""
    data = Path(__file__).parents[2] / "../shared/data/qupath"
    if not data.is_dir():
        pytest.skip("the folder of real data (../shared/data) is not here")
    folder = tmp_path_factory.mktemp("template")
    shutil.copytree(data / "project_0_6_0", folder / "study")
    for path in data.glob("*.*"):
        if path.is_file():
            shutil.copy(path, folder)
    study = folder / "study/project.qpproj"
    made_run(study, "run-1", discs("run-1", FREE))
    with using(qupath):
        collect_run(study)
    qupath.call(delete_predictions, study, "1", read_project(study).images[0].path, len(FREE) - DELETED)
    made_run(study, "run-2", discs("run-2", FREE[:4], shift=6) + discs("run-2", FREE[4:]))
    return folder


@pytest.fixture
def copy(reviewed, tmp_path):
    """Make the project anew, under another name each time."""

    def make(name):
        return shutil.copytree(reviewed, tmp_path / name) / "study/project.qpproj"

    return make


def ours(objects):
    return {item.metadata[FINGERPRINT]: item.metadata[RUN] for item in objects.values() if owner(item) == "machine"}


def persons(objects):
    return {key for key, item in objects.items() if owner(item) == "person"}


def killed_everywhere(copy, qupath, work, *, can_exchange=True, least_here=1):
    """Yield the project after each kill of `work`: in QuPath's process, then in the one that waits for it.

    That one does at least `least_here` operations on files itself.
    """
    for where in ("qupath", "here"):
        for number in range(MOST):
            study = copy(f"{where}-{number}")
            process = Ending(qupath, number if where == "qupath" else MOST, can_exchange=can_exchange)
            killed = False
            try:
                with using(process):
                    if where == "qupath":
                        work(study)
                    else:
                        with killed_at(number):
                            work(study)
            except Killed:
                killed = True
            yield study, f"killed at operation {number} of {where}"
            if not killed:
                assert number >= (LEAST if where == "qupath" else least_here)
                break
        else:
            raise AssertionError(f"more than {MOST} operations")


def check_nothing_lost(study, qupath, before, after, told):
    """The image is as before or as after; the next run knows what was deleted, and nothing else."""
    stands = standing(qupath, study)
    assert ours(stands) in (ours(before), ours(after)), told
    assert persons(stands) == persons(before), told
    made_run(study, "run-3", discs("run-3", FREE, shift=1))
    with using(qupath):
        record = collect_run(study, "run-3").records["1"]
    assert record.outcome is None, (told, record.reason)
    assert record.collected.dropped_as_rejected == DELETED, told
    assert record.collected.deletions_not_believed == 0, told
    assert len(ours(standing(qupath, study))) == len(FREE) - DELETED, told


def test_collect(copy, qupath):
    done = copy("done")
    before = standing(qupath, done)
    with using(qupath):
        collect_run(done, "run-2")
    after = standing(qupath, done)
    assert len(set(ours(after)) - set(ours(before))) == 4
    for study, told in killed_everywhere(copy, qupath, lambda study: collect_run(study, "run-2"), least_here=4):
        was = ours(standing(qupath, study))
        check_nothing_lost(study, qupath, before, after, told)
        with using(qupath):
            undo_run.undo_run(study, "run-3")
            assert ours(standing(qupath, study)) == was, told
            if was == ours(after):
                assert undo_run.undo_run(study).run.run_id == "run-2", told
                assert ours(standing(qupath, study)) == ours(before), told
            elif (study.parent / "glomseg/run-2/changes/1").is_dir():  # its record is there, and true of no data
                assert undo_run.undo_run(study, "run-2").failed, told
                assert ours(standing(qupath, study)) == was, told
        for backup in list_backups(study.parent / "glomseg", "1"):
            json.loads((backup.folder / "checksums.json").read_text())


class Full:
    """The process of QuPath, for which the disk is full from a sync of its on when it writes."""

    def __init__(self, qupath: QuPathProcess, number: int) -> None:
        self._qupath, self._number = qupath, number

    def call(self, function, *args, **kwargs):
        if function is not collect_image:
            return self._qupath.call(function, *args, **kwargs)
        return self._qupath.call(call_full, self._number, function, *args, **kwargs)


@pytest.mark.parametrize("where", ["qupath", "here"])
def test_a_quota_that_is_reached_at_any_sync(copy, qupath, where):
    """It is one sentence, and the same command completes the work once there is room."""
    done = copy("done")
    before = standing(qupath, done)
    with using(qupath):
        collect_run(done, "run-2")
    after = standing(qupath, done)
    for number in range(MOST):
        study, reason = copy(f"{number}"), ""
        process = Full(qupath, number) if where == "qupath" else qupath
        with using(process), full_at(number if where == "here" else MOST):
            try:
                reason = collect_run(study, "run-2").records["1"].reason or ""
            except RunError as error:
                reason = str(error)
        if not reason:
            assert number >= (8 if where == "qupath" else 1)
            break
        assert re.match("cannot write .*quota.*free space", reason, re.IGNORECASE), reason
        assert ours(standing(qupath, study)) in (ours(before), ours(after)), number
        with using(qupath):
            assert not collect_run(study, "run-2").failed
        assert ours(standing(qupath, study)) == ours(after), number
        check_nothing_lost(study, qupath, after, after, f"full at sync {number}")


def test_undo(copy, qupath):
    done = copy("done")
    with using(qupath):
        collect_run(done, "run-2")
    before = standing(qupath, done)
    with using(qupath):
        undo_run.undo_run(done)
    after = standing(qupath, done)

    def collected(name):
        study = copy(name)
        with using(qupath):
            collect_run(study, "run-2")
        return study

    for study, told in killed_everywhere(collected, qupath, undo_run.undo_run, can_exchange=False, least_here=4):
        assert ours(standing(qupath, study)) in (ours(before), ours(after)), told
        with using(qupath):
            if ours(standing(qupath, study)) == ours(before):
                assert not undo_run.undo_run(study, "run-2").failed, told
        assert ours(standing(qupath, study)) == ours(after), told
        check_nothing_lost(study, qupath, after, after, told)


def test_undo_knows_the_last_write_whose_record_a_kill_left_out(copy, qupath):
    """The run before, which stands in another image and is recorded there, is not taken back in its place."""
    unrecorded = 0
    for number in range(MOST):
        study, killed = copy(f"{number}"), False
        made_run(study, "run-0", discs("run-0", FREE[:2]), keys=("2",))
        with using(qupath):
            collect_run(study, "run-0")
            before, other = standing(qupath, study), standing(qupath, study, "2")
            try:
                with killed_at(number):
                    collect_run(study, "run-2")
            except Killed:
                killed = True
            if ours(standing(qupath, study)) != ours(before):
                unrecorded += load_run(study.parent / "glomseg/run-2").images["1"].collected is None
                assert undo_run.preview_undo(study).run.run_id == "run-2", number
                assert undo_run.undo_run(study).run.run_id == "run-2", number
                assert ours(standing(qupath, study)) == ours(before), number
                assert ours(standing(qupath, study, "2")) == ours(other), number
        if not killed:
            break
    assert unrecorded


@pytest.mark.parametrize("can_exchange", [True, False])
def test_restore(copy, qupath, can_exchange):
    done = copy("done")
    before = standing(qupath, done)
    restore_image(done, "1", "run-1")
    after = standing(qupath, done)
    assert not ours(after)
    for number in range(MOST):
        study, killed = copy(f"{number}"), False
        try:
            with killed_at(number, can_exchange=can_exchange):
                restore_image(study, "1", "run-1")
        except Killed:
            killed = True
        stands = standing(qupath, study)
        assert ours(stands) in (ours(before), ours(after)), number
        assert persons(stands) == persons(before), number
        with using(qupath):
            made = collect_run(study, "run-2").records["1"].collected
        rejected = DELETED if ours(stands) else 0  # in the data of before the run nobody has deleted anything
        assert (made.dropped_as_rejected, made.deletions_not_believed) == (rejected, 0), number
        restore_image(study, "1", "run-1")
        assert not ours(standing(qupath, study)), number
        restore_image(study, "1", "last")
        if not killed:
            break
    assert number > 5


def values_of(objects):
    """What `measure --write` and `gallery --apply` may change, of each object."""
    return {key: (item.class_name, tuple(sorted(item.measurements))) for key, item in objects.items()}


def check_values(study, qupath, before, after, told):
    """Each object is as before or, all of them, as after, which is told; shapes and what was deleted are untouched."""
    stands = standing(qupath, study)
    assert values_of(stands) in (values_of(before), values_of(after)), told
    assert {key: item.geometry for key, item in stands.items()} == {key: item.geometry for key, item in before.items()}
    for backup in list_backups(study.parent / "glomseg", "1"):
        json.loads((backup.folder / "checksums.json").read_text())
    return values_of(stands) == values_of(after)


def write_values(study):
    """As `measure --write`."""
    return write_back.write_measurements(measure_project(study, MeasureOptions()))


def test_measure_write(copy, qupath):
    done = copy("done")
    before = standing(qupath, done)
    with using(qupath):
        assert not any(image.problem for image in write_values(done).values())
    after = standing(qupath, done)
    assert values_of(after) != values_of(before)
    assert ours(after) == ours(before)
    written = set()
    for study, told in killed_everywhere(copy, qupath, write_values):
        written.add(check_values(study, qupath, before, after, told))
        with using(qupath):
            assert not any(image.problem for image in write_values(study).values()), told
        assert values_of(standing(qupath, study)) == values_of(after), told
        check_nothing_lost(study, qupath, after, after, told)
    assert written == {True, False}  # killed before the data are in place, and after


def test_gallery_apply(copy, qupath, tmp_path):
    done = copy("done")
    before = standing(qupath, done)
    chosen = [key for key, item in before.items() if owner(item) == "machine"][:2]
    labels = tmp_path / "labels.csv"
    rows = "".join(f"1,{key},Glomerulus,Glomerulus: Sclerotic\n" for key in chosen)
    labels.write_text("entry_id,object_id,class,new_class\n" + rows)
    with using(qupath):
        assert not apply_labels(done, labels).remarks
    after = standing(qupath, done)
    assert {after[key].class_name for key in chosen} == {"Glomerulus: Sclerotic"}
    written = set()
    for study, told in killed_everywhere(copy, qupath, lambda study: apply_labels(study, labels)):
        written.add(check_values(study, qupath, before, after, told))
        with using(qupath):
            assert not apply_labels(study, labels).remarks, told
        assert values_of(standing(qupath, study)) == values_of(after), told
    assert written == {True, False}
