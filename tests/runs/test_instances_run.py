"""Runs of models with the head `hover`, alone and together: into a project, and outlined again without the network."""

import dataclasses
from pathlib import Path

import pytest
import torch
from support.runs import standing

import glomseg as library
from glomseg import AnnotateOptions
from glomseg.errors import ModelError
from glomseg.models.store import load_network, read_card, save_model, shipped_folder
from glomseg.models.variable_unet import VariableUNet
from glomseg.runs.ownership import RUN
from glomseg.runs.rethreshold import RethresholdOptions

AT = {"mpp": (0.5, 0.5), "images": ("2",), "device": "cpu"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The shipped model with a second decoder, and one that is a little less sure."""
    folder = tmp_path_factory.mktemp("hover")
    shipped = shipped_folder() / "pas-starter"
    card = dataclasses.replace(read_card(shipped), heads=("mask", "hover"), post="glomnet", dials=())
    torch.manual_seed(0)
    for name, less in (("one", 0.0), ("two", 1.0)):
        net = VariableUNet(512, hover=True)
        net.load_state_dict(load_network(shipped, read_card(shipped)).state_dict(), strict=False)
        with torch.no_grad():
            net.final.bias -= less
        save_model(folder / name, dataclasses.replace(card, name=name), net)
    return str(folder / "one"), str(folder / "two")


@pytest.mark.slow
def test_what_is_kept_of_two_models_gives_what_they_would(
    study_0_6_0: Path, folders: tuple[str, str], no_qupath: None
) -> None:
    library.annotate_project(study_0_6_0, AnnotateOptions(model=folders, keep_probability=True, **AT))
    again = library.rethreshold_run(study_0_6_0, options=RethresholdOptions(threshold=0.6))
    afresh = library.annotate_project(study_0_6_0, AnnotateOptions(model=folders, threshold=0.6, restart=True, **AT))
    ours, theirs = (library.read_geojson(run.folder / "2.geojson") for run in (again.run, afresh.run))
    assert [item.geometry.wkt for item in ours] == [item.geometry.wkt for item in theirs]
    assert [item.measurements for item in ours] == [item.measurements for item in theirs]
    assert all(0 < item.measurements["Agreement"] < 1 for item in ours)
    assert again.run.parameters.post == "glomnet"
    assert again.run.parameters.with_models == afresh.run.parameters.with_models


@pytest.mark.qupath
@pytest.mark.slow
def test_into_a_project(study_0_6_0: Path, folders: tuple[str, str], one_process, glomseg) -> None:
    done = glomseg(
        "annotate", study_0_6_0, "--mpp", 0.5, "--image", "2", "--model", folders[0], "--model", folders[1],
        "--stitch", "mean", "--overlap", 0.25, "--tta-scales", "0.8,1.25",
    )  # fmt: skip
    assert done.code == 0, done.err
    ours = [item for item in standing(one_process, study_0_6_0, "2").values() if RUN in item.metadata]
    assert ours
    assert {item.metadata["glomseg.model"] for item in ours} == {"one + two"}


@pytest.mark.slow
def test_what_a_model_cannot_do_is_refused_before_anything_is_read(
    study_0_6_0: Path, folders: tuple[str, str], no_qupath: None, glomseg
) -> None:
    with pytest.raises(ModelError, match="no head hover"):
        library.annotate_project(study_0_6_0, AnnotateOptions(post="glomnet", **AT))
    refused = glomseg("annotate", study_0_6_0, "--mpp", 0.5, "--overlap", 0.5)
    assert (refused.code, len(refused.err.splitlines())) == (1, 1)
    assert "--stitch" in refused.err
    apart = glomseg("annotate", study_0_6_0, "--mpp", 0.5, "-m", folders[0], "-m", "pas-starter")
    assert "heads is mask, hover and mask" in apart.err
