"""Results of a run come into the image as it stands when they come, whatever happened to it meanwhile."""

import shutil
import sys

import pytest
from support.runs import FREE, discs, made_run

from glomseg.qupath.scripts import list_scripts
from glomseg.runs.ownership import RUN

pytestmark = pytest.mark.qupath

DRAW = """hierarchy.addObject(PathObjects.createAnnotationObject(ROIs.createRectangleROI(5, 5, 9, 9, null)))
    gui.getProject().getEntry(data).saveImageData(data)"""
LATER = "Thread.startDaemon {{ gui.runScript(new File('{}'), null) }}; 1"
COUNT = f"hierarchy.getAnnotationObjects().count {{ it.getMetadata().containsKey('{RUN}') }}"
ON_DISK = (
    "entryOf('kidney_01.tif').readHierarchy().getAnnotationObjects()"
    f".countBy {{ it.getMetadata().containsKey('{RUN}') ? 'ours' : 'theirs' }}.sort().toString()"
)


@pytest.fixture
def image(desk):
    desk.open("kidney_01.tif")
    desk.draw(1)
    yield desk
    shutil.rmtree(desk.project.parent / "glomseg", ignore_errors=True)


def reopen(desk):
    """Leave the image, come back, draw, and save."""
    desk.fx("data.setChanged(false); gui.openImageEntry(entryOf('kidney_02.tif'))")
    desk.fx("gui.openImageEntry(entryOf('kidney_01.tif'))")
    desk.fx(DRAW)


def test_an_import_asks_for_the_run_and_brings_it_into_the_image_of_now(image):
    for number, spots in ((1, FREE[:3]), (2, FREE[:4])):
        made_run(image.project, f"run-{number}", discs(f"run-{number}", spots), ("1",))
    script = list_scripts()["import_results"]
    image.fx(LATER.format(script))
    assert "Bring in the outlines of this run" in image.answer("Cancel")
    assert image.fx(COUNT) == "0"
    image.fx(LATER.format(script))
    image.until("Window.getWindows().count { it.getScene()?.getRoot() instanceof DialogPane }", "1")
    image.fx(
        "javafx.application.Platform.runLater { data.setChanged(false)\n gui.openImageEntry(entryOf('kidney_02.tif')) }"
    )
    image.until("gui.getProject().getEntry(data)?.getImageName()", "kidney_02.tif")
    image.fx("gui.openImageEntry(entryOf('kidney_01.tif'))")
    image.fx(DRAW)
    image.answer("OK")
    image.until(COUNT, "4")
    image.until(ON_DISK, "[ours:4, theirs:2]")


def test_annotating_asks_and_brings_the_outlines_into_the_image_of_now(desk):
    """The image is left, changed and opened again while glomseg works in its own Python."""
    desk.open("kidney_02.tif")
    desk.draw(0)
    desk.fx(f"""qupath.lib.gui.prefs.PathPrefs.createPersistentPreference("glomseg.python", "").set("{sys.executable}")
        Thread.startDaemon {{ gui.runScript(new File("{list_scripts()["annotate_current_image"]}"), null) }}
        1""")
    dialog = "Window.getWindows().find { it.getScene()?.getRoot() instanceof DialogPane }"
    desk.until(f"{dialog} != null", "true", 60)
    boxes = f"{dialog}.getScene().getRoot().lookupAll('*').findAll {{ it instanceof ChoiceBox }}"
    assert desk.fx(f"{boxes}*.getItems()").startswith(
        "[[this image (kidney_02.tif), the images chosen below, the whole project (3 imag"
    )
    desk.fx(f"{boxes}[3].setValue('oracle')")
    desk.answer("OK")
    desk.until("Window.getWindows().any { it instanceof Stage && it.getTitle() == 'GlomSeg' }", "true")
    desk.fx("gui.openImageEntry(entryOf('kidney_01.tif'))")
    desk.fx("gui.openImageEntry(entryOf('kidney_02.tif'))")
    desk.fx(DRAW)
    desk.until(COUNT, "3", 120)
    desk.until(ON_DISK.replace("01", "02"), "[ours:3, theirs:1]")
