"""A review in a real QuPath window: nothing that a person did is lost, and nothing unseen is judged."""

import time

import pytest
from support.menu import POPUPS

pytestmark = pytest.mark.qupath

MAIN = "gui.getStage()"
UNDO = "gui.getUndoRedoManager().undoOnce()"


def test_the_same_keys_judge_in_the_review_and_in_the_viewer(review):
    review.press("Y")
    review.fx("gui.getViewer().getView().requestFocus()")
    review.press("X", window=MAIN)
    review.press("DIGIT3", window=MAIN)
    review.press("DIGIT5")
    assert review.verdicts() == "accept reject accept sclerotic -"
    told = review.fx("inOrder().collect { [it.getPathClass(), it.isLocked(), it.getMetadata()['glomseg.grade']] }")
    assert told == (
        "[[Glomerulus, true, null], [Rejected, false, null], [Glomerulus, true, 3], "
        "[Glomerulus: Sclerotic, true, sclerotic], [Glomerulus, false, null]]"
    )
    assert "5 of 5: confidence 0.90" in review.text()
    assert "2 accept, 1 reject, 1 sclerotic, 1 to do" in review.text()
    review.until("data.isChanged()", "false")  # saved when the keys rest
    assert review.on_disk() == "accept reject accept sclerotic -"
    review.press("U")
    review.press("U", window=MAIN)
    assert review.verdicts() == "accept reject - - -"
    assert "3 of 5" in review.text()
    review.press("PAGE_UP")
    assert "reject by AB" in review.text()


def test_a_rejected_one_that_is_given_a_class_in_qupath_again_is_to_be_judged_again(review):
    """It stood as Glomerulus in QuPath and in `status`, and `measure` left it out for the verdict of before."""
    review.press("X", times=1)
    review.press("X")
    review.fx("""inOrder()[0].setPathClass(PathClass.fromString("Glomerulus"))
        hierarchy.fireObjectClassificationsChangedEvent(this, [inOrder()[0]])""")
    review.until(
        "review.getScene().getRoot().lookupAll('*').any { it instanceof Label && "
        "it.getText()?.startsWith('1 reject, 4 to do') }",
        "true",
    )
    review.press("PAGE_UP")
    review.press("PAGE_UP")
    assert "1 of 5: confidence 0.50" in review.text()
    assert "reject by" not in review.text()
    review.press("Y")
    assert review.verdicts() == "accept reject - - -"
    assert "1 accept, 1 reject, 3 to do" in review.text()
    review.press("U")
    assert "1 reject, 4 to do" in review.text()


def test_what_a_classifier_suggests_is_asked_and_answered_by_a_verdict(review):
    review.fx("""inOrder()[0].getMeasurementList().put("Sclerotic probability", 0.934d)
        inOrder()[0].getMetadata()['glomseg.suggestion'] = 'Glomerulus: Sclerotic'""")
    review.press("PAGE_DOWN")
    review.press("PAGE_UP")
    assert "1 of 5: confidence 0.50; sclerotic 0.93?" in review.text()
    review.press("Y")
    review.press("PAGE_UP")
    assert "0.93?" not in review.text()
    assert "[Glomerulus, true]" in review.fx("inOrder().collect { [it.getPathClass(), it.isLocked()] }")


def test_a_held_key_judges_once_and_a_modified_one_never(review):
    review.press("Y", times=20)
    assert review.verdicts() == "accept - - - -"
    review.fx("""2.times {  // QuPath is busy between two repeats of a key that is down
        javafx.event.Event.fireEvent(review.getScene(),
            new KeyEvent(KeyEvent.KEY_PRESSED, '', '', KeyCode.X, false, false, false, false))
        Thread.sleep(2000)
    }""")
    assert review.verdicts() == "accept reject - - -"
    review.press("X")  # ends with the release
    assert review.verdicts() == "accept reject - - -"
    review.press("U")
    for modifier in ("CONTROL", "ALT", "SHIFT"):
        review.press("K", more=modifier)
    assert review.verdicts() == "accept - - - -"
    review.press("S", more="CONTROL")
    assert review.verdicts() == "accept - - - -"


