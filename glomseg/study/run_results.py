"""What the runs of a project know of an image that is measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType

import shapely
from shapely.geometry.base import BaseGeometry

from glomseg.errors import GeoJSONError
from glomseg.models.card import SPECIES_DIAMETER_UM, ModelCard
from glomseg.models.store import read_card
from glomseg.runs.area import processed_area
from glomseg.runs.candidates import found_marks
from glomseg.runs.lost_writes import unrecorded_undo, written_at
from glomseg.runs.reviewed import model_folder
from glomseg.runs.run import Run, RunParameters, instant
from glomseg.runs.run_list import UnreadableRun
from glomseg.runs.suggestions import SCLEROTIC
from glomseg.study.records import RunDescription, RunFinding


def newest_result(
    runs: Sequence[Run],
    described: Sequence[RunDescription],
    entry_id: str,
    standing: Sequence[str] = (),
    taken_back: Mapping[str, float] = MappingProxyType({}),
) -> RunFinding | None:
    """Tell what the newest run that finished an image found there, or the one that was brought in last again.

    One that was undone counts only where there is no other: that which was undone last. `described` describes the runs,
    `standing` are the ids of those whose writes stand in the image's data, the last first, and `taken_back` says when
    others were by an undo that was killed before their records knew of it. A run that had nothing to add left no write:
    its record, or a script in QuPath, says that it was collected.
    """
    done = [run for run in runs if run.has_result(entry_id)]
    undone = {run.run_id: at for run in done if (at := _undone_at(run, entry_id, taken_back)) is not None}
    not_undone = [run for run in done if run.run_id not in undone]
    if not done:
        return None
    run = not_undone[-1] if not_undone else max(done, key=lambda run: undone[run.run_id])
    if run.run_id in standing:
        run = next((other for one in standing for other in not_undone if other.run_id == one), run)
    record = run.images[entry_id]
    in_project = run.run_id in standing or _had_nothing_to_add(run, entry_id, undone.values())
    return RunFinding(
        run_id=run.run_id,
        found=record.glomeruli,
        classes=next((item.classes for item in described if item.run_id == run.run_id), ()),
        in_project=in_project,
        undone=run.run_id in undone,
        icc=run.parameters.icc,
        area=_area(not_undone or done, entry_id),
        outlines=frozenset() if in_project else found_marks(run, entry_id),
    )


def _had_nothing_to_add(run: Run, entry_id: str, undone: Iterable[float]) -> bool:
    """Tell whether all that a run found stood in an image already, and no run was taken back there since.

    What stood was that run's: `undone` says when others were taken back.
    """
    collected = run.images[entry_id].collected
    at = instant(collected.at) if collected is not None and written_at(run, entry_id) is None else None
    said = [one for one in (at, run.needed_no_change_at(entry_id)) if one is not None]
    return bool(said) and max(said) > max(undone, default=0.0)


def _undone_at(run: Run, entry_id: str, taken_back: Mapping[str, float]) -> float | None:
    undone = run.images[entry_id].undone
    return taken_back.get(run.run_id) if undone is None else instant(undone.at)


def killed_undos(runs: Sequence[Run], entry_id: str, data_folder: Path, standing: Sequence[str]) -> dict[str, float]:
    """Tell which runs were taken back in an image, and when, though their records say that they were brought in."""
    others = [run for run in runs if run.run_id not in standing]
    undone = {run.run_id: unrecorded_undo(run, entry_id, data_folder) for run in others}
    return {run_id: at for run_id, at in undone.items() if at is not None}


def unread_result(runs: Sequence[Run], unreadable: Sequence[UnreadableRun], entry_id: str) -> str:
    """Say of which result of an image nothing is known, newer than all that is known; empty where there is none.

    Its run cannot be read, or what that wrote down of the image is lost; `runs` are all that can be read.
    """
    done = [run for run in runs if run.has_result(entry_id)][-1:]
    for other in reversed(unreadable):
        if not other.is_copy and other.has_result(entry_id) and all(other.is_newer(run) for run in done):
            return f"what run {other.folder.name} found on it is not known ({other.problem})"
    since = reversed(runs[runs.index(done[0]) + 1 :] if done else runs)
    lost = next((run for run in since if entry_id not in run.images and run.result_path(entry_id).is_file()), None)
    if lost is None:
        return ""
    return (
        f"what run {lost.run_id} found on it is not known: nothing is written down of it; annotate it anew: `glomseg "
        f"annotate PROJECT --image {entry_id}`"
    )


def _area(runs: Sequence[Run], entry_id: str) -> BaseGeometry | None:
    """Return the part of an image at which some runs looked, None for all; what cannot be read is no part."""
    areas = []
    for run in runs:
        try:
            area = processed_area(run, entry_id)
        except GeoJSONError:
            continue
        if area is None:
            return None
        areas.append(area)
    return shapely.union_all(areas)


def failure(runs: Sequence[Run], entry_id: str) -> str:
    """Say what became of the newest run that did not finish an image, empty where none tried."""
    for run in reversed(runs):
        record = run.images.get(entry_id)
        if record is not None and not record.is_done:
            return f"run {run.run_id} did not finish it" + (f" ({record.reason})" if record.reason else "")
    return ""


def describe_run(run: Run) -> RunDescription:
    """Tell how the outlines of a run were made."""
    parameters = run.parameters
    folder = model_folder(run)
    card = None if folder is None else read_card(folder)
    given = (SCLEROTIC,) if parameters.sclerosis == "classify" else ()
    return RunDescription(
        run_id=run.run_id,
        started=run.started,
        ended=run.ended or "",
        command=run.command or "",
        device=run.device or "",
        parameters=tuple((name, "–" if value is None else str(value)) for name, value in _named(parameters)),
        model=parameters.model or "",
        model_sha256=parameters.model_sha256 or "",
        with_models=parameters.with_models,
        threshold=parameters.threshold,
        reading_mpp=tuple(sorted({record.reading_mpp for record in run.images.values() if record.reading_mpp})),
        minimum_area_um2=None if card is None else _minimum_area_um2(card, parameters.species),
        minimum_solidity=None if card is None else card.minimum_solidity,
        classes=() if card is None else (*card.class_names, *given),
        sureness=parameters.sureness,
        species=parameters.species,
        tta=parameters.tta,
        tta_scales=parameters.tta_scales,
        post=parameters.post,
        stitch=parameters.stitch,
        overlap=parameters.overlap,
        region=parameters.region,
        sclerosis=parameters.sclerosis,
        icc=parameters.icc,
    )


def _named(parameters: RunParameters) -> Iterator[tuple[str, object]]:
    """Name the parameters of a run, those of other versions too."""
    yield from ((item.name, getattr(parameters, item.name)) for item in fields(parameters) if item.name != "others")
    yield from parameters.others.items()


def _minimum_area_um2(card: ModelCard, species: str | None) -> float:
    """Return the smallest area that counts for a species, which goes with the square of the diameter."""
    diameter = SPECIES_DIAMETER_UM.get(species or "", card.training_diameter_um)
    return card.minimum_area_um2 * (diameter / card.training_diameter_um) ** 2
