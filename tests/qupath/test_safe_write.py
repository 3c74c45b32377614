"""The scratch copy that QuPath writes in, and the way back: old state or new state, whenever the process ends."""

import json
import os
import shutil
from dataclasses import replace

import pytest

from glomseg.errors import ConflictError, ProjectError, RunError
from glomseg.qupath import image_data, safe_write, swap
from glomseg.qupath.class_list import ProjectClass
from glomseg.qupath.image_copies import copy_image_data, restore_image_data
from glomseg.qupath.image_data import readable_data
from glomseg.qupath.project import image_state, read_project
from glomseg.qupath.safe_write import back_up, check_state, put_in_place, stage

RED = ProjectClass(name="Glomerulus", color=(200, 0, 0))
NEW = ProjectClass(name="Glomerulus: Cellular", color=(1, 2, 3))


def first(study):
    return read_project(study).images[0]


def snapshot(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def staged(study, tmp_path):
    """The first image, staged, with the data of the second in place of what QuPath would write."""
    return rewritten(study, tmp_path / "scratch")


def rewritten(study, scratch):
    images = read_project(study).images
    result = stage(study, "1", images[0].path, scratch)
    for name in ("data.qpdata", "summary.json"):
        shutil.copy2(images[1].data_folder / name, result.data_folder / name)
    return result


def test_the_scratch_project_holds_one_image_at_its_present_place(study, tmp_path):
    image = first(study)
    staged = stage(study, "1", image.path, tmp_path / "scratch")
    (copy,) = read_project(staged.project_file).images
    assert (copy.name, copy.mpp_x, copy.metadata) == (image.name, image.mpp_x, image.metadata)
    assert copy.path == image.path
    assert copy.tried == (str(image.path),)
    assert image_state(copy) == image_state(image)
    assert len(read_project(staged.project_file).classes) == 4


def test_a_generated_pyramid_gets_its_new_uri_too(study, tmp_path):
    content = json.loads(study.read_text("utf-8"))
    plain = content["images"][0]["serverBuilder"]
    content["images"][0]["serverBuilder"] = {
        "builderType": "pyramidize",
        "builder": plain,
        "metadata": plain["metadata"],
    }
    study.write_text(json.dumps(content), "utf-8")
    staged = stage(study, "1", first(study).path, tmp_path / "scratch")
    assert read_project(staged.project_file).images[0].uri == first(study).path.as_uri()


def test_an_unreachable_image_is_an_error(study, tmp_path):
    with pytest.raises(ProjectError, match="cannot be reached"):
        stage(study, "1", tmp_path / "gone.tif", tmp_path / "scratch")


def test_an_image_that_was_removed_is_an_error(study, tmp_path):
    with pytest.raises(ProjectError, match="entry id 7"):
        stage(study, "7", first(study).path, tmp_path / "scratch")


def test_what_qupath_wrote_is_put_in_place(study, staged):
    before = json.loads(study.read_text("utf-8"))
    state = image_state(first(study))
    after = put_in_place(staged, state, [RED, NEW])
    image = first(study)
    assert after == image_state(image)
    assert after != state
    assert (after.object_count, after.saved_ms) == (2, image_state(read_project(study).images[1]).saved_ms)
    assert image.uri == image.path.as_uri()
    assert {item.name: item.color for item in read_project(study).classes} == {
        "Glomerulus": (255, 0, 0),  # the project's own colour stays
        "Glomerulus: Sclerotic": (120, 0, 120),
        "Cortex": (0, 128, 255),
        "Ignore*": (180, 180, 180),
        "Glomerulus: Cellular": (1, 2, 3),
    }
    content = json.loads(study.read_text("utf-8"))
    content["images"][0]["serverBuilder"]["uri"] = before["images"][0]["serverBuilder"]["uri"]
    assert content == before
    server = json.loads((image.data_folder / "server.json").read_bytes())
    assert server.get("builder", server)["uri"] == image.path.as_uri()


def test_the_project_file_is_left_alone_where_the_image_has_not_moved(study, tmp_path):
    put_in_place(rewritten(study, tmp_path / "a"), image_state(first(study)), [])
    before = study.stat().st_mtime_ns
    put_in_place(rewritten(study, tmp_path / "b"), image_state(first(study)), [])
    assert study.stat().st_mtime_ns == before


def saved_with(study, mpp, seconds):
    """The first image, with a pixel size that QuPath saved so long after the project's file."""
    server, written = first(study).data_folder / "server.json", study.stat().st_mtime_ns
    content = json.loads(server.read_bytes())
    unwrapped = content.get("builder", content)
    side = {"value": mpp, "unit": "µm"}
    unwrapped["metadata"]["pixelCalibration"].update(pixelWidth=side, pixelHeight=side)
    server.write_text(json.dumps(content), encoding="utf-8")
    os.utime(server, ns=(written, written + seconds * 10**9))
    return first(study)


def test_a_pixel_size_that_qupath_saved_later_than_the_project_is_staged(study, tmp_path):
    """QuPath writes it into the data then."""
    stage(study, "1", first(study).path, tmp_path / "before")
    staged = stage(study, "1", saved_with(study, 0.25, 1).path, tmp_path / "after")
    said = [json.loads((tmp_path / name / "project.qpproj").read_text("utf-8")) for name in ("before", "after")]
    sizes = [one["images"][0]["serverBuilder"]["metadata"]["pixelCalibration"]["pixelWidth"]["value"] for one in said]
    assert sizes == [0.5, 0.25]
    assert staged.new_uri is not None


@pytest.mark.parametrize(("seconds", "counts"), [(60, 0.25), (-60, 0.5)])
def test_a_place_that_is_written_into_the_project_changes_no_pixel_size(study, tmp_path, seconds, counts):
    """The project's file is the later one from then on."""
    assert saved_with(study, 0.25, seconds).mpp_x == counts
    put_in_place(rewritten(study, tmp_path / "scratch"), image_state(first(study)), [])
    assert first(study).mpp_x == counts
    os.utime(study)
    assert first(study).mpp_x == counts


def test_a_project_without_a_class_list_gets_one(study, staged):
    shutil.rmtree(study.parent / "classifiers")
    put_in_place(staged, image_state(first(study)), [RED])
    assert read_project(study).classes == (RED,)


def test_a_change_since_reading_stops_the_write(study, staged):
    state = image_state(first(study))
    shutil.copy(read_project(study).images[2].data_folder / "data.qpdata", first(study).data_folder)
    before = snapshot(study.parent)
    with pytest.raises(ConflictError, match=r"kidney_01\.tif was saved by somebody else"):
        put_in_place(staged, state, [NEW])
    assert snapshot(study.parent) == before


def test_a_list_of_classes_that_is_half_written_stops_the_write(study, staged):
    image = first(study)
    before = image_state(image)
    classes = study.parent / "classifiers/classes.json"
    classes.write_bytes(half := classes.read_bytes()[:20])
    with pytest.raises(ConflictError, match=r"classes\.json is half written"):
        put_in_place(staged, before, [NEW])
    assert image_state(image) == before
    assert classes.read_bytes() == half


def test_touching_a_file_is_no_change(study, staged):
    state = image_state(first(study))
    (first(study).data_folder / "data.qpdata").touch()
    check_state(staged, state)


def test_what_qupath_did_not_write_is_not_put_in_place(study, staged):
    state, before = image_state(first(study)), snapshot(study.parent)
    data = staged.data_folder / "data.qpdata"
    data.write_bytes(data.read_bytes()[:-100])
    with pytest.raises(ProjectError, match="did not save"):
        put_in_place(staged, state, [NEW])
    data.unlink()
    with pytest.raises(ProjectError, match="did not save"):
        put_in_place(staged, state, [NEW])
    shutil.copy(first(study).data_folder / "data.qpdata", data)
    (staged.data_folder / "summary.json").unlink()  # as after a save that was skipped
    with pytest.raises(ProjectError, match="did not save"):
        put_in_place(staged, state, [NEW])
    assert snapshot(study.parent) == before


@pytest.mark.parametrize("last", range(6))
def test_an_end_between_any_two_files_leaves_old_or_new_data(study, staged, monkeypatch, last):
    """The write of file number `last` fails; the same again completes the work."""
    image, state = first(study), image_state(first(study))
    new = (staged.data_folder / "data.qpdata").read_bytes()
    old = (image.data_folder / "data.qpdata").read_bytes()
    written = []

    class Full(Exception):
        pass

    def counting(path, *before):
        if len(written) == last:
            raise Full
        written.append(path)
        return replacing(path, *before)

    replacing = image_data.replacing
    monkeypatch.setattr(image_data, "replacing", counting)
    monkeypatch.setattr(safe_write, "replacing", counting)
    try:
        put_in_place(staged, state, [NEW])
    except Full:
        is_written = any(path.name == "data.qpdata" for path in written)
        assert (image.data_folder / "data.qpdata").read_bytes() == (new if is_written else old)
        assert read_project(study).images[0].name == image.name
        monkeypatch.undo()
        put_in_place(staged, image_state(image), [NEW])
    assert (image.data_folder / "data.qpdata").read_bytes() == new
    assert NEW in read_project(study).classes


def test_a_full_disk_is_one_line_and_changes_nothing(study, staged, monkeypatch):
    state, before = image_state(first(study)), snapshot(study.parent)

    def full(source, target):
        raise OSError(28, "No space left on device")

    staged = replace(staged, new_uri=None)
    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(RunError, match="No space left"):
        put_in_place(staged, state, [])
    assert snapshot(study.parent) == before


# --- data that a killed QuPath left behind


def test_complete_data_is_read(study):
    folder = first(study).data_folder
    assert readable_data(folder) == folder / "data.qpdata"
    (folder / "data.qpdata").unlink()
    with pytest.raises(ProjectError, match=r"data\.qpdata is missing.*objects stood there"):
        readable_data(folder)  # a share that has not brought it yet is no image that was never saved
    (folder / "summary.json").unlink()
    assert readable_data(folder) is None


@pytest.mark.parametrize("length", [0, 3, 1000, -1, None])
def test_a_save_that_was_cut_short_falls_back_to_qupaths_own_backup(study, length, tmp_path):
    folder = first(study).data_folder
    data, backup = folder / "data.qpdata", folder / "data.qpdata.bkp"
    complete = data.read_bytes()
    if length is None:
        data.unlink()
    else:
        data.write_bytes(complete[:length])
        with pytest.raises(ProjectError, match="damaged"):
            readable_data(folder)
    backup.write_bytes(complete)
    assert readable_data(folder) == backup
    staged = stage(study, "1", first(study).path, tmp_path / "scratch")
    assert (staged.data_folder / "data.qpdata").read_bytes() == complete


# --- the backup


def test_the_backup_holds_what_stood_before_the_first_write(study, staged, tmp_path):
    folder = tmp_path / "backup"
    image = first(study)
    old = (image.data_folder / "data.qpdata").read_bytes()
    back_up(staged, folder)
    put_in_place(staged, image_state(image), [NEW])
    back_up(staged, folder)  # the second write of a run keeps the first copy
    assert (folder / "data.qpdata").read_bytes() == old
    assert {path.name for path in folder.iterdir()} == {
        "backup.json",
        "checksums.json",
        "classes.json",
        "data.qpdata",
        "project.qpproj",
        "server.json",
        "summary.json",
    }


def test_a_backup_that_was_cut_short_is_made_again(study, staged, tmp_path):
    folder = tmp_path / "backup"
    folder.mkdir()
    (folder / "data.qpdata").write_bytes(b"half")
    back_up(staged, folder)
    assert (folder / "data.qpdata").read_bytes() == (first(study).data_folder / "data.qpdata").read_bytes()


def test_a_backup_that_was_garbled_is_refused(study, tmp_path):
    image, folder = first(study), tmp_path / "backup"
    copy_image_data(study, "1", folder)
    before = snapshot(image.data_folder)
    whole = (folder / "data.qpdata").read_bytes()
    for change in (whole[:300] + b"x" + whole[301:], whole[:300], None):
        if change is None:
            (folder / "data.qpdata").unlink()
        else:
            (folder / "data.qpdata").write_bytes(change)
        with pytest.raises(ProjectError, match="not what was backed up"):
            restore_image_data(folder, image.data_folder)
        assert snapshot(image.data_folder) == before
    (folder / "checksums.json").unlink()  # as one of the first versions, without its data: nothing is deleted for it
    with pytest.raises(ProjectError, match="missing"):
        restore_image_data(folder, image.data_folder)
    assert snapshot(image.data_folder) == before


# --- somebody else at the same time, and on a share


def test_a_save_just_before_the_rename_is_not_overwritten(study, staged, monkeypatch):
    """Somebody saves while our copy is on its way to the disk."""
    image, state = first(study), image_state(first(study))
    theirs = (read_project(study).images[2].data_folder / "data.qpdata").read_bytes()
    copy2 = shutil.copy2

    def slow(source, target):
        copy2(source, target)
        if source == staged.data_folder / "data.qpdata":
            (image.data_folder / "data.qpdata").write_bytes(theirs)

    monkeypatch.setattr(shutil, "copy2", slow)
    summary = (image.data_folder / "summary.json").read_bytes()
    with pytest.raises(ConflictError):
        put_in_place(staged, state, [])
    assert (image.data_folder / "data.qpdata").read_bytes() == theirs
    assert (image.data_folder / "summary.json").read_bytes() == summary
    with pytest.raises(ConflictError):  # and a backup holds what is replaced, not what came after
        copy_image_data(study, "1", image.data_folder / "backup", expected=state)
    with pytest.raises(ConflictError):
        restore_image_data(read_project(study).images[1].data_folder, image.data_folder, expected=state)


@pytest.fixture(params=["in one step", "step by step"])
def saving(request, study, monkeypatch):
    """Let somebody save at the very moment of the rename, where the system can exchange files and where it cannot."""
    if request.param == "step by step":
        monkeypatch.setattr(swap, "exchange", lambda one, other: False)
    theirs = read_project(study).images[2].data_folder / "data.qpdata"

    def save_at_last(data):
        def put(new, target):
            monkeypatch.setattr(image_data, "swap", swap.swap)
            shutil.copy(theirs, data.with_name("new"))
            data.with_name("new").replace(data)
            swap.swap(new, target)

        monkeypatch.setattr(image_data, "swap", put)
        return theirs.read_bytes()

    return save_at_last


def test_a_save_between_the_last_look_and_the_rename_is_put_back(study, staged, saving, monkeypatch):
    image, state = first(study), image_state(first(study))
    data = image.data_folder / "data.qpdata"
    theirs, summary = saving(data), (image.data_folder / "summary.json").read_bytes()
    there = sorted(image.data_folder.iterdir())
    with pytest.raises(ConflictError, match="saved by somebody else"):
        put_in_place(staged, state, [])
    assert data.read_bytes() == theirs
    assert (image.data_folder / "summary.json").read_bytes() == summary
    assert sorted(image.data_folder.iterdir()) == there
    put_in_place(staged, image_state(image), [])
    assert data.read_bytes() == (staged.data_folder / "data.qpdata").read_bytes()
    copy_image_data(study, "1", study.parent / "backup")
    theirs, state = saving(data), image_state(image)
    with pytest.raises(ConflictError, match="saved by somebody else"):
        restore_image_data(study.parent / "backup", image.data_folder, expected=state)
    assert data.read_bytes() == theirs


def test_a_first_save_at_the_moment_of_the_rename_is_not_overwritten(study, staged, saving):
    image = first(study)
    for name in ("data.qpdata", "summary.json"):
        (image.data_folder / name).unlink()
    theirs = saving(image.data_folder / "data.qpdata")
    with pytest.raises(ConflictError):
        put_in_place(staged, image_state(image), [])
    assert (image.data_folder / "data.qpdata").read_bytes() == theirs


def test_what_is_saved_while_a_save_is_put_back_is_kept_too(tmp_path):
    ours, data = tmp_path / "ours", tmp_path / "data.qpdata"
    ours.write_text("ours")
    data.write_text("second")
    swap.swap(ours, data)
    data.write_text("third")  # somebody saves over ours
    kept = swap.put_back(ours, data, "the sum of ours")
    assert (data.read_text(), kept.read_text()) == ("third", "second")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes and owners of this kind")
def test_a_file_keeps_mode_owner_group_and_link(study, staged):
    data = first(study).data_folder / "data.qpdata"
    real = study.parent / "elsewhere.qpdata"
    data.rename(real)
    data.symlink_to(real)
    real.chmod(0o664)
    if os.geteuid() == 0:
        os.chown(real, 12345, 54321)
    before = real.stat()
    put_in_place(staged, image_state(first(study)), [])
    after = real.stat()
    assert data.is_symlink()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert data.read_bytes() == (staged.data_folder / "data.qpdata").read_bytes()
