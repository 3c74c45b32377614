"""What is said of one image, and of many."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from support.scenes import evaluated, side

from glomseg.errors import EvaluationError, RunError
from glomseg.evaluation.curves import agreement, calibration, pr_curve
from glomseg.evaluation.evaluate import EvaluateSettings
from glomseg.evaluation.evaluation_folder import write_evaluation
from glomseg.evaluation.score import score_image
from glomseg.labelled.image_info import ImageInfo
from glomseg.labelled.sample_sheet import Sample, SampleSheet

INFO = ImageInfo(key="a", unit="a")
SCENE = (
    side((0, 0, 8, 10), (20, 20, 6, 10), (40, 40, 5, 5), confidences=[0.9, 0.8, 0.7]),
    side((0, 0, 10, 10), (20, 20, 10, 10), (60, 60, 5, 5)),
)


def test_each_object_is_told_what_became_of_it() -> None:
    rows = score_image(INFO, *SCENE).objects
    told = [(row.side, row.status, row.partner, round(row.iou, 2)) for row in rows]
    assert told == [
        ("predicted", "matched", 0, 0.8),
        ("predicted", "matched", 1, 0.6),
        ("predicted", "false", None, 0.0),
        ("true", "matched", 0, 0.8),
        ("true", "matched", 1, 0.6),
        ("true", "missed", None, 0.0),
    ]
    assert [row.touches_edge for row in rows if row.side == "true"] == [True, False, False]
    assert rows[0].area_um2 == 20
    assert (rows[1].x_px, rows[1].y_px) == (23, 25)
    assert rows[0].hausdorff95_um == pytest.approx(1, abs=0.05)


def test_splits_and_merges_are_marked() -> None:
    split = score_image(INFO, side((0, 0, 10, 6), (0, 6, 10, 4)), side((0, 0, 10, 10)))
    assert [(row.side, row.split, row.merge) for row in split.objects][2] == ("true", True, False)
    merged = score_image(INFO, side((0, 0, 22, 10)), side((0, 0, 10, 10), (12, 0, 10, 10)))
    assert (merged.merges, merged.objects[0].merge) == (1, True)


def test_where_it_lies_changes_no_score() -> None:
    first = score_image(INFO, *SCENE).values()
    moved = [
        replace(item, geometries=shapely.transform(item.geometries, lambda p: np.add(p, (3000, 70))), size=(4000, 4000))
        for item in SCENE
    ]
    assert score_image(INFO, *moved).values() == pytest.approx(first, nan_ok=True)


def test_without_mpp_there_is_nothing_in_um() -> None:
    values = score_image(INFO, *(replace(item, mpp=None) for item in SCENE)).values()
    assert math.isnan(values["hausdorff95_um"])
    assert math.isnan(values["true_area_um2"])
    assert values["f1"] == pytest.approx(2 / 3)


def test_sizes_and_pixel_sizes_that_differ_are_named() -> None:
    small = side((0, 0, 5, 5), size=(50, 50), mpp=None)
    whole = side((0, 0, 10, 10))
    with pytest.raises(EvaluationError, match=r"a: .*50 x 50.*100 x 100.*--rescale"):
        score_image(INFO, small, whole)
    assert score_image(INFO, small, whole, rescale=True).pixels.dice == 1
    with pytest.raises(EvaluationError, match=r"0\.25.*0\.5.*--mpp"):
        score_image(INFO, side((0, 0, 5, 5), mpp=(0.25, 0.25)), whole)
    assert score_image(INFO, side((0, 0, 5, 5), mpp=(0.25, 0.25)), whole, mpp=(1, 1)).mpp == (1, 1)
    far = side((0, 0, 5, 5), (500, 0, 5, 5), size=None)
    with pytest.raises(EvaluationError, match=r"the prediction reaches to 505, 5 px.*100 x 100"):
        score_image(INFO, far, whole)


def test_ignored_areas_count_on_neither_side() -> None:
    true = replace(side((0, 0, 10, 10), (50, 50, 10, 10)), ignored=shapely.box(40, 40, 100, 100))
    found = score_image(INFO, side((0, 0, 10, 10), (80, 80, 10, 10)), true)
    assert (found.half.matched, found.half.predicted, found.half.true) == (1, 1, 1)
    assert found.pixels.dice == 1


def test_mean_over_images_and_pooled_are_two_numbers() -> None:
    """Dice 1 on a small image and 0.5 on a large one: mean 0.75, pooled (2 * 4 + 2 * 100) / (8 + 400)."""
    small = side((0, 0, 2, 2)), side((0, 0, 2, 2))
    large = side((0, 0, 10, 20)), side((0, 10, 10, 20))
    summary = evaluated(small, large).summary.overall
    assert summary.mean["dice"].value == 0.75
    assert summary.pooled["dice"].value == pytest.approx(208 / 408, abs=1e-6)
    assert summary.mean["f1"].value == 0.5
    assert summary.pooled["f1"].value == 0.5
    assert summary.mean["f1_50_95"].value == 0.5


def test_an_empty_tile_with_nothing_found_is_right() -> None:
    empty = side(), side()
    summary = evaluated(empty, (side((0, 0, 5, 5)), side())).summary.overall
    assert summary.mean["dice"].value == 0.5
    assert summary.pooled["dice"].value == 0
    assert evaluated(empty).summary.overall.pooled["pq"].value == 1


def test_groups_and_intervals_over_animals() -> None:
    scenes = [(side((0, 0, 10, 10 - index)), side((0, 0, 10, 10))) for index in range(8)]
    rows = {f"s{index}": Sample(animal=f"m{index // 2}", group="DN" if index < 4 else "normal") for index in range(8)}
    samples = SampleSheet(Path("samples.csv"), rows, ("image", "animal", "group"))
    found = evaluated(*scenes, names=list(rows), settings=EvaluateSettings(samples=samples)).summary
    assert (found.unit, found.group_by) == ("animal", "group")
    assert found.overall.units == 4
    assert {name: group.images for name, group in found.groups.items()} == {"DN": 4, "normal": 4}
    dice = found.overall.mean["dice"]
    assert dice.low is None  # four animals carry no interval
    assert dice.lowest < dice.value < dice.highest
    assert dice.units == 4
    one = evaluated(scenes[0]).summary.overall.mean["dice"]
    assert (one.low, one.high) == (None, None)


def test_an_image_without_an_animal_counts_for_itself_aloud() -> None:
    rows = {"a": Sample(animal="m1"), "b": Sample(animal="m1"), "c": Sample()}
    sheet = SampleSheet(Path("s.csv"), rows, ("image", "animal"))
    found = evaluated(SCENE, SCENE, SCENE, names=list(rows), settings=EvaluateSettings(samples=sheet))
    assert found.summary.overall.units == 2
    assert "1 of 3 images have no animal in the sample sheet (c); each counts for itself" in found.remarks


def test_bland_altman_by_hand() -> None:
    """Differences 1, 0, -1, 2: mean 0.5, SD 1.291; of four pairs the limits are t * SD * sqrt(1.25)."""
    found = agreement([4, 4, 4, 5], [3, 4, 5, 3])
    assert found.bias == 0.5
    assert found.high == pytest.approx(0.5 + 3.1824463 * 1.2909944 * 1.25**0.5)
    assert found.low == pytest.approx(0.5 - 3.1824463 * 1.2909944 * 1.25**0.5)
    assert agreement([4], [3]).low is None
    assert agreement([4, 5], [3, 3]).low is None  # two carry none
    assert agreement([4, 5, 6], [3, 4, 5]).low is None  # all differ alike: no limits of width zero
    rng, inside = np.random.default_rng(0), []
    for _ in range(1500):
        *first, later = rng.normal(2, 3, 6)
        limits = agreement(first, [0] * 5)
        inside.append(limits.low <= later <= limits.high)
    assert 0.93 <= np.mean(inside) <= 0.97  # 1.96 SD of five held 85
    assert agreement([], []) is None


def test_precision_and_recall_over_the_confidence_by_hand() -> None:
    """Confidences 0.9 right, 0.8 right, 0.7 wrong, three true: P 1, 1, 2/3 and R 1/3, 2/3, 2/3."""
    curve = pr_curve([score_image(INFO, *SCENE)])
    assert curve.thresholds.tolist() == [0.9, 0.8, 0.7]
    assert curve.precision.tolist() == pytest.approx([1, 1, 2 / 3])
    assert curve.recall.tolist() == pytest.approx([1 / 3, 2 / 3, 2 / 3])
    assert curve.average_precision == pytest.approx(2 / 3)
    assert curve.best() == 0.8
    assert pr_curve([score_image(INFO, side((0, 0, 5, 5)), SCENE[1])]) is None


def test_ties_of_confidence_are_one_step() -> None:
    tied = replace(SCENE[0], confidences=np.array([0.5, 0.5, 0.5]))
    assert pr_curve([score_image(INFO, tied, SCENE[1])]).precision.tolist() == pytest.approx([2 / 3])


def test_the_threshold_is_chosen_on_validation_images_alone() -> None:
    """On the other image 0.6 would be best; it has no say."""
    other = side((0, 0, 10, 10), (50, 50, 5, 5), confidences=[0.75, 0.6]), side((0, 0, 10, 10), (50, 50, 5, 5))
    rows = {"a": Sample(split="validation"), "b": Sample(split="test")}
    samples = SampleSheet(Path("s.csv"), rows, ("image", "split"))
    found = evaluated(SCENE, other, names=["a", "b"], settings=EvaluateSettings(samples=samples))
    curve = found.summary.precision_recall
    assert curve.best_threshold == 0.8
    assert curve.f1_on_validation == pytest.approx(0.8)
    assert curve.f1_on_others == 0
    unmarked = evaluated(SCENE, other).summary.precision_recall
    assert unmarked.best_threshold is None
    assert "validation" in unmarked.note


def test_calibration_by_hand() -> None:
    """0.9 and 0.8 are right and 0.7 is not: gaps 0.1, 0.2 and 0.7."""
    found = calibration([score_image(INFO, *SCENE)])
    assert found.error == pytest.approx(1 / 3)
    assert [(i, n) for i, n in enumerate(found.counts) if n] == [(7, 1), (8, 1), (9, 1)]


def test_what_is_written_says_what_was_found(tmp_path: Path) -> None:
    found = evaluated(SCENE, (side(), side((5, 5, 9, 9))), settings=EvaluateSettings(kpis=True))
    write_evaluation(tmp_path, found, details={"model": "m"}, pictures=True)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["model"] == "m"
    assert metrics["overall"]["true_objects"] == 4
    rows = list(csv.DictReader((tmp_path / "per_slide.csv").open()))
    assert [row["true_objects"] for row in rows] == ["3", "1"]
    assert float(rows[0]["pq"]) == pytest.approx(1.4 / 3, abs=1e-5)
    assert rows[1]["hausdorff95_um"] == ""
    objects = list(csv.DictReader((tmp_path / "per_object.csv").open()))
    assert len(objects) == 3 + 3 + 1
    assert [row["status"] for row in objects].count("missed") == 2
    for name in ("precision_recall", "calibration", "bland_altman", "groups"):
        assert (tmp_path / "plots" / f"{name}.svg").read_text().startswith("<?xml")
        assert (tmp_path / "plots" / f"{name}.png").stat().st_size > 5000
    assert {path.name for path in (tmp_path / "gallery").iterdir()} == {"misses.png", "false_positives.png"}


def test_the_same_data_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("1", "2"):
        write_evaluation(tmp_path / name, evaluated(SCENE, SCENE))
    for path in (tmp_path / "1").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "2" / path.relative_to(tmp_path / "1")).read_bytes(), path


def test_columns_of_a_person_are_not_replaced(tmp_path: Path) -> None:
    """Remarks beside the scores went with the next evaluation; those of the challenge's own F1 are ours."""
    write_evaluation(tmp_path, evaluated(SCENE, settings=EvaluateSettings(kpis=True)), pictures=False)
    write_evaluation(tmp_path, evaluated(SCENE), pictures=False)
    for name in ("per_slide.csv", "per_object.csv"):
        path = tmp_path / name
        ours = path.read_text()
        first, *rows = ours.splitlines()
        remarked = "\n".join([f"{first},remark", *(f"{line},pale" for line in rows)]) + "\n"
        path.write_text(remarked)
        (said,) = write_evaluation(tmp_path, evaluated(SCENE), pictures=False)
        kept = path.with_name(f"{path.stem}-1.csv")
        assert said == f"{name} was changed since glomseg wrote it; as it was it is {kept} now"
        assert (path.read_text(), kept.read_text()) == (ours, remarked)
    (tmp_path / ".written.json").unlink()  # as of an earlier version
    path.write_text(remarked)
    with pytest.raises(RunError, match="has columns that glomseg does not write"):
        write_evaluation(tmp_path, evaluated(SCENE), pictures=False)
    assert path.read_text() == remarked


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(EvaluationError, match="nothing to score"):
        evaluated()


def test_a_truth_that_is_the_prediction_is_said() -> None:
    """A folder named twice, or a truth that nobody drew, scores 1 whatever the model is worth."""
    found = side((0, 0, 10, 10), (40, 40, 10, 10), (70, 0, 10, 10))
    said = "the predictions are the truth"
    assert any(said in line for line in evaluated((found, found), (side(), side())).remarks)
    corrected = side((0, 0, 10, 10), (40, 40, 10, 10), (70, 0, 10, 11))
    assert not any(said in line for line in evaluated((found, found), (found, corrected)).remarks)
