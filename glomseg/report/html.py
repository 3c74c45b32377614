"""One self-contained HTML file that says what was measured: `write_report`."""

from __future__ import annotations

import base64
import io
import math
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from glomseg import __version__
from glomseg.errors import GlomsegError
from glomseg.files import write_text
from glomseg.pictures.overlay import ColorBy, paint_crop, paint_overlay
from glomseg.report import findings
from glomseg.report.charts import COLORS, curve_chart, dot_chart, effect_chart
from glomseg.slides.slide import open_slide
from glomseg.study.records import MeasuredSlide, Profile, Study
from glomseg.study.summaries import Row, animals, group_of
from glomseg.study.tables import tables

THUMBNAIL_PX = 900
CROP_PX = 150
IN_GALLERY = 12
SLIDE_BYTES = 350_000
"""At most as much for one slide's picture: 50 slides and the galleries stay below 30 MB."""

DENSITY_COLORS = ((252, 236, 224), (248, 176, 140), (224, 92, 110), (146, 44, 116), (58, 18, 84))

NAMES = {
    "mean_area_um2": "Mean profile area (µm²)",
    "mean_equivalent_diameter_um": "Mean diameter (µm)",
    "mean_circularity": "Mean circularity",
    "density_per_mm2": "Profiles per mm²",
    "non_sclerotic_density_per_mm2": "Non-sclerotic per mm²",
    "sclerotic_percent": "Globally sclerotic (%)",
    "area_fraction_percent": "Glomerular area fraction (%)",
    "mean_volume_um3": "Mean volume (µm³)",
    "numerical_density_per_mm3": "Glomeruli per mm³",
    "mean_pas_fraction": "PAS-positive fraction",
    "mean_nearest_neighbour_um": "Nearest neighbour (µm)",
}


@dataclass(frozen=True)
class Crop:
    """A glomerulus in a gallery."""

    picture: str
    caption: str


def write_report(
    study: Study, path: Path, *, color_by: ColorBy = "class", progress: Callable[[str], None] = lambda name: None
) -> None:
    """Write the report of a study as one HTML file; slides whose image is missing have no pictures.

    Raises RunError where it cannot be written.
    """
    chosen = choose_galleries(study)
    thumbnails, crops = _pictures(study, chosen, color_by, progress)
    rows = tables(study)
    content = _template().render(
        study=study,
        version=__version__,
        made=datetime.now().astimezone().strftime("%d %B %Y, %H:%M %Z"),
        machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        runs=findings.used_runs(study),
        warnings=findings.warnings(study),
        methods=findings.methods(study),
        references=findings.references(study),
        rows=rows,
        totals=totals(study),
        names=NAMES,
        thumbnails=thumbnails,
        density=_density_maps(study),
        galleries=[
            (title, [crop for profile in profiles if (crop := crops.get(id(profile)))])
            for title, profiles in chosen.items()
        ],
        charts=_charts(study, rows),
        effects=_effects(study, rows["groups"]),
    )
    write_text(path, content)


def totals(study: Study) -> Row:
    """Count what the head of the report names."""
    profiles = [profile for slide in study.slides for profile in slide.profiles]
    inside = [profile for profile in profiles if profile.inside]
    whole = [profile.shape.area_um2 for profile in inside if profile.whole and profile.shape]
    return {
        "slides": len(study.slides),
        "animals": len(animals(study)),
        "profiles": len(profiles),
        "whole": sum(profile.whole for profile in inside),
        "sclerotic_percent": 100 * sum(p.sclerotic for p in inside) / len(inside) if inside else None,
        "mean_area_um2": sum(whole) / len(whole) if whole else None,
        "reviewed_percent": 100 * sum(p.reviewed for p in profiles) / len(profiles) if profiles else None,
    }