def test_the_key_of_a_verdict_is_no_part_of_the_initials(review):
    review.fx("initials().setText(''); review.getScene().getRoot().requestFocus()")
    review.press("Y")
    assert review.verdicts() == "- - - - -"
    assert review.fx("[initials().isFocused(), within(TextField)[0].getText()]") == "[true, ]"
    assert "Type your initials first, then Enter." in review.text()  # in the window, and over nothing
    assert "initials" not in review.fx(POPUPS)
    for key in ("K", "X", "ENTER", "Y"):
        review.press(key)
    assert review.verdicts() == "accept - - - -"
    assert review.fx("inOrder()[0].getMetadata()['glomseg.initials']").lower() == "kx"
    assert "Type your initials" not in review.text()


def test_nothing_of_the_window_is_cut_however_much_there_is_to_say(review):
    """The field of the comment among it, with all that a glomerulus can have been given, and at the queue's end."""
    cut = """def right = review.getScene().getWidth() + 1
        within(Control).findAll { it.isVisible() && it.getScene() != null && it.getParent().isVisible() }.findAll {
            it.localToScene(it.getLayoutBounds()).getMaxX() > right || it.getWidth() < it.minWidth(-1) - 1 ||
            (it instanceof Label && it.getWidth() < it.prefWidth(-1) - 1) }.collect { it.toString() }"""
    review.fx("""inOrder().each { it.getMeasurementList().put("Sclerotic probability", 0.934d)
        it.getMetadata().putAll(['glomseg.verdict': 'sclerotic', 'glomseg.initials': 'A. B. Ceeeee-Deeeee',
            'glomseg.judged': '2026-11-26', 'glomseg.grade': 'globally sclerotic with hyalinosis'])
            it.setPathClass(qupath.lib.objects.classes.PathClass.fromString('Glomerulus: Sclerotic')) }
        inOrder()[0..1].each { it.getMetadata()['glomseg.verdict'] = 'edit' }
        entryOf('kidney_01.tif').putMetadataValue('glomseg.reviewed', 'A. B. Ceeeee-Deeeee 2026-11-26')""")
    review.press("PAGE_UP")
    review.settle()
    assert "grade globally sclerotic" in review.text()
    assert review.fx(cut) == "[]"
    assert float(review.fx("within(TextField).find { it.getPromptText() =~ /Comment/ }.getWidth()")) > 100
    review.press("PAGE_DOWN", times=1)
    for _ in range(5):
        review.press("PAGE_DOWN")
    assert review.fx(cut) == "[]"


def test_a_window_that_the_desktop_made_too_small_grows_again(review):
    review.fx("review.setWidth(300)")
    review.until("review.getScene().getWidth() >= review.getScene().getRoot().prefWidth(-1) - 1", "true")


def test_an_image_without_glomeruli_is_not_called_judged(review):
    review.fx("hierarchy.clearAll()")
    review.fx("within(ChoiceBox)[0].getOnAction().handle(null)")
    assert "There are no glomeruli to review" in review.text()
    assert "All have a verdict" not in review.text()


def test_what_a_key_cannot_do_is_said_in_the_window_and_covers_no_outline(review):
    review.press("U")
    assert "no verdict of this session" in review.text()
    review.press("Y")
    assert "no verdict of this session" not in review.text()
    review.press("U")
    review.fx("hierarchy.removeObject(inOrder()[0], true)")
    review.fx("Window.getWindows().findAll { it instanceof Popup }*.hide(); 1")
    review.press("X")
    review.press("PAGE_DOWN")
    review.press("X")
    review.fx("hierarchy.removeObject(inOrder()[0], true)")
    review.settle()
    review.press("U")
    assert "was deleted; QuPath's undo brings it back" in review.text()
    assert review.fx(POPUPS) == ""


