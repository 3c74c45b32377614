import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from glomseg.errors import RunError
from glomseg.runs import run_list
from glomseg.runs.image_record import Collected, ImageRecord, Inputs, Outcome, Standing, State, Undone
from glomseg.runs.lock import locked
from glomseg.runs.run import Run, RunParameters, checked_entry_id, load_run, now
from glomseg.runs.run_list import find_run, last_standing, list_runs, read_runs, resume_or_start


def started(folder: Path, run_id: str, when: str, **parameters: Any) -> Run:
    run = Run(folder / run_id, run_id, RunParameters(**parameters), started=when)
    run.save()
    return run


INPUTS = Inputs(file="a.svs", bytes=5, modified_ns=17, mpp=(0.5, 0.25))


def test_a_record_reads_back(tmp_path: Path) -> None:
    run = started(tmp_path, "one", "2026-01-01", model="oracle", threshold=0.5, others={"from_a_newer_one": [1]})
    run.command, run.device = "glomseg annotate x", "cpu"
    full = ImageRecord(
        name="a",
        state=State.DONE,
        path="/a.svs",
        inputs=INPUTS,
        size=(300, 200),
        mpp=(0.5, 0.25),
        reading_mpp=1.0,
        glomeruli=3,
        glomerular_area_um2=5.5,
        tissue_area_um2=70.0,
        network_passes=1.25,
        seconds={"total": 3.5},
        collected=Collected(at=now(), added=2, dropped_as_rejected=1, image_moved=True),
        standing=Standing(at=now(), data_sha256="ab", machine=2, persons=1, verdicts={"accept": 1}),
        undone=Undone(at=now(), removed=1, restored_from="x"),
        outcome=Outcome.NOT_UNDONE,
        conflict=True,
        reason="saved by somebody else",
    )
    run.update("1", full)
    run.update("2", ImageRecord(name="b", state=State.FAILED, reason="no file"))
    assert load_run(tmp_path / "one") == run
    assert (full.is_done, full.is_well) == (True, False)


OLD = """{
 "format_version": 1, "run_id": "20260101-100000", "glomseg_version": "0.1.0",
 "parameters": {"model": "oracle", "threshold": 0.5, "species": null, "tta": false, "region": null},
 "started": "2026-01-01T10:00:00.000+01:00", "command": "glomseg annotate p", "device": "cpu", "ended": null,
 "images": {
  "1": {"collected": {"at": "2026-01-01T11:00:00.000+01:00", "added": 4, "removed": 0, "kept": 0,
          "dropped_for_a_persons": 0, "dropped_as_rejected": 0, "dropped_outside": 0, "image_moved": false},
        "standing": {"at": "2026-01-01T11:00:00.000+01:00", "data_sha256": "cd", "machine": 4, "persons": 2,
          "verdicts": {}}, "undone": null,
        "state": "done", "name": "a.tif", "path": "/a.tif", "width": 300, "height": 200, "mpp": [0.5, 0.5],
        "inputs": {"file": "a.tif", "bytes": 5, "modified_ns": 17, "mpp": null, "region_sha256": null},
        "reading_mpp": 1, "glomeruli": 4, "glomerular_area_um2": 10.0, "tissue_area_um2": 100.0,
        "network_passes": 1.2, "seconds": {"tissue": 0.1, "total": 2}, "reason": null, "outcome": null},
  "2": {"name": "b.tif", "state": "failed", "reason": "gone"},
  "3": {"name": "c.tif", "state": "done", "outcome": "not in the project", "reason": "saved", "conflict": true}}}"""


