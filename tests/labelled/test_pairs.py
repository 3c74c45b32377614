"""Files belong together by name."""

import gzip
import json
import re
import shutil
from pathlib import Path

import pytest

from glomseg.errors import EvaluationError, LabelError
from glomseg.evaluation.evaluate_model import evaluate_predictions
from glomseg.labelled.find_files import Source, find_images, find_labels, find_pictures, left_out
from glomseg.labelled.masks import read_mask
from glomseg.labelled.names import stem_of
from glomseg.labelled.pairs import of_other_names, pair_up
from glomseg.labelled.parts import part_named
from glomseg.qupath.objects import write_geojson
from glomseg.runs.image_record import ImageRecord, State
from glomseg.runs.run import Run, RunParameters, now


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a_mask.tiff", "a"),
        ("a_wsi.tiff", "a"),
        ("12_116_1_0_2048_img.jpg", "12_116_1_0_2048"),
        ("k [d=2,x=0,y=0,w=5,h=5]-labelled.png", "k [d=2,x=0,y=0,w=5,h=5]"),
        ("slide.svs", "slide"),
        ("slide.ome.tif", "slide"),
        ("slide.geojson.gz", "slide"),
        ("v1.2 slide.geojson", "v1.2 slide"),
        ("mask.png", "mask"),
        ("slide1_cp_masks.png", "slide1"),
        ("slide1_seg.png", "slide1"),
        ("slide1_instances.tif", "slide1"),
        ("slide1_segmentation.png", "slide1"),
        ("slide1.mask.png", "slide1"),
        ("slide1_annotation.png", "slide1"),
        ("slide1_binary.png", "slide1"),
        ("slide1_mask_v2.png", "slide1"),
        ("slide1_label_map.tif", "slide1"),
        ("slide1_ground_truth.png", "slide1"),
        ("slide1-labelled.ome.tif", "slide1"),
        ("v2_14_8.png", "v2_14_8"),
        ("t9(mask).png", "t9"),
        ("t9 (Mask).png", "t9"),
        ("t9[mask].png", "t9"),
        ("t9_mask_final.png", "t9"),
        ("t9_masks_0.png", "t9"),
        ("t9_mask1.png", "t9"),
        ("t9_SegmentationMask.png", "t9"),
        ("t9_instance_mask.png", "t9"),
        ("t9_glom_mask.png", "t9"),
        ("t9_manual_mask.png", "t9"),
        ("t9_inst.png", "t9"),
        ("mask_t9.png", "t9"),
        ("Label-t9.tif", "t9"),
        ("gt_t9_mask.png", "t9"),
        ("mask007.png", "007"),
        ("image_007.png", "007"),
        ("IMG007.png", "007"),
        ("image_of_mouse.png", "image_of_mouse"),
        ("masked.png", "masked"),
        ("labels [x=0,y=0,w=5,h=5].png", "labels [x=0,y=0,w=5,h=5]"),
        ("t9_Manual.png", "t9"),
        ("t9_ROI.png", "t9"),
        ("t9_glomeruli.png", "t9"),
        ("t9_stardist.ome.tif", "t9"),
        ("glom_12.png", "glom_12"),
        ("roi.png", "roi"),
        ("roi_3.png", "roi_3"),
        ("unmasked.png", "unmasked"),
    ],
)
def test_the_name_of_an_image(name: str, stem: str) -> None:
    assert stem_of(Path(name)) == stem


def test_masks_and_images_of_one_folder_are_told_apart(tmp_path: Path) -> None:
    touch(tmp_path, "a_wsi.tiff", "a_mask.tiff", "b.svs", "b.geojson", ".hidden_mask.png", "notes.txt")
    assert sorted(item.path.name for item in find_labels(tmp_path)) == ["a_mask.tiff", "b.geojson"]
    assert sorted(item.path.name for item in find_images(tmp_path)) == ["a_wsi.tiff", "b.svs"]


