"""A picture of every glomerulus, and classes that come back."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from shapely.geometry import Point, box
from support.slides import Disc, DiscSlide, disc_slide

from glomseg.errors import GlomsegError, RunError
from glomseg.labelled.sample_sheet import read_sample_sheet
from glomseg.pictures.overlay import OverlayStyle, draw_overlay, outline_color, paint_crop
from glomseg.qupath.objects import PathObject, read_geojson, write_geojson
from glomseg.report import gallery
from glomseg.report.judgements import read_labels
from glomseg.runs.ownership import owner, stamp
from glomseg.slides.slide import open_slide


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open(encoding="utf-8")))


def fake_run(folder: Path, *slides: DiscSlide) -> Path:
    """Leave what a run leaves, without running a network."""
    images = {}
    for slide in slides:
        found = [PathObject(geometry=Point(d.x, d.y).buffer(d.radius_x), class_name="Glomerulus") for d in slide.discs]
        write_geojson(folder / f"{slide.path.stem}.geojson", found)
        record = {"name": slide.path.name, "path": str(slide.path), "state": "done", "mpp": [0.5, 0.5]}
        images[slide.path.stem] = {**record, "width": slide.width, "height": slide.height}
    run = {"format_version": 1, "run_id": "r", "parameters": {}, "images": images}
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def test_a_picture_of_every_glomerulus(tmp_path: Path, glomseg) -> None:
    slides = [disc_slide(tmp_path / f"s {seed}.tif", count=30, radius_um=20, seed=seed) for seed in range(2)]
    out = fake_run(tmp_path / "out", *slides)
    before = (out / "s 0.geojson").read_bytes()
    result = glomseg("gallery", out, "--json", "--quiet")
    assert result.code == 0, result.err
    folder = out / "gallery"
    rows = table(folder / "labels.csv")
    assert len(rows) == 60
    assert {row["new_class"] for row in rows} == {""}
    for row in rows:
        assert Image.open(folder / row["crop"]).size == (240, 240)
    assert sorted(path.name for path in folder.glob("contact*")) == ["contact-1.jpg", "contact-2.jpg"]
    assert Image.open(folder / "contact-1.jpg").width == 8 * 132 + 12
    objects = read_geojson(out / "s 0.geojson")
    assert {row["object_id"] for row in rows if row["entry_id"] == "s 0"} == {item.object_id for item in objects}
    assert (out / "s 0.geojson").read_bytes() == before
    slides[1].path.unlink()
    again = glomseg("gallery", out, "-o", tmp_path / "g2")
    assert again.code == 1
    assert "s 1.tif" in again.err
    assert len(table(tmp_path / "g2" / "labels.csv")) == 30


def test_pictures_of_a_former_gallery_go(tmp_path: Path, glomseg) -> None:
    """Their names would be taken for those of the rows of now; what else lies there is a person's."""
    out = fake_run(tmp_path / "out", disc_slide(tmp_path / "s.tif", count=60, radius_um=15))
    assert glomseg("gallery", out).code == 0
    folder = out / "gallery"
    (folder / "contact-mine.jpg").write_bytes(b"mine")
    (folder / "crops/best.jpg").write_bytes(b"mine")
    write_geojson(out / "s.geojson", read_geojson(out / "s.geojson")[:5])
    assert glomseg("gallery", out).code == 0
    assert sorted(path.name for path in folder.glob("*.jpg")) == ["contact-1.jpg", "contact-mine.jpg"]
    crops = {f"crops/{path.name}" for path in folder.glob("crops/*")}
    assert crops == {"crops/best.jpg", *(row["crop"] for row in table(folder / "labels.csv"))}


def test_pictures_into_which_a_person_drew_are_not_replaced(tmp_path: Path, glomseg) -> None:
    """Contact sheets invite ticks and circles; a program that draws may keep the comment by which we know ours."""
    out = fake_run(tmp_path / "out", disc_slide(tmp_path / "s.tif", count=3))
    assert glomseg("gallery", out).code == 0
    folder = out / "gallery"
    write_geojson(out / "s.geojson", read_geojson(out / "s.geojson")[:2])
    for path in (folder / "contact-1.jpg", folder / "crops/s-0002.jpg", folder / "crops/s-0003.jpg"):
        was = path.read_bytes()
        picture = Image.open(path)
        ImageDraw.Draw(picture).ellipse((20, 20, 60, 60), outline="red", width=4)
        picture.save(path, comment=picture.info["comment"])
        drawn = path.read_bytes()
        again = glomseg("gallery", out)
        assert path.read_bytes() == drawn
        if path.name != "s-0003.jpg":  # there is no such glomerulus any more
            assert again.code == 1
            assert f"are not as a gallery left them ({path.relative_to(folder).as_posix()}), so nothing" in again.err
            path.write_bytes(was)
    assert again.code == 0


