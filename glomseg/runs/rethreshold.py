"""Another outline or another sureness for a run that kept its probabilities: new outlines without the network.

The new outlines are a run of their own, with the parameters that the network would have been run with, so that they
come into the project as any run's do, `glomseg undo` brings the former ones back, and the same `annotate` finds it
done.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from glomseg.errors import GeoJSONError, GlomsegError, RunError
from glomseg.models.card import ModelCard
from glomseg.models.planes import SPREAD, extras_of
from glomseg.models.store import read_card
from glomseg.qupath.objects import read_geojson
from glomseg.qupath.process import find_qupath
from glomseg.qupath.project import Project, read_project
from glomseg.runs.area import area_path, processed_area
from glomseg.runs.candidates import CandidateChoice, choose_candidates, counted_outlines, write_outlines
from glomseg.runs.collect import collect_images
from glomseg.runs.each_image import WriteOptions
from glomseg.runs.image_record import ImageRecord, State
from glomseg.runs.listener import Listener, keeping
from glomseg.runs.lock import locked
from glomseg.runs.predictions import is_a_persons
from glomseg.runs.result import RunResult
from glomseg.runs.reviewed import model_folder
from glomseg.runs.run import FOLDER, RECORD, Run, RunParameters, load_run, now
from glomseg.runs.run_list import find_run, last_standing, list_runs, resume_or_start, resume_or_start_in
from glomseg.runs.same_image import another_image, other_scale
from glomseg.runs.segment_batch import path_objects, probability_path
from glomseg.runs.segment_slides import refuse_to_overwrite
from glomseg.runs.segmenter import SegmentOptions
from glomseg.runs.table import write_table
from glomseg.segment.outlines import Glomerulus
from glomseg.segment.pipeline import SegmentSettings, outline_map, sureness_of, threshold_of
from glomseg.segment.post import post_named
from glomseg.segment.probability_map import ProbabilityMap, remove_leftovers
from glomseg.segment.tiles import ReadingFrame

_CHANGED = {"threshold", "sureness", "sclerosis", "classifier_sha256"}
"""Parameters of which outlining again may change the value."""


@dataclass(frozen=True, kw_only=True)
class RethresholdOptions(WriteOptions):
    """What to change of a run, None for what stays: the probability on the outline, the mean from which it counts.

    With `collect` False the outlines stay in the folder of the new run. `output` is that folder where the run is one of
    plain slides. `command` is kept in its run.json.
    """

    threshold: float | None = None
    sureness: float | None = None
    candidates: CandidateChoice = "review"
    collect: bool = True
    output: Path | None = None
    command: str | None = None


def rethreshold_run(
    project: Path,
    run: str | None = None,
    options: RethresholdOptions | None = None,
    *,
    listener: Listener | None = None,
) -> RunResult:
    """Outline a run again from its kept probabilities, and bring that into its project.

    That is the newest run that was not taken back, by default. `project` can also be the folder that `segment_slides`
    made: the outlines go into the folder `options.output` then. An image without probabilities keeps the outlines of
    the former run, with a warning; so does one whose probabilities cannot be read, which failed. Without a QuPath on
    this machine the outlines wait in the new run's folder. Raises RunError where nothing is to change, where the run
    kept no probabilities or its model is gone, and otherwise as `collect_run`.
    """
    options = options or RethresholdOptions()
    listener, remarks = keeping(listener)
    if options.threshold is None and options.sureness is None:
        raise RunError("nothing is to change; give `threshold`, `sureness` or both")
    if (project / RECORD).is_file():
        result = _rethreshold_folder(project, run, options, listener)
        return replace(result, remarks=tuple(remarks))
    if options.output is not None:
        raise RunError("the new run of a project lies beside its others; leave `output` away")
    read = read_project(project, slides=options.slides)
    runs_folder = read.folder / FOLDER
    has_qupath = find_qupath() is not None
    with locked(runs_folder):
        former, begun = _runs_of(runs_folder, run, options, listener)
        kept = _kept(former, listener, "annotate", f"the outlines of run {former.run_id} stay")
        run_again = _outline_again(former, kept, options, listener, begun)
        collected = options.collect and has_qupath
        if collected:
            collect_images(read, run_again, kept, states={}, options=options, listener=listener)
        else:
            _say_other_scales(read, run_again, listener)
            if options.collect:
                listener.remark(_waiting(read, run_again))
    return RunResult(run=run_again, entry_ids=kept, remarks=tuple(remarks), is_waiting=not collected)


def _runs_of(
    runs_folder: Path, run: str | None, options: RethresholdOptions, listener: Listener
) -> tuple[Run, Run | None]:
    """Find the run to outline again, and the new one that a call which was stopped has begun for that.

    That is no run that was taken back, unless it is named or there is no other.
    """
    newest = find_run(runs_folder, run)
    standing = last_standing(list_runs(runs_folder)) if run is None else None
    if standing is not None and standing.run_id != newest.run_id:
        listener.remark(
            f"run {newest.run_id} was taken back; outlined again is run {standing.run_id}; name one to choose"
        )
        newest = standing
    if run is not None:
        asked, last = _settings(newest.parameters, options), list_runs(runs_folder)[-1]
        exactly = replace(options, threshold=asked.threshold, sureness=asked.sureness)
        goes_on = last.run_id != newest.run_id and _is_begun(last, exactly) and _is_outlined_alike(last, newest)
        return newest, last if goes_on else None
    if not _is_begun(newest, options):
        return newest, None
    former = [
        other
        for other in list_runs(runs_folder)
        if other.run_id != newest.run_id
        and _is_outlined_alike(newest, other)
        and any(probability_path(other, entry_id).is_file() for entry_id in other.images)
    ]
    return (former[-1], newest) if former else (newest, None)


def _is_begun(run: Run, options: RethresholdOptions) -> bool:
    """Tell whether a run is what these options ask for, made without the network, and not through."""
    threshold, sureness = run.parameters.threshold, run.parameters.sureness or 0.0
    is_asked = options.threshold in (None, threshold) and options.sureness in (None, sureness)
    records = run.images.values()
    is_left = options.collect and any(record.collected is None and record.undone is None for record in records)
    return is_asked and (run.ended is None or is_left) and all(record.network_passes == 0 for record in records)


def _rethreshold_folder(folder: Path, run: str | None, options: RethresholdOptions, listener: Listener) -> RunResult:
    """Outline the run that a folder of plain slides holds again, into another folder; raises RunError."""
    former, output = load_run(folder), options.output
    if run is not None:
        raise RunError(f"{folder} holds one run, {former.run_id}; leave its name away")
    if folder.resolve().parent.name == FOLDER and any(folder.resolve().parents[1].glob("*.qpproj")):
        project = folder.resolve().parents[1]
        raise RunError(f"{folder} is a run of a project; give: glomseg rethreshold {project} {former.run_id}")
    asked = {
        "slides": options.slides,
        "forget_rejections": options.forget_rejections,
        "believe_deletions": options.believe_deletions,
        "on_conflict": options.on_conflict != "skip",
        "no_collect": not options.collect,
    }
    if idle := [f"`{name}`" for name, given in asked.items() if given]:
        raise RunError(f"{', '.join(idle)}: for a project, and {folder} is a folder of plain slides; leave that away")
    if output is None:
        raise RunError(f"{folder} holds the run of before, which stays; give another folder with `output`")
    with locked(output):
        begun = _begun_in(output, former, options)
        kept = _kept(former, listener, "segment", f"it is not in {output}")
        run_again = _outline_again(former, kept, options, listener, begun)
        if (former.folder / "overlay").is_dir():
            listener.remark(f"pictures with the outlines are those of before, in {former.folder / 'overlay'}")
    return RunResult(run=run_again, entry_ids=kept, is_waiting=True)


def _begun_in(output: Path, former: Run, options: RethresholdOptions) -> Run | None:
    """Return what a call of these options that was stopped has begun in `output`; raises RunError for another run."""
    if not (output / RECORD).exists():
        return None
    begun = load_run(output)
    if not _is_begun(begun, replace(options, collect=False)) or not _is_outlined_alike(begun, former):
        raise RunError(f"{output} holds a run already; give another folder with `output`")
    return begun


def _is_outlined_alike(run: Run, former: Run) -> bool:
    return not set(former.parameters.differing(run.parameters)) - _CHANGED


def _outline_again(
    former: Run, kept: Sequence[str], options: RethresholdOptions, listener: Listener, begun: Run | None = None
) -> Run:
    """Outline the images of a run whose probabilities were kept, as a run of its own, which may be `begun`."""
    card = _card_of(former, listener)
    settings = _settings(former.parameters, options)
    left = [entry_id for entry_id in kept if begun is None or not _is_done(former, begun, entry_id, options)]
    _refuse_a_persons(former, left, options.output, begun)
    if begun is not None:
        _tell_touched(begun, [entry_id for entry_id in kept if entry_id not in left], listener)
    if former.parameters.sclerosis is not None:
        listener.warning(
            "what a classifier said of sclerosis is not in the new outlines, which it has not seen; `glomseg "
            "annotate` with that threshold and --sclerosis says it again"
        )
    run_again = _begin(former, card, settings, options, begun)
    for entry_id in left:
        listener.started(former.images[entry_id].name)
        run_again.update(entry_id, _outline_or_say(former, run_again, entry_id, card, settings, options.candidates))
        listener.ended(former.images[entry_id].name, run_again.images[entry_id])
    run_again.ended = now()
    run_again.save()
    for problem in write_table(run_again):
        listener.warning(problem)
    return run_again


def _is_done(former: Run, begun: Run, entry_id: str, options: RethresholdOptions) -> bool:
    """Tell whether a call that was stopped has outlined an image; a person may have corrected its file since."""
    if not begun.has_result(entry_id):
        return False
    if begun.images[entry_id].inputs != former.images[entry_id].inputs:
        return False
    return _is_touched(begun, entry_id) or choose_candidates(begun, entry_id, options.candidates)


def _is_touched(run: Run, entry_id: str) -> bool:
    """Tell whether a person changed or deleted something in the files of an image."""
    record, files = run.images[entry_id], [run.result_path(entry_id), run.candidates_path(entry_id)]
    try:
        kept = read_geojson(files[1]) if files[1].is_file() else None
        is_less = len(counted_outlines(run, entry_id)) != record.glomeruli
        return any(map(is_a_persons, files)) or is_less or (kept is not None and len(kept) != (record.candidates or 0))
    except GeoJSONError:
        return False


def _tell_touched(run: Run, done: Sequence[str], listener: Listener) -> None:
    names = [run.images[entry_id].name for entry_id in done if _is_touched(run, entry_id)]
    if names:
        listener.warning(f"left as a person changed or deleted outlines in their files: {', '.join(names)}")


def _refuse_a_persons(former: Run, kept: Sequence[str], output: Path | None, begun: Run | None) -> None:
    """Raise RunError where the new run would replace a person's files in `output`, or in what was `begun`."""
    if begun is not None:  # its pictures are its own, also those of an image that it did not end
        refuse_to_overwrite(begun, kept, SegmentOptions())
    elif output is not None:
        new = resume_or_start_in(output, former.parameters, restart=True)
        refuse_to_overwrite(new, kept, SegmentOptions(keep_probability=True))


