"""What is known of a slide before it is measured, and what measuring it gives."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from glomseg.errors import MeasureError
from glomseg.labelled.sample_sheet import Sample
from glomseg.qupath.annotations import AnnotatedImage
from glomseg.qupath.classes import LeftOutObjects
from glomseg.qupath.objects import PathObject
from glomseg.segment.shape import Shape
from glomseg.slides.pixel_size import stated_mpp
from glomseg.study.pas import PasSettings, Stains

MOST_COEFFICIENT = 10.0
SCLEROTIC_CLASSES = ("Glomerulus: Sclerotic",)
CORTEX = "Cortex"


@dataclass(frozen=True, kw_only=True)
class RunFinding:
    """What the newest run that finished an image found there, and what became of it in the project.

    `found` counts outlines of any class, `classes` are those that the model tells apart (none where that is unknown).
    With `icc` it read colours by their ICC profile. `area` is the part of the image at which it and the runs before it
    looked, in level-0 pixels, None for all of it. `outlines` are the fingerprints of what it found, where no
    record says that this is in the project.
    """

    run_id: str
    found: int | None = None
    classes: tuple[str, ...] = ()
    in_project: bool = False
    undone: bool = False
    icc: bool = False
    area: BaseGeometry | None = None
    outlines: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class RunDescription:
    """How the outlines of a run were made.

    `parameters` are those in run.json as text; `reading_mpp` the um per pixel at which slides were read, the finest
    first. `minimum_area_um2`, `minimum_solidity` and `classes` come from the model's card, None and none where it is no
    longer found. The rest is as in `RunParameters`.
    """

    run_id: str
    started: str = ""
    ended: str = ""
    command: str = ""
    device: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    model: str = ""
    model_sha256: str = ""
    with_models: tuple[str, ...] = ()
    threshold: float | None = None
    reading_mpp: tuple[float, ...] = ()
    minimum_area_um2: float | None = None
    minimum_solidity: float | None = None
    classes: tuple[str, ...] = ()
    sureness: float | None = None
    species: str | None = None
    tta: bool = False
    tta_scales: tuple[float, ...] = ()
    post: str | None = None
    stitch: str | None = None
    overlap: float | None = None
    region: str | None = None
    sclerosis: str | None = None
    icc: bool = False


@dataclass(frozen=True, kw_only=True)
class StudySlide:
    """One image to measure, without what a person rejected in it, and the animal that it comes from.

    `source` says where the annotations were read: "project", "run <id>", or "" for an image that has none. `rejected`
    counts the outlines that a person rejected, `rejected_ids` name them. `run` is None where no run finished the image;
    `failure` says why then, where one tried. `unread` says of which newer result of it nothing is known.
    """

    image: AnnotatedImage
    source: str = ""
    is_read: bool = False
    sample: Sample = field(default_factory=Sample)
    rejected: int = 0
    rejected_ids: frozenset[str] = frozenset()
    run: RunFinding | None = None
    failure: str = ""
    unread: str = ""

    @property
    def is_as_reviewed(self) -> bool:
        """Tell whether its outlines are those that stand in the project, of which a mark there speaks."""
        return self.source in ("project", "")

    @property
    def icc(self) -> bool:
        """Tell whether the run that found its glomeruli read its colours by their ICC profile, so that pictures do."""
        return self.run is not None and self.run.icc


@dataclass(frozen=True, kw_only=True)
class MeasureSettings:
    """What to measure and how.

    `class_name` and the classes derived from it are glomeruli; those of `sclerotic` are globally sclerosed; `cortex`
    is the class of the reference region. `beta` and `k` are Weibel and Gomez's shape and size distribution
    coefficients. `mpp` (um in x and y) is for slides that do not say it. Without `pas` no pixels are deconvolved.
    Globally sclerosed profiles enter the means of size, form and stain only with `sclerotic_in_means`.
    """

    class_name: str = "Glomerulus"
    sclerotic: tuple[str, ...] = SCLEROTIC_CLASSES
    cortex: str = CORTEX
    beta: float = 1.38
    k: float = 1.01
    mpp: tuple[float, float] | None = None
    pas: PasSettings | None = None
    sclerotic_in_means: bool = False

    def __post_init__(self) -> None:
        """Refuse coefficients and sizes that cannot be; raises MeasureError."""
        for name, value in (("beta", self.beta), ("k", self.k)):
            if not 0 < value <= MOST_COEFFICIENT:
                raise MeasureError(
                    f"`{name}` is {value:g}; what Weibel and Gomez have is more than 0: beta 1.38 for spheres, k near 1"
                )
        if self.mpp is not None and stated_mpp(*self.mpp).mpp is None:
            raise MeasureError(f"`mpp` {stated_mpp(*self.mpp).remark}; give um per pixel such as 0.25")

    def enters_means(self, profile: Profile) -> bool:
        """Tell whether the size and form of a profile enter means."""
        return profile.whole and (self.sclerotic_in_means or not profile.sclerotic)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One glomerular profile. `shape` is None without a pixel size; `shape_px` counts in level-0 pixels.

    `suggested_sclerotic` tells that a classifier takes it for globally sclerosed, and nobody has judged it.
    `outside` says where its centre lies if it does not count: off the image or the reference region, or in an ignored
    one; `cut_by` names the edges that cut it ("image", "region", "ignored", "section").
    """

    item: PathObject
    by_person: bool
    reviewed: bool
    sclerotic: bool
    shape_px: Shape
    shape: Shape | None
    outside: str | None
    cut_by: tuple[str, ...]
    nearest_um: float | None = None
    edge_um: float | None = None
    pas_fraction: float | None = None
    suggested_sclerotic: bool = False

    @property
    def inside(self) -> bool:
        """Tell whether it is counted: where its centre lies."""
        return self.outside is None

    @property
    def whole(self) -> bool:
        """Tell whether it is seen whole: inside, and cut by nothing."""
        return self.inside and not self.cut_by

    @property
    def confidence(self) -> float | None:
        """Return the model's mean probability inside the outline, None for one that a person drew, or what is none."""
        value = self.item.measurements.get("Confidence")
        return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True, kw_only=True)
