"""What a person keeps under the names of our results is not replaced."""

import json
from pathlib import Path

from support.slides import disc_slide

from glomseg.qupath.objects import PathObject, read_geojson, write_geojson


def by_hand(path: Path, geojson) -> bytes:
    return geojson(path.relative_to(path.parents[1]), (10, 10, 50, 50), (100, 100, 50, 50)).read_bytes()


def test_outlines_of_a_person_beside_the_slide(tmp_path: Path, oracle_folder: Path, glomseg, geojson) -> None:
    """As QuPath exports them: under the name of the slide, which is that of a result, too."""
    slide = disc_slide(tmp_path / "slide.tif")
    theirs = by_hand(tmp_path / "here/slide.geojson", geojson)
    arguments = ("segment", slide.path, "-o", tmp_path / "here", "--model", oracle_folder)
    for restart in ((), ("--restart",)):
        refused = glomseg(*arguments, *restart)
        assert refused.code == 1
        assert "not of a run, or a person changed them since (slide.geojson); choose another --output" in refused.err
        assert (tmp_path / "here/slide.geojson").read_bytes() == theirs
    assert [path.name for path in (tmp_path / "here").glob("[!.]*")] == ["slide.geojson"]
    (tmp_path / "here/slide.geojson").write_bytes(theirs[:50])
    assert glomseg(*arguments).code == 1
    assert (tmp_path / "here/slide.geojson").read_bytes() == theirs[:50]
    (tmp_path / "here/slide.geojson").unlink()
    (tmp_path / "here/glomeruli.csv").write_text("animal;weight\nA;30\n")
    assert "glomeruli.csv is there and not of glomseg" in glomseg(*arguments).err
    assert (tmp_path / "here/glomeruli.csv").read_text() == "animal;weight\nA;30\n"
    (tmp_path / "here/glomeruli.csv").unlink()
    assert glomseg(*arguments).code == 0


def test_a_result_that_a_person_corrected(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    """Exported from QuPath over the result itself: starting over asks first."""
    slide = disc_slide(tmp_path / "slide.tif")
    arguments = ("segment", slide.path, "-o", tmp_path / "out", "--model", oracle_folder)
    assert glomseg(*arguments).code == 0
    assert glomseg(*arguments, "--restart").code == 0
    result = tmp_path / "out/slide.geojson"
    items = read_geojson(result)
    write_geojson(result, [*items, PathObject(geometry=items[0].geometry.buffer(30), class_name="Glomerulus")])
    before = result.read_bytes()
    refused = glomseg(*arguments, "--restart")
    assert refused.code == 1
    assert "slide.geojson" in refused.err
    assert result.read_bytes() == before
    assert json.loads((tmp_path / "out/run.json").read_text())["images"]["slide"]["state"] == "done"
    assert glomseg(*arguments).code == 0  # it is done
    assert result.read_bytes() == before


def test_a_sample_sheet_of_the_name_of_a_table(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    slide = disc_slide(tmp_path / "slide.tif")
    assert glomseg("segment", slide.path, "-o", tmp_path / "out", "--model", oracle_folder).code == 0
    for name in ("slides.csv", "animals.csv"):
        sheet = tmp_path / "here" / name
        sheet.parent.mkdir(exist_ok=True)
        sheet.write_text("image,animal,group\nslide.tif,A,control\n")
        refused = glomseg("measure", tmp_path / "out", "-o", sheet.parent, "--samples", sheet)
        assert refused.code == 1
        assert f"{name} is there and not of glomseg, so nothing was written; choose another --output" in refused.err
        assert sheet.read_text() == "image,animal,group\nslide.tif,A,control\n"
        assert [path.name for path in sheet.parent.iterdir()] == [name]
        for _ in range(2):  # our own are replaced
            assert glomseg("measure", tmp_path / "out", "-o", tmp_path / "other", "--samples", sheet).code == 0
        sheet.unlink()
