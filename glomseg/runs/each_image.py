"""Bring what is to be written into a project's images, one after another; an error with one stops that one alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

from glomseg.errors import ConflictError, GlomsegError, ProjectError
from glomseg.qupath.objects import PathObject
from glomseg.qupath.project import ImageState, ProjectImage, image_state
from glomseg.runs.changes import runs_in
from glomseg.runs.image_record import ImageRecord, Outcome, Standing
from glomseg.runs.ownership import RUN, Memory
from glomseg.runs.run import Run, now
from glomseg.runs.same_image import another_image
from glomseg.runs.write_image import WrittenImage
from glomseg.unexpected import describe

OnConflict = Literal["stop", "skip", "merge"]
"""Where somebody else saves meanwhile: stop there, leave that image out, or read it as it is now and plan again."""

TRIES = 5
"""How often a merge reads an image again that others go on saving."""

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class WriteOptions:
    """How to write into a project; images that moved are looked for under `slides`.

    `forget_rejections` offers again what was deleted; `believe_deletions` takes it for a review where all outlines of a
    run are gone from an image at once.
    """

    slides: tuple[Path, ...] = ()
    forget_rejections: bool = False
    believe_deletions: bool = False
    on_conflict: OnConflict = "skip"


@contextmanager
def recording(run: Run, entry_id: str, outcome: Outcome, on_conflict: OnConflict) -> Iterator[None]:
    """Turn an error with one image into its record; a conflict is raised again where it is to stop.

    A fault that nobody thought of stops its image alone, too.
    """
    try:
        yield
    except Exception as error:
        conflict = isinstance(error, ConflictError)
        record = run.images.get(entry_id, ImageRecord())
        run.update(entry_id, replace(record, outcome=outcome, reason=reason_of(error), conflict=conflict))
        if conflict and on_conflict == "stop":
            raise


def reason_of(error: Exception) -> str:
    """Say why an image could not be written, in one line with what helps, whatever the error is."""
    return str(error) if isinstance(error, GlomsegError) else describe(error)


def merging(on_conflict: OnConflict, image: ProjectImage, state: ImageState, write: Callable[[ImageState], _T]) -> _T:
    """Call `write`; on a conflict that is to be merged, again with the state as it is now."""
    for _ in range(TRIES - 1):
        try:
            return write(state)
        except ConflictError:
            if on_conflict != "merge":
                raise
            state = image_state(image)
    return write(state)


def same_image(image: ProjectImage, run: Run) -> ProjectImage:
    """Return the image that a run looked at; raises ProjectError where its id is another image's now."""
    if other := another_image(run.images[image.entry_id], image):
        raise ProjectError(
            f"run {run.run_id} looked at another image under the id {image.entry_id} ({other}), so its outlines do not "
            f"belong on {image.name}; annotate that one anew: `glomseg annotate PROJECT --image {image.entry_id}`"
        )
    return image


def refuse_saved_over(image: ProjectImage, run: Run, *, stands: bool) -> None:
    """Raise ConflictError where somebody has saved over what was written: a run stands in the data, or not, after all.

    An image that is open in QuPath is saved as it was opened, whatever was written into its data since.
    """
    standing = run.images[image.entry_id].standing
    if standing is None or standing.data_sha256 == image_state(image).sha256:
        return
    if (run.run_id in runs_in(run.folder.parent, image.entry_id, image.data_folder)) != stands:
        raise ConflictError(
            f"{image.name} was saved by somebody else since it was written, from a QuPath where it was open before, so "
            "what was written is gone; close it there and run the same command again"
        )


def reachable(image: ProjectImage | None) -> tuple[ProjectImage, Path]:
    """Return an image and where it lies; raises ProjectError for one that is gone or cannot be used."""
    if image is None or image.path is None or image.problem:
        raise ProjectError(image.problem if image and image.problem else "no longer in the project")
    return image, image.path


def standing_after(written: WrittenImage) -> Standing:
    """Say whose annotations stand in an image after a write, and of which data that is true."""
    return Standing(
        at=now(),
        data_sha256=written.state_after.sha256,
        machine=written.machine,
        persons=sum(written.persons.values()),
        verdicts=dict(written.verdicts),
    )


def heed_loss(memory: Memory, image: ProjectImage, *, forget_rejections: bool) -> str | None:
    """Say what becomes of an image whose memory is gone, None where it is whole.

    Raises ProjectError where nothing tells any more what people deleted from it, unless that is to be forgotten: it
    would come back, and count, without anybody having asked for that.
    """
    if memory.recovered is not None:
        return f"what was remembered of it was read from the record of its last write ({memory.recovered})"
    if memory.lost is None:
        return None
    lost = f"what was remembered of it is lost ({memory.lost}), so outlines that people deleted before"
    if forget_rejections:
        return f"{lost} may be offered again, and those that are theirs for measurements alone be replaced"
    raise ProjectError(
        f"{lost} would be offered again, and nothing was written into it; where a share or a backup still has that "
        f"file, bring it back, else offer them again: `glomseg annotate PROJECT --image {image.entry_id} "
        "--forget-rejections`, with the settings of the run"
    )


def doubt(doubtful: Sequence[PathObject]) -> str:
    """Say which deletions are not believed, and the way out."""
    runs = sorted({item.metadata.get(RUN, "") for item in doubtful})
    return (
        f"all {len(doubtful)} outlines of run {', '.join(runs)} are gone from it at once, which is not taken for a "
        "review; where they were deleted on purpose, give `believe_deletions`"
    )
