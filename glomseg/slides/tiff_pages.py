"""Which page of a TIFF is the slide, which are its levels, and which are other pictures that are not read for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tifffile

from glomseg.errors import SlideError
from glomseg.listing import first_names
from glomseg.slides.ome import OmeImage, read_ome
from glomseg.slides.same_picture import DecodeTile, compare_pictures

_LONGEST_PX = 2**24  # 30 cm of the finest pixels
_OF_ONE_BIT = (2, 3, 4)
_HEADER_BYTES = 8
_PADDED = 1.5
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The page that is the slide, what OME-XML says of it, and remarks that fit behind the file's name."""

    page: tifffile.TiffPage
    ome: OmeImage | None = None
    remarks: tuple[str, ...] = ()


def main_picture(path: Path, tiff: tifffile.TiffFile) -> Picture:
    """Choose the page that is the slide: the largest that is no label, macro or thumbnail.

    Raises SlideError where the slide lies in another file.
    """
    if tiff.is_ome:
        return _ome_picture(path, tiff)
    first = tiff.pages.first
    if tiff.is_svs or len(tiff.pages) == 1:
        return Picture(page=first)
    full = [page for page in map(_page, tiff.pages) if not int(page.subfiletype) & (_REDUCED | _MASK)] or [first]
    largest = max(full, key=lambda page: (_area(page), -page.index))
    if _area(largest) <= _area(first) or largest.imagewidth < first.imagewidth:
        return Picture(page=first)
    said = f"begins with a picture of {_size(first)}; its page {largest.index + 1} of {_size(largest)} is read"
    return Picture(page=largest, remarks=(said,))


def _ome_picture(path: Path, tiff: tifffile.TiffFile) -> Picture:
    first = tiff.pages.first
    try:
        images = read_ome(first.description)
    except ValueError as error:
        return Picture(page=first, remarks=(f"{error}",))
    here = [image for image in images if image.ifd is not None]
    if not here:
        raise SlideError(f"{path} keeps its picture in {images[0].elsewhere}; open that file")
    slides = [image for image in here if not image.is_beside_the_slide] or here
    image = max(slides, key=lambda item: item.width * item.height)
    page = _shown_by(tiff, image)
    if page is None:
        said = (
            f"describes a picture of {image.width} x {image.height} px and has one of {_size(first)}: was it resized?"
        )
        return Picture(page=first, ome=image, remarks=(said,))
    others = [f"{item.name or 'another'} ({item.width} x {item.height} px)" for item in slides if item is not image]
    remarks = (f"holds other images too, which are not read: {first_names(others)}",) if others else ()
    larger = [item for item in map(_page, tiff.pages) if _area(item) > _area(page)]
    if larger and not others:
        what = "calls a label, macro or thumbnail" if len(here) > 1 else "does not describe"
        remarks = (f"holds a larger picture, which its OME-XML {what} and which is not read: {_size(larger[0])}",)
    return Picture(page=page, ome=image, remarks=remarks)


def _shown_by(tiff: tifffile.TiffFile, image: OmeImage) -> tifffile.TiffPage | None:
    """Find the page of an image by what OME-XML says, else by its size; None where no single page has that."""

    def fits(page: tifffile.TiffPage) -> bool:
        return bool((page.imagewidth, page.imagelength) == (image.width, image.height))

    if image.ifd is not None and image.ifd < len(tiff.pages) and fits(page := _page(tiff.pages[image.ifd])):
        return page
    fitting = [page for page in map(_page, tiff.pages) if fits(page)]
    return fitting[0] if len(fitting) == 1 else None