@pytest.mark.parametrize("ending", ["_cp_masks.png", "_seg.tif", "_Instances.TIF", ".mask.png", "_binary.bmp"])
def test_labels_and_images_of_one_folder_as_tools_name_them(tmp_path: Path, ending: str) -> None:
    touch(tmp_path, "a.png", f"a{ending}", "b.png", f"b{ending}", "c_seg.svs")
    assert [item.path.name for item in find_labels(tmp_path)] == [f"a{ending}", f"b{ending}"]
    assert [item.stem for item in find_images(tmp_path)] == ["a", "b", "c"]


OURS = ["(mask)", "_mask_final", "_masks_0", "_SegmentationMask", "_inst", "_manual", "_roi", "_glomeruli", "_stardist"]


@pytest.mark.parametrize("ending", [*OURS, "_mask1", "_glom_mask", "_ROI", "_MASK_Final", "_Manual_v2"])
@pytest.mark.parametrize("picture", ["", "_img"])
def test_masks_beside_their_pictures_by_more_endings(tmp_path: Path, ending: str, picture: str) -> None:
    names = ("t9", "t10")
    touch(tmp_path, *(f"{name}{picture}.png" for name in names), *(f"{name}{ending}.png" for name in names))
    images, labels = find_images(tmp_path), find_labels(tmp_path)
    assert sorted(item.path.stem for item in images) == sorted(name + picture for name in names)
    pairs, remarks = pair_up(images, labels)
    assert [pair.key for pair in pairs] == ["t10", "t9"]
    assert not remarks


@pytest.mark.parametrize(("picture", "mask"), [("t9.png", "mask_t9.png"), ("image_7.png", "mask_7.png")])
def test_a_word_for_mask_before_the_name(tmp_path: Path, picture: str, mask: str) -> None:
    touch(tmp_path, picture, mask)
    images, labels = find_pictures(tmp_path)
    assert [item.path.name for item in images] == [picture]
    assert [item.path.name for item in labels] == [mask]
    (pair,), remarks = pair_up(images, labels)
    assert pair.predicted.path.name == picture
    assert remarks == []


def test_pictures_that_are_called_as_some_masks_are_stay_pictures(tmp_path: Path) -> None:
    """A region or a picture of glomeruli is a mask only beside the picture that it is of."""
    touch(tmp_path, "data/images/a_roi.png", "data/images/b_glomeruli.png", "data/masks/a_roi.png")
    touch(tmp_path, "data/masks/b_glomeruli_mask.png")
    images, masks = find_pictures(tmp_path / "data")
    assert [item.path.name for item in images] == ["a_roi.png", "b_glomeruli.png"]
    assert [item.path.name for item in masks] == ["a_roi.png", "b_glomeruli_mask.png"]
    assert [item.stem for item in images] == [item.stem for item in masks] == ["a", "b"]


def test_several_masks_of_one_picture_are_named(tmp_path: Path) -> None:
    masks = find_labels(touch(tmp_path / "ours", "a_mask_1.png", "a_mask_2.png"))
    others = find_labels(touch(tmp_path / "theirs", "a_1.png", "a_2.png"))
    with pytest.raises(EvaluationError, match="both named 'a'"):
        pair_up(masks, others, missing="skip")


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("train", "train Training train_set TrainingData training-data"),
        ("validation", "val valid Validation ValSet dev val_data validation.set"),
        ("test", "test TestSet Testdata test_dataset held_out heldout held-out HoldOut hold_out eval Evaluation"),
        ("", "data dataset set contest testis test1 trainee evaluated images"),
    ],
)
def test_parts_as_folders_name_them(part: str, names: str) -> None:
    assert {name: part_named(name) for name in names.split()} == dict.fromkeys(names.split(), part)


