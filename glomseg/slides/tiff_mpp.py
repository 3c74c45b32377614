"""How large a TIFF's pixels are: OME-XML, Aperio's description, ImageJ's unit, or the resolution tags."""

from __future__ import annotations

import tifffile

from glomseg.slides.aperio import aperio_mpp
from glomseg.slides.ome import OmeImage, read_ome
from glomseg.slides.pixel_size import StatedMpp, beside, stated_mpp, um_per

_UM_PER_TAG = {2: 25_400.0, 3: 10_000.0}  # inch, centimetre


def tiff_mpp(tiff: tifffile.TiffFile, page: tifffile.TiffPage, ome: OmeImage | None = None) -> StatedMpp:
    """Find um per pixel of a page; whoever speaks first of OME-XML, Aperio, ImageJ and the tags counts.

    Resolution tags that contradict the first two are remarked, for one of both was not changed with the picture.
    """
    if ome is None and tiff.is_ome:
        ome = _described(page)
    if ome is not None:
        return beside(ome.stated, _tags(tiff, page), "OME-XML", "resolution tags")
    aperio = aperio_mpp(page.description, page.imagewidth, page.imagelength) if tiff.is_svs else None
    tags = _tags(tiff, page)
    return tags if aperio is None else beside(aperio, tags, "Aperio description", "resolution tags")


def _described(page: tifffile.TiffPage) -> OmeImage | None:
    """Find the image that the page's own OME-XML describes with its size."""
    try:
        images = read_ome(page.description)
    except ValueError:
        return None
    return next((item for item in images if (item.width, item.height) == (page.imagewidth, page.imagelength)), None)


def _tags(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> StatedMpp:
    """Read the resolution tags; their unit may be ImageJ's, which stands in its description."""
    unit = page.tags.valueof(296, 2)
    um = _UM_PER_TAG.get(int(unit)) if isinstance(unit, int) else None
    if tiff.is_imagej and um is None:
        um = um_per(str((tiff.imagej_metadata or {}).get("unit", "")))
    x, y = _per_pixel(page.tags.valueof(282)), _per_pixel(page.tags.valueof(283))
    if um is None or x is None or y is None:
        return StatedMpp()
    return stated_mpp(um * x, um * y)


def _per_pixel(value: object) -> float | None:
    """Give units per pixel of a rational number of pixels per unit; None for nonsense."""
    match value:
        case (int(top), int(bottom)) if top > 0 and bottom > 0:
            return bottom / top
    return None