def test_what_came_of_a_job_is_told_in_the_window_while_keys_go_on(review):
    review.fx("Window.getWindows().findAll { it instanceof Popup }*.hide(); 1")
    review.fx("review.getProperties()['glomseg.announce'].call('6 outlines added')")
    review.press("Y")
    assert "6 outlines added" in review.text()
    assert review.verdicts() == "accept - - - -"
    assert review.fx(POPUPS) == ""
    review.press("U")
    review.press("U")
    ends = time.monotonic() + 20
    while "6 outlines added" in review.text() and time.monotonic() < ends:
        time.sleep(0.2)
    assert "no verdict of this session" in review.text()  # which the next key ends, and nothing else


def test_verdicts_survive_undo_and_delete(review):
    review.press("Y")
    review.fx("hierarchy.removeObject(inOrder()[4], true)")  # a step of QuPath's undo
    review.press("X")
    review.fx(UNDO)  # takes both verdicts along, and puts copies in place of all objects
    review.until("inOrder().collect { verdict(it) ?: '-' }.join(' ')", "accept reject - - -")
    review.press("K")
    assert review.verdicts() == "accept reject sclerotic - -"
    review.fx("hierarchy.removeObject(inOrder()[3], true)")
    review.settle()
    assert "deleted" in review.text()
    review.press("Y")  # judges nothing
    review.press("PAGE_DOWN")
    review.press("Y")
    assert review.verdicts() == "accept reject sclerotic accept"
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "accept reject sclerotic accept"


def test_another_image_is_never_judged_unseen_nor_overwritten_by_a_stale_copy(review):
    review.press("Y")
    review.until("data.isChanged()", "false")
    review.fx("gui.openImageEntry(entryOf('kidney_02.tif'))")
    review.until("review.getTitle()", "Review: kidney_02.tif")
    before = review.on_disk("kidney_02.tif")
    review.fx("gui.openImageEntry(entryOf('kidney_01.tif'))")
    review.until("review.getTitle()", "Review: kidney_01.tif")
    review.fx("""import qupath.lib.roi.ROIs
        hierarchy.addObject(PathObjects.createAnnotationObject(ROIs.createRectangleROI(5, 5, 9, 9, null)))
        gui.getProject().getEntry(data).saveImageData(data)""")
    review.fx("review.close()")
    review.settle()
    assert review.on_disk() == "- accept - - - -"
    assert review.on_disk("kidney_02.tif") == before


def test_next_image_saves_and_goes_on(review):
    review.press("Y")
    review.press("I")
    review.until("review.getTitle()", "Review: kidney_02.tif")
    assert review.on_disk() == "accept - - - -"


def test_the_brush_of_an_edit_is_laid_down(review):
    tool = review.fx("gui.getToolManager().getSelectedTool().getName()")
    review.press("E")
    assert review.fx("gui.getToolManager().getSelectedTool() == PathTools.BRUSH") == "true"
    assert review.fx("gui.getViewer().getSelectedObject() == inOrder()[0]") == "true"
    review.press("Y")
    assert review.fx("gui.getToolManager().getSelectedTool().getName()") == tool
    assert review.fx("gui.getViewer().getSelectedObject()") == "null"
    assert review.verdicts() == "accept - - - -"


def test_an_edit_that_drew_beside_its_outline_is_not_accepted_unasked(review):
    """A brush that begins outside of the outline draws another annotation, and leaves the glomerulus as it was."""
    review.press("E")
    review.fx("hierarchy.addObject(PathObjects.createAnnotationObject(ROIs.createRectangleROI(90, 110, 50, 50, null)))")
    review.press("Y")
    assert "what was drawn lies beside it" in review.text()
    assert review.fx("inOrder().count { verdict(it) == 'edit' }") == "1"
    review.press("Y")
    assert review.fx("inOrder().count { verdict(it) == 'accept' }") == "1"
    review.press("E")
    review.fx("""def item = hierarchy.getAnnotationObjects().find { verdict(it) == 'edit' }
        item.setROI(item.getROI().translate(3, 0))
        hierarchy.fireHierarchyChangedEvent(item)""")
    review.press("Y")
    assert review.fx("inOrder().count { verdict(it) == 'accept' }") == "2"


