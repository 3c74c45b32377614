"""What the runs of a project know of an image that is measured."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields

import shapely
from shapely.geometry.base import BaseGeometry

from glomseg.errors import GeoJSONError
from glomseg.models.card import SPECIES_DIAMETER_UM, ModelCard
from glomseg.models.store import read_card
from glomseg.runs.plan import processed_area
from glomseg.runs.reviewed import model_folder
from glomseg.runs.run import Run, RunParameters
from glomseg.runs.suggestions import SCLEROTIC
from glomseg.study.records import RunDescription, RunFinding


def newest_result(
    runs: Sequence[Run], described: Sequence[RunDescription], entry_id: str, standing: Collection[str] = ()
) -> RunFinding | None:
    """Tell what the newest run that finished an image found there; one that was undone only where there is no other.

    `described` describes the runs, `standing` are the ids of those whose writes stand in the image's data. A run that
    had nothing to add left no write: its record alone says that it was collected.
    """
    done = [run for run in runs if run.has_result(entry_id)]
    not_undone = [run for run in done if run.images[entry_id].undone is None]
    if not done:
        return None
    run = (not_undone or done)[-1]
    record = run.images[entry_id]
    nothing_to_add = record.collected is not None and record.collected.added == 0
    return RunFinding(
        run_id=run.run_id,
        found=record.glomeruli,
        classes=next((item.classes for item in described if item.run_id == run.run_id), ()),
        in_project=run.run_id in standing or nothing_to_add,
        undone=record.undone is not None,
        icc=run.parameters.icc,
        area=_area(not_undone or done, entry_id),
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
