"""Another threshold or sureness for a run, from what it kept, and what becomes of candidates."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.runs import standing
from support.slides import DISC, TISSUE, Disc, disc_slide

import glomseg
from glomseg import (
    AnnotateOptions,
    Listener,
    RethresholdOptions,
    SegmentOptions,
    annotate_project,
    rethreshold_run,
    segment_slides,
)
from glomseg.errors import RunError
from glomseg.qupath.objects import PathObject, read_geojson, write_geojson
from glomseg.runs import rethreshold
from glomseg.runs.collect import collect_images
from glomseg.runs.image_record import Undone
from glomseg.runs.ownership import RUN, owner, plan_update
from glomseg.runs.run import load_run, now
from glomseg.runs.run_list import list_runs

PALE = tuple(round(0.54 * disc + 0.46 * tissue) for disc, tissue in zip(DISC, TISSUE, strict=True))


def of(folder: Path, name: str = "a") -> list[tuple[str | None, int]]:
    items = glomseg.read_geojson(folder / f"{name}.geojson")
    return [(item.class_name, round(item.geometry.centroid.x)) for item in items]


def test_candidates_go_where_one_says_and_are_never_counted(tmp_path: Path, oracle_folder: Path) -> None:
    truth = disc_slide(tmp_path / "a.tif", discs=[Disc(300, 300, 60, 60), Disc(700, 300, 60, 60, colour=PALE)])
    out, passes = tmp_path / "out", []

    def segment(choice):
        options = SegmentOptions(model=oracle_folder, sureness=0.9, candidates=choice)
        listener = Listener(tiles=lambda done, total: passes.append(done))
        result = glomseg.segment_slides([truth.path], out, options, listener=listener)
        ran, passes[:] = bool(passes), []
        assert (result.records["a"].glomeruli, result.records["a"].candidates) == (1, 1)
        assert len((out / "glomeruli.csv").read_text().splitlines()) == 2
        return ran

    assert segment("all")
    assert of(out) == [("Glomerulus", 300), ("Candidate: Glomerulus", 700)]
    assert of(out / "candidates") == [("Glomerulus", 700)]
    (_, shown) = glomseg.read_geojson(out / "a.geojson")
    assert owner(shown) == "machine"
    assert not segment("review")  # the network does not run for it
    assert of(out) == [("Glomerulus", 300)]
    assert not segment("none")
    assert not (out / "candidates/a.geojson").exists()
    assert segment("review")  # what was dropped has to be found again
    assert of(out / "candidates") == [("Glomerulus", 700)]
    drawn = PathObject(geometry=shown.geometry, class_name="Glomerulus")
    assert plan_update([drawn], [shown], None).add == ()  # nor is one put over what a person drew


def test_probabilities_that_cannot_be_read_stop_no_other_image(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    slides = [disc_slide(tmp_path / f"{name}.tif", discs=[Disc(300, 300, 60, 60)]).path for name in "abc"]
    out, again = tmp_path / "out", tmp_path / "again"
    options = SegmentOptions(model=oracle_folder, keep_probability=True, device="cpu")
    before = segment_slides(slides, out, options)
    (out / "probability/b.tif").write_bytes((out / "probability/b.tif").read_bytes()[:200])
    result = glomseg("rethreshold", out, "-o", again, "--threshold", "0.6")
    assert result.code == 1
    assert "b.tif" in result.out
    assert "no probabilities that can be read" in result.out + result.err
    records = load_run(again).images
    assert [records[name].is_done for name in "abc"] == [True, False, True]
    assert records["b"].glomeruli is None
    assert of(again) == of(again, "c") == of(out)
    assert before.records["b"].glomeruli == 1
    assert not (again / "b.geojson").exists()


def test_what_is_kept_gives_what_the_network_would(study_0_6_0: Path, no_qupath: None) -> None:
    options = {"mpp": (0.5, 0.5), "images": ("1", "2"), "device": "cpu"}
    first = glomseg.annotate_project(study_0_6_0, AnnotateOptions(keep_probability=True, **options))
    with pytest.raises(RunError, match="give `threshold`, `sureness` or both"):
        glomseg.rethreshold_run(study_0_6_0)
    with pytest.raises(RunError, match=f"nothing to change .`glomseg collect .* {first.run.run_id}` brings"):
        glomseg.rethreshold_run(study_0_6_0, options=RethresholdOptions(threshold=0.5))
    dials = {"threshold": 0.6, "sureness": 0.97}
    again = glomseg.rethreshold_run(study_0_6_0, options=RethresholdOptions(**dials))
    assert again.run.run_id != first.run.run_id
    assert again.is_waiting
    assert again.records["1"].glomeruli < first.records["1"].glomeruli
    afresh = glomseg.annotate_project(
        study_0_6_0, AnnotateOptions(threshold=0.6, sureness=0.97, restart=True, **options)
    )
    for name in ("1", "2", "candidates/1"):
        ours, theirs = (glomseg.read_geojson(run.folder / f"{name}.geojson") for run in (again.run, afresh.run))
        assert [item.geometry.wkt for item in ours] == [item.geometry.wkt for item in theirs], name
    found = glomseg.annotate_project(study_0_6_0, AnnotateOptions(**dials, **options))
    assert found.run.run_id in {again.run.run_id, afresh.run.run_id}
    with pytest.raises(RunError, match="kept no probabilities"):
        glomseg.rethreshold_run(study_0_6_0, afresh.run.run_id, RethresholdOptions(sureness=0.5))
    assert not [text for text in again.remarks if "um per pixel" in text]
    text = study_0_6_0.read_text("utf-8")
    study_0_6_0.write_text(text.replace('"value": 0.5,', '"value": 0.6,'), "utf-8")
    chained = glomseg.rethreshold_run(study_0_6_0, again.run.run_id, RethresholdOptions(threshold=0.5, sureness=0.92))
    assert f"run {chained.run.run_id} read it with 0.5 um per pixel, and the project says 0.6" in chained.remarks[0]
    assert chained.records["1"].glomeruli == first.records["1"].glomeruli
    assert len(list_runs(study_0_6_0.parent / "glomseg")) == 4


def test_a_folder_of_plain_slides_is_outlined_again_into_another(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    discs = [Disc(300, 300, 60, 60), Disc(700, 300, 60, 60, colour=PALE)]
    for name in "ab":
        disc_slide(tmp_path / f"{name}.tif", discs=discs)
    first, again, afresh = tmp_path / "first", tmp_path / "again", tmp_path / "afresh"
    command = ("segment", tmp_path / "a.tif", tmp_path / "b.tif", "--model", oracle_folder, "--device", "cpu")
    assert glomseg(*command, "-o", first).code == 0
    refused = glomseg("rethreshold", first, "-o", again, "--sureness", "0.9")
    assert "run the same `glomseg segment` once more with --keep-probability" in refused.err
    assert glomseg(*command, "-o", first, "--keep-probability").code == 0
    (first / "probability/b.tif").unlink()
    assert "give another folder with --output" in glomseg("rethreshold", first, "--sureness", "0.9").err
    assert "holds a run already" in glomseg("rethreshold", first, "--sureness", "0.9", "-o", first).err
    result = glomseg("rethreshold", first, "--sureness", "0.9", "-o", again)
    assert result.code == 0, result.err
    assert f"b.tif: its probabilities were not kept; it is not in {again}" in result.err
    assert (of(first), of(again), of(again / "candidates")) == (
        [("Glomerulus", 300), ("Glomerulus", 700)], [("Glomerulus", 300)], [("Glomerulus", 700)],
    )  # fmt: skip
    assert not (again / "b.geojson").exists()
    assert len((again / "glomeruli.csv").read_text().splitlines()) == 2
    assert glomseg(*command[:2], *command[3:], "-o", afresh, "--sureness", "0.9").code == 0
    assert of(afresh) == of(again)
    measured = glomseg("measure", again)
    assert measured.code == 0, measured.err


def test_own_files_in_the_folder_for_new_outlines_are_not_replaced(
    tmp_path: Path, oracle_folder: Path, glomseg
) -> None:
    """A person's outlines of the same slide, and the map kept there, went without a word; a refusal left a lock."""
    slide = disc_slide(tmp_path / "a.tif", discs=[Disc(300, 300, 60, 60)]).path
    first, own, again = tmp_path / "first", tmp_path / "own", tmp_path / "again"
    segment_slides([slide], first, SegmentOptions(model=oracle_folder, keep_probability=True, device="cpu"))
    content = json.loads((first / "a.geojson").read_text("utf-8"))
    del content["features"][0]["properties"]["metadata"]
    corrected = json.dumps(content)
    own.mkdir()
    (own / "a.geojson").write_text(corrected, "utf-8")
    refused = glomseg("rethreshold", first, "--threshold", "0.6", "-o", own)
    assert refused.code == 1
    assert "a.geojson" in refused.err
    assert "choose another --output" in refused.err
    assert [path.name for path in own.iterdir()] == ["a.geojson"]
    assert (own / "a.geojson").read_text("utf-8") == corrected
    assert glomseg("rethreshold", first, "--threshold", "0.6", "-o", again).code == 0
    (again / "a.geojson").write_text(corrected, "utf-8")
    begun = load_run(again)
    begun.ended = None
    begun.save()
    assert glomseg("rethreshold", first, "--threshold", "0.6", "-o", again).code == 0
    assert (again / "a.geojson").read_text("utf-8") == corrected  # the image was done; its file may be a person's
    begun = load_run(again)
    begun.ended = None
    del begun.images["a"]
    begun.save()
    refused = glomseg("rethreshold", first, "--threshold", "0.6", "-o", again)
    assert refused.code == 1
    assert "a person changed them since (a.geojson)" in refused.err
    assert (again / "a.geojson").read_text("utf-8") == corrected


