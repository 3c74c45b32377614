"""Each kind of slide: right or refused by name, alike from Python, a folder and a project; and headers at random."""

import contextlib
import json
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kinds.slide_files import GREY, SCENE, aperio, ome_image, ome_xml
from kinds.slides import READ, REFUSED, SlideCase
from PIL import Image
from support.dicom import dicom_slide

from glomseg.errors import GlomsegError, MissingMppError, SlideError
from glomseg.geometry import Box
from glomseg.qupath.objects import PathObject, write_geojson
from glomseg.qupath.project import read_project
from glomseg.slides.find_slides import find_slides
from glomseg.slides.slide import Slide, open_slide
from glomseg.training.tiles.annotations import export_slide
from glomseg.training.tiles.plan import ExportSettings

CUT = ExportSettings(downsample=1, size_px=384, overlap_px=0)
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def pixels_of(slide: Slide) -> np.ndarray:
    return slide.read_downsampled(Box(0, 0, slide.width, slide.height), 1, 1)


@pytest.fixture(params=READ, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> SlideCase:
    return request.param


@pytest.fixture(params=REFUSED, ids=lambda case: case.name)
def refused(request: pytest.FixtureRequest) -> SlideCase:
    return request.param


def test_what_is_read_is_right(case: SlideCase, tmp_path: Path) -> None:
    with open_slide(case.write(tmp_path)) as slide:
        assert (slide.width, slide.height) == (512, 384)
        expected = np.repeat(GREY[..., None], 3, axis=2) if case.grey else SCENE
        assert np.abs(pixels_of(slide).astype(int) - expected).mean() <= case.off
        half = slide.read_downsampled(Box(0, 0, 512, 384), 2, 2).astype(int)
        assert np.abs(half - expected.reshape(192, 2, 256, 2, 3).mean(axis=(1, 3))).mean() <= case.off + 3
        said = " | ".join((*slide.remarks, slide.stated.remark or ""))
        assert case.says in said
        if case.mpp is None:
            with pytest.raises(MissingMppError, match="`mpp`"):
                slide.pixel_size  # noqa: B018
        else:
            wanted = case.mpp if isinstance(case.mpp, tuple) else (case.mpp, case.mpp)
            assert slide.pixel_size == pytest.approx(wanted, rel=1e-3)
            assert {type(side) for side in slide.pixel_size} == {float}
            assert bool(case.says) == bool(slide.remarks)


def test_a_folder_takes_it(case: SlideCase, tmp_path: Path) -> None:
    path = case.write(tmp_path)
    found = find_slides(tmp_path)
    assert len(found.slides) == 1
    assert path in (found.slides[0].path, *found.slides[0].parts)


def test_what_is_refused_is_named(refused: SlideCase, tmp_path: Path) -> None:
    path = refused.write(tmp_path)
    if refused.broken:
        with pytest.raises(SlideError, match="damaged or cut off") as caught, open_slide(path) as slide:
            pixels_of(slide)
    else:
        with pytest.raises(SlideError, match=refused.refusal) as caught:
            open_slide(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tiles_are_cut_from_what_is_read(case: SlideCase, tmp_path: Path) -> None:
    export = export_slide(case.write(tmp_path), _outline(tmp_path / "a.geojson"), tmp_path / "out", CUT)
    (image,) = export.images
    assert image.mpp is None if case.mpp is None else image.mpp > 0
    (tile,) = (tmp_path / "out").rglob("*].png")
    expected = np.repeat(GREY[..., None], 3, axis=2) if case.grey else SCENE
    with Image.open(tile) as picture:
        assert np.abs(np.asarray(picture).astype(int) - expected[:384, :384]).mean() <= case.off


def test_no_tile_is_cut_from_what_is_refused(refused: SlideCase, tmp_path: Path) -> None:
    with pytest.raises(GlomsegError) as caught:
        export_slide(refused.write(tmp_path), _outline(tmp_path / "a.geojson"), tmp_path / "out", CUT)
    assert (
        "damaged or cut off" in str(caught.value) if refused.broken else re.search(refused.refusal, str(caught.value))
    )
    assert not list((tmp_path / "out").rglob("*.png"))


def _outline(path: Path) -> Path:
    write_geojson(path, [PathObject(geometry=shapely.box(10, 10, 370, 370), class_name="Glomerulus")])
    return path


def project_of(folder: Path, *paths: Path, mpp: float | str | None = None, unit: str = "µm") -> Path:
    """Write a project as QuPath does, with the images of some files."""
    images = []
    for number, path in enumerate(paths, 1):
        metadata: dict[str, object] = {"name": path.name, "width": 512, "height": 384, "isRGB": True}
        if mpp is not None:
            side = {"value": mpp, "unit": unit}
            metadata["pixelCalibration"] = {"pixelWidth": side, "pixelHeight": side}
        builder = {"builderType": "uri", "uri": path.absolute().as_uri(), "args": [], "metadata": metadata}
        images.append({"serverBuilder": builder, "entryID": number, "imageName": path.name, "metadata": {}})
    folder.mkdir(exist_ok=True)
    content = {"version": "0.6.0", "uri": "", "lastID": len(images), "images": images}
    (folder / "project.qpproj").write_text(json.dumps(content), encoding="utf-8")
    return folder / "project.qpproj"


@pytest.mark.slow
def test_the_commands_say_the_same(tmp_path: Path, glomseg: Callable, oracle_folder: Path, no_qupath: None) -> None:
    """Every kind at once through a folder and through a project: what opens is done, the rest named, none lost."""
    folder, outcomes = tmp_path / "slides", {}
    for number, kind in enumerate((*READ, *REFUSED)):
        (tmp_path / f"{number}").mkdir()
        path = kind.write(tmp_path / f"{number}")
        if path.is_file() and "DICOM" not in kind.name:
            folder.mkdir(exist_ok=True)
            outcomes[path.rename(folder / f"k{number:03d}{path.suffix}").name] = kind
    model = ("--model", oracle_folder, "--device", "cpu", "--mpp", "0.5")
    done = glomseg("segment", folder, "-o", tmp_path / "out", *model)
    assert done.code == 1
    images = json.loads((tmp_path / "out/run.json").read_text())["images"]
    states = {record["name"]: record["state"] for record in images.values()}
    left_out = {name for name in outcomes if name not in states}
    assert {name for name, state in states.items() if state == "failed"} | left_out == {
        name for name, kind in outcomes.items() if kind in REFUSED
    }
    for name in left_out:
        assert re.search(rf"left out: .*{name}", done.err)
    for name, kind in outcomes.items():
        if kind.refusal and name in states:
            assert re.search(rf"{name}: .*{kind.refusal}", done.err), kind.name
    project = project_of(tmp_path / "project", *(folder / name for name in outcomes))
    annotated = glomseg("annotate", project, "--no-collect", *model)
    assert annotated.code == 1
    run = next((tmp_path / "project/glomseg").glob("*/run.json"))
    again = {record["name"]: record["state"] for record in json.loads(run.read_text())["images"].values()}
    right = {name for name, state in states.items() if state == "done"}
    assert {name for name, state in again.items() if state == "done"} == right
    rows = json.loads(glomseg("measure", project, "--mpp", "0.5", "--json").out)["slides"]
    assert {row["image"] for row in rows if row["measured"]} == right

    for name in outcomes:
        _outline(folder / f"{Path(name).stem}.geojson")
    scored = glomseg("evaluate", folder, "-o", tmp_path / "scores", *model, "--missing", "skip", "--no-pictures")
    assert scored.code == 1, scored.err  # some could not be segmented
    by_stem = {Path(name).stem for name in right}
    assert {line.split(",")[0] for line in (tmp_path / "scores/per_slide.csv").read_text().splitlines()[1:]} == by_stem


@pytest.mark.parametrize(
    ("value", "unit", "mpp"),
    [(0.5, "µm", 0.5), ("0,5", "um", 0.5), (500, "nm", 0.5), (352.778, "µm", None), (0, "µm", None), (1, "px", None)],
)
def test_pixel_sizes_of_projects(tmp_path: Path, value: float | str, unit: str, mpp: float | None) -> None:
    (tmp_path / "a.tif").write_bytes(b"")
    (image,) = read_project(project_of(tmp_path / "p", tmp_path / "a.tif", mpp=value, unit=unit)).images
    assert image.mpp_x == image.mpp_y == mpp
    assert image.problem is None


# --- headers at random -------------------------------------------------------------------------------------------


def right_or_said(path: Path) -> None:
    """Open and read: the scene with a size that a microscope has, or one line that names the file."""
    said = str(path)
    try:
        with open_slide(path) as slide:
            assert slide.mpp_x is None or (0.02 <= slide.mpp_x <= 10 and 0.02 <= (slide.mpp_y or 0) <= 10)
            if slide.width * slide.height < 4_000_000:
                pixels_of(slide)
    except SlideError as error:
        said = str(error)
    assert str(path) in said
    assert "\n" not in said


NUMBERS = st.one_of(
    st.floats(allow_nan=True).map(str),
    st.sampled_from(["0.5", "0,5", "5e-1", "", "0", "-1", "1e309", "0.4.9", "½", "12.6", "0x1", "nan", " .5 "]),
    st.text(max_size=6),
)


@FEW
@given(
    value=NUMBERS,
    key=st.sampled_from(["MPP", "mpp", "AppMag", "Title", "Left"]),
    size=st.text("0123456789x", max_size=9),
)
def test_any_aperio_description(tmp_path: Path, value: str, key: str, size: str) -> None:
    text = (aperio(f"{key} = {value}|MPP = {value}") + size).encode("utf-8", "ignore").replace(b"\0", b"")
    tifffile.imwrite(
        tmp_path / "a.svs", SCENE, photometric="rgb", tile=(128, 128), metadata=None, description=text, software=None
    )
    right_or_said(tmp_path / "a.svs")


@FEW
@given(
    value=NUMBERS,
    unit=st.one_of(st.sampled_from(["µm", "nm", "mm", "pixel", "reference frame", "in"]), st.text(max_size=5)),
    width=st.one_of(st.just(512), st.integers(0, 10**7)),
    ifd=st.integers(0, 3),
    cut=st.one_of(st.none(), st.integers(10, 600)),
)
def test_any_ome_xml(tmp_path: Path, value: str, unit: str, width: int, ifd: int, cut: int | None) -> None:
    quoted = [re.sub(r'[<>&"\x00-\x1f]', "", text) for text in (value, unit)]
    size = f'PhysicalSizeX="{quoted[0]}" PhysicalSizeY="{quoted[0]}" PhysicalSizeXUnit="{quoted[1]}"'
    xml = ome_xml(ome_image("scan", width, 384, size, ifd)).decode("utf-8")[:cut]
    xml = xml if cut is None else f"{xml}</OME>"
    tifffile.imwrite(
        tmp_path / "a.ome.tif", SCENE, photometric="rgb", tile=(128, 128), metadata=None,
        description=xml.encode("utf-8", "ignore"),
    )  # fmt: skip
    right_or_said(tmp_path / "a.ome.tif")


TAGS = (
    254,
    256,
    257,
    258,
    259,
    262,
    266,
    273,
    274,
    277,
    278,
    282,
    283,
    284,
    296,
    317,
    322,
    323,
    324,
    325,
    338,
    339,
    530,
)


def bare_tiff(folder: Path, *, tiled: bool) -> Path:
    path = folder / ("tiled.tif" if tiled else "strips.tif")
    tifffile.imwrite(
        path, SCENE, photometric="rgb", tile=(128, 128) if tiled else None, metadata=None, compression="deflate",
        resolution=(20_000, 20_000), resolutionunit="CENTIMETER",
    )  # fmt: skip
    return path


@settings(parent=FEW, max_examples=150)
@given(
    tag=st.sampled_from(TAGS),
    kind=st.one_of(st.none(), st.integers(0, 18)),
    count=st.one_of(st.none(), st.integers(0, 2**20)),
    value=st.one_of(st.integers(0, 9), st.integers(0, 2**32 - 1)),
    tiled=st.booleans(),
)
def test_any_tag(tmp_path: Path, tag: int, kind: int | None, count: int | None, value: int, tiled: bool) -> None:
    """One entry of the directory overwritten: another type, another count, another value or place."""
    path = bare_tiff(tmp_path, tiled=tiled)
    data = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, start)
    for at in range(start + 2, start + 2 + 12 * entries, 12):
        if struct.unpack_from("<H", data, at)[0] == tag:
            old = struct.unpack_from("<HI", data, at + 2)
            struct.pack_into(
                "<HII", data, at + 2, old[0] if kind is None else kind, old[1] if count is None else count, value
            )
    path.write_bytes(data)
    right_or_said(path)


@settings(parent=FEW, max_examples=100)
@given(
    at=st.integers(0, 3000), content=st.binary(min_size=1, max_size=8), which=st.sampled_from(["dicom", "png", "jpg"])
)
def test_any_bytes_in_other_headers(tmp_path: Path, at: int, content: bytes, which: str) -> None:
    folder = tmp_path / which
    path = folder / {"dicom": "level-0.dcm", "png": "a.png", "jpg": "a.jpg"}[which]
    if not folder.is_dir():
        if which == "dicom":
            dicom_slide(folder, SCENE, levels=1)
            (folder / "a-label.dcm").unlink()
        else:
            folder.mkdir()
            Image.fromarray(SCENE).save(path)
        path.rename(folder.with_suffix(".kept"))
    data = bytearray(folder.with_suffix(".kept").read_bytes())
    at = min(at, len(data) - 1)
    data[at : at + len(content)] = content
    if which == "png" and at < 40:  # a header with a checksum that fits
        struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    path.write_bytes(data)
    right_or_said(path)
    with contextlib.suppress(SlideError):
        assert find_slides(folder).slides
