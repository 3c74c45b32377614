"""Train a model in one call, from folders of labelled images or from what was reviewed in a QuPath project."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from glomseg.errors import TrainingError
from glomseg.models.card import CARD_NAME, DEFAULT_MODEL, ModelCard
from glomseg.models.store import find_model, read_card
from glomseg.qupath.project import read_project
from glomseg.runs.adapted_model import AdaptedTo, remember_model
from glomseg.runs.lock import locked
from glomseg.runs.reviewed import ReviewedProject, read_reviewed
from glomseg.runs.run import now
from glomseg.segment.pipeline import reading_mpp
from glomseg.training.adapt_model import AdaptedModel, adapt_model
from glomseg.training.checkpoint import check_clearable, check_settings, holds_training
from glomseg.training.config import TrainConfig
from glomseg.training.config_file import CONFIG_NAME, DEFAULT_RECIPE, Tell, keep_persons_config, read_config
from glomseg.training.corrections import export_corrections
from glomseg.training.data.training_data import SPLIT_NAME, UNSTATED, Data, read_data
from glomseg.training.optimise import check_network
from glomseg.training.outputs import PREVIEW_NAME, draw_preview
from glomseg.training.persons_files import refuse_changed_files, refuse_persons_files, refuse_persons_picture
from glomseg.training.review_record import check_review, record_of, remove_tiles
from glomseg.training.tiles.export import RECORD
from glomseg.training.train import TrainProgress, prepare, run

CORRECTIONS = "corrections"
FORMER_CORRECTIONS = "lessons"
"""Where older trainings keep them, which are gone on with."""
RETRAIN = "retrain"
FROM_START = ("architecture", "arguments", "classes", "mpp", "species", "mean", "std", "heads", "post")
"""What the model brings with which a training begins."""

Listen = Callable[[TrainProgress], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainOptions:
    """What a training is told beside its data; None and 0 leave it to the recipe.

    Settings come from a `recipe`, over it a TOML file `config`, over it `settings` as `key=value`, over them what
    stands here. With `minutes` (those of the recipe retrain, unless `epochs` are given) the model `start` is adapted in
    that time; where it gets worse it is kept under another name, or with `keep_anyway` all the same. `tile_mpp` is um
    per pixel of images that do not say it, `model_mpp` that at which the network reads.
    It begins with the model `start`, a name or folder, or from nothing. A folder that holds the state of the same
    training is gone on with: `resume` insists on that, `restart` starts over. `believe_deletions`: where all outlines
    of a run are gone from an image of a project, they were deleted on purpose.
    """

    recipe: str | None = None
    config: Path | None = None
    settings: tuple[str, ...] = ()
    species: str | None = None
    epochs: int | None = None
    minutes: float | None = None
    seed: int | None = None
    split_by: Literal["slide", "case"] | None = None
    model_mpp: float | None = None
    tile_mpp: float | None = None
    workers: int | None = None
    split: Path | None = None
    start: str | Path | None = None
    name: str | None = None
    licence: str = UNSTATED
    device: str = "auto"
    resume: bool = False
    restart: bool = False
    keep_anyway: bool = False
    believe_deletions: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainResult:
    """The folder of a trained model, its card with the scores, and what was remarked on the way.

    `adapted` says what a model that was adapted in minutes gained and forgot; its `is_kept` is False where it is worse
    than the one it began with, and lies in another folder than was asked for.
    """

    output: Path
    card: ModelCard
    epochs: int
    remarks: tuple[str, ...]
    adapted: AdaptedModel | None = None


def train_model(
    folders: Sequence[Path],
    output: Path,
    options: TrainOptions | None = None,
    *,
    progress: Listen = lambda progress: None,
    tell: Tell = lambda remark: None,
) -> TrainResult:
    """Learn from folders of labelled images, and write a model to `output`.

    `progress` hears how far it is, `tell` each remark as soon as it is known. Raises TrainingError, ModelError,
    DeviceError, RunError; KeyboardInterrupt says how to go on.
    """
    with _held(output):
        return _train(folders, output, options or TrainOptions(), DEFAULT_RECIPE, progress, tell)


def retrain_from_project(
    project: Path,
    output: Path,
    options: TrainOptions | None = None,
    *,
    slides: Sequence[Path] = (),
    folders: Sequence[Path] = (),
    progress: Listen = lambda progress: None,
    tell: Tell = lambda remark: None,
) -> TrainResult:
    """Learn from what was reviewed in a QuPath project, and from labelled images in more `folders`.

    It begins with the model of the project's newest run, unless `options.start` names another; images that moved are
    looked for in `slides`. Hears and raises what `train_model` does, and ProjectError.
    """
    with _held(output):
        corrections, begun = _export_corrections(project, output, options or TrainOptions(), slides, tell)
        result = _train([*folders, corrections], output, begun, RETRAIN, progress, tell, from_project=True)
    if result.adapted is not None and result.adapted.is_kept:
        _remember(project, result.adapted, str(begun.start))
    return result


@contextmanager
def _held(output: Path) -> Iterator[None]:
    """Hold the folder of a training for this command alone; raises RunError where another works in it."""
    if not _is_first():
        yield
        return
    with locked(output):
        yield


def _is_first() -> bool:
    """Tell whether this is the first of the processes that torchrun started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def _remember(project: Path, model: AdaptedModel, start: str) -> None:
    """Write down beside the project's runs which model it was adapted to."""
    gain = model.adapted.left_out
    adapted_to = AdaptedTo(
        name=model.card.name,
        folder=str(model.folder.resolve()),
        weights_sha256=model.card.weights_sha256,
        at=now(),
        started_from=start,
        f1_before=round(gain.old.sure.f1, 4),
        f1_now=round(gain.new.sure.f1, 4),
    )
    remember_model(read_project(project).folder, adapted_to)


