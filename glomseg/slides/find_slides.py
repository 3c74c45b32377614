"""Which slides a folder or a list of files stands for: each slide once, and what was left out, by name and reason."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os.path import realpath
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from glomseg.errors import SlideError
from glomseg.listing import first_names
from glomseg.slides.dicom import dicom_header
from glomseg.slides.formats import Format, UnreadFormat, format_by_ending, format_of

_NAMED = 4  # names of what was left out that a line lists


@dataclass(frozen=True, kw_only=True)
class SlideFile:
    """A slide: the file to open, and the `parts` of the same slide that are files or folders of their own."""

    path: Path
    parts: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """What is not taken for a slide, and why, in words that fit behind its name."""

    path: Path
    reason: str


@dataclass(frozen=True, kw_only=True)
class FoundSlides:
    """The slides in the order of their names, and what was left out."""

    slides: tuple[SlideFile, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def paths(self) -> list[Path]:
        """The file of each slide."""
        return [slide.path for slide in self.slides]

    def remarks(self) -> list[str]:
        """Say in one line for each reason what was left out, and which slides are of several files."""
        reasons: dict[str, list[str]] = {}
        for item in self.left_out:
            reasons.setdefault(item.reason, []).append(item.path.name)
        said = [f"left out: {first_names(names, _NAMED)}: {reason}" for reason, names in reasons.items()]
        parted = [slide for slide in self.slides if len(slide.parts) > 0 and slide.parts[0].suffix == slide.path.suffix]
        return [*said, *(f"{item.path.name}: one slide in {len(item.parts) + 1} files" for item in parted)]


def find_slides(folder: Path, *, recursive: bool = False) -> FoundSlides:
    """List the slides of a folder, told by their content, so that no ending is needed.

    The files of one DICOM series, a .mrxs with its folder and a .vms with its pictures are one slide each. Hidden
    files are not looked at. A file with a slide's ending counts even where its content is wrong, so that opening it
    names the fault. Raises SlideError where the folder cannot be read or holds no slide.
    """
    try:
        found = _sorted_out(_inside(folder, recursive))
    except OSError as error:
        raise SlideError(f"{folder} cannot be read: {error.strerror}; check its rights") from error
    if not found.slides:
        said = "; ".join(found.remarks()) or "it is empty"
        raise SlideError(f"{folder} holds no image that can be read ({said})")
    return found


def slides_of(paths: Iterable[Path]) -> FoundSlides:
    """List the slides that files and folders stand for, each once, in the order given.

    A file that is named counts whatever it is; the second file of a DICOM series is left out with its reason.
    Raises SlideError as `find_slides`.
    """
    slides: dict[Path, SlideFile] = {}
    left_out: list[LeftOut] = []
    for path in paths:
        if path.is_dir() and format_of(path) is None:
            found = find_slides(path)
            slides.update((slide.path, slide) for slide in found.slides)
            left_out.extend(found.left_out)
        else:
            slides[path] = SlideFile(path=path)
    whole = {realpath(path): slide for path, slide in reversed(slides.items())}
    unique = {slide.path: slide for slide in list(whole.values())[::-1]}
    series = dicom_series(unique)
    for first, *others in series:
        parts = {*others, *(part for path in (first, *others) for part in unique[path].parts)} - {first}
        unique[first] = SlideFile(path=first, parts=tuple(sorted(parts)))
        for other in others:
            del unique[other]
    for copy, original in dicom_copies(series).items():
        left_out.append(_copy(copy, original))
        del unique[copy]
    return FoundSlides(slides=tuple(unique.values()), left_out=tuple(left_out))


def _inside(folder: Path, recursive: bool, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    above = (*above, folder.resolve())
    for item in sorted(folder.iterdir()):
        if item.name.startswith("."):
            continue
        yield item
        if recursive and item.is_dir() and item.resolve() not in above and format_of(item) is None:
            yield from _inside(item, recursive, above)


def _sorted_out(items: Iterable[Path]) -> FoundSlides:
    """Tell slides, their parts, and the rest."""
    images: list[Path] = []
    left_out: list[LeftOut] = []
    folders: list[Path] = []
    seen: dict[tuple[int, int], Path] = {}
    for item in sorted(items, key=Path.is_symlink):  # of a file and a link to it the link is left out
        if said := _no_file(item, seen):
            left_out.append(LeftOut(path=item, reason=said))
            continue
        kind = _format_or_none(item)
        if isinstance(kind, UnreadFormat):
            left_out.append(LeftOut(path=item, reason=f"{kind.name} is not read here; {kind.remedy}"))
        elif item.is_dir():
            folders.append(item)
        elif kind is None:
            left_out.append(LeftOut(path=item, reason="no image"))
        else:
            images.append(item)
    images.sort()
    parts = {path: companions(path) for path in images}
    series = dicom_series(images)
    for first, *others in series:
        parts[first] = tuple(others)
    copies = dicom_copies(series)
    left_out.extend(_copy(copy, original) for copy, original in copies.items())
    taken = {part for others in parts.values() for part in others} | copies.keys()
    left_out.extend(
        LeftOut(path=path, reason="a folder; name it as well to have what is in it")
        for path in folders
        if path not in taken and not any(path in item.parents for item in images)
    )
    slides = []
    for path in images:
        if path not in taken and (problem := _dicom_problem(path)):
            left_out.append(LeftOut(path=path, reason=problem))
        elif path not in taken:
            slides.append(SlideFile(path=path, parts=parts[path]))
    return FoundSlides(slides=tuple(slides), left_out=tuple(sorted(left_out, key=lambda item: item.path)))


def _copy(path: Path, original: Path) -> LeftOut:
    return LeftOut(path=path, reason=f"a copy of the slide of {original}")


def _format_or_none(path: Path) -> Format | UnreadFormat | None:
    """Tell the format; a file that cannot be read counts by its ending, so that opening it names the fault."""
    try:
        return format_of(path)
    except OSError:
        return format_by_ending(path)


def _no_file(path: Path, seen: dict[tuple[int, int], Path]) -> str | None:
    """Say why an item of a folder is no file of its own; None for one that is, and for folders."""
    try:
        stat = path.stat()
    except OSError as error:
        nowhere = error.errno == errno.ELOOP or (path.is_symlink() and format_by_ending(path) is None)
        return "a link that leads nowhere" if nowhere else None
    if S_ISDIR(stat.st_mode):
        return None
    if not S_ISREG(stat.st_mode):
        return "no file, but a pipe or a device"
    key = stat.st_dev, stat.st_ino
    first = seen.setdefault(key, path) if stat.st_ino else path
    return None if first == path else f"the same file as {first.name}"


def companions(path: Path) -> tuple[Path, ...]:
    """Name what belongs to a slide beside its main file: MIRAX' folder, the pictures that a .vms lists."""
    ending = path.suffix.lower()
    if ending == ".mrxs":
        return (path.with_suffix(""),)
    if ending in (".vms", ".vmu"):
        values = (line.partition("=")[2].strip() for line in path.read_text("latin-1").splitlines() if "=" in line)
        return tuple(file for value in values if value and (file := path.parent / value).is_file())
    return ()


