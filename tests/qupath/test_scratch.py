"""What a process that was killed leaves in the temporary folder is cleared by a later one, and nothing else is."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from glomseg.errors import RunError
from glomseg.qupath.java import start_qupath
from glomseg.qupath.process import qupath_process
from glomseg.qupath.scratch import remove_stale_folders, scratch_folder

HOLD = """
from glomseg.qupath.scratch import scratch_folder
with scratch_folder("collect") as folder:
    (folder / "data.qpdata").write_bytes(b"a copy")
    print(folder, flush=True)
    input()
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def aged(folder):
    """Let the lock of a folder be an hour old."""
    (lock,) = folder.parent.glob("*.lock")
    os.utime(lock, (time.time() - 3600,) * 2)


def held_by_another():
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    folder = Path(process.stdout.readline().strip())
    aged(folder)
    return process, folder


def test_what_a_killed_process_left_goes_and_what_is_in_use_stays(temporary):
    strangers = temporary / "glomseg-collect-old"  # of a version that held no lock: nothing says who uses it
    strangers.mkdir()
    killed, left = held_by_another()
    alive, used = held_by_another()
    try:
        with scratch_folder("restore") as ours:
            aged(ours)
            assert remove_stale_folders() == 0
            assert left.parent.parent == temporary
            killed.kill()
            killed.wait()
            assert (left / "data.qpdata").is_file()
            assert remove_stale_folders() == 1
            assert (used / "data.qpdata").is_file()
            assert ours.is_dir()
        alive.communicate("\n")
        assert list(temporary.iterdir()) == [strangers]
    finally:
        for process in (killed, alive):
            process.kill()
            process.communicate()


def test_one_that_is_just_being_made_stays(temporary):
    process, folder = held_by_another()
    process.kill()
    process.communicate()
    (lock,) = folder.parent.glob("*.lock")
    lock.touch()
    assert remove_stale_folders() == 0
    assert folder.is_dir()


@pytest.mark.qupath
@pytest.mark.usefixtures("qupath")
def test_each_command_that_uses_qupath_clears(temporary):
    process, folder = held_by_another()
    process.kill()
    process.communicate()
    with qupath_process():
        assert not folder.exists()


def test_no_place_for_a_temporary_folder_is_one_sentence(temporary, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "gone"))
    with pytest.raises(RunError, match=r"no temporary folder can be made .No such file or directory.; .* set TMPDIR"):
        scratch_folder("qupath").__enter__()
    assert remove_stale_folders() == 0

    def refuse():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", refuse)
    assert remove_stale_folders() == 0


@pytest.mark.qupath
@pytest.mark.slow
@pytest.mark.usefixtures("qupath")
def test_java_starts_with_a_temporary_folder_of_any_name(temporary, monkeypatch):
    odd = temporary / "an \U0001f600 \n 'of' Jörg 100%"
    odd.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    with qupath_process() as process:
        process.call(start_qupath)
