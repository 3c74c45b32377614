"""Which files are slides: by content, each slide once, and what was left out by name."""

from __future__ import annotations

import os
import shutil
import struct

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image
from support.dicom import LABEL, DicomSeries, dicom_slide
from support.slides import draw, strew

from glomseg.errors import SlideError
from glomseg.slides.dicom import dicom_header
from glomseg.slides.find_slides import find_slides, slides_of
from glomseg.slides.formats import ENDINGS, FORMATS, UNREAD, format_of
from glomseg.slides.slide import open_slide

AREA = (40, 40, 500, 400)


@pytest.fixture(scope="module")
def picture():
    return draw((600, 500), AREA, strew(AREA, 6, 45, seed=2))


@pytest.fixture
def every_format(tmp_path, picture):
    """The same picture in every format that can be written here."""
    folder = tmp_path / "every"
    folder.mkdir()
    image = Image.fromarray(picture)
    for name in ("a.png", "b.bmp", "c.jp2", "d.webp", "e.jpg", "f.JPEG", "j.PNG"):
        image.save(folder / name)
    image.save(folder / "k.jfif", "JPEG")
    image.save(folder / "l.jpe", "JPEG")
    image.save(folder / "m.j2k", "JPEG2000")
    for name in ("g.btf", "h.tf8", "i.ome.tif", "n.tif"):
        tifffile.imwrite(folder / name, picture, bigtiff=name[0] in "gh", tile=(256, 256), photometric="rgb")
    return folder


def test_a_folder_takes_what_opens_one_by_one(every_format, picture):
    found = find_slides(every_format)
    assert [path.name for path in found.paths] == sorted(path.name for path in every_format.iterdir())
    assert not found.left_out
    for path in found.paths:
        with open_slide(path, mpp=1) as slide:
            assert (slide.width, slide.height) == (600, 500)
            assert np.abs(slide.overview(600).astype(int) - picture).mean() < 3


def test_no_ending_is_needed(every_format):
    for path in list(every_format.iterdir()):
        path.rename(path.with_name(path.name.replace(".", "_")))
    assert len(find_slides(every_format).slides) == 14


def test_a_dicom_series_is_one_slide(tmp_path, picture):
    files = dicom_slide(tmp_path / "one", picture)
    for path in files:
        assert openslide.OpenSlide(path).level_count == 3
    found = find_slides(tmp_path / "one")
    assert found.paths == [files[0]]
    assert len(found.slides[0].parts) == 3
    assert found.remarks() == ["level-0.dcm: one slide in 4 files"]
    assert slides_of(reversed(files)).paths == [files[0]]
    assert slides_of([tmp_path / "one", files[1]]).paths == [files[0]]


def test_a_copy_of_a_dicom_slide_is_no_second_slide(tmp_path, picture):
    files = dicom_slide(tmp_path / "one", picture)
    (tmp_path / "two").mkdir()
    for file in files[:2]:  # not all of it was copied
        shutil.copy(file, tmp_path / "two" / f"copy of {file.name}")
    found = find_slides(tmp_path, recursive=True)
    named = slides_of([tmp_path / "one", tmp_path / "two"])
    for slides in (found, named):
        assert len(slides.slides) == 1
        assert slides.paths[0].parent.name == "one"
        assert f"a copy of the slide of {slides.paths[0]}" in "; ".join(slides.remarks())


def test_dicom_files_without_ending_and_several_series(tmp_path, picture):
    folder = tmp_path / "many"
    dicom_slide(folder, picture, ending="")
    for path in list(folder.iterdir()):
        path.rename(folder / f"A{path.name}")
    dicom_slide(folder, picture, levels=2, ending="")
    assert [path.name for path in find_slides(folder).paths] == ["Alevel-0", "level-0"]
    assert dicom_header(folder / "level-0").series_uid != dicom_header(folder / "Alevel-0").series_uid


