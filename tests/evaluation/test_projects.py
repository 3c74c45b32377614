"""A project as one side of a comparison: an image that cannot be read leaves the others."""

from dataclasses import replace
from pathlib import Path

import pytest
from shapely.geometry import box

from glomseg.errors import EvaluationError
from glomseg.evaluation.evaluate import EvaluateSettings, evaluate
from glomseg.evaluation.projects import without_unread, without_unseen
from glomseg.evaluation.same_project import find_sides
from glomseg.labelled.find_files import Source
from glomseg.labelled.label_files import Selection
from glomseg.labelled.pairs import Pair
from glomseg.qupath.annotations import AnnotatedImage
from glomseg.qupath.classes import LeftOutObjects
from glomseg.qupath.objects import PathObject, write_geojson
from glomseg.runs.image_record import Collected, ImageRecord, State, Undone
from glomseg.runs.ownership import stamp
from glomseg.runs.run import Run, RunParameters, now


def pair(name: str, **image) -> Pair:
    annotated = AnnotatedImage(entry_id=name, name=name, size_px=(100, 100), mpp=(0.5, 0.5), **image)
    side = Source(path=Path("project.qpproj"), stem=name, annotated=annotated)
    return Pair(key=name, predicted=side, true=side)


def test_an_image_that_cannot_be_read_is_left_out_and_named() -> None:
    outline = PathObject(geometry=box(10, 10, 50, 50), class_name="Glomerulus")
    good, bad = pair("a", objects=(outline,)), pair("b", data_problem="data.qpdata is damaged")
    kept, remarks = without_unread([good, bad])
    assert kept == [good]
    assert remarks == ["b: data.qpdata is damaged; left out"]
    with pytest.raises(EvaluationError, match=r"b: data\.qpdata is damaged"):
        without_unread([bad])


def outlined(name: str = "Glomerulus", **more) -> PathObject:
    return PathObject(geometry=box(10, 10, 50, 50), class_name=name, **more)


OURS = stamp(outlined(), run="r", model="m")
REVIEW = {"glomseg.reviewed": "AB"}
BY_RUN, BY_PERSON, BY_ALL = (Selection(whose=whose) for whose in ("machine", "person", "all"))


@pytest.mark.parametrize(
    ("image", "predicted", "true", "missing", "said"),
    [
        ({}, None, BY_ALL, "refuse", "its truth is not known; left out"),
        ({"objects": (outlined("Cortex"),)}, None, BY_ALL, "refuse", "its truth is not known; left out"),
        ({"metadata": REVIEW}, None, BY_ALL, "refuse", ""),
        ({"objects": (outlined(),)}, None, BY_ALL, "refuse", ""),
        ({"objects": (OURS,)}, None, BY_ALL, "refuse", "what a run put there counts as true"),
        ({"objects": (OURS,), "metadata": REVIEW}, None, BY_ALL, "refuse", ""),
        ({"objects": (OURS,)}, BY_RUN, BY_PERSON, "refuse", "its truth is not known; left out"),
        ({"objects": (outlined(),)}, BY_RUN, BY_PERSON, "refuse", "has worked on it; left out"),
        ({"objects": (outlined(),)}, BY_RUN, BY_PERSON, "skip", "has worked on it; left out"),
        ({"objects": (outlined(),)}, BY_RUN, BY_PERSON, "empty", ""),
        ({"objects": (OURS, outlined())}, BY_RUN, BY_PERSON, "refuse", ""),
        ({"metadata": REVIEW}, BY_RUN, BY_PERSON, "refuse", "has worked on it"),
        ({"metadata": REVIEW}, BY_ALL, BY_PERSON, "refuse", ""),
    ],
)
def test_an_image_that_nobody_looked_at_is_no_empty_image(image, predicted, true, missing, said) -> None:
    good = pair("good", objects=(OURS, outlined()), metadata=REVIEW)
    seen = without_unseen([good, pair("a", **image)], predicted, true, missing=missing)
    assert good in seen.pairs
    assert (len(seen.pairs) == 1) == ("left out" in said or "has worked" in said)
    assert any("a" in remark and said in remark for remark in seen.remarks) if said else not seen.remarks


def test_a_run_that_found_nothing_has_looked(tmp_path) -> None:
    run = Run(tmp_path / "glomseg/r", "r", RunParameters(), started=now())
    collected = Collected(at=now(), added=0, removed=0, kept=0)
    run.update("a", ImageRecord(name="a", state=State.DONE, collected=collected))
    one = pair("a", metadata=REVIEW)
    here = replace(one.true, path=tmp_path / "project.qpproj")
    looked = replace(one, predicted=here, true=here)
    assert without_unseen([looked], BY_RUN, BY_PERSON).pairs == (looked,)
    run.update("a", replace(run.images["a"], undone=Undone(at=now())))
    for asked in (BY_RUN, Selection(whose="run:other")):
        with pytest.raises(EvaluationError, match=r"nothing to compare: a: no run or person"):
            without_unseen([looked], asked, BY_PERSON)