def dicom_series(paths: Iterable[Path]) -> list[list[Path]]:
    """Group the files of each DICOM slide, its largest level first; OpenSlide opens all of them by any."""
    groups: dict[tuple[Path, str], list[tuple[bool, int, str, Path]]] = {}
    for path in paths:
        header = dicom_header(path)
        if header is not None and header.is_whole_slide:
            rank = (not header.is_level, -header.width * header.height, path.name, path)
            groups.setdefault((path.parent.resolve(), header.series_uid), []).append(rank)
    return [[rank[3] for rank in sorted(group)] for group in groups.values()]


def dicom_copies(series: Iterable[Sequence[Path]]) -> dict[Path, Path]:
    """Tell which of the DICOM slides of `dicom_series` lie in another folder again: copy to original, by first files.

    Files copied in part or under other names are copies too.
    """
    originals: dict[str, Path] = {}
    copies = {}
    for first, *_ in series:
        header = dicom_header(first)
        if header is not None and (original := originals.setdefault(header.series_uid, first)) != first:
            copies[first] = original
    return copies


def _dicom_problem(path: Path) -> str | None:
    header = dicom_header(path)
    if header is None or header.is_level:
        return None
    kind = f"the {' '.join(header.image_type).lower()} of a slide" if header.is_whole_slide else "no whole slide"
    return f"DICOM, but {kind}"