class MeasuredSlide:
    """A slide and its profiles. Areas are in um^2, None where they are not known.

    `not_measured` says why its profiles are not all that there are: nobody and nothing looked for them. It is left out
    of every sum and mean then. `doubt` says why they may not be all, though they are taken for that,
    and `left_out` counts what took no part.
    `colour_profile` describes an ICC profile that would change its colours.
    `sclerosis_judged_by` says who looked for global sclerosis: "model" where it has a class for it, "person", or "" for
    nobody.

    `reference` says what `reference_area_um2` is the area of: "cortex" (annotated) or "tissue" (all of it). `density`
    is a map of the slide (H, W) in profiles per mm^2, NaN off the tissue.
    """

    slide: StudySlide
    mpp: tuple[float, float] | None
    size: tuple[int, int] | None
    profiles: tuple[Profile, ...]
    reference: str = ""
    reference_area_um2: float | None = None
    profile_area_um2: float | None = None
    tissue_area_um2: float | None = None
    stains: Stains | None = None
    colour_profile: str | None = None
    sharpness: float | None = None
    density: NDArray[np.float32] | None = None
    remarks: tuple[str, ...] = ()
    not_measured: str = ""
    doubt: str = ""
    left_out: LeftOutObjects = field(default_factory=LeftOutObjects)
    sclerosis_judged_by: str = "person"

    @property
    def sclerosis_assessed(self) -> bool:
        """Tell whether anybody looked for global sclerosis."""
        return bool(self.sclerosis_judged_by)

    @property
    def sclerosis_partly_judged(self) -> bool:
        """Tell whether sclerosis rests on a person's judgement of some profiles only."""
        reviewed = sum(profile.reviewed for profile in self.profiles)
        return self.sclerosis_judged_by == "person" and 0 < reviewed < len(self.profiles)

    @property
    def measured(self) -> bool:
        """Tell whether somebody or something looked for glomeruli on it."""
        return not self.not_measured

    @property
    def image(self) -> AnnotatedImage:
        """Return the image and its annotations."""
        return self.slide.image

    @property
    def inside(self) -> list[Profile]:
        """List the profiles that are counted."""
        return [profile for profile in self.profiles if profile.inside]


@dataclass(frozen=True, kw_only=True)
class Study:
    """All slides with how they were measured, and what ought to be said about them.

    `path` is the project's file or the run folder that was measured, `primary` the quantity that the user named as the
    primary outcome, a column of the animals' table.
    """

    name: str
    settings: MeasureSettings
    slides: tuple[MeasuredSlide, ...]
    path: Path | None = None
    reference_group: str | None = None
    primary: str | None = None
    remarks: tuple[str, ...] = ()
    runs: tuple[RunDescription, ...] = ()


@dataclass(frozen=True)
class PlacedProfile:
    """A profile with the slide that it lies on, and how it was measured: what a row of the table speaks of."""

    slide: MeasuredSlide
    profile: Profile
    settings: MeasureSettings
