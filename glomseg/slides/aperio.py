"""Read the description that Aperio's scanners write: `header|name = value|name = value`."""

from __future__ import annotations

import re

from glomseg.slides.pixel_size import StatedMpp, fits_objective, parse_number, stated_mpp


def aperio_values(description: str) -> dict[str, list[str]]:
    """Give the values of each name, in lower case, as many as there are; a value may hold `=` itself."""
    values: dict[str, list[str]] = {}
    for field in description.split("|")[1:]:
        name, equals, value = field.partition("=")
        if equals:
            values.setdefault(name.strip().lower(), []).append(value.strip())
    return values


def aperio_mpp(description: str, width: int, height: int) -> StatedMpp | None:
    """Read the pixel size of a picture of `width` x `height` px; None where the description has none.

    What contradicts it is remarked: an objective that does not fit, a size that is another picture's.
    """
    values = aperio_values(description)
    texts = {text for text in values.get("mpp", []) if text}
    numbers = {parse_number(text) for text in texts}
    if not texts or numbers == {0.0}:
        return None
    if len(numbers) > 1:
        return StatedMpp(remark=f"says several pixel sizes ({' and '.join(sorted(texts))})"[:200])
    number = numbers.pop()
    if number is None:
        return StatedMpp(remark=f"says MPP = {texts.pop()[:40]!r}, which is no number")
    stated = fits_objective(stated_mpp(number, number), parse_number(values.get("appmag", [""])[0]))
    resized = _resized(description, width, height)
    return StatedMpp(stated.mpp, resized) if stated.remark is None and resized else stated


def _resized(description: str, width: int, height: int) -> str | None:
    """Say where none of the sizes that the header names is the picture's, so that its pixels may have another size."""
    header = re.sub(r"\([^)]*\)", "", description.split("|")[0])  # without the size of its tiles
    sizes = [(int(x), int(y)) for x, y in re.findall(r"(?<!\d)(\d{1,9})x(\d{1,9})(?!\d)", header)]
    if not sizes or any(abs(x - width) <= 1 and abs(y - height) <= 1 for x, y in sizes):
        return None
    return f"describes a picture of {sizes[0][0]} x {sizes[0][1]} px and has one of {width} x {height}: was it resized?"
