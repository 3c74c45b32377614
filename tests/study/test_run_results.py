"""Which run's count is named of an image: that of what stands there, whatever began last."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from glomseg.qupath.objects import write_geojson
from glomseg.runs.image_record import Collected, ImageRecord, State, Undone
from glomseg.runs.run import Run, now
from glomseg.runs.run_list import read_runs
from glomseg.study.run_results import newest_result, unread_result


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    """Two runs that were brought in, of 3 and of 5 outlines."""
    made = []
    for number, found in ((1, 3), (2, 5)):
        run = Run(tmp_path / f"run-{number}", f"run-{number}", started=f"2026-11-2{number}T10:00:00+00:00")
        write_geojson(run.result_path("1"), [])
        collected = Collected(at=f"2026-11-2{number}T11:00:00+00:00", added=found)
        run.update("1", ImageRecord(name="a", state=State.DONE, glomeruli=found, collected=collected))
        made.append(run)
    return made


def undo(run: Run, at: str) -> None:
    run.images["1"] = replace(run.images["1"], collected=None, undone=Undone(at=at))


def test_the_run_named_is_that_of_what_stands(runs: list[Run]) -> None:
    def named(*standing: str) -> tuple[str, int | None, bool, bool]:
        finding = newest_result(runs, [], "1", standing)
        assert finding is not None
        return finding.run_id, finding.found, finding.in_project, finding.undone

    assert named("run-2", "run-1") == ("run-2", 5, True, False)
    assert named("run-1", "run-2") == ("run-1", 3, True, False)  # brought in again, after the newer one
    assert named("run-1")[:3] == ("run-2", 5, False)  # the newer one is to be collected yet
    killed = newest_result(runs, [], "1", ("run-1",), {"run-2": 1.0})
    assert killed is not None
    assert (killed.run_id, killed.found, killed.undone) == ("run-1", 3, False)
    undo(runs[1], "2026-11-23T10:00:00+00:00")
    assert named("run-1") == ("run-1", 3, True, False)
    undo(runs[0], "2026-11-23T10:00:00+00:00")  # in the same second
    assert named() == ("run-1", 3, False, True)
    undo(runs[1], "2026-11-24T10:00:00+00:00")
    assert named() == ("run-2", 5, False, True)


def note(run: Run) -> None:
    """Note what the import's script does where it had nothing to add."""
    digest = hashlib.sha256(run.result_path("1").read_bytes()).hexdigest()
    (run.folder / "unchanged").mkdir(exist_ok=True)
    (run.folder / "unchanged/1.json").write_text(json.dumps({"at": now(), "result_sha256": digest}), "utf-8")


def test_a_result_that_a_script_had_nothing_to_change_for_is_in_the_project(runs: list[Run]) -> None:
    def is_in() -> bool:
        finding = newest_result(runs, [], "1", ("run-1",))
        assert finding is not None
        return finding.in_project

    assert not is_in()
    said = runs[1].folder / "unchanged/1.json"
    said.parent.mkdir()
    said.write_text("{}", "utf-8")
    assert not is_in()  # of which result is not said
    note(runs[1])
    assert is_in()
    runs[1].result_path("1").write_text(runs[1].result_path("1").read_text("utf-8") + "\n", "utf-8")  # another since
    assert not is_in()


def test_a_result_that_stood_already_is_not_in_the_project_after_the_run_that_wrote_it_was_taken_back(
    runs: list[Run],
) -> None:
    """It was measured as an image on which the run had found nothing."""
    runs[1].images["1"] = replace(runs[1].images["1"], collected=Collected(at="2026-11-22T11:00:00+00:00", kept=5))

    def is_in() -> bool:
        finding = newest_result(runs, [], "1")
        assert finding is not None
        assert finding.run_id == "run-2"
        return finding.in_project

    assert is_in()
    undo(runs[0], "2026-11-23T10:00:00+00:00")
    assert not is_in()
    undo(runs[0], "2026-11-22T10:00:00+00:00")  # before it was brought in
    assert is_in()
    said = runs[1].folder / "unchanged/1.json"
    said.parent.mkdir()
    note(runs[1])
    undo(runs[0], "2100-01-01T10:00:00+00:00")
    assert not is_in()


def test_a_newer_result_of_which_nothing_is_known_is_named(runs: list[Run], tmp_path: Path) -> None:
    assert not unread_result(*read_runs(tmp_path), "1")
    record = runs[1].folder / "run.json"
    text = record.read_text("utf-8")
    record.write_text(text[:-40], "utf-8")
    assert "what run run-2 found on it is not known" in unread_result(*read_runs(tmp_path), "1")
    assert not unread_result(*read_runs(tmp_path), "2")
    record.write_text(text, "utf-8")
    older = (runs[0].folder / "run.json").read_text("utf-8")
    (runs[0].folder / "run.json").write_text("{", "utf-8")
    assert not unread_result(*read_runs(tmp_path), "1")  # the newer one is known
    (runs[0].folder / "run.json").write_text(older, "utf-8")
    del runs[1].images["1"]
    runs[1].save()
    assert "nothing is written down of it; annotate it anew" in unread_result(*read_runs(tmp_path), "1")
