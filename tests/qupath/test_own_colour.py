"""A colour that a person gave to an outline stays, whatever class it gets: QuPath itself drops it with the class."""

import pytest
from support.groovy import evaluate
from support.qupath_side import add_to_predictions
from support.runs import FREE, discs, made_run, standing

from glomseg.qupath.amend import Amendment, amend_image
from glomseg.qupath.project import image_state, read_project
from glomseg.qupath.scripts import list_scripts

pytestmark = pytest.mark.qupath

JUDGE = """
def project = qupath.lib.projects.ProjectIO.loadProject(new File(PROJECT), java.awt.image.BufferedImage)
def entry = project.getImageList().find { it.getID() == "1" }
def data = entry.readImageData()
def item = data.getHierarchy().getAnnotationObjects().find { it.getID().toString() == ID }
new GroovyShell(getClass().getClassLoader()).parse(new File(SHARED)).judge(data, item, "sclerotic", "AB")
entry.saveImageData(data)
return item.getColor().toString()
"""


@pytest.mark.parametrize("by", ["a gallery", "a verdict"])
def test_a_class_leaves_a_persons_colour(moved, one_process, glomseg, tmp_path, by):
    made_run(moved, "run-1", discs("run-1", FREE))
    assert glomseg("collect", moved).code == 0
    image = read_project(moved).images[0]
    assert one_process.call(add_to_predictions, moved, "1", image.path) == 4
    (coloured,) = [key for key, item in standing(one_process, moved).items() if item.is_colored]
    if by == "a gallery":
        amended = one_process.call(
            amend_image, moved, "1", image.path, [Amendment(object_id=coloured, class_name="Glomerulus: Sclerotic")],
            expected_state=image_state(image), backup_folder=tmp_path / "backup",
        )  # fmt: skip
        assert amended.changed == 1
    else:
        shared = list_scripts()["find_missed"].with_name("glomseg_shared.groovy")
        variables = {"PROJECT": str(moved), "SHARED": str(shared), "ID": coloured}
        assert one_process.call(evaluate, JUDGE, variables) == "255"
    after = standing(one_process, moved)[coloured]
    assert (after.class_name, after.is_colored) == ("Glomerulus: Sclerotic", True)
