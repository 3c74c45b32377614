"""The life of each network: two epochs with a stop between, a real QuPath project, an export that says the same."""

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.architectures import SMALL, needed, words
from support.runs import standing
from support.tissue import UM_PX, write_fields

import glomseg as library
from glomseg import AnnotateOptions
from glomseg.geometry import Box
from glomseg.models.exporting import export_model
from glomseg.models.predict import load_model
from glomseg.models.store import read_card, write_card
from glomseg.runs.ownership import RUN
from glomseg.training.train_model import TrainOptions, train_model

AT = {"mpp": (0.5, 0.5), "images": ("3",), "device": "cpu"}


@pytest.fixture(scope="module")
def tissue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fields(tmp_path_factory.mktemp("tissue") / "fields", slides=5, fields=2)


def trained(name: str, tissue: Path, output: Path) -> Path:
    """Train two epochs, with a stop after the first, so slowly that after four steps each still sees something."""
    settings = (*words(name), "optimiser.learning_rate=1e-4")
    options = TrainOptions(settings=settings, epochs=2, tile_mpp=UM_PX, device="cpu", seed=1)

    def stop(progress):
        if progress.row is not None and progress.row.epoch == 1:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        train_model([tissue], output, options, progress=stop)
    assert train_model([tissue], output, replace(options, resume=True)).epochs == 2
    return output


def pixels_of(slide_path: Path, mpp: float) -> np.ndarray:
    with library.open_slide(slide_path, mpp=(0.5, 0.5)) as slide:
        return slide.read(Box(0, 0, slide.width, slide.height), mpp)[None]


def draws_what_it_sees(folder: Path, pixels: np.ndarray) -> None:
    """Let a network that knows nothing, and says much the same of each pixel, outline all that it sees at all."""
    card, probability = read_card(folder), load_model(folder).predict(pixels)
    least = max(1.0, 0.8 * float(probability.min()))
    assert probability.max() > least
    write_card(folder, replace(card, threshold=least / 255, sureness=None, dials=(), minimum_area_um2=500.0,
                               minimum_solidity=0.0))  # fmt: skip


@pytest.mark.qupath
@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_from_two_epochs_into_a_project_and_out_as_a_file(
    name: str, tissue: Path, study_0_6_0: Path, tmp_path: Path, one_process
) -> None:
    needed(name)
    folder = trained(name, tissue, tmp_path / name)
    pixels = pixels_of(study_0_6_0.parents[1] / "Ünï cöde #3.png", read_card(folder).mpp)
    draws_what_it_sees(folder, pixels)
    done = library.annotate_project(study_0_6_0, AnnotateOptions(model=(str(folder),), **AT))
    assert not done.failed
    record = done.records["3"]
    assert record.collected is not None
    ours = [item for item in standing(one_process, study_0_6_0, "3").values() if RUN in item.metadata]
    assert len(ours) == record.collected.added > 0
    assert {item.metadata["glomseg.model"] for item in ours} == {name}
    written = {item.geometry.normalize().wkt for item in library.read_geojson(done.run.result_path("3"))}
    assert {item.geometry.normalize().wkt for item in ours} <= written
    export_model(folder, tmp_path / "out")
    here, there = load_model(folder), load_model(tmp_path / "out")
    apart = np.abs(there.predict(pixels).astype(int) - here.predict(pixels))
    assert apart.max() <= (1 if here.dtype == torch.float32 else 6)
