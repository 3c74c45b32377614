"""Where the images of a run's results lie."""

import pytest
from support.project_files import touch

from glomseg.runs.image_record import ImageRecord, State
from glomseg.runs.run import Run, RunParameters, now
from glomseg.study.sources import read_sources


@pytest.mark.parametrize("above", ["/gone/lab", "D:\\lab"])
def test_images_of_one_name_are_found_by_their_folders(tmp_path, above):
    """The slides of a run moved: each is found by the folders that it had, and none is that of the other."""
    run = Run(tmp_path / "run", "run-1", RunParameters(model="m"), started=now())
    run.folder.mkdir()
    sign = "\\" if "\\" in above else "/"
    for key in ("A", "B"):
        run.result_path(key).write_text('{"type": "FeatureCollection", "features": []}')
        run.update(key, ImageRecord(name="s.tif", state=State.DONE, path=f"{above}{sign}{key}{sign}s.tif"))
    run.save()
    one, two = (touch(tmp_path / "slides" / name / "s.tif") for name in "AB")
    assert [item.image.path for item in read_sources(run.folder, slides=[tmp_path / "slides"]).slides] == [one, two]
    two.unlink()
    assert [item.image.path for item in read_sources(run.folder, slides=[tmp_path / "slides"]).slides] == [one, None]
