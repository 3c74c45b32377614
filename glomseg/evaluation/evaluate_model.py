"""Evaluate in one call: predictions against truth, or a model on labelled images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from glomseg.errors import EvaluationError, SampleSheetError
from glomseg.evaluation.candidates import WithCandidates, score_candidates
from glomseg.evaluation.evaluate import EvaluateSettings, Evaluation, evaluate
from glomseg.evaluation.evaluation_folder import refuse_to_replace, write_evaluation
from glomseg.evaluation.learned import LearnedFrom, card_remarks, learned_from
from glomseg.evaluation.predictions import PREDICTIONS, Predictions, predict
from glomseg.evaluation.projects import is_project, without_unread, without_unseen
from glomseg.evaluation.same_project import find_sides
from glomseg.evaluation.summary import Summary
from glomseg.evaluation.sweep_run import SweepResult, remove_sweep, sweep_run
from glomseg.labelled.find_files import Source, find_images, images_named, left_out
from glomseg.labelled.image_info import ImageInfo, info_of, refuse_shared_rows
from glomseg.labelled.label_files import Selection
from glomseg.labelled.pairs import Missing, Pair, pair_up
from glomseg.labelled.parts import PARTS
from glomseg.labelled.sample_sheet import read_sample_sheet
from glomseg.runs.listener import Listener
from glomseg.runs.lock import locked
from glomseg.runs.run import RECORD, load_run
from glomseg.runs.segmenter import SegmentOptions


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """How to compare predictions with truth, and how to predict where a model does.

    Annotations of `class_name` and the classes below it count, those whom `predicted_set` and `truth_set` name: all,
    machine, person, or run:ID. `mpp` is (x, y) in um and wins over what files say. `samples` is a sample sheet;
    `group_by` and `unit` name columns of it. `part` leaves out the images that are not of it. `missing` says what to do
    about a truth without prediction: refuse, skip, or score it as empty. `model` predicts as `segment` says, which
    names it where `model` is None; `sweep` scores its probabilities at other thresholds too.
    """

    class_name: str = "Glomerulus"
    predicted_set: str = "all"
    truth_set: str = "all"
    missing: Missing = "refuse"
    rescale: bool = False
    kpis_compatible: bool = False
    mpp: tuple[float, float] | None = None
    samples: Path | None = None
    group_by: str | None = None
    unit: str | None = None
    part: str | None = None
    slides: tuple[Path, ...] = ()
    pictures: bool = True
    model: str | Path | Sequence[str | Path] | None = None
    segment: SegmentOptions = field(default_factory=SegmentOptions)
    sweep: bool = False
    command: str | None = None

    def settings(self) -> EvaluateSettings:
        """Return how to score; raises SampleSheetError, EvaluationError."""
        sheet = None
        if self.samples is not None:
            sheet = read_sample_sheet(self.samples)
            for column in filter(None, (self.group_by, self.unit)):
                sheet.check_column(column)
        elif self.group_by or self.unit:
            raise EvaluationError("`group_by` and `unit` name columns of a sample sheet; give it with `samples`")
        if self.part is not None and self.part not in PARTS:
            raise EvaluationError(f"{self.part!r} is no part of the data; `part` is one of {', '.join(PARTS)}")
        return EvaluateSettings(
            predicted=Selection(class_name=self.class_name, whose=self.predicted_set),
            true=Selection(class_name=self.class_name, whose=self.truth_set),
            missing=self.missing,
            rescale=self.rescale,
            kpis=self.kpis_compatible,
            mpp=self.mpp,
            samples=sheet,
            group_by=self.group_by,
            unit=self.unit,
        )


READING = ("threshold", "species", "tta", "tta_scales", "post", "stitch", "overlap", "icc", "backend")
"""The options of `SegmentOptions` that say how a model reads, and so mean nothing without one."""


def asks_to_read(options: SegmentOptions) -> dict[str, bool]:
    """Tell which of the options are given that say how a model reads."""
    usual = SegmentOptions()
    return {name: getattr(options, name) != getattr(usual, name) for name in READING}


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """What came out and lies in `folder`: scores, remarks, and with `sweep` what other thresholds give.

    `unread` names the images that could not be read or compared: the scores are those of the others. `candidates` says
    what those of the run would add, None where there is no run, or its model sets nothing aside. `learned` counts the
    images by the part of the model's own split that they were in, empty where none is known.
    """

    folder: Path
    evaluation: Evaluation
    remarks: tuple[str, ...]
    sweep: SweepResult | None = None
    unread: tuple[str, ...] = ()
    candidates: WithCandidates | None = None
    learned: Mapping[str, int] = field(default_factory=dict)

    @property
    def summary(self) -> Summary:
        """Scores over all images and by group."""
        return self.evaluation.summary


def evaluate_predictions(
    predicted: Path,
    truth: Path,
    output: Path,
    options: EvaluateOptions | None = None,
    *,
    listener: Listener | None = None,
) -> EvaluationResult:
    """Score predictions against truth: files or folders of masks or GeoJSON, run folders, projects.

    Writes metrics.json, per_slide.csv, per_object.csv, plots and galleries. Raises EvaluationError for what does not
    fit together, SampleSheetError, GeoJSONError, ProjectError, QuPathError, RunError.
    """
    options, listener = options or EvaluateOptions(), listener or Listener()
    settings = options.settings()
    refuse_to_replace(output)
    if options.slides and not any(map(is_project, (predicted, truth))):
        raise EvaluationError("`slides` is where images of a project are looked for, and none is named; leave it away")
    ours, theirs = find_sides(predicted, truth, slides=options.slides)
    sides = list(ours.sources), list(theirs.sources)
    try:
        pairs, remarks = pair_up(*sides, missing=options.missing, images=_pictures(truth, sides[1]))
    except EvaluationError as error:
        raise EvaluationError("; ".join((str(error), *_left_out(predicted, truth)))) from error
    pairs, unread = without_unread(pairs)
    seen = without_unseen(pairs, settings.predicted, settings.true, missing=options.missing)
    run = load_run(predicted) if (predicted / RECORD).is_file() else None
    work = _Work(options, settings, output, listener, icc=run is not None and run.parameters.icc)
    with locked(output):
        return work.score(
            seen.pairs,
            [*_left_out(predicted, truth), *dict.fromkeys((*ours.remarks, *theirs.remarks)), *remarks, *seen.remarks],
            {"predicted": str(predicted), "truth": str(truth)},
            model_folder=None if run is None or run.model_folder is None else Path(run.model_folder),
            unread=unread,
        )


def evaluate_model(
    data: Path, output: Path, options: EvaluateOptions | None = None, *, listener: Listener | None = None
) -> EvaluationResult:
    """Let a model predict on images that have their truth beside them, or on a project, and score that.

    Predictions lie in `output`/predictions, a run folder: what is done there is not predicted again. Raises as
    `evaluate_predictions`, and ModelError, DeviceError, SlideError, RunError.
    """
    options, listener = options or EvaluateOptions(), listener or Listener()
    settings = options.settings()
    refuse_to_replace(output)
    if options.slides and not is_project(data):
        raise EvaluationError(f"`slides` is where images of a project are looked for; {data} is none, so leave it away")
    segment = replace(
        options.segment,
        model=options.segment.model if options.model is None else options.model,
        mpp=options.mpp,
        keep_probability=options.sweep,
        command=options.command,
    )
    predictions = predict(
        data,
        output / PREDICTIONS,
        segment,
        true=settings.true,
        slides=options.slides,
        missing=options.missing,
        listener=listener,
    )
    work = _Work(options, settings, output, listener, icc=segment.icc)
    with locked(output):
        return work.score(
            predictions.pairs,
            [
                *_left_out(data),
                *predictions.remarks,
                *card_remarks(predictions.segmenter.model.card, data, [work.info(pair) for pair in predictions.pairs]),
            ],
            {"data": str(data), **predictions.details()},
            model_folder=predictions.segmenter.folder,
            predictions=predictions if options.sweep else None,
            unread=predictions.unread,
        )


@dataclass(frozen=True)
class _Work:
    """What scoring and writing need, whoever predicted; with `icc` pictures have the colours that were read."""

    options: EvaluateOptions
    settings: EvaluateSettings
    output: Path
    listener: Listener
    icc: bool

    def score(
        self,
        pairs: Sequence[Pair],
        remarks: Sequence[str],
        details: Mapping[str, Any],
        *,
        model_folder: Path | None = None,
        predictions: Predictions | None = None,
        unread: Sequence[str] = (),
    ) -> EvaluationResult:
        """Score pairs of one part or of all, and write what came out."""
        remarks = [*remarks, *unread]
        for remark in remarks:
            self.listener.remark(remark)
        learned = None
        if model_folder is not None:
            learned = learned_from(model_folder, [self.info(pair) for pair in pairs])
        pairs, more = self._of_part(pairs, learned)
        said = [] if learned is None or self.options.part is not None else learned.remarks(len(pairs))
        evaluation = evaluate(
            pairs, self.settings, progress=lambda done, total: self.listener.waiting(f"scoring {done} of {total}")
        )
        scored = {image.info.key for image in evaluation.images}
        pairs, unread = [pair for pair in pairs if pair.key in scored], [*unread, *evaluation.left_out]
        swept = None
        if predictions is not None:
            swept = sweep_run(predictions, pairs, evaluation, self.output, self.listener)
            said.append(swept.in_words())
        else:
            said += remove_sweep(self.output)
        candidates = score_candidates(pairs, evaluation.images, self.settings.predicted)
        self.listener.waiting("drawing")
        more += evaluation.left_out
        for remark in (*more, *evaluation.remarks, *said):
            self.listener.remark(remark)
        content = {"command": self.options.command, **details, "part": self.options.part}
        counts = {} if learned is None else {part: learned.count(part) for part in PARTS}
        if counts:
            content["learned_from"] = counts
        if swept is not None:
            content["threshold_sweep"] = swept.to_table()
        if candidates is not None:
            content["candidates"] = candidates.to_table()
        everything = (*remarks, *more, *evaluation.remarks, *said)
        kept = write_evaluation(self.output, replace(evaluation, remarks=everything), details=content,
                                pictures=self.options.pictures, icc=self.icc)  # fmt: skip
        for remark in kept:
            self.listener.warning(remark)
        return EvaluationResult(
            folder=self.output,
            evaluation=evaluation,
            remarks=(*everything, *kept),
            sweep=swept,
            unread=tuple(unread),
            candidates=candidates,
            learned=counts,
        )

    def info(self, pair: Pair) -> ImageInfo:
        """Tell what is known of an image beside its outlines; raises SampleSheetError."""
        return info_of(pair, self.settings.samples, group_by=self.settings.group_by, unit=self.settings.unit)

    def _of_part(self, pairs: Sequence[Pair], learned: LearnedFrom | None) -> tuple[list[Pair], list[str]]:
        """Keep the images of the part that is asked for, by the model's own split, else by sheet or folders."""
        part = self.options.part
        if part is None:
            return list(pairs), []
        learned_parts = {} if learned is None else learned.parts
        said = {pair.key: learned_parts.get(pair.key) or self.info(pair).split for pair in pairs}
        kept = [pair for pair in pairs if said[pair.key] == part]
        if not kept:
            there = ", ".join(sorted({name for name in said.values() if name})) or "none is said"
            raise EvaluationError(
                f"no image is of `part` {part} (parts: {there}); a sample sheet says it in the column split, or "
                "split.json beside the model's weights"
            )
        others = [pair for pair in pairs if said[pair.key] != part and not learned_parts.get(pair.key)]
        return kept, [f"part {part}: {len(kept)} of {len(pairs)} images", *self._shared_rows(others)]

    def _shared_rows(self, left_out: Sequence[Pair]) -> list[str]:
        """Say where images were left out by a row of the sheet that fits several of them."""
        try:
            if self.settings.samples is not None:
                refuse_shared_rows(left_out, self.settings.samples)
        except SampleSheetError as error:
            return [f"left out: {error}"]
        return []


def _left_out(*paths: Path) -> list[str]:
    """Say what is not read in the folders among `paths`; of a project's folder its images are read."""
    return [text for path in dict.fromkeys(paths) if not is_project(path) for text in left_out(path)]


def _pictures(truth: Path, labels: Sequence[Source]) -> list[Source]:
    """Look for images beside the truth or beside its folder: for galleries, and for what the truth does not say."""
    if is_project(truth):
        return []
    folder = truth.parent if truth.is_file() else truth
    places = [folder, *(folder.parent / name for name in ("images", "img", "wsi"))]
    if truth.is_file():
        return images_named(places, labels[0].stem, besides=truth)
    pictures: list[Source] = []
    for place in places:
        try:
            pictures += find_images(place)
        except EvaluationError:  # no such folder, or no image in it
            continue
    taken = {item.path for item in labels}
    return [item for item in pictures if item.path not in taken]