def preview_training(
    folders: Sequence[Path],
    output: Path,
    options: TrainOptions | None = None,
    *,
    project: Path | None = None,
    slides: Sequence[Path] = (),
    progress: Listen = lambda progress: None,
    tell: Tell = lambda remark: None,
) -> Path:
    """Draw what the network would see, without training; return the picture's path. Raises as `train_model`."""
    options, recipe = options or TrainOptions(), DEFAULT_RECIPE
    refuse_persons_picture(output / PREVIEW_NAME)
    if project is not None:
        corrections, options = _export_corrections(project, output, options, slides, tell)
        folders, recipe = [*folders, corrections], RETRAIN
    config = _config(output, options, recipe, tell, resume=False)
    data = _data(folders, output, config, options, progress, resume=False)
    for line in data.remarks:
        tell(line)
    draw_preview(data, config, output / PREVIEW_NAME)
    return output / PREVIEW_NAME


def _train(
    folders: Sequence[Path],
    output: Path,
    options: TrainOptions,
    recipe: str,
    progress: Listen,
    tell: Tell,
    *,
    from_project: bool = False,
) -> TrainResult:
    remarks: list[str] = []

    def remark(text: str) -> None:
        remarks.append(text)
        tell(text)

    resume = goes_on(output, options)
    config = _config(output, options, recipe, remark, resume=resume, from_project=from_project)
    if resume:
        check_settings(output, config)  # before the data are looked at, which takes its time
    adapts = bool(config.minutes and options.start and not resume)
    _refuse_idle(options, adapts=adapts, resume=resume)
    if adapts:
        assert options.start is not None
        made = adapt_model(
            folders,
            output,
            options.start,
            config,
            name=options.name,
            licence=options.licence,
            tile_mpp=options.tile_mpp,
            device=options.device,
            restart=options.restart,
            keep_anyway=options.keep_anyway,
            tell=remark,
            progress=lambda stage, done, total: progress(TrainProgress(0, stage, done, total)),
        )
        return TrainResult(output=made.folder, card=made.card, epochs=0, remarks=tuple(remarks), adapted=made)
    data = _data(folders, output, config, options, progress, resume=resume)
    kept = () if resume or not _is_first() else keep_persons_config(output)
    for line in (data.describe, *data.remarks, *kept):
        remark(line)
    training = prepare(
        data,
        output,
        config,
        name=options.name,
        device=options.device,
        start=options.start,
        resume=resume,
        restart=options.restart,
        report=progress,
    )
    if training.learner.begun:
        remark(training.learner.begun)
    if resume:
        remark(f"going on after epoch {training.state.epoch} of {config.epochs}")
    try:
        card = run(training)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(f"after epoch {training.state.epoch}; the same command goes on from there") from stop
    return TrainResult(output=output, card=card, epochs=training.state.epoch, remarks=tuple(remarks))


def _refuse_idle(options: TrainOptions, *, adapts: bool, resume: bool) -> None:
    """Raise TrainingError for what changes nothing in this kind of training: who gives it would take it for done."""
    idle: dict[str, object]
    if adapts:
        idle = {"split": options.split, "split_by": options.split_by, "workers": options.workers}
        why = "an adaptation in minutes deals slides out itself, in one process; train by `epochs`, or leave it away"
    elif resume:
        idle = {"minutes": options.minutes, "keep_anyway": options.keep_anyway}
        why = "a training by epochs goes on here; `restart` starts over, or leave it away"
    else:
        idle = {"minutes": options.minutes, "keep_anyway": options.keep_anyway}
        why = "a training by epochs adapts no model, which takes one to `start` with and no `epochs`; leave it away"
    if given := [f"`{name}`" for name, value in idle.items() if value]:
        raise TrainingError(f"{', '.join(given)} would change nothing: {why}")


