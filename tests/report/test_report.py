"""The report of a study, as text and in a real browser."""

import base64
import io
import json
import math
import re
import shutil
import warnings
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from shapely.geometry import Point
from support.slides import Disc, disc_slide

from glomseg.pictures.style import COLORS
from glomseg.qupath.objects import PathObject, write_geojson
from glomseg.report.charts import Dot, curve_chart, dot_chart, effect_chart, smoothed
from glomseg.report.html import number, write_report
from glomseg.report.methods import methods, references
from glomseg.report.plates import SLIDE_BYTES, embed
from glomseg.runs.ownership import stamp
from glomseg.study.groups import group_mean
from glomseg.study.measure_project import MeasureOptions, measure_project
from glomseg.study.pas import PasSettings
from glomseg.study.records import MeasureSettings

SHEET = "image,animal,group\n" + "".join(
    f"slide {index}.tif,animal {index},{'control' if index < 3 else '<b>5/6</b> Nx'}\n" for index in range(6)
)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    """A run folder with six slides of twelve glomeruli, two groups; a slide is missing since, another not PAS."""
    folder = tmp_path_factory.mktemp("report") / "co<h>ort"
    folder.mkdir()
    images = {}
    rng = np.random.default_rng(3)
    for index in range(6):
        spots = [Disc(200 + 220 * (n % 4), 200 + 220 * (n // 4), 40 + 2 * index + n % 5, 50) for n in range(12)]
        slide = disc_slide(folder / f"slide {index}.tif", size=(1100, 900), discs=spots, tissue=(40, 40, 1020, 820))
        objects = [
            PathObject(
                geometry=Point(disc.x, disc.y).buffer(disc.radius_x),
                class_name="Glomerulus: Sclerotic" if n == 0 else "Glomerulus",
                measurements={"Confidence": rng.uniform(0.5, 1)},
            )
            for n, disc in enumerate(spots)
        ]
        objects[1:] = [stamp(item, run="r1", model="oracle") for item in objects[1:]]
        write_geojson(folder / f"{index}.geojson", objects)
        images[str(index)] = {
            **{"name": slide.path.name, "path": str(slide.path), "state": "done"},
            **{"width": slide.width, "height": slide.height, "mpp": [0.5, 0.5], "reading_mpp": 2.0},
        }
    (folder / "slide 5.tif").unlink()
    parameters = {"model": "oracle", "model_sha256": "ab" * 32, "threshold": 0.5}
    run = {"format_version": 1, "run_id": "r1", "parameters": parameters, "started": "2026", "images": images}
    (folder / "run.json").write_text(json.dumps({**run, "device": "cpu", "command": "glomseg segment <x>"}))
    (folder / "samples.csv").write_text(SHEET)
    return folder


@pytest.fixture
def report(cohort: Path, glomseg) -> Path:
    result = glomseg("report", cohort, "--samples", cohort / "samples.csv", "--pas", "-o", cohort / "report.html")
    assert result.code == 0, result.err
    assert "slide 5.tif" in result.err
    return cohort / "report.html"


def test_the_report_says_what_was_done(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    for part in ("Warnings", "Methods", "References", "What was run", "oracle", "abababababab", "threshold", "cpu"):
        assert part in text
    assert "control (n = 3)" in text
    assert "β = 1.38" in text
    assert "6 whole-slide images of 6 animals" in text
    assert "of 72 glomerular profiles, 6 (8 %) were drawn, corrected or confirmed" in text
    assert "Hedges LV" in text
    assert text.count("data:image/jpeg") >= 5 + 12
    assert "The image could not be read" in text
    assert "&lt;b&gt;5/6&lt;/b&gt; Nx" in text
    assert "<b>5/6" not in text
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)  # nothing comes from elsewhere
    assert report.stat().st_size < 3_000_000


def test_the_methods_name_what_decides_a_number(cohort: Path) -> None:
    sheet = cohort / "samples.csv"
    options = MeasureOptions(samples=sheet, primary="mean_area_um2")
    study = measure_project(cohort, options).study
    text = methods(study)
    for part in (
        "outlines at a probability of 0.5", "read at 2 µm per pixel", "Student's t", "left out of means of size",
        "10 % or more of the outline lay", "seen at 16 µm per pixel", "No unbiased counting frame",
        "primary outcome is: Mean profile area", "Welch 1947", "all tissue of the section", "no design-based",
    ):  # fmt: skip
        assert part in text, part
    cited = references([text])
    assert {work.split()[0] for work in cited} == {"Bankhead", "Hedges", "Weibel", "Welch"}
    settings = MeasureSettings(sclerotic_in_means=True, pas=PasSettings())
    other = methods(measure_project(cohort, MeasureOptions(settings=settings)).study)
    assert "Globally sclerotic profiles entered means" in other
    assert "Welch" not in other  # no groups without a sheet
    assert {work.split()[0] for work in references([other])} >= {"Ruifrok", "Weibel"}
    assert not any(work.startswith("Hedges") for work in references([other]))


def test_what_nobody_assessed_is_no_zero_per_cent(tmp_path: Path) -> None:
    """A machine's outlines of one class alone, not reviewed: neither the headline nor a table says 0 %."""
    slide = disc_slide(tmp_path / "s.tif", discs=[Disc(300, 300, 50, 50)], size=(700, 700), tissue=(40, 40, 600, 600))
    item = PathObject(geometry=Point(300, 300).buffer(50), class_name="Glomerulus", measurements={"Confidence": 0.9})
    write_geojson(tmp_path / "s.geojson", [stamp(item, run="r1", model="oracle")])
    record = {"name": "s.tif", "path": str(slide.path), "state": "done", "width": 700, "height": 700, "mpp": [0.5, 0.5]}
    run = {"format_version": 1, "run_id": "r1", "parameters": {"model": "oracle"}, "images": {"s": record}}
    (tmp_path / "run.json").write_text(json.dumps(run))
    result = measure_project(tmp_path)
    write_report(result.study, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert text.count("not assessed") >= 3
    assert "Global sclerosis was not assessed." in text
    assert "0 %</dd>" not in re.search(r"globally sclerotic</dt>(.*?)</div>", text)[1]
    assert "profiles per mm² of tissue" in text


def test_a_project_without_any_glomerulus(project: Path, tmp_path: Path, no_qupath: None, glomseg) -> None:
    result = glomseg("report", project, "-o", tmp_path / "r.html", "--json", "--quiet")
    assert result.code == 0, result.err
    assert json.loads(result.out)["bytes"] == (tmp_path / "r.html").stat().st_size
    text = (tmp_path / "r.html").read_text()
    assert "Not measured, so left out of every number" in text
    assert "glomseg annotate" in text
    assert "No glomerulus is outlined yet." in text


def test_fifty_slides_stay_below_30_mb() -> None:
    """Noise is what JPEG packs worst."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8))
    uri = embed(noise, SLIDE_BYTES)
    assert 50 * len(uri) < 29_000_000
    assert Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).width >= 400


@pytest.mark.parametrize(
    "values",
    [[5.0], [0.0, 0.0], [1e6, 2e6, 1.5e6], [0.81, 0.82], [-3.0, 4.0], [1.0, 1.0, 1.0], list(range(40))],
)
def test_charts_of_any_numbers_are_sound_and_of_one_piece(values: list[float]) -> None:
    name = "a & <b> $x$"
    colors = {name: COLORS[0]}
    dots = [Dot(f"animal <{index}>", value) for index, value in enumerate(values)]
    means = {name: group_mean(values, (-math.inf, math.inf))}
    charts = [dot_chart("t & u", {name: dots}, colors, means=means), effect_chart("e", [(name, 0.5, -9.0, 12.0)])]
    if len(values) > 1:
        charts.append(curve_chart("c", {name: [values]}, colors))
    for chart in charts:
        page = ElementTree.fromstring(chart)  # well-formed, whatever the names
        assert page.tag == "figure"
        assert not re.search(r"\b(nan|inf)\b", chart)
        assert name in "".join(page.itertext())
        assert not re.search(r'href="(?!#)|src=', chart)
    assert "animal <0>: " in "".join(ElementTree.fromstring(charts[0]).itertext())
    ids = [set(re.findall(r' id="([^"]+)"', chart)) for chart in charts]
    assert len(set().union(*ids)) == sum(map(len, ids))


def test_no_smooth_curve_of_few_profiles() -> None:
    """Nine profiles of an animal have lines and no hill; ten have one, and an animal of two adds none to it."""
    few = {"g": [list(map(float, range(9))), [20.0, 21.0]]}
    assert "no curve" in curve_chart("t", few, {"g": COLORS[0]})
    many = {"g": [[float(number) for number in range(40)], [300.0, 301.0]]}
    assert "no curve" not in curve_chart("t", many, {"g": COLORS[0]})
    x = np.linspace(-50, 350, 400)
    curve = smoothed(many["g"], x)
    assert curve is not None
    assert curve[x > 200].max() < 1e-9 < curve.max()


def test_no_name_hides_a_group_from_the_legend() -> None:
    """Of a name that begins with _ matplotlib thinks that it is to be hidden."""
    groups = {name: [[float(number + 40 * at) for number in range(12)]] for at, name in enumerate(("_ctrl", "", "=x"))}
    colors = dict(zip(groups, COLORS, strict=False))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chart = "".join(ElementTree.fromstring(curve_chart("t", groups, colors)).itertext())
    assert "_ctrl" in chart
    assert "=x" in chart


def test_numbers_for_readers() -> None:
    assert [number(value) for value in (None, float("nan"), 1234.5, -0.12345, 3, "")] == [
        "–", "–", "1,234", "−0.123", "3", "–",
    ]  # fmt: skip


@pytest.mark.slow
def test_in_a_real_browser(report: Path) -> None:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no chromium and chromedriver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        browser.get(report.as_uri())
        check_page(browser)
        assert browser.get_log("browser") == []
        pdf = base64.b64decode(browser.print_page())
        assert pdf.startswith(b"%PDF")
    finally:
        browser.quit()


def check_page(browser) -> None:
    run = browser.execute_script
    assert run("return [...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert run("return document.images.length") >= 17
    rows = "[...document.querySelectorAll('#t-animals tbody tr')].filter(row => !row.hidden)"
    cells = f"return {rows}.map(row => row.cells[%d].dataset.value)"
    button = "document.querySelectorAll('#t-animals th button')[%d].click()"
    run(button % 5)
    areas = [float(value) for value in run(cells % 5)]
    assert areas == sorted(areas)
    assert len(areas) == 6
    run(button % 5)
    assert [float(value) for value in run(cells % 5)] == sorted(areas, reverse=True)
    assert run("return document.querySelectorAll('#t-animals th')[5].getAttribute('aria-sort')") == "descending"
    run(button % 0)
    assert run(cells % 0) == [f"animal {index}" for index in range(6)]
    run(button % 9)  # the density of the slide that is missing is not known: last in both orders
    assert run(cells % 9)[-1] == ""
    run(button % 9)
    assert run(cells % 9)[-1] == ""
    run(
        "const f = document.querySelector('[data-table=t-animals]'); f.value = 'CONTROL animal';"
        "f.dispatchEvent(new Event('input'))"
    )
    assert len(run(cells % 0)) == 3
    assert run("return document.documentElement.scrollWidth <= innerWidth")


def test_a_persons_file_is_not_replaced(cohort: Path, tmp_path: Path, glomseg) -> None:
    """A slip of the hand, and the project's file would be a report."""
    for name, content in (("project.qpproj", b'{"version": "0.6.0"}'), ("page.html", b"<!doctype html><p>mine</p>")):
        (tmp_path / name).write_bytes(content)
        result = glomseg("report", cohort, "-o", tmp_path / name)
        assert result.code == 1
        assert f"{name} is there and not of glomseg, so nothing was written; choose another --output" in result.err
        assert (tmp_path / name).read_bytes() == content
    report = tmp_path / "report.html"
    for _ in range(2):  # its own is replaced
        assert glomseg("report", cohort, "-o", report).code == 0
    assert not [*tmp_path.glob("report-*")]
    report.write_text(theirs := report.read_text().replace("</h1>", " (seen by AB)</h1>", 1))
    again = glomseg("report", cohort, "-o", report, "-q")
    kept = tmp_path / "report-1.html"
    assert f"report.html was changed since glomseg wrote it; as it was it is {kept} now" in again.err
    assert kept.read_text() == theirs
    assert "seen by AB" in theirs
    assert "seen by AB" not in report.read_text()


@pytest.mark.parametrize(
    ("command", "option", "place", "said"),
    [
        ("report", "-o", "folder", "is a folder; name a file in it"),
        ("measure", "-o", "file", "is a file; choose another folder"),
        ("gallery", "-o", "file", "is a file; choose another folder"),
        ("gallery", "--apply", "folder", "is a folder; name the table of labels in it, such as labels.csv"),
    ],
)
def test_a_file_for_a_folder_is_called_so(cohort: Path, tmp_path: Path, command, option, place, said, glomseg) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    result = glomseg(command, cohort, option, tmp_path / place)
    assert result.code == 1
    assert f"{tmp_path / place} {said}" in result.err
    assert (tmp_path / "file").read_text() == "mine"
    assert not list((tmp_path / "folder").iterdir())