def _kept(run: Run, listener: Listener, command: str, otherwise: str) -> tuple[str, ...]:
    """List the images whose probabilities a run kept; raises RunError where there are none.

    `command` made the run, `otherwise` says what becomes of an image without.
    """
    done = [entry_id for entry_id in run.images if run.has_result(entry_id)]
    kept = tuple(entry_id for entry_id in done if probability_path(run, entry_id).is_file())
    if not kept:
        raise RunError(
            f"run {run.run_id} kept no probabilities, which it would take; run the same `glomseg {command}` once "
            "more with --keep-probability, and this will do afterwards, or name a run that kept them"
        )
    for entry_id in done:
        if entry_id not in kept:
            listener.warning(f"{run.images[entry_id].name}: its probabilities were not kept; {otherwise}")
    return kept


def _card_of(run: Run, listener: Listener) -> ModelCard:
    """Read the card of a run's model; raises RunError where that is gone."""
    folder = model_folder(run)
    if folder is None:
        raise RunError(
            f"model {run.parameters.model!r} of run {run.run_id} is not found any more, and its card says how to "
            "outline; put its folder back, or add the folder that holds it to GLOMSEG_MODELS"
        )
    return read_card(folder)


def _settings(parameters: RunParameters, options: RethresholdOptions) -> SegmentSettings:
    threshold = parameters.threshold if options.threshold is None else options.threshold
    sureness = parameters.sureness if options.sureness is None else options.sureness
    # A run without a sureness counted all, whatever a card says by now.
    return SegmentSettings(
        threshold=threshold,
        sureness=sureness or 0.0,
        species=parameters.species,
        tta=parameters.tta,
        post=post_named(parameters.post),
    )


