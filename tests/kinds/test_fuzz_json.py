"""Outlines, projects and records with anything in any place: right, refused by name, or said; never a traceback."""

import copy
import json
import socket
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import shapely
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kinds.outlines import SQUARES, USUAL
from kinds.projects import SAVED, usual
from support.python_words import PYTHONS

from glomseg.errors import GlomsegError
from glomseg.labelled.label_files import Selection, read_outlines
from glomseg.qupath.annotations import read_annotated_slide
from glomseg.qupath.objects import PathObject, read_objects, write_geojson
from glomseg.qupath.project import image_state, read_project
from glomseg.runs.changes import Place, runs_in, save_change, taken_back_at
from glomseg.runs.image_record import ImageRecord, State
from glomseg.runs.lock import HOLDER, at_work, locked
from glomseg.runs.memory import read_memory
from glomseg.runs.ownership import stamp
from glomseg.runs.plan import read_areas
from glomseg.runs.run import Run, RunParameters, load_run, now
from glomseg.runs.status import project_status
from glomseg.runs.undo import Change
from glomseg.runs.undo_run import preview_undo

QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
HUGE = 10**400
VALUES = st.recursive(
    st.none() | st.booleans() | st.sampled_from([-1, 0, 7, 1e308, HUGE, -HUGE, "", "1", "Glomerulus", "Polygon", ".."])
    | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["type", "name", "uri", "x", "coordinates", "value"]), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
CHANGES = st.lists(st.tuples(st.integers(0, 10**6), VALUES, st.booleans()), min_size=1, max_size=3)


def places(content: Any) -> list[tuple[Any, Any]]:
    """List every place in parsed JSON as its container and the key or index in it."""
    keys = list(content) if isinstance(content, dict) else range(len(content) if isinstance(content, list) else 0)
    return [place for key in keys for place in [(content, key), *places(content[key])]]


def changed(content: Any, changes: list[tuple[int, Any, bool]]) -> Any:
    """Put values at some places, or delete what stands there."""
    content = copy.deepcopy(content)
    for number, value, delete in changes:
        there = places(content)
        if not there:
            return value
        container, key = there[number % len(there)]
        if delete:
            del container[key]
        else:
            container[key] = copy.deepcopy(value)
    return content


