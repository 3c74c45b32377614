"""A slide: its size, the size of its pixels, and reading any box of it at any resolution.

Who reads what: tiled TIFF, BigTIFF, OME-TIFF and Aperio SVS are decoded tile by tile with tifffile and imagecodecs,
which gives OpenSlide's pixels in a quarter of its time. Every other vendor's format, and a TIFF whose tiles tifffile
cannot decode, goes to OpenSlide. PNG, JPEG and untiled TIFF are decoded whole.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from glomseg.errors import MissingMppError, SlideError
from glomseg.geometry import Box
from glomseg.slides.colour_profile import ColourProfile, read_colour_profile
from glomseg.slides.formats import open_reader
from glomseg.slides.level_check import LevelCheck
from glomseg.slides.pixel_size import Mpp, StatedMpp, stated_mpp
from glomseg.slides.readers import Level, Pixels, Reader
from glomseg.slides.resample import Axis, axis, resample

CACHE_BYTES = 64_000_000  # decoded blocks kept, so that neighbouring tiles do not decode their common border twice
CHUNK_PX = 3072  # a side of what is read from a level at once: 28 MB of pixels, whatever the box
FINER = 1.05  # a level this much coarser than asked for still serves: 40x scanners have 0.2525 um, and 4 x that is 1.01


def _empty(shape: tuple[int, int, int]) -> Pixels:
    return np.empty(shape, np.uint8)


def open_slide(path: Path | str, *, mpp: float | tuple[float, float] | None = None, icc: bool = False) -> Slide:
    """Open a slide or an image; `mpp` (um per level-0 pixel, one value or x and y) overrides the file's own.

    With `icc` its colours are read as its ICC profile says, where it has one. Raises SlideError when the file is
    missing, empty, damaged, or of a kind that is not supported, where `mpp` is none that a microscope has, and where
    `icc` is asked for and the profile cannot be applied.
    """
    path = Path(path)
    given: Mpp = None
    if mpp is not None:
        said = stated_mpp(mpp, mpp) if isinstance(mpp, int | float) else stated_mpp(*mpp)
        if said.mpp is None:
            raise SlideError(f"the pixel size for {path} {said.remark}; give `mpp` as um per pixel, such as 0.25")
        given = said.mpp
    reader = open_reader(path)
    try:
        return Slide(path, reader, given, icc=icc)
    except BaseException:
        reader.close()
        raise


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a box that is read at once: its (top, left) pixel in the box, and what of a level it is made of."""

    top: int
    left: int
    level: int
    rows: Axis
    columns: Axis

    @property
    def shape(self) -> tuple[int, int]:
        """Its height and width in pixels of the box."""
        return len(self.rows.starts), len(self.columns.starts)


