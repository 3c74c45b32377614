"""`glomseg evaluate` and `glomseg compare` as a user types them."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile
from PIL import Image
from support.scenes import boxes
from support.slides import DISC, TISSUE, Disc, disc_slide, draw

from glomseg.qupath.objects import PathObject, read_geojson, write_geojson
from glomseg.runs.lock import locked


@pytest.fixture
def folders(geojson, mask) -> tuple[Path, Path]:
    """Three images: one perfect, one half right, one empty; predictions as GeoJSON, truth as masks."""
    for name, predicted, true in (
        ("a", [(10, 10, 20, 20)], [(10, 10, 20, 20)]),
        ("b", [(10, 10, 20, 20), (60, 60, 20, 20)], [(10, 10, 20, 20)]),
        ("c", [], []),
    ):
        ours = geojson(f"predicted/{name}.geojson", *predicted, measurements={"Confidence": 0.8})
        theirs = mask(f"truth/{name}_mask.png", *true)
    return ours.parent, theirs.parent


def test_two_folders(folders, tmp_path: Path, glomseg) -> None:
    out = tmp_path / "out"
    result = glomseg("evaluate", *folders, "-o", out, "--mpp", "0.5", "--kpis-compatible")
    assert result.code == 0, result.err
    metrics = json.loads((out / "metrics.json").read_text())
    mean = metrics["overall"]["mean"]
    assert mean["dice"]["value"] == pytest.approx((1 + 2 / 3 + 1) / 3, abs=1e-6)
    assert mean["f1"]["value"] == pytest.approx((1 + 2 / 3 + 1) / 3, abs=1e-6)
    assert mean["kpis_f1"]["value"] == pytest.approx((1 + 2 / 3 + 0) / 3, abs=1e-6)
    assert metrics["overall"]["pooled"]["f1"]["value"] == pytest.approx(4 / 5)
    assert len(list(csv.DictReader((out / "per_slide.csv").open()))) == 3
    assert (out / "gallery" / "false_positives.png").exists()
    assert not (out / "gallery" / "misses.png").exists()
    assert "0.889" in result.out
    assert "the challenge's own F1" in result.out


def test_a_gallery_into_which_a_person_drew_is_not_replaced(folders, tmp_path: Path, glomseg) -> None:
    command = ("evaluate", *folders, "-o", tmp_path / "out", "--mpp", "0.5")
    for _ in range(2):  # our own is
        assert glomseg(*command).code == 0
    gallery = tmp_path / "out/gallery/false_positives.png"
    drawn = gallery.read_bytes() + b"drawn into"
    gallery.write_bytes(drawn)
    refused = glomseg(*command)
    assert refused.code == 1
    assert "not as an evaluation left them (gallery/false_positives.png); choose another --output" in refused.err
    assert gallery.read_bytes() == drawn


def test_fifteen_images_carry_intervals_and_the_output_says_what_stands_in_brackets(tmp_path: Path, glomseg) -> None:
    for index in range(15):
        for side, height in (("p", 40 - index), ("t", 40)):
            mask = np.zeros((64, 64), np.uint8)
            mask[8 : 8 + height, 8:48] = 255
            (tmp_path / side).mkdir(exist_ok=True)
            Image.fromarray(mask).save(tmp_path / side / f"s{index}.png")
    command = ("evaluate", tmp_path / "p", tmp_path / "t", "--no-pictures", "-o")
    result = glomseg(*command, tmp_path / "out")
    assert "in brackets 95 % intervals over the n = 15 images, if units that fail wholly are no rarer" in result.out
    assert "where n is less than 15 or all are alike, the lowest to the highest image" in result.out
    assert "1.000 [1.00-1.00]" in result.out  # precision: all alike
    (tmp_path / "t/s14.png").unlink()
    (tmp_path / "p/s14.png").unlink()
    fewer = glomseg(*command, tmp_path / "fewer")
    assert "in square brackets the lowest to the highest of the n = 14 images; no 95 % intervals below 15" in fewer.out


def test_json_is_all_that_stdout_holds(folders, tmp_path: Path, glomseg) -> None:
    result = glomseg("evaluate", *folders, "-o", tmp_path / "out", "--json", "--quiet", "--no-pictures")
    assert json.loads(result.out) == json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert result.err == ""
    assert {path.name for path in (tmp_path / "out").glob("[!.]*")} == {
        "metrics.json", "per_slide.csv", "per_object.csv"
    }  # fmt: skip


def test_repairs_are_said_aloud(folders, tmp_path: Path, glomseg) -> None:
    (folders[0] / "c.geojson").unlink()
    refused = glomseg("evaluate", *folders, "-o", tmp_path / "out")
    assert refused.code == 1
    assert refused.err.strip() == (
        "glomseg: no prediction for c; add what is missing, or give skip or empty for --missing"
    )
    assert not (tmp_path / "out").exists()
    counted = glomseg("evaluate", *folders, "-o", tmp_path / "out", "--missing", "empty", "--no-pictures")
    assert "c: no prediction; scored as empty" in counted.err
    assert "do not say how large their pixels are" in counted.err
    assert json.loads((tmp_path / "out/metrics.json").read_text())["overall"]["images"] == 3


@pytest.mark.parametrize(
    ("factor", "said"), [(1 / 512, "smaller than 2 pixels in 1 of 1"), (0.3, "touches a true one")]
)
def test_outlines_in_other_units_than_pixels_are_said(factor, said, tmp_path: Path, glomseg) -> None:
    """Shares of the image, um or percent: a score of 0 that is no score of the model."""
    for name, scale in (("true", 1), ("predicted", factor)):
        places = [shapely.box(x * scale, 300 * scale, (x + 40) * scale, 340 * scale) for x in (300, 360, 420)]
        write_geojson(
            tmp_path / f"{name}.geojson", [PathObject(geometry=one, class_name="Glomerulus") for one in places]
        )
    sides = (tmp_path / "predicted.geojson", tmp_path / "true.geojson")
    told = " ".join(glomseg("evaluate", *sides, "-o", tmp_path / "out", "--no-pictures").err.split())
    assert said in told
    assert "no predicted outline touches a true one in 1 of 1 images (true): are both of that image" in told


def test_a_class_or_owner_of_masks_is_said_to_change_nothing(mask, tmp_path: Path, glomseg) -> None:
    folders = (tmp_path / "predicted", tmp_path / "truth")
    for folder in folders:
        mask(f"{folder.name}/a.png", (10, 10, 30, 30))
    how = ("--class", "Tubule", "--truth-set", "person", "--no-pictures")
    said = glomseg("evaluate", *folders, "-o", tmp_path / "out", *how).err
    assert "masks have no classes: --class 'Tubule' changes nothing" in said
    assert "nobody owns what a mask shows: --truth-set person changes nothing" in said


def test_specks_are_said(mask, tmp_path: Path, glomseg) -> None:
    """Single pixels that a tool left in the truth count as missed; slivers at edges may be true."""
    for name, specks in (("a", [(70, 70, 1, 1), (80, 20, 1, 1)]), ("b", [])):
        mask(f"predicted/{name}.png", (10, 10, 30, 30))
        mask(f"truth/{name}.png", (10, 10, 30, 30), (50, 99, 2, 1), *specks)
    sides = (tmp_path / "predicted", tmp_path / "truth")
    said = glomseg("evaluate", *sides, "-o", tmp_path / "out", "--no-pictures").err
    assert "truth: 2 specks of less than a hundredth of the largest object, in 1 of 2 images (a)" in " ".join(
        said.split()
    )
    assert "predictions: 2 specks" not in said


def test_options_that_say_how_a_model_reads_need_one(folders, tmp_path: Path, glomseg) -> None:
    """Without a model nothing reads: they would change no number, without a word."""
    for option in (("--icc",), ("--threshold", "0.3"), ("--tta",), ("--stitch", "mean")):
        result = glomseg("evaluate", *folders, "-o", tmp_path / "out", *option)
        assert result.code == 2
        assert f"{option[0]} says how a --model reads, and none is named" in result.err


def test_slides_with_masks_are_predicted_and_scored(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    """Task 2 of the challenge: a slide and a pyramidal mask; the oracle finds every disc but the one left out."""
    folder = tmp_path / "Task2_WSI_level" / "NEP25"
    folder.mkdir(parents=True)
    for number in (1, 2):
        slide = disc_slide(folder / f"{number}_wsi.tiff", size=(1200, 1000), count=4, seed=number)
        size = slide.width, slide.height
        picture = draw(size, slide.tissue, (*slide.discs, Disc(1150, 950, 30, 30)))
        truth = np.where((picture == DISC).all(axis=2), 255, 0).astype(np.uint8)
        tifffile.imwrite(folder / f"{number}_mask.tiff", truth, tile=(256, 256), compression="deflate")
    out = tmp_path / "out"
    arguments = ("evaluate", "--model", oracle_folder, tmp_path / "Task2_WSI_level", "-o", out, "--device", "cpu")
    result = glomseg(*arguments, "--no-pictures")
    assert result.code == 0, result.err
    metrics = json.loads((out / "metrics.json").read_text())
    overall = metrics["overall"]
    assert (overall["true_objects"], overall["matched"], overall["predicted_objects"]) == (10, 8, 8)
    assert overall["mean"]["recall"]["value"] == pytest.approx(4 / 5, abs=1e-6)
    assert overall["pooled"]["dice"]["value"] > 0.9
    assert overall["mean"]["mean_distance_um"]["value"] < 1
    assert list(metrics["groups"]) == ["NEP25"]
    assert metrics["model"] == "oracle"
    before = {path: path.stat().st_mtime_ns for path in (out / "predictions").glob("*.geojson")}
    assert len(before) == 2
    assert glomseg(*arguments, "--no-pictures").code == 0  # what was predicted is not predicted again
    assert before == {path: path.stat().st_mtime_ns for path in (out / "predictions").glob("*.geojson")}
    again = glomseg(
        "evaluate", out / "predictions", tmp_path / "Task2_WSI_level", "-o", tmp_path / "scored", "--no-pictures"
    )
    assert again.code == 0, again.err
    assert json.loads((tmp_path / "scored/metrics.json").read_text())["overall"] == overall


def test_tiles_with_masks_need_an_mpp_and_say_so(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    for name in ("images", "masks"):
        (tmp_path / "tiles" / name).mkdir(parents=True)
    picture = draw((512, 512), (0, 0, 512, 512), [Disc(200, 200, 80, 80)])
    Image.fromarray(picture).save(tmp_path / "tiles/images/t1.png")
    Image.fromarray(np.where((picture == DISC).all(axis=2), 255, 0).astype(np.uint8)).save(
        tmp_path / "tiles/masks/t1.png"
    )
    arguments = ("evaluate", "--model", oracle_folder, tmp_path / "tiles", "-o", tmp_path / "out", "--device", "cpu")
    result = glomseg(*arguments)
    assert result.code == 1
    assert "--mpp" in result.err.splitlines()[-1]
    assert glomseg(*arguments, "--mpp", "0.5", "--no-pictures").code == 0
    assert json.loads((tmp_path / "out/metrics.json").read_text())["overall"]["pooled"]["f1"]["value"] == 1


def test_white_padding_is_no_glomerulus(tmp_path: Path, glomseg, mask, geojson) -> None:
    """KPIs fills border tiles with 255, in the image and in the mask."""
    image = np.full((100, 100, 3), TISSUE, np.uint8)
    image[:, 70:] = 255
    (tmp_path / "img").mkdir()
    Image.fromarray(image).save(tmp_path / "img" / "t_img.png")
    truth = mask("mask/t_mask.png", (10, 10, 20, 20), (50, 50, 20, 20), (70, 0, 30, 100))
    predicted = geojson("predicted/t.geojson", (10, 10, 20, 20), (50, 50, 20, 20))
    result = glomseg("evaluate", predicted.parent, truth.parent, "-o", tmp_path / "out")
    assert "t_img.png: white padding left out of the truth" in result.err
    overall = json.loads((tmp_path / "out/metrics.json").read_text())["overall"]
    assert overall["pooled"]["dice"]["value"] == 1


def test_a_run_and_its_correction_in_geojson(data: Path, tmp_path: Path, glomseg) -> None:
    """QuPath's own export against itself with one outline deleted and one moved."""
    source = data / "qupath/tiles/qupath_0_6_0_kidney_01.geojson"
    objects = [item for item in read_geojson(source) if (item.class_name or "").startswith("Glomerulus")]
    annotations = [item for item in objects if item.object_type == "annotation"]
    write_geojson(tmp_path / "kept.geojson", annotations[1:])
    result = glomseg(
        "evaluate", tmp_path / "kept.geojson", source, "-o", tmp_path / "out", "--mpp", "0.5", "--json", "--no-pictures"
    )
    assert result.code == 0, result.err
    overall = json.loads(result.out)["overall"]
    assert (overall["true_objects"], overall["predicted_objects"], overall["matched"]) == (7, 6, 6)
    assert overall["mean"]["sq"]["value"] == pytest.approx(1)