def test_pictures_of_a_person_where_a_gallery_would_write(tmp_path: Path, glomseg) -> None:
    """One of a name of ours is not replaced, one like ours not taken for stale."""
    out = fake_run(tmp_path / "out", disc_slide(tmp_path / "s.tif", count=3))
    crops = out / "gallery/crops"
    crops.mkdir(parents=True)
    (crops / "biopsy-2024.jpg").write_bytes(b"mine")
    for theirs in (crops / "s-0002.jpg", crops.parent / "contact-1.jpg"):
        theirs.write_bytes(b"mine")
        refused = glomseg("gallery", out)
        assert refused.code == 1
        assert f"{theirs.name}), so nothing was written; choose another --output, or move them away" in refused.err
        assert theirs.read_bytes() == b"mine"
        assert not (out / "gallery/labels.csv").exists()
        theirs.unlink()
    assert glomseg("gallery", out).code == 0
    (crops.parent / "labels.csv").unlink()  # the mark of each picture is enough
    write_geojson(out / "s.geojson", read_geojson(out / "s.geojson")[:2])
    assert glomseg("gallery", out).code == 0
    assert sorted(path.name for path in crops.iterdir()) == ["biopsy-2024.jpg", "s-0001.jpg", "s-0002.jpg"]
    assert (crops / "biopsy-2024.jpg").read_bytes() == b"mine"


def test_a_suggestion_stands_below_its_picture(tmp_path: Path, glomseg) -> None:
    slide = disc_slide(tmp_path / "s.tif", count=4, radius_um=20)
    plain, marked = (fake_run(tmp_path / name, slide) for name in ("plain", "marked"))
    first, *others = read_geojson(marked / "s.geojson")
    first = stamp(first, run="r", model="m")
    suggested = replace(first, metadata={**first.metadata, "glomseg.suggestion": "Glomerulus: Sclerotic"})
    write_geojson(marked / "s.geojson", [suggested, *others])
    for folder in (plain, marked):
        result = glomseg("gallery", folder)
        assert result.code == 0, result.err
    rows = table(marked / "gallery/labels.csv")
    assert {row["object_id"] for row in rows if row["suggested_sclerotic"] == "1"} == {first.object_id}
    heights = [Image.open(folder / "gallery/contact-1.jpg").height for folder in (plain, marked)]
    assert heights[1] > heights[0]  # a line more


def test_classes_that_wait_outlive_the_next_gallery(tmp_path: Path, glomseg) -> None:
    """Written into the table and not yet set: a new gallery keeps them, and says how they are set."""
    out = fake_run(tmp_path / "out", disc_slide(tmp_path / "s.tif", count=3))
    labels = out / "gallery/labels.csv"
    assert glomseg("gallery", out).code == 0
    assert glomseg("gallery", out).code == 0
    assert not labels.with_name("labels-1.csv").exists()
    labels.write_text(labels.read_text()[:-1] + "Glomerulus: Sclerotic\n")
    waiting = labels.read_text()
    again = glomseg("gallery", out)
    assert again.code == 0
    assert f"it is {labels.with_name('labels-1.csv')} now, for: glomseg gallery PROJECT --apply" in again.err
    assert labels.with_name("labels-1.csv").read_text() == waiting
    assert {row["new_class"] for row in table(labels)} == {""}
    mended = labels.read_text().replace("Glomerulus", "Artefact")  # in the wrong column
    labels.write_text(mended)
    again = glomseg("gallery", out)
    assert (
        f"labels.csv was changed since glomseg wrote it; as it was it is {labels.with_name('labels-2.csv')}"
        in again.err
    )
    assert labels.with_name("labels-2.csv").read_text() == mended
    labels.write_text("nothing that we know\n")
    again = glomseg("gallery", out)
    assert f"cannot be read as classes that wait; it is {labels.with_name('labels-3.csv')} now" in again.err
    assert labels.with_name("labels-3.csv").read_text() == "nothing that we know\n"


