"""The tissue is walked field by field, and a glomerulus that was missed is outlined with two clicks."""

import pytest

pytestmark = pytest.mark.qupath

WALK = "def walk = gui.getStage().getProperties().get('glomseg.missed')\n"
SAID = WALK + "walk.getScene().getRoot().lookupAll('.label').find { it.getText() =~ /seen/ }?.getText()"


def test_unseen_tissue_is_walked_and_two_clicks_outline_a_glomerulus(desk):
    desk.open("kidney_02.tif")
    desk.start_review()
    desk.fx("""hierarchy.clearAll(); data.removeProperty('glomseg.seen'); gui.getViewer().setDownsampleFactor(1.5d)""")
    desk.run("find_missed")
    desk.until(WALK + "walk?.isShowing()", "true")
    assert desk.fx("review.isShowing()") == "false"  # both have some of the same keys
    desk.settle()
    total = int(desk.fx(SAID).split()[2])
    assert desk.fx(SAID) == f"0 of {total} fields seen"
    for _ in range(total + 1):
        desk.press("PAGE_DOWN", window="gui.getStage().getProperties().get('glomseg.missed')")
    assert desk.fx(SAID) == "All tissue was seen."
    desk.press("E", window="gui.getStage()")
    desk.fx("""
        def viewer = gui.getViewer()
        viewer.setDownsampleFactor(1.0d)
        viewer.setCenterPixelLocation(700, 300)
        def view = viewer.getView()
        [[634, 300], [760, 306]].each { x, y ->
            def local = viewer.imagePointToComponentPoint(new java.awt.geom.Point2D.Double(x, y), null, false)
            def p = view.localToScene(local.getX(), local.getY())
            [MouseEvent.MOUSE_PRESSED, MouseEvent.MOUSE_RELEASED].each { type ->
                javafx.event.Event.fireEvent(view, new MouseEvent(type, p.getX(), p.getY(), p.getX(), p.getY(),
                    MouseButton.PRIMARY, 1, false, false, false, false, true, false, false, true, false, false, null))
            }
        }""")
    overlap = desk.fx("""
        def drawn = inOrder()[0].getROI().getGeometry()
        def truth = ROIs.createEllipseROI(640, 240, 120, 120, null).getGeometry()
        drawn.intersection(truth).getArea() / drawn.union(truth).getArea()""")
    assert float(overlap) > 0.9
    desk.press("U", window="gui.getStage()")
    assert desk.fx("hierarchy.getAnnotationObjects().size()") == "0"
    desk.fx(WALK + "walk.close()")
    assert desk.fx("entryOf('kidney_02.tif').readImageData().getProperty('glomseg.seen') != null") == "true"