def test_one_folder_of_a_persons_and_the_machines(tmp_path: Path, glomseg) -> None:
    from glomseg.runs.ownership import stamp

    machine = [stamp(PathObject(geometry=item, class_name="Glomerulus"), run="r", model="m")
               for item in boxes((0, 0, 20, 20), (50, 50, 20, 20))]  # fmt: skip
    person = PathObject(geometry=boxes((2, 0, 20, 20))[0], class_name="Glomerulus")
    write_geojson(tmp_path / "both" / "a.geojson", [*machine, person])
    arguments = ("evaluate", tmp_path / "both", "-o", tmp_path / "out", "--json", "--no-pictures")
    assert glomseg(*arguments).code == 2
    result = glomseg(*arguments, "--predicted-set", "machine", "--truth-set", "person")
    overall = json.loads(result.out)["overall"]
    assert (overall["true_objects"], overall["predicted_objects"], overall["matched"]) == (1, 2, 1)
    assert "match themselves" not in result.err
    reshaped = replace(machine[1], geometry=boxes((50, 50, 30, 20))[0])
    write_geojson(tmp_path / "both" / "a.geojson", [machine[0], reshaped, person])
    for whose, count in (("run:r", 2), ("all", 3)):
        result = glomseg(*arguments, "--predicted-set", whose, "--truth-set", "person")
        assert json.loads(result.out)["overall"]["predicted_objects"] == count
        themselves = count - 1  # that of the run that a person reshaped; and what a person drew, where all count
        assert f"{themselves} of {count} predictions are the truth as well" in " ".join(result.err.split())