def test_remarks_beside_the_pictures_outlive_the_next_gallery(tmp_path: Path, glomseg) -> None:
    """A column of a person's own in the table went with it, where no class waited."""
    out = fake_run(tmp_path / "out", disc_slide(tmp_path / "s.tif", count=3))
    labels = out / "gallery/labels.csv"
    assert glomseg("gallery", out).code == 0
    first, *others = labels.read_text().splitlines()
    remarked = "\n".join([f"{first},remark", *(f"{line},cut badly" for line in others)]) + "\n"
    labels.write_text(remarked)
    again = glomseg("gallery", out)
    assert again.code == 0
    kept = labels.with_name("labels-1.csv")
    assert f"labels.csv held columns that glomseg does not write (remark); it is {kept} now" in again.err
    assert kept.read_text() == remarked
    assert "remark" not in labels.read_text()


def test_a_gallery_that_was_stopped_leaves_no_table_of_other_pictures(tmp_path: Path, glomseg, monkeypatch) -> None:
    """The rows of the former one would name pictures of other glomeruli, and classes go to the wrong ones."""
    out = fake_run(tmp_path / "out", disc_slide(tmp_path / "s.tif", count=6))
    labels = out / "gallery/labels.csv"
    assert glomseg("gallery", out).code == 0
    write_geojson(out / "s.geojson", read_geojson(out / "s.geojson")[1:])

    def full(*args: object, **options: object) -> None:
        raise RunError("no space; free space")

    monkeypatch.setattr(gallery, "draw_contact_sheet", full)
    stopped = glomseg("gallery", out)
    assert stopped.code == 1
    assert not labels.exists()
    monkeypatch.undo()
    assert glomseg("gallery", out).code == 0
    labels.write_text(labels.read_text()[:-1] + "Glomerulus: Sclerotic\n")
    waiting = labels.read_text()
    monkeypatch.setattr(gallery, "draw_contact_sheet", full)
    stopped = glomseg("gallery", out)
    assert "free space; labels.csv held classes that wait to be set" in stopped.err
    assert labels.with_name("labels-1.csv").read_text() == waiting


def test_a_table_that_may_not_be_read_is_not_said_to_be_no_csv(tmp_path: Path, monkeypatch) -> None:
    """To save it as CSV, as was advised, helps nobody who may not open it."""
    path = tmp_path / "labels.csv"
    path.write_text("image,object_id,class,new_class\n")

    def refuse(place: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(place))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    for read, what in ((read_labels, "table of labels"), (read_sample_sheet, "sample sheet")):
        with pytest.raises(GlomsegError, match="Permission denied; ask whoever it belongs to") as raised:
            read(path)
        assert str(raised.value).startswith(f"the {what} {path}: ")
        assert "CSV" not in str(raised.value)


def test_crops_show_the_glomerulus_undistorted(tmp_path: Path) -> None:
    """Where pixels are twice as high as wide, a round glomerulus is an ellipse of pixels, and round in its crop."""
    path = disc_slide(tmp_path / "s.png", discs=[Disc(800, 500, 200, 100)], mpp=None, kind="png").path
    item = PathObject(geometry=box(600, 400, 1000, 600), color=(0, 255, 0))
    with open_slide(path, mpp=(0.25, 0.5)) as slide:
        picture = np.asarray(paint_crop(slide, item, 200)).astype(int)
    dark = picture[..., 1] < 100
    assert np.ptp(np.flatnonzero(dark.any(axis=0))) == pytest.approx(np.ptp(np.flatnonzero(dark.any(axis=1))), abs=4)
    assert ((picture[..., 1] > 200) & (picture[..., 0] < 90)).sum() > 200  # its outline


