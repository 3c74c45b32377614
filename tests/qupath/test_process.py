"""Finding QuPath on the disk, and the process that its JVM lives in; no JVM is started here."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import pytest
from support.kill_workers import workers_of

from glomseg.errors import ProjectError, QuPathError
from glomseg.qupath import process as module
from glomseg.qupath.process import find_qupath, qupath_process, version_numbers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the made-up installation has the layout of Linux")


def install(folder, version="0.6.0", java='JAVA_VERSION="21.0.8"\n'):
    """Make what looks like a QuPath."""
    library = folder / "lib/runtime/lib/server/libjvm.so"
    library.parent.mkdir(parents=True)
    library.touch()
    (folder / "lib/runtime/release").write_text(java)
    (folder / "lib/app").mkdir()
    for name in ("qupath-core", "qupath-core-processing"):
        (folder / "lib/app" / f"{name}-{version}.jar").touch()
    return folder


@pytest.fixture(autouse=True)
def no_settings(monkeypatch, tmp_path):
    """A machine without a QuPath and without settings."""
    for name in ("PAQUO_QUPATH_DIR", "PAQUO_QUPATH_SEARCH_DIRS", "PAQUO_QUPATH_SEARCH_CONDA", "CONDA_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "_PLACES", ("/nonexistent", "~"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")


@pytest.fixture
def pretended(monkeypatch, tmp_path):
    monkeypatch.setenv("PAQUO_QUPATH_DIR", str(install(tmp_path / "QuPath")))


def test_no_qupath():
    assert find_qupath() is None
    with pytest.raises(QuPathError, match=r"qupath\.github\.io.*PAQUO_QUPATH_DIR"), qupath_process():
        pass


def test_the_chosen_folder_wins(monkeypatch, tmp_path):
    install(tmp_path / "home" / "QuPath-0.7.0", "0.7.0")
    chosen = install(tmp_path / "my QuPath")
    monkeypatch.setenv("PAQUO_QUPATH_DIR", str(chosen))
    found = find_qupath()
    assert (found.folder, found.version, found.java_version) == (chosen, "0.6.0", "21.0.8")


def test_a_wrong_chosen_folder_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("PAQUO_QUPATH_DIR", str(tmp_path))
    with pytest.raises(QuPathError, match="holds no QuPath"):
        find_qupath()


def test_the_newest_of_a_place_is_taken(tmp_path):
    for version in ("0.6.0", "0.10.0", "0.7.0-rc1"):
        install(tmp_path / "home" / f"QuPath-{version}", version)
    (tmp_path / "home" / "QuPath").mkdir()  # what QuPath itself puts there: scripts and extensions
    assert find_qupath().version == "0.10.0"


def test_paquos_settings_are_obeyed(monkeypatch, tmp_path):
    install(tmp_path / "home" / "QuPath-0.6.0")
    monkeypatch.setenv("PAQUO_QUPATH_SEARCH_DIRS", '["/nonexistent"]')
    assert find_qupath() is None
    monkeypatch.setenv("PAQUO_QUPATH_SEARCH_DIRS", json.dumps([str(tmp_path / "home")]))
    assert find_qupath() is not None
    conda = install(tmp_path / "conda" / "opt" / "QuPath", "0.5.1")
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path / "conda"))
    assert find_qupath().folder == conda
    monkeypatch.setenv("PAQUO_QUPATH_SEARCH_CONDA", "false")
    assert find_qupath().version == "0.6.0"


def test_a_settings_file_is_obeyed(tmp_path):
    chosen = install(tmp_path / "elsewhere")
    Path(".paquo.toml").write_text(f'qupath_dir = "{chosen}"\n')
    assert find_qupath().folder == chosen


def test_a_qupath_that_does_not_tell_its_java(tmp_path):
    install(tmp_path / "home" / "qupath", java="")
    assert find_qupath().java_version is None


def test_a_qupath_that_is_too_old(tmp_path):
    install(tmp_path / "home" / "QuPath-0.4.4", "0.4.4")
    with pytest.raises(QuPathError, match=r"0\.4\.4.*too old"), qupath_process():
        pass


def test_version_numbers():
    assert version_numbers("0.6.0-rc1") == (0, 6, 0)
    assert version_numbers("0.10.0") > version_numbers("0.6.0")
    assert version_numbers("") == ()


def refuse():
    raise ProjectError("no")


def test_the_process_keeps_our_stdout_clean_and_is_out_of_reach_of_ctrl_c(pretended, capfd):
    with qupath_process() as process:
        child = process.call(os.getpid)
        assert child != os.getpid()
        assert process.call(os.getpid) == child
        assert process.call(os.getpgid, 0) != os.getpgid(0)
        assert child not in [worker.pid for worker in workers_of(os.getpid())]  # tests that kill workers leave it alone
        assert process.call(signal.getsignal, signal.SIGINT) == signal.SIG_IGN
        process.call(os.write, 1, b"a log line\n")
        options = process.call(os.getenv, "PAQUO_JAVA_OPTS")
        with pytest.raises(ProjectError, match="no"):
            process.call(refuse)
    assert "-Xrs" in json.loads(options)
    out, err = capfd.readouterr()
    assert out == ""
    assert "a log line" in err


@pytest.mark.parametrize("given", ["-Xmx3g -Dx=1", '["-Xmx3g", "-Dx=1"]'])
def test_java_options_of_the_user_come_beside_ours(pretended, monkeypatch, given):
    monkeypatch.setenv("PAQUO_JAVA_OPTS", given)
    with qupath_process() as process:
        options = json.loads(process.call(os.getenv, "PAQUO_JAVA_OPTS"))
    assert options[-2:] == ["-Xmx3g", "-Dx=1"]
    assert {"-Xrs", "-Djava.awt.headless=true"} < set(options)


def test_a_temporary_folder_of_any_name_is_told_to_java(pretended, monkeypatch, tmp_path):
    """paquo reads the options as TOML, which does not take all that JSON writes."""
    odd = tmp_path / "an \U0001f600 \n 'of' \"Jörg\" 100%"
    odd.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    with qupath_process() as process:
        options = tomllib.loads(f"value = {process.call(os.getenv, 'PAQUO_JAVA_OPTS')}")["value"]
    assert any(option.startswith(f"-Djava.util.prefs.userRoot={odd}/") for option in options)


@pytest.mark.parametrize("given", ["-Dx='half", "3"])
def test_java_options_that_are_none_are_one_line(pretended, monkeypatch, given):
    monkeypatch.setenv("PAQUO_JAVA_OPTS", given)
    with pytest.raises(QuPathError, match="set PAQUO_JAVA_OPTS again"), qupath_process():
        pass


def test_a_process_that_dies_is_one_line(pretended):
    with qupath_process() as process:
        with pytest.raises(QuPathError, match="ended unexpectedly"):
            process.call(os._exit, 3)
        assert process.call(os.getpid) != os.getpid()  # the next call has a new one


PARENT = """
import os, time
from glomseg.qupath.process import qupath_process

if __name__ == "__main__":
    with qupath_process() as process:
        print(process.call(os.getpid), flush=True)
        time.sleep(60)
"""


def test_the_process_ends_with_a_parent_that_was_killed(pretended, tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[2])}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    for _ in range(100):
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or ") Z " in state.read_text():
            return
        time.sleep(0.1)
    pytest.fail("the process with the JVM is still there")