def _begin(
    former: Run, card: ModelCard, settings: SegmentSettings, options: RethresholdOptions, begun: Run | None
) -> Run:
    """Start the new run, or take up the one that was `begun`; raises RunError where nothing would change."""
    parameters = replace(
        former.parameters, threshold=threshold_of(card, settings), sureness=sureness_of(card, settings) or None
    )
    if parameters == former.parameters:
        same = f"run {former.run_id} was made with this threshold and sureness; there is nothing to change"
        if options.output is None:  # an open QuPath may have saved over it, which no new outlines mend
            same += f" (`glomseg collect {former.folder.parents[1]} {former.run_id}` brings its outlines in again)"
        raise RunError(same)
    parameters = replace(parameters, sclerosis=None, classifier_sha256=None)  # no pixels are seen again
    if begun is not None:
        run = begun
    elif options.output is None:
        run = resume_or_start(former.folder.parent, parameters, restart=True)
    else:
        run = resume_or_start_in(options.output, parameters, restart=True)
    run.command, run.device, run.model_folder = options.command, former.device, former.model_folder
    run.computed_by = former.computed_by
    run.folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(run.folder)
    run.save()
    return run


def _outline_or_say(
    former: Run, run: Run, entry_id: str, card: ModelCard, settings: SegmentSettings, candidates: CandidateChoice
) -> ImageRecord:
    """Outline one image as `_outline` does, or return a record that says why that cannot be."""
    try:
        return _outline(former, run, entry_id, card, settings, candidates)
    except GlomsegError as error:  # one bad image stops no other
        record = _begun_again(former.images[entry_id])
        return replace(record, state=State.FAILED, glomeruli=None, glomerular_area_um2=None, reason=str(error))


