"""What every test may ask for."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image
from support.oracle import save_oracle
from support.project_copy import copy_project
from support.real_data import find_data
from support.scenes import boxes

from glomseg.qupath.objects import PathObject, write_geojson
from glomseg.qupath.process import find_qupath, qupath_process
from glomseg.qupath.scripts import list_scripts

settings.register_profile("suite", derandomize=True, deadline=None)  # the same run twice says the same
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

IMAGES = ("kidney_01.tif", "kidney_02.tif", "Ünï cöde #3.png")
DRIVER = """
args.each { text ->
    def parts = text.split("\\\\|") as List
    println "## " + parts[0]
    def file = new File(FOLDER, parts[0] + ".groovy")
    def variables = [args: parts.drop(1) as String[], "qupath.script.file": file.getPath()]
    try {
        new GroovyShell(getClass().getClassLoader(), new Binding(variables)).evaluate(file)
    } catch (IllegalArgumentException error) {
        println "REFUSED " + error.getMessage()
    }
}
"""
WITHOUT_QUPATH = {
    "PAQUO_QUPATH_DIR": "",
    "PAQUO_QUPATH_SEARCH_DIRS": '["/nonexistent"]',
    "PAQUO_QUPATH_SEARCH_CONDA": "false",
}


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what was measured of this machine, as it stands at the user's home, out of all tests and their processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOMSEG_STATE", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real slides and projects beside the repository, else the tiny part of it in tests/tiny."""
    return find_data()


@pytest.fixture(scope="session")
def oracle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that finds the drawn discs."""
    return save_oracle(tmp_path_factory.mktemp("models") / "oracle")


@pytest.fixture
def no_qupath(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide any QuPath of this machine."""
    for name, value in WITHOUT_QUPATH.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["0_5_1", "0_6_0"])
def project(request: pytest.FixtureRequest, data: Path, tmp_path: Path) -> Path:
    """A copy of a project that real QuPath wrote; its images are under `data / "qupath"` and not where it says."""
    return copy_project(data / f"qupath/project_{request.param}", tmp_path / "project")


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def glomseg(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command line in this process, through the one seam that turns errors into messages."""
    from glomseg_cli.main import main

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["glomseg", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return Outcome(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def unwritable(tmp_path: Path) -> Path:
    """A place below a plain file, where nobody can write, whoever runs the tests."""
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    return blocker / "below"


@pytest.fixture
def full_disk() -> Callable[..., object]:
    """A block in which no file gets longer than so many bytes: the system refuses the write as on a full disk."""
    resource = pytest.importorskip("resource", reason="this system has no limits on file sizes")

    @contextmanager
    def limited(*, after_bytes: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (after_bytes, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture(scope="session")
def qupath():
    """The process of an installed QuPath, one for all tests."""
    if find_qupath() is None:
        pytest.skip("no QuPath is installed here (searched the usual places and PAQUO_QUPATH_DIR)")
    with qupath_process() as process:
        yield process


@pytest.fixture(params=["0_5_1", "0_6_0"])
def study(request, data, tmp_path):
    """A copy of a real project, moved together with its images; its file."""
    copy_project(data / "qupath" / f"project_{request.param}", tmp_path / "study")
    for name in IMAGES:
        shutil.copy(data / "qupath" / name, tmp_path / name)
    return tmp_path / "study" / "project.qpproj"


@pytest.fixture
def geojson(tmp_path: Path) -> Callable[..., Path]:
    """Write rectangles as a GeoJSON file."""

    def write(name: str, *corners: tuple[float, float, float, float], class_name="Glomerulus", **more) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_geojson(path, [PathObject(geometry=item, class_name=class_name, **more) for item in boxes(*corners)])
        return path

    return write


@pytest.fixture
def mask(tmp_path: Path) -> Callable[..., Path]:
    """Write rectangles as a black and white mask."""

    def write(name: str, *corners: tuple[int, int, int, int], size=(100, 100), value=255) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.zeros(size[::-1], np.uint8)
        for x, y, width, height in corners:
            values[y : y + height, x : x + width] = value
        Image.fromarray(values).save(path)
        return path

    return write


@pytest.fixture
def one_process(qupath, monkeypatch):
    """Let the commands use the process that is there, and give what stands in image 1 or another."""

    @contextmanager
    def running():
        yield qupath

    from glomseg.qupath import annotations
    from glomseg.runs import collect, undo_run

    for module in (annotations, collect, undo_run):
        monkeypatch.setattr(module, "qupath_process", running)
    return qupath


@pytest.fixture
def study_0_6_0(data, tmp_path):
    """The real project of QuPath 0.6.0 beside its images."""
    copy_project(data / "qupath/project_0_6_0", tmp_path / "study")
    for path in (data / "qupath").glob("*.*"):
        if path.is_file():
            shutil.copy(path, tmp_path)
    return tmp_path / "study/project.qpproj"


@pytest.fixture
def moved(study_0_6_0):
    """The project with its images where it says, so that QuPath itself opens them."""
    text = study_0_6_0.read_text("utf-8").replace("file:///slides", study_0_6_0.parents[1].as_uri())
    study_0_6_0.write_text(text, "utf-8")
    return study_0_6_0


@pytest.fixture
def drive(glomseg, tmp_path, qupath):
    """Run scripts one after another in one QuPath; gives what each of them printed."""

    def run(project, *calls, image=None, before=""):
        script = tmp_path / "drive.groovy"
        folder = next(iter(list_scripts().values())).parent
        script.write_text(f"def FOLDER = '{folder.as_posix()}'\n{before}{DRIVER}", "utf-8")
        arguments = [part for call in calls for part in ("--arg", call)]
        chosen = ("--image", image) if image else ()
        result = glomseg("qupath", "run", script, project, *chosen, *arguments)
        assert result.code == 0, result.err
        first, *printed = result.out.split("## ")
        return [first, *(text.partition("\n")[2] for text in printed)]

    return run
