"""Where a project's image lies now: the file that a URI names, or the place that it was moved to."""

from __future__ import annotations

import ntpath
import os
import posixpath
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from urllib.parse import unquote, urlsplit

_OWN_FOLDERS = frozenset({"data", "glomseg", "classifiers", "scripts", "tiles"})
_PROJECT_DEPTH = 4  # as deep as QuPath itself looks


@dataclass(frozen=True)
class Located:
    """A file that was found, or the places where it was looked for, and why no choice could be made.

    `ambiguous` are files of its name that are as likely, `of_another` one that is, or may be, that of another image.
    """

    path: Path | None
    tried: tuple[str, ...]
    ambiguous: tuple[Path, ...] = ()
    of_another: tuple[Path, PurePath] | None = None


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


def path_or_none(uri: str) -> PurePath | None:
    """Turn a file URI into a path as `path_of_uri` does; None where it names no file."""
    try:
        return path_of_uri(uri)
    except ValueError:
        return None


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
    """Finds the images of one project, whose URIs are `uris`; a folder is searched once, however many have moved.

    Two images may have files of one name, in two folders: neither is ever given that of the other.
    """

    folder: Path
    project_uri: str | None
    slides: Sequence[Path] = ()
    uris: Sequence[str] = ()
    _names: dict[Path, dict[str, list[Path]]] = field(default_factory=dict)

    def locate(self, uri: str) -> Located:
        """Look at the URI, relative to the project, then beside and in it and under each slides folder by name.

        Of several files of that name the one wins that shares most of the folders above it; a tie is not guessed, nor
        is a file taken that is that of another image, or fits another that moved as well as this one.
        Raises ValueError where the URI names no file.
        """
        image = path_of_uri(uri)
        if own := _existing(image):
            return Located(own, (str(image),))
        tried = [str(place) for place in self._places(image)]
        if (place := self._place(image)) and self._claims.get(_real(place), image) == image:
            return Located(place, tuple(tried))
        return self._guess(image, tried)

    def _places(self, image: PurePath) -> tuple[PurePath, ...]:
        """Return where an image lies by its URI, and by where it lay beside the project."""
        relative = relative_to_project(image, self.project_uri, self.folder)
        return (image,) if relative is None or relative == image else (image, relative)

    def _place(self, image: PurePath) -> Path | None:
        return next(filter(None, map(_existing, self._places(image))), None)

    @cached_property
    def _images(self) -> tuple[PurePath, ...]:
        return tuple({image: None for image in map(path_or_none, self.uris) if image is not None})

    @cached_property
    def _claims(self) -> dict[str, PurePath]:
        """Tell whose file each is that lies where an image of the project says; its own URI comes first."""
        own = {_real(path): image for image in self._images if (path := _existing(image))}
        return {_real(path): image for image in self._images if (path := self._place(image))} | own

    @cached_property
    def _moved(self) -> dict[str, list[PurePath]]:
        """List the images that are not where the project says, by the names of their files."""
        settled, moved = set(self._claims.values()), dict[str, list[PurePath]]()
        for image in self._images:
            if image not in settled:
                moved.setdefault(_normal(image.name), []).append(image)
        return moved

    def _guess(self, image: PurePath, tried: list[str]) -> Located:
        """Choose among the files of an image's name; those in and beside the project come before the slides."""
        beside = _existing(self.folder.parent / image.name)
        places = [[beside] if beside else []]
        tried.append(str(self.folder.parent / image.name))
        for folder in (self.folder, *self.slides):
            tried.append(f"{folder}{os.sep}**{os.sep}{image.name}")
            places.append(self._index(folder).get(_normal(image.name), []))
        places[:2] = [places[0] + places[1]]
        best = [_closest(files, image) for files in places if files]
        most = max((_shared_tail(files[0], image) for files in best), default=0)
        best = [files for files in best if _shared_tail(files[0], image) == most]
        of_another = None
        for file in (files[0] for files in best if len(files) == 1):
            owner = self._owner(file, image)
            if owner is None:
                return Located(file, tuple(tried))
            of_another = of_another or (file, owner)
        ambiguous = next((files for files in best if len(files) > 1), [])
        return Located(None, tuple(tried), tuple(ambiguous), of_another)

    def _owner(self, file: Path, image: PurePath) -> PurePath | None:
        """Name another image whose file this is, or one that moved, too, whom it fits as well; None where none is."""
        claimed = self._claims.get(_real(file))
        if claimed is not None:
            return claimed if claimed != image else None
        fits = _shared_tail(file, image)
        moved = self._moved.get(_normal(image.name), ())
        return next((one for one in moved if one != image and _shared_tail(file, one) >= fits), None)

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


def _real(path: Path) -> str:
    return os.path.realpath(path)


def _closest(candidates: Sequence[Path], image: PurePath) -> list[Path]:
    different = list({_real(path): path for path in candidates}.values())
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