def test_one_evaluation_at_a_time_writes_into_a_folder(tmp_path: Path, glomseg) -> None:
    """Two made one folder of the table of one and the numbers of the other, and both ended well."""
    write_geojson(tmp_path / "a.geojson", [PathObject(geometry=boxes((0, 0, 9, 9))[0], class_name="Glomerulus")])
    arguments = ("evaluate", tmp_path / "a.geojson", tmp_path / "a.geojson", "-o", tmp_path / "out", "--no-pictures")
    with locked(tmp_path / "out"):
        refused = glomseg(*arguments)
        assert refused.code == 1
        assert "another glomseg is working in" in refused.err
        assert not (tmp_path / "out/metrics.json").exists()
    assert glomseg(*arguments).code == 0


@pytest.mark.qupath
def test_a_project_against_its_own_export(project: Path, data: Path, tmp_path: Path, glomseg) -> None:
    from glomseg.qupath.process import find_qupath

    if find_qupath() is None:
        pytest.skip("no QuPath on this machine")
    exported = tmp_path / "exported"
    exported.mkdir()
    for number in (1, 2):
        shutil.copy(
            data / f"qupath/tiles/qupath_0_6_0_kidney_0{number}.geojson", exported / f"kidney_0{number}.geojson"
        )
    result = glomseg("evaluate", exported, project, "-o", tmp_path / "out", "--missing", "skip", "--json",
                     "--slides", data / "qupath", "--no-pictures")  # fmt: skip
    assert result.code == 0, result.err
    overall = json.loads(result.out)["overall"]
    assert (overall["images"], overall["true_objects"], overall["matched"]) == (2, 8, 8)
    assert overall["pooled"]["dice"]["value"] == pytest.approx(1, abs=1e-3)


