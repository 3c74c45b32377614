"""The predictions that `glomseg evaluate --model` scores, and what other thresholds would have made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glomseg.errors import EvaluationError
from glomseg.evaluation.evaluate import Evaluation
from glomseg.evaluation.plots import draw_sweep
from glomseg.evaluation.projects import is_project, project_sources
from glomseg.evaluation.sweep import Kept, best, sweep
from glomseg.files import write_csv
from glomseg.labelled.find_files import Source, find_images, find_labels
from glomseg.labelled.kpis import kpis_place
from glomseg.labelled.pairs import Pair, pair_up
from glomseg.qupath.project import read_project
from glomseg.runs.outlines import image_of_run
from glomseg.runs.run import Run, locked, resume_or_start_in
from glomseg.runs.segment_batch import Job
from glomseg.runs.segmenter import Segmenter, SegmentOptions
from glomseg.segment.tiles import ReadingFrame
from glomseg.slides.slide import open_slide

from .console import Console
from .options import command_line


@dataclass(frozen=True)
class Prediction:
    """Predictions with their truth, what to say of them, and the run and model that they came from."""

    pairs: list[Pair]
    remarks: list[str]
    details: dict[str, Any]
    run: Run
    work: Segmenter


def predict(console: Console, data: Path, output: Path, model: str, how: Mapping[str, Any]) -> Prediction:
    """Segment the images of `data` into OUTPUT/predictions, and pair what was found with its truth."""
    options = SegmentOptions(
        model=model,
        device=how["device"],
        threshold=how["threshold"],
        species=how["species"],
        tta=how["tta"],
        keep_probability=how["sweep"],
        command=command_line(),
    )
    pictures, truth = _data(data, how["slides"])
    asked, remarks = pair_up(pictures, truth, missing="skip" if how["missing"] == "skip" else "refuse")
    folder = output / "predictions"
    jobs = _jobs(asked, how["mpp"])
    with locked(folder), console.listening() as listener:
        work = Segmenter.load(options, listener)
        run = resume_or_start_in(folder, work.parameters(), restart=False)
        work.segment(jobs, run, listener)
    failed = [job.entry_id for job in jobs if not run.images[job.entry_id].is_done]
    if failed and how["missing"] == "refuse":
        raise EvaluationError(
            f"{len(failed)} of {len(jobs)} images could not be segmented (see above); mend them, or use --missing skip"
        )
    pairs = []
    for pair, job in zip(asked, jobs, strict=True):
        record = run.images[job.entry_id]
        if record.is_done:
            image = image_of_run(run, job.entry_id)
            found = Source(path=run.result_path(job.entry_id), stem=pair.true.stem, annotated=image)
            pairs.append(Pair(key=pair.key, predicted=found, true=pair.true, image=job.path))
        else:
            remarks.append(f"{pair.key}: could not be segmented; left out")
    details = {"data": str(data), **run.summary()["parameters"], "device": str(work.model.device)}
    return Prediction(pairs, remarks, details, run, work)


def _data(data: Path, slides: Sequence[Path]) -> tuple[list[Source], list[Source]]:
    """Find the images and the truth of a data set."""
    if not is_project(data):
        return find_images(data), find_labels(data)
    truth = project_sources(read_project(data, slides=slides))
    return [item for item in truth if item.image is not None], truth


def _jobs(pairs: Sequence[Pair], mpp: tuple[float, float] | None) -> list[Job]:
    """Turn pairs into jobs, after a look whether the first image says how large its pixels are."""
    jobs: list[Job] = []
    for pair in pairs:
        assert pair.predicted is not None
        path = pair.predicted.image or pair.predicted.path
        known = pair.predicted.annotated.mpp if pair.predicted.annotated else None
        key = pair.key.replace("/", "__")
        while any(job.entry_id.lower() == key.lower() for job in jobs):  # `a/b` beside `a__b`
            key += "~"
        jobs.append(Job(entry_id=key, name=pair.key, path=path, mpp=mpp or known or _mpp_by_table(path)))
    if jobs and jobs[0].mpp is None:
        with open_slide(jobs[0].path) as slide:
            assert slide.pixel_size
    return jobs


def _mpp_by_table(path: Path) -> tuple[float, float] | None:
    """Give the um per pixel of an image of the KPIs challenge that does not say it itself."""
    place = kpis_place(path)
    if place is None or place.mpp is None:
        return None
    with open_slide(path) as slide:
        return None if slide.mpp_x else (place.mpp, place.mpp)


def sweep_thresholds(
    prediction: Prediction, evaluation: Evaluation, output: Path, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Score the kept probabilities at other thresholds; writes thresholds.csv and a plot, returns what was best."""
    kept = []
    for pair, image in zip(prediction.pairs, evaluation.images, strict=True):
        assert pair.predicted is not None
        key = pair.predicted.path.name.removesuffix(".geojson")
        record = prediction.run.images[key]
        assert record.size
        assert record.mpp
        assert record.reading_mpp
        frame = ReadingFrame.of(*record.size, *record.mpp, record.reading_mpp)
        path = prediction.run.folder / "probability" / f"{key}.tif"
        kept.append(Kept(probability=path, frame=frame, true=image.true, split=image.info.split))
    work = prediction.work
    points = sweep(
        kept,
        work.model.card,
        work.settings,
        scratch=prediction.run.folder,
        progress=lambda done, total: progress(f"thresholds, image {done} of {total}"),
    )
    rows = [
        {
            "threshold": point.threshold,
            "images": side,
            "true": objects.true,
            "predicted": objects.predicted,
            "matched": objects.matched,
            "precision": objects.precision,
            "recall": objects.recall,
            "f1": objects.f1,
            "pq": objects.pq,
            "dice": pixels.dice,
        }
        for point in points
        for side, objects, pixels in (
            ("validation", point.validation, point.validation_pixels),
            ("others", point.others, point.others_pixels),
        )
    ]
    write_csv(output / "thresholds.csv", list(rows[0]), rows)
    draw_sweep(points, output / "plots")
    chosen = best(points)
    at = next((point for point in points if point.threshold == chosen), None)
    return {
        "best_threshold": chosen,
        "f1_on_validation": None if at is None else at.validation.f1,
        "f1_on_others": None if at is None or not at.others.true else at.others.f1,
    }


def told(found: Mapping[str, Any]) -> str:
    """Say in words what a sweep has found."""
    if found["best_threshold"] is None:
        return "no best threshold: no image is marked as validation (column split), and others must not choose it"
    rest = "" if found["f1_on_others"] is None else f", and {found['f1_on_others']:.3f} on the others"
    return (
        f"best threshold on validation images: {found['best_threshold']:g}, "
        f"with an object F1 of {found['f1_on_validation']:.3f} there{rest}"
    )
