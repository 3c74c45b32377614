"""What QuPath makes of an image file before it shows it: wrappers, arguments and pixel sizes of its image servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from glomseg.qupath.find_images import path_of_uri
from glomseg.slides.pixel_size import StatedMpp, parse_number, stated_mpp, um_per

_HARMLESS_ARGUMENTS = {"--series": {"0"}, "-s": {"0"}, "--order": {"RGB"}, "--rotate": {"ROTATE_NONE"}}
ICC_ARGUMENT = "--icc-profile"
"""With this, QuPath 0.7 applies the profile that OpenSlide finds; places stay the same."""
_WRAPPERS = {
    "rotated": "rotated",
    "cropped": "cropped",
    "affine": "transformed",
    "sparse": "put together from regions",
    "channels": "put together from channels",
    "color": "recoloured",
    "swapRedBlue": "shown with its channels swapped",
    "color_deconvolved": "colour-deconvolved",
    "normalized": "stain-normalised",
    "typeConvert": "converted to another pixel type",
    "sliced": "a slice of a stack",
    "z_projected": "a projection of a stack",
    "z_concatenated": "a stack put together from images",
    "flipped": "flipped",
}


def unwrapped(builder: dict[str, Any]) -> dict[str, Any]:
    """Return the server builder below the pyramids that QuPath generates on the fly; they leave coordinates alone."""
    while builder.get("builderType") == "pyramidize" and isinstance(builder.get("builder"), dict):
        builder = builder["builder"]
    return builder


def builder_problem(inner: Mapping[str, Any]) -> str | None:
    """Say why a server builder, its pyramids taken off, does not show one image file as it is; None where it does."""
    kind = inner.get("builderType")
    if kind != "uri":
        said = f"is {_WRAPPERS[kind]} in QuPath" if kind in _WRAPPERS else f"is of the unknown kind {kind!r}"
        return f"the image {said}; add the plain image file to the project to annotate it"
    uri = str(inner.get("uri") or "")
    try:
        path_of_uri(uri)
    except ValueError:
        return f"{uri or 'an image without URI'} is no file; copy the image to a disk and add it to the project"
    _, _, selection = uri.partition("?") if "?" in uri else uri.partition("#")
    if selection and selection not in ("0", "series=0"):
        return f"{uri} selects {selection!r} within the file; export that image to a file of its own"
    return _argument_problem([str(argument) for argument in inner.get("args") or []])


def _argument_problem(arguments: Sequence[str]) -> str | None:
    """Name an argument of the image server that may change pixels or coordinates; QuPath's own defaults pass."""
    left = list(arguments)
    while left:
        name, equals, value = left.pop(0).partition("=")
        if not equals and left and not left[0].startswith("-"):
            value = left.pop(0)
        if name in ("--classname", ICC_ARGUMENT) or value in _HARMLESS_ARGUMENTS.get(name, ()):
            continue
        said = f"{name} {value}".strip()
        return f"the image is opened with {said!r}, which changes what is seen; add the image file without it"
    return None


def icc_remark(inner: Mapping[str, Any]) -> tuple[str, ...]:
    """Say that QuPath shows an image with its ICC profile applied."""
    names = {str(argument).partition("=")[0] for argument in inner.get("args") or []}
    said = "is shown by QuPath with its ICC profile applied; `glomseg annotate --icc` reads it so too"
    return (said,) if ICC_ARGUMENT in names else ()


def picture_problem(metadata: Mapping[str, Any]) -> str | None:
    """Say why a picture is not one RGB plane; None where it is."""
    depth, times = metadata.get("sizeZ", 1), metadata.get("sizeT", 1)
    if depth not in (None, 1):
        return f"the image has {depth} focus planes; export one plane to a file and add it to the project"
    if times not in (None, 1):
        return f"the image has {times} time points; export one of them to a file and add it to the project"
    if metadata.get("isRGB") is False:
        return "the image is not an RGB brightfield image; glomseg works on RGB slides alone"
    return None


def pixel_size(calibration: Mapping[str, Any]) -> tuple[StatedMpp, str | None]:
    """Return the pixel size in um along x and y, as far as it can be used; and what to do where the unit is unknown."""
    values: list[float] = []
    for side in ("pixelWidth", "pixelHeight"):
        quantity = calibration.get(side)
        said = quantity if isinstance(quantity, dict) else {}
        unit, value = str(said.get("unit") or "px"), parse_number(said.get("value"))
        scale = um_per(unit)
        if scale is None:
            known = unit in ("px", "pixel", "pixels")
            return StatedMpp(), None if known else f"the pixel size is given in {unit!r}; set it in µm in QuPath"
        if value is None or value <= 0:
            return StatedMpp(), None
        values.append(value * scale)
    return stated_mpp(values[0], values[1]), None