def work_or_refusal(work: Callable[[], Any], *names: str) -> Any:
    """Do it; where it is refused, in one line that names a file and has no words of Python's, return None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return work()
        except GlomsegError as error:
            said = str(error)
    assert any(name in said for name in names)
    assert "\n" not in said
    assert not PYTHONS.search(said), said
    return None


@QUIET
@given(changes=CHANGES)
@example(changes=[(0, {"type": "FeatureCollection", "features": [None]}, False)])
def test_outlines_of_anything(changes: list[tuple[int, Any, bool]], tmp_path: Path) -> None:
    holed = copy.deepcopy(USUAL[2])
    holed["geometry"] = {"type": "GeometryCollection", "geometries": [SQUARES[2], SQUARES[3]]}
    content = changed({"type": "FeatureCollection", "features": [*USUAL[:2], holed]}, changes)
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(content))
    read = work_or_refusal(lambda: read_objects(path), path.name)
    for other in (read_areas, lambda path: read_annotated_slide(tmp_path / "s.tif", path)):
        assert read is not None or work_or_refusal(lambda other=other: other(path), path.name) is None
    if read is None:
        return
    features = content.get("features", [content]) if isinstance(content, dict) else content
    assert len(read.objects) + sum("left out object" in remark for remark in read.remarks) == len(features)
    areas = [item for item in read.objects if item.geometry.geom_type in ("Polygon", "MultiPolygon")]
    assert all(item.geometry.is_valid or not item.geometry.area for item in areas)  # a flat ring is left out by all
    write_geojson(tmp_path / "again.geojson", [item for item in areas if item.geometry.area > 0])
    outlines = work_or_refusal(lambda: read_outlines(path, Selection()), path.name)
    used = len(outlines.geometries) + sum(outlines.left_out.counts.values())
    assert used + sum(item.class_name == "Ignore*" for item in read.objects) == len(read.objects)
    assert all(shapely.area(outlines.geometries) > 0)


@QUIET
@given(changes=CHANGES)
def test_a_project_of_anything(changes: list[tuple[int, Any, bool]], tmp_path: Path) -> None:
    slide = tmp_path / "a.tif"
    slide.write_bytes(b"")
    path = tmp_path / "project.qpproj"
    content = changed(usual(slide), changes)
    path.write_text(json.dumps(content))
    project = work_or_refusal(lambda: read_project(path), path.name)
    shown = work_or_refusal(lambda: project_status(path), path.name)
    assert (project is None) == (shown is None)
    for image in project.images if project else ():
        assert image.problem or image.path == slide
        assert image.mpp is None or all(0.02 <= side <= 20 for side in image.mpp)
        assert image.data_folder.parent == tmp_path / "data"


@QUIET
@given(changes=CHANGES, name=st.sampled_from(["data/1/summary.json", "classifiers/classes.json"]))
def test_files_beside_a_project_of_anything(
    changes: list[tuple[int, Any, bool]], name: str, tmp_path: Path, no_qupath: None
) -> None:
    contents = {
        "data/1/summary.json": {
            "hierarchy": {"nObjects": 2, "annotationClassificationCounts": {"Glomerulus": 2}}, "timestamp": 1,
        },
        "classifiers/classes.json": {"pathClasses": [{"name": "Tumor", "color": -3670016}, {"name": "B"}]},
    }  # fmt: skip
    for other, content in contents.items():
        path = tmp_path / other
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(changed(content, changes) if other == name else content))
    (tmp_path / "data/1/data.qpdata").write_bytes(SAVED)
    (tmp_path / "project.qpproj").write_text(json.dumps(usual(tmp_path / "a.tif")))
    shown = work_or_refusal(lambda: project_status(tmp_path / "project.qpproj"), name)
    if shown is not None:
        (image,) = shown.project.images
        assert image_state(image).sha256
        counts = shown.images[0].annotations  # None where the summary holds none
        assert counts is None or all(type(count) is int for count in counts.values())


@QUIET
@given(changes=CHANGES)
def test_a_record_of_anything(changes: list[tuple[int, Any, bool]], tmp_path: Path) -> None:
    run = Run(tmp_path / "whole", "r", RunParameters(model="m", threshold=0.5), started=now())
    run.update("1", ImageRecord(name="a", state=State.DONE, size=(9, 9), mpp=(0.5, 0.5), glomeruli=3))
    folder = tmp_path / "glomseg/r"
    folder.mkdir(parents=True, exist_ok=True)
    content = json.loads((tmp_path / "whole/run.json").read_text())
    (folder / "run.json").write_text(json.dumps(changed(content, changes)))
    read = work_or_refusal(lambda: load_run(folder), "run.json")
    (tmp_path / "project.qpproj").write_text(json.dumps(usual(tmp_path / "a.tif")))
    shown = project_status(tmp_path / "project.qpproj")
    assert len(shown.problems) == (read is None)


MARKS = [f"{number:032x}" for number in range(1, 4)]


def written_thrice(folder: Path) -> tuple[Path, dict[str, Any]]:
    """A project into whose image 1 a run wrote twice, the second write taken back; its files of JSON by their place."""
    project, home = folder / "project.qpproj", folder / "glomseg"
    project.write_text(json.dumps(usual(folder / "a.tif")))
    data = folder / "data/1/data.qpdata"
    data.parent.mkdir(parents=True, exist_ok=True)
    data.write_bytes(SAVED[:4] + f"glomseg.write={MARKS[2]}".encode() + SAVED[4:])
    ours = [stamp(PathObject(geometry=shapely.box(0, 0, 9, 9), class_name="Glomerulus"), run="r", model="m")]
    change = Change(run="r", before=None, added=tuple(ours), removed=(), stood=frozenset(), remembered=())
    run = Run(home / "r", "r", RunParameters(model="m"), started=now())
    run.update("1", ImageRecord(name="a", state=State.DONE))
    for number, (mark, previous) in enumerate(zip(MARKS, (None, *MARKS), strict=False), start=1):
        place = Place(
            run="r", path=run.folder / f"changes/1/{number}.json", memory=home / f"memory/1/{mark}.geojson", mark=mark,
            previous=previous, kind="undo" if number == 3 else "collect", stands_as=MARKS[0] if number == 3 else None,
        )  # fmt: skip
        save_change(place, change, after=None)
        write_geojson(place.memory, ours)
    return project, {
        path.relative_to(folder).as_posix(): json.loads(path.read_text())
        for path in [*home.glob("r/changes/1/*.json"), *home.glob("memory/1/*")]
    }


@pytest.mark.parametrize("name", ["r/changes/1/1.json", "r/changes/1/3.json", f"memory/1/{MARKS[2]}.geojson"])
@QUIET
@given(changes=CHANGES, circle=st.sampled_from([None, *MARKS]))
@example(changes=[(4, [1], False)], circle=None)
def test_what_is_kept_of_writes_of_anything(
    changes: list[tuple[int, Any, bool]], circle: str | None, name: str, tmp_path: Path, no_qupath: None
) -> None:
    project, contents = written_thrice(tmp_path)
    home, data = tmp_path / "glomseg", tmp_path / "data/1"
    assert runs_in(home, "1", data) == ["r"]
    content = changed(contents[f"glomseg/{name}"], changes)
    if circle and isinstance(content, dict):
        content |= {"previous_mark": circle, "stands_as": circle}
    (home / name).write_text(json.dumps(content))
    assert len(project_status(project).images) == 1
    assert runs_in(home, "1", data) in ([], ["r"]) or changes
    taken_back_at(home, "1", data, "r")
    assert isinstance(read_memory(home, "1", data).lost, str | None)
    work_or_refusal(lambda: preview_undo(project), "image 1", "run ", "no run")


HOLDERS = {"process": [0, -1, HUGE, "x", None, 1.5], "host": [None, 1, socket.gethostname()], "since": [[], "x"]}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in HOLDERS.items() for value in values])
def test_the_word_of_who_holds_a_folder_of_anything(key: str, value: Any, tmp_path: Path) -> None:
    word = {
        "token": "t", "person": "p", "host": socket.gethostname(), "process": 1, "since": "now", "command": "glomseg",
    }  # fmt: skip
    (tmp_path / HOLDER).write_text(json.dumps({**word, key: value}))
    holders = len(at_work(tmp_path))
    taken = pytest.raises(GlomsegError, match="another glomseg is working") if holders else nullcontext()
    with taken, locked(tmp_path):
        pass


@pytest.mark.parametrize("name", ["run.json", "a.geojson", "project.qpproj"])
@QUIET
@given(at=st.integers(0, 2000), put=st.binary(max_size=4), cut=st.booleans())
def test_any_bytes(name: str, at: int, put: bytes, cut: bool, tmp_path: Path) -> None:
    contents = {"a.geojson": USUAL, "project.qpproj": usual(tmp_path / "a.tif"), "run.json": {"format_version": 1}}
    readers = {
        "a.geojson": read_objects,
        "project.qpproj": read_project,
        "run.json": lambda path: load_run(path.parent),
    }
    whole = json.dumps(contents[name]).encode()
    at %= len(whole)
    (tmp_path / name).write_bytes(whole[:at] + put + (b"" if cut else whole[at + len(put) :]))
    work_or_refusal(lambda: readers[name](tmp_path / name), name)
