"""Two evaluations of the same data."""

from pathlib import Path

import numpy as np
import pytest
from support.scenes import evaluated, side

from glomseg.errors import EvaluationError
from glomseg.evaluation.compare import compare
from glomseg.evaluation.evaluate import EvaluateSettings
from glomseg.evaluation.evaluation_folder import write_evaluation

TRUE = side((0, 0, 10, 10), (40, 40, 10, 10))


def test_distances_at_two_pixel_sizes_are_no_difference_of_models(tmp_path: Path) -> None:
    scenes = [(side((0, 0, 10, 9), mpp=None), side((0, 0, 10, 10), mpp=None))] * 2
    for name, mpp in (("a", 0.5), ("b", 0.25)):
        settings = EvaluateSettings(mpp=(mpp, mpp))
        write_evaluation(tmp_path / name, evaluated(*scenes, settings=settings), pictures=False)
    with pytest.raises(EvaluationError, match=r"25 um2 of true objects in .* and 6.25 in .*another pixel size"):
        compare(tmp_path / "a", tmp_path / "b")


def results(folder: Path, heights: list[int], true=TRUE, names=None) -> Path:
    scenes = [(side((0, 0, 10, height), (40, 40, 10, 10)), true) for height in heights]
    write_evaluation(folder, evaluated(*scenes, names=names), pictures=False)
    return folder


def test_the_difference_its_interval_and_the_p(tmp_path: Path) -> None:
    worse, better = results(tmp_path / "a", [6, 7, 6, 8, 7, 6]), results(tmp_path / "b", [10, 9, 10, 9, 10, 8])
    found = {item.name: item for item in compare(worse, better)}
    dice = found["dice"]
    by_hand = [2 * (10 * h + 100) / (10 * h + 100 + 200) for h in (6, 7, 6, 8, 7, 6, 10, 9, 10, 9, 10, 8)]
    assert dice.a == pytest.approx(np.mean(by_hand[:6]), abs=1e-5)
    assert dice.b == pytest.approx(np.mean(by_hand[6:]), abs=1e-5)
    assert dice.low is None  # six pairs carry none
    assert 0 < dice.lowest < dice.difference < dice.highest
    assert dice.p == pytest.approx(2 / 64)
    assert dice.units == 6
    assert found["f1"].difference == 0
    assert found["f1"].p == 1
    assert "kpis_f1" not in found


def test_distances_are_compared_though_the_first_image_has_no_match(tmp_path: Path) -> None:
    missed = side(), side((0, 0, 10, 10))
    for name, height in (("a", 6), ("b", 9)):
        scenes = [missed, *((side((0, 0, 10, height - i)), side((0, 0, 10, 10))) for i in (0, 1, 0, 1))]
        write_evaluation(tmp_path / name, evaluated(*scenes), pictures=False)
    found = {item.name: item for item in compare(tmp_path / "a", tmp_path / "b")}
    assert found["hausdorff95_um"].difference < 0
    assert found["mean_distance_um"].units == 4
    assert found["dice"].units == 5


def test_few_pairs_say_how_small_p_can_be(tmp_path: Path, glomseg) -> None:
    results(tmp_path / "a", [6, 7, 6, 8])
    results(tmp_path / "b", [10, 9, 10, 9])
    result = glomseg("compare", tmp_path / "a", tmp_path / "b")
    assert "with 4 pairs p cannot be below 0.125" in result.err
    assert "no 95 % intervals below 15 units" in result.err
    assert "in square brackets B - A of the lowest and of the highest pair" in result.err
    assert "0.125" in result.out


def test_a_model_is_no_better_than_itself(tmp_path: Path) -> None:
    folder = results(tmp_path / "a", [5, 9, 7])
    assert {(item.difference, item.p) for item in compare(folder, folder)} == {(0.0, 1.0)}


def test_what_is_not_the_same_data_is_refused(tmp_path: Path) -> None:
    a = results(tmp_path / "a", [6, 7])
    with pytest.raises(EvaluationError, match="'image 2' stands in only one"):
        compare(a, results(tmp_path / "more", [6, 7, 8]))
    with pytest.raises(EvaluationError, match="2 true objects"):
        compare(a, results(tmp_path / "other", [6, 7], side((0, 0, 10, 10))))
    redrawn = side((0, 0, 10, 11), (40, 40, 10, 10))  # as many objects of another truth
    with pytest.raises(EvaluationError, match=r"50 um2 of true objects in .* and 52.5 in .*: of another truth"):
        compare(a, results(tmp_path / "redrawn", [6, 7], redrawn))
    with pytest.raises(EvaluationError, match="holds no finished evaluation"):
        compare(a, tmp_path / "nowhere")
    (a / "per_slide.csv").write_text("image,unit\n")
    with pytest.raises(EvaluationError, match="holds no finished evaluation"):
        compare(a, a)


@pytest.mark.parametrize("recall", ["0.125", "125", "nan"])
def test_a_table_that_a_spreadsheet_saved_with_other_numbers_is_refused(tmp_path: Path, recall: str) -> None:
    """One that reads a point as the German sign of thousands makes 125 of 0.125."""
    a = results(tmp_path / "a", [6, 7])
    table = a / "per_slide.csv"
    first, one, two = table.read_text().splitlines()
    column = first.split(",").index("recall")
    cells = one.split(",")
    cells[column] = recall
    table.write_text("\n".join([first, ",".join(cells), two, ""]))
    with pytest.raises(EvaluationError, match=r"the mean recall of its rows is .* a spreadsheet may have saved it"):
        compare(a, a)
    table.write_text("\n".join([first.replace(",", ";"), one.replace(",", ";"), two.replace(",", ";"), ""]))
    assert compare(a, a)


def test_a_persons_file_is_not_replaced(tmp_path: Path, glomseg) -> None:
    results(tmp_path / "a", [6, 7, 6, 8])
    before = (tmp_path / "a/metrics.json").read_bytes()
    result = glomseg("compare", tmp_path / "a", tmp_path / "a", "-o", tmp_path / "a/metrics.json")
    assert result.code == 1
    assert "choose another --output" in result.err
    assert (tmp_path / "a/metrics.json").read_bytes() == before
    for _ in range(2):  # its own is replaced
        assert glomseg("compare", tmp_path / "a", tmp_path / "a", "-o", tmp_path / "c.json").code == 0


def test_pictures_of_a_former_evaluation_go_with_its_tables(tmp_path: Path) -> None:
    """They would be taken for those of the scores beside them, where none are asked for or the new ones are stopped."""
    scenes = [(side((0, 0, 10, 9)), side((0, 0, 10, 10), (40, 40, 10, 10)))] * 6
    write_evaluation(tmp_path, evaluated(*scenes))
    ours = {path for path in tmp_path.rglob("*") if path.suffix in (".png", ".svg")}
    assert {path.name for path in ours} >= {"bland_altman.png", "bland_altman.svg", "groups.png", "misses.png"}
    (tmp_path / "plots/mine.png").write_bytes(b"mine")
    write_evaluation(tmp_path, evaluated(*scenes), pictures=False)
    assert list(tmp_path.rglob("*.png")) == [tmp_path / "plots/mine.png"]
    assert not any(path.exists() for path in ours)
