"""Whether the glomeruli of a slide are all that there are: not measured is not zero.

A true zero is a run that finished the image and found none, or a person's word that all of it was reviewed.
"""

from __future__ import annotations

from collections.abc import Sequence

import shapely

from glomseg.qupath.classes import is_class
from glomseg.runs.ownership import FINGERPRINT, RUN
from glomseg.segment.region import Region
from glomseg.study.edges import Ground, seen_share
from glomseg.study.records import MeasureSettings, Profile, RunFinding, StudySlide

UNREVIEWED = "nobody marked it as reviewed"
MAY_MISS = 0.02
"""Share of the tissue that may lie outside of what was looked at: its border is not sharp."""


def why_not_measured(slide: StudySlide, profiles: Sequence[Profile], settings: MeasureSettings) -> str:
    """Say why a slide counts as not measured, in a way that names what to do; empty for one that was measured."""
    if slide.image.data_problem:
        return slide.image.data_problem
    if slide.unread and not slide.is_as_reviewed:  # an older run's outlines never take its place unasked
        return slide.unread
    if _reviewed(slide, settings) or any(not profile.by_person for profile in profiles):
        return ""
    if slide.unread:
        return f"{slide.unread}, and {UNREVIEWED}"
    run = slide.run
    if run is None:
        return "" if profiles else f"{slide.failure or 'no run has finished it'}, and {UNREVIEWED}"
    if slide.source != "project" and slide.source:  # the outlines are the run's own
        return "" if profiles else _unknown_class(slide, settings)
    if run.found == 0:
        return "" if profiles else _unknown_class(slide, settings)
    outlines = f"the {run.found or ''} outlines of run {run.run_id}".replace("  ", " ")
    if run.undone:
        return "" if profiles else f"{outlines} were taken back, and {UNREVIEWED}"
    if not _stands(run, profiles):
        remedy = f"write them with: glomseg collect PROJECT {run.run_id}"
        return f"{outlines} are not in the project yet, and {UNREVIEWED}; {remedy}"
    if profiles or slide.rejected:
        return ""
    none = f"none of {outlines} stands in the project as {settings.class_name}"
    return f"{none}, and {UNREVIEWED}; mark it as reviewed if there is none"


def doubt(slide: StudySlide, profiles: Sequence[Profile], settings: MeasureSettings) -> str:
    """Say what makes the count of a slide that was measured doubtful, empty where nothing does."""
    if _reviewed(slide, settings) or not profiles or (slide.source != "project" and slide.source):
        return ""
    run = slide.run
    if (run is None or run.undone) and all(profile.by_person for profile in profiles):
        why = slide.failure or ("no run has finished it" if run is None else f"run {run.run_id} was taken back")
        return f"{why} and {UNREVIEWED}: the outlines that stand there are taken for all there are"
    if run is not None and not run.undone and not _stands(run, profiles) and run.found:
        return f"measured as it stands in the project: run {run.run_id} is newer and not in it yet"
    return ""


def unseen_part(slide: StudySlide, region: Region, ground: Ground | None) -> str:
    """Say that no run looked at a part of the tissue that counts, and nobody reviewed it; empty where all was seen."""
    run, image = slide.run, slide.image
    if run is None or run.area is None or run.undone or ground is None or image.is_reviewed:
        return ""
    share = seen_share(ground, region, shapely.union_all([run.area, *image.reviewed_regions]))
    if share > 1 - MAY_MISS:
        return ""
    return (
        f"run {run.run_id} looked at {share:.0%} of its tissue alone, and {UNREVIEWED}: the rest counts as tissue "
        "without glomeruli; draw a Cortex around what was looked at, or annotate all of it"
    )


def _stands(run: RunFinding, profiles: Sequence[Profile]) -> bool:
    """Tell whether the outlines of a run stand in the project, where the records of its writes are lost too."""
    own = [profile.item for profile in profiles if profile.item.metadata.get(RUN) == run.run_id]
    return run.in_project or any(item.metadata.get(FINGERPRINT) in run.outlines for item in own)


def _reviewed(slide: StudySlide, settings: MeasureSettings) -> bool:
    """Tell whether a person's word covers the whole image, and all that stands there could be read."""
    image = slide.image
    if not image.is_reviewed:
        return False
    if slide.is_read or slide.source == "project" or image.state is None:
        return True
    standing = [name for name in image.state.annotation_counts if is_class(name, settings.class_name)]
    is_summed_up = image.state.sha256 is None or image.state.object_count is not None
    return bool(slide.source) or (is_summed_up and not standing)


def _unknown_class(slide: StudySlide, settings: MeasureSettings) -> str:
    """Say so where a run could find nothing of the class, because its model does not know it."""
    run = slide.run
    if run is None or not run.classes or any(is_class(name, settings.class_name) for name in run.classes):
        return ""
    return f"the model of run {run.run_id} knows no class {settings.class_name}, and {UNREVIEWED}"
