"""Scripts in a real QuPath: what it hides behind exit code 0 is a failure; and scripts where QuPath shows them."""

import json
import shutil
import sys

import pytest

from glomseg.errors import QuPathError
from glomseg.qupath import launcher, scripts
from glomseg.qupath.launcher import ScriptRun, check_run, find_launcher, settle_in, user_folder
from glomseg.qupath.process import QuPathInfo, find_qupath
from glomseg.qupath.scripts import find_script, install_scripts, list_scripts

LOG = """21:43:45.385 [main] [INFO ] qupath.ScriptCommand - Running script for a b #1.tif (0/2)
hello
21:43:45.399 [main] [ERROR] q.lib.gui.UserDirectoryManager - Cannot set user directory - /gone does note exist
21:43:45.400 [main] [ERROR] q.l.i.s.o.OpenslideServerBuilder - Unable to open x with OpenSlide
21:43:45.401 [main] [ERROR] qupath.ScriptCommand - Error running script for image: a b #1.tif
javax.script.ScriptException: No such property: nonsense for class: Script1 at line number 3
\tat qupath.lib.scripting.languages.Default(Default.java:3)
21:43:45.500 [main] [INFO ] qupath.ScriptCommand - Running script for b.tif (1/2)
""".splitlines()


def test_the_log_of_a_run_is_understood():
    assert launcher._images(LOG) == ("a b #1.tif", "b.tif")
    (error,) = launcher._errors(LOG)
    assert error.startswith("Error running script for image: a b #1.tif: javax.script.ScriptException: No such prop")
    assert [launcher._level(line)[0] for line in LOG] == [
        "INFO",
        "",
        "ERROR",
        "ERROR",
        "ERROR",
        "TRACE",
        "TRACE",
        "INFO",
    ]


@pytest.mark.parametrize(
    ("done", "message"),
    [
        (ScriptRun(images=("a",), errors=("bad", "worse"), code=0), "bad.*1 more"),
        (ScriptRun(images=("a",), errors=(), code=3), "exit code 3"),
        (ScriptRun(images=(), errors=(), code=0), "no image.*'x.tif'"),
    ],
)
def test_a_run_that_failed_is_an_error(done, message):
    with pytest.raises(QuPathError, match=message):
        check_run(done, image="x.tif")
    check_run(ScriptRun(images=("a",), errors=(), code=0), image=None)


@pytest.mark.parametrize(
    ("system", "place"),
    [
        ("linux", "bin/QuPath"),
        ("darwin", "Contents/MacOS/QuPath-0.6.0"),
        ("win32", "QuPath-0.6.0 (console).exe"),
    ],
)
def test_the_launcher_of_each_system(tmp_path, monkeypatch, system, place):
    monkeypatch.setattr(sys, "platform", system)
    info = QuPathInfo(folder=tmp_path, version="0.6.0", java_version=None)
    with pytest.raises(QuPathError, match="no launcher"):
        find_launcher(info)
    (tmp_path / "QuPath-0.6.0.exe").touch()
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).touch()
    assert find_launcher(info) == tmp_path / place


# --- the scripts that come with glomseg


def test_scripts_are_found_by_name_and_by_path(tmp_path):
    own = tmp_path / "mine.groovy"
    own.touch()
    assert find_script(str(own)) == own
    assert find_script("import_results") == find_script("import_results.groovy") == list_scripts()["import_results"]
    for name in ("nothing", "../import_results", str(tmp_path)):
        with pytest.raises(QuPathError, match="import_results"):
            find_script(name)


@pytest.mark.parametrize("path", list_scripts().values(), ids=lambda path: path.stem)
def test_every_script_says_what_it_is_for(path):
    header = path.read_text("utf-8").partition("*/")[0]
    for word in ("Purpose:", "Input:", "Output:", "QuPath 0.5, 0.6, 0.7"):
        assert word in header


