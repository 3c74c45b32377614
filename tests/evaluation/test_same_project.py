"""A run against its own project: its images are known by their ids, whatever they are called since."""

import json
from dataclasses import replace

import pytest
from support.runs import FREE, discs, made_run

from glomseg.qupath.project import read_project
from glomseg.runs.run import load_run

pytestmark = pytest.mark.qupath


@pytest.fixture
def compare(study, one_process, glomseg, tmp_path):
    """Return what compares a run with its project, of which the two images are named so before; and the project."""
    for run_id, keys, spots in (("run-1", ("1",), FREE[:5]), ("run-2", ("2",), FREE[5:])):
        run = made_run(study, run_id, discs(run_id, spots), keys)
        assert glomseg("collect", study, run_id).code == 0
    run = load_run(run.folder.with_name("run-1"))
    (other,) = [load_run(study.parent / "glomseg/run-2").images["2"]]
    run.result_path("2").write_bytes((study.parent / "glomseg/run-2/2.geojson").read_bytes())
    run.update("2", other)
    for image in read_project(study).images[:2]:
        run.update(image.entry_id, replace(run.images[image.entry_id], name=image.name))

    def compared(*names, more=()):
        content = json.loads(study.read_text("utf-8"))
        content["images"] = content["images"][: len(names)]
        for entry, name in zip(content["images"], names, strict=True):
            entry["imageName"] = name
        study.write_text(json.dumps(content), "utf-8")
        out = tmp_path / "out"
        result = glomseg("evaluate", run.folder, study, "-o", out, "--truth-set", "machine", "--json", *more)
        assert result.code == 0, result.err
        return json.loads(result.out)["overall"], result.err, (out / "per_slide.csv").read_text("utf-8")

    return compared


@pytest.mark.parametrize("names", [("kidney_02.tif", "kidney_01.tif"), ("a", "b"), ("one", "one")])
def test_images_that_were_renamed_since_are_compared_with_themselves(compare, names):
    """Where a name had become another image's, its outlines were scored against that."""
    scores, said, rows = compare(*names)
    assert scores["images"] == 2
    assert scores["matched"] == scores["true_objects"] == scores["predicted_objects"] == len(FREE)
    assert "other names" not in said
    assert ("one (id 1)" in rows and "one (id 2)" in rows) == (names == ("one", "one"))


def test_an_image_that_is_none_of_the_project_any_more_is_left_out_and_named(compare):
    scores, said, _ = compare("kidney_02.tif")
    assert (scores["images"], scores["matched"], scores["true_objects"]) == (1, 5, 5)
    assert "no image of the project any more; left out" in said


def test_a_row_is_that_of_the_image_of_its_name_and_not_of_one_whose_file_is_called_so(compare, tmp_path):
    sheet = tmp_path / "samples.csv"
    sheet.write_text("image,split\nkidney_02.tif,test\nkidney_01.tif,train\n", "utf-8")
    scores, _, rows = compare("kidney_02.tif", "kidney_01.tif", more=("--samples", sheet, "--part", "test"))
    assert (scores["images"], scores["matched"]) == (1, 5)
    assert "kidney_02" in rows
    assert "kidney_01" not in rows


@pytest.mark.parametrize("part", ["test", "train"])
def test_a_row_that_two_images_would_take_is_refused_or_named(compare, tmp_path, part):
    """One without a row of its own took that of the image whose name its file has, and was left out with it."""
    sheet = tmp_path / "samples.csv"
    sheet.write_text(f"image,split\nkidney_02.tif,{part}\n", "utf-8")
    said = "fits 2 images" if part == "test" else "no image is of --part test"
    with pytest.raises(AssertionError, match=said):
        compare("kidney_02.tif", "a", more=("--samples", sheet, "--part", "test"))


def test_a_run_that_is_a_link_and_two_runs_of_one_project_are_known_by_ids_too(compare, study, glomseg, tmp_path):
    _, _, rows = compare("kidney_02.tif", "kidney_01.tif")
    runs = study.parent / "glomseg"
    (runs / "run-1").rename(tmp_path / "elsewhere")
    (runs / "run-1").symlink_to(tmp_path / "elsewhere")
    assert compare("kidney_02.tif", "kidney_01.tif")[2] == rows
    made = made_run(study, "run-3", [], ())
    made.folder.mkdir()
    for key, record in load_run(runs / "run-1").images.items():
        made.result_path(key).write_bytes((runs / "run-1" / f"{key}.geojson").read_bytes())
        made.update(key, replace(record, name={"1": "kidney_02.tif", "2": "kidney_01.tif"}[key]))
    result = glomseg("evaluate", runs / "run-1", made.folder, "-o", tmp_path / "two", "--json")
    assert (result.code, json.loads(result.out)["overall"]["matched"]) == (0, len(FREE))
