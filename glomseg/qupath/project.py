"""Read a QuPath project from its own JSON files, without a JVM.

`project.qpproj` is what counts: QuPath builds an image from it when it opens one, pixel size included, and writes
`data/<id>/server.json` only to rebuild a lost project (DefaultProject.java: "it isn't used"). A pixel size that the
user sets goes into the latter at the next save, into the former when QuPath closes the project: the later one counts.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from glomseg.errors import ProjectError, in_words
from glomseg.files import from_json, read_json
from glomseg.qupath.class_list import ProjectClass, read_classes
from glomseg.qupath.find_images import Located, Locator, path_or_none
from glomseg.qupath.image_servers import (
    builder_problem,
    icc_remark,
    picture_problem,
    pixel_size,
    unwrapped,
)
from glomseg.qupath.saved_settings import take_saved
from glomseg.slides.pixel_size import StatedMpp, fits_objective, parse_number

_LATEST_MS = 253_402_300_800_000  # the year 10000
_SAME_TIME_MS, _SAME_SECOND_MS = 20, 2000  # some disks keep a hundredth of a second, archives whole ones


@dataclass(frozen=True, kw_only=True)
class ProjectImage:
    """One image of a project; sizes are level-0 pixels, None where the project does not say.

    `path` is where the file lies now, `tried` where it was looked for. `problem` says in one line why the image
    cannot be annotated, and what helps; `remarks` what the project says of it that is odd or not to be believed.
    `whose` gives the ids of the project's images whose file lies, or lay, at a place.
    """

    entry_id: str
    name: str
    uri: str
    path: Path | None
    tried: tuple[str, ...]
    width: int | None
    height: int | None
    mpp_x: float | None
    mpp_y: float | None
    metadata: Mapping[str, str]
    problem: str | None
    data_folder: Path
    remarks: tuple[str, ...] = ()
    whose: Mapping[PurePath, Sequence[str]] = field(default_factory=dict, compare=False, repr=False)

    def is_anothers(self, file: PurePath | None) -> bool:
        """Tell whether a file is that of another image of the project and not of this one: names may be the same."""
        ids = () if file is None or file == self.path else self.whose.get(file, ())
        return bool(ids) and self.entry_id not in ids

    @property
    def size_px(self) -> tuple[int, int] | None:
        """Return (width, height), None where the project does not say."""
        return (self.width, self.height) if self.width and self.height else None

    @property
    def mpp(self) -> tuple[float, float] | None:
        """Return the um per pixel along x and y, None where the project does not say."""
        return (self.mpp_x, self.mpp_y) if self.mpp_x and self.mpp_y else None

    @property
    def readable_path(self) -> Path:
        """Return where the file lies; raises ProjectError where the image cannot be used, or was not found."""
        return usable_path(self.path, self.problem)


@dataclass(frozen=True, kw_only=True)
class Project:
    """What a `project.qpproj` says."""

    path: Path
    folder: Path
    version: str | None
    images: tuple[ProjectImage, ...]
    classes: tuple[ProjectClass, ...]

    def require_images(self) -> None:
        """Raise ProjectError where there is none: nothing done to nothing looks like work that was done."""
        if not self.images:
            raise ProjectError(f"{self.path} has no images; add some to it in QuPath")


@dataclass(frozen=True, kw_only=True)
class ImageState:
    """What stands on disk for one image; two states are equal where `data.qpdata` has the same bytes.

    QuPath's summary gives `saved_ms`, `object_count` and `annotation_counts`: None and none where it is of other data.
    """

    sha256: str | None
    size: int = field(default=0, compare=False)
    modified_ns: int | None = field(default=None, compare=False)
    saved_ms: int | None = field(default=None, compare=False)
    object_count: int | None = field(default=None, compare=False)
    annotation_counts: Mapping[str, int] = field(default_factory=dict, compare=False)


def read_project(path: Path, *, slides: Sequence[Path] = ()) -> Project:
    """Read a project from its folder or its `.qpproj` file; images that moved are looked for under `slides` too.

    Raises ProjectError where there is no project, or one that cannot be read. What is wrong with a single image
    stands in its `problem`.
    """
    path = project_file(path)
    content = load_json(path)
    version = content.get("version")
    content.setdefault("images", [])
    if not isinstance(content["images"], list) or not ({"version", "lastID"} & content.keys()):
        raise ProjectError(f"{path} is no QuPath project; choose the project.qpproj that QuPath wrote")
    if _too_old(version):
        raise ProjectError(f"{path} was written by QuPath {version}; open and save it in QuPath 0.5 or newer")
    for folder in slides:
        if not folder.is_dir():
            raise ProjectError(f"{folder} is no folder; name the folder that holds the slides")
    uri = content.get("uri")
    locator = Locator(
        path.parent,
        uri if isinstance(uri, str) else None,
        [folder.absolute() for folder in slides],
        [_uri(_table(entry)) for entry in content["images"]],
    )
    images = [_image_or_problem(entry, path, number, locator) for number, entry in enumerate(content["images"], 1)]
    _check_ids(path, images)
    whose = _whose(images)
    return Project(
        path=path,
        folder=path.parent,
        version=version if isinstance(version, str) else None,
        images=tuple(replace(image, whose=whose) for image in images),
        classes=tuple(read_classes(path.parent)),
    )


def project_file(path: Path) -> Path:
    """Return the absolute `.qpproj` file of a project that is named by its folder or its file; raises ProjectError."""
    path = path.absolute()
    if path.is_dir():
        found = sorted(path.glob("*.qpproj"))
        if len(found) != 1 and path / "project.qpproj" not in found:
            raise ProjectError(f"{path} holds {len(found)} .qpproj files; name the project.qpproj to use")
        return found[0] if len(found) == 1 else path / "project.qpproj"
    if not path.exists():
        raise ProjectError(f"{path} does not exist; name a project.qpproj or its folder")
    if path.suffix != ".qpproj":
        raise ProjectError(f"{path} is no QuPath project; name a project.qpproj or its folder")
    return path


def usable_path(path: Path | None, problem: str | None) -> Path:
    """Return the path of an image without a problem; raises ProjectError for another."""
    if path is None or problem:
        raise ProjectError(problem or "the image was not found; name its folder with `slides`")
    return path


def image_state(image: ProjectImage) -> ImageState:
    """Say what stands on disk for `image` now, without a JVM; an image that QuPath never saved has no sha256."""
    return folder_state(image.data_folder)


def folder_state(data_folder: Path) -> ImageState:
    """Say what stands in the data folder of an image; raises ProjectError where it cannot be read."""
    data = data_folder / "data.qpdata"
    try:
        with data.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size, modified_ns = data.stat().st_size, data.stat().st_mtime_ns
        summary = _summary(data_folder / "summary.json", modified_ns)
    except FileNotFoundError:
        return ImageState(sha256=None)
    except OSError as error:
        raise ProjectError(f"{data} cannot be read ({error.strerror}); check the folder's rights") from error
    hierarchy = _table(summary.get("hierarchy"))
    counts = _table(hierarchy.get("annotationClassificationCounts"))
    saved_ms, object_count = summary.get("timestamp"), hierarchy.get("nObjects")
    return ImageState(
        sha256=sha256,
        size=size,
        modified_ns=modified_ns,
        saved_ms=saved_ms if type(saved_ms) is int and 0 <= saved_ms < _LATEST_MS else None,
        object_count=object_count if type(object_count) is int else None,
        annotation_counts={name: count for name, count in counts.items() if type(count) is int},
    )


def load_json(path: Path) -> dict[str, Any]:
    """Load the JSON object of a project file; raises ProjectError."""
    try:
        content = read_json(path)
    except OSError as error:
        raise ProjectError(f"{path} cannot be read ({error.strerror}); check the file") from error
    except ValueError as error:
        backup = Path(f"{path}.backup")
        remedy = f"restore it from {backup.name}" if backup.exists() else "restore it from a backup"
        raise ProjectError(f"{path} is damaged ({in_words(error)}); {remedy}") from error
    if not isinstance(content, dict):
        raise ProjectError(f"{path} is no QuPath project; choose the project.qpproj that QuPath wrote")
    return content


def _too_old(version: object) -> bool:
    if not isinstance(version, str):
        return False
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    if numbers is None:
        return False
    return (int(numbers[1]), int(numbers[2])) < (0, 2) or version in ("v0.2.0-m1", "v0.2.0-m2")


def _image_or_problem(entry: Any, project_path: Path, number: int, locator: Locator) -> ProjectImage:
    """Read one image; one that cannot be read has a problem, and an id of its own where QuPath's is none."""
    try:
        return _image(entry, project_path, locator)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        said = _table(entry)
        entry_id = str(said.get("entryID"))
        entry_id = entry_id if _is_entry_id(said.get("entryID")) else f"unreadable-{number}"
        reason = in_words(error)
        return ProjectImage(
            entry_id=entry_id,
            name=str(said.get("imageName") or f"image {number}"),
            uri="",
            path=None,
            tried=(),
            width=None,
            height=None,
            mpp_x=None,
            mpp_y=None,
            metadata={},
            problem=f"its entry in {project_path.name} cannot be read ({reason}); add the image again in QuPath",
            data_folder=project_path.parent / "data" / entry_id,
        )


