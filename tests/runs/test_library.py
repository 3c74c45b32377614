"""The jobs of the command line as calls of the library: one call each, told by a listener, nothing printed."""

from pathlib import Path

import pytest
from support.slides import DISC, TISSUE, Disc, disc_slide

import glomseg
from glomseg import AnnotateOptions, Listener, SegmentOptions, WriteOptions
from glomseg.errors import ProjectError, RunError, SlideError
from glomseg.qupath.objects import write_geojson
from glomseg.runs.image_record import State
from glomseg.runs.lock import locked
from glomseg.runs.run import load_run
from glomseg.runs.undo_run import preview_undo


class Heard:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.texts: list[str] = []
        self.listener = Listener(
            planned=lambda count: self.calls.append(("planned", count)),
            started=lambda name: self.calls.append(("started", name)),
            ended=lambda name, record: self.calls.append(("ended", name, record.state)),
            in_project=lambda name: self.calls.append(("in project", name)),
            remark=self.texts.append,
            warning=lambda text: self.texts.append(f"warning: {text}"),
        )


def test_plain_slides(tmp_path: Path, oracle_folder: Path, capfd) -> None:
    (tmp_path / "in").mkdir()
    truth = disc_slide(tmp_path / "in/a.tif")
    (tmp_path / "in/b.tif").write_text("no image")
    heard = Heard()
    options = SegmentOptions(model=oracle_folder, device="cpu")
    result = glomseg.segment_slides([tmp_path / "in"], tmp_path / "out", options, listener=heard.listener)
    assert capfd.readouterr() == ("", "")
    assert {key: record.glomeruli for key, record in result.records.items()} == {"a": len(truth.discs), "b": None}
    assert list(result.failed) == ["b"]
    assert heard.calls == [
        ("planned", 2), ("started", "a.tif"), ("ended", "a.tif", State.DONE),
        ("started", "b.tif"), ("ended", "b.tif", State.FAILED),
    ]  # fmt: skip
    assert heard.texts == ["model oracle on cpu; its card says no colours, so that no slide is doubted for its own"]
    assert load_run(tmp_path / "out") == result.run


def test_candidates_lie_aside_and_are_not_counted(tmp_path: Path, oracle_folder: Path, request) -> None:
    pale = tuple(round(0.54 * disc + 0.46 * tissue) for disc, tissue in zip(DISC, TISSUE, strict=True))
    truth = disc_slide(tmp_path / "a.tif", discs=[Disc(300, 300, 60, 60), Disc(700, 300, 60, 60, colour=pale)])
    out = tmp_path / "out"
    result = glomseg.segment_slides([truth.path], out, SegmentOptions(model=oracle_folder, sureness=0.9))
    assert [(record.glomeruli, record.candidates) for record in result.records.values()] == [(1, 1)]
    assert load_run(out) == result.run
    (counted,), (candidate,) = (glomseg.read_geojson(path / "a.geojson") for path in (out, out / "candidates"))
    assert counted.geometry.centroid.x < 400 < candidate.geometry.centroid.x
    assert candidate.measurements["Confidence"] < 0.9
    assert len((out / "glomeruli.csv").read_text().splitlines()) == 2
    with pytest.raises(RunError, match="another sureness"):
        glomseg.segment_slides([truth.path], out, SegmentOptions(model=oracle_folder))
    again = glomseg.segment_slides([truth.path], out, SegmentOptions(model=oracle_folder, restart=True))
    assert [(record.glomeruli, record.candidates) for record in again.records.values()] == [(2, None)]
    assert not (out / "candidates" / "a.geojson").exists()
    arguments = ("-o", tmp_path / "typed", "--model", oracle_folder, "--sureness", 0.9)
    typed = request.getfixturevalue("glomseg")("segment", truth.path, *arguments)
    assert typed.code == 0, typed.err
    assert (tmp_path / "typed" / "candidates" / "a.geojson").is_file()
    assert "1 (+ 1)" in typed.out
    assert "candidates, less sure than what counts (1 in all)" in typed.err


def test_errors_speak_of_parameters(tmp_path: Path, oracle_folder: Path, project: Path, no_qupath: None) -> None:
    truth = disc_slide(tmp_path / "a.tif")
    first = SegmentOptions(model=oracle_folder)
    glomseg.segment_slides([truth.path], tmp_path / "out", first)
    with pytest.raises(RunError, match="another threshold; choose another `output`, or `restart`"):
        glomseg.segment_slides([truth.path], tmp_path / "out", SegmentOptions(model=oracle_folder, threshold=0.9))
    with pytest.raises(RunError, match="leave `resume` out"):
        glomseg.segment_slides([truth.path], tmp_path / "new", SegmentOptions(model=oracle_folder, resume=True))
    (tmp_path / "empty").mkdir()
    with pytest.raises(SlideError, match="empty"):
        glomseg.segment_slides([tmp_path / "empty"], tmp_path / "new", first)
    with pytest.raises(ProjectError, match="`region` and `within`"):
        glomseg.annotate_project(project, AnnotateOptions(region="Cortex", within=tmp_path / "x.geojson"))


