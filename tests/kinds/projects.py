"""Every way in which a QuPath project says what its images are, each with what must come of it.

A project of one image, 512 x 512 px at 1 um per pixel, with four discs. A case changes its files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.real_data import TINY

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ProjectCase:
    """A project: how it differs from the usual one, and what must come of it.

    `change` alters the content of project.qpproj, `encode` makes its bytes, `files` are written beside it. `problem`
    says why the image is not annotated (`shows_when_opened` where only its file tells that), `says` what `annotate`
    says while it is; `refusal` why the project is not read. `annotations` is what `status` counts without
    QuPath, None where that is not known.
    """

    name: str
    change: Callable[[Json], object] = lambda content: None
    encode: Callable[[str], bytes] = str.encode
    files: dict[str, bytes] = field(default_factory=dict)
    problem: str = ""
    says: str = ""
    refusal: str = ""
    shows_when_opened: bool = False
    annotations: dict[str, int] | None = field(default_factory=dict)


def usual(slide: Path) -> Json:
    """Write a project as QuPath 0.6 does."""
    side = {"value": 1.0, "unit": "µm"}
    metadata = {
        "name": "a", "width": 512, "height": 512, "isRGB": True, "sizeZ": 1, "sizeT": 1,
        "pixelCalibration": {"pixelWidth": side, "pixelHeight": side},
    }  # fmt: skip
    builder = {"builderType": "uri", "providerClassName": "q", "uri": slide.as_uri(), "args": [], "metadata": metadata}
    image = {"serverBuilder": builder, "entryID": 1, "imageName": "a", "metadata": {}, "randomizedName": "x"}
    return {"version": "0.6.0", "createTimestamp": 1, "uri": "file:/old/p.qpproj", "lastID": 1, "images": [image]}


def _image(content: Json) -> Json:
    return content["images"][0]


def _builder(**changes: object) -> Callable[[Json], object]:
    return lambda content: _image(content)["serverBuilder"].update(changes)


def _seen(**changes: object) -> Callable[[Json], object]:
    return lambda content: _image(content)["serverBuilder"]["metadata"].update(changes)


def _entry(**changes: object) -> Callable[[Json], object]:
    return lambda content: _image(content).update(changes)


def _without(*names: str) -> Callable[[Json], object]:
    return lambda content: [content.pop(name) for name in names]


def _wrap(kind: str) -> Callable[[Json], object]:
    def wrap(content: Json) -> None:
        inner = _image(content)["serverBuilder"]
        _image(content)["serverBuilder"] = {"builderType": kind, "builder": inner, "metadata": inner["metadata"]}

    return wrap


def _size(value: object, unit: object = "µm") -> Callable[[Json], object]:
    side = {"value": value, "unit": unit}
    return _seen(pixelCalibration={"pixelWidth": side, "pixelHeight": side})


_CLASSES = "classifiers/classes.json"
_SAVED = (TINY / "qupath/project_0_6_0/data/2/data.qpdata").read_bytes()
SAVED = _SAVED.replace(b'"width":2048,"height":1024', b'"width": 512,"height": 512')  # as of the image that has it here
"""What QuPath saved of an image."""
SAVED_NS = 1_700_000_000_123_000_000
_SUMMARY, _SERVER, _DATA = "data/1/summary.json", "data/1/server.json", {"data/1/data.qpdata": SAVED}
_COUNTED = {
    "hierarchy": {"nObjects": 2, "annotationClassificationCounts": {"Glomerulus": 2}},
    "timestamp": SAVED_NS // 1_000_000,
}
_IGNORE = "without QuPath the areas to ignore"

PROJECTS = (
    # versions
    ProjectCase(name="QuPath 0.6"),
    ProjectCase(name="QuPath 0.2", change=lambda content: content.update(version="0.2.0")),
    ProjectCase(name="no version", change=_without("version")),
    ProjectCase(name="a version to come", change=lambda content: content.update(version="0.9.0-SNAPSHOT", more={})),
    ProjectCase(name="QuPath 0.1", change=lambda content: content.update(version="0.1.2"), refusal="by QuPath 0.1.2"),
    ProjectCase(name="a byte order mark", encode=lambda text: b"\xef\xbb\xbf" + text.encode()),
    # the entry of an image
    ProjectCase(name="an id as text", change=_entry(entryID="1")),
    ProjectCase(name="no name", change=lambda content: _image(content).pop("imageName")),
    ProjectCase(name="metadata of null", change=_entry(metadata=None)),
    ProjectCase(name="an id that leads elsewhere", change=_entry(entryID="../1"), problem="cannot be read (entry id"),
    ProjectCase(name="no id", change=lambda content: _image(content).pop("entryID"), problem="lacks 'entryID'"),
    ProjectCase(
        name="two of one id",
        change=lambda content: content["images"].append(_image(content)),
        refusal="two images with the entry id 1",
    ),
    ProjectCase(name="a pyramid made on the fly", change=_wrap("pyramidize")),
    ProjectCase(name="rotated", change=_wrap("rotated"), problem="is rotated in QuPath"),
    ProjectCase(name="cropped", change=_wrap("cropped"), problem="is cropped in QuPath"),
    ProjectCase(name="an unknown kind", change=_wrap("mirrored"), problem="of the unknown kind 'mirrored'"),
    ProjectCase(name="a web address", change=_builder(uri="https://a.b/c.svs"), problem="is no file"),
    ProjectCase(name="a file that is gone", change=_builder(uri="file:/gone/b.svs"), problem="was not found"),
    ProjectCase(name="an argument that changes", change=_builder(args=["--series", "2"]), problem="'--series 2'"),
    ProjectCase(name="arguments of QuPath's own", change=_builder(args=["--classname", "x", "--series", "0"])),
    ProjectCase(name="a stack", change=_seen(sizeZ=9), problem="9 focus planes"),
    ProjectCase(name="fluorescence", change=_seen(isRGB=False), problem="not an RGB brightfield image"),
    ProjectCase(name="another size", change=_seen(width=600), problem="600 x 512", shows_when_opened=True),
    # its pixel size
    ProjectCase(name="a comma", change=_size("1,0")),
    ProjectCase(name="nanometres", change=_size(1000, "nm")),
    ProjectCase(name="a foreign unit", change=_size(1, "furlong"), problem="in 'furlong'"),
    ProjectCase(name="a print resolution", change=_size(352.8), says="352.8 um per pixel"),
    ProjectCase(name="an objective that fits", change=_seen(magnification=10.0)),
    ProjectCase(
        name="an objective of another size", change=_seen(magnification=40.0), says="an objective of 40x, which"
    ),
    ProjectCase(name="no size in the project", change=_seen(pixelCalibration={})),
    ProjectCase(name="a size that is no number", change=_size("NaN")),
    # the files beside
    ProjectCase(name="classes as text", files={_CLASSES: b'{"pathClasses": ["Tumor", null, {"color": 1}]}'}),
    ProjectCase(
        name="classes damaged",
        files={_CLASSES: b'{"pathClasses": ['},
        refusal="classes.json is damaged (it ends too early); put it",
    ),
    ProjectCase(name="classes without end", files={_CLASSES: b"[" * 99_999}, refusal="classes.json is damaged"),
    ProjectCase(name="server.json damaged", files={_SERVER: b"{"}),
    ProjectCase(
        name="a summary", files={**_DATA, _SUMMARY: json.dumps(_COUNTED).encode()}, annotations={"Glomerulus": 2}
    ),
    ProjectCase(name="a summary damaged", files={_SUMMARY: b"{", **_DATA}, says=_IGNORE, annotations=None),
    ProjectCase(name="a summary without end", files={_SUMMARY: b"[" * 99_999, **_DATA}, says=_IGNORE, annotations=None),
    ProjectCase(name="a summary of nothing", files={_SUMMARY: b"[3]", **_DATA}, says=_IGNORE, annotations=None),
    # no project
    ProjectCase(name="cut off", encode=lambda text: text[:-9].encode(), refusal="is damaged"),
    ProjectCase(name="a list", encode=lambda text: b"[]", refusal="is no QuPath project"),
    ProjectCase(name="lists without end", encode=lambda text: b"[" * 99_999, refusal="is damaged"),
    ProjectCase(name="other JSON", encode=lambda text: b'{"images": []}', refusal="is no QuPath project"),
)


def write_project(folder: Path, case: ProjectCase, slide: Path) -> Path:
    """Write the project of a case."""
    content = usual(slide)
    case.change(content)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "project.qpproj").write_bytes(case.encode(json.dumps(content)))
    for name, data in case.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        os.utime(folder / name, ns=(SAVED_NS, SAVED_NS))
    return folder / "project.qpproj"
