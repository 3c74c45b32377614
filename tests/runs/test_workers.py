"""Workers: the files of one process byte for byte, whoever dies, hangs or finds the disk full meanwhile."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import psutil
import pytest
from support.batches import begun, files_of, small_slides
from support.kill_workers import Killer, holder_of, workers_of

import glomseg
from glomseg import Listener, SegmentOptions
from glomseg.errors import RunError
from glomseg.runs.capacity import cores, count_workers
from glomseg.runs.merge import working_in
from glomseg.runs.run import load_run
from glomseg.runs.run_list import resume_or_start_in
from glomseg.runs.segment_batch import Job
from glomseg.runs.segment_jobs import segment_jobs
from glomseg.runs.segmenter import Segmenter

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and pipes with names work differently on Windows")


class Heard:
    def __init__(self):
        self.ended, self.texts = Counter(), []
        self.listener = Listener(
            ended=lambda name, record: self.ended.update([name]), remark=self.texts.append, warning=self.texts.append
        )

    def said(self, words):
        return [text for text in self.texts if words in text]


@pytest.fixture(scope="module")
def options(oracle_folder):
    return SegmentOptions(model=oracle_folder, device="cpu", keep_probability=True)


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    return small_slides(tmp_path_factory.mktemp("slides"), 6)


@pytest.fixture(scope="module")
def whole(slides, options, tmp_path_factory):
    """A run in one process that nothing disturbed; its folder."""
    return undisturbed(slides, options, tmp_path_factory.mktemp("whole"))


def undisturbed(slides, options, folder):
    glomseg.segment_slides(slides, begun(folder, Segmenter.load(options).parameters()), options)
    return folder


def test_how_many() -> None:
    assert [count_workers(asked, 5, "cpu") for asked in (0, 3, 8)] == [0, 3, 5]
    assert count_workers("auto", 2, "cpu") == count_workers("auto", 1000, "cuda") == 0
    assert count_workers("auto", 1000, "cpu") <= cores()


@pytest.mark.slow
def test_the_same_files_and_what_dealing_out_cost(slides, options, whole, tmp_path) -> None:
    heard, others = Heard(), workers_of(os.getpid())  # of tests before
    folder = begun(tmp_path / "out", load_run(whole).parameters)
    result = glomseg.segment_slides(slides, folder, replace(options, workers=2), listener=heard.listener)
    assert not result.failed
    assert files_of(folder) == files_of(whole)
    assert list(load_run(folder).images) == list(load_run(whole).images)
    assert set(heard.ended.values()) == {1}
    assert heard.said("2 workers did 6 slides")
    assert not [worker for worker in workers_of(os.getpid()) if worker not in others]
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.geojson")}
    assert not glomseg.segment_slides(slides, folder, replace(options, workers=2)).failed
    assert before == {path: path.stat().st_mtime_ns for path in folder.glob("*.geojson")}


def segment_with(paths, folder, options, heard):
    """Segment these files whatever they are, without looking into them first."""
    segmenter = Segmenter.load(options)
    jobs = [Job(entry_id=path.stem, name=path.name, path=path) for path in paths]
    with working_in(folder, None) as place:
        run = resume_or_start_in(folder, segmenter.parameters(), restart=False)
        segment_jobs(segmenter, jobs, run, heard.listener, place=place)
    return run


@pytest.mark.slow
def test_what_kills_its_workers_and_what_stalls_fail_alone(slides, options, whole, tmp_path) -> None:
    """Whoever reads one of two slides is killed, and whoever reads the other is stopped, as by a share that hangs."""
    poison, stall = tmp_path / "poison.tif", tmp_path / "stall.tif"
    for path in (poison, stall):
        shutil.copy(slides[0], path)
    killed, ended = [], threading.Event()

    def kill_readers():
        while not ended.is_set():
            for path, how in ((poison, signal.SIGKILL), (stall, signal.SIGSTOP)):
                if (reader := holder_of(path)) is not None:
                    with suppress(OSError):  # gone already
                        os.kill(reader, how)
                    if path is poison:
                        killed.append(reader)

    heard, thread = Heard(), threading.Thread(target=kill_readers)
    thread.start()
    try:
        asked = replace(options, workers=2, slide_timeout=10.0)
        run = segment_with([poison, stall, *slides], begun(tmp_path / "out", load_run(whole).parameters), asked, heard)
    finally:
        ended.set()
        thread.join()
    failed = {name: record.reason for name, record in run.images.items() if not record.is_done}
    assert set(failed) == {"poison", "stall"}
    assert "2 processes that segmented it ended (the last one was killed" in failed["poison"]
    assert re.search(r"made no step for 1\d s", failed["stall"])
    assert len(set(killed)) == 2
    assert [text.partition(":")[0] for text in heard.said("another tries once more")] == ["poison.tif", "stall.tif"]
    assert set(heard.ended.values()) == {1}
    ours, theirs = files_of(tmp_path / "out"), files_of(whole)
    assert {name: ours[name] for name in theirs if name != "glomeruli.csv"} == {
        name: theirs[name] for name in theirs if name != "glomeruli.csv"
    }
    assert ours.keys() == theirs.keys()


def disturbed(slides, options, folder, full_disk, *, one_in):
    """Segment with the disk full for a while, and workers killed at random; returns who was killed."""
    with full_disk(after_bytes=3000), suppress(RunError):
        glomseg.segment_slides(slides[: len(slides) // 10], folder, options)
    assert not [record for record in load_run(folder).images.values() if record.is_done]
    killer = Killer(one_in=one_in, seed=1)
    result = glomseg.segment_slides(slides, folder, options, listener=Listener(ended=killer))
    for record in result.failed.values():  # killed twice by chance: the same command does it
        assert "2 processes" in record.reason
    assert len(result.failed) <= len(killer.killed) // 2
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.geojson")}
    again = glomseg.segment_slides(slides, folder, replace(options, workers=0))
    assert not again.failed
    assert all(path.stat().st_mtime_ns == modified for path, modified in before.items())
    return killer.killed


@pytest.mark.slow
def test_killed_at_random_with_a_full_disk(oracle_folder, tmp_path, full_disk) -> None:
    options = SegmentOptions(model=oracle_folder, device="cpu")
    slides = small_slides(tmp_path / "slides", 30)
    whole = undisturbed(slides, options, tmp_path / "whole")
    folder = begun(tmp_path / "out", load_run(whole).parameters)
    assert disturbed(slides, replace(options, workers=2), folder, full_disk, one_in=10)
    assert files_of(folder) == files_of(whole)


@pytest.mark.long
def test_a_thousand_slides(oracle_folder, tmp_path, full_disk) -> None:
    options = SegmentOptions(model=oracle_folder, device="cpu")
    slides = small_slides(tmp_path / "slides", 1000)
    whole = undisturbed(slides, options, tmp_path / "whole")
    folder = begun(tmp_path / "out", load_run(whole).parameters)
    assert len(disturbed(slides, replace(options, workers=4), folder, full_disk, one_in=50)) >= 10
    assert files_of(folder) == files_of(whole)


@pytest.mark.slow
def test_ctrl_c_ends_all(slides, options, tmp_path) -> None:
    command = [sys.executable, "-m", "glomseg", "segment", *map(str, slides * 1), "-o", str(tmp_path / "out")]
    command += ["--model", str(options.model), "--workers", "2", "--quiet"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    until = time.monotonic() + 120
    while len(started := workers_of(process.pid)) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all of them hear it
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert not [child for child in started if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert not list((tmp_path / "out").rglob(".probability*"))
    assert glomseg.segment_slides(slides, tmp_path / "out", replace(options, keep_probability=False)).failed == {}
