"""An image of several focus planes in the windows: what is judged, drawn and taught lies on the plane that shows."""

import numpy as np
import pytest
import tifffile
from support.walk import WALK, two_clicks

pytestmark = pytest.mark.qupath

ADD = """
    import qupath.lib.images.servers.ImageServerProvider
    def file = new File("{path}").toURI().toString()
    def builder = ImageServerProvider.getPreferredUriImageSupport(java.awt.image.BufferedImage, file).getBuilders()[0]
    def entry = gui.getProject().addImage(builder)
    entry.setImageName("stack.tif")
    def there = entry.readImageData()
    there.setImageType(qupath.lib.images.ImageData.ImageType.BRIGHTFIELD_H_E)
    entry.saveImageData(there)
    gui.getProject().syncChanges()
    gui.openImageEntry(entry)"""
DRAW = """
    hierarchy.clearAll()
    [[100, 0], [400, 2], [700, 1]].each { x, z ->
        hierarchy.addObject(PathObjects.createAnnotationObject(
            ROIs.createEllipseROI(x, 450, 120, 120, ImagePlane.getPlane(z, 0)), PathClass.fromString("Glomerulus")))
    }"""
REMOVE = """
    gui.getAllViewers().each { it.getImageData()?.setChanged(false); it.resetImageData() }
    gui.getProject().removeImage(entryOf("stack.tif"), true)
    gui.getProject().syncChanges()"""


@pytest.fixture
def stack(desk):
    """Three planes of tissue, a disc on each, further to the right on each."""
    planes = np.full((3, 1000, 1000, 3), (230, 190, 210), np.uint8)
    rows, columns = np.mgrid[:1000, :1000]
    for z, x in enumerate((160, 760, 460)):
        planes[z][np.hypot(columns - x, rows - 510) < 60] = (120, 40, 110)
    path = desk.project.with_name("stack.tif")
    tifffile.imwrite(path, planes, imagej=True, resolution=(2, 2), metadata={"unit": "um", "axes": "ZYXS"})
    desk.open("kidney_01.tif")
    desk.fx(ADD.format(path=path))
    desk.until("gui.getImageData()?.getServer()?.nZSlices()", "3")
    desk.fx(DRAW)
    yield desk
    desk.fx(REMOVE)


def test_a_review_shows_each_outline_on_its_plane(stack):
    """QuPath opens a stack in its middle and shows there what lies on that plane: others were judged unseen."""
    stack.start_review()
    shown = []
    for _ in range(3):
        stack.press("Y")
        stack.press("PAGE_UP")
        shown.append(
            stack.fx("""def z = gui.getViewer().getZPosition()
            def (x, y) = [gui.getViewer().getCenterPixelX(), gui.getViewer().getCenterPixelY()]
            z == inOrder().find { it.getROI().contains(x, y) }.getROI().getZ()""")
        )
        stack.press("PAGE_DOWN")
    assert shown == ["true"] * 3
    assert stack.verdicts() == "accept accept accept"


def test_two_clicks_outline_what_is_seen_on_the_plane_that_is_shown(stack):
    stack.fx("hierarchy.clearAll(); gui.getViewer().setZPosition(2); gui.getViewer().setDownsampleFactor(1.5d)")
    stack.run("find_missed")
    stack.until(WALK + "walk?.isShowing()", "true")
    stack.press("PAGE_DOWN", window="gui.getStage().getProperties().get('glomseg.missed')")
    stack.press("E", window="gui.getStage()")
    two_clicks(stack, (396, 510), (524, 510))
    assert stack.fx("inOrder()*.getROI()*.getZ()") == "[2]"
    overlap = stack.fx("""def drawn = inOrder()[0].getROI().getGeometry()
        def truth = ROIs.createEllipseROI(400, 450, 120, 120, null).getGeometry()
        drawn.intersection(truth).getArea() / drawn.union(truth).getArea()""")
    assert float(overlap) > 0.9
    stack.fx(WALK + "walk.close()")


def test_no_training_tile_is_cut_of_a_stack(stack):
    """Tiles show the first plane, and what is outlined on another was background there."""
    stack.fx("gui.getProject().getEntry(data).saveImageData(data)")
    stack.run("export_training_tiles")
    assert not (stack.project.parent / "tiles/stack").exists()
    assert "3 focus planes; export one plane" in stack.window.log.read_text("utf-8", "replace")
