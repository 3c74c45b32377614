"""Whose each object of an image is, by all that is known of it: what stands in its data does not tell everything.

What a person measured on an outline of the machine's, and what they copied from another image, only shows against what
is remembered of the writes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from glomseg.errors import GlomsegError
from glomseg.qupath.annotations import AnnotatedImage, check_as_read
from glomseg.runs.brought import with_brought
from glomseg.runs.memory import read_memory
from glomseg.runs.ownership import RUN, Memory, deletions, owner, owners


def with_owners(image: AnnotatedImage, runs_folder: Path) -> AnnotatedImage:
    """Return an image of a project whose objects tell by themselves whose they are, as `owner` says it.

    Where what is remembered of the image is lost or cannot be read, or all outlines of a run are gone from it at once,
    that is in its remarks; one that was saved since it was read has that as its `data_problem`.
    """
    if image.data_problem is not None:
        return image
    data_folder, memory = runs_folder.parent / "data" / image.entry_id, None
    has_ours = any(RUN in item.metadata for item in image.objects)
    try:
        memory = read_memory(runs_folder, image.entry_id, data_folder)
    except GlomsegError as error:
        said = f"whose some of its outlines are is not known: {error}"
        image = replace(image, remarks=(*image.remarks, said)) if has_ours else image
    if has_ours and memory is not None and memory.lost is not None:
        said = f"outlines on which people measured, or that they copied there, count as the machine's ({memory.lost})"
        image = replace(image, remarks=(*image.remarks, said))
    try:
        check_as_read(image, data_folder)
    except GlomsegError as error:
        return replace(image, data_problem=str(error))
    if memory is None:
        return image
    return told_apart(with_gone_at_once(image, memory), memory, runs_folder)


def with_gone_at_once(image: AnnotatedImage, memory: Memory) -> AnnotatedImage:
    """Return an image whose remarks say which runs left outlines in its data of which none is there any more."""
    gone = Counter(item.metadata.get(RUN, "") for item in deletions(image.objects, memory).doubtful)
    said = [
        f"all {count} outlines of run {run} are gone from it at once, which is not taken for a review"
        for run, count in gone.items()
    ]
    return replace(image, remarks=(*image.remarks, *(said if memory.is_of_data else [])))


def told_apart(image: AnnotatedImage, memory: Memory, runs_folder: Path) -> AnnotatedImage:
    """Return an image whose objects tell by themselves whose they are, by what is remembered of it."""
    objects = with_brought(image.objects, memory, runs_folder, image.entry_id)
    whose = owners(objects, memory.predictions)
    told = (
        replace(item, is_measured=True) if owned == "person" and owner(item) == "machine" else item
        for item, owned in zip(objects, whose, strict=True)
    )
    return replace(image, objects=tuple(told))