def choose_galleries(study: Study) -> dict[str, list[Profile]]:
    """Choose the glomeruli to show: largest and smallest whole ones, least certain and sclerotic ones."""
    profiles = [profile for slide in study.slides for profile in slide.profiles]
    whole = sorted((p for p in profiles if p.whole), key=_size)
    unsure = sorted(
        (p for p in profiles if p.confidence is not None and not p.reviewed), key=lambda p: p.confidence or 0
    )
    sclerotic = [profile for profile in profiles if profile.sclerotic]
    return {
        "Largest": whole[: -IN_GALLERY - 1 : -1],
        "Smallest": whole[:IN_GALLERY],
        "Least certain, not reviewed": unsure[:IN_GALLERY],
        "Globally sclerotic": sclerotic[:: max(1, len(sclerotic) // IN_GALLERY)][:IN_GALLERY],
    }


def _size(profile: Profile) -> float:
    return profile.shape.area_um2 if profile.shape else profile.shape_px.area_um2


def _pictures(
    study: Study, chosen: Mapping[str, Sequence[Profile]], color_by: ColorBy, progress: Callable[[str], None]
) -> tuple[dict[str, str], dict[int, Crop]]:
    """Paint the thumbnail of each slide, by its key, and the glomeruli of the galleries; each slide is opened once."""
    wanted = {id(profile) for profiles in chosen.values() for profile in profiles}
    thumbnails: dict[str, str] = {}
    crops: dict[int, Crop] = {}
    for slide in study.slides:
        if slide.image.path is None or slide.image.problem:
            continue
        progress(slide.image.name)
        try:
            with ExitStack() as stack:
                opened = stack.enter_context(open_slide(slide.image.path, mpp=slide.mpp))
                if slide.size != (opened.width, opened.height):
                    continue
                objects = [profile.item for profile in slide.profiles]
                picture = paint_overlay(opened, objects, width_px=THUMBNAIL_PX, color_by=color_by, boldness=2)
                thumbnails[slide.image.entry_id] = embed(picture, SLIDE_BYTES)
                for profile in slide.profiles:
                    if id(profile) in wanted:
                        crop = paint_crop(opened, profile.item, CROP_PX, color_by=color_by)
                        crops[id(profile)] = Crop(embed(crop, 12_000), _caption(slide, profile))
        except GlomsegError:
            continue  # that the image cannot be read stands among the slide's remarks
    return thumbnails, crops


def _density_maps(study: Study) -> tuple[float, list[tuple[str, str]]]:
    """Paint the density maps of the slides on one scale; return its upper end, and (name, picture)."""
    maps = [(slide.image.name, slide.density) for slide in study.slides if slide.inside and slide.density is not None]
    known = [values[np.isfinite(values)] for _, values in maps]
    top = max((float(np.percentile(values, 99)) for values in known if values.size), default=0.0)
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


def _embed_png(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def embed(picture: Image.Image, most_bytes: int) -> str:
    """Return a picture as a data URI: a JPEG of the best quality and size that keep it below `most_bytes`."""
    while True:
        for quality in (85, 75, 60, 45):
            file = io.BytesIO()
            picture.convert("RGB").save(file, "JPEG", quality=quality, optimize=True)
            if file.tell() <= most_bytes or max(picture.size) < 16:
                return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
        picture = picture.resize((max(1, picture.width // 2), max(1, picture.height // 2)))


def _caption(slide: MeasuredSlide, profile: Profile) -> str:
    size = f"{profile.shape.area_um2:,.0f} µm²" if profile.shape else f"{profile.shape_px.area_um2:,.0f} px²"
    sure = "" if profile.confidence is None else f", confidence {profile.confidence:.2f}"
    return f"{slide.image.name}: {size}{sure}"


def _charts(study: Study, rows: Mapping[str, Sequence[Row]]) -> list[Markup]:
    """Draw the distributions: a dot an animal where animals are known, else a dot a slide."""
    units = rows["animals"] or [{**row, "group": row["group"] or "all slides"} for row in rows["slides"]]
    names = sorted({str(row["group"] or "no group") for row in units})
    colors = {name: COLORS[index % len(COLORS)] for index, name in enumerate(names)}
    charts = []
    for quantity in ("mean_area_um2", "mean_circularity", "density_per_mm2"):
        known = [row for row in units if row.get(quantity) is not None]
        mixed = quantity == "density_per_mm2" and len({row.get("reference") for row in known}) > 1
        if len(known) > 1 and not mixed:
            groups = {
                name: [float(str(row[quantity])) for row in known if str(row["group"] or "no group") == name]
                for name in names
            }
            charts.append(
                dot_chart(
                    NAMES[quantity],
                    {key: value for key, value in groups.items() if value},
                    colors,
                    means=bool(rows["animals"]),
                )
            )
    return [Markup(chart) for chart in (*charts, *_curves(study, colors)) if chart]


def _curves(study: Study, colors: Mapping[str, str]) -> list[str]:
    named = animals(study)
    units = [(group_of(own) or "no group", own) for own in named.values()]
    if not named:
        units = [(slide.slide.sample.group or "all slides", [slide]) for slide in study.slides]
    areas: dict[str, list[list[float]]] = {}
    forms: dict[str, list[list[float]]] = {}
    for group, own in sorted(units, key=lambda unit: unit[0]):
        whole = [profile for slide in own for profile in slide.profiles if profile.whole]
        areas.setdefault(group, []).append([p.shape.area_um2 for p in whole if p.shape])
        forms.setdefault(group, []).append([p.shape_px.circularity for p in whole])
    return [
        curve_chart("Area of whole profiles (µm²)", areas, colors),
        curve_chart("Circularity of whole profiles", forms, colors),
    ]


def _effects(study: Study, rows: Sequence[Row]) -> Markup:
    """Draw the standardised differences to the reference group."""
    many = len({row["group"] for row in rows}) > 2
    drawn = []
    for row in rows:
        value, low, high = (float(str(row.get(name, "nan"))) for name in ("hedges_g", "hedges_g_low", "hedges_g_high"))
        if math.isfinite(value + low + high):
            label = NAMES[str(row["quantity"])] + (f": {row['group']}" if many else "")
            drawn.append((label, value, low, high))
    return Markup(effect_chart(drawn)) if drawn else Markup("")


def _template() -> jinja2.Template:
    """Load the template; style and script are put into it, so that the file needs nothing else."""
    folder = files("glomseg.report")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = number
    environment.globals["style"] = Markup((folder / "report.css").read_text(encoding="utf-8"))
    environment.globals["script"] = Markup((folder / "report.js").read_text(encoding="utf-8"))
    return environment.from_string((folder / "report.html.j2").read_text(encoding="utf-8"))


def number(value: object, digits: int = 3) -> str:
    """Write a number as a reader wants it: three digits that count, a dash for what is not known."""
    if value is None or value == "" or value != value:
        return "–"
    if not isinstance(value, float):
        return str(value)
    text = f"{value:,.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"
    return text.replace("-", "−")
