"""From profiles to slides and animals: one record that sums up either.

A slide and an animal are summed up alike: an animal is all its slides together, so that its densities are all its
profiles over all its area. Nothing treats a glomerulus as if it were an animal. A slide that was not measured takes
no part.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from glomseg.segment.shape import Shape
from glomseg.study.records import MeasuredSlide, MeasureSettings, Profile, Study

FEW_PROFILES = 10
"""A mean area needs about as many whole profiles (Hoy et al. 2006)."""


def mean_volume_um3(mean_area_um2: float, beta: float, k: float) -> float:
    """Return the mean volume of glomeruli from the mean area of their profiles (Weibel and Gomez 1962)."""
    return beta / k * math.pow(mean_area_um2, 1.5)


def numerical_density_per_mm3(per_mm2: float, area_fraction: float, beta: float, k: float) -> float:
    """Return the number of glomeruli in a mm^3 from profiles per mm^2 and their area fraction (Weibel and Gomez)."""
    return k / beta * math.pow(per_mm2, 1.5) / math.sqrt(area_fraction)


@dataclass(frozen=True)
class StudySummary:
    """The profiles of one slide, or of all slides of an animal; None stands for what cannot be known."""

    slides: tuple[MeasuredSlide, ...]
    settings: MeasureSettings

    @classmethod
    def of(cls, slides: Iterable[MeasuredSlide], settings: MeasureSettings) -> StudySummary | None:
        """Sum up those of some slides that were measured; None where none was."""
        usable = tuple(slide for slide in slides if slide.measured)
        return cls(usable, settings) if usable else None

    @cached_property
    def profiles(self) -> list[Profile]:
        """List all profiles."""
        return [profile for slide in self.slides for profile in slide.profiles]

    @cached_property
    def inside(self) -> list[Profile]:
        """List the profiles that are counted."""
        return [profile for profile in self.profiles if profile.inside]

    @cached_property
    def in_means(self) -> list[Profile]:
        """List the profiles whose size and form enter means."""
        return [profile for profile in self.inside if self.settings.enters_means(profile)]

    @cached_property
    def shapes(self) -> list[Shape]:
        """List the forms in um of the profiles that enter means."""
        return [profile.shape for profile in self.in_means if profile.shape]

    @cached_property
    def mean_area_um2(self) -> float | None:
        """Give the mean area."""
        return mean(shape.area_um2 for shape in self.shapes)

    @property
    def sd_area_um2(self) -> float | None:
        """Give the standard deviation of the area."""
        return statistics.stdev(shape.area_um2 for shape in self.shapes) if len(self.shapes) > 1 else None

    @property
    def mean_volume_um3(self) -> float | None:
        """Give the mean volume after Weibel and Gomez."""
        area = self.mean_area_um2
        return None if area is None else mean_volume_um3(area, self.settings.beta, self.settings.k)

    def mean_of(self, value: Callable[[Profile], float | None], among: Sequence[Profile]) -> float | None:
        """Give the mean of what is known of some profiles."""
        return mean(number for profile in among if (number := value(profile)) is not None)

    @cached_property
    def assessed(self) -> list[Profile] | None:
        """List the counted profiles of the slides on which sclerosis was assessed, None where it was on none."""
        slides = [slide for slide in self.slides if slide.sclerosis_assessed]
        return [profile for slide in slides for profile in slide.inside] if slides else None

    @property
    def sclerotic(self) -> int | None:
        """Count the globally sclerotic profiles."""
        return None if self.assessed is None else sum(profile.sclerotic for profile in self.assessed)

    @property
    def suggested_sclerotic(self) -> int:
        """Count the counted profiles that a classifier takes for globally sclerosed and that nobody has judged."""
        return sum(profile.suggested_sclerotic for profile in self.inside)

    @property
    def non_sclerotic(self) -> int | None:
        """Count the other profiles, of slides on which sclerosis was assessed."""
        return None if self.assessed is None else sum(not profile.sclerotic for profile in self.assessed)

    @property
    def sclerotic_percent(self) -> float | None:
        """Give the share of globally sclerotic profiles."""
        return 100 * (self.sclerotic or 0) / len(self.assessed) if self.assessed else None

    @property
    def reviewed_percent(self) -> float | None:
        """Give the share of the profiles that a person drew, changed, judged or marked as reviewed."""
        return 100 * sum(p.reviewed for p in self.profiles) / len(self.profiles) if self.profiles else None

    @cached_property
    def reference(self) -> str | None:
        """Name what densities refer to; "mixed" where slides differ, None where no area is known."""
        named = {slide.reference for slide in self._with_area}
        return ("mixed" if len(named) > 1 else named.pop()) if named else None

    @property
    def reference_area_um2(self) -> float | None:
        """Give the area that densities refer to; of cortex and of tissue none is made one."""
        return _area(self._with_area) if self._one_reference else None

    @property
    def density_per_mm2(self) -> float | None:
        """Give the counted profiles per mm^2 of the reference area."""
        return self._density(lambda profile: True)

    @property
    def non_sclerotic_density_per_mm2(self) -> float | None:
        """Give the other than globally sclerotic profiles per mm^2, of slides on which sclerosis was assessed."""
        slides = [slide for slide in self._with_area if slide.sclerosis_assessed]
        return self._density(lambda profile: not profile.sclerotic, slides)

    @property
    def area_fraction(self) -> float | None:
        """Give the area of all counted profiles in the reference area, as a part of it."""
        if not self._one_reference:
            return None
        return sum(slide.profile_area_um2 or 0 for slide in self._with_area) / _area(self._with_area)

    @property
    def numerical_density_per_mm3(self) -> float | None:
        """Give the number of glomeruli in a mm^3 after Weibel and Gomez, of the kind whose mean area is known.

        The volume fraction is their number per area times their mean area, so that number and mean volume speak of
        the same profiles, and their product is that fraction.
        """
        settings, area = self.settings, self.mean_area_um2
        density = self._density(lambda profile: settings.sclerotic_in_means or not profile.sclerotic)
        if not density or not area:
            return None
        return numerical_density_per_mm3(density, density * area / 1e6, settings.beta, settings.k)

    @cached_property
    def _with_area(self) -> list[MeasuredSlide]:
        return [slide for slide in self.slides if slide.reference_area_um2 and slide.profile_area_um2 is not None]

    @property
    def _one_reference(self) -> bool:
        return self.reference not in (None, "mixed")

    def _density(
        self, counts: Callable[[Profile], bool], slides: Sequence[MeasuredSlide] | None = None
    ) -> float | None:
        """Relate profiles to the area that they were found in; only slides whose area is known take part."""
        slides = self._with_area if slides is None else slides
        if not self._one_reference or not slides:
            return None
        return sum(counts(profile) for slide in slides for profile in slide.inside) / (_area(slides) / 1e6)


@dataclass(frozen=True)
class Animal:
    """An animal with its slides, and its group, empty where they name none or several."""

    name: str
    group: str
    slides: tuple[MeasuredSlide, ...]
    summary: StudySummary | None

    @property
    def measured(self) -> int:
        """Count the slides that were measured."""
        return len(self.summary.slides) if self.summary else 0


def animals(study: Study) -> list[Animal]:
    """Gather the slides of each animal, by name; slides of no known animal belong to none."""
    gathered: dict[str, list[MeasuredSlide]] = {}
    for slide in study.slides:
        if slide.slide.sample.animal:
            gathered.setdefault(slide.slide.sample.animal, []).append(slide)
    return [
        Animal(name, group_of(slides), tuple(slides), StudySummary.of(slides, study.settings))
        for name, slides in sorted(gathered.items())
    ]


def group_of(slides: Iterable[MeasuredSlide]) -> str:
    """Return the group of an animal: the one that its slides name, if they name one."""
    groups = {slide.slide.sample.group for slide in slides} - {""}
    return groups.pop() if len(groups) == 1 else ""


def mean(values: Iterable[float]) -> float | None:
    """Return the mean of values, None for none."""
    listed = list(values)
    return statistics.fmean(listed) if listed else None


def _area(slides: Iterable[MeasuredSlide]) -> float:
    return sum(slide.reference_area_um2 or 0 for slide in slides)
