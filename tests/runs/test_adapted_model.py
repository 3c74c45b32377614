"""A project that a model was adapted to is annotated with it, aloud."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from support.oracle import save_oracle

from glomseg.errors import ModelError
from glomseg.models.store import read_card
from glomseg.runs.adapted_model import AdaptedTo, model_of_project, remember_model


def adapted_to(folder: Path) -> AdaptedTo:
    return AdaptedTo(
        name="mine", folder=str(folder), weights_sha256=read_card(folder).weights_sha256, at="2026-11-26T04:00:00",
        started_from="pas-starter", f1_before=0.5, f1_now=0.8,
    )  # fmt: skip


def test_the_adapted_model_is_taken_and_named(project: Path, data: Path, tmp_path: Path, no_qupath, glomseg) -> None:
    mine = save_oracle(tmp_path / "mine")
    remember_model(project, adapted_to(mine))
    command = ("annotate", project, "--slides", data / "qupath", "--mpp", "0.5", "--image", "1", "--device", "cpu")
    taken = glomseg(*command)
    assert taken.code == 0, taken.err
    assert f"this project was adapted to model mine ({mine}), from pas-starter on 2026-11-26" in taken.err
    assert "give --model pas-starter for the shipped" in taken.err
    assert "model oracle on cpu" in taken.err
    named = glomseg(*command, "--model", "pas-starter")
    assert "was adapted to" not in named.err
    models = {json.loads(path.read_text())["parameters"]["model"] for path in (project / "glomseg").glob("*/run.json")}
    assert models == {"oracle", "pas-starter"}
    shutil.rmtree(mine)
    gone = glomseg(*command)
    assert gone.code == 1
    assert f"which is not in {mine} any more" in gone.err


def test_a_damaged_record_of_it_is_not_taken_for_none(tmp_path: Path) -> None:
    remember_model(tmp_path, adapted_to(save_oracle(tmp_path / "mine")))
    (tmp_path / "glomseg/model.json").write_text("{")
    with pytest.raises(ModelError, match=r"model\.json cannot be read.*give `model`"):
        model_of_project(tmp_path)


def test_other_weights_in_its_folder_are_said(tmp_path: Path) -> None:
    mine = save_oracle(tmp_path / "mine")
    assert model_of_project(tmp_path) == (None, ())
    remember_model(tmp_path, replace(adapted_to(mine), weights_sha256="0" * 64))
    folder, said = model_of_project(tmp_path)
    assert folder == mine
    assert "are others than those that the project was adapted to" in said[1]