def test_a_record_of_the_first_versions_is_read(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(OLD)
    run = load_run(tmp_path)
    first, second, third = run.images.values()
    assert (run.parameters.model, run.parameters.species, run.started[:10]) == ("oracle", None, "2026-01-01")
    assert (first.size, first.mpp, first.glomeruli, first.seconds["total"]) == ((300, 200), (0.5, 0.5), 4, 2.0)
    assert first.inputs == Inputs(file="a.tif", bytes=5, modified_ns=17)
    assert first.collected is not None
    assert (first.collected.added, first.is_well) == (4, True)
    assert (second.state, second.reason, second.is_done) == (State.FAILED, "gone", False)
    assert (third.outcome, third.conflict) == (Outcome.NOT_COLLECTED, True)
    run.save()
    assert load_run(tmp_path) == run


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ('"state": "failed"', '"state": "lost"', "image 2: state is 'lost'"),
        ('"glomeruli": 4', '"glomeruli": "many"', "image 1: glomeruli"),
        ('"added": 4', '"added": []', r"image 1: collected\.added"),
        ('"2": {"name"', '"../2": {"name"', r"'\.\./2' cannot be the name"),
        ('"threshold": 0.5', '"threshold": "low"', "parameters: threshold"),
    ],
)
def test_an_odd_value_is_named_with_its_place(tmp_path: Path, before: str, after: str, named: str) -> None:
    assert before in OLD
    (tmp_path / "run.json").write_text(OLD.replace(before, after))
    with pytest.raises(RunError, match=rf"run\.json is damaged \({named}"):
        load_run(tmp_path)


def test_done_means_same_inputs_and_a_result_on_disk(tmp_path: Path) -> None:
    run = started(tmp_path, "one", "2026-01-01")
    run.update("1", ImageRecord(state=State.DONE, inputs=INPUTS))
    assert not run.is_done("1", INPUTS)
    run.result_path("1").write_text("{}")
    assert run.is_done("1", INPUTS)
    assert load_run(run.folder).is_done("1", INPUTS)
    assert not run.is_done("1", replace(INPUTS, bytes=6))
    run.update("1", ImageRecord(state=State.RUNNING, inputs=INPUTS))
    assert not run.is_done("1", INPUTS)


def test_starting_over_forgets_what_was_found_and_keeps_what_was_done_to_the_project(tmp_path: Path) -> None:
    run = started(tmp_path, "one", "2026-01-01")
    collected = Collected(at=now(), added=4)
    run.update("1", ImageRecord(state=State.DONE, glomeruli=4, collected=collected))
    run.result_path("1").write_text("{}")
    run.begin("1", name="a", path="/a", inputs=INPUTS)
    assert run.images["1"] == ImageRecord(name="a", state=State.RUNNING, path="/a", inputs=INPUTS, collected=collected)
    assert not run.result_path("1").exists()
    run.fail("1", "a", "no file")
    assert (run.images["1"].state, run.images["1"].collected) == (State.FAILED, collected)


def test_the_newest_run_is_the_newest_instant(tmp_path: Path) -> None:
    """Two computers that share a project, one with its clock on another zone."""
    started(tmp_path, "there", "2026-01-01T12:00:00.000+09:00")
    started(tmp_path, "here", "2026-01-01T11:00:00.000+01:00")
    assert [run.run_id for run in list_runs(tmp_path)] == ["there", "here"]


def test_the_last_at_work_is_the_run_that_a_command_without_one_means(tmp_path: Path) -> None:
    """An earlier one that the same command let go on stands in the project, and not the trial that came between."""
    usual = started(tmp_path, "usual", "2026-01-01T12:00:00+00:00")
    started(tmp_path, "trial", "2026-01-02T12:00:00+00:00")
    assert find_run(tmp_path, None).run_id == "trial"
    for ended, at in (("2026-01-03T12:00:00+00:00", ""), ("", "2026-01-03T12:00:00+00:00")):
        usual.ended = ended or None
        usual.images = {"1": ImageRecord(state=State.DONE, collected=Collected(at=at) if at else None)}
        usual.save()
        assert find_run(tmp_path, None).run_id == "usual"
        last = last_standing(list_runs(tmp_path))
        assert last is not None
        assert last.run_id == "usual"
    text = (usual.folder / "run.json").read_text()
    (usual.folder / "run.json").write_text(text[: text.index("T12:00:00+00:00", text.index("collected")) + 20])
    with pytest.raises(RunError, match="newest run that can be read is trial"):
        find_run(tmp_path, None)