class Slide:
    """An open image; `width` and `height` in level-0 pixels, `mpp_x` and `mpp_y` in um per pixel or None.

    The origin is the image's top-left corner as QuPath shows it: where a scanner gave bounds, that of the bounds.
    `colour_profile` is its ICC profile, None for none that can be applied; pixels are as they are stored, unless `icc`.
    Safe to use from many threads at once.
    """

    def __init__(self, path: Path, reader: Reader, mpp: Mpp, *, icc: bool = False) -> None:
        """Wrap an open reader, with a pixel size that wins over the file's own or None; use `open_slide`."""
        self.path = path
        self._reader = reader
        self._left, self._top, self.width, self.height = reader.bounds
        self.levels: tuple[Level, ...] = reader.levels
        self.stated: StatedMpp = reader.stated
        used = mpp or self.stated.mpp
        self.mpp_x: float | None = used[0] if used else None
        self.mpp_y: float | None = used[1] if used else None
        self.colour_profile, damage = _colour_profile(path, reader.icc, must=icc)
        self._profile = self.colour_profile if icc else None
        self._remarks = (*reader.remarks, *_size_remarks(self.stated, mpp), *damage)
        self.cache_bytes = CACHE_BYTES
        self._cache: OrderedDict[tuple[int, int, int], Pixels] = OrderedDict()
        self._cached_bytes = 0
        self._decoding: dict[tuple[int, int, int], Future[Pixels | None]] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._level_check = LevelCheck(self.levels, self._block)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What of the file is not read, was guessed or is odd, by what was read until now; fits behind its name."""
        return (*self._remarks, *self._level_check.remarks(self._left, self._top))

    @property
    def mpp(self) -> float:
        """Um per level-0 pixel, the geometric mean of x and y; raises MissingMppError where it is not known."""
        mpp_x, mpp_y = self.pixel_size
        return float((mpp_x * mpp_y) ** 0.5)

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Um per level-0 pixel in x and y; raises MissingMppError where it is not known."""
        if self.mpp_x is None or self.mpp_y is None:
            said = self.stated.remark or "does not say how large its pixels are"
            raise MissingMppError(f"{self.path} {said}; give um per pixel with `mpp`")
        return self.mpp_x, self.mpp_y

    @property
    def known_mpp(self) -> Mpp:
        """Return the um per level-0 pixel in x and y, None where it is not known."""
        return (self.mpp_x, self.mpp_y) if self.mpp_x and self.mpp_y else None

    def read(self, box: Box, mpp: float) -> Pixels:
        """Read a box of level-0 pixels at `mpp` um per pixel in both directions: (H, W, 3), white off the slide.

        H and W are the box's sizes in these pixels, rounded; pixel (i, j) is the mean of what it covers, counted
        from the box's corner, and the same whatever box it is read in. Raises MissingMppError, and SlideError
        where the file is damaged.
        """
        mpp_x, mpp_y = self.pixel_size
        return self.read_downsampled(box, mpp / mpp_x, mpp / mpp_y)

    def read_downsampled(self, box: Box, downsample_x: float, downsample_y: float) -> Pixels:
        """Read as `read`, with pixels given in level-0 pixels, so that no mpp is needed.

        Memory beyond the result is bounded, even where a large box is read from a slide without low levels.
        """
        parts = self._parts(box, downsample_x, downsample_y, CHUNK_PX)
        if len(parts) == 1:
            return self.read_part(parts[0])
        out = np.empty((*_size(box, downsample_x, downsample_y), 3), np.uint8)
        for part in parts:
            height, width = part.shape
            out[part.top : part.top + height, part.left : part.left + width] = self.read_part(part)
        return out

    def parts(self, box: Box, mpp: float, most_px: int = CHUNK_PX) -> list[Part]:
        """Cut what `read` would read into parts of about `most_px` pixels of a level a side, for several threads."""
        mpp_x, mpp_y = self.pixel_size
        return self._parts(box, mpp / mpp_x, mpp / mpp_y, most_px)

    def read_part(self, part: Part) -> Pixels:
        """Read a part: (H, W, 3), the same pixels as `read` gives."""
        region = self.read_source(part)
        return np.full((*part.shape, 3), 255, np.uint8) if region is None else resample(region, part.rows, part.columns)

    def _parts(self, box: Box, downsample_x: float, downsample_y: float, most_px: int) -> list[Part]:
        height, width = _size(box, downsample_x, downsample_y)
        index = self._best_level(downsample_x, downsample_y)
        level = self.levels[index]
        step_x, step_y = downsample_x / level.downsample_x, downsample_y / level.downsample_y
        columns = _chunks((box.x + self._left) / level.downsample_x, step_x, width, most_px)
        rows = _chunks((box.y + self._top) / level.downsample_y, step_y, height, most_px)
        return [Part(top, left, index, down, across) for top, down in rows for left, across in columns]

    def overview(self, max_px: int) -> Pixels:
        """Read the whole slide with its longer side at most `max_px` pixels: (H, W, 3)."""
        downsample = max(1.0, max(self.width, self.height) / max_px)
        return self.read_downsampled(Box(0, 0, self.width, self.height), downsample, downsample)

    def close(self) -> None:
        """Close the file; no thread may be reading."""
        self._closed = True
        self._cache.clear()
        self._reader.close()

    def __enter__(self) -> Slide:
        """Return the slide itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the slide."""
        self.close()

    def _best_level(self, downsample_x: float, downsample_y: float) -> int:
        """Choose the coarsest level that is not noticeably coarser than asked for, else the finest."""
        fits = [
            index
            for index, level in enumerate(self.levels)
            if level.downsample_x <= downsample_x * FINER and level.downsample_y <= downsample_y * FINER
        ]
        return max(fits, key=lambda index: self.levels[index].downsample_x, default=0)

    def read_source(self, part: Part, empty: Callable[[tuple[int, int, int]], Pixels] = _empty) -> Pixels | None:
        """Read what a part is made of: a stretch of its level (rows.size, columns.size, 3), not yet averaged.

        White off the bounds; None where all of it is white. `empty` gives the memory that it is put into.
        """
        rows, columns = part.rows, part.columns
        level = self.levels[part.level]
        region: Pixels | None = None
        left, right = _clip(columns, self._left, self.width, level.downsample_x, level.width)
        top, bottom = _clip(rows, self._top, self.height, level.downsample_y, level.height)
        if left >= right or top >= bottom:
            return None
        tall, wide = level.block_height, level.block_width
        for row in range(top // tall, -(-bottom // tall)):
            for column in range(left // wide, -(-right // wide)):
                block = self._block(part.level, column, row)
                if block is None:
                    continue
                if region is None:
                    region = empty((rows.size, columns.size, 3))
                    region[:] = 255
                y, x = row * tall, column * wide
                y0, y1 = max(top, y), min(bottom, y + block.shape[0])
                x0, x1 = max(left, x), min(right, x + block.shape[1])
                target = region[y0 - rows.first : y1 - rows.first, x0 - columns.first : x1 - columns.first]
                target[:] = block[y0 - y : y1 - y, x0 - x : x1 - x]
        return region

    def _block(self, level: int, column: int, row: int) -> Pixels | None:
        """Give one block of a level, from the cache where it was used lately; no two threads decode the same."""
        if self._closed:
            raise SlideError(f"{self.path} was closed; open it again to read")
        key = (level, column, row)
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
            elsewhere = self._decoding.get(key)
            if elsewhere is None:
                mine = self._decoding[key] = Future[Pixels | None]()
        if elsewhere is not None:
            return elsewhere.result()
        try:
            block = self._reader.block(level, column, row)
            if block is not None and self._profile is not None:
                block = self._profile.applied(block)
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            self._keep(key, block)
            mine.set_result(block)
        finally:
            with self._lock:
                del self._decoding[key]
        self._level_check.look(key, block)
        return block

    def _keep(self, key: tuple[int, int, int], block: Pixels | None) -> None:
        """Put a block into the cache, and drop what was not used for longest."""
        if block is None or block.nbytes > self.cache_bytes // 4:
            return
        with self._lock:
            if key not in self._cache:
                self._cache[key] = block
                self._cached_bytes += block.nbytes
            while self._cached_bytes > self.cache_bytes:
                self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes


def _colour_profile(path: Path, icc: bytes | None, *, must: bool) -> tuple[ColourProfile | None, tuple[str, ...]]:
    """Read the profile of a file, or say that it cannot be; where it `must` be applied that is a SlideError."""
    if icc is None:
        return None, ()
    try:
        return read_colour_profile(icc), ()
    except ValueError as error:
        if must:
            raise SlideError(
                f"the ICC profile of {path} cannot be applied ({error}); leave `icc` away for this slide"
            ) from error
        return None, (f"has an ICC profile that cannot be read ({error})",)


def _size_remarks(stated: StatedMpp, given: Mpp) -> tuple[str, ...]:
    """Say what is odd about the pixel size that is used, and where a given one contradicts the file's."""
    if given is None:
        return (stated.remark,) if stated.mpp is not None and stated.remark else ()
    odd = stated_mpp(*given).remark
    remarks = (odd.replace("says", "is read with", 1),) if odd else ()
    if stated.mpp is None or all(abs(ours / own - 1) < 0.1 for ours, own in zip(given, stated.mpp, strict=True)):
        return remarks
    own = f"{stated.mpp[0]:g} x {stated.mpp[1]:g}"
    return (*remarks, f"says {own} um per pixel and is read with {given[0]:g} x {given[1]:g}, as given")


def _size(box: Box, downsample_x: float, downsample_y: float) -> tuple[int, int]:
    """Give the height and width of a box in pixels of so many level-0 pixels each."""
    return max(1, round(box.height / downsample_y)), max(1, round(box.width / downsample_x))


def _chunks(start: float, step: float, count: int, most_px: int) -> list[tuple[int, Axis]]:
    """Cut an axis into (first output pixel, Axis) of at most about `most_px` source pixels each."""
    most = max(1, int(most_px / max(step, 1.0)))
    return [(at, axis(start, step, min(most, count - at), at)) for at in range(0, count, most)]


def _clip(part: Axis, start: int, size: int, downsample: float, level_size: int) -> tuple[int, int]:
    """Limit an axis to the bounds of the slide, in a level's pixels; one cut by the bounds still counts."""
    low = int(start / downsample)
    high = min(level_size, int(-(-(start + size) // downsample)))
    return max(part.first, low), min(part.first + part.size, high)


def check_size(slide: Slide, size: tuple[int, int] | None) -> None:
    """Raise SlideError where a slide has not the (width, height) that the project gives it."""
    if size is not None and size != (slide.width, slide.height):
        raise SlideError(
            f"{slide.path} has {slide.width} x {slide.height} px and the project says {size[0]} x {size[1]}: "
            "another image of that name? Outlines would land in the wrong place; name its folder with `slides`"
        )
