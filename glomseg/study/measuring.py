"""Measure the glomeruli of one slide: form from the outlines, place from the tissue, stain from the pixels.

A profile is inside where its centre lies in the reference region (the cortex that was annotated, else the whole slide),
on the image, and in no ignored one. One that an edge cuts is counted where its centre is, and left out of means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import shapely
from scipy.spatial import KDTree
from shapely.geometry.base import BaseGeometry

from glomseg.errors import GlomsegError, SlideError
from glomseg.geometry import polygons
from glomseg.qupath.annotations import AnnotatedImage
from glomseg.qupath.doubtful_outlines import describe_doubtful, describe_specks
from glomseg.qupath.objects import PathObject
from glomseg.runs.colour_profiles import profile_of
from glomseg.runs.reviewed import persons_objects, reviewed_objects
from glomseg.segment.region import IGNORED, Region, off_image, read_region
from glomseg.segment.shape import measure_shape
from glomseg.slides.readers import Pixels
from glomseg.slides.slide import Slide, open_slide
from glomseg.study.coverage import doubt, unseen_part, why_not_measured
from glomseg.study.density import density_map
from glomseg.study.edges import Ground, depth_um, edges_that_cut, find_ground
from glomseg.study.kinds import areas_of, is_cortex, is_glomerulus, is_sclerotic, is_suggested, spellings, unused
from glomseg.study.outside import describe_outside, why_outside
from glomseg.study.pas import measure_pas, sample_pixels
from glomseg.study.records import MeasuredSlide, MeasureSettings, Profile, StudySlide
from glomseg.study.sharpness import measure_sharpness

_SPECK_UM2 = 100.0
"""Of 11 um across, a seventh of a mouse's glomerulus: chosen, not measured, to say what a slipped click leaves."""


def measure_slide(slide: StudySlide, settings: MeasureSettings) -> MeasuredSlide:
    """Measure the glomeruli among the annotations of a slide.

    Without the image: no tissue and no stain. Without a pixel size: pixels and ratios alone. What is missing stands
    in the `remarks` of the result; nothing is raised for it.
    """
    remarks = [*slide.image.remarks, *spellings(slide.image, settings)]
    with ExitStack() as stack:
        opened = _open(slide.image, stack, remarks)
        mpp = slide.image.mpp or _own_mpp(opened) or settings.mpp
        if mpp is None:
            remarks.append("no pixel size: lengths and areas are in pixels; set it in QuPath, or give `mpp`")
        if opened is not None and mpp is not None:
            opened.mpp_x, opened.mpp_y = mpp
        size = (opened.width, opened.height) if opened else slide.image.size_px
        region, reference = _region(slide.image.objects, settings)
        off_slide = _off_slide(settings, region, size, remarks)
        ground = _ground(opened, region, remarks) if opened is not None and mpp is not None else None
        profiles = _profiles(slide, settings, mpp, size, region, ground)
        remarks += describe_outside([profile.outside for profile in profiles])
        remarks += _doubtful(profiles, mpp)
        result = MeasuredSlide(
            slide=slide,
            mpp=mpp,
            size=size,
            profiles=tuple(profiles),
            left_out=unused(slide.image, settings),
            sclerosis_judged_by=_sclerosis_judged_by(slide, profiles, settings),
            colour_profile=None if opened is None else profile_of(opened),
        )
        if mpp is not None:
            result = _with_areas(result, region, reference, ground)
        if opened is not None and mpp is not None:
            result = _with_pixels(result, opened, settings, remarks)
    not_measured = off_slide or why_not_measured(slide, profiles, settings)
    doubts = [] if not_measured else [doubt(slide, profiles, settings), unseen_part(slide, region, ground)]
    doubtful = "; ".join(filter(None, doubts))
    return replace(result, remarks=tuple(remarks), not_measured=not_measured, doubt=doubtful)


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


def _ground(opened: Slide, region: Region, remarks: list[str]) -> Ground | None:
    """Find the tissue, or say why it cannot be found."""
    try:
        return find_ground(opened, region)
    except GlomsegError as error:
        remarks.append(f"measured from the outlines alone: {error}")
        return None


