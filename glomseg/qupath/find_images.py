"""Where a project's image lies now: the file that a URI names, or the place that it was moved to."""

from __future__ import annotations

import ntpath
import os
import posixpath
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from urllib.parse import unquote, urlsplit

_OWN_FOLDERS = frozenset({"data", "glomseg", "classifiers", "scripts", "tiles"})
_PROJECT_DEPTH = 4  # as deep as QuPath itself looks


@dataclass(frozen=True)
class Located:
    """A file that was found, or the places where it was looked for, and why no choice could be made."""

    path: Path | None
    tried: tuple[str, ...]
    ambiguous: tuple[Path, ...] = ()


def path_of_uri(uri: str) -> PurePath:
    """Turn a file URI into a path of the system that wrote it; raises ValueError where it names no file.

    Java writes `file:/a`, others `file:///a`; a share is `file://server/share/a` or `file:////server/share/a`.
    """
    parts = urlsplit(uri)
    if parts.scheme.lower() != "file":
        raise ValueError(f"{uri} is no file")
    host = "" if parts.netloc.lower() == "localhost" else parts.netloc
    path = unquote(parts.path)
    if not host and path.startswith("//"):
        host, _, path = path.lstrip("/").partition("/")
        path = "/" + path
    if host:
        return PureWindowsPath(f"//{host}{path}")
    if re.match(r"/[A-Za-z]:/", path):
        return PureWindowsPath(path[1:])
    if "\0" in path or not path.startswith("/"):
        raise ValueError(f"{uri} is no absolute path")
    return PurePosixPath(path)


def relative_to_project(image: PurePath, project_uri: str | None, folder: Path) -> Path | None:
    """Carry over where an image lay beside its project when QuPath last saved it; None where that says nothing."""
    try:
        before = path_of_uri(project_uri or "").parent
    except ValueError:
        return None
    if type(before) is not type(image) or before.drive.lower() != image.drive.lower():
        return None
    flavour = ntpath if isinstance(image, PureWindowsPath) else posixpath
    steps = flavour.relpath(str(image), str(before)).split(flavour.sep)
    return Path(os.path.normpath(folder.joinpath(*steps)))


@dataclass
class Locator:
    """Finds the images of one project; a folder is searched once, however many images have moved."""

    folder: Path
    project_uri: str | None
    slides: Sequence[Path] = ()
    _names: dict[Path, dict[str, list[Path]]] = field(default_factory=dict)

    def locate(self, uri: str) -> Located:
        """Look at the URI, relative to the project, beside it, within it, then under each slides folder by name.

        Of several files of that name the one wins that shares most of the folders above it; a tie is not guessed.
        Raises ValueError where the URI names no file.
        """
        image = path_of_uri(uri)
        tried: list[str] = []
        for candidate in self._direct(image):
            tried.append(str(candidate))
            if found := _existing(candidate):
                return Located(found, tuple(tried))
        for folder in (self.folder, *self.slides):
            tried.append(f"{folder}{os.sep}**{os.sep}{image.name}")
            candidates = self._index(folder).get(_normal(image.name), [])
            best = _closest(candidates, image)
            if len(best) == 1:
                return Located(best[0], tuple(tried))
            if best:
                return Located(None, tuple(tried), tuple(best))
        return Located(None, tuple(tried))

    def _direct(self, image: PurePath) -> Iterator[PurePath]:
        yield image
        relative = relative_to_project(image, self.project_uri, self.folder)
        if relative is not None and relative != image:
            yield relative
        yield self.folder / image.name
        yield self.folder.parent / image.name

    def _index(self, folder: Path) -> dict[str, list[Path]]:
        if folder not in self._names:
            names: dict[str, list[Path]] = {}
            for path in _files(folder, own=folder == self.folder):
                names.setdefault(_normal(path.name), []).append(path)
            self._names[folder] = names
        return self._names[folder]


def _files(folder: Path, *, own: bool) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        depth = len(Path(root).relative_to(folder).parts)
        hidden = _OWN_FOLDERS if own and depth == 0 else frozenset[str]()
        folders[:] = sorted(name for name in folders if name not in hidden and not name.startswith("."))
        if own and depth + 1 >= _PROJECT_DEPTH:
            folders.clear()
        yield from (Path(root, name) for name in sorted(names))


def _existing(candidate: PurePath) -> Path | None:
    if isinstance(candidate, PureWindowsPath) and os.name != "nt":
        return None
    spellings = (str(candidate), *(unicodedata.normalize(form, str(candidate)) for form in ("NFC", "NFD")))
    for spelling in spellings:
        try:
            if (path := Path(spelling)).is_file():
                return path
        except OSError:  # a name too long for this system
            return None
    return None


def _closest(candidates: Sequence[Path], image: PurePath) -> list[Path]:
    different = list({os.path.realpath(path): path for path in candidates}.values())
    shared = [_shared_tail(path, image) for path in different]
    return [path for path, score in zip(different, shared, strict=True) if score == max(shared)]


def _shared_tail(path: Path, image: PurePath) -> int:
    pairs = zip(reversed(path.parts), reversed(image.parts), strict=False)
    same = 0
    for ours, theirs in pairs:
        if _normal(ours) != _normal(theirs):
            break
        same += 1
    return same


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)
