"""Which image a data file was saved of, which QuPath writes at its head and does not look at when it reads it.

Folders of data lie under ids alone: one that was exchanged with another, or copied over from a project that counts its
images otherwise, shows the outlines of one image on another.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from glomseg.errors import ProjectError
from glomseg.qupath.find_images import path_or_none
from glomseg.qupath.image_data import readable_data
from glomseg.qupath.image_servers import unwrapped
from glomseg.qupath.project import ProjectImage

_HEAD_BYTES = 1 << 20
_START = b'{"dataVersion"'


@dataclass(frozen=True, kw_only=True)
class SavedImage:
    """The image of which data were saved: its file as it was called then, and its size; None where that is not said."""

    path: PurePath | None
    size_px: tuple[int, int] | None


def image_of_data(data: Path | None) -> SavedImage | None:
    """Read of which image a data file was saved; None where it does not say. Raises ProjectError."""
    if data is None:
        return None
    try:
        with data.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise ProjectError(f"{data} cannot be read ({error.strerror}); check the folder's rights") from error
    text = head[head.find(_START) :].decode("utf-8", "replace") if _START in head else ""
    try:
        builder: dict[str, Any] = json.JSONDecoder().raw_decode(text)[0]["server"]
        inner = unwrapped(builder)
        seen: Any = builder.get("metadata") or inner.get("metadata") or {}
        size = (int(seen["width"]), int(seen["height"])) if "width" in seen and "height" in seen else None
        uri = inner.get("uri")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    path = path_or_none(uri) if isinstance(uri, str) else None
    return SavedImage(path=path, size_px=size)


def refuse_other_image(image: ProjectImage) -> None:
    """Raise ProjectError where the data of an image were saved of another one.

    That has another size, or is the file of another image of the project, or a file of another name and length that
    still lies where it lay, or beside this one: a file that was renamed does not, and one that was converted has
    another suffix only.
    """
    saved = image_of_data(readable_data(image.data_folder))
    if saved is None:
        return
    has_other_size = bool(saved.size_px and image.size_px and saved.size_px != image.size_px)
    if not has_other_size and not image.is_anothers(saved.path) and not _is_other_file(saved.path, image.path):
        return
    is_namesake = saved.path is not None and image.path is not None and saved.path.name == image.path.name
    name = "" if saved.path is None else str(saved.path) if is_namesake else saved.path.name
    size = "" if saved.size_px is None else f"{saved.size_px[0]} x {saved.size_px[1]} px"
    raise ProjectError(
        f"its data were saved of another image ({', '.join(filter(None, [name, size]))}), as where folders of data "
        f"were exchanged, or copied from another project; put its own {image.data_folder} back (`glomseg restore "
        f"PROJECT {image.entry_id}` lists backups), or look at its outlines in QuPath and save it there"
    )


def _is_other_file(saved: PurePath | None, path: Path | None) -> bool:
    if saved is None or path is None or saved.name.partition(".")[0] == path.name.partition(".")[0]:
        return False
    try:
        return any(
            place.is_file() and place.stat().st_size != path.stat().st_size
            for place in (Path(saved), path.with_name(saved.name))
        )
    except (OSError, ValueError):
        return False