@pytest.mark.slow
def test_starting_over_leaves_nothing_of_before(tmp_path: Path, oracle_folder: Path) -> None:
    first, second = disc_slide(tmp_path / "a.tif"), disc_slide(tmp_path / "b.tif", seed=1)
    out = tmp_path / "out"
    overlay = glomseg.OverlayStyle(width_px=200)
    glomseg.segment_slides(
        [first.path, second.path], out, SegmentOptions(model=oracle_folder, overlay=overlay, keep_probability=True)
    )
    (out / "mine.geojson").write_text("{}")
    write_geojson(out / "candidates/b.geojson", [])
    heard = Heard()
    again = SegmentOptions(model=oracle_folder, threshold=0.9, restart=True)
    glomseg.segment_slides([first.path], out, again, listener=heard.listener)
    left = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file() and path.name != ".lock"}
    assert left == {".written.json", "a.geojson", "glomeruli.csv", "mine.geojson", "run.json", "summary.md"}
    assert [text for text in heard.texts if "mine.geojson" in text]


@pytest.mark.slow
def test_names_of_any_length_give_files(tmp_path: Path, oracle_folder: Path) -> None:
    paths = [disc_slide(tmp_path / "made.tif").path.rename(tmp_path / f"{'ü' * 117}{end}.tif") for end in "ab"]
    result = glomseg.segment_slides(paths, tmp_path / "out", SegmentOptions(model=oracle_folder, keep_probability=True))
    assert not result.failed
    assert len(list((tmp_path / "out").glob("*.geojson"))) == 2
    again = glomseg.segment_slides(paths, tmp_path / "out", SegmentOptions(model=oracle_folder, keep_probability=True))
    assert again.records == result.records


def test_a_slide_that_is_offline_keeps_what_was_found(tmp_path: Path, oracle_folder: Path) -> None:
    truth = disc_slide(tmp_path / "a.tif")
    options, out = SegmentOptions(model=oracle_folder), tmp_path / "out"
    before = glomseg.segment_slides([truth.path], out, options)
    table = (out / "glomeruli.csv").read_bytes()
    truth.path.rename(tmp_path / "aside.tif")
    heard = Heard()
    again = glomseg.segment_slides([truth.path], out, options, listener=heard.listener)
    assert again.records == before.records
    assert (out / "glomeruli.csv").read_bytes() == table
    assert any("a.tif" in text and "stays" in text for text in heard.texts)


@pytest.mark.parametrize(
    "left", ["{", "", '{"type": "FeatureCollection", "features": [5]}', '{"type": "FeatureCollection", "features": [{']
)
def test_a_result_that_cannot_be_read_is_made_again_by_the_same_call(
    left: str, tmp_path: Path, oracle_folder: Path
) -> None:
    """Half of it, as a full disk or a share leaves it; the other slides are left as they are."""
    paths = [disc_slide(tmp_path / f"{name}.tif", size=(512, 512), count=1).path for name in "ab"]
    options, out = SegmentOptions(model=oracle_folder), tmp_path / "out"
    before = glomseg.segment_slides(paths, out, options)
    whole, other = (out / "a.geojson").read_bytes(), (out / "b.geojson").stat().st_mtime_ns
    (out / "a.geojson").write_text(left)
    again = glomseg.segment_slides(paths, out, options)
    assert not again.failed
    assert (out / "a.geojson").read_bytes() == whole
    assert (out / "b.geojson").stat().st_mtime_ns == other
    assert again.records["a"].glomeruli == before.records["a"].glomeruli


@pytest.mark.parametrize("project", ["0_6_0"], indirect=True)
def test_a_project_without_qupath_waits(project: Path, data: Path, oracle_folder: Path, no_qupath: None) -> None:
    heard = Heard()
    options = AnnotateOptions(model=oracle_folder, slides=(data / "qupath",), mpp=(0.5, 0.5), images=("1", "2"))
    result = glomseg.annotate_project(project, options, listener=heard.listener)
    assert (result.is_waiting, result.entry_ids, list(result.failed)) == (True, ("1", "2"), [])
    collect = f"`glomseg collect {project / 'project.qpproj'} {result.run.run_id}`"  # the newest may be another's
    assert [text for text in result.remarks if collect in text]
    assert list(result.remarks) == [text.removeprefix("warning: ") for text in heard.texts]
    lost = glomseg.annotate_project(project, AnnotateOptions(model=oracle_folder, mpp=(0.5, 0.5), images=("1", "3")))
    assert list(lost.failed) == ["3"]  # image 1 was done before its file was out of reach, and stays so
    assert any("stays" in text for text in lost.remarks)
    with locked(project / "glomseg"), pytest.raises(RunError, match="another glomseg"):
        glomseg.annotate_project(project, options)


@pytest.mark.qupath
def test_into_a_project_and_back(study_0_6_0: Path, oracle_folder: Path, one_process, capfd) -> None:
    heard = Heard()
    done = glomseg.annotate_project(
        study_0_6_0, AnnotateOptions(model=oracle_folder, mpp=(0.5, 0.5), images=("1",)), listener=heard.listener
    )
    assert not done.failed
    assert not done.is_waiting
    assert ("in project", "kidney_01.tif") in heard.calls
    options = WriteOptions(on_conflict="stop")
    assert glomseg.collect_run(study_0_6_0, done.run.run_id, options).records["1"].collected.added == 0
    preview = preview_undo(study_0_6_0)
    assert preview.run.run_id == done.run.run_id
    assert preview.outlines == {"1": done.records["1"].collected.added}
    undone = glomseg.undo_run(study_0_6_0, options=options).records["1"]
    assert undone.undone is not None
    assert undone.collected is None
    with pytest.raises(RunError, match="nothing to undo"):
        glomseg.undo_run(study_0_6_0)
    assert capfd.readouterr().out == ""