def goes_on(output: Path, options: TrainOptions) -> bool:
    """Tell whether a training in `output` is gone on with; raises TrainingError where that cannot be, or need not."""
    if options.resume and options.restart:
        raise TrainingError("`resume` goes on and `restart` starts over; give one of them")
    there = holds_training(output)
    if options.restart:
        check_clearable(output)
    if options.resume and not there:
        raise TrainingError(f"{output}: no training to go on with; start one without `resume`")
    if not there and not options.restart and (output / CARD_NAME).exists():
        raise TrainingError(
            f"{output} holds a model already, and no state to go on from; name another `output`, or replace what was "
            "trained there with `restart`"
        )
    if not there or options.restart:
        refuse_persons_files(output)
    else:
        refuse_changed_files(output)
    return there and not options.restart


def _config(
    output: Path, options: TrainOptions, default: str, tell: Tell, *, resume: bool, from_project: bool = False
) -> TrainConfig:
    """Put the settings together; a training that goes on keeps its own where none are given."""
    file, recipe = options.config, options.recipe
    under = _of_start(options.start, options.species) if options.start else {}
    kept = output / CONFIG_NAME
    if resume and kept.is_file():
        if file is None and recipe is None:
            file = kept
        elif not options.start and from_project:  # the model that it began with is known to them alone
            model = read_config(file=kept).model
            under = {f"model.{name}": getattr(model, name) for name in FROM_START}
    over = {
        "minutes": 0.0 if options.epochs or resume else options.minutes,
        "epochs": options.epochs,
        "seed": options.seed,
        "data.split_by": options.split_by,
        "data.workers": options.workers,
        "model.species": options.species,
        "model.mpp": options.model_mpp,
    }
    config = read_config(
        recipe=recipe, file=file, words=options.settings, under=under, over=over, default=default, tell=tell
    )
    check_network(config)  # before the data are looked at, which takes its time
    return config


def _of_start(start: str | Path, species: str | None) -> dict[str, Any]:
    """Return the settings that a model brings: its network, its scale."""
    card = read_card(find_model(start))
    brought = {
        "model.architecture": card.architecture,
        "model.arguments": dict(card.architecture_args),
        "model.classes": list(card.class_names),
        "model.mpp": reading_mpp(card, species),
        "model.heads": list(card.heads),
        "model.post": card.post,
        "model.mean": list(card.mean or ()),
        "model.std": list(card.std or ()),
    }
    return brought if species else {**brought, "model.species": card.species}


def _data(
    folders: Sequence[Path], output: Path, config: TrainConfig, options: TrainOptions, progress: Listen, *, resume: bool
) -> Data:
    split = options.split
    if resume and split is None and (output / SPLIT_NAME).is_file():
        split = output / SPLIT_NAME
    return read_data(
        folders,
        config,
        tile_mpp=options.tile_mpp,
        split_file=split,
        licence=options.licence,
        progress=lambda done, total: progress(TrainProgress(0, "looking at the data", done, total)),
    )


def _export_corrections(
    project: Path, output: Path, options: TrainOptions, slides: Sequence[Path], tell: Tell
) -> tuple[Path, TrainOptions]:
    """Export what was reviewed in a project, and say with what model to begin; a training that goes on has both."""
    former = output / FORMER_CORRECTIONS
    folder = former if former.is_dir() else output / CORRECTIONS
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise TrainingError("a project is read in one process; run torchrun on the folder of its corrections instead")
    if goes_on(output, options) and folder.is_dir():
        for remark in check_review(folder, project):
            tell(remark)
        return folder, options
    record = record_of(read_project(project))
    reviewed = read_reviewed(project, slides=slides, believe_deletions=options.believe_deletions)
    start = str(options.start or _model_of(reviewed))
    species = options.species or reviewed.species
    card = read_card(find_model(start))
    mpp = reading_mpp(card, species)
    if (folder / RECORD).is_file():  # of a preview, or of an attempt that stopped before it began
        for remark in remove_tiles(folder):
            tell(remark)
    corrections = export_corrections(reviewed, folder, mpp=mpp, class_names=card.class_names, record=record)
    for remark in corrections.remarks:
        tell(remark)
    tell(
        f"{len(reviewed.images)} reviewed images: {corrections.annotated} tiles with glomeruli, "
        f"{corrections.background} without, {corrections.hard} around rejected predictions; beginning with {start}"
    )
    return folder, replace(options, start=start, species=species)


def _model_of(reviewed: ReviewedProject) -> str:
    """Name the model that made the predictions, or the default one where nobody made any."""
    if reviewed.model is not None and reviewed.model_folder is None:
        raise TrainingError(
            f"the predictions are those of model {reviewed.model!r}, which is not found any more; name it with `start`"
        )
    return str(reviewed.model_folder or DEFAULT_MODEL)
