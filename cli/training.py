"""The work of `glomseg train`: settings and data put together, bars drawn, results told."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glomseg.errors import TrainingError
from glomseg.models.card import CARD_NAME, DEFAULT_MODEL
from glomseg.models.store import find_model, read_card
from glomseg.training.config import DEFAULT_RECIPE, TrainConfig, read_config

from .console import Console

if TYPE_CHECKING:
    from glomseg.runs.reviewed import ReviewedProject
    from glomseg.training.data.training_data import Data
    from glomseg.training.train import Progress, Report


LESSONS = "lessons"
RETRAIN = "retrain"


def lessons_of(console: Console, output: Path, how: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Export what was reviewed in a project, and say how to go on from its model; a training that resumes has both."""
    from glomseg.runs.reviewed import read_reviewed
    from glomseg.segment.pipeline import reading_mpp
    from glomseg.training.corrections import export_corrections
    from glomseg.training.tiles.export import RECORD

    folder = output / LESSONS
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise TrainingError("--from-project works in one process; give its tiles to torchrun: glomseg train LESSONS")
    how = {**how, "default": RETRAIN}
    if how["resume"] and folder.is_dir():
        return folder, how
    _check_free(output, how)
    if (folder / RECORD).is_file():
        shutil.rmtree(folder)  # of a preview, or of an attempt that stopped before its first epoch
    with console.spinner("reading the project") as show:
        reviewed = read_reviewed(how["project"], slides=how["slides"], progress=show)
        how["start"] = how["start"] or _model_of(reviewed)
        how["species"] = how["species"] or reviewed.species
        mpp = reading_mpp(read_card(find_model(how["start"])), how["species"])
        corrections = export_corrections(reviewed, folder, mpp=mpp, progress=show)
    for remark in corrections.remarks:
        console.say(remark)
    console.say(
        f"{len(reviewed.images)} reviewed images: {corrections.annotated} tiles with glomeruli, "
        f"{corrections.background} without, {corrections.hard} around rejected predictions; "
        f"beginning with {how['start']}"
    )
    return folder, how


def _model_of(reviewed: ReviewedProject) -> str:
    """Name the model that made the predictions, or the default one where nobody made any."""
    if reviewed.model is not None and reviewed.model_folder is None:
        raise TrainingError(
            f"the predictions are those of model {reviewed.model!r}, which is not found any more; name it with --start"
        )
    return str(reviewed.model_folder or DEFAULT_MODEL)


def preview_data(console: Console, folders: Sequence[Path], output: Path, how: Mapping[str, Any]) -> int:
    """Draw a sheet of what the network would see."""
    from glomseg.training.outputs import PREVIEW_NAME, draw_preview

    config = _config(output, how)
    draw_preview(_data(console, folders, output, config, how), config, output / PREVIEW_NAME)
    console.say(f"drew {output / PREVIEW_NAME}")
    return 0


def train_model(console: Console, folders: Sequence[Path], output: Path, how: Mapping[str, Any]) -> int:
    """Train, and tell what came of it."""
    from glomseg.training.train import Training

    _check_free(output, how)
    config = _config(output, how)
    data = _data(console, folders, output, config, how)
    console.say(data.describe)
    with _bars(console, config) as report:
        training = Training(
            data, output, config, name=how["name"], device=how["device"], start=how["start"], report=report
        )
        try:
            card = training.run(resume=how["resume"])
        except KeyboardInterrupt:
            remedy = "the same command with --resume goes on" if training.epoch else "give the same command again"
            console.warn(f"interrupted after epoch {training.epoch}; {remedy}")
            return 1
    for part in ("validation", "test"):
        score = card.scores.get(part)
        if score:
            console.say(
                f"{part}: object F1 {score['object_f1']:.3f}, precision {score['precision']:.3f}, "
                f"recall {score['recall']:.3f}, Dice {score['dice']:.3f} on {score['images']} images"
            )
    console.say(f"model in {output}, threshold {card.threshold:g}, best epoch {card.scores['best_epoch']}")
    return 0


