"""A gallery's table that somebody filled in while another run came in: their judgements are not lost."""

import csv

import pytest
from support.runs import FREE, discs, made_run, standing

pytestmark = pytest.mark.qupath


@pytest.mark.slow
def test_the_labels_of_last_week_are_used_after_an_undo_as_is_said(moved, one_process, glomseg, tmp_path):
    made_run(moved, "run-1", discs("run-1", FREE))
    assert glomseg("collect", moved).code == 0
    assert glomseg("gallery", moved, "-o", tmp_path / "week").code in (0, 1)
    table = tmp_path / "week/labels.csv"
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    ours = {key for key, item in standing(one_process, moved).items() if item.metadata.get("glomseg.run") == "run-1"}
    for row in rows:
        row["new_class"] = "Glomerulus: Sclerotic" if row["object_id"] in ours else ""
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    made_run(moved, "run-2", discs("run-2", FREE, 6))
    assert glomseg("collect", moved, "run-2").code == 0

    late = glomseg("gallery", moved, "--apply", table)
    assert late.code == 1
    assert f"kidney_01.tif: {len(ours)} of the labelled objects are not in the project any more" in late.err
    assert "`glomseg undo PROJECT` brings back those of the run before" in late.err
    assert glomseg("undo", moved).code == 0
    assert glomseg("gallery", moved, "--apply", table).code == 0
    made_run(moved, "run-3", discs("run-3", FREE, 3))
    assert glomseg("collect", moved, "run-3").code == 0
    judged = {key for key, item in standing(one_process, moved).items() if item.class_name == "Glomerulus: Sclerotic"}
    assert ours <= judged
