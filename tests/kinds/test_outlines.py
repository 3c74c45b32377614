"""No two commands read outlines differently: each kind right in all of them, or refused with one text."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shapely
from kinds.outlines import DISCS, OUTLINES, SIZE, USUAL, OutlineCase, areas, written
from PIL import Image
from support.oracle import save_oracle
from support.slides import disc_slide

from glomseg.errors import GeoJSONError
from glomseg.labelled.label_files import Selection, read_outlines
from glomseg.qupath.objects import read_geojson, read_objects


@pytest.fixture(params=OUTLINES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> OutlineCase:
    return request.param


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slides") / "a.tif"
    disc_slide(path, size=(SIZE, SIZE), mpp=1.0, discs=DISCS, tissue=(0, 0, SIZE, SIZE))
    return path


@pytest.fixture(scope="module")
def coarse_oracle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_oracle(tmp_path_factory.mktemp("models") / "oracle", mpp=2.0)


@pytest.fixture
def path(case: OutlineCase, tmp_path: Path) -> Path:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / case.file).write_bytes(case.content)
    return tmp_path / "labels" / case.file


def one_line(text: str) -> str:
    return " ".join(text.split())


def check_said(case: OutlineCase, outcome, *more: str) -> None:
    assert outcome.code == 0, outcome.err
    for said in (*case.says, *more):
        assert said in one_line(outcome.err)


def check_refused(outcome, why: str, path: Path | None) -> None:
    assert outcome.code == 1
    assert why in one_line(outcome.err)
    assert path is None or path.name in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1


def test_read_from_python(case: OutlineCase, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if case.refusal:
            for read in (read_objects, read_geojson, lambda path: read_outlines(path, Selection())):
                with pytest.raises(GeoJSONError) as raised:
                    read(path)
                assert case.name == "nothing that can be read" or case.refusal in str(raised.value)
            return
        outlines = read_outlines(path, Selection())
    assert len(outlines.geometries) == case.glomeruli
    assert shapely.area(outlines.geometries).sum() == pytest.approx(case.area_px)
    assert all(shapely.is_valid(outlines.geometries))


@pytest.mark.parametrize("as_truth", [True, False], ids=["truth", "prediction"])
def test_evaluate_reads_it_so(case: OutlineCase, path: Path, tmp_path: Path, glomseg: Callable, as_truth: bool) -> None:
    other = tmp_path / "other.geojson"
    other.write_bytes(written(*USUAL))
    sides = (other, path) if as_truth else (path, other)
    outcome = glomseg("evaluate", *sides, "-o", tmp_path / "out", "--no-pictures", "--json")
    if case.refusal:
        check_refused(outcome, case.refusal, path)
        return
    check_said(case, outcome, *case.says_where_labelled, *case.says_where_counted)
    overall = json.loads(outcome.out)["overall"]
    ignored = case.ignored if as_truth else 0
    assert overall["true_objects" if as_truth else "predicted_objects"] == case.glomeruli - ignored
    assert overall["matched"] == min(3, case.glomeruli) - ignored


def test_export_tiles_draws_it_so(
    case: OutlineCase, path: Path, slide: Path, tmp_path: Path, glomseg: Callable
) -> None:
    cut = ("--downsample", "1", "--size", "256", "--overlap", "0")
    outcome = glomseg("export-tiles", slide, "--geojson", path, "-o", tmp_path / "out", *cut)
    if case.refusal or case.no_tiles:
        check_refused(outcome, case.refusal or case.no_tiles, path if case.refusal else None)
        return
    check_said(case, outcome, *case.says_where_labelled, *case.says_of_slide)
    labels = [np.asarray(Image.open(item)) for item in (tmp_path / "out").rglob("*-labelled.png")]
    glomeruli = sum(np.isin(item, (1, 2)).sum() for item in labels)  # 3 is to be ignored
    assert glomeruli == pytest.approx(areas(case), rel=0.02)


def test_annotate_looks_within_it(
    case: OutlineCase, path: Path, slide: Path, tmp_path: Path, glomseg: Callable, coarse_oracle: Path, no_qupath: None
) -> None:
    builder = {"builderType": "uri", "uri": slide.as_uri(), "args": [], "metadata": {"width": SIZE, "height": SIZE}}
    content = {"version": "0.6.0", "images": [{"entryID": 1, "imageName": "a", "serverBuilder": builder}]}
    (tmp_path / "project.qpproj").write_text(json.dumps(content))
    how = ("--no-collect", "--model", coarse_oracle, "--device", "cpu", "--json")
    outcome = glomseg("annotate", tmp_path, "--within", path, *how)
    if case.refusal or case.no_area:
        check_refused(outcome, case.refusal or case.no_area, path)
        return
    check_said(case, outcome, *case.says_of_slide)
    (image,) = json.loads(outcome.out)["images"].values()
    assert image["glomeruli"] == case.looked_into


def test_a_damaged_file_of_a_folder_is_left_out_by_name(tmp_path: Path, glomseg: Callable) -> None:
    for side in ("predicted", "true"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "a.geojson").write_bytes(written(*USUAL))
    for case in OUTLINES:
        if case.name in ("gzip, cut off", "gzip, damaged"):
            (tmp_path / "true" / "b.json.gz").write_bytes(case.content[:60])
            (tmp_path / "predicted" / "b.geojson").write_bytes(written(*USUAL))
            sides = (tmp_path / "predicted", tmp_path / "true")
            outcome = glomseg("evaluate", *sides, "-o", tmp_path / "out", "--json")
            assert outcome.code == 1  # the other image is compared
            assert f"{tmp_path / 'true/b.json.gz'} {case.refusal}" in one_line(outcome.err)
            assert json.loads(outcome.out)["overall"]["images"] == 1