def _check_free(output: Path, how: Mapping[str, Any]) -> None:
    from glomseg.training.checkpoint import STATE_NAME

    if how["resume"]:
        return
    if (output / STATE_NAME).exists():
        raise TrainingError(f"{output} holds a training already; go on with --resume, or name another --output")
    if (output / CARD_NAME).exists():
        raise TrainingError(f"{output} holds a model already; name another --output")


def _config(output: Path, how: Mapping[str, Any]) -> TrainConfig:
    """Put the settings together; a training that goes on keeps its own where none are given."""
    from glomseg.training.train import CONFIG_NAME

    given = {"species": how["species"], "epochs": how["epochs"], "seed": how["seed"], "split_by": how["by"]}
    file, recipe = how["file"], how["recipe"]
    under = _of_start(how["start"], how["species"]) if how["start"] else {}
    if how["resume"] and (output / CONFIG_NAME).is_file():
        kept = output / CONFIG_NAME
        if file is None and recipe is None:
            file = kept
        elif not how["start"] and how["project"] is not None:  # the model that it began with is known to them alone
            known = read_config(file=kept)
            under = {name: getattr(known, name) for name in ("patch_size", "spacing_um_px", "species")}
    default = how.get("default", DEFAULT_RECIPE)
    settings = {"words": how["words"], "under": under, "default": default, "workers": how["workers"]}
    return read_config(recipe=recipe, file=file, **settings, **given)


def _of_start(start: str, species: str | None) -> dict[str, Any]:
    """Return the settings that a model brings: its width, its scale."""
    from glomseg.segment.pipeline import reading_mpp

    card = read_card(find_model(start))
    known = {"species": card.species} if species is None else {}
    return {
        "patch_size": card.architecture_args["patch_size"],
        "spacing_um_px": reading_mpp(card, species),
        **known,
    }


def _data(console: Console, folders: Sequence[Path], output: Path, config: TrainConfig, how: Mapping[str, Any]) -> Data:
    from glomseg.training.data.training_data import SPLIT_NAME, read_data

    split = how["split"]
    if how["resume"] and split is None and (output / SPLIT_NAME).is_file():
        split = output / SPLIT_NAME
    with console.spinner("looking at the data") as show:
        return read_data(
            folders,
            config,
            mpp=how["mpp"],
            split_file=split,
            licence=how["licence"],
            progress=lambda done, total: show(f"looking at the data: {done} of {total}"),
        )


@contextmanager
def _bars(console: Console, config: TrainConfig) -> Iterator[Report]:
    """Draw two bars, epochs and what is being done in the one at hand, and a line an epoch."""
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=RichConsole(stderr=True),
        disable=console.quiet,
        transient=True,
    )
    with bars:
        epochs = bars.add_task("epochs", total=config.epochs)
        steps = bars.add_task("", total=None)

        def tell(progress: Progress) -> None:
            if progress.row is not None:
                bars.update(epochs, completed=progress.done)
                if not console.quiet:
                    bars.console.print(_line(progress.row), highlight=False, markup=False, soft_wrap=True)
                return
            loss = "" if progress.loss is None else f", loss {progress.loss:.3f}"
            bars.update(steps, description=progress.stage + loss, completed=progress.done, total=progress.total)

        yield tell


def _line(row: Mapping[str, Any]) -> str:
    told = f"epoch {row['epoch']}: loss {row['train_loss']:.4f}"
    if "val_loss" in row:
        told += (
            f", validation {row['val_loss']:.4f}, object F1 {row['val_object_f1']:.3f} (precision "
            f"{row['val_precision']:.3f}, recall {row['val_recall']:.3f}), Dice {row['val_dice']:.3f}"
        )
    return told + (", the best so far" if row["best"] else "")