def test_overlays_by_confidence_and_without_a_pixel_size(tmp_path: Path) -> None:
    by_confidence = outline_color("confidence")
    colors = [
        by_confidence(PathObject(geometry=Point(0, 0), color=(1, 2, 3), measurements={"Confidence": value}))
        for value in (0.3, 0.5, 0.75, 1.0)
    ]
    assert colors == [(240, 150, 0), (240, 150, 0), (0, 140, 90), (0, 70, 200)]
    own = PathObject(geometry=box(300, 300, 800, 700), color=(0, 255, 0))
    assert by_confidence(own) == (0, 255, 0)
    path = disc_slide(tmp_path / "s.png", mpp=None, kind="png").path
    with open_slide(path) as slide:
        draw_overlay(slide, [own], tmp_path / "o.png", OverlayStyle(width_px=500, color_by="confidence"))
    picture = np.asarray(Image.open(tmp_path / "o.png").convert("RGB")).astype(int)
    assert picture.shape[1] == 500
    assert (np.abs(picture - (0, 255, 0)).sum(axis=2) < 60).sum() > 100


def test_overlays_of_a_run_that_is_done(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    """They are drawn without segmenting again, at the width and in the colours asked for."""
    path = disc_slide(tmp_path / "s.tif", count=3, size=(1024, 768)).path
    arguments = ("segment", path, "-o", tmp_path / "out", "--model", oracle_folder)
    assert glomseg(*arguments).code == 0
    result = tmp_path / "out" / "s.geojson"
    before = result.stat().st_mtime_ns
    assert glomseg(*arguments, "--overlay", "--overlay-width", "400", "--overlay-color", "confidence").code == 0
    picture = Image.open(tmp_path / "out" / "overlay" / "s.png")
    assert picture.size == (400, 300)
    assert result.stat().st_mtime_ns == before
    assert (np.abs(np.asarray(picture.convert("RGB")).astype(int) - (0, 70, 200)).sum(axis=2) < 90).sum() > 20


def test_a_gallery_with_animals_and_names_that_a_spreadsheet_would_run(tmp_path: Path, glomseg) -> None:
    slide = disc_slide(tmp_path / "=1+1.tif", count=2, radius_um=20)
    out = fake_run(tmp_path / "out", slide)
    (tmp_path / "samples.csv").write_text("image,animal,group\n=1+1.tif,@m1,control\n")
    result = glomseg("gallery", out, "--samples", tmp_path / "samples.csv")
    assert result.code == 0, result.err
    text = (out / "gallery" / "labels.csv").read_text()
    assert ",'=1+1.tif,'=1+1,'@m1,control," in text
    (tmp_path / "labels.csv").write_text(text.replace(",\n", ",-other\n"))
    labels = read_labels(tmp_path / "labels.csv")
    assert [(label.entry_id, label.new_class) for label in labels] == [("=1+1", "-other")] * 2


def test_applying_needs_qupath(project: Path, tmp_path: Path, no_qupath: None, glomseg) -> None:
    (tmp_path / "labels.csv").write_text("image_id,object_id,class,new_class\n1,a,b,c\n")
    result = glomseg("gallery", project, "--apply", tmp_path / "labels.csv")
    assert result.code == 1
    assert "PAQUO_QUPATH_DIR" in result.err


@pytest.mark.qupath
def test_classes_come_back_into_the_project(data: Path, tmp_path: Path, glomseg) -> None:
    from glomseg.qupath.java import read_annotations
    from glomseg.qupath.process import find_qupath, qupath_process

    if find_qupath() is None:
        pytest.skip("no QuPath is installed here (searched the usual places and PAQUO_QUPATH_DIR)")
    study = Path(shutil.copytree(data / "qupath" / "project_0_6_0", tmp_path / "study"))
    images = ("--slides", data / "qupath")
    assert glomseg("gallery", study, "-o", tmp_path / "g", *images).code == 0
    rows = table(tmp_path / "g" / "labels.csv")
    assert len(rows) == 8
    for row in rows[-2:]:
        row["new_class"] = "Glomerulus: Segmental"
    with (tmp_path / "labels.csv").open("w") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    result = glomseg("gallery", study, "--apply", tmp_path / "labels.csv", *images)
    assert result.code == 0, result.err
    with qupath_process() as qupath:
        objects = [item for key in "12" for item in qupath.call(read_annotations, study / "project.qpproj", key)]
    changed = {item.object_id: item for item in objects if item.class_name == "Glomerulus: Segmental"}
    assert changed.keys() == {row["object_id"] for row in rows[-2:]}
    assert {owner(item) for item in changed.values()} == {"person"}
    assert "Segmental" in (study / "classifiers" / "classes.json").read_text()
    assert len(objects) == 11
