"""Shards: each slide once, whoever is at work beside, and in the end the files of one run."""

import json
import os
import shutil
import threading

import pytest
from support.batches import begun, files_of, small_slides

import glomseg
from glomseg import AnnotateOptions, Listener, SegmentOptions
from glomseg.errors import RunError
from glomseg.runs import lock
from glomseg.runs.image_record import ImageRecord, State
from glomseg.runs.journal import Journal
from glomseg.runs.lock import locked, locked_as_shard, shards_at_work
from glomseg.runs.result import RunResult
from glomseg.runs.run import Run, load_run
from glomseg.runs.segmenter import Segmenter
from glomseg.runs.shard import Shard, parse_shard
from glomseg.runs.status import project_status
from glomseg_cli.console import Console

SLIDES = 7


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    return small_slides(tmp_path_factory.mktemp("slides"), SLIDES)


@pytest.fixture(scope="module")
def options(oracle_folder):
    return SegmentOptions(model=oracle_folder, device="cpu")


@pytest.fixture(scope="module")
def whole(slides, options, tmp_path_factory):
    """One run over all slides; its folder."""
    folder = begun(tmp_path_factory.mktemp("whole"), Segmenter.load(options).parameters())
    glomseg.segment_slides(slides, folder, options)
    return folder


def segment_shard(slides, folder, options, text, texts=None):
    heard = [] if texts is None else texts
    mine = SegmentOptions(**{**vars(options), "shard": parse_shard(text)})
    return glomseg.segment_slides(slides, folder, mine, listener=Listener(remark=heard.append, warning=heard.append))


def test_shares_are_even_whole_and_the_same_everywhere() -> None:
    names = [f"slide {number}" for number in range(103)]
    shares = [Shard(number=number, count=5).share(reversed(names)) for number in range(1, 6)]
    assert [len(share) for share in shares] == [21, 21, 21, 20, 20]
    assert set().union(*shares) == set(names)
    assert sum(map(len, shares)) == len(names)
    assert shares == [Shard(number=number, count=5).share(names) for number in range(1, 6)]
    assert Shard(number=2, count=2).share(["a"]) == set()


@pytest.mark.parametrize("text", ["0/5", "6/5", "2", "a/b", "-1/5", "1/0", "2/5/7", ""])
def test_a_wrong_shard_is_refused_with_an_example(text, glomseg, tmp_path) -> None:
    with pytest.raises(RunError, match="such as"):
        parse_shard(text)
    result = glomseg("segment", tmp_path, "-o", tmp_path, f"--shard={text}")
    assert (result.code, "such as" in result.err) == (2, True), result.err