def _is_entry_id(value: object) -> bool:
    return type(value) in (int, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,100}", str(value)) is not None


def _image(entry: Mapping[str, Any], project_path: Path, locator: Locator) -> ProjectImage:
    entry_id = entry["entryID"]
    if not _is_entry_id(entry_id):
        raise ValueError(f"entry id {entry_id!r}")
    builder = _table(entry.get("serverBuilder"))
    inner, uri = unwrapped(builder), _uri(entry)
    data_folder = project_path.parent / "data" / str(entry_id)
    newer = take_saved(builder, project_path, data_folder)
    seen = _table(builder.get("metadata") or inner.get("metadata"))
    stated, unit_problem = pixel_size(_table(seen.get("pixelCalibration")))
    stated = fits_objective(stated, parse_number(seen.get("magnification")))
    mpp = stated.mpp or (None, None)
    located = _locate(locator, uri)
    problem = builder_problem(inner) or picture_problem(seen) or _place_problem(located) or unit_problem
    return ProjectImage(
        entry_id=str(entry_id),
        name=str(entry.get("imageName") or f"Image {entry_id}"),
        uri=uri,
        path=located.path,
        tried=located.tried,
        width=_size(seen.get("width")),
        height=_size(seen.get("height")),
        mpp_x=mpp[0],
        mpp_y=mpp[1],
        metadata={str(key): str(value) for key, value in _table(entry.get("metadata")).items()},
        problem=problem,
        data_folder=data_folder,
        remarks=(*_said_of_size(stated), *((newer,) if newer else ()), *icc_remark(inner)),
    )