def test_install_leaves_a_changed_script_alone(tmp_path, glomseg, no_qupath):
    command = ("qupath", "install-scripts", "--folder", tmp_path)
    assert glomseg(*command).code == 0
    target = tmp_path / "GlomSeg/import_results.groovy"
    assert target.read_text("utf-8") == list_scripts()["import_results"].read_text("utf-8")
    target.write_text("// mine")
    result = glomseg(*command)
    assert result.code == 1
    assert str(target) in result.err
    assert target.read_text() == "// mine"
    assert glomseg(*command, "--force").code == 0
    assert target.with_name("import_results.groovy.yours1").read_text() == "// mine"
    assert glomseg(*command).code == 0
    assert "--folder" in glomseg("qupath", "install-scripts").err


def test_install_updates_what_nobody_changed(tmp_path, monkeypatch):
    old = tmp_path / "old/a.groovy"
    old.parent.mkdir()
    old.write_text("// 1")
    monkeypatch.setattr(scripts, "script_files", lambda: [old])
    assert [item.state for item in install_scripts(tmp_path / "user", force=False)] == ["new"]
    old.write_text("// 2")
    assert [item.state for item in install_scripts(tmp_path / "user", force=False)] == ["updated"]
    assert (tmp_path / "user/GlomSeg/a.groovy").read_text() == "// 2"


# --- a real QuPath


@pytest.fixture
def spaced(data, tmp_path):
    """A project in a folder with blanks and a hash in its name, beside its images."""
    folder = tmp_path / "my study #1"
    shutil.copytree(data / "qupath/project_0_6_0", folder)
    path = folder / "project.qpproj"
    images = (data / "qupath").as_uri()
    path.write_text(path.read_text("utf-8").replace("file:///slides", images), "utf-8")
    if find_qupath() is None:
        pytest.skip("no QuPath is installed here")
    return path


@pytest.mark.qupath
def test_a_script_runs_on_an_image_with_a_difficult_name(spaced, tmp_path, glomseg):
    script = tmp_path / "a script #1.groovy"
    script.write_text('println "GOT " + getProjectEntry().getImageName() + " " + args.toList()')
    arguments = ("--arg", "a, b #c", "--arg", "--x=[1,2]")
    result = glomseg("qupath", "run", script, spaced, "--image", "Ünï cöde #3.png", *arguments)
    assert result.code == 0, result.err
    assert result.out == "GOT Ünï cöde #3.png [a, b #c, --x=[1,2]]\n"
    missing = glomseg("qupath", "run", script, spaced, "--image", "kidney_9.tif")
    assert missing.code == 1
    assert "kidney_9.tif" in missing.err


@pytest.mark.qupath
def test_an_error_on_one_image_of_a_project_is_a_failure(spaced, tmp_path, glomseg):
    script = tmp_path / "fails.groovy"
    script.write_text('println getProjectEntry().getImageName()\nif (getProjectEntry().getID() == "2") nonsense.call()')
    result = glomseg("qupath", "run", script, spaced, "--json")
    assert result.code == 1
    names = ["kidney_01.tif", "kidney_02.tif", "Ünï cöde #3.png"]
    told = json.loads(result.out)  # nothing else is there, and nothing of Java's own on standard error
    assert (told["images"], told["printed"], len(told["errors"])) == (names, names, 1)
    assert "WARNING" not in result.err
    assert "Error running script for image: kidney_02.tif" in result.err
    assert "nonsense" in result.err


@pytest.mark.qupath
def test_qupath_tells_its_user_folder():
    info = find_qupath()
    if info is None:
        pytest.skip("no QuPath is installed here")
    assert user_folder(info).is_absolute()


@pytest.mark.qupath
def test_a_fresh_qupath_gets_a_user_folder_and_starts_with_the_menu(tmp_path, monkeypatch):
    info = find_qupath()
    if info is None:
        pytest.skip("no QuPath is installed here")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", f"-Djava.util.prefs.userRoot={tmp_path} -Duser.home={tmp_path}")
    settled = settle_in(info, scripts.MENU)
    assert settled.other_start is None
    assert settled.path == tmp_path / "QuPath" / f"v{info.version[:3]}"
    assert settled.path.is_dir()
    assert user_folder(info) == settled.path  # it is remembered
