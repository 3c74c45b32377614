"""Label files of other tools that are not read, told by their endings and their content, and what to do about them."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

from glomseg.labelled.names import MASKS
from glomseg.slides.formats import FORMATS, UNREAD

_ARRAY = "write it as PNG or TIFF"
_OUTLINES = "export the outlines as GeoJSON, from QuPath for example, or paint them as a mask"
_ENDINGS = {
    **{ending: f"{kind.name}; {kind.remedy}" for kind in UNREAD for ending in kind.endings},
    ".npy": f"an array of numpy; {_ARRAY}",
    ".npz": f"an array of numpy; {_ARRAY}",
    ".pkl": f"an object of Python; {_ARRAY}",
    ".mat": f"an array of Matlab; {_ARRAY}",
    ".nii": f"NIfTI; {_ARRAY}",
    ".nii.gz": f"NIfTI; {_ARRAY}",
    ".nrrd": f"NRRD; {_ARRAY}",
    ".mha": f"MetaImage; {_ARRAY}",
    ".pgm": f"PGM; {_ARRAY}",
    ".tga": f"TGA; {_ARRAY}",
    ".exr": f"OpenEXR; {_ARRAY}",
    ".gif": "GIF; write it as PNG",
    ".xml": "outlines as XML; export them as GeoJSON, from QuPath for example",
    ".ndpa": f"outlines of NDP.view; {_OUTLINES}",
    ".svg": f"outlines as SVG; {_OUTLINES}",
    ".wkt": f"outlines as WKT; {_OUTLINES}",
    ".roi": f"an outline of ImageJ; {_OUTLINES}",
    ".zip": "an archive, as ImageJ keeps outlines in; open them in QuPath or ImageJ, and export GeoJSON or a mask",
    ".geojsonl": f"GeoJSON in lines; {_OUTLINES}",
    ".ndjson": f"GeoJSON in lines; {_OUTLINES}",
    ".qpdata": "data of a QuPath project; name its project.qpproj",
}
_JSON = (
    (re.compile(rb'"(segmentation|file_name|coco_url|iscrowd)"'), f"outlines as COCO; {_OUTLINES}"),
    (re.compile(rb'"(shapes|shape_type|imageData)"'), f"outlines of LabelMe; {_OUTLINES}"),
    (re.compile(rb'"(shape_attributes|region_attributes|_via_\w+)"'), f"outlines of VIA; {_OUTLINES}"),
)
_COORDINATES = 4  # at least, of a box or an outline
_WORDS = 3  # at most beside them: a class, how difficult it was
_HEAD = 65_536


def unread_label(path: Path) -> str | None:
    """Say what a file is that may hold labels and is not read, with the way to convert it; None for any other."""
    name = path.name.lower()
    by_ending = next((said for ending, said in _ENDINGS.items() if name.endswith(ending)), None)
    if by_ending is not None:
        return by_ending
    if name.endswith((".json", ".json.gz", ".geojson")):
        head = _head(path) or b""
        return next((said for mark, said in _JSON if b'"Feature' not in head and mark.search(head)), None)
    return _unread_text(_head(path)) if name.endswith(".txt") else None


def _unread_text(head: bytes | None) -> str | None:
    """Say what a text is whose first line is hardly more than numbers, or that cannot be read; None for any other."""
    if head is None:
        return "a text that cannot be read; check its rights"
    values = re.split(r"[\s,;]+", head.strip().split(b"\n")[0].decode("latin-1").strip())
    numbers = [number for value in values if (number := _number(value)) is not None]
    if len(numbers) < _COORDINATES or len(values) - len(numbers) > _WORDS:
        return None
    is_yolo = numbers[0].is_integer() and len(numbers) > _COORDINATES and all(0 <= at <= 1 for at in numbers[1:])
    return f"boxes or outlines as {'of YOLO' if is_yolo else 'text'}; {_OUTLINES}"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def other_picture(path: Path) -> str | None:
    """Say of what format a mask is that is read for pictures alone; None for what is no such picture."""
    name = path.name.lower()
    kind = next((kind for kind in FORMATS if name.endswith(kind.endings)), None)
    return None if kind is None or name.endswith(MASKS) else f"a mask as {kind.name}; {_ARRAY}"


def _head(path: Path) -> bytes | None:
    """Read the beginning of a file; None where that cannot be read."""
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opened(path, "rb") as file:
            return bytes(file.read(_HEAD))
    except (OSError, EOFError, zlib.error):
        return None