def test_a_project_without_qupath_says_what_is_missing(project: Path, tmp_path: Path, no_qupath, glomseg) -> None:
    result = glomseg("evaluate", project, "-o", tmp_path / "out", "--predicted-set", "machine", "--truth-set", "person")
    assert result.code == 1
    assert "QuPath" in result.err
    assert len(result.err.strip().splitlines()) == 1


def test_the_image_says_how_large_its_pixels_are(tmp_path: Path, glomseg) -> None:
    """Two GeoJSON files know no um; the slide beside the truth does."""
    (tmp_path / "truth").mkdir()
    slide = disc_slide(tmp_path / "truth" / "a.tif", size=(1000, 900), count=3, mpp=0.4)
    shapes = boxes(*((disc.x - 30, disc.y - 30, 60, 60) for disc in slide.discs))
    for folder in ("truth", "predicted"):
        write_geojson(
            tmp_path / folder / "a.geojson", [PathObject(geometry=s, class_name="Glomerulus") for s in shapes]
        )
    arguments = ("evaluate", tmp_path / "predicted", tmp_path / "truth", "-o", tmp_path / "out", "--no-pictures")
    assert glomseg(*arguments).code == 0
    (row,) = csv.DictReader((tmp_path / "out/per_slide.csv").open())
    assert float(row["true_area_um2"]) == pytest.approx(3 * 60 * 60 * 0.16)
    off = PathObject(geometry=boxes((5000, 5000, 60, 60))[0], class_name="Glomerulus")
    write_geojson(tmp_path / "predicted" / "a.geojson", [off])
    result = glomseg(*arguments)
    assert result.code == 1
    assert "reaches to 5060, 5060 px on an image of 1000 x 900" in result.err


