"""What a person set of an image in QuPath's tab Image and saved with it, which the project's file may not say yet.

Ctrl+S in QuPath, and "Run for project", write it into the image's data and into `server.json` beside them; the file of
the project gets it only when QuPath writes that, at closing the project. QuPath itself opens an image by the latter.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from glomseg.files import read_json, write_json
from glomseg.qupath.image_servers import pixel_size, unwrapped

SERVER = "server.json"
SETTINGS = ("pixelCalibration", "magnification", "channels")
"""What a person sets of an image in QuPath; where the image lies is no such thing."""


def take_saved(builder: dict[str, Any], project_path: Path, data_folder: Path) -> str | None:
    """Take what QuPath saved with an image, later than the project's file, over into what that says of the image.

    Returns what to say where the two differ in the pixel size: where the project's file was written since, as by a
    QuPath that had read it before, its own counts. A file that says nothing of the image contradicts nothing.
    """
    path = data_folder / SERVER
    try:
        is_later = path.stat().st_mtime_ns > project_path.stat().st_mtime_ns
        saved, said = _metadata(read_json(path)), _metadata(builder)
        later, before = (
            pixel_size(saved["pixelCalibration"])[0].mpp,
            pixel_size(said.get("pixelCalibration") or {})[0].mpp,
        )
    except (OSError, ValueError, AttributeError, KeyError, TypeError):  # QuPath itself does not read it either
        return None
    if not said and later is not None:  # an image that QuPath imported, of which it has not written more yet
        builder["metadata"] = saved
        return None
    if later is None or any(saved.get(side) != said.get(side) for side in ("width", "height")):
        return None
    if is_later:
        said.update({name: saved[name] for name in SETTINGS if name in saved})
    if later == before:
        return None
    used = f"{before[0]:g} x {before[1]:g}" if before else "none"
    size = f"{later[0]:g} x {later[1]:g}"
    if is_later:
        return (
            f"QuPath saved it with {size} um per pixel, which counts, and the project's file still says {used}: close "
            "the project in QuPath, which writes it there"
        )
    return (
        f"QuPath saved it with {size} um per pixel, and the project's file, which was written since, says {used}, "
        "which counts: set the right one in QuPath's tab Image, save, and close the project"
    )


def save_uri(data_folder: Path, uri: str) -> None:
    """Set where an image lies in what QuPath keeps beside its data; it stays as old as it is, and so counts no more."""
    path = data_folder / SERVER
    try:
        server, times = read_json(path), path.stat()
        unwrapped(server.get("builder", server))["uri"] = uri  # QuPath 0.5 puts the builder into "builder"
    except (OSError, ValueError, AttributeError):
        return
    write_json(path, server)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _metadata(builder: dict[str, Any]) -> dict[str, Any]:
    if "builderType" not in builder:  # QuPath 0.5 puts the builder into "builder"
        builder = builder.get("builder", builder)
    found: dict[str, Any] = builder.get("metadata") or unwrapped(builder).get("metadata") or {}
    return found