def sample_stain(slide: StudySlide, settings: MeasureSettings) -> Pixels | None:
    """Read some stained pixels (N, 3) at and around the glomeruli of a slide; None where there are none to read."""
    image = slide.image
    outlines = [areas_of(item.geometry) for item in image.objects if is_glomerulus(item, settings)]
    outlines = [outline for outline in outlines if outline.area > 0]
    if settings.pas is None or not outlines or not is_pas(slide):
        return None
    try:
        with open_slide(image.readable_path) as opened:
            mpp = image.mpp or _own_mpp(opened) or settings.mpp
            if mpp is None or image.size_px not in (None, (opened.width, opened.height)):
                return None
            opened.mpp_x, opened.mpp_y = mpp
            return sample_pixels(opened, outlines, settings.pas)
    except GlomsegError:
        return None  # why the slide cannot be read is said when it is measured


def is_pas(slide: StudySlide) -> bool:
    """Tell whether a slide may be stained with PAS: nobody says that it is another stain."""
    return not slide.sample.stain or "pas" in slide.sample.stain.lower()


def _own_mpp(opened: Slide | None) -> tuple[float, float] | None:
    return None if opened is None else opened.known_mpp


def _region(objects: Sequence[PathObject], settings: MeasureSettings) -> tuple[Region, str]:
    """Build the reference region and name it."""
    flat = [
        replace(
            item,
            geometry=areas_of(item.geometry),
            class_name=settings.cortex if is_cortex(item, settings) else item.class_name,
        )
        for item in objects
        if item.geometry.area > 0
    ]
    has_cortex = any(is_cortex(item, settings) for item in flat)
    region = read_region(flat, settings.cortex if has_cortex else None)
    return region or Region(None, shapely.union_all([])), "cortex" if has_cortex else "tissue"


def _off_slide(settings: MeasureSettings, region: Region, size: tuple[int, int] | None, remarks: list[str]) -> str:
    """Say why a slide cannot be measured whose cortex lies off it; add to the remarks where a part of it does."""
    if size is None:
        return ""
    cortex = [] if region.area is None else polygons(region.area)
    if said := off_image(cortex, *size, f"areas of class {settings.cortex}"):
        remarks.append(f"{said}, and are not counted")
    if cortex and region.processed(*size).area == 0:
        if region.area is not None and region.area.intersects(shapely.box(0, 0, *size)):
            return f"all of its {settings.cortex} lies in areas of class {IGNORED}"
        return f"no area of class {settings.cortex} lies on the image, which is {size[0]} x {size[1]} px"
    if region.processed(*size).area == 0:
        return f"all of it lies in areas of class {IGNORED}"
    return ""


def _profiles(
    slide: StudySlide,
    settings: MeasureSettings,
    mpp: tuple[float, float] | None,
    size: tuple[int, int] | None,
    region: Region,
    ground: Ground | None,
) -> list[Profile]:
    """Measure the outlines of the glomeruli and where they lie.

    A mark on an image says nothing of outlines that were read from a run, and a suggestion of a classifier is settled
    by a verdict or a class that a person gives to that very outline, and not by such a mark.
    """
    profiles, image = [], slide.image
    persons, reviewed = persons_objects(image), reviewed_objects(image) if slide.is_as_reviewed else frozenset()
    for position, item in enumerate(image.objects):
        if not is_glomerulus(item, settings):
            continue
        is_reviewed = position in reviewed | persons
        outline = areas_of(item.geometry)
        if outline.area <= 0:
            continue
        profiles.append(
            Profile(
                item=replace(item, geometry=outline),
                by_person=position in persons,
                reviewed=is_reviewed,
                sclerotic=is_sclerotic(item.class_name, settings),
                shape_px=measure_shape(outline, 1, 1),
                shape=measure_shape(outline, *mpp) if mpp else None,
                outside=why_outside(outline, size, region, settings.cortex),
                cut_by=edges_that_cut(item, outline, size, region, ground),
                edge_um=depth_um(ground, outline),
                suggested_sclerotic=is_suggested(item, settings) and position not in persons,
            )
        )
    return _with_neighbours(profiles, mpp) if mpp else profiles