def test_shards_at_the_same_time_make_the_files_of_one_run(slides, options, whole, tmp_path) -> None:
    folder = begun(tmp_path / "out", load_run(whole).parameters)
    texts: list[str] = []
    results = {}

    def work(text: str) -> None:
        results[text] = segment_shard(slides, folder, options, text, texts)

    threads = [threading.Thread(target=work, args=(f"{number}/3",)) for number in (3, 1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(result.entry_ids) for result in results.values()) == [2, 2, 3]
    assert not any(result.failed for result in results.values())
    assert "shard 1 of 3: 3 of 7 slides" in texts
    assert files_of(folder) == files_of(whole)
    assert list(load_run(folder).images) == list(load_run(whole).images)
    assert load_run(folder).ended
    assert not [text for text in texts if "not of this run" in text]


def test_shards_one_after_the_other_and_what_is_left_is_said(slides, options, whole, tmp_path) -> None:
    folder = begun(tmp_path / "out", load_run(whole).parameters)
    for text, left in (("2/2", 4), ("1/2", 0)):
        texts: list[str] = []
        segment_shard(slides, folder, options, text, texts)
        said = [line for line in texts if "left to other shards" in line]
        assert said == ([f"{left} of 7 slides are left to other shards; the last writes glomeruli.csv"] if left else [])
        assert (folder / "glomeruli.csv").is_file() == (not left)
    assert files_of(folder) == files_of(whole)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.geojson")}
    assert not segment_shard(slides, folder, options, "1/2").failed
    assert before == {path: path.stat().st_mtime_ns for path in folder.glob("*.geojson")}


def test_a_shard_that_ends_while_another_works_leaves_what_that_one_needs(slides, options, whole, tmp_path) -> None:
    folder = begun(tmp_path / "out", load_run(whole).parameters)
    texts: list[str] = []
    with locked_as_shard(folder, "shard-2-of-2"):
        half_written = folder / ".slide 0001.x3b9tq1z.geojson"
        half_written.touch()
        assert not segment_shard(slides, folder, options, "1/2", texts).failed
        assert not [text for text in texts if "not of this run" in text]
        assert (folder / "journal").is_dir()  # the other may be about to open its file there
        half_written.unlink()
    segment_shard(slides, folder, options, "2/2")
    assert files_of(folder) == files_of(whole)
    assert not (folder / "journal").exists()


def test_a_shard_keeps_others_out_and_its_double_but_not_other_shards(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(lock, "WAIT_SECONDS", 0.2)
    with locked_as_shard(tmp_path, "shard-1-of-2") as alone:
        with pytest.raises(RunError, match="another glomseg is working"), locked(tmp_path):
            pass
        with pytest.raises(RunError, match="another glomseg"), locked_as_shard(tmp_path, "shard-1-of-2"):
            pass
        with locked_as_shard(tmp_path, "shard-2-of-2"):
            assert len(shards_at_work(tmp_path)) == 2
        with alone(), pytest.raises(RunError, match="another glomseg"), locked_as_shard(tmp_path, "shard-2-of-2"):
            pass
    with locked(tmp_path), pytest.raises(RunError, match="another"), locked_as_shard(tmp_path, "shard-1-of-2"):
        pass
    assert not list(tmp_path.glob("*.json"))


def test_a_shard_says_for_whom_it_waits(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(lock, "QUIET_SECONDS", 0.1)
    said, ended = [], threading.Event()

    def hold() -> None:
        with locked(tmp_path):
            began.set()
            ended.wait(10)

    began = threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    began.wait(10)

    def hear(text: str) -> None:
        said.append(text)
        ended.set()

    with locked_as_shard(tmp_path, "shard-1-of-2", hear):
        holder.join()
    assert len(said) == 1
    assert "10 minutes at most: another glomseg is working in" in said[0]
    assert f"process {os.getpid()}" in said[0]


def test_a_shard_that_died_is_recognised_by_process_and_by_time(tmp_path, monkeypatch) -> None:
    with locked_as_shard(tmp_path, "shard-1-of-2"):
        word = json.loads((tmp_path / ".lock-shard-1-of-2.json").read_text())
    path = tmp_path / ".lock-shard-1-of-2.json"
    path.write_text(json.dumps({**word, "process": 2**22 + 1}))
    with locked(tmp_path):
        assert not path.exists()
    path.write_text(json.dumps({**word, "host": "node-17"}))
    with pytest.raises(RunError, match="on node-17"), locked(tmp_path):
        pass
    monkeypatch.setattr(lock, "STALE_SECONDS", -1.0)
    with locked(tmp_path):
        assert not path.exists()


def test_a_record_is_read_from_the_journal_and_counts_once(tmp_path) -> None:
    run = Run(tmp_path, "one")
    run.save()
    journal = Journal(tmp_path)
    journal.append("a", ImageRecord(name="a", state=State.RUNNING))
    journal.append("a", ImageRecord(name="a", state=State.FAILED, reason="first"))
    with journal.path.open("ab") as file:
        file.write(b'{"at": "2026", "entry_')  # killed here
    read = load_run(tmp_path)
    assert read.images == {"a": ImageRecord(name="a", state=State.FAILED, reason="first")}
    read.update("a", ImageRecord(name="a", state=State.DONE))  # in run.json, which knows these lines
    assert load_run(tmp_path).images["a"].is_done
    Journal(tmp_path).append("../a", ImageRecord(name="a"))
    with pytest.raises(RunError, match="cannot be the name of a file"):
        load_run(tmp_path)


def test_lines_in_the_middle_that_cannot_be_read_are_counted_and_said(tmp_path) -> None:
    """As on a share that shows the end of a file before its middle."""
    Run(tmp_path, "one").save()
    journal = Journal(tmp_path)
    for name in "abcd":
        journal.append(name, ImageRecord(name=name, state=State.DONE))
    first, *middle, last = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(first + b"".join(b"\0" * (len(line) - 1) + b"\n" for line in middle) + last)
    read = load_run(tmp_path)
    assert set(read.images) == {"a", "d"}
    (said,) = read.problems
    assert said.startswith(f"{journal.path}: 2 of its lines cannot be read")
    read.save()
    assert (set(load_run(tmp_path).images), load_run(tmp_path).problems) == ({"a", "d"}, ())


def test_an_image_whose_record_is_lost_is_said_and_counts_as_failed(tmp_path, capsys) -> None:
    run = Run(tmp_path, "one", images={"1": ImageRecord(name="a.tif", state=State.DONE)})
    result = RunResult(run=run, entry_ids=("1", "2"))
    assert set(result.failed) == {"2"}
    assert Console(quiet=True, as_json=False).run_result(result) == 1
    said = f"image 2: nothing is written down of it in {tmp_path}; give the same command again"
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_shard_that_is_stopped_leaves_what_it_did(slides, options, whole, tmp_path) -> None:
    folder = begun(tmp_path / "out", load_run(whole).parameters)

    def stop(name, record):
        raise KeyboardInterrupt

    mine = SegmentOptions(**{**vars(options), "shard": parse_shard("1/2")})
    with pytest.raises(KeyboardInterrupt):
        glomseg.segment_slides(slides, folder, mine, listener=Listener(ended=stop))
    assert sum(record.is_done for record in load_run(folder).images.values()) == 1
    glomseg.segment_slides(slides, folder, options)
    assert files_of(folder) == files_of(whole)
    assert not (folder / "journal").exists()


def test_status_says_which_shards_are_at_work_and_what_was_interrupted(project, no_qupath) -> None:
    folder = project / "glomseg"
    run = Run(folder / "r", "r", started="2026-01-02T03:04:05+00:00")
    run.update("1", ImageRecord(name="a", state=State.RUNNING))

    def shown():
        status = project_status(project / "project.qpproj")
        return [holder.command for holder in status.at_work], status.images[0].runs[0].state, status.problems

    assert shown() == ([], "interrupted", ())
    with locked_as_shard(folder, "shard-1-of-5"), locked_as_shard(folder, "shard-4-of-5"):
        dead, alive = (folder / f".lock-shard-{number}-of-5.json" for number in (3, 1))
        dead.write_text(json.dumps({**json.loads(alive.read_text()), "process": 2**22 + 1}))
        assert (len(shown()[0]), *shown()[1:]) == (2, "running", ())
        assert dead.exists()  # a command that only looks changes nothing
    Journal(run.folder).append("1", ImageRecord(name="a"))
    journal = next((run.folder / "journal").iterdir())
    journal.write_bytes(b"{}\n" + journal.read_bytes())
    (folder / "model.json").write_text("{")
    problems = shown()[2]
    assert [f"{journal}: 1 of its lines" in problems[0], "model.json cannot be read" in problems[1]] == [True, True]


def test_the_shards_of_a_project_share_a_run(project, oracle_folder, tmp_path, no_qupath) -> None:
    for image in sorted((project.parents[0]).glob("*.tif")):
        shutil.copy(image, tmp_path)
    options = AnnotateOptions(model=oracle_folder, device="cpu", mpp=(0.5, 0.5))
    runs, said = set(), []
    for number in (1, 2):
        mine = AnnotateOptions(**{**vars(options), "shard": Shard(number=number, count=2)})
        result = glomseg.annotate_project(project, mine, listener=Listener(remark=said.append))
        runs.add(result.run.run_id)
    assert len(runs) == 1
    assert len(result.run.images) == len(glomseg.annotate_project(project, options).run.images)
    assert sum("glomseg collect" in text for text in said) == 2
    with pytest.raises(RunError, match="`restart`"):
        AnnotateOptions(shard=Shard(number=1, count=2), restart=True)
