"""Training tiles without QuPath: labels and images as QuPath itself published them, the choice of tiles, bad input."""

import json
from dataclasses import replace

import numpy as np
import pytest
import shapely
from PIL import Image
from support.colour_profiles import power_profile, write_with_profile
from support.kill import Killed, killed_at
from support.slides import Disc, disc_slide

from glomseg.errors import LabelError, RunError, TrainingError
from glomseg.geometry import Box
from glomseg.labelled.tile_files import tile_mpp
from glomseg.qupath.annotations import AnnotatedImage
from glomseg.qupath.objects import PathObject, read_geojson, write_geojson
from glomseg.qupath.review_mark import REVIEWED
from glomseg.training.tiles.annotations import export_slide
from glomseg.training.tiles.choice import stem_of, tile_folders, tile_name
from glomseg.training.tiles.drawing import LabelDrawer
from glomseg.training.tiles.export import export_tiles
from glomseg.training.tiles.plan import ExportSettings, TileRequest

TUFT = [Disc(300, 300, 90, 90), Disc(1500, 1100, 60, 80)]


def glomerulus(x, y, radius, class_name="Glomerulus", **more):
    return PathObject(geometry=shapely.Point(x, y).buffer(radius), class_name=class_name, **more)


def request_of(name, path, *objects, reviewed=False, mpp=None):
    metadata = {REVIEWED: "AB 2026"} if reviewed else {}
    image = AnnotatedImage(entry_id=name, name=name, path=path, objects=objects, metadata=metadata, mpp=mpp)
    return TileRequest(image=image)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    slide = disc_slide(tmp_path_factory.mktemp("slides") / "a.b.tif", discs=TUFT, tissue=(0, 0, 2048, 800))
    objects = [glomerulus(disc.x, disc.y, disc.radius_x) for disc in TUFT]
    return request_of("a.b.tif", slide.path, *objects)


def test_tiles_of_a_scanner_with_a_profile_are_said_to_hold_colours_as_stored(tmp_path):
    """A run with --icc reads them otherwise than the model will that learns from these tiles."""
    picture = np.full((512, 512, 3), 200, np.uint8)
    path = write_with_profile(tmp_path / "a.tif", picture, power_profile(1.0))
    plain = write_with_profile(tmp_path / "b.tif", picture, None)
    requests = [request_of(item.name, item, glomerulus(256, 256, 50)) for item in (path, plain)]
    export = export_tiles(requests, tmp_path / "out", ExportSettings(size_px=256, downsample=1))
    (said,) = export.profiles
    assert "of 1 image (a.tif): not applied, tiles hold colours as they are stored" in said
    assert said in export.remarks


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def tiles_of(folder):
    return {path.name for path in folder.rglob("*].png")}


@pytest.mark.parametrize("version", ["0_5_1", "0_6_0"])
@pytest.mark.parametrize(
    ("layout", "how"),
    [
        ("beside", {"size_px": 256}),
        ("subdir", {"size_px": 128, "overlap_px": 0, "downsample": 4.0, "classes": ("Glomerulus",)}),
    ],
)
@pytest.mark.parametrize("image", ["kidney_01", "kidney_02"])
def test_tiles_are_those_that_qupath_published(data, tmp_path, version, layout, how, image):
    published = data / f"qupath/tiles/qupath_{version}_{layout}" / image
    if not published.is_dir():
        pytest.skip(f"QuPath's tiles of {image} are not here")
    annotations = data / f"qupath/tiles/qupath_{version}_{image}.geojson"
    settings = ExportSettings(layout=layout, **how)
    named = tmp_path / "named.geojson"  # QuPath draws no class that was not named, and we one with its parent
    write_geojson(
        named, [item for item in read_geojson(annotations) if item.class_name in (*settings.classes, None, "Cortex")]
    )
    export_slide(data / f"qupath/{image}.tif", named, tmp_path / "out", settings)
    ours = {str(path.relative_to(tmp_path / "out" / image)): path for path in (tmp_path / "out").rglob("*.png")}
    assert len(ours) >= 4
    for name, path in ours.items():
        theirs = published / (name.replace(".png", ".jpg") if name.startswith("images") else name)
        if theirs.suffix == ".jpg":
            assert np.abs(pixels(path).astype(int) - pixels(theirs)).mean() < 10  # lossy
        else:
            assert np.array_equal(pixels(path), pixels(theirs))
    if layout == "subdir":
        written, read = (
            json.loads((folder / f"{image}-tiles.json").read_text("utf-8"))
            for folder in (tmp_path / "out" / image, published)
        )
        assert written["labels"] == read["labels"]
        for mine, theirs in zip(written["tiles"], read["tiles"], strict=True):
            assert {**mine["region"], "path": ""} == {**theirs["region"], "path": ""}
            assert mine["labels"] == theirs["labels"]


