"""Whether the image that a run looked at is the one that has its entry id now.

QuPath never gives an id twice. But ids begin anew where a project is made again in its old folder, and mean other
images where a run folder is copied from another project or two projects share one: outlines of one slide would come to
lie on another.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from glomseg.errors import ProjectError, SlideError
from glomseg.qupath.annotations import AnnotatedImage
from glomseg.qupath.find_images import path_of_uri
from glomseg.qupath.image_of_data import refuse_other_image
from glomseg.qupath.project import Project, ProjectImage
from glomseg.runs.changes import runs_in
from glomseg.runs.image_record import ImageRecord
from glomseg.runs.lost_writes import missing_write
from glomseg.runs.run import Run, printable
from glomseg.slides.file_sample import file_sample

SCALE_TOLERANCE = 0.01
"""Pixel sizes that differ by less are of one scan, stated in two places."""


def another_image(record: ImageRecord, image: ProjectImage) -> str | None:
    """Say which other image a run looked at under the entry id of `image`; None where nothing tells them apart.

    An image of another size is another one. So is one whose file is that of another image of the project, and one of
    another name whose file has another name and length; a file that was renamed, or an image that was, is the same.
    """
    if record.size and image.size_px and record.size != image.size_px:
        return f"{record.name}, {record.size[0]} x {record.size[1]} px"
    if image.is_anothers(looked_at := Path(record.path or "")) and not _was_exchanged(record, image):
        return f"{record.name}, {looked_at}"
    inputs, file = record.inputs, file_name(image)
    if inputs is None or inputs.file is None or file is None or record.name == image.name or inputs.file == file:
        return None
    return None if _length(image.path) == inputs.bytes else f"{record.name}, {inputs.file}"


def _was_exchanged(record: ImageRecord, image: ProjectImage) -> bool:
    """Tell by the lengths of both files that the one that a run looked at lies elsewhere now, another in its place."""
    then = record.inputs.bytes if record.inputs else None
    return then is not None and _length(image.path) == then != _length(Path(record.path or ""))


def _length(path: Path | None) -> int | None:
    return path.stat().st_size if path is not None and path.is_file() else None


def refuse_data_of_another(image: ProjectImage, runs: Iterable[Run], runs_folder: Path) -> None:
    """Raise ProjectError where the data of an image were saved of another, or hold what a run found on another.

    The latter is so where two project files share one data folder, or a project was made again over the data of
    another. `runs` are those of the project as they were read, with what they found on other images.
    """
    records = {run.run_id: run.images.get(image.entry_id) for run in runs}
    for run_id in runs_in(runs_folder, image.entry_id, image.data_folder):
        record = records.get(run_id)
        if record is not None and (other := another_image(record, image)):
            raise ProjectError(
                f"its data holds what run {run_id} found on another image ({other}): two projects share the folder "
                f"{image.data_folder.parent}, or this one was made again over it. Give each project a folder of its "
                f"own, a copy with its data, and take that run back in this one: `glomseg undo PROJECT {run_id}`"
            )
    refuse_other_image(image)


def refuse_missing_data(image: ProjectImage, runs: Sequence[Run], runs_folder: Path) -> None:
    """Raise ProjectError where an image has no data though a run wrote into them.

    Taken for an image that nobody ever saved it would get new data without what people drew, over which or beside which
    a share puts the old ones later.
    """
    own, _ = without_strangers(runs, [image])
    if run_id := missing_write(own, runs_folder, image.entry_id, image.data_folder):
        raise ProjectError(
            f"its data in {image.data_folder} are missing, though run {run_id} wrote them; wait until the share has "
            f"them, or bring a backup back: `glomseg restore PROJECT {image.entry_id}` lists them. If they are lost, "
            "open the image in QuPath and save it"
        )


def say_other_projects(project: Project) -> list[str]:
    """Name the other project files of a folder, which share the data of its images, as a copy or a sync tool's does."""
    others = sorted(path.name for path in project.folder.glob("*.qpproj") if path != project.path)
    if not others:
        return []
    return [
        f"beside {project.path.name} lies {', '.join(others)}, over the same data: what is done in one is done in the "
        "other; where it is no leftover, give it a folder of its own, with a copy of the data"
    ]


