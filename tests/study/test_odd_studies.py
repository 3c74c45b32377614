"""Studies as people have them, through the command line: what is odd is named, and no number means something else."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from support.cohorts import write_cohort, write_sheet

SIX = [("A1", "c"), ("A2", "c"), ("A3", "c"), ("B1", "d"), ("B2", "d"), ("B3", "d")]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("odd") / "six", [40, 44, 47, 52, 55, 51])


@pytest.fixture
def measured(cohort: Path, tmp_path: Path, glomseg):
    """Measure the cohort by a sheet of (animal, group): what was said, and the rows of a table."""

    def run(rows, *options, table: str = "groups", folder: Path = cohort):
        sheet = write_sheet(tmp_path / "s.csv", *rows)
        result = glomseg("measure", folder, "--samples", sheet, "-o", tmp_path / f"m {folder.name}", *options)
        assert result.code == 0, result.err
        return result, list(csv.DictReader((tmp_path / f"m {folder.name}/{table}.csv").open()))

    return run


def of(rows, group: str, quantity: str = "mean_area_um2") -> dict[str, str]:
    (found,) = (row for row in rows if (row["quantity"], row["group"]) == (quantity, group))
    return found


def test_six_animals_in_two_groups(measured) -> None:
    """Means of the animals' means; n is animals; the printed table names the n of a mean and what a density is of."""
    result, rows = measured(SIX)
    control, treated = of(rows, "c"), of(rows, "d")
    assert (control["animals"], treated["animals"]) == ("3", "3")
    assert float(treated["difference"]) == pytest.approx(float(treated["mean"]) - float(control["mean"]), rel=1e-6)
    assert float(treated["difference_low"]) < float(treated["difference"]) < float(treated["difference_high"])
    assert "counted   in means   mean area µm²" in result.out
    assert " of tissue" in result.out
    _, slides = measured(SIX, table="slides")
    counted, whole, in_means = (sum(int(row[name]) for row in slides) for name in ("counted", "whole", "in_means"))
    assert whole > in_means > 0
    cut = f"{counted - whole} cut by an edge, " if counted > whole else ""
    said = f"counted, but not in means of size and form: {cut}{whole - in_means} globally sclerotic"
    assert said in result.out + result.err
    assert (of(rows, "c", "sclerotic_percent")["sd"], of(rows, "c", "sclerotic_percent")["mean_low"]) == ("0", "")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("A1", "Control"), ("A2", "control"), ("A3", "Control")], "groups 'Control' and 'control' are taken for 2"),
        ([("A1", "Nx 5"), ("A2", "Nx5"), ("A3", "nx-5")], "groups 'Nx 5' and 'Nx5' and 'nx-5' are taken for 3"),
        ([("A 1", "c"), ("A1", "c"), ("a1", "c")], "animals 'A 1' and 'A1' and 'a1' are taken for 3"),
        ([("A1", "c"), ("A1", "d"), ("A2", "c")], "animal A1 is in several groups (c, d), so in none"),
        ([("A1", "c"), ("A2", ""), ("A3", "c")], "animal A2 is of no group"),
        ([("A1", "c"), ("", "c"), ("A3", "c")], "no animal known, so not in animals.csv (give --samples): slide 1.tif"),
        ([("A1", "c")], "not in the sample sheet: slide 1.tif"),
    ],
)  # fmt: skip
def test_what_a_sheet_says_twice_or_not_is_named(measured, rows, said: str) -> None:
    result, _ = measured(rows)
    assert said in result.err
    assert result.err.count(said) == 1


@pytest.mark.parametrize(
    ("rows", "group", "animals", "remark"),
    [
        ([("A1", "c")], "c", "1", "fewer than 3 animals: no interval"),
        ([("A1", "c"), ("A2", "c")], "c", "2", "fewer than 3 animals: no interval"),
        ([*SIX[:3], ("B1", "d")], "d", "1", "fewer than 3 animals: no interval"),
        ([("B1", "c"), *[(f"A{n}", "d") for n in range(5)]], "d", "5",
         "fewer than 3 animals in the reference group: no interval of the difference"),
        ([(f"A{n}", "c") for n in range(6)], "c", "6", ""),
        ([(f"A{n % 2}", "c") for n in range(6)], "c", "2", "fewer than 3 animals: no interval"),
    ],
)  # fmt: skip
def test_few_animals_carry_no_interval_however_many_slides(measured, rows, group, animals, remark) -> None:
    _, found = measured(rows)
    row = of(found, group)
    assert (row["animals"], row["remarks"]) == (animals, remark)
    assert (row["difference_low"], row["hedges_g_low"]) == ("", "")
    assert bool(row["mean_low"]) == (int(animals) >= 3)