def test_labels_carry_the_palette_and_the_later_class_lies_on_top(source, tmp_path):
    inner = glomerulus(300, 300, 30, "Glomerulus: Sclerotic", color=(1, 2, 3))
    both = request_of(source.image.name, source.image.path, inner, *source.image.objects)
    export_tiles([both], tmp_path / "out", ExportSettings(downsample=1), colors={"Glomerulus": (9, 8, 7)})
    with Image.open(tmp_path / "out/a.b/a.b [x=0,y=0,w=512,h=512]-labelled.png") as label:
        assert label.mode == "P"
        assert label.getpalette()[:9] == [255, 255, 255, 9, 8, 7, 1, 2, 3]
        values = np.asarray(label)
    assert (values[300, 300], values[300, 240], values[10, 10]) == (2, 1, 0)
    assert (values == 1).sum() == pytest.approx(np.pi * (90**2 - 30**2), rel=0.01)


def test_a_label_is_the_same_however_its_tile_is_cut():
    shape = shapely.Point(700, 620).buffer(333.3).difference(shapely.Point(720, 640).buffer(100.1))
    drawer = LabelDrawer([[shape]], (2000, 2000), 1.3)
    whole = drawer.tile(Box(0, 0, 1040, 1040), 800)
    part = LabelDrawer([[shape]], (2000, 2000), 1.3).tile(Box(520, 390, 520, 520), 400)
    assert np.array_equal(whole[300:700, 400:800], part)
    assert whole.sum() * 1.3**2 == pytest.approx(shape.area, rel=0.01)


def test_names_follow_qupath():
    box = Box(13, 0, 1331, 1331)
    assert tile_name("a", box, 2.6) == "a [d=2.6,x=13,y=0,w=1331,h=1331]"
    assert tile_name("a", box, 1.0) == "a [x=13,y=0,w=1331,h=1331]"
    assert tile_name("a", box, 10.0) == "a [d=10,x=13,y=0,w=1331,h=1331]"
    assert tile_name("a", box, 1 / 0.2527).startswith("a [d=3.95726,")
    names = ["a.b.svs", "x.ome.tif", "no extension", "a 1.5 mm", 'w:"?.ndpi', "v.tar.gz"]
    assert [stem_of(name) for name in names] == ["a.b", "x", "no extension", "a 1.5 mm", "w", "v"]
    assert tile_folders([("1", "a.tif"), ("2", "a.svs"), ("3", "b.svs")]) == ["a [1]", "a [2]", "b"]


def test_no_name_of_an_image_breaks_the_names_of_files(source, tmp_path):
    """NUL, 300 characters, dots alone, names that differ in case: each has a folder of its own below the export's."""
    names = ["a\0b.tif", "x" * 300 + ".tif", "x" * 299 + "y.tif", "ä" * 200]
    names += ["..", ".", "", "???", "A.tif", "a.tif", "a\tb"]
    folders = tile_folders([(str(number), name) for number, name in enumerate(names)])
    assert len({folder.casefold() for folder in folders}) == len(names)
    requests = [
        replace(request_of(name, source.image.path, *source.image.objects), folder=folder)
        for name, folder in zip(names, folders, strict=True)
    ]
    export = export_tiles(requests, tmp_path / "out", ExportSettings())
    assert export.problems == ()
    assert len(export.images) == len(names)
    assert sum(path.is_dir() for path in (tmp_path / "out").iterdir()) == len(names)
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_background_is_tissue_without_annotation_and_drawn_by_the_seed(source, tmp_path):
    chosen = {}
    for seed in (0, 0, 1):
        settings = ExportSettings(size_px=64, overlap_px=0, negatives=1, seed=seed)
        out = tmp_path / f"{seed}{len(chosen)}"
        (image,) = export_tiles([source], out, settings).images
        assert image.annotated == image.background > 3
        labels = {path: pixels(path).max() for path in out.rglob("*-labelled.png")}
        empty = [path for path, value in labels.items() if not value]
        for path in empty:
            picture = pixels(path.with_name(path.name.replace("-labelled", ""))).astype(int)
            assert (np.ptp(picture, axis=2) >= 20).mean() > 0.2
        chosen.setdefault(seed, tiles_of(out))
        assert seed or chosen[0] == tiles_of(out)
    assert chosen[0] != chosen[1]