def test_a_drag_pans_and_moves_no_outline(review):
    review.press("PAGE_DOWN")
    before = review.fx("inOrder().collect { it.getROI().getCentroidX() }")
    centre = review.fx("gui.getViewer().getCenterPixelX()")
    review.fx("""
        def view = gui.getViewer().getView()
        def middle = [view.getWidth() / 2, view.getHeight() / 2]
        def mouse = { type, x, down -> javafx.event.Event.fireEvent(view, new MouseEvent(type, x, middle[1], x,
            middle[1], MouseButton.PRIMARY,
            1, false, false, false, false, down, false, false, true, false, false, null)) }
        mouse(MouseEvent.MOUSE_PRESSED, middle[0], true)
        (1..6).each { mouse(MouseEvent.MOUSE_DRAGGED, middle[0] + 20 * it, true) }
        mouse(MouseEvent.MOUSE_RELEASED, middle[0] + 120, false)""")
    review.settle()
    assert review.fx("inOrder().collect { it.getROI().getCentroidX() }") == before
    assert review.fx("gui.getViewer().getCenterPixelX()") != centre


def test_fully_reviewed_asks_where_something_is_to_do_and_can_be_taken_back(review):
    mark = "entryOf('kidney_01.tif').getMetadataValue('glomseg.reviewed') != null"
    press = (
        "javafx.application.Platform.runLater { within(Button).find { it.getText() =~ /fully|mark back/ }.fire() }; 1"
    )
    for choice, marked in (("No", "false"), ("Yes", "true")):
        review.fx(press)
        review.answer(choice)
        assert review.fx(mark) == marked
    assert "fully reviewed by AB" in review.text()
    review.fx(press)
    review.until(mark, "false")


def test_a_project_that_is_closed_leaves_the_window_idle(review):
    review.fx("gui.getAllViewers().each { it.getImageData()?.setChanged(false) }; gui.setProject(null)")
    review.until("review.getTitle()", "Review")
    review.press("Y")
    assert "Open an image of a project" in review.text()
    review.fx("review.close()")
    review.open("kidney_01.tif")
    assert review.on_disk() == "- - - - -"


def test_a_second_start_shows_the_window_that_is_there(review):
    before = review.fx("review.hashCode()")
    review.run("review_glomeruli")
    review.settle()
    assert review.fx("review.hashCode()") == before
    assert review.fx("Window.getWindows().count { it instanceof Stage && it.getTitle()?.startsWith('Review:') }") == "1"


def test_the_order_is_remembered(review):
    order = "within(ChoiceBox)[0].getSelectionModel()"
    assert review.fx(f"{order}.getSelectedItem()") == "lowest confidence first"
    try:
        review.fx(f"{order}.select(1)")
        review.fx("review.close()")
        review.start_review()
        assert review.fx(f"{order}.getSelectedItem()") == "reading order"
    finally:
        review.fx(f"{order}.select(0)")


def test_all_are_shown_at_one_scale(review):
    review.fx(
        "hierarchy.addObject(PathObjects.createAnnotationObject(ROIs.createEllipseROI(500, 500, 300, 300, null), "
        "PathClass.fromString('Glomerulus')))"
    )
    scales = []
    for _ in range(6):
        scales.append(float(review.fx("gui.getViewer().getDownsampleFactor()")))
        review.press("PAGE_DOWN")
    assert max(scales) == pytest.approx(min(scales))
    review.fx("gui.getViewer().setDownsampleFactor(3.0d)")
    review.press("PAGE_UP")
    scale = (
        "gui.getViewer().getDownsampleFactor() * data.getServer().getPixelCalibration().getAveragedPixelSizeMicrons()"
    )
    before = float(review.fx(scale))
    assert float(review.fx("gui.getViewer().getDownsampleFactor()")) == pytest.approx(3)
    review.press("I")  # and so in the next image, however QuPath zooms on opening it
    review.until("review.getTitle()", "Review: kidney_02.tif")
    review.fx("""hierarchy.clearAll()
        hierarchy.addObject(PathObjects.createAnnotationObject(ROIs.createEllipseROI(240, 240, 120, 120, null),
            PathClass.fromString('Glomerulus')))""")
    review.fx("within(ChoiceBox)[0].getOnAction().handle(null)")
    assert float(review.fx(scale)) == pytest.approx(before)


