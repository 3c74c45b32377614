"""Sizes of pixels: the one parser of numbers and units, and what a microscope can have, whoever says it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

Mpp = tuple[float, float] | None

MIN_MPP, MAX_MPP = (
    0.02,
    10.0,
)  # finer is no light microscope; coarser is a print resolution (72 dpi is 353 um per pixel)
MAX_RATIO = 3.0  # of x and y; beyond it one of them is wrong
SAID_RATIO = 1.1  # scanners' pixels are square to a few per cent; more is said
MAGNIFIED_UM = (4.0, 16.0)  # um per pixel times magnification: 4.3 to 10 on scanners
UM_PER_UNIT = {
    **dict.fromkeys(("µm", "\u03bcm", "um", "micron", "microns", "micrometer", "micrometre", "\\u00b5m", "âµm"), 1.0),
    **dict.fromkeys(("micrometers", "micrometres", "µ", "\u03bc"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e4),
    **dict.fromkeys(("m", "meter", "metre"), 1e6),
    **dict.fromkeys(("pm",), 1e-6),
    **dict.fromkeys(("å", "angstrom"), 1e-4),
    **dict.fromkeys(("in", "inch"), 25_400.0),
}
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_LENGTH = re.compile(rf"\s*({_NUMBER.pattern})\s*([^\d\s/][^/]*?)?(\s*(/|per)\s*(px|pixel))?\s*")


@dataclass(frozen=True)
class StatedMpp:
    """What a file or a person says: `mpp` (x, y) in um per pixel, or None where nothing usable is said.

    `remark` fits behind the file's name: why it is not usable, or what is odd about it.
    """

    mpp: Mpp = None
    remark: str | None = None


def parse_number(text: object) -> float | None:
    """Parse a number as people and their locales write it: 0.25, 0,25, +2.5e-1; None for anything else."""
    if isinstance(text, int | float):
        return float(text) if abs(text) < 1e300 else None  # a whole number may be longer than a float can be
    if not isinstance(text, str) or not _NUMBER.fullmatch(text.strip()):
        return None
    value = float(text.strip().replace(",", "."))
    return value if math.isfinite(value) else None


def parse_um(text: object, unit: str | None = None) -> float | None:
    """Parse a length in `unit`, um where none is named here or behind the number; None where it is no length."""
    if not isinstance(text, str):
        number, said = parse_number(text), ""
    elif match := _LENGTH.fullmatch(text):
        number, said = parse_number(match[1]), (match[5] or "").strip()
    else:
        return None
    scale = um_per(said or unit or "um")
    return None if number is None or scale is None else number * scale


def um_per(unit: str) -> float | None:
    """Give the um in a unit of length; None for pixels, and for what is no length."""
    return UM_PER_UNIT.get(unit.strip().lower())


def stated_mpp(x: float, y: float) -> StatedMpp:
    """Judge a pixel size in um: what no microscope has is not used, what is odd is used and said."""
    x, y = float(x), float(y)  # EXIF holds fractions, which JSON does not
    if not all(math.isfinite(value) and MIN_MPP <= value <= MAX_MPP for value in (x, y)):
        return StatedMpp(
            remark=f"says {_both(x, y)} um per pixel, which is implausible "
            f"(microscopes have {MIN_MPP:g} to {MAX_MPP:g})"
        )
    ratio = max(x / y, y / x)
    if ratio > MAX_RATIO:
        return StatedMpp(remark=f"says {x:g} um per pixel across and {y:g} down, which cannot both be right")
    odd = f"says {x:g} um per pixel across and {y:g} down: its pixels are not square" if ratio > SAID_RATIO else None
    return StatedMpp((x, y), odd)


def fits_objective(stated: StatedMpp, power: float | None) -> StatedMpp:
    """Remark where the magnification of the objective does not fit the pixel size."""
    if stated.mpp is None or not power or power <= 0:
        return stated
    low, high = MAGNIFIED_UM
    mpp = (stated.mpp[0] * stated.mpp[1]) ** 0.5
    if low <= mpp * power <= high:
        return stated
    return StatedMpp(stated.mpp, f"says {mpp:g} um per pixel and an objective of {power:g}x, which do not fit")


def beside(stated: StatedMpp, other: StatedMpp, who: str, whose: str) -> StatedMpp:
    """Remark where another part of the same file says another pixel size; what `stated` says is used.

    `who` said that, `whose` are the words of the other: "OME-XML", "resolution tags".
    """
    if stated.mpp is None or other.mpp is None or stated.remark is not None:
        return stated
    if all(max(ours / own, own / ours) <= SAID_RATIO for ours, own in zip(stated.mpp, other.mpp, strict=True)):
        return stated
    said = f"says {_both(*stated.mpp)} um per pixel in its {who} and {_both(*other.mpp)} in its {whose}"
    return StatedMpp(stated.mpp, f"{said}: the {who} is taken; give `mpp` where it is wrong")


def parse_mpp(text: str) -> tuple[float, float]:
    """Parse um per pixel as a person gives it: `0.25`, `0,25`, `250 nm`, or x and y as `0.25,0.5` or `0.25 x 0.5`.

    Raises ValueError, whose text says what is wrong and what to write, where it is implausible or can be read in two
    ways.
    """
    values = [parse_um(part) for part in _parts(text)]
    if len(values) not in (1, 2) or any(value is None for value in values):
        raise ValueError(f"{text!r} is no pixel size; give um per pixel such as 0.25, or 0.25,0.5 for x and y")
    x, y = float(values[0] or 0), float(values[-1] or 0)
    stated = stated_mpp(x, y)
    if stated.mpp is None:
        raise ValueError(f"{text!r} {stated.remark}; give um per pixel such as 0.25, or 0.25,0.5 for x and y")
    return stated.mpp


def _parts(text: str) -> list[str]:
    """Tell a comma between x and y from one within a number; raises ValueError where it may be either."""
    separated = re.split(r"\s*[x×;]\s*", text)
    if len(separated) > 1:
        return separated
    parts = text.split(",")
    if len(parts) != 2 or "." in text:
        return parts
    whole, fraction = (part.strip() for part in parts)
    if whole in ("0", "+0", ""):
        return [text]
    raise ValueError(f"{text!r} can mean {whole}.{fraction}, or {whole} and {fraction}; write it so")


def _both(x: float, y: float) -> str:
    return f"{x:.4g}" if math.isclose(x, y, rel_tol=1e-3) else f"{x:.4g} x {y:.4g}"