def test_only_a_reviewed_image_shows_all_its_empty_tiles(source, tmp_path):
    settings = ExportSettings(size_px=256, overlap_px=0)
    reviewed = request_of("b.tif", source.image.path, reviewed=True)
    first, second = export_tiles([source, reviewed], tmp_path / "out", settings, project="study").images
    assert (first.background, second.annotated, second.background) == (0, 0, 12)
    record = json.loads((tmp_path / "out/export.json").read_text("utf-8"))
    assert (record["mpp"], record["project"], record["downsample"]) == (1.0, "study", {"a.b.tif": 2.0, "b.tif": 2.0})
    assert {**record["images"]["b"], "sum": ""} == {"image": "b.tif", "reviewed": True, "project": "study", "sum": ""}
    (only,) = export_tiles(
        [source, reviewed], tmp_path / "only", ExportSettings(reviewed_only=True, size_px=256)
    ).images
    assert only.name == "b.tif"


def test_a_region_holds_the_tiles_and_what_was_rejected_is_left_out(source, tmp_path):
    cortex = PathObject(geometry=shapely.box(0, 0, 700, 700), class_name="Cortex")
    rejected = glomerulus(600, 600, 50, class_name="Rejected", metadata={"glomseg.verdict": "reject"})
    inside = request_of(source.image.name, source.image.path, *source.image.objects, cortex, rejected)
    settings = ExportSettings(size_px=128, overlap_px=0, region="Cortex")
    export_tiles([inside], tmp_path / "out", settings)
    assert tiles_of(tmp_path / "out") == {f"a.b [d=2,x={x},y={y},w=256,h=256].png" for x in (0, 256) for y in (0, 256)}


def test_annotations_and_regions_off_the_image_are_said(source, tmp_path):
    far = PathObject(geometry=shapely.box(9000, 9000, 9900, 9900), class_name="Cortex")
    cortex = PathObject(geometry=shapely.box(0, 0, 700, 700), class_name="Cortex")
    own = request_of("own.tif", source.image.path, *source.image.objects, glomerulus(9500, 9500, 50), cortex)
    lost = request_of("lost.tif", source.image.path, *source.image.objects, far)
    none = request_of("none.tif", source.image.path, *source.image.objects)
    settings = ExportSettings(size_px=128, overlap_px=0, region="Cortex")
    export = export_tiles([own, lost, none], tmp_path / "out", settings)
    assert [image.name for image in export.images] == ["own.tif"]
    count = len(source.image.objects) + 1
    assert export.remarks == (
        f"own.tif: 1 of {count} annotations lie off the image, which is 2048 x 1536 px",
        "lost.tif: 1 of 1 areas of class Cortex lie off the image, which is 2048 x 1536 px",
        "none.tif: no tile: no annotation of class Cortex",
    )
    with pytest.raises(TrainingError, match=r"no tile to export .lost.tif: 1 of 1 areas"):
        export_tiles([lost], tmp_path / "none", settings)


def test_one_scale_for_all_tiles(source, tmp_path):
    fine = disc_slide(tmp_path / "fine.tif", discs=TUFT, mpp=0.25)
    other = request_of("fine.tif", fine.path, *source.image.objects)
    with pytest.raises(TrainingError, match=r"differ in scale .*give `tile_mpp`"):
        export_tiles([source, other], tmp_path / "out", ExportSettings(size_px=128))
    first, second = export_tiles([source, other], tmp_path / "out", ExportSettings(size_px=128, tile_mpp=1.0)).images
    assert (first.downsample, second.downsample) == (2.0, 4.0)
    coarse = export_tiles([source, other], tmp_path / "coarse", ExportSettings(size_px=128, tile_mpp=0.3))
    assert [image.name for image in coarse.images] == ["fine.tif"]
    assert "coarser than `tile_mpp` 0.3; give 0.5 or more" in coarse.problems[0]