def _uri(entry: Mapping[str, Any]) -> str:
    return str(unwrapped(_table(entry.get("serverBuilder"))).get("uri") or "")


def _said_of_size(stated: StatedMpp) -> tuple[str, ...]:
    if stated.remark is None:
        return ()
    return (f"the project {stated.remark}" + ("" if stated.mpp else "; what the file itself says is used"),)


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _locate(locator: Locator, uri: str) -> Located:
    try:
        return locator.locate(uri)
    except ValueError:
        return Located(None, (uri,) if uri else ())


def _place_problem(located: Located) -> str | None:
    if located.ambiguous:
        both = " and ".join(str(path) for path in located.ambiguous[:3])
        return f"several files have its name: {both}; name the one folder that holds it with `slides`"
    if located.of_another:
        file, owner = located.of_another
        return (
            f"the file was not found, and {file}, of its name, may be that of another image of the project ({owner}); "
            "put the slides into folders of the names that they had, name the one above them with `slides`, or open "
            "the project in QuPath, which asks where each lies"
        )
    if located.path is None:
        return f"the file was not found (tried {', '.join(located.tried)}); name its folder with `slides`"
    return None


def _whose(images: Iterable[ProjectImage]) -> dict[PurePath, list[str]]:
    """Tell whose file lies at a place, or does so as the project says: slides may have been moved."""
    whose: dict[PurePath, list[str]] = {}
    for image in images:
        for place in filter(None, {image.path, path_or_none(image.uri)}):
            whose.setdefault(place, []).append(image.entry_id)
    return whose


def _size(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and 0 < value < math.inf else None


def _check_ids(path: Path, images: Sequence[ProjectImage]) -> None:
    seen: set[str] = set()
    for image in images:
        if image.entry_id.lower() in seen:
            raise ProjectError(f"{path} has two images with the entry id {image.entry_id}; open it in QuPath")
        seen.add(image.entry_id.lower())


def _summary(path: Path, data_ns: int) -> dict[str, Any]:
    """Read QuPath's summary of data that were last changed at `data_ns`; that of other data counts as none.

    It names the time of their file. A copy of a project has other times, and nothing tells there what it is of.
    """
    try:
        content = _table(from_json(path.read_bytes()))
    except (OSError, ValueError):
        return {}
    saved_ms, within_ms = content.get("timestamp"), _SAME_TIME_MS if data_ns % 1_000_000_000 else _SAME_SECOND_MS
    return content if type(saved_ms) is int and abs(saved_ms - data_ns / 1e6) <= within_ms else {}