def _begun_again(record: ImageRecord) -> ImageRecord:
    """Return what a former run knows of an image, but for what it found and what was done to the project."""
    return replace(
        record,
        candidates=None,
        network_passes=0.0,
        collected=None,
        standing=None,
        undone=None,
        outcome=None,
        conflict=False,
        reason=None,
    )


def _outline(
    former: Run, run: Run, entry_id: str, card: ModelCard, settings: SegmentSettings, candidates: CandidateChoice
) -> ImageRecord:
    """Outline one image from what `former` kept of it, into the folder of `run`; return its record."""
    record, began = former.images[entry_id], time.perf_counter()
    if record.size is None or record.mpp is None or record.reading_mpp is None:
        raise RunError(f"{record.name}: run {former.run_id} does not say how it was read; segment it again")
    frame = ReadingFrame.of(*record.size, *record.mpp, record.reading_mpp)
    _share(area_path(former, entry_id), area_path(run, entry_id))
    _share(probability_path(former, entry_id), probability_path(run, entry_id))
    extras = (*extras_of(card), *((SPREAD,) if former.parameters.with_models else ()))
    path = probability_path(former, entry_id)
    with ProbabilityMap.kept(path, frame, card.num_classes, run.folder, extras) as values:
        parts = outline_map(values, card, settings)
    belongs = _belonging(run, entry_id)
    counted, doubtful = ([item for item in part if belongs(item)] for part in parts)
    objects, unsure = (path_objects(part, record.mpp, card, run.run_id) for part in (counted, doubtful))
    write_outlines(run, entry_id, objects, unsure, candidates)
    area = sum(item.geometry.area for item in counted) * record.mpp[0] * record.mpp[1]
    return replace(
        _begun_again(record),
        glomeruli=len(counted),
        candidates=len(doubtful) or None,
        glomerular_area_um2=round(area, 1),
        seconds={"total": round(time.perf_counter() - began, 3)},
    )


def _belonging(run: Run, entry_id: str) -> Callable[[Glomerulus], bool]:
    """Return what tells whether an outline belongs to the part of the image that was looked at."""
    area = processed_area(run, entry_id)
    return lambda item: area is None or bool(area.intersects(item.geometry.centroid))


def _share(old: Path, new: Path) -> None:
    """Let a file of the former run be the new one's too: by a second name, or a copy where the disk has none."""
    if not old.is_file():
        return
    new.parent.mkdir(parents=True, exist_ok=True)
    new.unlink(missing_ok=True)
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)


def _say_other_scales(project: Project, run: Run, listener: Listener) -> None:
    for image in project.images:
        record = run.images.get(image.entry_id)
        if (
            record is not None
            and another_image(record, image) is None
            and (said := other_scale(record, run.run_id, image))
        ):
            listener.warning(f"{record.name}: {said}")


def _waiting(project: Project, run: Run) -> str:
    return (
        f"no QuPath on this machine: the outlines wait in {run.folder}. Bring them in with `glomseg collect "
        f"{project.path} {run.run_id}` where QuPath is"
    )
