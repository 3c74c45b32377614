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


def _two(tmp_path, *, old="file:/D:/lab"):
    return write(tmp_path / "study", builder(f"{old}/A/s.tif"), builder(f"{old}/B/s.tif"))


@pytest.mark.parametrize("animals", ["study", "."])
def test_the_file_of_another_image_of_its_name_is_never_taken(tmp_path, animals):
    """Within the project, beside it, and under the folder that is named."""
    own = touch(tmp_path / animals / "s.tif")
    path = write(tmp_path / "study", builder(own.as_uri()), builder("file:/gone/B/s.tif"))
    for slides in ([], [tmp_path]):
        one, two = read_project(path, slides=slides).images
        assert (one.path, two.path) == (own, None)
        assert f"{own}, of its name, may be that of another image of the project ({own})" in two.problem
    found = touch(tmp_path / "archive" / "B" / "s.tif")
    for folder in ("archive", "archive/B", "."):
        one, two = read_project(path, slides=[tmp_path / folder]).images
        assert (one.path, two.path) == (own, found)
    copy = write(tmp_path / "study", builder(own.as_uri()), builder(own.as_uri()))
    assert [image.path for image in read_project(copy).images] == [own, own], "two entries of one file are its own"


def test_a_file_is_not_given_to_two_images_that_moved(tmp_path):
    """It is that of the image whose folders it has; where those are others, too, nobody's."""
    path = _two(tmp_path)
    lone = touch(tmp_path / "slides" / "s.tif")
    for image in read_project(path, slides=[tmp_path / "slides"]).images:
        assert image.path is None
        assert f"{lone}, of its name, may be that of another image of the project (D:\\lab\\" in image.problem
        assert "put the slides into folders of the names that they had" in image.problem
    found = touch(tmp_path / "other" / "B" / "s.tif")
    one, two = read_project(path, slides=[tmp_path / "other"]).images
    assert (one.path, two.path) == (None, found)
    assert str(found) in one.problem


def test_the_folders_count_for_more_than_the_place_beside_a_project(tmp_path):
    touch(tmp_path / "s.tif")
    found = touch(tmp_path / "slides" / "B" / "s.tif")
    path = write(tmp_path / "study", builder("file:/gone/B/s.tif"))
    assert only(path).path == tmp_path / "s.tif"
    assert only(path, slides=[tmp_path / "slides"]).path == found


def test_a_folder_that_moved_with_its_project_gives_no_image_that_of_another(tmp_path):
    """Where each lay beside the project tells whose file is whose, too."""
    kept = touch(tmp_path / "new" / "study" / "A" / "s.tif")
    old = "file:/D:/lab/study"
    path = write(
        tmp_path / "new" / "study",
        builder(f"{old}/A/s.tif"),
        builder(f"{old}/B/s.tif"),
        uri=f"{old}/project.qpproj",
    )
    one, two = read_project(path).images
    assert (one.path, two.path) == (kept, None)
