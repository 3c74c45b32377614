"""An open QuPath saves over what was written into an image while the others of the run are still being written."""

import pytest
from support.kill import using
from support.runs import FREE, discs, made_run, standing

from glomseg.qupath.project import read_project
from glomseg.runs.collect import collect_run
from glomseg.runs.image_record import Outcome
from glomseg.runs.ownership import owner
from glomseg.runs.undo_run import undo_run
from glomseg.runs.write_image import collect_image, undo_image

pytestmark = pytest.mark.qupath


class Saving:
    """QuPath's process; before the second image is written, somebody saves the first as it was when they opened it."""

    def __init__(self, process, data):
        self.process, self.data, self.opened = process, data, data.read_bytes()

    def call(self, function, *args, **kwargs):
        if function in (collect_image, undo_image) and args[0].entry_id == "2":
            self.data.write_bytes(self.opened)
        return self.process.call(function, *args, **kwargs)


def test_it_is_said_and_the_same_command_mends_it(study_0_6_0, one_process):
    made_run(study_0_6_0, "run-1", discs("run-1", FREE[:3]), keys=("1", "2"))
    data = read_project(study_0_6_0).images[0].data_folder / "data.qpdata"

    def ours():
        return [item for item in standing(one_process, study_0_6_0).values() if owner(item) == "machine"]

    for work, outcome, after in ((collect_run, Outcome.NOT_COLLECTED, 3), (undo_run, Outcome.NOT_UNDONE, 0)):
        with using(Saving(one_process, data)):
            result = work(study_0_6_0)
        assert {key: record.outcome for key, record in result.records.items()} == {"1": outcome, "2": None}
        assert result.records["1"].conflict
        assert "was saved by somebody else since it was written" in result.records["1"].reason
        assert len(ours()) == 3 - after
        with using(one_process):
            again = work(study_0_6_0)
        assert again.records["1"].outcome is None
        assert len(ours()) == after