def test_what_was_killed_in_a_folder_goes_on_by_the_same_call(
    tmp_path: Path, oracle_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was refused for a run that the folder holds, and half of a slide's probabilities stayed there for good."""
    slides = [disc_slide(tmp_path / f"{name}.tif", discs=[Disc(300, 300, 60, 60)]).path for name in "ab"]
    segment_slides(slides, tmp_path / "out", SegmentOptions(model=oracle_folder, keep_probability=True, device="cpu"))
    again, outline, images = RethresholdOptions(threshold=0.6, output=tmp_path / "again"), rethreshold.outline_map, []

    def killed_at_the_second(*arguments: Any) -> Any:
        images.append(1)
        if len(images) == 2:
            (tmp_path / "again/.probability-abcd1234").write_bytes(bytes(1000))
            raise KeyboardInterrupt
        return outline(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(rethreshold, "outline_map", killed_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            glomseg.rethreshold_run(tmp_path / "out", options=again)
    with pytest.raises(RunError, match="holds a run already"):
        glomseg.rethreshold_run(tmp_path / "out", options=replace(again, threshold=0.7))
    result = glomseg.rethreshold_run(tmp_path / "out", options=again)
    assert [record.state for record in result.run.images.values()] == ["done", "done"]
    assert of(tmp_path / "again", "b") == [("Glomerulus", 300)]
    assert [path.name for path in (tmp_path / "again").glob(".*") if path.name != ".written.json"] == [".lock"]
    with pytest.raises(RunError, match="holds a run already"):  # it has ended
        glomseg.rethreshold_run(tmp_path / "out", options=again)


def test_a_run_of_a_project_is_named_by_its_project(study_0_6_0: Path, no_qupath: None, glomseg) -> None:
    run = library_run(study_0_6_0)
    refused = glomseg("rethreshold", run.folder, "--sureness", "0.9", "-o", study_0_6_0.parent / "x")
    assert refused.code == 1
    assert f"glomseg rethreshold {study_0_6_0.parent.resolve()} {run.run_id}" in refused.err
    assert "leave --output away" in glomseg("rethreshold", study_0_6_0, "--sureness", "0.9", "-o", "x").err


def library_run(project: Path):
    options = AnnotateOptions(keep_probability=True, mpp=(0.5, 0.5), images=("1",), device="cpu")
    return glomseg.annotate_project(project, options).run


@pytest.mark.qupath
def test_it_is_a_write_like_any_and_undo_takes_it_back(study_0_6_0: Path, one_process, glomseg) -> None:
    assert glomseg("annotate", study_0_6_0, "--mpp", 0.5, "--image", "2", "--keep-probability").code == 0
    before = standing(one_process, study_0_6_0, "2")
    strict = glomseg("rethreshold", study_0_6_0, "--sureness", 0.5, "--threshold", 0.3, "--candidates", "all")
    assert strict.code == 0, strict.err
    after = standing(one_process, study_0_6_0, "2")
    persons = {key: item for key, item in before.items() if RUN not in item.metadata}
    assert persons
    assert persons.keys() <= after.keys()
    assert {item.metadata.get(RUN) for item in before.values()} != {item.metadata.get(RUN) for item in after.values()}
    assert glomseg("undo", study_0_6_0).code == 0
    assert standing(one_process, study_0_6_0, "2").keys() == before.keys()
    refused = glomseg("rethreshold", study_0_6_0, "nothing", "--sureness", 0.9)
    assert refused.code == 1
    assert "no run 'nothing'" in refused.err


@pytest.mark.parametrize("is_named", [False, True])
def test_what_was_stopped_goes_on_by_the_same_call(
    study_0_6_0: Path, oracle_folder: Path, no_qupath: None, is_named: bool
) -> None:
    """The new run is the newest then, and has the threshold that is asked for."""
    options = AnnotateOptions(model=oracle_folder, images=("1", "2"), keep_probability=True, device="cpu")
    first = glomseg.annotate_project(study_0_6_0, options).run
    former = first.run_id if is_named else None
    dials = RethresholdOptions(threshold=0.6, collect=False)
    stopped = glomseg.rethreshold_run(study_0_6_0, options=dials).run
    corrected = stopped.result_path("1")
    write_geojson(corrected, read_geojson(corrected)[1:])  # a person deletes one
    whole = {name: (stopped.folder / f"{name}.geojson").read_bytes() for name in ("1", "2")}
    stopped.ended = None
    del stopped.images["2"]
    stopped.save()
    (stopped.folder / "2.geojson").unlink()
    said: list[str] = []
    again = glomseg.rethreshold_run(study_0_6_0, former, dials, listener=Listener(warning=said.append))
    assert again.run.run_id == stopped.run_id
    assert said == ["left as a person changed or deleted outlines in their files: kidney_01.tif"]
    assert again.run.ended is not None
    assert {name: (again.run.folder / f"{name}.geojson").read_bytes() for name in ("1", "2")} == whole
    if not is_named:
        with pytest.raises(RunError, match="nothing to change"):
            glomseg.rethreshold_run(study_0_6_0, options=dials)


@pytest.mark.qupath
def test_what_was_stopped_while_it_was_collected_goes_on_by_the_same_call_and_one_undo_takes_all_back(
    study_0_6_0: Path, oracle_folder: Path, one_process, glomseg, monkeypatch
) -> None:
    """It was two runs where the former was named, each with half of the images: one undo took one of them back."""
    options = AnnotateOptions(model=oracle_folder, images=("1", "2"), keep_probability=True, device="cpu")
    first = annotate_project(study_0_6_0, options).run.run_id
    before = {key: set(standing(one_process, study_0_6_0, key)) for key in ("1", "2")}

    def stop(project, run, kept, **more):
        collect_images(project, run, kept[:1], **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(rethreshold, "collect_images", stop)
    assert glomseg("rethreshold", study_0_6_0, first, "--threshold", "0.6", "--sureness", "0.2").code == 130
    monkeypatch.undo()
    stopped = list_runs(study_0_6_0.parent / "glomseg")[-1].run_id
    other = rethreshold_run(study_0_6_0, first, RethresholdOptions(sureness=0.2, collect=False)).run
    assert other.run_id != stopped  # that is another threshold
    shutil.rmtree(other.folder)
    assert glomseg("rethreshold", study_0_6_0, first, "--threshold", "0.6", "--sureness", "0.2").code == 0
    assert [run.run_id for run in list_runs(study_0_6_0.parent / "glomseg")] == [first, stopped]
    assert glomseg("undo", study_0_6_0).code == 0
    assert {key: set(standing(one_process, study_0_6_0, key)) for key in ("1", "2")} == before


def test_a_run_that_was_taken_back_is_not_outlined_again_unless_it_is_named(
    study_0_6_0: Path, oracle_folder: Path, no_qupath: None
) -> None:
    options = AnnotateOptions(model=oracle_folder, images=("2",), keep_probability=True, device="cpu")
    first = glomseg.annotate_project(study_0_6_0, options).run
    second = glomseg.annotate_project(study_0_6_0, replace(options, species="rat")).run
    second.update("2", replace(second.images["2"], undone=Undone(at=now(), removed=1)))
    dials = RethresholdOptions(threshold=0.6, collect=False)
    again = glomseg.rethreshold_run(study_0_6_0, options=dials)
    said = f"run {second.run_id} was taken back; outlined again is run {first.run_id}"
    assert any(said in remark for remark in again.remarks)
    assert again.run.parameters.species == first.parameters.species
    named = glomseg.rethreshold_run(study_0_6_0, second.run_id, replace(dials, threshold=0.65))
    assert not any("taken back" in remark for remark in named.remarks)
    assert named.run.parameters.species == "rat"