def test_goes_on_with_the_newest_run_of_the_same_parameters(tmp_path: Path) -> None:
    started(tmp_path, "a", "2026-01-01", threshold=0.5)
    started(tmp_path, "b", "2026-01-02", threshold=0.5)
    started(tmp_path, "c", "2026-01-03", threshold=0.7)
    assert resume_or_start(tmp_path, RunParameters(threshold=0.5), restart=False).run_id == "b"
    new = resume_or_start(tmp_path, RunParameters(threshold=0.5), restart=True)
    assert new.run_id not in "abc"
    new.save()
    twin = resume_or_start(tmp_path, RunParameters(threshold=0.5), restart=True)
    assert twin.folder != new.folder
    assert find_run(tmp_path, None).run_id == new.run_id
    assert find_run(tmp_path, "a").run_id == "a"
    assert resume_or_start(tmp_path, RunParameters(threshold=0.7), restart=False, resume=True).run_id == "c"
    with pytest.raises(RunError, match="`resume`"):
        resume_or_start(tmp_path, RunParameters(threshold=0.9), restart=False, resume=True)
    with pytest.raises(RunError, match="a, b, c"):
        find_run(tmp_path, "z")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format_version": 99}', '{"format_version": 1}'])
def test_a_damaged_record_is_named_and_no_obstacle(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text(text)
    with pytest.raises(RunError, match=r"run\.json"):
        load_run(tmp_path / "bad")
    assert list_runs(tmp_path) == []
    assert [run.folder.name for run in read_runs(tmp_path)[1]] == ["bad"]
    with pytest.raises(RunError, match=r"run\.json"):
        find_run(tmp_path, None)
    started(tmp_path, "a", "2026-01-01")
    with pytest.raises(RunError, match=r"run\.json.*newest run that can be read is a"):
        find_run(tmp_path, None)
    assert find_run(tmp_path, "a").run_id == "a"
    (tmp_path / "bad").rename(tmp_path / "0-older")
    assert find_run(tmp_path, None).run_id == "a"


@pytest.mark.parametrize("cut", ["}", '"model"', '"images"'])
def test_no_older_run_takes_the_place_of_one_whose_record_still_says_when_it_began(tmp_path: Path, cut: str) -> None:
    """By names the one that cannot be read would be the older: the other computer's clock is nine hours ahead."""
    started(tmp_path, "20260102-030000", "2026-01-02T03:00:00.000+09:00")
    newer = started(tmp_path, "20260101-190000", "2026-01-01T19:00:00.000+00:00")
    text = (newer.folder / "run.json").read_text()
    before, _, _ = text.rpartition(cut)
    (newer.folder / "run.json").write_text(before)
    if '"started"' in before:
        with pytest.raises(RunError, match=r"20260101-190000.*newest run that can be read is 20260102-030000"):
            find_run(tmp_path, None)
    (newer.folder / "run.json").write_text(text.replace("2026-01-01T19", "2026-01-01T17").rpartition("}")[0])
    assert find_run(tmp_path, None).run_id == "20260102-030000"


@pytest.mark.parametrize("key", ["", "..", "a/b", "a\\b", ".hidden", "a\nb", "c:d"])
def test_a_name_never_leaves_the_folder(key: str) -> None:
    with pytest.raises(RunError):
        checked_entry_id(key)


def test_one_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path / "runs"), pytest.raises(RunError, match="another glomseg"), locked(tmp_path / "runs"):
        pass
    with locked(tmp_path / "runs"):
        pass


def test_saving_where_nobody_can_write_keeps_what_was_there(tmp_path: Path, unwritable: Path) -> None:
    with pytest.raises(RunError, match="choose another folder"):
        Run(unwritable, "one").save()
    run = started(tmp_path, "one", "2026-01-01")
    (run.folder / "run.json").rename(run.folder / "aside")
    (run.folder / "run.json").mkdir()
    with pytest.raises(RunError):
        run.update("1", ImageRecord(name="a"))
    assert run.images == {}


def test_no_run_gets_the_folder_of_another_that_began_in_the_same_second(tmp_path: Path, monkeypatch) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 11, 26, 12, 0, 0, tzinfo=tz)

    monkeypatch.setattr(run_list, "datetime", Clock)
    runs = []
    for number in range(3):
        runs.append(resume_or_start(tmp_path, RunParameters(threshold=0.1 * number), restart=True))
        runs[-1].save()
        if number == 1:
            shutil.rmtree(runs[0].folder)
    assert [run.run_id for run in runs] == ["20261126-120000", "20261126-120000-2", "20261126-120000"]
