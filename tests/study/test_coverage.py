"""Not measured is not zero: whose word makes the count of a slide the count of all there is."""

from dataclasses import replace

import pytest
from shapely.geometry import box

from glomseg.qupath.annotations import AnnotatedImage
from glomseg.qupath.objects import PathObject
from glomseg.qupath.project import ImageState
from glomseg.runs.ownership import stamp
from glomseg.study.measuring import measure_slide
from glomseg.study.records import MeasuredSlide, MeasureSettings, RunFinding, Study, StudySlide
from glomseg.study.tables import record

DRAWN = PathObject(geometry=box(0, 0, 90, 90), class_name="Glomerulus")
FOUND = stamp(DRAWN, run="r", model="m")
OFFERED = stamp(replace(DRAWN, geometry=box(99, 0, 190, 90)), run="r", model="m")  # by its review, as a candidate
ACCEPTED = replace(OFFERED, is_locked=True, metadata={**OFFERED.metadata, "glomseg.verdict": "accept"})
OLDER = stamp(DRAWN, run="q", model="m")
REVIEWED = {"glomseg.reviewed": "AB 2026-11-25"}
NOT_YET = RunFinding(run_id="r", found=3, outlines=frozenset([FOUND.metadata["glomseg.fingerprint"]]))
COLLECTED = RunFinding(run_id="r", found=3, in_project=True)
UNDONE = RunFinding(run_id="r", found=3, undone=True)
NONE = RunFinding(run_id="r", found=0, classes=("Glomerulus",))


def measured(*objects: PathObject, metadata=None, state=None, class_name="Glomerulus", **values) -> MeasuredSlide:
    image = AnnotatedImage(
        entry_id="1", name="s", mpp=(1, 1), size_px=(999, 999), objects=objects, metadata=metadata or {}, state=state
    )
    return measure_slide(StudySlide(image=image, **values), MeasureSettings(class_name=class_name))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, "no run has finished it"),
        ({"failure": "run r did not finish it (no such file)"}, "no such file"),
        ({"run": NONE}, ""),
        ({"run": NONE, "source": "run r"}, ""),
        ({"run": RunFinding(run_id="r", found=0, classes=("Tubule",))}, "knows no class Glomerulus"),
        ({"run": NOT_YET}, "glomseg collect"),
        ({"run": COLLECTED}, "none of the 3 outlines of run r stands in the project as Glomerulus"),
        ({"run": COLLECTED, "rejected": 3}, ""),
        ({"run": UNDONE}, "were taken back"),
        ({"metadata": REVIEWED}, ""),
        ({"metadata": REVIEWED, "run": UNDONE}, ""),
        ({"metadata": REVIEWED, "state": ImageState(sha256="a", annotation_counts={"Glomerulus": 2})}, "no run"),
        ({"metadata": REVIEWED, "state": ImageState(sha256="a", object_count=2, annotation_counts={"Cortex": 2})}, ""),
        ({"metadata": REVIEWED, "state": ImageState(sha256="a")}, "no run"),  # what stands there is not known
        ({"metadata": REVIEWED, "state": ImageState(sha256="a"), "is_read": True}, ""),
    ],
)
def test_without_any_glomerulus(values: dict[str, object], why: str) -> None:
    slide = measured(**values)
    assert slide.measured == (not why)
    assert why in slide.not_measured


@pytest.mark.parametrize(
    ("objects", "values", "why", "doubt"),
    [
        ((DRAWN,), {}, "", "taken for all there are"),
        ((DRAWN,), {"metadata": REVIEWED}, "", ""),
        ((DRAWN,), {"run": UNDONE}, "", "taken back"),
        ((DRAWN,), {"run": COLLECTED}, "", ""),
        ((DRAWN,), {"run": NONE}, "", ""),
        ((DRAWN,), {"run": NOT_YET}, "not in the project yet", ""),
        ((DRAWN,), {"run": NOT_YET, "metadata": REVIEWED}, "", ""),
        ((ACCEPTED,), {"run": NOT_YET}, "not in the project yet", ""),
        ((ACCEPTED, DRAWN), {"run": NOT_YET}, "not in the project yet", ""),
        ((ACCEPTED, FOUND), {"run": NOT_YET}, "", ""),
        ((ACCEPTED,), {"run": COLLECTED}, "", ""),
        ((ACCEPTED,), {"run": NOT_YET, "metadata": REVIEWED}, "", ""),
        ((OLDER,), {"run": NOT_YET}, "", "is newer and not in it yet"),
        ((FOUND,), {"run": NOT_YET}, "", ""),
        ((FOUND,), {}, "", ""),
        ((FOUND,), {"run": NOT_YET, "source": "run r"}, "", ""),
        ((OLDER,), {"unread": "run s cannot be read"}, "", ""),
        ((DRAWN,), {"unread": "run s cannot be read", "run": NONE}, "run s cannot be read", ""),
        ((DRAWN,), {"unread": "run s cannot be read", "metadata": REVIEWED}, "", ""),
        ((FOUND,), {"unread": "run s cannot be read", "source": "run r", "metadata": REVIEWED}, "cannot be read", ""),
    ],
)
def test_with_glomeruli(objects: tuple[PathObject, ...], values: dict[str, object], why: str, doubt: str) -> None:
    slide = measured(*objects, **{"source": "project", **values})
    assert slide.measured == (not why)
    assert why in slide.not_measured
    assert doubt in slide.doubt
    assert bool(doubt) == bool(slide.doubt)


def test_the_record_names_each_of_two_images_of_one_name():
    one = measured()
    other = replace(one, slide=replace(one.slide, image=replace(one.image, entry_id="2"), run=NOT_YET))
    other = replace(other, not_measured="not collected")
    said = record(Study(name="s", settings=MeasureSettings(), slides=(one, other)))["not_measured"]
    assert said == {"s (id 1)": one.not_measured, "s (id 2)": "not collected"}
    assert record(Study(name="s", settings=MeasureSettings(), slides=(one,)))["not_measured"] == {"s": one.not_measured}
