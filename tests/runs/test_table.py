"""The table of a run: its columns, and names that a spreadsheet would run."""

from pathlib import Path

import pytest
from shapely.geometry import box

from glomseg.files import read_csv
from glomseg.qupath.objects import PathObject, write_geojson
from glomseg.runs.image_record import ImageRecord, State
from glomseg.runs.run import Run
from glomseg.runs.table import COLUMNS, write_table


def test_one_row_a_glomerulus(tmp_path: Path) -> None:
    run = Run(tmp_path, "r")
    items = [
        PathObject(geometry=box(0, 0, 40, 20), class_name="+Glomerulus", measurements={"Confidence": 0.9}),
        PathObject(geometry=box(10, 10, 20, 20), class_name="Glomerulus", measurements={"Touches edge": 1.0}),
    ]
    for key, state in (("1", State.DONE), ("2", State.FAILED)):
        write_geojson(run.result_path(key), items)
        run.images[key] = ImageRecord(name="=1+1.svs", state=state, mpp=(0.5, 0.25))
    assert write_table(run) == ()
    names, rows = read_csv(tmp_path / "glomeruli.csv")
    assert names == [column.name for column in COLUMNS]
    assert [(row["image"], row["entry_id"], row["class"]) for row in rows] == [
        ("=1+1.svs", "1", "+Glomerulus"), ("=1+1.svs", "1", "Glomerulus"),
    ]  # fmt: skip
    assert "\n'=1+1.svs,1," in (tmp_path / "glomeruli.csv").read_text()
    assert float(rows[0]["area_um2"]) == pytest.approx(40 * 20 * 0.125)
    assert [(row["confidence"], row["touches_edge"]) for row in rows] == [("0.9", "0"), ("", "1")]


def test_a_result_that_cannot_be_read_is_named_and_the_others_are_written(tmp_path: Path) -> None:
    run = Run(tmp_path, "r")
    for key in ("1", "2"):
        write_geojson(run.result_path(key), [PathObject(geometry=box(0, 0, 40, 20), class_name="Glomerulus")])
        run.images[key] = ImageRecord(name=f"{key}.svs", state=State.DONE, mpp=(0.5, 0.5))
    run.result_path("1").write_text("{ half")
    (problem,) = write_table(run)
    assert "1.svs" in problem
    assert [line["image"] for line in read_csv(tmp_path / "glomeruli.csv")[1]] == ["2.svs"]