def test_animals_that_do_not_differ(measured, tmp_path: Path) -> None:
    """All glomeruli of one size: no interval of width zero, no effect of 10^15."""
    same = write_cohort(tmp_path / "same", [40] * 6)
    _, rows = measured(SIX, folder=same)
    row = of(rows, "d")
    assert row["remarks"] == "no spread between animals: no intervals, no effect size"
    assert {row[name] for name in ("mean_low", "difference_low", "hedges_g", "hedges_g_low")} == {""}
    assert float(row["difference"]) == 0
    almost = write_cohort(tmp_path / "almost", [40, 40, 40 + 1e-9, 48, 48, 48])
    _, rows = measured(SIX, folder=almost)
    assert abs(float(of(rows, "d")["difference"])) > 100
    assert of(rows, "d")["hedges_g"] == ""


def test_animals_without_sclerosis(measured, tmp_path: Path) -> None:
    """Shares with animals at 0 % have no interval, and none of another quantity reaches below 0."""
    plain = write_cohort(tmp_path / "plain", [40, 44, 47, 52, 55, 51], sclerotic=False)
    _, rows = measured(SIX, folder=plain)
    share = of(rows, "d", "sclerotic_percent")
    assert (share["mean"], share["mean_low"]) == ("0", "")
    lowest = [float(row["mean_low"]) for row in rows if row["mean_low"]]
    assert lowest
    assert min(lowest) >= 0


@pytest.mark.parametrize("option", ["--sclerotic", "--cortex"])
def test_a_class_that_nothing_has_is_said(measured, option: str) -> None:
    result, _ = measured(SIX, option, "Fibrosis")
    assert "has the class Fibrosis" in result.err
    assert option in result.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--beta", "-1"), "not in the range"),
        (("--beta", "nan"), "--beta is nan"),
        (("--k", "0"), "not in the range"),
        (("--pas", "--pas-threshold", "nan"), "a PAS density of nan"),
        (("--pas", "--stain-vectors", "1,0,0;1,0,0"), "two different r,g,b;r,g,b"),
        (("--pas", "--stain-vectors", "nan,0,0;0,1,0"), "two different r,g,b;r,g,b"),
        (("--mpp", "0"), "implausible"),
        (("--reference", "C"), "no image is of the group 'C' (there: "),
        (("--primary", "mean_area"), "is no quantity that groups are compared by; there are: mean_area_um2"),
    ],
)
def test_what_cannot_be_is_refused_by_name(cohort: Path, tmp_path: Path, glomseg, options, said: str) -> None:
    result = glomseg("measure", cohort, "-o", tmp_path / "m", *options)
    assert result.code in (1, 2)
    assert said in result.err
    assert "Traceback" not in result.err
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("mpp", [(-0.5, -0.5), (0, 0.5), (1e9, 1e9), (0.001, 0.001), (0.5, 5)])
def test_a_pixel_size_that_no_microscope_has_is_not_taken(measured, tmp_path: Path, mpp) -> None:
    """The file's own counts then, and that is said once."""
    folder = write_cohort(tmp_path / "odd", [40], mpp=mpp)
    result, rows = measured([("A1", "c")], folder=folder, table="slides")
    assert (float(rows[0]["mpp_x"]), float(rows[0]["mpp_y"])) == (0.5, 0.5)
    assert result.err.count("slide 0.tif: run r1 says") == 1


