"""Classes that a person wrote into the table of a gallery."""

from pathlib import Path

import pytest
from shapely.geometry import box

from glomseg.errors import MeasureError
from glomseg.qupath.annotations import AnnotatedImage
from glomseg.qupath.objects import PathObject
from glomseg.qupath.project import Project
from glomseg.report.judgements import Judgement, plan_labels, read_labels, say_misplaced, say_moved
from glomseg.runs.changes import Place, next_path, save_change
from glomseg.runs.undo import Change
from glomseg.study.records import StudySlide
from glomseg.study.sources import Sources


def test_labels_that_a_person_wrote(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    header = "\ufeffimage_id;object_id;class;new_class\n"
    path.write_text(header + "1;a;Glomerulus;Glomerulus:Sclerotic\n1;b;Glomerulus;\n1;c;X; X \n")
    assert read_labels(path) == [Judgement("1", "a", "Glomerulus", "Glomerulus: Sclerotic")]
    for copied in ("Glomerulus: Sclerotic\u200b", "\ufeffGlomerulus:\u00a0Sclerotic"):  # out of a web page
        path.write_text(f"{header}1;a;Glomerulus;{copied}\n", "utf-8")
        assert read_labels(path) == [Judgement("1", "a", "Glomerulus", "Glomerulus: Sclerotic")]
    odd = (
        "Glomerulus:",
        "#REF!",
        "#NAME?",
        "0",
        "1,5",
        "nan",
        "N/A",
        "None",
        "FALSCH",
    )  # the last as spreadsheets make them of a mark
    for text in ("", "image_id,object_id\n", *(f"{header}1;a;Glomerulus;{cell}\n" for cell in odd)):
        path.write_text(text)
        with pytest.raises(MeasureError):
            read_labels(path)
    path.write_text(header + "1;a;X;A\n1;a;X;A\n2;a;X;B\n")
    assert len(read_labels(path)) == 2  # a row that was copied says nothing new, and ids are those of an image
    path.write_text(header + "1;a;X;X\n1;a;X;B\n")  # that it stays as it is was written, too
    with pytest.raises(MeasureError, match="object a two classes, X and B"):
        read_labels(path)
    path.write_text(header + "1;a;X;A\n1;a;X;B\n")
    with pytest.raises(MeasureError, match="object a two classes, A and B; leave one of its rows"):
        read_labels(path)
    for first in ("class,new_class", "class,New_class,new_class"):
        path.write_text(f"entry_id,object_id,area,{first}\n1,a,27013,969,X,X\n")  # the comma of a decimal, no class 969
        with pytest.raises(MeasureError, match=r"more cells than|twice"):
            read_labels(path)


def test_labels_that_no_longer_fit_are_named(tmp_path: Path) -> None:
    objects = tuple(PathObject(geometry=box(0, 0, 9, 9), class_name=name, object_id=name) for name in "abc")
    image = AnnotatedImage(entry_id="1", name="s", objects=objects)
    slide = StudySlide(image=image, source="project", rejected_ids=frozenset("r"))
    project = Project(path=tmp_path / "p.qpproj", folder=tmp_path, version=None, images=(), classes=())
    sources = Sources(name="p", folder=Path(), project=project, slides=(slide,), runs=(), remarks=(), problems=())
    place = Place(
        run="r", path=next_path(tmp_path / "glomseg/r", "2"), memory=tmp_path / "m", mark="0" * 32, previous=None
    )
    written = Change(run="r", before=None, added=objects[:1], removed=(), stood=frozenset(), remembered=())
    save_change(place, written, after=None)
    labels = [
        Judgement("1", "a", "a", "new"),
        Judgement("1", "b", "old", "new"),
        Judgement("1", "c", "x", "c"),
        Judgement("1", "r", "x", "n"),
        Judgement("2", "a", "a", "n"),
        Judgement("2", "b", "b", "n"),
    ]
    planned, remarks = plan_labels(labels, sources)
    assert [(item.object_id, item.class_name) for item in planned["1"]] == [("a", "new")]
    assert len(remarks) == 4
    assert "was old" in remarks[0]
    assert remarks.pop(1).startswith(
        "object r is rejected by a person's verdict since the gallery was made; left as it is"
    )
    assert remarks[1].startswith("image 2: 1 of the labelled objects are not in the project any more")
    assert "`glomseg undo PROJECT`" in remarks[1]
    assert remarks[2].startswith("image 2: 1 of the labelled objects are not in the project, and no run has a record")
    assert "undo" not in remarks[2]


def test_classes_that_take_objects_out_of_the_count_are_said() -> None:
    new = ("Glomerulus: Sclerotic", "glomerulus:Segmental", "Sclerotic", "Glomerular tuft", "Sclerotic")
    labels = [Judgement("1", str(number), "Glomerulus: Sclerotic", name) for number, name in enumerate(new)]
    (said,) = say_moved([*labels, Judgement("1", "x", "", "Sclerotic")])
    assert said.startswith("3 of class Glomerulus are not counted as such any more: ")
    assert "1 Glomerular tuft, 2 Sclerotic; one that is counted is written Glomerulus, or Glomerulus: " in said
    assert not say_moved(labels[:2])


def test_classes_in_the_wrong_column_are_said(tmp_path: Path) -> None:
    """Written over the old class they set nothing, without a word."""
    objects = tuple(PathObject(geometry=box(0, 0, 9, 9), class_name="Glomerulus", object_id=name) for name in "abcd")
    slide = StudySlide(image=AnnotatedImage(entry_id="1", name="s", objects=objects), source="project")
    sources = Sources(name="p", folder=Path(), project=None, slides=(slide,), runs=(), remarks=(), problems=())
    labels = tmp_path / "labels.csv"
    labels.write_text("entry_id,object_id,class,new_class\n1,a,Glomerulus,\n1,b,Glomerulus,Scar\n1,x,Gone,\n")
    assert not say_misplaced(labels, sources)
    labels.write_text(labels.read_text() + "1,c,Sclerotic,\n1,d,Sclerotic,Sclerotic\n")
    (said,) = say_misplaced(labels, sources)
    assert said.startswith("2 rows have another class than stands in the project (Sclerotic) and no new_class")