@pytest.mark.parametrize("damage", ["off the image", "half a file", "half a mask"])
def test_an_image_that_cannot_be_compared_stops_no_other(folders, tmp_path: Path, glomseg, geojson, damage) -> None:
    """It is left out by name, what is said of the others stays as it was, and the exit code is 1."""
    arguments = ("evaluate", *folders, "-o", tmp_path / "out", "--no-pictures")

    def scores() -> dict[str, dict[str, str]]:
        return {row["image"]: row for row in csv.DictReader((tmp_path / "out/per_slide.csv").open())}

    assert glomseg(*arguments).code == 0
    before = scores()
    path = folders[damage == "half a mask"] / ("b_mask.png" if damage == "half a mask" else "b.geojson")
    if damage == "off the image":
        geojson("predicted/b.geojson", (5000, 5000, 20, 20))
    else:
        path.write_bytes(path.read_bytes()[:60])
    result = glomseg(*arguments)
    assert result.code == 1
    (said,) = [line for line in result.err.splitlines() if line.startswith("b: ")]
    assert said.endswith("; left out")
    assert {"off the image": "reaches to 5020, 5020 px on an image of"}.get(damage, str(path)) in said
    assert scores() == {name: row for name, row in before.items() if name != "b"}
    assert said in json.loads((tmp_path / "out/metrics.json").read_text())["remarks"]


