"""Several people on one project, of whom one may not read what another's glomseg wrote: that is not taken for gone."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.runs import FREE, discs, made_run

from glomseg.errors import ProjectError, RunError
from glomseg.runs.changes import last_changes
from glomseg.runs.memory import read_memory
from glomseg.runs.restore import image_backups, restore_image
from glomseg.runs.run_list import find_run, list_runs, read_runs
from glomseg.runs.undo_run import preview_undo

pytestmark = [
    pytest.mark.qupath,
    pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this system has no rights as these"),
]
NOBODY = 65534


@pytest.fixture
def shared(moved, one_process, glomseg):
    """A project in a place that everybody may read, into which a run was brought."""
    made_run(moved, "20260101-120000", discs("20260101-120000", FREE))
    assert glomseg("collect", moved).code == 0
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        study = shutil.copytree(moved.parent, Path(folder, "study"))
        moved.rename(study / "project.qpproj")
        yield study / "project.qpproj"


@contextmanager
def without_right_to(path):
    """Let this process be somebody who may not read `path`, but all else."""
    mode, is_root = path.stat().st_mode, os.geteuid() == 0
    path.chmod(0o700 if is_root and path.is_dir() else 0o600 if is_root else 0)
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        path.chmod(mode)


def test_what_another_wrote_and_may_not_be_read_is_not_gone(shared):
    """Taken for gone, deleted outlines would be offered again, and an older run be undone for the last one."""
    runs_folder = shared.parent / "glomseg"
    run, data_folder = runs_folder / "20260101-120000", shared.parent / "data/1"
    memory = runs_folder / "memory/1"
    (mark,) = (path.stem for path in memory.iterdir())

    def refused(work):
        with pytest.raises((ProjectError, RunError)) as said:
            work()
        assert "you may not read it" in str(said.value)
        assert "damaged" not in str(said.value)
        assert "lost" not in str(said.value)
        return str(said.value)

    assert len(read_memory(runs_folder, "1", data_folder).predictions) == len(FREE)  # and all is imported
    assert preview_undo(shared).outlines == {"1": len(FREE)}
    assert len(image_backups(shared, "1")[1]) == 1
    for hidden in (memory, memory / f"{mark}.geojson", runs_folder / "memory"):
        with without_right_to(hidden):
            assert str(hidden) in refused(lambda: read_memory(runs_folder, "1", data_folder))
    for hidden in (run / "changes", run / "changes/1/1.json"):
        with without_right_to(hidden):
            assert str(hidden) in refused(lambda: preview_undo(shared))
            assert str(hidden) in refused(lambda: last_changes(runs_folder, "1", mark, None))
    for hidden in (run, run / "run.json"):
        with without_right_to(hidden):
            assert list_runs(runs_folder) == []
            assert "you may not read it" in read_runs(runs_folder)[1][0].problem
            assert str(hidden) in refused(lambda: find_run(runs_folder, None))
    with without_right_to(run):
        assert str(run) in refused(lambda: image_backups(shared, "1"))
        assert str(run) in refused(lambda: preview_undo(shared))
    with without_right_to(runs_folder):
        refused(lambda: read_runs(runs_folder))


def test_the_last_backup_is_not_known_where_one_may_not_be_read(shared):
    hidden = shared.parent / "glomseg/20260202-120000/changes"
    hidden.mkdir(parents=True)
    if os.geteuid() == 0:  # who may write there, but not into the lock that another has left
        os.chown(shared.parent / "glomseg", NOBODY, -1)
    with without_right_to(hidden), pytest.raises(ProjectError, match="which backup is the last is not known"):
        restore_image(shared, "1", "last")
