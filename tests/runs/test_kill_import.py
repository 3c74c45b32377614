"""A QuPath that ends at every operation on files of its import script: nothing is lost, and nothing misread."""

import json
import shutil
from pathlib import Path

import pytest
from support.qupath_side import delete_predictions
from support.runs import FREE, discs, made_run, standing

from glomseg.qupath.project import read_project
from glomseg.qupath.scripts import list_scripts
from glomseg.qupath.write_mark import mark_of
from glomseg.runs.backups import list_backups
from glomseg.runs.ownership import FINGERPRINT, RUN, owner

pytestmark = [pytest.mark.qupath, pytest.mark.slow]

DELETED = 3
MOST = 30
DRIVER = """
import java.awt.image.BufferedImage
import java.nio.file.CopyOption
import java.nio.file.Files
import java.nio.file.OpenOption
import java.nio.file.Path
import java.nio.file.attribute.FileAttribute
import qupath.lib.projects.ProjectIO

class Killed extends Error { }
class Count { static int done = 0, last = 0 }

def counted = { Closure operation ->
    if (Count.done++ >= Count.last)
        throw new Killed()
    return operation()
}
def original = { name, Class... kinds -> Files.getMethod(name, kinds) }
def copy = original("copy", Path, Path, CopyOption[])
def move = original("move", Path, Path, CopyOption[])
def create = original("createDirectories", Path, FileAttribute[])
def write = original("writeString", Path, CharSequence, OpenOption[])
def delete = original("deleteIfExists", Path)
Files.metaClass.static.copy = { Path a, Path b, CopyOption... c ->
    counted { copy.invoke(null, a, b, c as CopyOption[]) }
}
Files.metaClass.static.move = { Path a, Path b, CopyOption... c ->
    counted { move.invoke(null, a, b, c as CopyOption[]) }
}
Files.metaClass.static.createDirectories = { Path a -> counted { create.invoke(null, a, new FileAttribute[0]) } }
Files.metaClass.static.writeString = { Path a, CharSequence b, OpenOption... c ->
    counted { write.invoke(null, a, b, c as OpenOption[]) }
}
Files.metaClass.static.deleteIfExists = { Path a -> counted { delete.invoke(null, a) } }

def script = new File(args[0])
for (int number = 0; number < (args[2] as int); number++) {
    def project = ProjectIO.loadProject(new File(args[1], number + "/study/project.qpproj"), BufferedImage)
    def entry = project.getImageList()[0]
    entry.getClass().metaClass.saveImageData = { data -> // a save by QuPath is an operation, too
        counted { entry.getClass().getMethod("saveImageData", qupath.lib.images.ImageData).invoke(entry, data) }
    }
    Count.done = 0
    Count.last = number
    setBatchProjectAndImage(project, entry.readImageData())
    def variables = [args: ["run-2"] as String[], "qupath.script.file": script.getPath()]
    try {
        new GroovyShell(getClass().getClassLoader(), new Binding(variables)).evaluate(script)
        println "WHOLE " + number
        break
    } catch (Throwable error) {
        if (!(org.codehaus.groovy.runtime.StackTraceUtils.extractRootCause(error) instanceof Killed))
            throw error
    }
}
"""


def machines(objects):
    return {item.metadata[FINGERPRINT]: item.metadata[RUN] for item in objects.values() if owner(item) == "machine"}


def persons(objects):
    return {key for key, item in objects.items() if owner(item) == "person"}


@pytest.fixture
def reviewed(moved, one_process, glomseg):
    """A project with a run, some outlines of which a person deleted, and a second run that waits."""
    made_run(moved, "run-1", discs("run-1", FREE))
    assert glomseg("collect", moved).code == 0
    image = read_project(moved).images[0]
    one_process.call(delete_predictions, moved, "1", image.path, len(FREE) - DELETED)
    made_run(moved, "run-2", discs("run-2", FREE[:4], shift=6) + discs("run-2", FREE[4:]))
    return moved


