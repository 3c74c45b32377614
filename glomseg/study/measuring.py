"""Measure the glomeruli of one slide: form from the outlines, place from the tissue, stain from the pixels.

A profile is inside where its centre lies in the reference region (the cortex that was annotated, else the whole slide)
and in no ignored one. It is cut where its outline reaches the image's edge, crosses the border of the region or of an
ignored area, or lies along glass: such a profile is counted where its centre is, and left out of means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree
from shapely.geometry.base import BaseGeometry

from glomseg.errors import GlomsegError, SlideError
from glomseg.geometry import Box, paint
from glomseg.qupath.annotations import AnnotatedImage
from glomseg.qupath.objects import PathObject
from glomseg.runs.reviewed import persons_objects, reviewed_objects
from glomseg.segment.region import Region, read_region
from glomseg.segment.shape import measure_shape
from glomseg.segment.tissue import TissueMask, find_tissue
from glomseg.slides.slide import Slide, open_slide
from glomseg.study.density import density_map
from glomseg.study.pas import measure_pas
from glomseg.study.records import MeasuredSlide, MeasureSettings, Profile, StudySlide
from glomseg.study.sharpness import measure_sharpness

EDGE_PX = 1.0
"""An outline this near to the image's edge, in level-0 pixels, is cut by it."""

ALONG_GLASS = 0.1
"""The part of an outline beside glass from which a profile is cut by the section's edge."""


@dataclass(frozen=True)
class _Ground:
    """Tissue without what is ignored; `depth_um` is the distance to the nearest glass."""

    tissue: TissueMask
    depth_um: NDArray[np.float64]
    area_um2: float


def measure_slide(slide: StudySlide, settings: MeasureSettings) -> MeasuredSlide:
    """Measure the glomeruli among the annotations of a slide.

    Without the image: no tissue and no stain. Without a pixel size: pixels and ratios alone. What is missing stands
    in the `remarks` of the result; nothing is raised for it.
    """
    remarks: list[str] = []
    with ExitStack() as stack:
        opened = _open(slide.image, stack, remarks)
        mpp = slide.image.mpp or _own_mpp(opened) or settings.mpp
        if mpp is None:
            remarks.append("no pixel size: lengths and areas are in pixels; set it in QuPath, or give --mpp")
        if opened is not None and mpp is not None:
            opened.mpp_x, opened.mpp_y = mpp
        size = (opened.width, opened.height) if opened else slide.image.size_px
        region, reference = _region(slide.image.objects, settings)
        ground = _ground(opened, region, remarks) if opened is not None and mpp is not None else None
        profiles = _profiles(slide.image, settings, mpp, size, region, ground, remarks)
        measured = MeasuredSlide(slide=slide, mpp=mpp, size=size, profiles=tuple(profiles))
        if mpp is not None:
            measured = _with_areas(measured, region, reference, ground)
        if opened is not None and mpp is not None:
            measured = _with_pixels(measured, opened, settings, remarks)
    return replace(measured, remarks=tuple(remarks))


def _open(image: AnnotatedImage, stack: ExitStack, remarks: list[str]) -> Slide | None:
    """Open the image, or say why it cannot be read."""
    try:
        opened = stack.enter_context(open_slide(image.readable_path))
        if image.size_px is not None and image.size_px != (opened.width, opened.height):
            width, height = image.size_px
            raise SlideError(f"{image.path} is not {width} x {height} px; another image of that name?")
        return opened
    except GlomsegError as error:
        remarks.append(f"measured from the outlines alone: {error}")
        return None


def _own_mpp(opened: Slide | None) -> tuple[float, float] | None:
    return (opened.mpp_x, opened.mpp_y) if opened is not None and opened.mpp_x and opened.mpp_y else None


def _region(objects: Sequence[PathObject], settings: MeasureSettings) -> tuple[Region, str]:
    """Build the reference region and name it."""
    has_cortex = any(item.class_name == settings.cortex and item.geometry.area > 0 for item in objects)
    flat = [replace(item, geometry=_sound(item.geometry)) for item in objects if item.geometry.area > 0]
    region = read_region(flat, settings.cortex if has_cortex else None)
    return region or Region(None, shapely.union_all([])), "cortex" if has_cortex else "tissue"