def test_a_run_whose_finds_stood_already_is_not_scored_as_empty(tmp_path) -> None:
    run = Run(tmp_path / "glomseg/r", "r", RunParameters(), started=now())
    collected = Collected(at=now(), added=0, removed=0, kept=6)
    run.update("a", ImageRecord(name="a", state=State.DONE, glomeruli=6, collected=collected))
    by_r = Selection(whose="run:r")
    one = pair("a", objects=(outlined(),), metadata=REVIEW)
    here = replace(one.true, path=tmp_path / "project.qpproj")
    looked = replace(one, predicted=here, true=here)
    with pytest.raises(EvaluationError, match=r"a: what run r found there \(6\) was not added"):
        without_unseen([looked], by_r, BY_PERSON)
    run.update("a", replace(run.images["a"], collected=replace(collected, added=6)))  # a person deleted them since
    assert without_unseen([looked], by_r, BY_PERSON).pairs == (looked,)
    own = tuple(outlined(metadata={"glomseg.run": "r"}) for _ in range(6))
    for count in (4, 6):
        some = replace(here, annotated=replace(here.annotated, objects=own[:count]))
        seen = without_unseen([replace(one, predicted=some, true=some)], by_r, BY_PERSON)
        assert len(seen.pairs) == 1
        assert any("a: 4 of the 6 that run r found stand as its own" in said for said in seen.remarks) == (count == 4)
    judged = {"glomseg.run": "r", "glomseg.verdict": "accept", "glomseg.class_before": "Candidate: Glomerulus"}
    unsure = replace(outlined(metadata={"glomseg.run": "r"}), class_name="Candidate: Glomerulus")
    objects = (*own[:4], outlined(metadata=judged), outlined(metadata=judged), unsure)
    some = replace(here, annotated=replace(here.annotated, objects=objects))
    (said,) = without_unseen([replace(one, predicted=some, true=some)], by_r, BY_PERSON).remarks
    assert "4 of the 6 that run r found stand as its own" in said
    assert "candidates of run r that a person accepted are scored as its own: 2" in said


def test_a_candidate_that_a_person_accepted_brings_no_run_into_a_project(tmp_path) -> None:
    run = Run(tmp_path / "glomseg/r", "r", RunParameters(), started=now())
    found = stamp(outlined(), run="r", model="m")
    offered = stamp(replace(outlined(), geometry=box(60, 60, 90, 90)), run="r", model="m")
    write_geojson(run.candidates_path("a"), [offered])
    run.update("a", ImageRecord(name="a", state=State.DONE, glomeruli=1))
    accepted = replace(offered, is_locked=True, metadata={**offered.metadata, "glomseg.verdict": "accept"})
    one = pair("a", metadata=REVIEW)
    for objects, is_in in (((accepted,), False), ((accepted, found), True)):
        source = replace(one.true, path=tmp_path / "project.qpproj")
        source = replace(source, annotated=replace(source.annotated, objects=objects))
        looked = replace(one, predicted=source, true=source)
        if is_in:
            (said,) = without_unseen([looked], Selection(whose="run:r"), BY_PERSON).remarks
            assert "candidates of run r that a person accepted are scored as its own: 1" in said
        else:
            with pytest.raises(EvaluationError, match=r"nothing to compare: a: no run or person"):
                without_unseen([looked], Selection(whose="run:r"), BY_PERSON)


def test_what_a_project_holds_beside_is_counted() -> None:
    objects = tuple(PathObject(geometry=box(10, 10, 50, 50), class_name=name) for name in ("glomerulus", "Tubule"))
    others = LeftOutObjects(counts={("Glomerulus", "detection"): 3})
    evaluation = evaluate([pair("a", objects=objects, others=others)], EvaluateSettings())
    assert evaluation.images[0].mpp == (0.5, 0.5)
    assert any("'glomerulus' is read as Glomerulus" in remark for remark in evaluation.remarks)
    assert "truth: left out: 3 detections of class Glomerulus, 1 annotation of class Tubule" in evaluation.remarks


def test_two_runs_of_one_project_are_matched_by_ids_and_never_by_a_name_alone(tmp_path) -> None:
    """Two images may have had one name, each in another run."""
    (tmp_path / "project.qpproj").touch()
    for run_id, names in (("one", {"1": "a", "3": "b"}), ("two", {"1": "x", "2": "b"}), ("three", {"4": "a"})):
        run = Run(tmp_path / "glomseg" / run_id, run_id, RunParameters(), started=now())
        for key, name in names.items():
            write_geojson(run.result_path(key), [stamp(outlined(), run=run_id, model="m")])
            run.update(key, ImageRecord(name=name, state=State.DONE))
    folder = tmp_path / "glomseg"
    ours, theirs = find_sides(folder / "one", folder / "two")
    assert [source.stem for source in ours.sources] == ["x"]
    assert [source.stem for source in theirs.sources] == ["x", "b"]
    assert ours.remarks == ("b: the other run did not look at it; left out",)
    with pytest.raises(EvaluationError, match="no image of the project both"):
        find_sides(folder / "one", folder / "three")
