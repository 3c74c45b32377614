"""What a person keeps under the names of our results is not replaced."""

import json
import os
from pathlib import Path

from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo
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


def test_a_picture_into_which_a_person_drew(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    slide = disc_slide(tmp_path / "slide.tif")
    arguments = ("segment", slide.path, "-o", tmp_path / "out", "--model", oracle_folder, "--overlay")
    assert glomseg(*arguments).code == 0
    assert glomseg(*arguments, "--restart").code == 0
    path = tmp_path / "out/overlay/slide.png"
    with Image.open(path) as picture:
        ImageDraw.Draw(picture).ellipse((20, 20, 60, 60), outline="red", width=4)
        comment = PngInfo()
        comment.add_text("comment", picture.info["comment"])
        picture.save(path, pnginfo=comment)
    drawn = path.read_bytes()
    refused = glomseg(*arguments, "--restart")
    assert refused.code == 1
    assert "or a person changed them since (overlay/slide.png); choose another --output" in refused.err
    os.utime(slide.path)
    kept = glomseg(*arguments)
    assert kept.code == 0
    assert f"slide.tif: a person changed {path} since, so it stays" in kept.err
    assert path.read_bytes() == drawn
    assert glomseg(*arguments[:-1]).code == 0
    assert path.read_bytes() == drawn
    assert read_geojson(tmp_path / "out/slide.geojson")


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
    os.utime(slide.path)  # as one that was copied has another time
    for more in ((), ("--keep-probability",)):
        kept = glomseg(*arguments, *more)
        assert kept.code == 0
        assert f"slide.tif: a person changed {result} since, so it stays" in kept.err
        assert result.read_bytes() == before
    result.rename(tmp_path / "mine.geojson")
    assert glomseg(*arguments).code == 0
    assert len(read_geojson(result)) == len(items)


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


def test_columns_that_a_person_wrote_into_a_table(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    """Remarks beside the rows of a table went with the next measuring, or the same slides again."""
    slide = disc_slide(tmp_path / "slide.tif")
    out, tables = tmp_path / "out", tmp_path / "tables"
    segment = ("segment", slide.path, "-o", out, "--model", oracle_folder)
    measure = ("measure", out, "-o", tables)
    assert glomseg(*segment).code == 0
    assert glomseg(*measure).code == 0
    for path, command in (
        (tables / "slides.csv", measure),
        (tables / "glomeruli.csv", measure),
        (out / "glomeruli.csv", (*segment, "--restart")),
    ):
        before = path.read_text()
        first, *others = before.splitlines()
        remarked = "\n".join([f"{first},my remark", *(f"{line},stain is pale" for line in others)]) + "\n"
        path.write_text(remarked)
        (path.parent / ".written.json").rename(tmp_path / "noted")  # as of an earlier version
        refused = glomseg(*command)
        assert refused.code == 1
        assert f"{path} has columns that glomseg does not write ('my remark'), so nothing was written" in refused.err
        assert path.read_text() == remarked
        (tmp_path / "noted").rename(path.parent / ".written.json")
        for number, theirs in enumerate((remarked, before.replace("slide", "slide 7b")), 1):  # cells of ours, too
            path.write_text(theirs)
            renewed = glomseg(*command)
            assert renewed.code == 0
            kept = path.with_name(f"{path.stem}-{number}.csv")
            assert f"{path.name} was changed since glomseg wrote it; as it was it is {kept} now" in renewed.err
            assert kept.read_text() == theirs
            assert path.read_text().splitlines()[0] == first
        assert "was changed" not in glomseg(*command).err


def test_a_table_that_was_copied_alone(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    """Its folder's .written.json is hidden and stays behind: cells that were mended in the copy went without a word."""
    slide = disc_slide(tmp_path / "slide.tif")
    assert glomseg("segment", slide.path, "-o", tmp_path / "out", "--model", oracle_folder).code == 0
    tables = tmp_path / "tables"
    measure = ("measure", tmp_path / "out", "-o", tables)
    assert glomseg(*measure).code == 0
    before = (tables / "slides.csv").read_text()
    (tables / "slides.csv").write_text(mended := before.replace("slide", "slide 7b"))
    (tables / ".written.json").unlink()
    renewed = glomseg(*measure)
    assert renewed.code == 0
    kept = tables / "slides-1.csv"
    assert f"slides.csv may have been changed since glomseg wrote it; as it was it is {kept} now" in renewed.err
    assert kept.read_text() == mended
    assert (tables / "slides.csv").read_text() == before
    assert not [*tables.glob("glomeruli-*")]  # as it will be


def test_files_of_a_person_where_a_run_would_write(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    """A first run replaced what lay in its folder under the name of a slide."""
    slide = disc_slide(tmp_path / "slide.tif", count=3)
    out, fewer = tmp_path / "out", ("--candidates", "none")
    segment = ("segment", slide.path, "-o", out, "--model", oracle_folder, *fewer)
    asked = (*segment, "--keep-probability", "--overlay")
    for name, command in (
        ("probability/slide.tif", asked),
        ("overlay/slide.png", asked),
        ("candidates/slide.geojson", segment),
    ):
        theirs = out / name
        theirs.parent.mkdir(parents=True)
        theirs.write_bytes(b"mine")
        refused = glomseg(*command)
        assert refused.code == 1
        assert f"{theirs.name}); choose another --output, or move them away" in refused.err
        assert theirs.read_bytes() == b"mine"
        assert not [*out.glob("*.geojson")]
        theirs.unlink()
        theirs.parent.rmdir()
    assert glomseg(*asked).code == 0
    (out / "run.json").unlink()  # what a run left is a run's, where nothing says so any more
    assert glomseg(*asked).code == 0
    assert glomseg(*asked, "--restart").code == 0


def test_a_table_of_another_version_is_replaced(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    """Its dictionary, columns.csv, says which columns are not a person's."""
    slide = disc_slide(tmp_path / "slide.tif")
    assert glomseg("segment", slide.path, "-o", tmp_path / "out", "--model", oracle_folder).code == 0
    measure = ("measure", tmp_path / "out", "-o", tmp_path / "tables")
    assert glomseg(*measure).code == 0
    for name in ("slides.csv", "columns.csv"):
        path = tmp_path / "tables" / name
        path.write_text(path.read_text().replace("entry_id", "image_id"))
    assert glomseg(*measure).code == 0
    assert "entry_id" in (tmp_path / "tables/slides.csv").read_text()


def test_files_beside_the_tables_that_are_a_persons(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    slide = disc_slide(tmp_path / "slide.tif")
    assert glomseg("segment", slide.path, "-o", tmp_path / "out", "--model", oracle_folder).code == 0
    truth = tmp_path / "out/slide.geojson"
    for name, command in (
        ("columns.csv", ("measure", tmp_path / "out")),
        ("measure.json", ("measure", tmp_path / "out")),
        ("per_slide.csv", ("evaluate", truth, truth)),
        ("per_object.csv", ("evaluate", truth, truth)),
        ("metrics.json", ("evaluate", truth, truth)),
    ):
        theirs = tmp_path / f"of {name}" / name
        theirs.parent.mkdir()
        theirs.write_text("column,meaning\nbmi,body mass index\n")
        refused = glomseg(*command, "-o", theirs.parent)
        assert refused.code == 1
        assert f"{name} is there and not of glomseg, so nothing was written; choose another --output" in refused.err
        assert theirs.read_text() == "column,meaning\nbmi,body mass index\n"
        assert [path.name for path in theirs.parent.iterdir()] == [name]
        theirs.unlink()
        for _ in range(2):  # our own are replaced
            assert glomseg(*command, "-o", theirs.parent).code == 0
