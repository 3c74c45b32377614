"""Read OME-XML: the images that a file holds, the size of each and of its pixels, and which page shows it.

https://docs.openmicroscopy.org/ome-model/latest/ome-tiff/specification.html
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass

from glomseg.slides.pixel_size import StatedMpp, parse_number, stated_mpp, um_per

_BESIDE_THE_SLIDE = re.compile(r"\b(label|macro|overview|thumbnail)\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class OmeImage:
    """One image of an OME-TIFF; `ifd` is its first page, None where it lies in another file, named by `elsewhere`."""

    name: str
    width: int
    height: int
    channels: int
    planes: int
    stated: StatedMpp
    ifd: int | None
    elsewhere: str | None

    @property
    def is_beside_the_slide(self) -> bool:
        """Tell by its name a label, macro or thumbnail, which is a picture of the glass and not of the tissue."""
        return _BESIDE_THE_SLIDE.search(self.name) is not None


def read_ome(description: str) -> tuple[OmeImage, ...]:
    """List the images that OME-XML describes, in its order; raises ValueError where it cannot be read."""
    try:
        root = ET.fromstring(description)
    except (ET.ParseError, ValueError) as error:
        raise ValueError(f"has OME-XML that cannot be read ({error})") from error
    uuid = (root.get("UUID") or "").strip()
    images = []
    for node in (node for node in root.iter() if _is(node, "Image")):
        pixels = next((child for child in node if _is(child, "Pixels")), None)
        if pixels is not None:
            images.append(_image(node, pixels, uuid))
    if not images:
        companion = next((node.get("MetadataFile") for node in root.iter() if _is(node, "BinaryOnly")), None)
        raise ValueError(f"has its OME-XML in {companion}" if companion else "has OME-XML without an image")
    return tuple(images)


def _image(node: ET.Element, pixels: ET.Element, uuid: str) -> OmeImage:
    ifd, elsewhere = _place(pixels, uuid)
    return OmeImage(
        name=node.get("Name") or node.get("ID") or "",
        width=_count(pixels, "SizeX"),
        height=_count(pixels, "SizeY"),
        channels=_count(pixels, "SizeC"),
        planes=_count(pixels, "SizeZ") * _count(pixels, "SizeT"),
        stated=_stated(pixels),
        ifd=ifd,
        elsewhere=elsewhere,
    )


def _place(pixels: ET.Element, uuid: str) -> tuple[int | None, str | None]:
    """Find the page of an image's first plane; a UUID that is not the file's own names another file."""
    other: str | None = None
    for data in (child for child in pixels if _is(child, "TiffData")):
        if any(_count(data, f"First{axis}", 0) for axis in "ZCT"):
            continue
        link = next((child for child in data if _is(child, "UUID")), None)
        if link is not None and uuid and (link.text or "").strip() not in ("", uuid):
            other = link.get("FileName") or "another file"
            continue
        return _count(data, "IFD", 0), None
    return (None, other) if other else (0, None)


def _count(node: ET.Element, name: str, default: int = 1) -> int:
    text = (node.get(name) or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else default


def _stated(pixels: ET.Element) -> StatedMpp:
    """Read PhysicalSizeX and PhysicalSizeY in their units; um where none is named, as the schema says."""
    values: list[float] = []
    for axis in "XY":
        text, unit = pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit") or "µm"
        number, scale = parse_number(text), um_per(unit)
        if text is None:
            continue
        if number is None:
            return StatedMpp(remark=f"says a pixel size of {text[:40]!r}, which is no number")
        if scale is None:
            return StatedMpp(remark=f"gives its pixel size in {unit[:40]!r}, which is no unit of length")
        values.append(number * scale)
    if len(values) == 1:
        return StatedMpp(remark="says how large its pixels are in one direction alone")
    return stated_mpp(*values) if values else StatedMpp()


def _is(node: ET.Element, name: str) -> bool:
    return node.tag.rpartition("}")[2] == name
