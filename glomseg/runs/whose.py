"""Whose each object of an image is, by all that is known of it: what stands in its data does not tell everything.

What a person measured on an outline of the machine's, and what they copied from another image, only shows against what
is remembered of the writes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from glomseg.errors import GlomsegError
from glomseg.qupath.annotations import AnnotatedImage, check_as_read
from glomseg.runs.brought import with_brought
from glomseg.runs.memory import read_memory
from glomseg.runs.ownership import RUN, Memory, owner, owners


def with_owners(image: AnnotatedImage, runs_folder: Path) -> AnnotatedImage:
    """Return an image of a project whose objects tell by themselves whose they are, as `owner` says it.

    Where what is remembered of the image is lost or cannot be read, that is in its remarks; one that was saved since it
    was read has that as its `data_problem`.
    """
    if image.data_problem is not None:
        return image
    data_folder, memory = runs_folder.parent / "data" / image.entry_id, None
    if any(RUN in item.metadata for item in image.objects):
        try:
            memory = read_memory(runs_folder, image.entry_id, data_folder)
        except GlomsegError as error:
            said = f"whose some of its outlines are is not known: {error}"
            image = replace(image, remarks=(*image.remarks, said))
    if memory is not None and memory.lost is not None:
        said = f"outlines on which people measured, or that they copied there, count as the machine's ({memory.lost})"
        image = replace(image, remarks=(*image.remarks, said))
    try:
        check_as_read(image, data_folder)
    except GlomsegError as error:
        return replace(image, data_problem=str(error))
    return image if memory is None else told_apart(image, memory, runs_folder)


def told_apart(image: AnnotatedImage, memory: Memory, runs_folder: Path) -> AnnotatedImage:
    """Return an image whose objects tell by themselves whose they are, by what is remembered of it."""
    objects = with_brought(image.objects, memory, runs_folder, image.entry_id)
    whose = owners(objects, memory.predictions)
    told = (
        replace(item, is_measured=True) if owned == "person" and owner(item) == "machine" else item
        for item, owned in zip(objects, whose, strict=True)
    )
    return replace(image, objects=tuple(told))
