"""Whether a slide's levels show the same where they are read: a gap in one of them hides what lies there.

A level is taken for one by samples of it (`same_picture`). Here each block that is read is held against the next
coarser level, which costs a sixteenth more where that is a quarter as wide; of the coarsest level, from which tissue is
found, blocks of one colour are held against the finer one. What differs is said, not mended: nobody knows which is
right.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from glomseg.errors import SlideError
from glomseg.slides.readers import Level, Pixels
from glomseg.slides.same_picture import small

_CELLS = 8  # along a side of a block, of which a quarter is judged by itself
_CELL_PX = 4  # of the coarser level, at least: a level that takes every fourth pixel is then as grey as the block
_OTHER, _OTHER_GREY = 30.0, 60.0  # grey levels, of parts with structure and of even ones; copies differ by less than 15
_FLAT = 3.0
_ALIKE = 0.5
_PROBES = 64  # blocks of one colour that are held against the finer level, which costs more

Cells = npt.NDArray[np.float32]


class LevelCheck:
    """Holds blocks of a slide against its other levels; `block` reads (level, column, row). Safe from many threads."""

    def __init__(self, levels: Sequence[Level], block: Callable[[int, int, int], Pixels | None]) -> None:
        """Remember what to read, and that nothing was seen yet."""
        self._levels, self._block = levels, block
        self._lock = threading.Lock()
        self._seen: set[tuple[int, int, int]] = set()
        self._probes = 0
        self._places: dict[tuple[int, int], list[tuple[float, float]]] = {}

    def look(self, key: tuple[int, int, int], pixels: Pixels | None) -> None:
        """Compare a block (None where nothing is stored, which is white) that was read, once."""
        if len(self._levels) == 1:
            return
        with self._lock:
            if key in self._seen:
                return
            self._seen.add(key)
        with suppress(SlideError):  # a level that cannot be read says so where it is needed
            self._look(*key, pixels)

    def _look(self, level: int, column: int, row: int, pixels: Pixels | None) -> None:
        if level + 1 < len(self._levels):
            self._compare(level, column, row, pixels)
        elif pixels is None or _is_even(pixels):
            self._probe(level, column, row)

    def remarks(self, left: int, top: int) -> tuple[str, ...]:
        """Say where levels differ, in level-0 pixels less `left` and `top`; it fits behind the file's name."""
        with self._lock:
            found = sorted(self._places.items())
        said = []
        for (fine, coarse), places in found:
            x, y = min(places, key=lambda place: place[::-1])
            sizes = " and ".join(f"{self._levels[at].width} x {self._levels[at].height} px" for at in (fine, coarse))
            several = "in one place" if len(places) == 1 else f"in {len(places)} places"
            said.append(
                f"shows something else at {sizes} {several} (the first at {x - left:.0f}, {y - top:.0f}): one of these "
                "levels has a gap or another picture, and what lies there is missed or wrong; make the file anew"
            )
        return tuple(said)

    def _compare(self, level: int, column: int, row: int, pixels: Pixels | None) -> None:
        """Hold a block against the coarser level."""
        fine, coarse = self._levels[level], self._levels[level + 1]
        across, down = coarse.downsample_x / fine.downsample_x, coarse.downsample_y / fine.downsample_y
        x, y = column * fine.block_width, row * fine.block_height
        width, height = min(fine.block_width, fine.width - x), min(fine.block_height, fine.height - y)
        cells = min(_CELLS, int(width / across / _CELL_PX), int(height / down / _CELL_PX)) // 4 * 4
        if not cells:
            return
        box = (round(x / across), round(y / down), round((x + width) / across), round((y + height) / down))
        theirs = small(self._region(level + 1, *box), cells)
        ours = np.full((cells, cells), 255, np.float32) if pixels is None else _cells(pixels[:height, :width], cells)
        if theirs.shape != ours.shape or not _differs(ours, theirs):
            return
        place = (x * fine.downsample_x, y * fine.downsample_y)
        with self._lock:
            self._places.setdefault((level, level + 1), []).append(place)

    def _probe(self, level: int, column: int, row: int) -> None:
        """Read the finer block under the middle of one, which is compared then."""
        with self._lock:
            if self._probes >= _PROBES:
                return
            self._probes += 1
        coarse, fine = self._levels[level], self._levels[level - 1]
        x = min((column + 0.5) * coarse.block_width, coarse.width - 1) * coarse.downsample_x / fine.downsample_x
        y = min((row + 0.5) * coarse.block_height, coarse.height - 1) * coarse.downsample_y / fine.downsample_y
        self._block(level - 1, int(x / fine.block_width), int(y / fine.block_height))

    def _region(self, level: int, x0: int, y0: int, x1: int, y1: int) -> Cells:
        """Read a box of a level's pixels as grey (height, width), white where nothing is stored."""
        shape = self._levels[level]
        x1, y1 = min(x1, shape.width), min(y1, shape.height)
        out = np.full((max(0, y1 - y0), max(0, x1 - x0)), 255, np.float32)
        for row in range(y0 // shape.block_height, -(-y1 // shape.block_height)):
            for column in range(x0 // shape.block_width, -(-x1 // shape.block_width)):
                pixels = self._block(level, column, row)
                if pixels is None:
                    continue
                left, top = column * shape.block_width, row * shape.block_height
                across = slice(max(x0, left), min(x1, left + pixels.shape[1]))
                down = slice(max(y0, top), min(y1, top + pixels.shape[0]))
                part = pixels[down.start - top : down.stop - top, across.start - left : across.stop - left, 1]
                out[down.start - y0 : down.stop - y0, across.start - x0 : across.stop - x0] = part
        return out


def _cells(pixels: Pixels, cells: int) -> Cells:
    """Average green, in which stains show most, to cells; every other pixel does where there are many."""
    step = 2 if min(pixels.shape[:2]) >= 16 * cells else 1
    return small(pixels[::step, ::step, 1].astype(np.float32), cells)


def _is_even(pixels: Pixels) -> bool:
    some = pixels[::16, ::16]
    return bool((some == pixels[0, 0]).all() and (pixels == pixels[0, 0]).all())


def _differs(one: Cells, other: Cells) -> bool:
    """Tell whether a quarter of two pictures in cells, or the whole where these are few, shows different things."""
    half = len(one) // 2 if len(one) == _CELLS else len(one)
    for top in range(0, len(one), half):
        for left in range(0, len(one), half):
            part = slice(top, top + half), slice(left, left + half)
            a, b = one[part], other[part]
            structure = sorted((float(a.std()), float(b.std())))
            if float(np.abs(a - b).mean()) <= (_OTHER_GREY if structure[1] < 2 * _FLAT else _OTHER):
                continue
            if structure[0] < _FLAT or np.corrcoef(a.ravel(), b.ravel())[0, 1] < _ALIKE:
                return True
    return False
