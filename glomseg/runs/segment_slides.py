"""Plain slides to outlines in a run folder, without a project and without QuPath."""

from __future__ import annotations

import glob
import hashlib
import itertools
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from glomseg.columns import names
from glomseg.errors import GeoJSONError, RunError
from glomseg.listing import first_names
from glomseg.pictures.marked import is_as_written
from glomseg.runs.journal import remove_journals
from glomseg.runs.listener import Listener, keeping
from glomseg.runs.merge import working_in
from glomseg.runs.predictions import is_a_persons
from glomseg.runs.result import RunResult
from glomseg.runs.run import Run, load_run, printable
from glomseg.runs.run_list import resume_or_start_in
from glomseg.runs.run_summary import HEAD, SUMMARY
from glomseg.runs.segment_batch import Job, overlay_path, probability_path
from glomseg.runs.segment_jobs import segment_jobs
from glomseg.runs.segmenter import Segmenter, SegmentOptions
from glomseg.runs.shard import share_of
from glomseg.runs.table import COLUMNS, TABLE
from glomseg.slides.find_slides import slides_of
from glomseg.standing_files import refuse_other_file, refuse_other_table, refuse_own_columns

_LONGEST = 150  # bytes of a name: file systems take 255


def segment_slides(
    slides: Iterable[Path], output: Path, options: SegmentOptions | None = None, *, listener: Listener | None = None
) -> RunResult:
    """Outline the glomeruli of slides, or of all in folders, into the run folder `output`.

    Writes <slide name>.geojson, glomeruli.csv, summary.md and run.json. Images that are done already are left as they
    are. How each image went stands in its record. Raises SlideError for a folder without images, ModelError,
    DeviceError, and RunError where the folder holds a run with other parameters or cannot be written.
    """
    options = options or SegmentOptions()
    listener, remarks = keeping(listener)
    slide_files = slides_of(slides)
    left_out = tuple(slide_files.remarks())
    for remark in left_out:
        listener.remark(remark)
    segmenter = Segmenter.load(options, listener)
    with working_in(output, options.shard, listener.remark) as place:
        with place.alone():
            if options.restart:
                _discard_results(output)
            run = resume_or_start_in(output, segmenter.parameters(), restart=options.restart, resume=options.resume)
            named = _entry_ids(slide_files.paths, run)
            refuse_to_overwrite(run, named.keys() - run.images.keys(), options)
            if place.shard is not None:
                run.save()  # the next shard goes on with this run
        jobs = [
            Job(entry_id=entry_id, name=printable(path.name), path=path, mpp=options.mpp)
            for entry_id, path in named.items()
        ]
        jobs, said = share_of(jobs, options.shard)
        for remark in said:
            listener.remark(remark)
        segment_jobs(segmenter, jobs, run, listener, place=place, everybody=list(named), left_out=left_out)
        if stray := sorted(set(_not_of(run)) - named.keys()):
            listener.warning(f"in {output}, and not of this run: {', '.join(f'{name}.geojson' for name in stray)}")
    return RunResult(run=run, entry_ids=tuple(job.entry_id for job in jobs), remarks=tuple(remarks), is_waiting=True)


def refuse_to_overwrite(run: Run, entry_ids: Collection[str], options: SegmentOptions) -> None:
    """Raise RunError where a result of images that the run does not know would take the place of a person's file."""
    _refuse_outlines(run, entry_ids)
    _refuse_pictures(run, entry_ids, options)


def _refuse_outlines(run: Run, entry_ids: Iterable[str]) -> None:
    """Raise RunError where a result would take the place of outlines that no run made, such as a person's own."""
    theirs = []
    for path in (place(key) for key in entry_ids for place in (run.result_path, run.candidates_path)):
        try:
            if is_a_persons(path):
                theirs.append(path)
        except GeoJSONError:
            theirs.append(path)
    _refuse_files(run, theirs)
    refuse_other_table(run.folder / TABLE, names(COLUMNS))
    refuse_own_columns(run.folder / TABLE, names(COLUMNS))
    refuse_other_file(run.folder / SUMMARY, lambda content: content.startswith(HEAD.encode()))


def _refuse_pictures(run: Run, entry_ids: Iterable[str], options: SegmentOptions) -> None:
    """Raise RunError where a picture or kept map would take the place of one that lies there without our outlines.

    Or of a picture into which somebody drew.
    """
    of_run = (overlay_path,) * (options.overlay is not None) + (probability_path,) * options.keep_probability
    unknown = {key for key in entry_ids if not run.result_path(key).is_file()}
    places = {place(run, key) for key in unknown for place in of_run}
    drawn = _drawn_into(run, entry_ids) if options.overlay is not None else []
    _refuse_files(run, sorted({*(path for path in places if path.exists()), *drawn}))


def _drawn_into(run: Run, entry_ids: Iterable[str]) -> list[Path]:
    """Return the pictures of images that are not as we wrote them."""
    places = (overlay_path(run, key) for key in entry_ids)
    return [path for path in places if path.exists() and not is_as_written(path)]


def _refuse_files(run: Run, theirs: Sequence[Path]) -> None:
    if theirs:
        raise RunError(
            f"{run.folder} holds {len(theirs)} files that would be replaced and are not of a run, or a person changed "
            f"them since ({first_names(path.relative_to(run.folder).as_posix() for path in theirs)}); choose another "
            "`output`, or move them away"
        )


def _discard_results(output: Path) -> None:
    """Remove what an earlier run left in a folder, so that nothing made with other parameters lies beside the new."""
    try:
        old = load_run(output)
    except RunError:  # none, or one that cannot be read: what is not of the new run is named in the end
        return
    _refuse_outlines(old, old.images)
    _refuse_files(old, _drawn_into(old, old.images))
    for entry_id in old.images:
        name = glob.escape(entry_id)
        pictures = (*output.glob(f"overlay/{name}.png"), *output.glob(f"probability/{name}.tif"))
        for path in (old.result_path(entry_id), old.candidates_path(entry_id), *pictures):
            path.unlink(missing_ok=True)
    remove_journals(output, old.counted)


def _not_of(run: Run) -> list[str]:
    """Name the results that no image of the run has; what begins with a dot is being written now, by another shard."""
    paths = [path for path in run.folder.glob("*.geojson") if not path.name.startswith(".")]
    return [path.stem for path in paths if path.stem not in run.images]


def _entry_ids(paths: Sequence[Path], run: Run) -> dict[str, Path]:
    """Name the results after the slides; of slides that share a name, the later ones keep their ending or get a number.

    A slide that the run knows keeps its name there, and no other slide gets it.
    """
    taken = {entry_id: record.path for entry_id, record in run.images.items() if record.path is not None}
    named: dict[str, Path] = {}
    for path in paths:
        place = printable(path.absolute())
        stem, name = (re.sub(r'[\x00-\x1f/\\:*?"<>|]|^\.', "_", printable(text)) for text in (path.stem, path.name))
        stem, name = _short(stem), _short(name)
        candidates = itertools.chain((stem, name), (f"{name}-{number}" for number in itertools.count(2)))
        known = next((entry_id for entry_id, at in taken.items() if at == place), None)
        entry_id = known or next(candidate for candidate in candidates if candidate not in taken)
        taken[entry_id] = place
        named[entry_id] = path
    return named


def _short(name: str) -> str:
    """Shorten a name so that files may be called after it, with room for what is added; the same name to the same."""
    if len(name.encode()) <= _LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name.encode()[: _LONGEST - 9].decode(errors='ignore')}-{digest}"
