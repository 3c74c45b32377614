import json
from pathlib import Path

import pytest

from glomseg.errors import RunError
from glomseg.runs.run import Run, checked_key, find_run, list_runs, load_run, locked, resume_or_start


def started(folder: Path, run_id: str, when: str, **parameters: object) -> Run:
    run = Run(folder / run_id, run_id, parameters, {"started": when})
    run.save()
    return run


def test_a_record_reads_back(tmp_path: Path) -> None:
    run = started(tmp_path, "one", "2026-01-01", model="oracle", threshold=0.5)
    run.record("1", state="done", inputs={"mpp": [0.5, 0.5]}, glomeruli=3)
    read = load_run(tmp_path / "one")
    assert (read.run_id, read.parameters, read.details, read.images) == (
        run.run_id,
        run.parameters,
        run.details,
        run.images,
    )


def test_done_means_same_inputs_and_a_result_on_disk(tmp_path: Path) -> None:
    run = started(tmp_path, "one", "2026-01-01")
    run.record("1", state="done", inputs={"bytes": 5})
    assert not run.is_done("1", {"bytes": 5})
    run.result_path("1").write_text("{}")
    assert run.is_done("1", {"bytes": 5})
    assert not run.is_done("1", {"bytes": 6})
    run.record("1", state="running")
    assert not run.is_done("1", {"bytes": 5})


def test_goes_on_with_the_newest_run_of_the_same_parameters(tmp_path: Path) -> None:
    started(tmp_path, "a", "2026-01-01", threshold=0.5)
    started(tmp_path, "b", "2026-01-02", threshold=0.5)
    started(tmp_path, "c", "2026-01-03", threshold=0.7)
    assert resume_or_start(tmp_path, {"threshold": 0.5}, restart=False).run_id == "b"
    new = resume_or_start(tmp_path, {"threshold": 0.5}, restart=True)
    assert new.run_id not in "abc"
    new.save()
    twin = resume_or_start(tmp_path, {"threshold": 0.5}, restart=True)
    assert twin.folder != new.folder
    assert find_run(tmp_path, None).run_id == new.run_id
    assert find_run(tmp_path, "a").run_id == "a"
    with pytest.raises(RunError, match="a, b, c"):
        find_run(tmp_path, "z")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format_version": 99}', '{"format_version": 1}'])
def test_a_damaged_record_is_named_and_no_obstacle(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text(text)
    with pytest.raises(RunError, match=r"run\.json"):
        load_run(tmp_path / "bad")
    assert list_runs(tmp_path) == []
    with pytest.raises(RunError, match="glomseg annotate"):
        find_run(tmp_path, None)


@pytest.mark.parametrize("key", ["", "..", "a/b", "a\\b", ".hidden", "a\nb", "c:d"])
def test_a_name_never_leaves_the_folder(key: str) -> None:
    with pytest.raises(RunError):
        checked_key(key)


def test_one_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path / "runs"), pytest.raises(RunError, match="another glomseg"), locked(tmp_path / "runs"):
        pass
    with locked(tmp_path / "runs"):
        pass


def test_saving_where_nobody_can_write_keeps_what_was_there(tmp_path: Path, unwritable: Path) -> None:
    with pytest.raises(RunError, match="choose another folder"):
        Run(unwritable, "one", {}).save()
    run = started(tmp_path, "one", "2026-01-01")
    with pytest.raises(TypeError):
        run.record("1", oddity=object())
    assert json.loads((tmp_path / "one" / "run.json").read_text())["images"] == {}