def _doubtful(profiles: Sequence[Profile], mpp: tuple[float, float] | None) -> list[str]:
    """Say which outlines may not be one glomerulus each; what an edge of the slide or the tissue cuts may be small."""
    whole = [profile.item.geometry for profile in profiles if not profile.cut_by]
    smallest = 1.0 if mpp is None else _SPECK_UM2 / (mpp[0] * mpp[1])
    return describe_doubtful([profile.item.geometry for profile in profiles]) + describe_specks(whole, smallest)


def _sclerosis_judged_by(slide: StudySlide, profiles: Sequence[Profile], settings: MeasureSettings) -> str:
    """Tell whether a model that has a class for sclerosed glomeruli looked at a slide, or a person, or nobody."""
    classes = slide.run.classes if slide.run is not None else ()
    by_model = any(is_sclerotic(name, settings) for name in classes)
    if by_model or any(profile.sclerotic and not profile.by_person for profile in profiles):
        return "model"
    is_reviewed = slide.image.is_reviewed and slide.is_as_reviewed
    by_person = is_reviewed or bool(slide.rejected) or any(profile.reviewed for profile in profiles)
    return "person" if by_person else ""


def _with_neighbours(profiles: list[Profile], mpp: tuple[float, float]) -> list[Profile]:
    """Add the distance from centre to centre of the nearest profile that is counted too."""
    inside = [index for index, profile in enumerate(profiles) if profile.inside]
    if len(inside) < 2:
        return profiles
    centres = np.array([profiles[index].item.geometry.centroid.coords[0] for index in inside]) * mpp
    distances = KDTree(centres).query(centres, k=2)[0][:, 1]
    nearest = dict(zip(inside, distances.tolist(), strict=True))
    return [replace(profile, nearest_um=nearest.get(index)) for index, profile in enumerate(profiles)]


def _with_areas(result: MeasuredSlide, region: Region, reference: str, ground: Ground | None) -> MeasuredSlide:
    """Add the areas of the reference region and of the glomeruli in it, and their density over the slide."""
    assert result.mpp is not None
    pixel_um2 = result.mpp[0] * result.mpp[1]
    area = None if ground is None else ground.area_um2
    if region.area is not None:
        seen = region.processed(*(result.size or (2**31, 2**31)))
        area = seen.area * pixel_um2
    covered = sum(_within(profile.item.geometry, region) for profile in result.profiles) * pixel_um2
    centres = [profile.item.geometry.centroid.coords[0] for profile in result.inside]
    return replace(
        result,
        density=None if ground is None else density_map(ground.tissue, centres, result.mpp),
        reference=reference if area else "",
        reference_area_um2=area or None,
        profile_area_um2=covered,
        tissue_area_um2=None if ground is None else ground.area_um2,
    )


def _within(outline: BaseGeometry, region: Region) -> float:
    """Return the area of an outline that lies in the reference region."""
    part = outline if region.area is None else outline.intersection(region.area)
    return float(part.difference(region.ignored).area)


def _with_pixels(result: MeasuredSlide, opened: Slide, settings: MeasureSettings, remarks: list[str]) -> MeasuredSlide:
    """Add what is measured on pixels: sharpness, and the PAS-positive fraction where it is asked for."""
    outlines = [profile.item.geometry for profile in result.profiles]
    try:
        result = replace(result, sharpness=measure_sharpness(opened, outlines))
        if settings.pas is None or not outlines:
            return result
        if not is_pas(result.slide):
            remarks.append(f"stained with {result.slide.sample.stain}: no PAS-positive fraction")
            return result
        stains, fractions = measure_pas(opened, outlines, settings.pas)
    except GlomsegError as error:
        remarks.append(str(error))
        return result
    profiles = [
        replace(profile, pas_fraction=None if math.isnan(fraction) else fraction)
        for profile, fraction in zip(result.profiles, fractions, strict=True)
    ]
    return replace(result, profiles=tuple(profiles), stains=stains)
