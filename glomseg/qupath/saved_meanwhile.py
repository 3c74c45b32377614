"""Keep what another program saved into `project.qpproj` while QuPath ran a script on the project.

QuPath writes that file as a whole at the script's end, as it read it at the start. What it replaced lies beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from glomseg.files import from_json
from glomseg.qupath.safe_write import amend_json
from glomseg.qupath.saved_settings import SETTINGS

_METADATA, _ID = "metadata", "entryID"


@contextmanager
def keeping_others(project_path: Path, kept: list[str]) -> Iterator[None]:
    """Put back after the block what another program saved within it, where the block left that as it was.

    `kept` gets the names of the images of which something was put back.
    """
    backup = project_path.with_name(project_path.name + ".backup")
    before, older = _read(project_path), _read(backup)
    yield
    replaced = _read(backup)
    if before is None or replaced is None or replaced in (before, older):
        return
    try:
        start, theirs = _images(from_json(before)), _images(from_json(replaced))
    except ValueError:
        return

    def amend(content: dict[str, Any]) -> bool:
        now = _images(content)
        new = [image for key, image in theirs.items() if key not in now and key not in start]
        changed = [
            image
            for key, image in theirs.items()
            if key in now and key in start and _take_over(now[key], start[key], image)
        ]
        if new:
            content["images"] = [*content.get("images", []), *new]
            content["lastID"] = max(content.get("lastID", 0), *(image[_ID] for image in new))
        kept[:] = [str(image.get("imageName")) for image in [*new, *changed]]
        return bool(kept)

    amend_json(project_path, amend)


def _take_over(now: dict[str, Any], start: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Change in an image what is as at the start and other than theirs."""
    changed = [_take(now, start, theirs, name) for name in ("imageName", "description", "tags")]
    ours, old, other = (_table(image, _METADATA) for image in (now, start, theirs))
    changed += [_take(ours, old, other, name) for name in {*old, *other}]
    if ours:
        now[_METADATA] = ours
    ours, old, other = (_table(_table(image, "serverBuilder"), _METADATA) for image in (now, start, theirs))
    changed += [_take(ours, old, other, name) for name in SETTINGS if ours]
    return any(changed)


def _table(holder: dict[str, Any], name: str) -> dict[str, Any]:
    value = holder.get(name)
    return value if isinstance(value, dict) else {}


def _take(now: dict[str, Any], start: dict[str, Any], theirs: dict[str, Any], name: str) -> bool:
    if now.get(name) != start.get(name) or theirs.get(name) == start.get(name):
        return False
    if name in theirs:
        now[name] = theirs[name]
    else:
        now.pop(name, None)
    return True


def _images(content: Any) -> dict[Any, dict[str, Any]]:
    listed = content.get("images") if isinstance(content, dict) else None
    images = listed if isinstance(listed, list) else []
    return {image[_ID]: image for image in images if isinstance(image, dict) and isinstance(image.get(_ID), int)}


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