def test_compare_two_evaluations(folders, tmp_path: Path, glomseg, geojson) -> None:
    glomseg("evaluate", *folders, "-o", tmp_path / "a", "--no-pictures")
    geojson("predicted/b.geojson", (10, 10, 20, 20))
    glomseg("evaluate", *folders, "-o", tmp_path / "b", "--no-pictures")
    result = glomseg("compare", tmp_path / "a", tmp_path / "b", "-o", tmp_path / "c.json")
    assert result.code == 0, result.err
    row = next(line for line in result.out.splitlines() if line.strip().startswith("dice"))
    assert "+0.111" in row
    scores = {item["name"]: item for item in json.loads((tmp_path / "c.json").read_text())["scores"]}
    assert scores["precision"]["difference"] == pytest.approx(1 / 6, abs=1e-6)
    assert glomseg("compare", tmp_path / "a", tmp_path).code == 1


def test_a_suite_passes_or_fails(folders, tmp_path: Path, glomseg) -> None:
    suite = tmp_path / "suite.toml"
    text = "[[set]]\nname = 'one'\npredicted = 'predicted'\ntruth = 'truth'\nmpp = 0.5\nminimum = {{ f1 = {} }}\n"
    suite.write_text(text.format(0.8))
    result = glomseg("evaluate", "--suite", suite, "-o", tmp_path / "out", "--no-pictures")
    assert result.code == 0, result.err
    assert json.loads((tmp_path / "out/suite.json").read_text())["passed"]
    assert (tmp_path / "out/one/metrics.json").exists()
    suite.write_text(text.format(0.95) + "[[set]]\nname = 'two'\ndata = 'nowhere'\n")
    result = glomseg("evaluate", "--suite", tmp_path, "-o", tmp_path / "out", "--no-pictures")
    assert result.code == 1
    assert "one: f1 0.889 is below 0.95" in result.err
    assert "two: set 'two' needs a model" in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["predicted", "-o", "out"],
        ["-o", "out"],
        ["predicted", "truth"],
        ["predicted", "truth", "-o", "out", "--model", "pas-starter"],
        ["predicted", "--suite", "s.toml", "-o", "out"],
    ],
)
def test_wrong_calls_exit_with_2(arguments: list[str], glomseg) -> None:
    assert glomseg("evaluate", *arguments).code == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--class", "Tubule"], "'Tubule'"),
        (["--predicted-set", "robot"], "'robot'"),
        (["--group-by", "diet"], "--samples"),
        (["--samples", "none.csv"], "none.csv"),
    ],
)
def test_what_cannot_be_says_why_in_one_line(folders, tmp_path: Path, glomseg, more, message) -> None:
    result = glomseg("evaluate", *folders, "-o", tmp_path / "out", *more)
    assert result.code == 1
    assert message in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_sizes_that_differ_are_refused_or_stretched(tmp_path: Path, glomseg, mask) -> None:
    small, large = mask("small/a.png", (10, 10, 20, 20), size=(50, 50)), mask("large/a.png", (20, 20, 40, 40))
    result = glomseg("evaluate", small, large, "-o", tmp_path / "out")
    assert result.code == 1
    assert "50 x 50" in result.err
    assert "--rescale" in result.err
    assert glomseg("evaluate", small, large, "-o", tmp_path / "out", "--rescale", "--no-pictures").code == 0
    assert json.loads((tmp_path / "out/metrics.json").read_text())["overall"]["mean"]["dice"]["value"] == 1


