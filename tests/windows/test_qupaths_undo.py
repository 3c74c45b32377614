"""QuPath's own undo takes back what was drawn, and never what was judged, whether or not the review is still open."""

import shutil

import pytest
from support.runs import FREE, discs, made_run

from glomseg.qupath.objects import write_geojson
from glomseg.runs.ownership import RUN
from glomseg.runs.restore import image_backups

pytestmark = [pytest.mark.qupath, pytest.mark.slow]

DRAW = "hierarchy.addObject(PathObjects.createAnnotationObject(ROIs.createRectangleROI(900, 700, 50, 50, null)))"
UNDO = "gui.getUndoRedoManager().undoOnce()"
REDO = "gui.getUndoRedoManager().redoOnce()"
VERDICTS = "inOrder().collect { verdict(it) ?: '-' }.join(' ')"
SAVE = "gui.getProject().getEntry(data).saveImageData(data)"


def test_verdicts_stay_when_something_drawn_after_the_review_is_undone(review):
    for key in "YXK":
        review.press(key)
    review.until("data.isChanged()", "false")
    review.fx("review.close()")
    review.settle()
    review.fx(DRAW)
    review.fx(UNDO)  # its step before that knows of no verdict
    review.until(VERDICTS, "accept reject sclerotic - -")
    assert review.fx("inOrder()*.getPathClass()*.toString().toString() + inOrder()*.isLocked()") == (
        "[Glomerulus, Rejected, Glomerulus: Sclerotic, Glomerulus, Glomerulus][true, false, true, false, false]"
    )
    review.fx(REDO)
    review.until("hierarchy.getAnnotationObjects().count { verdict(it) }", "3")
    review.fx(UNDO)
    review.until(VERDICTS, "accept reject sclerotic - -")
    review.fx(SAVE)
    assert review.on_disk() == "accept reject sclerotic - -"
    review.start_review()  # which goes on where it stopped
    assert "1 of 2" in review.text()
    review.press("Y")
    review.fx(DRAW)
    review.fx(UNDO)
    review.until(VERDICTS, "accept reject sclerotic accept -")
    assert "Verdicts stay: U takes the last one back" in review.text()


def test_a_step_that_takes_judged_outlines_away_says_so_and_what_was_saved_is_kept(review):
    """One that a person drew, which the step was about: the review said that verdicts stay."""
    review.fx(DRAW.replace("))", "), PathClass.fromString('Glomerulus'))"))
    review.until("inOrder().size()", "6")
    for _ in range(6):
        review.press("Y")
    review.until("data.isChanged()", "false")
    review.fx(UNDO)
    review.until("inOrder().size()", "5")
    review.settle()
    assert "and judged: 1; Ctrl+Shift+Z" in review.text()
    review.until("data.isChanged()", "false")
    assert review.on_disk().split() == ["accept"] * 5
    review.fx(REDO)
    review.until(VERDICTS, " ".join(["accept"] * 6))
    review.until("data.isChanged()", "false")
    kept = [backup for backup in image_backups(review.project, "1")[1] if backup.name.endswith("-step")]
    assert [backup.why for backup in kept] == ["before a review saved what a step of QuPath's undo left"]
    assert (kept[0].folder / "data.qpdata").read_bytes().count(b"glomseg.judged") > 0


def test_verdicts_stay_where_qupath_gave_all_objects_other_ids_and_its_undo_gives_the_former_back(review):
    review.press("Y")
    review.press("K")
    review.until("data.isChanged()", "false")
    review.fx("gui.lookupActionByText('Refresh object IDs').handle(null)")
    review.settle()
    assert "3 of 5" in review.text()
    review.press("U")
    assert review.verdicts() == "accept - - - -"
    review.press("X")
    review.fx(UNDO)
    review.until(VERDICTS, "accept reject - - -")
    review.fx(REDO)
    review.until(VERDICTS, "accept reject - - -")
    assert "3 of 5" in review.text()
    review.press("Y")
    review.fx("review.close()")
    review.settle()
    review.fx(UNDO)
    review.until(VERDICTS, "accept reject accept - -")


