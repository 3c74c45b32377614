"""A real QuPath, where there is one, and real projects to write in."""

import shutil

import pytest

from glomseg.project.qupath import find_qupath, qupath_process

IMAGES = ("kidney_01.tif", "kidney_02.tif", "Ünï cöde #3.png")


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
    shutil.copytree(data / "qupath" / f"project_{request.param}", tmp_path / "study")
    for name in IMAGES:
        shutil.copy(data / "qupath" / name, tmp_path / name)
    return tmp_path / "study" / "project.qpproj"
