"""One at a time, on one machine and on a share where locks do nothing; who it is, and when it is dead."""

import errno
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from glomseg.errors import RunError
from glomseg.runs import lock
from glomseg.runs.each_image import recording
from glomseg.runs.image_record import ImageRecord, Outcome
from glomseg.runs.lock import HOLDER, locked, read_holder
from glomseg.runs.run import Run


@pytest.fixture
def no_locks(monkeypatch):
    """A share on which advisory locks are granted to everybody."""

    class Granted:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def acquire(self) -> None:
            pass

        release = acquire

    monkeypatch.setattr(lock, "FileLock", Granted)


def written_by(folder: Path, **changes: object) -> Path:
    with locked(folder):
        text = json.loads((folder / HOLDER).read_text())
    (folder / HOLDER).write_text(json.dumps({**text, **changes}))
    return folder / HOLDER


def test_one_at_a_time_and_who_it_is(tmp_path):
    with locked(tmp_path / "a"):
        holder = read_holder(tmp_path / "a")
        assert (holder.process, holder.host) == (os.getpid(), socket.gethostname())
        with pytest.raises(RunError, match=rf"another glomseg.*{holder.person} on .* since"), locked(tmp_path / "a"):
            pass
        assert read_holder(tmp_path / "a") == holder
        with locked(tmp_path / "b"):
            pass
    assert read_holder(tmp_path / "a") is None
    with locked(tmp_path / "a"):
        pass


def test_a_refused_folder_is_as_it_was(tmp_path):
    """A command that was refused for what lies in a person's folder left its lock there."""
    for error in (RunError, KeyboardInterrupt):
        with pytest.raises(error), locked(tmp_path):
            raise error("no")
        assert list(tmp_path.iterdir()) == []
    with locked(tmp_path):
        pass
    with pytest.raises(RunError), locked(tmp_path):
        raise RunError("no")
    assert (tmp_path / ".lock").exists(), "it was there, and another may wait for it"


def test_a_folder_that_nothing_was_put_into_is_gone(tmp_path):
    with locked(tmp_path / "empty"):
        pass
    assert not (tmp_path / "empty").exists()
    with locked(tmp_path / "used"):
        (tmp_path / "used/file").write_text("")
    assert (tmp_path / "used/file").exists()
    (tmp_path / "a person's").mkdir()
    with locked(tmp_path / "a person's"):
        pass
    assert (tmp_path / "a person's").exists()


@pytest.mark.usefixtures("no_locks")
def test_where_locks_do_nothing_the_written_word_counts(tmp_path):
    with locked(tmp_path):
        with pytest.raises(RunError, match="another glomseg"), locked(tmp_path):
            pass
        assert read_holder(tmp_path) is not None
    written_by(tmp_path, host="elsewhere", process=1, person="Ada")
    with pytest.raises(RunError, match="Ada on elsewhere"), locked(tmp_path):
        pass


@pytest.mark.usefixtures("no_locks")
def test_the_dead_hold_nothing(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for changes in ({"process": gone.pid}, {"token": "of a call of this process that never ended"}):
        written_by(tmp_path, **changes)
        with locked(tmp_path):
            pass
    path = written_by(tmp_path, host="elsewhere")
    old = time.time() - lock.STALE_SECONDS - 60
    os.utime(path, (old, old))
    with locked(tmp_path):
        assert read_holder(tmp_path).host == socket.gethostname()
    path.write_text("{ half")  # cut short by a full disk: held as long as it may be young
    with pytest.raises(RunError, match="another glomseg"), locked(tmp_path):
        pass
    os.utime(path, (old, old))
    with locked(tmp_path):
        pass


def test_a_holder_that_lives_is_seen_to(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "TOUCH_SECONDS", 0.05)
    with locked(tmp_path):
        old = time.time() - 1000
        os.utime(tmp_path / HOLDER, (old, old))
        until = time.monotonic() + 5
        while (tmp_path / HOLDER).stat().st_mtime == pytest.approx(old, abs=1) and time.monotonic() < until:
            time.sleep(0.02)
        assert time.time() - (tmp_path / HOLDER).stat().st_mtime < 100


@pytest.mark.usefixtures("no_locks")
def test_two_processes_on_a_share(tmp_path):
    """Of many that start at once, one works."""
    code = (
        "import sys, time; from pathlib import Path; from glomseg.runs import lock\n"
        "class Granted:\n"
        "    def __init__(self, *a, **k): pass\n"
        "    def acquire(self): pass\n"
        "    def release(self): pass\n"
        "lock.FileLock = Granted\n"
        "try:\n"
        "    with lock.locked(Path(sys.argv[1])):\n"
        "        began = time.time(); time.sleep(1); print(began, time.time())\n"
        "except lock.RunError: print('out')\n"
    )
    written_by(tmp_path, token="of a call that never ended", process=2**22 + 1)
    command = [sys.executable, "-c", code, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = [process.communicate(timeout=60)[0].strip() for process in running]
    times = sorted(tuple(map(float, text.split())) for text in said if text != "out")
    assert times
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(times))
    assert not (tmp_path / HOLDER).exists()


def test_a_full_disk_keeps_nobody_out(tmp_path, monkeypatch):
    """The word that cannot be written is taken away again, so that the next command may work at once."""

    def full(file, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(RunError, match="No space left on device; free space"), locked(tmp_path):
            pass
    assert not (tmp_path / HOLDER).exists()
    with locked(tmp_path):
        pass


def test_a_full_temporary_folder_is_one_sentence_with_the_way_out(tmp_path):
    """QuPath writes in a copy there, and a full one is no fault to report."""
    run = Run(tmp_path, "r", images={"1": ImageRecord(name="a"), "2": ImageRecord(name="b")})
    with recording(run, "1", Outcome.NOT_COLLECTED, "skip"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/scratch/data.qpdata")
    assert run.images["1"].reason == (
        "cannot write /tmp/scratch/data.qpdata: No space left on device; free space, or set TMPDIR to a folder on "
        "another disk"
    )
    with recording(run, "2", Outcome.NOT_COLLECTED, "skip"):
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "/tmp/scratch/data.qpdata")
    assert "please report it" in run.images["2"].reason
    no_memory = (
        MemoryError("std::bad_alloc"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
    )
    for error in no_memory:
        with recording(run, "2", Outcome.NOT_COLLECTED, "skip"):
            raise error
        assert run.images["2"].reason.startswith("no memory left (")
