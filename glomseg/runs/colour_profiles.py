"""What is said of the ICC profiles of images: once, by name, applied or not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from glomseg.listing import first_names
from glomseg.runs.image_record import ImageRecord
from glomseg.slides.slide import Slide


def profile_of(slide: Slide, *, icc: bool = False) -> str | None:
    """Describe the ICC profile of a slide, where it is applied (`icc`) or would change its colours; else None."""
    profile = slide.colour_profile
    return str(profile) if profile is not None and (icc or profile.differs) else None


def say_profiles(records: Iterable[ImageRecord], *, icc: bool) -> tuple[str, ...]:
    """Say which images of a run have which profile, and what was made of it; nothing where none could matter."""
    profiles = [(record.name, record.colour_profile) for record in records]
    made = "it was applied" if icc else "it was not applied, colours are read as they are stored; `icc` applies it"
    without = [name for name, profile in profiles if profile is None]
    said = (f"no ICC profile is in {_some(without)}: read as stored",) if icc and without else ()
    return (*name_profiles(profiles, made), *said)


def name_profiles(profiles: Iterable[tuple[str, str | None]], made: str) -> tuple[str, ...]:
    """Say of images, (name, what `profile_of` says), which have which profile, and what was `made` of it."""
    by_profile: dict[str, list[str]] = {}
    for name, profile in profiles:
        if profile is not None:
            by_profile.setdefault(profile, []).append(name)
    return tuple(f"ICC profile ({profile}) of {_some(names)}: {made}" for profile, names in by_profile.items())


def _some(names: Sequence[str]) -> str:
    return f"{len(names)} image{'s' if len(names) > 1 else ''} ({first_names(names)})"