def check_nothing_misread(study, qupath, glomseg, before, after, told):
    """The image is as before or as after, and the next run knows what was deleted, and nothing else."""
    stands = standing(qupath, study)
    assert machines(stands) in (machines(before), machines(after)), told
    assert persons(stands) == persons(before), told
    for backup in list_backups(study.parent / "glomseg", "1"):
        json.loads((backup.folder / "checksums.json").read_text())
    made_run(study, "run-3", discs("run-3", FREE, shift=1))
    assert glomseg("collect", study, "run-3").code == 0, told
    record = json.loads((study.parent / "glomseg/run-3/run.json").read_text())["images"]["1"]["collected"]
    assert (record["dropped_as_rejected"], record["deletions_not_believed"]) == (DELETED, 0), told
    assert len(machines(standing(qupath, study))) == len(FREE) - DELETED, told
    assert glomseg("undo", study, "run-3").code == 0, told
    assert machines(standing(qupath, study)) == machines(stands), told
    return stands


def test_a_kill_at_every_operation_of_the_import(reviewed, one_process, glomseg, tmp_path):
    for number in range(MOST):
        shutil.copytree(reviewed.parent, tmp_path / "copies" / str(number) / "study")
    script = tmp_path / "driver.groovy"
    script.write_text(DRIVER, "utf-8")
    imports = list_scripts()["import_results"]
    arguments = [part for value in (imports, tmp_path / "copies", MOST) for part in ("--arg", value)]
    ran = glomseg("qupath", "run", script, reviewed, "--image", "kidney_01.tif", *arguments)
    assert ran.code == 0, ran.err
    whole = int(ran.out.partition("WHOLE ")[2].split()[0])
    assert whole > 10
    before = standing(one_process, reviewed)
    last = tmp_path / "copies" / str(whole) / "study/project.qpproj"
    after = standing(one_process, last)
    assert len(set(machines(after)) - set(machines(before))) == 4
    new = []
    for number in range(whole + 1):
        study = tmp_path / "copies" / str(number) / "study/project.qpproj"
        stands = check_nothing_misread(study, one_process, glomseg, before, after, f"killed at operation {number}")
        new.append(machines(stands) == machines(after))
    assert new == sorted(new)
    assert any(new)
    assert not all(new)


def test_qupath_killed_while_it_saves_an_import(reviewed, one_process, glomseg, tmp_path):
    """QuPath moves the old data aside, writes the new, takes the old away, and then writes the summary."""
    done = Path(shutil.copytree(reviewed.parent, tmp_path / "done")) / "project.qpproj"
    imports = list_scripts()["import_results"]
    assert glomseg("qupath", "run", imports, done, "--image", "kidney_01.tif", "--arg", "run-2").code == 0
    before, after = standing(one_process, reviewed), standing(one_process, done)
    old, new = reviewed.parent / "data/1", done.parent / "data/1"
    assert mark_of(old / "data.qpdata") != mark_of(new / "data.qpdata")
    content = (new / "data.qpdata").read_bytes()
    for name, data in (("missing", None), ("empty", b""), ("half", content[: len(content) // 2]), ("whole", content)):
        study = Path(shutil.copytree(done.parent, tmp_path / name)) / "project.qpproj"
        folder = study.parent / "data/1"
        shutil.copy(old / "summary.json", folder)
        shutil.copy(old / "data.qpdata", folder / "data.qpdata.bkp")
        (folder / "data.qpdata").unlink()
        if data is not None:
            (folder / "data.qpdata").write_bytes(data)
        stands = check_nothing_misread(study, one_process, glomseg, before, after, name)
        assert machines(stands) == machines(after if name == "whole" else before)


def test_an_import_waits_for_another_glomseg(reviewed, one_process, glomseg):
    holder = {"token": "x", "person": "Ada", "host": "elsewhere", "process": 1, "since": "now", "command": "glomseg"}
    lock = reviewed.parent / "glomseg/.lock.json"
    lock.write_text(json.dumps(holder))
    before = (reviewed.parent / "data/1/data.qpdata").read_bytes()
    imports = list_scripts()["import_results"]
    refused = glomseg("qupath", "run", imports, reviewed, "--image", "kidney_01.tif", "--arg", "run-2")
    assert "Another glomseg is working" in refused.out + refused.err
    assert "Ada" in refused.out + refused.err
    assert (reviewed.parent / "data/1/data.qpdata").read_bytes() == before
    assert json.loads(lock.read_text()) == holder