def test_dicom_that_is_no_slide_is_left_out_by_name(tmp_path, picture):
    dicom_slide(tmp_path / "d", picture, levels=1)
    DicomSeries().write(tmp_path / "d/other.dcm", picture[:256, :256], None, LABEL)
    text = (tmp_path / "d/level-0.dcm").read_bytes()
    ct = text.replace(b"1.2.840.10008.5.1.4.1.1.77.1.6", b"1.2.840.10008.5.1.4.1.1.2".ljust(30, b"\0"))
    (tmp_path / "d/ct.dcm").write_bytes(ct)
    found = find_slides(tmp_path / "d")
    assert [path.name for path in found.paths] == ["level-0.dcm"]
    assert [(item.path.name, item.reason) for item in found.left_out] == [
        ("ct.dcm", "DICOM, but no whole slide"),
        ("other.dcm", "DICOM, but the original primary label none of a slide"),
    ]


@pytest.mark.parametrize("explicit", [True, False])
def test_the_dicom_header_is_read_past_sequences(tmp_path, picture, explicit):
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    path = dicom_slide(tmp_path, picture, levels=1)[0]
    data = pydicom.dcmread(path)
    inner = pydicom.Dataset()
    inner.CodeValue = "x"
    outer = pydicom.Dataset()
    outer.PurposeOfReferenceCodeSequence = [inner]
    data.ReferencedImageSequence = [outer, outer]
    data["ReferencedImageSequence"].is_undefined_length = True
    for item in data.ReferencedImageSequence:
        item.is_undefined_length_sequence_item = True
        item["PurposeOfReferenceCodeSequence"].is_undefined_length = True
    data.PixelData = bytes(256 * 256 * 3)
    data["PixelData"].is_undefined_length = False
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if explicit else ImplicitVRLittleEndian
    data.save_as(tmp_path / "plain.dcm", enforce_file_format=True, implicit_vr=not explicit, little_endian=True)
    header = dicom_header(tmp_path / "plain.dcm")
    assert header is not None
    assert header.series_uid == data.SeriesInstanceUID
    assert (header.width, header.height, header.is_level) == (600, 500, True)
    whole = (tmp_path / "plain.dcm").read_bytes()
    for size in range(0, 1500, 7):  # cut anywhere: told or not told, never an error
        (tmp_path / "cut.dcm").write_bytes(whole[:size])
        dicom_header(tmp_path / "cut.dcm")


def test_files_of_other_slides_are_not_counted(tmp_path, picture):
    folder = tmp_path / "f"
    (folder / "m").mkdir(parents=True)
    (folder / "m.mrxs").write_bytes(b"\xff\xd8\xff\xe0")
    (folder / "m/Slidedat.ini").write_text("[GENERAL]")
    (folder / "v.vms").write_text("[Virtual Microscope Specimen]\nImageFile=v-0.jpg\nMapFile=v_map.jpg\nNoLayers=1\n")
    for name in ("v-0.jpg", "v_map.jpg", "w.jpg"):
        Image.fromarray(picture).save(folder / name)
    (folder / "empty").mkdir()
    (folder / "notes.txt").write_text("no image")
    (folder / ".DS_Store").write_text("hidden")
    found = find_slides(folder)
    assert [path.name for path in found.paths] == ["m.mrxs", "v.vms", "w.jpg"]
    assert {item.path.name: item.reason for item in found.left_out} == {
        "empty": "a folder; name it as well to have what is in it",
        "notes.txt": "no image",
    }


def test_a_damaged_slide_is_not_left_out(tmp_path, glomseg):
    """Its ending says that it is meant; opening it names the fault."""
    (tmp_path / "empty.svs").touch()
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    assert len(find_slides(tmp_path).slides) == 2


def test_a_folder_within_a_folder_when_asked_for(tmp_path, picture):
    dicom_slide(tmp_path / "a/b", picture, levels=2)
    Image.fromarray(picture).save(tmp_path / "c.png")
    assert len(find_slides(tmp_path).slides) == 1
    assert len(find_slides(tmp_path, recursive=True).slides) == 2


UNREADABLE = {
    "b.lif": b"\x70\0\0\0" + bytes(200),
    "c.isyntax": b'<DataObject ObjectType="DPUfsImport">' + bytes(200),
    "d.heic": b"\0\0\0\x18ftypheic" + bytes(200),
    "e.gif": b"GIF89a" + bytes(200),
    "f.nd2": b"\xda\xce\xbe\x0a" + bytes(200),
    "g.vsi": b"II*\0" + struct.pack("<I", 8) + bytes(200),
    "h.dng": b"II*\0" + bytes(200),
    "i.jxl": b"\xff\x0a" + bytes(200),
    "j.kfb": bytes(200),
    "k.ndpis": b"[NanoZoomer Digital Pathology Image Set]",
    "without_ending": b"GIF89a" + bytes(200),
}


