"""The tissue is walked field by field, and a glomerulus that was missed is outlined with two clicks."""

from contextlib import suppress

import pytest
from support.walk import WALK, two_clicks
from support.window import NotAnsweredError

from glomseg.qupath.scripts import list_scripts

pytestmark = pytest.mark.qupath

SAID = WALK + "walk.getScene().getRoot().lookupAll('.label').find { it.getText() =~ /seen/ }?.getText()"


NOT_JUDGED = "[:]"


def test_fields_share_what_would_be_a_strip_at_the_edge(desk):
    """Each field is of one size, all are inside the image, and none is a sliver."""
    desk.open("kidney_02.tif")  # 2048 x 1024 px, all of it tissue
    shared = list_scripts()["find_missed"].with_name("glomseg_shared.groovy")
    code = f"""def shared = new GroovyShell(getClass().getClassLoader()).parse(new File('{shared}'))
        def tissue = shared.load('glomseg_tissue')
        def fields = tissue.newInstance(data.getServer()).fields({{}}d, {{}}d)
        def inside = fields.every {{{{ it[0] + it[2] < 2048.1 && it[1] + it[3] < 1024.1 }}}}
        [fields.size(), fields[0][2], fields[0][3], inside, fields*.getAt(2).toSet().size()].join(' ')"""
    assert desk.fx(code.format(1020, 1020)) == "2 1024.0 1024.0 true 1"
    assert desk.fx(code.format(680, 500)) == "6 682.6666666666666 512.0 true 1"
    assert desk.fx(code.format(1500, 2000)) == "2 1024.0 1024.0 true 1"
    assert desk.fx(code.format(5000, 5000)) == "1 2048.0 1024.0 true 1"


def test_initials_that_were_typed_in_the_review_are_not_asked_again(desk):
    desk.open("kidney_02.tif")
    desk.start_review(initials="")
    desk.fx("initials().setText('QV')")  # and no verdict yet
    desk.run("find_missed")
    desk.until(WALK + "walk?.isShowing()", "true")
    field = WALK + "walk.getScene().getRoot().lookupAll('*').find { it instanceof TextField }"
    assert desk.fx(f"{field}.getText()") == "QV"


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
    two_clicks(desk, (634, 300), (760, 306))
    overlap = desk.fx("""
        def drawn = inOrder()[0].getROI().getGeometry()
        def truth = ROIs.createEllipseROI(640, 240, 120, 120, null).getGeometry()
        drawn.intersection(truth).getArea() / drawn.union(truth).getArea()""")
    assert float(overlap) > 0.9
    first = desk.fx("inOrder()[0].getID()")
    desk.press("E", window="gui.getStage()")
    two_clicks(desk, (300, 300), (420, 306))
    assert desk.fx("hierarchy.getAnnotationObjects().size()") == "2"
    desk.press("U", window="gui.getStage()")
    assert desk.fx("hierarchy.getAnnotationObjects().collect { it.getID() }.join()") == first  # the last is taken back
    desk.press("E", window="gui.getStage()")
    two_clicks(desk, (300, 300), (420, 306))
    desk.fx("gui.getUndoRedoManager().undoOnce(); 1")
    assert desk.fx("hierarchy.getAnnotationObjects().collect { it.getID() }.join()") == first
    desk.press("U", window="gui.getStage()")
    assert desk.fx("hierarchy.getAnnotationObjects().size()") == "0"  # the last that stands, at once
    desk.press("E", window="gui.getStage()")
    two_clicks(desk, (634, 300), (760, 306))
    desk.fx(WALK + "walk.close()")
    desk.settle()
    for key in ("Y", "Y", "U"):  # the review gave way to the walk, and that is closed: nobody judges
        with suppress(NotAnsweredError):  # the key reaches QuPath, whose own keys the headless platform cannot tell
            desk.press(key, window="gui.getStage()")
    assert desk.fx("hierarchy.getAnnotationObjects().collect { it.getMetadata() }.join()") == NOT_JUDGED
    assert desk.fx("entryOf('kidney_02.tif').readImageData().getProperty('glomseg.seen') != null") == "true"
