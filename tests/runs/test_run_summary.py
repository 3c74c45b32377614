"""summary.md says in words what a run did, and slides that were copied first give the same."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from support.batches import begun, files_of, small_slides
from support.dicom import dicom_slide
from support.slides import disc_slide

import glomseg
from glomseg import Listener, SegmentOptions
from glomseg.errors import RunError
from glomseg.runs.run import load_run
from glomseg.runs.segment_batch import Job
from glomseg.runs.slide_cache import caching


@pytest.fixture(scope="module")
def options(oracle_folder):
    return SegmentOptions(model=oracle_folder, device="cpu", command="glomseg segment in -o out")


def test_what_a_run_did(options, tmp_path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    small_slides(folder, 2)
    disc_slide(folder / "no size.tif", size=(256, 256), mpp=None, count=2, radius_um=25)
    (folder / "a <b>|*.tif").write_text("no image")
    (folder / "notes.txt").write_text("x")
    result = glomseg.segment_slides([folder], tmp_path / "out", options)
    text = (tmp_path / "out/summary.md").read_text(encoding="utf-8")
    assert "| images | 4: 2 done, 2 failed or not done |" in text
    assert f"| glomeruli | {sum(record.glomeruli or 0 for record in result.records.values())} |" in text
    assert "| model | oracle |" in text
    assert "| threshold | 0.5 |" in text
    assert "## Failed (2)" in text
    assert "- **a &lt;b>\\|\\*.tif**: " in text
    assert "no size.tif" in text
    assert "left out: notes.txt: no image" in text
    assert "glomseg segment in -o out" in text
    assert result.run.ended in text


def test_copies_give_the_same_and_go(options, tmp_path) -> None:
    slides = small_slides(tmp_path / "in", 4)
    whole = glomseg.segment_slides(slides, tmp_path / "whole", options).run
    cache, there = tmp_path / "cache", []
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left = cache / f"glomseg-{os.uname().nodename}-{int(dead.stdout)}"
    left.mkdir(parents=True)

    def look(name, record):
        there.extend(path.name for path in cache.rglob("*.tif"))

    folder = tmp_path / "out"
    run = begun(folder, whole.parameters)
    whole_again = begun(tmp_path / "again", whole.parameters)
    glomseg.segment_slides(slides, whole_again, options)
    result = glomseg.segment_slides(slides, run, replace(options, cache=cache), listener=Listener(ended=look))
    assert not result.failed
    assert files_of(folder) == files_of(whole_again)
    assert set(there) == {path.name for path in slides[1:]}
    assert list(cache.iterdir()) == []
    assert {record.path for record in load_run(folder).images.values()} == {str(path) for path in slides}
    there.clear()
    glomseg.segment_slides(slides, run, replace(options, cache=cache), listener=Listener(ended=look))
    assert there == []


def test_what_cannot_be_copied_is_read_where_it_lies(options, tmp_path, unwritable, full_disk) -> None:
    slides = small_slides(tmp_path / "in", 2)
    with pytest.raises(RunError, match=r"`cache`.*choose another folder"):
        glomseg.segment_slides(slides, tmp_path / "out", replace(options, cache=unwritable))
    said = []
    asked = replace(options, cache=tmp_path / "cache", candidates="none")
    with full_disk(after_bytes=slides[0].stat().st_size - 1):
        glomseg.segment_slides(slides, tmp_path / "out", asked, listener=Listener(warning=said.append))
    assert [text for text in said if "read where it lies" in text]
    assert "File too large" in said[0]


def test_a_slide_of_many_files_is_said_to_be_read_where_it_lies(tmp_path) -> None:
    pytest.importorskip("pydicom")
    path = dicom_slide(tmp_path / "in", np.full((512, 512, 3), 240, np.uint8), levels=1)[0]
    job, said = Job(entry_id="1", name="one.dcm", path=path), []
    with caching(tmp_path / "cache", [job], 1, said.append) as cache:
        assert cache.take(job) == job
    assert len(said) == 1
    assert "one.dcm: not copied" in said[0]
    assert "read where it lies" in said[0]


def test_a_summary_that_a_person_wrote_stays(options, tmp_path) -> None:
    (tmp_path / "summary.md").write_text("# What I saw\n")
    (slide,) = small_slides(tmp_path / "in", 1)
    with pytest.raises(RunError, match=r"summary.md is there and not of glomseg, .* choose another `output`"):
        glomseg.segment_slides([slide], tmp_path, options)
    assert (tmp_path / "summary.md").read_text() == "# What I saw\n"
    assert not (tmp_path / "run.json").exists()
    for _ in range(2):  # its own is replaced
        glomseg.segment_slides([slide], tmp_path / "out", options)