def _ground(opened: Slide, region: Region, remarks: list[str]) -> _Ground | None:
    try:
        tissue = find_tissue(opened, margin_um=0)
    except GlomsegError as error:
        remarks.append(f"measured from the outlines alone: {error}")
        return None
    rows, columns = tissue.mask.shape
    step_x, step_y = tissue.downsample_x * opened.pixel_size[0], tissue.downsample_y * opened.pixel_size[1]
    frame = Box(0, 0, columns * tissue.downsample_x, rows * tissue.downsample_y)
    ignored = paint(region.ignored, frame, (rows, columns))
    depth = ndimage.distance_transform_edt(tissue.mask, sampling=(step_y, step_x))
    if tissue.mask.all():
        depth = np.full(tissue.mask.shape, math.inf)
    return _Ground(tissue, depth, float((tissue.mask & ~ignored).sum()) * step_x * step_y)


def _profiles(
    image: AnnotatedImage,
    settings: MeasureSettings,
    mpp: tuple[float, float] | None,
    size: tuple[int, int] | None,
    region: Region,
    ground: _Ground | None,
    remarks: list[str],
) -> list[Profile]:
    """Measure the outlines of the glomeruli and where they lie."""
    profiles, flat = [], 0
    persons, reviewed = persons_objects(image), reviewed_objects(image)
    for position, item in enumerate(image.objects):
        if not is_glomerulus(item, settings.class_name):
            continue
        outline = _sound(item.geometry)
        if outline.area <= 0:
            flat += 1
            continue
        profiles.append(
            Profile(
                item=replace(item, geometry=outline),
                by_person=position in persons,
                reviewed=position in reviewed | persons,
                sclerotic=item.class_name in settings.sclerotic,
                shape_px=measure_shape(outline, 1, 1),
                shape=measure_shape(outline, *mpp) if mpp else None,
                inside=region.holds(outline),
                cut_by=_cut_by(item, outline, size, region, ground),
                edge_um=_depth(ground, outline),
            )
        )
    if flat:
        remarks.append(f"{flat} of class {settings.class_name} without an area (points or lines) left out")
    return _with_neighbours(profiles, mpp) if mpp else profiles


def is_glomerulus(item: PathObject, class_name: str) -> bool:
    """Tell whether an object is an annotation of a class or of one derived from it."""
    return item.object_type == "annotation" and (item.class_name or "").split(": ")[0] == class_name


def _sound(outline: BaseGeometry) -> BaseGeometry:
    """Return the areas of an outline, valid; a person can draw one that crosses itself."""
    valid = outline if outline.is_valid else shapely.make_valid(outline)
    parts = [part for part in shapely.get_parts(valid) if part.geom_type in ("Polygon", "MultiPolygon")]
    return valid if valid.geom_type in ("Polygon", "MultiPolygon") else shapely.union_all(parts)


def _cut_by(
    item: PathObject, outline: BaseGeometry, size: tuple[int, int] | None, region: Region, ground: _Ground | None
) -> tuple[str, ...]:
    left, top, right, bottom = outline.bounds
    at_border = left <= EDGE_PX or top <= EDGE_PX
    if size is not None:
        at_border |= right >= size[0] - EDGE_PX or bottom >= size[1] - EDGE_PX
    reasons = {
        "image": at_border or item.measurements.get("Touches edge", 0) > 0,
        "region": region.area is not None and _crosses(outline, region.area),
        "ignored": _crosses(outline, region.ignored),
        "section": ground is not None and _glass_beside(ground, outline) >= ALONG_GLASS,
    }
    return tuple(name for name, cut in reasons.items() if cut)


def _crosses(outline: BaseGeometry, area: BaseGeometry) -> bool:
    """Tell whether an outline lies partly in and partly out of an area, by more than a thousandth of itself."""
    if not area.intersects(outline):
        return False
    within = outline.intersection(area).area / outline.area
    return bool(0.001 < within < 0.999)