def test_an_image_of_unknown_scale_stops_no_other(source, tmp_path):
    unknown = request_of(
        "unknown.tif", disc_slide(tmp_path / "u.tif", discs=TUFT, mpp=None).path, *source.image.objects
    )
    export = export_tiles([unknown, source], tmp_path / "out", ExportSettings(size_px=128))
    assert [image.name for image in export.images] == [source.image.name]
    assert export.problems == (
        "unknown.tif: its pixel size is not known, and that of others is; set it in QuPath; left out",
    )
    (alone,) = export_tiles([unknown], tmp_path / "alone", ExportSettings(size_px=128)).images
    assert alone.mpp is None


def test_slides_of_one_scanner_are_of_one_scale(source, tmp_path):
    """0.4994 and 0.4996 um are rounded apart, and are what two slides of one scanner have."""
    pair = [request_of(f"{um}.tif", source.image.path, *source.image.objects, mpp=(um, um)) for um in (0.4994, 0.4996)]
    first, second = export_tiles(pair, tmp_path / "out", ExportSettings(size_px=128, downsample=1)).images
    assert (first.mpp, second.mpp) == (0.4994, 0.4996)


def test_bad_input_is_one_line_and_the_remedy(source, tmp_path, unwritable, glomseg):
    write_geojson(tmp_path / "a.geojson", source.image.objects)

    def refused(*more, out="out"):
        result = glomseg(
            "export-tiles", source.image.path, "--geojson", tmp_path / "a.geojson", "-o", tmp_path / out, *more
        )
        assert result.code == 1
        assert result.err.strip().count("\n") == 0
        return result.err

    assert "there: Glomerulus); use --class" in refused("--class", "Tuft")
    assert "no annotation is of class Cortex" in refused("--region", "Cortex")
    assert "make --size less" in refused("--size", "4096")
    assert "make it less" in refused("--size", "32")
    assert "leave --reviewed-only out" in refused("--reviewed-only")
    assert "choose another folder" in refused(out="")
    assert not (tmp_path / "out").exists()
    with pytest.raises(RunError, match="is a file; choose another folder"):
        export_tiles([source], unwritable, ExportSettings())
    result = glomseg(
        "export-tiles", source.image.path, "--geojson", tmp_path / "a.geojson", "-o", tmp_path / "out", "--json"
    )
    content = json.loads(result.out)
    assert result.code == 0
    assert content["images"][0]["annotated"] == len(tiles_of(tmp_path / "out")) == 1
    damaged = request_of("gone.tif", tmp_path / "gone.tif", *source.image.objects)
    both = export_tiles([damaged, source], tmp_path / "both", ExportSettings())
    assert both.problems[0].startswith("gone.tif: no such image")
    with pytest.raises(TrainingError, match=r"no tile to export .gone.tif: no such image"):
        export_tiles([damaged], tmp_path / "none", ExportSettings())