def check_extent(page: tifffile.TiffPage) -> None:
    """Raise ValueError where a page's size is none that a slide has, or its tiles or strips are too few for it."""
    width, height = page.imagewidth, page.imagelength
    if not all(isinstance(size, int) for size in (width, height, page.tilewidth, page.tilelength, page.rowsperstrip)):
        raise ValueError("the sizes in its header are no whole numbers")
    if not 0 < max(width, height) <= _LONGEST_PX:
        raise ValueError(f"it says that it is {width} x {height} px, which no slide is")
    rows, columns = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, width)
    if rows < 1 or columns < 1:
        raise ValueError(f"it says that its tiles are {columns} x {rows} px")
    needed = -(-width // columns) * -(-height // rows) * (page.samplesperpixel if page.planarconfig == 2 else 1)
    there = min(len(page.dataoffsets), len(page.databytecounts))
    if there < needed:
        raise ValueError(f"it is {_size(page)} and holds {there} of {needed} tiles or strips")
    _check_samples(page, rows if page.is_tiled else min(rows, height), columns)


def _check_samples(page: tifffile.TiffPage, rows: int, columns: int) -> None:
    """Raise ValueError where what a header says of a pixel contradicts itself, or the bytes that are stored for it."""
    samples, bits = page.samplesperpixel, page.tags.get(258)
    if (page.photometric == 2 and samples < 3) or (page.photometric == 6 and samples != 3):
        raise ValueError(f"it says that its pixels are of three colours and of {samples} samples")
    if bits is not None and bits.count not in (1, samples):
        raise ValueError(f"it says the bits of {bits.count} samples and has {samples}")
    if page.compression in _OF_ONE_BIT and page.bitspersample != 1:
        raise ValueError(f"it says that it is coded as a fax and has {page.bitspersample} bits")
    in_a_row = columns * (1 if page.planarconfig == 2 else samples) * page.bitspersample
    expected, first = -(-in_a_row // 8) * rows * page.imagedepth, page.databytecounts[0]
    is_plain = page.compression == 1 and not page.is_subsampled
    if is_plain and first and not expected <= first <= _PADDED * expected + 8:
        raise ValueError(f"a tile or strip of it holds {first} bytes, and its header says {expected}")
    if any(0 < offset < _HEADER_BYTES for offset in page.dataoffsets):
        raise ValueError("its pixels are said to lie within its header")


@dataclass(frozen=True, kw_only=True)
class Pyramid:
    """A tiled page and its levels, largest first; `wrong` are the (width, height) of those that show other pictures."""

    levels: tuple[tifffile.TiffPage, ...]
    wrong: tuple[tuple[int, int], ...]
    remarks: tuple[str, ...]


def pyramid(tiff: tifffile.TiffFile, full: tifffile.TiffPage, tile: DecodeTile) -> Pyramid:
    """Collect a tiled page and its levels, and say which pages show other pictures.

    Levels are the page's SubIFDs, pages marked as reduced, and smaller tiled pages that show the same picture. One
    that is marked is left out, aloud, only where hardly anything of it shows what the page shows.
    Thumbnails, labels and macro images drop out because they are stored in strips or have another aspect ratio.
    """
    found, others, wrong = [full], list[str](), list[tuple[int, int]]()
    # The other top-level pages of an OME-TIFF are other images, or planes of this one.
    pages = [*(full.pages or []), *([] if tiff.is_ome else tiff.pages)]
    for page in sorted(map(_page, pages), key=_area, reverse=True):
        if page.is_tiled:
            check_extent(page)
        if page.offset == full.offset or int(page.subfiletype) & _MASK:
            continue
        marked = tiff.is_ome or _is_below(full, page) or _is_marked(page)
        if _is_smaller(found[-1], full, page):
            # Gaps of an SVS are no white: OpenSlide, which reads it, fills them from other levels.
            same, other = compare_pictures(found[-1], page, tile, gaps_are_white=not tiff.is_svs)
            if not other or (other < 3 * same if marked else same >= 3 * other):
                found.append(page)
            elif marked:
                wrong.append(_pixels(page))
            else:
                others.append(_size(page))
        elif not marked and not tiff.is_svs and not _is_shrunk(full, page):
            others.append(_size(page))
    return Pyramid(levels=tuple(found), wrong=tuple(wrong), remarks=(*_said(others), *_said_of_levels(wrong)))


def other_pictures(tiff: tifffile.TiffFile, full: tifffile.TiffPage) -> tuple[str, ...]:
    """Say which pages beside one without tiles show other pictures."""
    pages = [] if tiff.is_ome or tiff.is_svs else [_page(page) for page in tiff.pages]
    marked = _REDUCED | _MASK
    return _said(
        [
            _size(page)
            for page in pages
            if page.offset != full.offset and not int(page.subfiletype) & marked and not _is_shrunk(full, page)
        ]
    )


def _said(others: list[str]) -> tuple[str, ...]:
    if not others:
        return ()
    if len(others) == 1:
        return (f"holds another picture, which is not read: {others[0]}",)
    return (f"holds {len(others)} other pictures, which are not read: {first_names(others)}",)


def _said_of_levels(wrong: list[tuple[int, int]]) -> tuple[str, ...]:
    sizes = [f"{width} x {height} px" for width, height in wrong]
    what = "a page" if len(wrong) == 1 else f"{len(wrong)} pages"
    show = "shows another picture and is" if len(wrong) == 1 else "show other pictures and are"
    return (f"has {what} marked as a smaller copy that {show} not read: {first_names(sizes)}",) if wrong else ()


def _is_below(full: tifffile.TiffPage, page: tifffile.TiffPage) -> bool:
    return any(_page(sub).offset == page.offset for sub in full.pages or [])


def _is_marked(page: tifffile.TiffPage) -> bool:
    """Tell whether the writer says that a page is a smaller version; Aperio says so in words."""
    aperio = page.description.startswith("Aperio ") and f"-> {page.imagewidth}x{page.imagelength}" in page.description
    return aperio or bool(int(page.subfiletype) & _REDUCED)


def _is_smaller(last: tifffile.TiffPage, full: tifffile.TiffPage, page: tifffile.TiffPage) -> bool:
    """Tell whether a page can be the next level by its kind, size and shape."""
    if not page.is_tiled or page.imagewidth >= last.imagewidth or page.imagelength >= last.imagelength:
        return False
    if (page.dtype, page.samplesperpixel, page.photometric) != (full.dtype, full.samplesperpixel, full.photometric):
        return False
    return has_shape_of(_pixels(full), _pixels(page))


def has_shape_of(size: tuple[int, int], smaller: tuple[int, int]) -> bool:
    """Tell whether a page of a smaller (width, height) has the shape of one of `size`, to a pixel more or less."""
    width, height = (max(1, side) for side in smaller)
    across, down = size[0] / width, size[1] / height
    return abs(across - down) <= across / width + down / height


def _is_shrunk(full: tifffile.TiffPage, page: tifffile.TiffPage) -> bool:
    """Tell a thumbnail in strips, which needs no word."""
    return not page.is_tiled and page.imagewidth < full.imagewidth and has_shape_of(_pixels(full), _pixels(page))


def _page(page: Any) -> tifffile.TiffPage:
    whole: tifffile.TiffPage = page.aspage()
    return whole


def _pixels(page: tifffile.TiffPage) -> tuple[int, int]:
    return int(page.imagewidth), int(page.imagelength)


def _area(page: tifffile.TiffPage) -> int:
    return int(page.imagewidth) * int(page.imagelength)


def _size(page: tifffile.TiffPage) -> str:
    return f"{page.imagewidth} x {page.imagelength} px"