def test_verdicts_of_an_image_that_is_not_the_active_one_stay(review):
    """The review follows the other viewer; what was judged in the first is not forgotten."""
    review.press("Y")
    review.until("data.isChanged()", "false")
    try:
        review.fx("gui.getViewerManager().setGridSize(1, 2)")
        activate = "gui.getViewerManager().setActiveViewer(gui.getAllViewers()[{}])"
        review.fx(activate.format(1) + "; gui.openImageEntry(entryOf('kidney_02.tif'))")
        review.until("review.getTitle()", "Review: kidney_02.tif")
        review.fx(activate.format(0))
        review.until("review.getTitle()", "Review: kidney_01.tif")
        review.fx(DRAW)
        review.fx(UNDO)
        review.until(VERDICTS, "accept - - - -")
    finally:
        review.fx("""gui.getAllViewers().each { it.getImageData()?.setChanged(false); it.resetImageData() }
            gui.getViewerManager().setActiveViewer(gui.getAllViewers()[0])
            gui.getViewerManager().resetGridSize()""")


def test_a_judged_candidate_that_was_deleted_stays_deleted(desk):
    run = made_run(desk.project, "run-7", discs("run-7", [(70, 130)]))
    try:
        write_geojson(run.candidates_path("1"), discs("run-7", [(600, 500)]))
        desk.open("kidney_01.tif")
        desk.draw(1)
        desk.start_review()
        desk.press("Y")
        desk.press("Y")
        assert desk.verdicts() == "accept accept"
        desk.fx("hierarchy.removeObject(inOrder()[1], true)")
        desk.settle()
        desk.fx(DRAW)
        desk.fx(UNDO)
        desk.settle()
        assert desk.verdicts() == "accept"
    finally:
        shutil.rmtree(run.folder)


def test_what_was_drawn_is_not_called_saved_before_it_is(review):
    review.press("Y")
    review.until("within(Label).any { it.getText().endsWith('|   saved') }", "true")
    review.fx(DRAW)
    review.until("within(Label).any { it.getText().endsWith('changed: not saved yet') }", "true")
    review.fx(SAVE)
    review.until("within(Label).any { it.getText().endsWith('|   saved') }", "true")


def test_one_step_back_takes_back_all_that_a_run_changed(menu):
    """Two steps, one for each half, left neither the new run's outlines nor those of the run before."""
    desk = menu.desk
    desk.open("kidney_01.tif")
    desk.draw(1)
    runs = (
        f"hierarchy.getAnnotationObjects()*.getMetadata()*.get('{RUN}').countBy {{ it ?: 'drawn' }}.sort().toString()"
    )
    made_run(desk.project, "run-1", discs("run-1", FREE[:3]), ("1",))
    try:
        menu.click("Import results")
        desk.until(runs, "[drawn:1, run-1:3]", 60)
        made_run(desk.project, "run-2", discs("run-2", FREE[:4], 4), ("1",))
        menu.click("Import results")
        desk.answer("OK")
        desk.until(runs, "[drawn:1, run-2:4]")
        desk.settle()
        desk.fx(UNDO)
        desk.until(runs, "[drawn:1, run-1:3]")
        desk.fx(REDO)
        desk.until(runs, "[drawn:1, run-2:4]")
    finally:
        shutil.rmtree(desk.project.parent / "glomseg")


def test_what_was_judged_stays_where_a_step_takes_back_the_import_that_brought_it(menu):
    """All went with it, from the disk as well, and the review said that verdicts stay."""
    desk = menu.desk
    desk.open("kidney_01.tif")
    desk.draw(0)
    desk.start_review()  # whose script QuPath runs here, and then fires an event that is a step of its undo
    runs = "inOrder().collect { verdict(it) ?: '-' }.join(' ')"
    made_run(desk.project, "run-1", discs("run-1", FREE[:4]), ("1",))
    try:
        menu.click("Import results")
        desk.until(runs, "- - - -", 60)
        desk.start_review()
        for key in "YXK":
            desk.press(key)
        desk.until("data.isChanged()", "false")
        desk.fx(UNDO)
        desk.until(runs, "accept reject sclerotic")
        assert "Verdicts stay" in desk.text()
        desk.until("data.isChanged()", "false")
        assert desk.on_disk() == "accept reject sclerotic"
        desk.fx(REDO)
        desk.until(runs, "accept reject sclerotic -")
        desk.fx("hierarchy.removeObject(inOrder()[0], true)")
        desk.settle()
        desk.fx(UNDO)
        desk.until(runs, "accept reject sclerotic -")
        desk.fx(REDO)  # which deletes it again, and that was the person's
        desk.until(runs, "reject sclerotic -")
        desk.settle()
        assert "and judged: 1; Ctrl+Shift+Z" in desk.text()
    finally:
        shutil.rmtree(desk.project.parent / "glomseg")