def test_an_image_whose_pixels_are_damaged_stops_no_other(source, tmp_path):
    content = source.image.path.read_bytes()
    cut = tmp_path / "cut.tif"
    cut.write_bytes(content[: len(content) // 20])
    damaged = replace(request_of("cut.tif", cut, *source.image.objects), folder="cut")
    made = export_tiles([damaged, replace(source, folder="whole")], tmp_path / "both", ExportSettings())
    assert made.problems[0].startswith("cut.tif: cannot read")
    assert [image.folder for image in made.images] == ["whole"]
    assert [path.name for path in (tmp_path / "both").iterdir() if path.is_dir()] == ["whole"]
    with pytest.raises(TrainingError, match=r"cut.tif: cannot read"):
        export_tiles([damaged], tmp_path / "none", ExportSettings())


def test_without_qupath_a_project_names_the_other_way(project, tmp_path, no_qupath, glomseg):
    result = glomseg("export-tiles", project, "-o", tmp_path / "out")
    assert result.code == 1
    assert "export-tiles SLIDE --geojson FILE" in result.err


def test_the_label_is_that_of_the_parent_and_what_has_none_is_counted(source, tmp_path, glomseg):
    """Derived classes, near spellings, other classes, no class, detections: as in faults/22."""
    names = ["Glomerulus", "Glomerulus: Sclerotic", "Glomerulus: Crescent", "Glomerulus: Sclerotic: Segmental"]
    names += ["glomerulus", "Glomerulus:Sclerotic", None, "Tubule"]
    objects = [
        PathObject(geometry=shapely.box(50 * at, 100, 50 * at + 40, 140), class_name=name)
        for at, name in enumerate(names)
    ]
    objects.append(PathObject(geometry=shapely.box(450, 100, 490, 140), class_name="Glomerulus", object_type="cell"))
    write_geojson(tmp_path / "a.geojson", objects)
    arguments = ("export-tiles", source.image.path, "--geojson", tmp_path / "a.geojson", "--downsample", 1)
    result = glomseg(*arguments, "-o", tmp_path / "out")
    labels = pixels(tmp_path / "out/a.b/a.b [x=0,y=0,w=512,h=512]-labelled.png")
    assert [int(labels[120, 50 * at + 20]) for at in range(9)] == [1, 2, 1, 2, 1, 2, 0, 0, 0]
    assert "1 of class 'glomerulus' is read as Glomerulus" in result.err
    assert "left out: " in result.err
    assert "1 annotation of class Tubule" in result.err
    assert "1 annotation without a class" in result.err
    assert "1 cell of class Glomerulus" in result.err
    shown = json.loads(glomseg(*arguments, "-o", tmp_path / "json", "--json").out)
    assert {"class": "Tubule", "kind": "annotation", "count": 1} in shown["left_out"]


def test_what_is_to_be_ignored_has_a_label_of_its_own(source, tmp_path, glomseg):
    """Neither glomerulus nor background, as `evaluate` has it; a tile of nothing else is left out."""
    objects = [
        glomerulus(150, 150, 60),
        glomerulus(350, 150, 60),
        glomerulus(600, 300, 60),
        PathObject(geometry=shapely.box(300, 0, 512, 512), class_name="Ignore*"),
        PathObject(geometry=shapely.box(1024, 0, 2048, 512), class_name="Ignore*: Pen"),
    ]
    write_geojson(tmp_path / "a.geojson", objects)
    arguments = ("export-tiles", source.image.path, "--geojson", tmp_path / "a.geojson", "--downsample", 1)
    result = glomseg(*arguments, "--overlap", 0, "-o", tmp_path / "out")
    assert result.code == 0, result.err
    assert "areas of class Ignore* have a label of their own" in result.err
    assert "2 of 3 annotations reach into them" not in result.err
    assert "1 of 3 annotations reach into them" in result.err
    assert "left out" not in result.err.replace("training leaves out", "")
    labels = pixels(tmp_path / "out/a.b/a.b [x=0,y=0,w=512,h=512]-labelled.png")
    assert [int(labels[150, x]) for x in (150, 295, 305, 350, 500, 250)] == [1, 1, 3, 3, 3, 0]
    named = json.loads((tmp_path / "out/a.b/a.b-tiles.json").read_text())["labels"]
    assert named[3] == {"classification": "Ignore*", "label": 3}

    write_geojson(tmp_path / "a.geojson", [objects[1], PathObject(geometry=shapely.box(0, 0, 2048, 1536),
                                                                  class_name="Ignore*")])  # fmt: skip
    result = glomseg(*arguments, "-o", tmp_path / "none")
    assert result.code == 1
    assert "no tile: all 1 annotations lie in areas of class Ignore*" in result.err


def test_a_candidate_is_neither_background_nor_a_glomerulus_until_somebody_judged_it(source, tmp_path):
    judged, open_one = (glomerulus(x, 150, 60, "Candidate: Glomerulus") for x in (150, 350))
    objects = (glomerulus(150, 150, 40), judged, open_one)
    image = replace(source.image, objects=objects, metadata={REVIEWED: "AB 2026"})
    settings = ExportSettings(downsample=1, overlap_px=0)
    export = export_tiles([TileRequest(image=image)], tmp_path / "out", settings)
    labels = pixels(tmp_path / "out/a.b/a.b [x=0,y=0,w=512,h=512]-labelled.png")
    assert [int(labels[150, x]) for x in (150, 200, 350, 480)] == [1, 0, 3, 0]
    assert any("1 candidates that nobody judged" in problem for problem in (*export.problems, *export.remarks))


def test_odd_outlines_are_repaired_aloud(source, tmp_path, glomseg):
    bow_tie = [[100, 100], [300, 300], [300, 100], [100, 300], [100, 100]]
    odd = {"type": "Feature", "geometry": None, "properties": {}}
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [bow_tie]},
        "properties": {"classification": {"name": "Glomerulus"}},
    }
    (tmp_path / "a.geojson").write_text(json.dumps([feature, odd]))
    for more in ((), ("--region", "Glomerulus", "--size", 32, "--overlap", 0)):
        out = tmp_path / f"out{len(more)}"
        arguments = ("export-tiles", source.image.path, "--geojson", tmp_path / "a.geojson", "-o", out)
        result = glomseg(*arguments, "--downsample", 1, *more)
        assert result.code == 0, result.err
        assert "1 invalid outline repaired" in result.err
        assert "left out object 2: it has no geometry" in result.err
    labels = pixels(tmp_path / "out0/a.b/a.b [x=0,y=0,w=512,h=512]-labelled.png")
    assert (labels == 1).sum() == pytest.approx(20_000, rel=0.02)


