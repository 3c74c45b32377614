"""Ctrl-C at every operation on files of each command that writes: the image is whole, and what is printed is true.

The command that waits is interrupted, at its own operations and while QuPath's process, which does not hear it, is at
one of its. What is printed is one line; the way out that it names works; nobody is kept out of the project.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest
from support.kill import call_interrupting, interrupted_at, using
from support.qupath_side import delete_predictions
from support.runs import FREE, discs, made_run, standing

from glomseg.qupath.amend import amend_image
from glomseg.qupath.project import read_project
from glomseg.runs.ownership import RUN
from glomseg.runs.write_image import collect_image, undo_image

pytestmark = [pytest.mark.qupath, pytest.mark.slow]

KEPT = 5
MOST = 60


class Interrupting:
    """The process of QuPath; while it does an operation on files, the process that waits for it gets Ctrl-C."""

    def __init__(self, qupath, number):
        self.qupath, self.number = qupath, number

    def call(self, function, *args, **kwargs):
        if function in (collect_image, undo_image, amend_image):
            return self.qupath.call(call_interrupting, self.number, os.getpid(), function, *args, **kwargs)
        return self.qupath.call(function, *args, **kwargs)


@pytest.fixture(autouse=True)
def _heard():
    """Hear Ctrl-C, which a shell lets what it runs in the background ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def reviewed(moved, one_process, glomseg):
    """A project with a run, some of whose outlines a person deleted, and a second one that waits."""
    made_run(moved, "run-1", discs("run-1", FREE))
    with using(one_process):
        assert glomseg("collect", moved).code == 0
    one_process.call(delete_predictions, moved, "1", read_project(moved).images[0].path, KEPT)
    made_run(moved, "run-2", discs("run-2", FREE, shift=6))
    return moved


def look(qupath, study):
    """What a person would lose by: each object with its run, class and measurements."""
    return sorted(
        (item.metadata.get(RUN, ""), item.class_name or "", item.geometry.wkt, *sorted(item.measurements))
        for item in standing(qupath, study).values()
    )


def files(study):
    content = {path: path.read_bytes() for path in study.parent.rglob("*") if path.is_file()}
    return {path: text for path, text in content.items() if path.name != ".lock"}


def put(study, content):
    for path in set(files(study)) - set(content):
        path.unlink()
    for path, text in content.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)


def way_out(said, arguments):
    """The command that is printed, else the same one."""
    printed = re.search(r": glomseg (undo|restore) PROJECT (.+)$", said)
    return (printed[1], arguments[1], *shlex.split(printed[2])) if printed else arguments


@pytest.mark.parametrize("command", ["collect", "undo", "restore", "measure", "gallery"])
def test_at_every_operation(reviewed, one_process, glomseg, tmp_path, command):
    if command in ("undo", "restore", "gallery"):
        with using(one_process):
            assert glomseg("collect", reviewed).code == 0
    labels = tmp_path / "labels.csv"
    ours = [key for key, item in standing(one_process, reviewed).items() if RUN in item.metadata]
    rows = "".join(f"1,{key},Glomerulus,Glomerulus: Sclerotic\n" for key in ours[:2])
    labels.write_text("entry_id,object_id,class,new_class\n" + rows)
    arguments = {
        "collect": ("collect", reviewed),
        "undo": ("undo", reviewed),
        "restore": ("restore", reviewed, "1", "last"),
        "measure": ("measure", reviewed, "--write", "-o", tmp_path / "measured"),
        "gallery": ("gallery", reviewed, "--apply", labels),
    }[command]
    start, before = files(reviewed), look(one_process, reviewed)
    with using(one_process):
        assert glomseg(*arguments).code == 0
    after = look(one_process, reviewed)
    assert after != before
    for where in ("here", "qupath"):
        for number in range(MOST):
            put(reviewed, start)
            told = f"{command}: at operation {number} {where}"
            with using(one_process if where == "here" else Interrupting(one_process, number)):
                if where == "qupath":
                    result = glomseg(*arguments)
                else:
                    with interrupted_at(number):
                        result = glomseg(*arguments)
            if result.code == 0:
                break
            assert result.code == 130, (told, result.err)
            said = [line for line in result.err.splitlines() if line.startswith("glomseg: interrupted; ")]
            assert len(said) == 1, (told, result.err)
            assert "Traceback" not in result.err, told
            assert look(one_process, reviewed) in (before, after), told
            assert not [path for path in files(reviewed) if path.name.startswith(".")], told
            with using(one_process):
                again = glomseg(*way_out(said[0], arguments))
            assert again.code == 0 or "nothing to undo" in again.err, (told, again.err)
            assert look(one_process, reviewed) == after, told
        assert number > (0 if where == "here" else 10) or (command, where) == ("restore", "qupath")


@pytest.mark.skipif(os.name == "nt", reason="signals work differently on Windows")
@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGHUP], [signal.SIGINT, signal.SIGINT]])
def test_a_real_process_ends_as_by_hand(reviewed, one_process, signals):
    """A queue that ends the job, a terminal that closes, an impatient person; each is told, and may begin again."""
    before = look(one_process, reviewed)
    process = subprocess.Popen(
        [sys.executable, "-m", "glomseg_cli.main", "collect", reviewed],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    holder = reviewed.parent / "glomseg/.lock.json"
    until = time.monotonic() + 60
    while not holder.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    for number in signals:
        time.sleep(1.5)  # QuPath is starting, or has begun
        process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode in (128 + signals[0], -signals[0], 0), err
    assert "Traceback" not in err
    last = err.strip().splitlines()[-1]
    assert process.returncode == 0 or last.startswith(("glomseg: interrupted; ", "results: "))  # all was done by then
    assert not holder.exists()
    stands = look(one_process, reviewed)
    assert stands == before or {row[0] for row in stands} == {"", "run-2"}
    again = subprocess.run([sys.executable, "-m", "glomseg_cli.main", "collect", reviewed], check=True)
    assert again.returncode == 0
    assert {row[0] for row in look(one_process, reviewed)} == {"", "run-2"}