def test_the_next_of_two_thousand_comes_at_once(desk):
    """A verdict costs a small part of what one step of QuPath's undo costs, and makes no such step."""
    desk.open("kidney_01.tif")
    desk.draw(2000, row=50, side=30)
    desk.start_review()
    fire = """def fire = { type, code -> javafx.event.Event.fireEvent(review.getScene(),
            new KeyEvent(type, '', '', code, false, false, false, false)) }
        def timed = { what -> def start = System.nanoTime(); what(); (System.nanoTime() - start) / 1e6 }
        def middle = { it.sort()[it.size().intdiv(2)] }
        def press = { fire(KeyEvent.KEY_PRESSED, KeyCode.X); fire(KeyEvent.KEY_RELEASED, KeyCode.X) }
        """
    ours = float(desk.fx(fire + "middle((0..<30).collect { timed(press) })", 60))
    step = (
        "def one = [inOrder()[0]]; middle((0..<3).collect { timed { hierarchy.fireObjectsChangedEvent(this, one) } })"
    )
    theirs = float(desk.fx(fire + step, 60))
    assert ours < 50 or ours < theirs / 4
    assert desk.fx("hierarchy.getAnnotationObjects().count { verdict(it) == 'reject' }") == "30"


def test_glomeruli_of_one_id_are_not_called_judged_unseen(desk):
    """One of the two was shown twice, and the other counted as nothing: all had a verdict."""
    desk.open("kidney_01.tif")
    desk.draw(4)
    desk.fx("""import qupath.lib.io.GsonTools
        def item = inOrder()[1]
        def gson = GsonTools.getInstance()
        def copy = gson.fromJson(gson.toJson(item), PathObject)
        def aside = java.awt.geom.AffineTransform.getTranslateInstance(0, 300)
        hierarchy.addObject(PathObjectTools.transformObject(copy, aside, true, false))""")
    desk.start_review()
    assert "1 of 3" in desk.text()
    assert "5 to do" in desk.text()
    for _ in range(3):
        desk.press("Y")
    assert desk.verdicts() == "accept - - accept accept"
    assert "2 glomeruli have one id with another" in desk.text()
    assert "3 accept, 2 to do" in desk.text()
    desk.fx("javafx.application.Platform.runLater { within(Button).find { it.getText() =~ /fully/ }.fire() }; 1")
    assert "2 glomeruli have no final verdict" in desk.answer("No")
    desk.fx(
        "hierarchy.getAnnotationObjects().find { !verdict(it) }.refreshID(); "
        "hierarchy.fireHierarchyChangedEvent(hierarchy)"
    )
    desk.until("within(Label)*.getText().any { it?.startsWith('4 of 5') }", "true")
    desk.press("Y")
    desk.press("Y")
    assert desk.verdicts() == "accept accept accept accept accept"
    assert "All have a verdict" in desk.text()


def test_an_outline_of_a_run_that_was_reshaped_is_not_called_drawn(review):
    """QuPath takes all measurements away from it."""
    review.fx("""inOrder()[0].with {
            it.getMetadata()["glomseg.run"] = "run-1"
            it.setROI(ROIs.createRectangleROI(40, 100, 50, 50, null))
        }
        hierarchy.fireObjectsChangedEvent(gui, [inOrder()[0]])""")
    review.until("within(Labeled)*.getText().any { it?.contains('1 of 5: reshaped by hand') }", "true")