def test_tiles_of_the_challenge_in_its_folders(tmp_path: Path, glomseg) -> None:
    """Task 1: JPEG tiles of two cases in each of two groups; a prediction as PNG in the same folders."""
    for group, reach in (("56NX", 40), ("normal", 20)):
        for case in ("12_1", "12-2"):
            for tile in (0, 1):
                name = f"{case}_{tile}_0_1024"
                truth = tmp_path / f"KPIs/test/{group}/{case}"
                for folder in ("img", "mask"):
                    (truth / folder).mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.full((128, 128, 3), TISSUE, np.uint8)).save(truth / f"img/{name}_img.jpg")
                values = np.zeros((128, 128), np.uint8)
                values[40:80, 40:80] = 255
                Image.fromarray(values).save(truth / f"mask/{name}_mask.jpg", quality=95)
                values[40:80, 40 + reach : 80] = 0
                predicted = tmp_path / f"out/{group}/{case}"
                predicted.mkdir(parents=True, exist_ok=True)
                Image.fromarray(values).save(predicted / f"{name}.png")
    result = glomseg("evaluate", tmp_path / "out", tmp_path / "KPIs/test", "-o", tmp_path / "scores", "--json",
                     "--kpis-compatible", "--mpp", "0.2395", "--no-pictures")  # fmt: skip
    assert result.code == 0, result.err
    metrics = json.loads(result.out)
    assert metrics["unit"] == "animal"
    assert {name: (group["images"], group["units"]) for name, group in metrics["groups"].items()} == {
        "56Nx": (4, 2),
        "normal": (4, 2),
    }
    assert metrics["groups"]["56Nx"]["mean"]["dice"]["value"] == pytest.approx(1, abs=0.02)
    assert metrics["groups"]["normal"]["mean"]["dice"]["value"] == pytest.approx(2 / 3, abs=0.02)
    assert metrics["overall"]["mean"]["dice"]["value"] == pytest.approx(5 / 6, abs=0.02)
    assert set(metrics["groups"]["56Nx"]["mean"]) >= {"kpis_f1"}


@pytest.mark.qupath
@pytest.mark.slow
@pytest.mark.parametrize("study", ["0_6_0"], indirect=True)
def test_an_image_that_cannot_be_read_is_named_and_the_others_are_scored(
    qupath, study: Path, oracle_folder: Path, tmp_path: Path, glomseg
) -> None:
    """Damaged annotations, a picture that QuPath shows turned, and another picture of that name: exit code 1."""
    sides = ("--predicted-set", "all", "--truth-set", "person", "-o", tmp_path / "out", "--no-pictures")
    whole = glomseg("evaluate", study.parent, *sides)
    assert whole.code == 0, whole.err
    assert "left out: data.qpdata" not in whole.err, "the project's folder names the project, whose data are read"
    assert "Ünï cöde #3: no outline that counts as true, and not marked as reviewed" in whole.err
    model = ("--model", oracle_folder, "--device", "cpu", "--mpp", "0.5", "--no-pictures")
    content = json.loads(study.read_text())
    content["images"][2].setdefault("metadata", {})["glomseg.reviewed"] = "AB"  # so that it is known to be empty
    metadata = content["images"][1]["serverBuilder"]["metadata"]
    content["images"][1]["serverBuilder"] = {
        "builderType": "rotated", "rotation": "ROTATE_90", "builder": content["images"][1]["serverBuilder"],
        "metadata": metadata,
    }  # fmt: skip
    study.write_text(json.dumps(content))
    turned = glomseg("evaluate", study, *model, "-o", tmp_path / "model")
    assert turned.code == 1
    assert "kidney_02: the image is rotated in QuPath" in turned.err
    assert set(json.loads((tmp_path / "model/predictions/run.json").read_text())["images"]) == {
        "kidney_01", "Ünï cöde #3"
    }  # fmt: skip
    assert (tmp_path / "model/metrics.json").is_file()
    Image.new("RGB", (1032, 1024), "white").save(tmp_path / "Ünï cöde #3.png")
    other = glomseg("evaluate", study, *model, "--missing", "skip", "-o", tmp_path / "again")
    assert "another image of that name?" in other.err
    assert other.code == 1  # also where missing ones are skipped
    data = study.parent / "data/1/data.qpdata"
    data.write_bytes(data.read_bytes()[:2000])
    part = glomseg("evaluate", study, *sides)
    assert part.code == 1
    assert "kidney_01: " in part.err
    assert "is damaged" in part.err
    assert len((tmp_path / "out/per_slide.csv").read_text().splitlines()) == 3
