"""No two commands read a project differently: each kind done, its image refused by name, or refused as a whole."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from kinds.projects import PROJECTS, ProjectCase, write_project
from support.oracle import save_oracle
from support.slides import Disc, disc_slide

from glomseg.errors import ProjectError
from glomseg.qupath.project import read_project

DISCS = [Disc(x, y, 35, 35) for x, y in ((90, 90), (360, 90), (110, 360), (400, 400))]


@pytest.fixture(params=PROJECTS, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> ProjectCase:
    return request.param


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slides") / "a.tif"
    disc_slide(path, size=(512, 512), mpp=1.0, discs=DISCS, tissue=(0, 0, 512, 512))
    return path


@pytest.fixture(scope="module")
def coarse_oracle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_oracle(tmp_path_factory.mktemp("models") / "oracle", mpp=2.0)


def test_read_and_shown_by_status(
    case: ProjectCase, slide: Path, tmp_path: Path, glomseg: Callable, no_qupath: None
) -> None:
    path = write_project(tmp_path, case, slide)
    shown = glomseg("status", path, "--json")
    if case.refusal:
        with pytest.raises(ProjectError) as raised:
            read_project(path)
        assert case.refusal in str(raised.value)
        assert "\n" not in str(raised.value)
        assert shown.code == 1
        assert case.refusal in " ".join(shown.err.split())
        return
    (image,) = read_project(path).images
    (row,) = json.loads(shown.out)["images"]
    assert shown.code == 0
    assert row["problem"] == image.problem
    assert row["annotations"] == case.annotations
    if case.problem and not case.shows_when_opened:
        assert case.problem in str(image.problem)
    else:
        assert row["remarks"] == list(image.remarks)
        assert "um per pixel" not in case.says or case.says in "; ".join(image.remarks)
        assert image.problem is None
        assert image.mpp in (None, (1.0, 1.0))


def test_annotated_and_measured(
    case: ProjectCase, slide: Path, tmp_path: Path, glomseg: Callable, coarse_oracle: Path, no_qupath: None
) -> None:
    path = write_project(tmp_path, case, slide)
    how = ("--no-collect", "--model", coarse_oracle, "--device", "cpu")
    done = glomseg("annotate", path, *how, "--json")
    measured = glomseg("measure", path, "--json")
    for outcome in (done, measured):
        if case.refusal:
            assert outcome.code == 1
            assert case.refusal in " ".join(outcome.err.split())
            assert len(outcome.err.strip().splitlines()) == 1
    if case.refusal:
        return
    said = " ".join(done.err.split())
    if case.problem:
        assert done.code == 1
        assert case.problem in said
        assert [row["counted"] for row in json.loads(measured.out)["slides"] if row["measured"]] == []
        return
    assert done.code == 0, done.err
    assert case.says in said
    (record,) = json.loads(done.out)["images"].values()
    assert record["glomeruli"] == 4
    assert "um per pixel" not in case.says or case.says in " ".join(measured.err.split())
    (row,) = json.loads(measured.out)["slides"]
    assert row["counted"] == 4
    assert row["mean_area_um2"] == pytest.approx(3848, rel=0.05)
