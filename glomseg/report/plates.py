"""The report's pictures, as data URIs: slides with their outlines, glomeruli, density maps."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glomseg.errors import GlomsegError
from glomseg.pictures.overlay import ColorBy, paint_crop, paint_overlay
from glomseg.report.charts import FEWEST
from glomseg.report.figures import caption
from glomseg.slides.slide import open_slide
from glomseg.study.records import Profile, Study

THUMBNAIL_PX = 900
CROP_PX = 150
CROP_BYTES = 12_000
SLIDE_BYTES = 350_000
"""At most as much for one slide's picture: 50 slides and the galleries stay below 30 MB."""

DENSITY_COLORS = ((252, 236, 224), (248, 176, 140), (224, 92, 110), (146, 44, 116), (58, 18, 84))


@dataclass(frozen=True)
class Crop:
    """A glomerulus in a gallery."""

    picture: str
    caption: str


def paint_pictures(
    study: Study, profiles: Iterable[Profile], color_by: ColorBy, progress: Callable[[str], None]
) -> tuple[dict[str, str], dict[int, Crop]]:
    """Paint the thumbnail of each slide, by its entry id, and some glomeruli, by their identity.

    Each slide is opened once; one that cannot be read has no picture, and the reason among its remarks.
    """
    wanted = {id(profile) for profile in profiles}
    thumbnails: dict[str, str] = {}
    crops: dict[int, Crop] = {}
    for slide in study.slides:
        progress(f"painting: {slide.image.name}")
        try:
            with ExitStack() as stack:
                opened = stack.enter_context(open_slide(slide.image.readable_path, mpp=slide.mpp, icc=slide.slide.icc))
                if slide.size != (opened.width, opened.height):
                    continue
                objects = [profile.item for profile in slide.profiles]
                picture = paint_overlay(opened, objects, width_px=THUMBNAIL_PX, color_by=color_by, boldness=2)
                thumbnails[slide.image.entry_id] = embed(picture, SLIDE_BYTES)
                for profile in slide.profiles:
                    if id(profile) in wanted:
                        crop = paint_crop(opened, profile.item, CROP_PX, color_by=color_by)
                        crops[id(profile)] = Crop(embed(crop, CROP_BYTES), caption(slide, profile))
        except GlomsegError:
            continue
    return thumbnails, crops


def paint_density_maps(study: Study) -> tuple[float, list[tuple[str, str]]]:
    """Paint the density maps of the slides on one scale; return its upper end, and (name, picture).

    Slides of fewer than FEWEST counted profiles have none: it would show the smoothing, not them.
    """
    maps = [
        (slide.image.name, slide.density)
        for slide in study.slides
        if slide.measured and len(slide.inside) >= FEWEST and slide.density is not None
    ]
    on_tissue = [values[np.isfinite(values)] for _, values in maps]
    top = max((float(np.percentile(values, 99)) for values in on_tissue if values.size), default=0.0)
    if top <= 0:
        return 0.0, []
    return top, [(name, _embed_png(paint_density(values, top))) for name, values in maps]


def paint_density(values: NDArray[np.float32], top: float) -> Image.Image:
    """Paint a map from 0 (pale) to `top` (dark), transparent where there is no tissue."""
    at = np.clip(np.nan_to_num(values) / top, 0, 1)
    stops = np.linspace(0, 1, len(DENSITY_COLORS))
    channels = [np.interp(at, stops, channel) for channel in zip(*DENSITY_COLORS, strict=True)]
    alpha = np.where(np.isfinite(values), 255, 0)
    return Image.fromarray(np.dstack([*channels, alpha]).astype(np.uint8))


def embed(picture: Image.Image, most_bytes: int) -> str:
    """Return a picture as a data URI: a JPEG of the best quality and size that keep it below `most_bytes`."""
    while True:
        for quality in (85, 75, 60, 45):
            file = io.BytesIO()
            picture.convert("RGB").save(file, "JPEG", quality=quality, optimize=True)
            if file.tell() <= most_bytes or max(picture.size) < 16:
                return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
        picture = picture.resize((max(1, picture.width // 2), max(1, picture.height // 2)))


def _embed_png(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