def without_data_of_others(
    annotated: Iterable[AnnotatedImage], images: Iterable[ProjectImage], runs: Sequence[Run], runs_folder: Path
) -> tuple[AnnotatedImage, ...]:
    """Return what was read of `images`; data of another image, or a missing folder, are the problem of an image."""
    listed, read = {image.entry_id: image for image in images}, []
    for item in annotated:
        try:
            refuse_data_of_another(listed[item.entry_id], runs, runs_folder)
            refuse_missing_data(listed[item.entry_id], runs, runs_folder)
            read.append(item)
        except ProjectError as error:
            read.append(replace(item, objects=(), data_problem=item.data_problem or str(error)))
    return tuple(read)


def under_its_name(record: ImageRecord, image: ProjectImage) -> ImageRecord:
    """Return the record of an image with the name that it has now; what was found on another one keeps its own."""
    return record if another_image(record, image) else replace(record, name=image.name)


def other_file(record: ImageRecord, run_id: str, image: ProjectImage) -> str | None:
    """Say that the file of an image is another than a run looked at; None where nothing tells.

    A copy of a file has another time, so that the time tells nothing: what tells is its length and, where the time is
    another, what stands at some places of it.
    """
    then = record.inputs
    try:
        now = None if image.path is None else image.path.stat()
    except OSError:
        return None
    if then is None or then.bytes is None or now is None or image.path is None:
        return None
    if now.st_size != then.bytes:
        differs = f"{now.st_size:,} bytes, then {then.bytes:,}"
    elif now.st_mtime_ns != then.modified_ns and _has_other_content(image.path, record.file_sample):
        differs = "of the same length"
    else:
        return None
    return (
        f"its file is another than run {run_id} looked at ({differs}); where it is another scan, annotate it anew: "
        f"`glomseg annotate PROJECT --image {image.entry_id}`"
    )


def _has_other_content(path: Path, sample: str | None) -> bool:
    """Tell whether a file differs from the one of which a run took `sample`; False where none was, or it is gone."""
    try:
        return sample is not None and file_sample(path) != sample
    except SlideError:
        return False


def other_scale(record: ImageRecord, run_id: str, image: ProjectImage) -> str | None:
    """Say that an image has another pixel size now than a run read it with; None where it has not, or none is known."""
    if record.mpp is None or image.mpp is None or all(map(_is_alike, record.mpp, image.mpp)):
        return None
    return (
        f"run {run_id} read it with {record.mpp[0]:.4g} um per pixel, and the project says {image.mpp[0]:.4g} now; "
        f"where that is right, annotate it anew: `glomseg annotate PROJECT --image {image.entry_id}`"
    )


def _is_alike(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=SCALE_TOLERANCE)


def file_name(image: ProjectImage) -> str | None:
    """Return the name of an image's file, where it lies now or as the project says."""
    try:
        return printable(image.path.name if image.path is not None else path_of_uri(image.uri).name)
    except ValueError:
        return None


def without_strangers(runs: Sequence[Run], images: Iterable[ProjectImage]) -> tuple[list[Run], list[str]]:
    """Leave out of runs, which are not to be saved then, what they found on other images than those of their ids now.

    Also says of which image of which run that is so.
    """
    listed = {image.entry_id: image for image in images}
    left, remarks = [], []
    for run in runs:
        strange = {
            entry_id: other
            for entry_id, record in run.images.items()
            if entry_id in listed and (other := another_image(record, listed[entry_id]))
        }
        remarks += [
            f"{listed[entry_id].name}: run {run.run_id} looked at another image under its id ({other}); left out"
            for entry_id, other in strange.items()
        ]
        left.append(replace(run, images={key: item for key, item in run.images.items() if key not in strange}))
    return left, remarks
