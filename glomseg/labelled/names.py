"""How images and their labels are named: the endings that tools give to masks, and an image's name without them."""

from __future__ import annotations

import re
from pathlib import Path

from glomseg.slides.formats import ENDINGS

GEOJSON = (".geojson", ".json", ".geojson.gz", ".json.gz")
MASKS = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp")
_SUFFIXES = sorted((*GEOJSON, *ENDINGS, *MASKS), key=len, reverse=True)
_LABEL_WORDS = (
    r"(cp[ _-]?masks?|masks?|label[ _-]?(maps?|images?|masks?)?|labels|label+ed|gt|ground[ _-]?truth|truth|"
    r"seg(s|mented|mentations?)?|instances?|annot(ated|ations?)?|binary)([ _-]?v\d+)?"
)
_LABEL_ENDING = re.compile(rf"[ _.-]+{_LABEL_WORDS}$", re.IGNORECASE)
_ENDING = re.compile(rf"([ _.-]+({_LABEL_WORDS}|img|image|wsi|pred(icted|ictions?)?)|\.ome)$", re.IGNORECASE)


def stem_of(path: Path) -> str:
    """Name an image by its file: without the endings that say mask, label or prediction."""
    name = path.name
    for suffix in _SUFFIXES:
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    while (shorter := _ENDING.sub("", name)) and shorter != name:
        name = shorter
    return name


def has_label_name(path: Path) -> bool:
    """Tell whether a file's name ends in a word for a mask."""
    return _LABEL_ENDING.search(path.stem.removesuffix(".ome")) is not None