def test_what_was_not_looked_at_is_said(tmp_path: Path, glomseg) -> None:
    """A slide without any, one that failed, and slides of which a person judged some profiles."""
    folder = write_cohort(tmp_path / "odd", [40, 44, 47, 52])
    (folder / "0.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    record = json.loads((folder / "run.json").read_text())
    record["images"]["3"] |= {"state": "failed", "reason": "broken"}
    (folder / "run.json").write_text(json.dumps(record))
    sheet = write_sheet(tmp_path / "four.csv", *[(f"A{n}", "c") for n in range(4)])
    result = glomseg("measure", folder, "--samples", sheet)
    assert "not measured: slide 3.tif: broken" in result.err
    assert "names images that are not here" not in result.err
    assert "what nobody looked at counts as not sclerotic: slide 1.tif, slide 2.tif" in result.err
    rows = list(csv.DictReader((folder / "measurements/groups.csv").open()))
    assert (of(rows, "c")["animals"], of(rows, "c", "density_per_mm2")["animals"]) == ("2", "3")
    assert of(rows, "c", "density_per_mm2")["remarks"] == "animals at 0: no intervals"


def test_tables_of_another_project_are_not_replaced(tmp_path: Path, glomseg) -> None:
    """A loop over projects with one `-o` would leave the last one's tables alone; copies have tables of their own."""
    first, second = (write_cohort(tmp_path / name, [40, 44]) for name in ("first", "second"))
    assert glomseg("measure", first, "-o", tmp_path / "tables").code == 0
    tables = {path: path.read_bytes() for path in (tmp_path / "tables").iterdir()}
    result = glomseg("measure", second, "-o", tmp_path / "tables")
    assert (result.code, tables) == (1, {path: path.read_bytes() for path in (tmp_path / "tables").iterdir()})
    assert f"holds the tables of {first}, so nothing was written" in " ".join(result.err.split())
    assert glomseg("measure", first, "-o", tmp_path / "tables").code == 0
    assert glomseg("measure", first).code == 0
    copy = Path(shutil.copytree(first, tmp_path / "copy"))
    assert glomseg("measure", copy).code == 0
    first.rename(tmp_path / "moved")
    assert glomseg("measure", tmp_path / "moved", "-o", tmp_path / "tables").code == 0


def test_no_map_of_few_profiles(tmp_path: Path, glomseg) -> None:
    few, many = (write_cohort(tmp_path / str(n), [40], per_slide=n) for n in (9, 10))
    for folder, there in ((few, False), (many, True)):
        assert glomseg("report", folder, "-o", tmp_path / "r.html").code == 0
        assert ("Density of glomeruli</h3>" in (tmp_path / "r.html").read_text()) == there


@pytest.mark.parametrize("confidence", [float("nan"), float("inf")])
def test_a_confidence_that_is_no_number_is_none(measured, tmp_path: Path, confidence: float, glomseg) -> None:
    folder = write_cohort(tmp_path / "odd", [40], confidence=confidence)
    _, rows = measured([("A1", "c")], folder=folder, table="slides")
    assert rows[0]["mean_confidence"] == ""
    assert glomseg("report", folder, "-o", tmp_path / "r.html").code == 0


def test_the_methods_name_every_setting_of_the_run(tmp_path: Path, glomseg) -> None:
    settings = {
        "sureness": 0.87, "species": "mouse", "tta": True, "tta_scales": [0.8, 1.25], "post": "glomnet",
        "stitch": "mean", "overlap": 0.5, "region": "Cortex", "sclerosis": "classify", "icc": True,
    }  # fmt: skip
    folder = write_cohort(tmp_path / "six", [40, 44, 47], parameters=settings)
    sheet = write_sheet(tmp_path / "s.csv", *SIX[:3])
    assert glomseg("report", folder, "--samples", sheet, "-o", tmp_path / "r.html").code == 0
    text = (tmp_path / "r.html").read_text()
    for part in (
        "the scale of mouse", "mean probability of 0.87", "averaged over flips", "enlargements of 0.8, 1.25",
        "windows that share 0.5 of a side", "told apart as glomnet does", "inside Cortex only",
        "in sRGB by the ICC profile",
        "classified by a second network", "outlines of class Glomerulus", "normally distributed", "all profiles pooled",
    ):  # fmt: skip
        assert part in text, part
    compared = {row["quantity"] for row in csv.DictReader(_tables(folder, sheet, tmp_path, glomseg))}
    assert f"{len(compared)} quantities are compared" in text


def _tables(folder: Path, sheet: Path, tmp_path: Path, glomseg):
    assert glomseg("measure", folder, "--samples", sheet, "-o", tmp_path / "m").code == 0
    return (tmp_path / "m/groups.csv").open()


def test_json_holds_no_nan(cohort: Path, tmp_path: Path, glomseg) -> None:
    result = glomseg("measure", cohort, "-o", tmp_path / "m", "--json")

    def refuse(text: str) -> None:
        raise AssertionError(text)

    json.loads(result.out, parse_constant=refuse)


@pytest.mark.parametrize("command", ["annotate", "measure", "report", "gallery"])
def test_a_project_without_images_is_no_success(tmp_path, glomseg, command):
    project = tmp_path / "project.qpproj"
    project.write_text('{"version": "0.6.0", "lastID": 0, "images": []}')
    result = glomseg(command, project)
    assert result.code == 1
    assert "project.qpproj has no images; add some to it in QuPath" in result.err
    assert "no images" in glomseg("status", project).err
    assert list(tmp_path.iterdir()) == [project]