def test_a_json_that_holds_no_outlines_is_no_truth(tmp_path: Path) -> None:
    """Exports, runs and evaluations leave JSON beside labels, other programs too."""
    touch(tmp_path, "images/s.png", "labels/s.png", "scan.npy", "s.xml")
    for name in (
        "export.json",
        "s-tiles.json",
        "labels/run.json",
        "metrics.json",
        "card.json",
        "other.json",
        "more.json.gz",
    ):
        text = json.dumps({"mpp": 0.5, "images": ["a"]}).encode()
        (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    assert [item.path.name for item in find_labels(tmp_path)] == ["s.png"]
    feature = {"type": "FeatureCollection", "features": []}
    (tmp_path / "t.json").write_text(json.dumps(feature))
    (tmp_path / "u.json.gz").write_bytes(gzip.compress(json.dumps(feature).encode()))
    (tmp_path / "v.json").write_text("broken")
    assert [item.stem for item in find_labels(tmp_path)] == ["s", "t", "u", "v"]
    said = "\n".join(left_out(tmp_path))
    assert "scan.npy: an array of numpy; write it as PNG or TIFF" in said
    assert "s.xml" in said
    assert "export.json" not in said


def test_an_image_without_an_ending_is_found(data: Path, tmp_path: Path) -> None:
    shutil.copy(data / "qupath/kidney_01.tif", tmp_path / "kidney")
    touch(tmp_path, "notes.txt")
    assert [item.path.name for item in find_images(tmp_path)] == ["kidney"]


def test_a_slide_beside_its_outlines_is_no_mask_whatever_the_folder_is_called(tmp_path: Path) -> None:
    touch(tmp_path / "truth", "a.tif", "a.geojson", "b.png")
    assert sorted(item.path.name for item in find_labels(tmp_path / "truth")) == ["a.geojson", "b.png"]
    assert [item.path.name for item in find_images(tmp_path / "truth")] == ["a.tif"]


def test_the_nearest_folder_tells_images_from_masks(tmp_path: Path) -> None:
    root = touch(tmp_path / "labelled", "images/a.png", "masks/a.png", "images/gt/b.png", "images/gt/images/b.png")
    images, masks = find_pictures(root)
    assert [item.path.relative_to(root).as_posix() for item in images] == ["images/a.png", "images/gt/images/b.png"]
    assert [item.path.relative_to(root).as_posix() for item in masks] == ["images/gt/b.png", "masks/a.png"]
    assert {item.key for item in images} == {item.key for item in masks} == {"a", "b"}


def test_tiles_that_qupath_exported(data: Path) -> None:
    for layout in ("beside", "subdir"):
        folder = data / f"qupath/tiles/qupath_0_6_0_{layout}"
        labels, images = find_labels(folder), find_images(folder)
        pairs, remarks = pair_up(images, labels)
        assert len(pairs) == len(labels) == len(images) > 0
        assert not remarks
        assert all(pair.predicted.stem == pair.true.stem for pair in pairs)


def test_the_same_name_in_two_folders_matches_by_folder(tmp_path: Path) -> None:
    truth = touch(tmp_path / "truth", "DN/1/mask/p_0_mask.jpg", "normal/1/mask/p_0_mask.jpg")
    predicted = touch(tmp_path / "out", "normal/1/p_0.png", "DN/1/p_0.png")
    pairs, _ = pair_up(find_labels(predicted), find_labels(truth))
    assert [pair.key for pair in pairs] == ["DN/1/p_0", "normal/1/p_0"]
    for pair in pairs:
        assert pair.key.split("/")[0] in pair.predicted.path.parts
        assert pair.key.split("/")[0] in pair.true.path.parts


def test_a_name_in_two_folders_is_that_of_two_images(tmp_path: Path) -> None:
    """A/s and B/s were paired where each side had one of them, and the numbers were of two animals."""
    truth = find_labels(touch(tmp_path / "truth", "A/x.png", "B/s.png"))
    predicted = find_labels(touch(tmp_path / "out", "A/x.png", "A/s.png"))
    with pytest.raises(EvaluationError, match="no prediction for B/s and no truth for A/s"):
        pair_up(predicted, truth)
    pairs, remarks = pair_up(predicted, truth, missing="skip")
    assert ([pair.key for pair in pairs], remarks) == (
        ["x"], ["B/s: no prediction; left out", "A/s: no truth; left out"]
    )  # fmt: skip
    pairs, remarks = pair_up(find_labels(touch(tmp_path / "fold", "f/x.png", "f/s.png")), truth)
    assert [pair.key for pair in pairs] == ["s", "x"]
    assert remarks == ["matched by their names alone, though in folders of other names: f/s with B/s, f/x with A/x"]
    flat = find_labels(touch(tmp_path / "flat", "x.png", "s.png"))
    assert not pair_up(flat, truth)[1], "a folder without folders says nothing"


@pytest.mark.parametrize("sign", "/\\")
def test_slides_of_one_name_in_a_run_match_by_their_folders(tmp_path: Path, sign: str) -> None:
    run = Run(tmp_path / "run", "run-1", RunParameters(model="m"), started=now())
    for key, animal in (("s", "A"), ("s-2", "B"), ("t", "B"), ("u", "")):  # u lies above the folders of the animals
        write_geojson(run.result_path(key), [])
        name = f"{key[0]}.svs"
        above = ("", "lab", animal) if animal else ("", "lab")
        run.update(key, ImageRecord(name=name, state=State.DONE, path=sign.join((*above, name))))
    run.save()
    truth = find_labels(touch(tmp_path / "truth", "A/s.png", "B/s.png", "B/t.png", "u.png"))
    pairs, _ = pair_up(find_labels(run.folder), truth)
    assert [(pair.key, pair.predicted and pair.predicted.path.stem) for pair in pairs] == [
        ("A/s", "s"), ("B/s", "s-2"), ("B/t", "t"), ("u", "u")
    ]  # fmt: skip


def test_two_files_match_whatever_they_are_called(tmp_path: Path) -> None:
    touch(tmp_path, "ours.geojson", "theirs.png")
    pairs, _ = pair_up(find_labels(tmp_path / "ours.geojson"), find_labels(tmp_path / "theirs.png"))
    assert ([pair.key for pair in pairs], of_other_names(pairs)) == (["theirs"], [])
    for name, said in (("ours_mask.png", []), ("theirs.png", ["ours with theirs"])):
        truth = find_labels(touch(tmp_path / name.partition(".")[0], name))
        pairs, _ = pair_up(find_labels(tmp_path / "ours.geojson"), truth)
        assert [remark.partition("of other names: ")[2] for remark in of_other_names(pairs)] == said


def test_a_missing_pair_is_named_and_refused_or_left_out_aloud(tmp_path: Path) -> None:
    truth = touch(tmp_path / "truth", "a.png", "b.png", "c.png")
    predicted = touch(tmp_path / "predicted", "a.png", "x.png")
    sides = find_labels(predicted), find_labels(truth)
    with pytest.raises(EvaluationError, match="no prediction for b, c and no truth for x"):
        pair_up(*sides)
    skipped, remarks = pair_up(*sides, missing="skip")
    assert [pair.key for pair in skipped] == ["a"]
    assert remarks == ["b: no prediction; left out", "c: no prediction; left out", "x: no truth; left out"]
    counted, remarks = pair_up(*sides, missing="empty")
    assert [(pair.key, pair.predicted is None) for pair in counted] == [("a", False), ("b", True), ("c", True)]
    assert "b: no prediction; scored as empty" in remarks


def test_a_mask_beside_geojson_is_named_where_its_truth_is_missed(tmp_path: Path) -> None:
    """Pictures lie beside GeoJSON files: a mask among them is taken for one, and the way out is its name."""
    folder = touch(tmp_path / "drawn", "a.png")
    write_geojson(folder / "b.geojson", [])
    predicted = find_labels(touch(tmp_path / "predicted", "a.png", "b.png"))
    with pytest.raises(EvaluationError, match=r"no truth for a; .* \(a.png counts as a picture: call a mask NAME_mask"):
        pair_up(predicted, find_labels(folder), images=find_images(folder))
    (folder / "a.png").rename(folder / "a_mask.png")
    pairs, _ = pair_up(predicted, find_labels(folder))
    assert [pair.true.path.name for pair in pairs] == ["a_mask.png", "b.geojson"]


def test_what_does_not_fit_at_all_is_refused(tmp_path: Path) -> None:
    truth, other = touch(tmp_path / "truth", "a.png", "b.png"), touch(tmp_path / "other", "x.png", "y.png")
    with pytest.raises(EvaluationError, match=r"files match by name"):
        pair_up(find_labels(other), find_labels(truth), missing="skip")
    with pytest.raises(EvaluationError, match="both named 'a'"):
        pair_up(find_labels(truth), find_labels(touch(tmp_path / "twice", "a.png", "a.tif")))
    project = [Source(path=tmp_path / "project.qpproj", stem="a")] * 2
    with pytest.raises(EvaluationError, match=r"has two images named 'a'; give each a name of its own in QuPath"):
        pair_up(find_labels(truth), project)
    with pytest.raises(EvaluationError, match="does not exist"):
        find_labels(tmp_path / "nowhere")
    (tmp_path / "bare").mkdir()
    with pytest.raises(EvaluationError, match="holds no mask"):
        find_labels(tmp_path / "bare")


UNREAD = {
    "a.npz": (b"PK", "an array of numpy; write it as PNG"),
    "a_mask.webp": (b"RIFF....WEBP", "a mask as WebP; write it as PNG"),
    "a.roi": (b"Iout", "an outline of ImageJ; export the outlines as GeoJSON"),
    "RoiSet.zip": (b"PK", "an archive, as ImageJ keeps outlines in"),
    "a.xml": (b"<Annotations/>", "outlines as XML; export them as GeoJSON"),
    "a.ndpi.ndpa": (b"<annotations/>", "outlines of NDP.view"),
    "a.txt": (b"0 0.5 0.5 0.1 0.1\n", "as of YOLO"),
    "whole.txt": (b"0 0.5 0.5 1 1\n", "as of YOLO"),
    "tabs.txt": (b"1\t5e-1\t0.5\t1e-2\t.1\r\n", "as of YOLO"),
    "pixels.txt": (b"120, 80, 240, 200, glomerulus\n", "outlines as text"),
    "a.json": (b'{"images": [{"file_name": "a.png"}], "annotations": []}', "outlines as COCO"),
    "b.json": (b'{"shapes": [{"points": [[1, 1]]}]}', "outlines of LabelMe"),
    "c.json": (b'{"a.png": {"regions": [{"shape_attributes": {}}]}}', "outlines of VIA"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_labels_that_are_not_read_are_named_with_the_way(name: str, tmp_path: Path) -> None:
    content, said = UNREAD[name]
    (tmp_path / name).write_bytes(content)
    (line,) = left_out(tmp_path)
    assert line.startswith(f"left out: {name}: ")
    assert said in line
    if not name.endswith(".json"):
        with pytest.raises(LabelError, match=re.escape(said)):
            read_mask(tmp_path / name)


def test_a_text_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """It may hold outlines; the memory of a process is a file that opens and fails at its first byte."""
    memory = Path("/proc/self/mem")
    if not memory.exists():
        pytest.skip("no /proc here")
    (tmp_path / "a.txt").symlink_to(memory)
    touch(tmp_path, "b.png")
    assert left_out(tmp_path) == ["left out: a.txt: a text that cannot be read; check its rights"]


def test_where_nothing_fits_what_was_left_out_is_said(tmp_path: Path) -> None:
    touch(tmp_path / "ours", "a.png", "c.png")
    touch(tmp_path / "theirs", "a.npy", "b.png", "notes.txt")
    with pytest.raises(EvaluationError, match=r"no prediction .* left out: a\.npy: an array of numpy"):
        evaluate_predictions(tmp_path / "ours", tmp_path / "theirs", tmp_path / "out")


def test_runs_in_a_folder_count_with_their_results_alone(tmp_path: Path) -> None:
    """Not with their candidates, nor with their pictures; another program's record of that name changes nothing."""
    for name in ("one", "two"):
        run = Run(tmp_path / "runs" / name, name, RunParameters(model="starter"), started=now())
        touch(run.folder, f"candidates/{name}.geojson", f"overlay/{name}.jpg", "changes/x/y.geojson")
        write_geojson(run.result_path(name), [])
        run.update(name, ImageRecord(name=f"{name}.svs", state=State.DONE))
    shutil.copytree(tmp_path / "runs/one", tmp_path / "runs/.trash/old")
    touch(tmp_path / "runs", "by_hand.geojson", "trial/three.png")
    (tmp_path / "runs/trial/run.json").write_text('{"seed": 1}')
    labels = {item.key: item.path.relative_to(tmp_path / "runs").as_posix() for item in find_labels(tmp_path / "runs")}
    assert labels == {"by_hand": "by_hand.geojson", "one/one": "one/one.geojson", "two/two": "two/two.geojson"}
    assert [item.path.name for item in find_images(tmp_path / "runs")] == ["three.png"]
