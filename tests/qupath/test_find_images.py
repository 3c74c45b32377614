"""Images of a project that moved, or came from another machine, are found, and never guessed."""

import unicodedata

import pytest
from support.project_files import builder, only, touch, write

from glomseg.qupath.project import read_project


@pytest.mark.parametrize(
    "uri",
    [
        "file:{p}/my slides/a%23b é.tif",
        "file:{p}/my%20slides/a%23b%20%C3%A9.tif",
        "file://{p}/my%20slides/a%23b%20%C3%A9.tif",
        "file://localhost{p}/my%20slides/a%23b%20%C3%A9.tif",
        "FILE:{p}/my%20slides/a%23b%20%C3%A9.tif",
        "file:{p}/my%20slides/a%23b%20e%CC%81.tif",  # as a Mac writes it
    ],
)
def test_every_spelling_of_a_file_uri(tmp_path, uri):
    slide = touch(tmp_path / "my slides" / "a#b é.tif")
    image = only(write(tmp_path / "study", builder(uri.format(p=tmp_path))))
    assert image.problem is None
    assert image.path == slide


@pytest.mark.parametrize(
    "uri",
    [
        "file:/C:/Slides/kidney%201.svs",
        "file:///c:/Slides/kidney%201.svs",
        "file://server/share/kidney%201.svs",
        "file:////server/share/kidney%201.svs",
        "file:/Volumes/old%20disk/kidney%201.svs",
    ],
)
def test_images_of_another_machine_are_found_by_name(tmp_path, uri):
    path = write(tmp_path / "study", builder(uri), uri="file:/D:/study/project.qpproj")
    image = only(path)
    assert image.path is None
    assert "`slides`" in image.problem
    assert "kidney 1.svs" in image.problem
    slide = touch(tmp_path / "archive" / "2024" / "kidney 1.svs")
    assert only(path, slides=[tmp_path / "archive"]).path == slide


@pytest.mark.parametrize(
    ("project_uri", "uri"),
    [
        ("file:/D:/lab/study/project.qpproj", "file:/D:/lab/slides/a.tif"),
        ("file:/d:/lab/study/project.qpproj", "file:/D:/lab/slides/a.tif"),
        ("file:/lab/study/project.qpproj", "file:///lab/slides/a.tif"),
        ("file://nas/lab/study/project.qpproj", "file://nas/lab/slides/a.tif"),
    ],
)
def test_an_image_is_found_where_it_lay_beside_its_project(tmp_path, project_uri, uri):
    slide = touch(tmp_path / "new" / "slides" / "a.tif")
    touch(tmp_path / "new" / "a.tif")
    assert only(write(tmp_path / "new" / "study", builder(uri), uri=project_uri)).path == slide


@pytest.mark.parametrize("place", ["study/a.tif", "a.tif", "study/images/deeper/a.tif"])
def test_an_image_is_found_in_or_beside_the_project(tmp_path, place):
    slide = touch(tmp_path / place)
    assert only(write(tmp_path / "study", builder("file:/gone/a.tif"))).path == slide


def test_results_of_earlier_runs_are_not_taken_for_slides(tmp_path):
    touch(tmp_path / "study" / "glomseg" / "run" / "a.tif")
    touch(tmp_path / "study" / "data" / "1" / "a.tif")
    image = only(write(tmp_path / "study", builder("file:/gone/a.tif")))
    assert image.path is None
    assert "/gone/a.tif" in image.tried


def test_two_files_of_one_name_are_not_guessed(tmp_path):
    first = touch(tmp_path / "slides" / "x" / "a.tif")
    second = touch(tmp_path / "slides" / "y" / "a.tif")
    image = only(write(tmp_path / "study", builder("file:/gone/a.tif")), slides=[tmp_path / "slides"])
    assert image.path is None
    assert str(first) in image.problem
    assert str(second) in image.problem
    first.unlink()
    first.symlink_to(second)  # the same file twice is no question
    assert only(tmp_path / "study", slides=[tmp_path / "slides"]).path is not None


def test_the_folder_above_decides_between_files_of_one_name(tmp_path):
    for animal in ("m1", "m2"):
        touch(tmp_path / "slides" / animal / "scan.svs")
    path = write(tmp_path / "study", builder("file:/D:/old/m1/scan.svs"), builder("file:/D:/old/m2/scan.svs"))
    images = read_project(path, slides=[tmp_path / "slides"]).images
    assert [image.path.parent.name for image in images] == ["m1", "m2"]


def test_names_are_compared_as_people_read_them(tmp_path):
    slide = touch(tmp_path / "slides" / unicodedata.normalize("NFD", "schön.svs"))
    path = write(tmp_path / "study", builder("file:/gone/sch%C3%B6n.svs"))
    assert only(path, slides=[tmp_path / "slides"]).path.samefile(slide)
