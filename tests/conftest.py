"""What every test may ask for."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from oracle import save_oracle

DATA = Path(__file__).parents[1] / "../shared/data"
WITHOUT_QUPATH = {
    "PAQUO_QUPATH_DIR": "",
    "PAQUO_QUPATH_SEARCH_DIRS": '["/nonexistent"]',
    "PAQUO_QUPATH_SEARCH_CONDA": "false",
}


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real slides and projects, which lies beside the repository and not in it."""
    if not DATA.is_dir():
        pytest.skip("the folder of real data (../shared/data) is not here")
    return DATA.resolve()


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
    return Path(shutil.copytree(data / f"qupath/project_{request.param}", tmp_path / "project"))


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
