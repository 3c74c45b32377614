"""How images and their labels are named: the endings that tools give to masks, and an image's name without them."""

from __future__ import annotations

import re
from pathlib import Path, PurePath

from glomseg.slides.formats import ENDINGS

GEOJSON = (".geojson", ".json", ".geojson.gz", ".json.gz")
MASKS = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp")
_SUFFIXES = sorted((*GEOJSON, *ENDINGS, *MASKS), key=len, reverse=True)
_LATER = r"([ _-]?(v\d+|final))?"
_LABEL_WORDS = (
    r"(((glom|glomeruli|glomerulus|cp|seg|segmentation|instance|inst|binary|label)[ _-]?)?masks?([ _-]?\d+)?|"
    r"label[ _-]?(maps?|images?)?|labels|label+ed|gt|ground[ _-]?truth|truth|seg(s|mented|mentations?)?|"
    rf"instances?|annot(ated|ations?)?|binary){_LATER}"
)
_LABEL = rf"([ _.-]+{_LABEL_WORDS}|[ _.-]*(\({_LABEL_WORDS}\)|\[{_LABEL_WORDS}\]))"
_EITHER = rf"[ _.-]+(inst|manual|roi|glom|glomeruli|stardist){_LATER}"
_LABEL_ENDING = re.compile(rf"{_LABEL}$", re.IGNORECASE)
_EITHER_ENDING = re.compile(rf"{_EITHER}$", re.IGNORECASE)
_ENDING = re.compile(rf"({_LABEL}|{_EITHER}|[ _.-]+(img|image|wsi|pred(icted|ictions?)?)|\.ome)$", re.IGNORECASE)
_LABEL_BEGINNING = re.compile(
    r"^(masks?|label(led|s)?|gt|ground[ _-]?truth|segmentations?|annotations?)([ _-]+(?=[^\s_-])|(?=\d))", re.IGNORECASE
)
_PICTURE_BEGINNING = re.compile(r"^(img|image|im)[ _-]*(?=\d)", re.IGNORECASE)


def stem_of(path: PurePath) -> str:
    """Name an image by its file: without what says mask, label or prediction, `a_mask.png` and `mask_a.png` alike.

    `image_7.png` is named 7, as `mask_7.png` is. The names of QuPath's tiles begin as their image does.
    """
    name = _without_suffix(path)
    while (shorter := _ENDING.sub("", name)) and shorter != name:
        name = shorter
    if "[" in name:
        return name
    bare = _LABEL_BEGINNING.sub("", name)
    return _PICTURE_BEGINNING.sub("", name) if bare == name else bare


def _without_suffix(path: PurePath) -> str:
    suffix = next((suffix for suffix in _SUFFIXES if path.name.lower().endswith(suffix)), "")
    return path.name[: len(path.name) - len(suffix)]


def has_label_name(path: Path) -> bool:
    """Tell whether a file's name ends in a word for a mask, or begins with one: `a_mask.png`, `mask_7.png`."""
    name = path.stem.removesuffix(".ome")
    return _LABEL_ENDING.search(name) is not None or _LABEL_BEGINNING.search(name) is not None


def may_have_label_name(path: Path) -> bool:
    """Tell whether a file's name ends in a word that masks have and pictures too: `a_roi.png`."""
    return _EITHER_ENDING.search(path.stem.removesuffix(".ome")) is not None
