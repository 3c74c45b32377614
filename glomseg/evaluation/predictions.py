"""What a model predicts on labelled images, paired with their truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glomseg.errors import EvaluationError, MissingMppError, SlideError
from glomseg.evaluation.projects import Side, is_project, project_side, without_unread, without_unseen
from glomseg.labelled.find_files import Source, find_images, find_labels
from glomseg.labelled.kpis import kpis_place
from glomseg.labelled.label_files import Selection
from glomseg.labelled.pairs import Missing, Pair, pair_up
from glomseg.labelled.tile_files import tile_mpp
from glomseg.listing import first_names
from glomseg.qupath.project import read_project
from glomseg.runs.listener import Listener
from glomseg.runs.lock import locked
from glomseg.runs.outlines import image_of_run
from glomseg.runs.predictions import is_a_persons
from glomseg.runs.run import Run
from glomseg.runs.run_list import resume_or_start_in
from glomseg.runs.segment_batch import Job
from glomseg.runs.segment_jobs import segment_jobs
from glomseg.runs.segment_slides import refuse_to_overwrite
from glomseg.runs.segmenter import Segmenter, SegmentOptions
from glomseg.slides.slide import open_slide

PREDICTIONS = "predictions"


@dataclass(frozen=True)
class Predictions:
    """Predictions with their truth, what to say of them, and the run and model that they came from.

    `unread` names the images of a project that could not be read and are left out.
    """

    pairs: tuple[Pair, ...]
    remarks: tuple[str, ...]
    unread: tuple[str, ...]
    run: Run
    segmenter: Segmenter

    def details(self) -> dict[str, Any]:
        """Return what metrics.json says of the model and its settings."""
        model = self.segmenter.model
        return {
            **self.run.summary()["parameters"],
            "device": str(model.device),
            "computed_by": model.computed_by,
        }


def predict(
    data: Path,
    folder: Path,
    options: SegmentOptions,
    *,
    true: Selection | None = None,
    slides: Sequence[Path] = (),
    missing: Missing = "refuse",
    listener: Listener | None = None,
) -> Predictions:
    """Segment the images of `data` into a run folder, and pair what came out with its truth, of which `true` is meant.

    What a project cannot show as it is, and what could not be segmented, stands in `unread`. Raises EvaluationError
    where images have no truth or could not be segmented, unless `missing` is "skip"; and what `Segmenter.load` raises.
    """
    listener = listener or Listener()
    pictures, truth = _data(data, slides)
    skip: Missing = "skip" if missing == "skip" else "refuse"
    asked, remarks = pair_up(list(pictures.sources), list(truth.sources), missing=skip)
    asked, unread = without_unread(asked, pixels=True)
    seen = without_unseen(asked, None, true or Selection())
    asked, remarks = list(seen.pairs), [*truth.remarks, *remarks, *seen.remarks]
    jobs = _jobs(asked, options.mpp)
    with locked(folder):
        segmenter = Segmenter.load(options, listener)
        run = resume_or_start_in(folder, segmenter.parameters(), restart=False)
        refuse_to_overwrite(run, {job.entry_id for job in jobs} - run.images.keys(), options)
        segment_jobs(segmenter, jobs, run, listener)
    failed = [job.entry_id for job in jobs if not run.images[job.entry_id].is_done]
    if failed and missing == "refuse":
        raise EvaluationError(
            f"{len(failed)} of {len(jobs)} images could not be segmented (see above); mend them, or give `missing` skip"
        )
    pairs = []
    for pair, job in zip(asked, jobs, strict=True):
        record = run.images[job.entry_id]
        if record.is_done:
            image = image_of_run(run, job.entry_id)
            ours = Source(path=run.result_path(job.entry_id), stem=pair.true.stem, annotated=image)
            pairs.append(Pair(key=pair.key, predicted=ours, true=pair.true, image=job.path))
        elif missing == "empty":
            remarks.append(f"{pair.key}: could not be segmented; scored as empty")
            pairs.append(replace(pair, predicted=None, image=job.path))
        else:
            unread.append(f"{pair.key}: could not be segmented; left out")
    remarks += _corrected(pairs)
    return Predictions(tuple(pairs), tuple(remarks), tuple(unread), run, segmenter)


def _corrected(pairs: Sequence[Pair]) -> list[str]:
    """Say where a person corrected what the model found, so that the scores are of both."""
    theirs = [pair.key for pair in pairs if pair.predicted is not None and is_a_persons(pair.predicted.path)]
    if not theirs:
        return []
    return [
        f"a person changed the predictions on {len(theirs)} of {len(pairs)} images since ({first_names(theirs)}): the "
        "scores there are of what stands now, and not of the model; evaluate it into a new folder"
    ]


def _data(data: Path, slides: Sequence[Path]) -> tuple[Side, Side]:
    """Find the images and the truth of a data set."""
    if not is_project(data):
        return Side(sources=tuple(find_images(data))), Side(sources=tuple(find_labels(data)))
    truth = project_side(read_project(data, slides=slides))
    return truth, truth


def _jobs(pairs: Sequence[Pair], mpp: tuple[float, float] | None) -> list[Job]:
    """Turn pairs into jobs; raises MissingMppError, before anything is segmented, where no pixel size is known."""
    jobs: list[Job] = []
    taken: set[str] = set()
    for pair in pairs:
        assert pair.predicted is not None
        path = pair.predicted.image or pair.predicted.path
        key = pair.key.replace("/", "__")
        while key.lower() in taken:  # `a/b` beside `a__b`
            key += "~"
        taken.add(key.lower())
        image = pair.predicted.annotated
        said = (image.mpp, image.size_px) if image else (None, None)
        jobs.append(Job(entry_id=key, name=pair.key, path=path, mpp=mpp or said[0] or _mpp_beside(path), size=said[1]))
    if jobs and jobs[0].mpp is None and not _says_mpp(jobs[0].path):
        raise MissingMppError(f"{jobs[0].path} does not say how large its pixels are; give um per pixel with `mpp`")
    return jobs


def _says_mpp(path: Path) -> bool:
    """Tell whether an image says how large its pixels are; of one that cannot be opened, segmenting says why."""
    try:
        with open_slide(path) as slide:
            return slide.mpp_x is not None
    except SlideError:
        return True


def _mpp_beside(path: Path) -> tuple[float, float] | None:
    """Give the um per pixel that stands beside an exported tile, else that of the KPIs challenge's table."""
    tile = tile_mpp(path)
    if tile is not None:
        return tile, tile
    place = kpis_place(path)
    if place is None or place.mpp is None:
        return None
    return None if _says_mpp(path) else (place.mpp, place.mpp)