def test_what_stops_it_leaves_the_folder_as_it_was(source, tmp_path, full_disk):
    """Else the same command, which is what Ctrl-C advises, would find a folder that is not empty."""
    (tmp_path / "there").mkdir()
    folders, settings = (tmp_path / "there", tmp_path / "new"), ExportSettings(size_px=128, downsample=1)
    whole = export_tiles([source], tmp_path / "whole", settings)

    def stopped(name):
        if list(folder.rglob("*.png")):
            raise KeyboardInterrupt

    for folder in folders:
        with pytest.raises(RunError, match="free space"), full_disk(after_bytes=3000):
            export_tiles([source], folder, settings)
        with pytest.raises(KeyboardInterrupt):
            export_tiles([source, replace(source, folder="b")], folder, settings, progress=stopped)
        assert folder.is_dir() == (folder.name == "there")
        assert not list(folder.glob("*"))
        assert export_tiles([source], folder, settings).images == whole.images
    assert {path.name for path in tmp_path.iterdir()} == {"there", "new", "whole"}


def test_half_an_export_is_no_whole_one(source, tmp_path):
    """Killed anywhere: the same command makes it anew, training does not take it, a person's file stays."""
    one = replace(source.image, objects=source.image.objects[:1])
    pair = [TileRequest(image=one, folder=folder) for folder in "ab"]
    settings = ExportSettings(size_px=512, downsample=1, overlap_px=0)
    with killed_at(10**9) as count:
        export_tiles(pair, tmp_path / "whole", settings)
    whole = {path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*")}
    kills, half = count(), count() // 2
    for number in (0, 1, 2, half, kills - 2):
        folder = tmp_path / f"killed-{number}"
        with pytest.raises(Killed), killed_at(number):
            export_tiles(pair, folder, settings)
        if number == half:
            with pytest.raises(LabelError, match="cut short, so that tiles are missing; export them again"):
                tile_mpp(next(folder.glob("a/*-labelled.png")))
            (folder / "a/mine.txt").write_text("mine")
            with pytest.raises(TrainingError, match="is not empty"):
                export_tiles(pair, folder, settings)
            (folder / "a/mine.txt").unlink()
            with pytest.raises(Killed), killed_at(half):
                export_tiles(pair, folder, settings)
            corrected = next(folder.glob("a/*-labelled.png"))
            with Image.open(corrected) as label:
                label.putpixel((3, 3), 1)
                label.save(corrected)
            was = corrected.read_bytes()
            with pytest.raises(TrainingError, match="is not empty"):
                export_tiles(pair, folder, settings)
            assert corrected.read_bytes() == was
            corrected.unlink()
        export_tiles(pair, folder, settings)
        assert {path.relative_to(folder) for path in folder.rglob("*")} == whole