def _glass_beside(ground: _Ground, outline: BaseGeometry) -> float:
    """Tell which part of an outline lies in glass, or in a pixel of the tissue mask that borders on it."""
    step = min(ground.tissue.downsample_x, ground.tissue.downsample_y)
    rim = shapely.segmentize(outline.boundary, step / 2)
    points = shapely.get_coordinates(rim)
    rows, columns = _grid(ground, points)
    mask = ground.tissue.mask
    core = ndimage.binary_erosion(
        mask[_window(rows, mask.shape[0])][:, _window(columns, mask.shape[1])], border_value=1
    )
    return float(1 - core[rows - max(0, rows.min() - 2), columns - max(0, columns.min() - 2)].mean())


def _window(at: NDArray[np.int64], size: int) -> slice:
    return slice(max(0, int(at.min()) - 2), min(size, int(at.max()) + 3))


def _depth(ground: _Ground | None, outline: BaseGeometry) -> float | None:
    """Return how far the centre of an outline lies from glass; None where that is unknown or there is no glass."""
    if ground is None:
        return None
    rows, columns = _grid(ground, np.array(outline.centroid.coords))
    depth = float(ground.depth_um[rows[0], columns[0]])
    return depth if math.isfinite(depth) else None


def _grid(ground: _Ground, points: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows, columns = ground.tissue.mask.shape
    down = np.clip(points[:, 1] / ground.tissue.downsample_y, 0, rows - 1).astype(np.int64)
    across = np.clip(points[:, 0] / ground.tissue.downsample_x, 0, columns - 1).astype(np.int64)
    return down, across


def _with_neighbours(profiles: list[Profile], mpp: tuple[float, float]) -> list[Profile]:
    """Add the distance from centre to centre of the nearest profile that is counted too."""
    inside = [index for index, profile in enumerate(profiles) if profile.inside]
    if len(inside) < 2:
        return profiles
    centres = np.array([profiles[index].item.geometry.centroid.coords[0] for index in inside]) * mpp
    distances = KDTree(centres).query(centres, k=2)[0][:, 1]
    nearest = dict(zip(inside, distances.tolist(), strict=True))
    return [replace(profile, nearest_um=nearest.get(index)) for index, profile in enumerate(profiles)]


def _with_areas(measured: MeasuredSlide, region: Region, reference: str, ground: _Ground | None) -> MeasuredSlide:
    """Add the areas of the reference region and of the glomeruli in it, and their density over the slide."""
    assert measured.mpp is not None
    pixel_um2 = measured.mpp[0] * measured.mpp[1]
    area = None if ground is None else ground.area_um2
    if region.area is not None:
        seen = region.processed(*(measured.size or (2**31, 2**31)))
        area = seen.area * pixel_um2
    covered = sum(_within(profile.item.geometry, region) for profile in measured.profiles) * pixel_um2
    centres = [profile.item.geometry.centroid.coords[0] for profile in measured.inside]
    return replace(
        measured,
        density=None if ground is None else density_map(ground.tissue, centres, measured.mpp),
        reference=reference if area else "",
        reference_area_um2=area or None,
        profile_area_um2=covered,
        tissue_area_um2=None if ground is None else ground.area_um2,
    )


def _within(outline: BaseGeometry, region: Region) -> float:
    """Return the area of an outline that lies in the reference region."""
    part = outline if region.area is None else outline.intersection(region.area)
    return float(part.difference(region.ignored).area)


def _with_pixels(
    measured: MeasuredSlide, opened: Slide, settings: MeasureSettings, remarks: list[str]
) -> MeasuredSlide:
    """Add what is measured on pixels: sharpness, and the PAS-positive fraction where it is asked for."""
    outlines = [profile.item.geometry for profile in measured.profiles]
    try:
        measured = replace(measured, sharpness=measure_sharpness(opened, outlines))
        if settings.pas is None or not outlines:
            return measured
        stain = measured.slide.sample.stain
        if stain and "pas" not in stain.lower():
            remarks.append(f"stained with {stain}: no PAS-positive fraction")
            return measured
        stains, fractions = measure_pas(opened, outlines, settings.pas)
    except GlomsegError as error:
        remarks.append(str(error))
        return measured
    profiles = [
        replace(profile, pas_fraction=None if math.isnan(fraction) else fraction)
        for profile, fraction in zip(measured.profiles, fractions, strict=True)
    ]
    return replace(measured, profiles=tuple(profiles), stains=stains)