def test_formats_that_are_not_read_say_so_with_the_way_out(tmp_path, picture):
    for name, content in UNREADABLE.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "z.ome.zarr/0").mkdir(parents=True)
    names = [*UNREADABLE, "z.ome.zarr"]
    for name in names:
        with pytest.raises(SlideError, match=r"not read here; (\w+) ") as caught:
            open_slide(tmp_path / name)
        assert "damaged" not in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(SlideError, match=r"holds no image that can be read.*left out: b\.lif: Leica LIF is not read"):
        find_slides(tmp_path)
    Image.fromarray(picture).save(tmp_path / "a.png")
    found = find_slides(tmp_path)
    assert [path.name for path in found.paths] == ["a.png"]
    assert sorted(item.path.name for item in found.left_out) == sorted(names)


def test_the_command_says_what_it_leaves_out_and_counts_a_slide_once(tmp_path, glomseg, oracle_folder, picture):
    dicom_slide(tmp_path / "slides", picture)
    (tmp_path / "slides/notes.txt").write_text("no image")
    (tmp_path / "slides/x.lif").write_bytes(bytes(200))
    done = glomseg("segment", tmp_path / "slides", "-o", tmp_path / "out", "-m", oracle_folder, "--device", "cpu")
    assert done.code == 0, done.err
    assert "level-0.dcm: one slide in 4 files" in done.err
    assert "left out: notes.txt: no image" in done.err
    assert "left out: x.lif: Leica LIF is not read here; convert it" in done.err
    assert [path.name for path in (tmp_path / "out").glob("*.geojson")] == ["level-0.geojson"]


def test_the_same_file_under_two_names_is_one_slide(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    try:
        (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    except OSError:
        pytest.skip("this system has no symbolic links")
    assert slides_of([tmp_path / "b.png", tmp_path / "a.png"]).paths == [tmp_path / "b.png"]


def test_each_ending_belongs_to_one_format():
    every = [*ENDINGS, *(ending for kind in UNREAD for ending in kind.endings)]
    assert len(every) == len(set(every))
    assert all(ending == ending.lower() and ending.startswith(".") for ending in every)
    assert len({kind.name for kind in FORMATS}) == len(FORMATS)


def test_content_counts_more_than_the_ending(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "scan.tif", "PNG")
    assert format_of(tmp_path / "scan.tif").name == "PNG"
    shutil.copy(tmp_path / "scan.tif", tmp_path / "scan.gif")
    with open_slide(tmp_path / "scan.gif") as slide:
        assert slide.width == 600


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
def test_a_link_counts_no_slide_twice_and_nothing_odd_stops_a_folder(tmp_path):
    """Links, also in a circle and to nowhere, and a pipe, which would never be read to its end."""
    folder = tmp_path / "slides"
    (folder / "below").mkdir(parents=True)
    Image.fromarray(np.full((8, 8, 3), 200, np.uint8)).save(folder / "b.png")
    (folder / "a.png").symlink_to(folder / "b.png")
    (folder / "c.png").hardlink_to(folder / "b.png")
    (folder / "circle.png").symlink_to(folder / "circle.png")
    (folder / "gone.png").symlink_to(tmp_path / "gone.png")
    (folder / "notes").symlink_to(tmp_path / "gone")
    (folder / "below/up").symlink_to(folder)
    os.mkfifo(folder / "pipe.tif")
    found = find_slides(folder)
    assert [path.name for path in found.paths] == ["b.png", "gone.png"]
    assert {item.path.name: item.reason for item in found.left_out} == {
        "a.png": "the same file as b.png",
        "below": "a folder; name it as well to have what is in it",
        "c.png": "the same file as b.png",
        "circle.png": "a link that leads nowhere",
        "notes": "a link that leads nowhere",
        "pipe.tif": "no file, but a pipe or a device",
    }
    assert find_slides(folder, recursive=True).paths == found.paths
    for name, said in (("gone.png", "no such image"), ("circle.png", "no such image"), ("pipe.tif", "a pipe")):
        with pytest.raises(SlideError, match=said):
            open_slide(folder / name)
        assert slides_of([folder / name]).paths == [folder / name]
