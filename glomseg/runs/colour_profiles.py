"""What is said of the ICC profiles of a run's images: once, by name, applied or not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from glomseg.listing import first_names
from glomseg.runs.image_record import ImageRecord
from glomseg.slides.slide import Slide


def profile_of(slide: Slide, *, icc: bool) -> str | None:
    """Describe the ICC profile of a slide, where it is applied (`icc`) or would change its colours; else None."""
    profile = slide.colour_profile
    return str(profile) if profile is not None and (icc or profile.differs) else None


def say_profiles(records: Iterable[ImageRecord], *, icc: bool) -> tuple[str, ...]:
    """Say which images have which profile, and what was made of it; nothing where none could matter."""
    by_profile: dict[str, list[str]] = {}
    without = []
    for record in records:
        if record.colour_profile is None:
            without.append(record.name)
        else:
            by_profile.setdefault(record.colour_profile, []).append(record.name)
    made = "it was applied" if icc else "it was not applied, colours are read as they are stored; `icc` applies it"
    said = [f"ICC profile ({profile}) of {_some(names)}: {made}" for profile, names in by_profile.items()]
    if icc and without:
        said.append(f"no ICC profile is in {_some(without)}: read as stored")
    return tuple(said)


def _some(names: Sequence[str]) -> str:
    return f"{len(names)} image{'s' if len(names) > 1 else ''} ({first_names(names)})"
