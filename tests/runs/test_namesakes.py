"""Two images whose files have one name, in two folders, as where each animal's folder has its kidney.svs."""

import json
import shutil

import pytest
from support.project_files import builder, touch, write
from support.runs import FREE, discs, made_run, runs_of, standing

from glomseg.qupath.project import read_project
from glomseg.qupath.scripts import list_scripts
from glomseg.runs.backups import list_backups
from glomseg.runs.image_record import ImageRecord, Inputs, State
from glomseg.runs.same_image import another_image


@pytest.fixture
def files(tmp_path):
    return [touch(tmp_path / animal / "s.tif") for animal in "AB"]


def renamed(path, *names):
    """Give both images the name of their files, as QuPath does, or others."""
    content = json.loads(path.read_text("utf-8"))
    for entry, name in zip(content["images"], names or ("s.tif", "s.tif"), strict=False):
        entry["imageName"] = name
    path.write_text(json.dumps(content), "utf-8")
    return path


def looked_at(file, **more):
    return ImageRecord(
        name="s.tif",
        state=State.DONE,
        path=str(file),
        inputs=Inputs(file="s.tif", bytes=file.stat().st_size, modified_ns=1),
        **more,
    )


def test_a_record_is_of_the_image_whose_file_was_looked_at(tmp_path, files):
    path = renamed(write(tmp_path / "study", *(builder(file.as_uri()) for file in files)))
    one, two = read_project(path).images
    assert another_image(looked_at(files[0]), one) is None
    assert another_image(looked_at(files[0]), two) == f"s.tif, {files[0]}"
    files[0].write_bytes(b"other pixels, of another scan")  # which took the place of the file that moved to B
    assert another_image(ImageRecord(name="s.tif", path=str(files[0]), inputs=Inputs(bytes=6)), two) is None
    copies = renamed(write(tmp_path / "copies", builder(files[0].as_uri()), builder(files[0].as_uri())))
    assert not any(another_image(looked_at(files[0]), image) for image in read_project(copies).images)


def test_a_backup_of_a_namesake_is_listed_as_such(tmp_path, files):
    path = renamed(write(tmp_path / "study", *(builder(file.as_uri()) for file in files)))
    backup = path.parent / "glomseg/backup/1/20240101-000000-000000-collect"
    backup.mkdir(parents=True)
    shutil.copy(path, backup)
    renamed(write(path.parent, *(builder(file.as_uri()) for file in reversed(files))))
    (listed,) = list_backups(path.parent / "glomseg", "1", read_project(path).images[0])
    assert listed.other == str(files[0])


@pytest.mark.slow
@pytest.mark.qupath
def test_outlines_of_a_namesake_are_brought_in_by_nobody(moved, one_process, glomseg, tmp_path):
    """The ids were exchanged since, and nothing but the folder of its file tells whose outlines they are."""
    content, source = json.loads(moved.read_text("utf-8")), read_project(moved).images[0].path
    files = [tmp_path / animal / "s.tif" for animal in "BA"]
    for entry, file in zip(content["images"][:2], files, strict=True):
        file.parent.mkdir()
        shutil.copy(source, file)
        entry["serverBuilder"] = json.loads(
            json.dumps(content["images"][0]["serverBuilder"]).replace(content["images"][0]["serverBuilder"]["uri"],
                                                                      file.as_uri())
        )  # fmt: skip
    moved.write_text(json.dumps(content), "utf-8")
    renamed(moved, "s.tif", "the other")  # QuPath itself finds none by a name of two
    shutil.rmtree(moved.parent / "data")
    run = made_run(moved, "run-1", discs("run-1", FREE))
    run.update("1", looked_at(files[1], size=(2048, 2048)))
    brought = glomseg("collect", moved)
    assert brought.code == 1
    assert f"run run-1 looked at another image under the id 1 (s.tif, {files[1]})" in brought.err
    imported = glomseg("qupath", "run", list_scripts()["import_results"], moved, "--image", "id=1")
    assert imported.code == 1
    assert "looked at another image under the id 1 (s.tif)" in imported.out + imported.err
    run.update("1", looked_at(files[0], size=(2048, 2048)))
    assert glomseg("collect", moved).code == 0
    assert runs_of(standing(one_process, moved)) == ["run-1"]
