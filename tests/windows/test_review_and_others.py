"""What becomes of a review where other programs, projects, images and viewers come between: nothing is lost."""

import hashlib
import shutil

import pytest
from support.window import NotAnsweredError

from glomseg.qupath.scripts import list_scripts
from glomseg.runs.backups import list_backups

pytestmark = [pytest.mark.qupath, pytest.mark.slow]

ELSEWHERE = """
def there = ProjectIO.loadProject(gui.getProject().getPath().toFile(), java.awt.image.BufferedImage).getImageList()
    .find { it.getImageName() == 'kidney_01.tif' }
def theirs = there.readImageData()
def ordered = theirs.getHierarchy().getAnnotationObjects().sort { it.getROI().getCentroidX() }
"""
WARNED = "within(Label).any { it.getText() =~ /Another program/ && it.getParent().isVisible() }"
MAYBE = "within(Label).any { it.getText() =~ /If you saved this image here/ && it.getParent().isVisible() }"
DISC = """def disc = { x, y, side -> PathObjects.createAnnotationObject(
    ROIs.createEllipseROI(x, y, side, side, ImagePlane.getDefaultPlane()), PathClass.fromString("Glomerulus")) }"""
PRESS = "within(Button).find {{ it.getText() == '{}' }}.fire(); 1"
CENTRES = "inOrder().collect { it.getROI().getCentroidX() as int }.toString()"


def files_of(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_another_program_saves_meanwhile_is_neither_overwritten_nor_in_the_way(review):
    review.press("Y")
    review.until("data.isChanged()", "false")
    assert review.fx(WARNED) == "false"
    review.fx(
        ELSEWHERE + "theirs.getHierarchy().removeObject(ordered[4], true)\n"
        "ordered[3].setName('theirs'); there.saveImageData(theirs)"
    )
    review.until(WARNED, "true")
    review.press("X")
    review.fx(
        "hierarchy.addObject(PathObjects.createAnnotationObject(ROIs.createRectangleROI(900, 700, 50, 50, null)))"
    )
    review.window.ask("eval", "Thread.sleep(900)")  # longer than the keys must rest before a save
    assert review.on_disk() == "accept - - -"
    review.fx(PRESS.format("Load it, with what was done here"))
    review.until(WARNED, "false")
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "accept reject - - -"
    assert review.fx("inOrder()*.getName().toString()") == "[null, null, null, theirs, null]"
    assert review.fx("[inOrder()[1].getPathClass(), inOrder()[4].getROI().getRoiName()].toString()") == (
        "[Rejected, Rectangle]"
    )
    review.press("K")
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "accept reject sclerotic - -"
    review.fx(ELSEWHERE + "theirs.getHierarchy().clearAll(); there.saveImageData(theirs)")
    review.until(WARNED, "true")
    review.fx(PRESS.format("Overwrite it"))
    review.until(WARNED, "false")
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "accept reject sclerotic - -"
    assert "glomseg restore PROJECT" in review.text()
    kept = list_backups(review.project.parent / "glomseg", review.fx("entryOf('kidney_01.tif').getID()"))
    before = "before a review "
    whys = [f"{before}{why} what another program had saved" for why in ("saved over", "saved over", "loaded")]
    assert [backup.why for backup in kept[:3]] == whys
    assert [verdicts_in(review, backup) for backup in kept[:3]] == ["", "accept - - -", "accept - - - -"]


def verdicts_in(review, backup):
    """Tell what was judged in a backup, from left to right."""
    return review.fx(f"""qupath.lib.io.PathIO.readHierarchy(new File('{backup.folder / "data.qpdata"}'))
        .getAnnotationObjects().sort {{ it.getROI().getCentroidX() }}.collect {{ verdict(it) ?: '-' }}.join(' ')""")


def test_what_was_judged_before_another_program_saved_can_be_taken_back_after_it(review):
    """What that judged since stays: U takes back what a person did in this window, as long as it stands so."""
    for key in "YYY":
        review.press(key)
    review.until("data.isChanged()", "false")
    review.fx(
        ELSEWHERE + "theirs.getHierarchy().getAnnotationObjects().each { it.refreshID() }\n"
        "ordered[1].getMetadata()['glomseg.verdict'] = 'edit'; ordered[0].setName('theirs')\n"
        "there.saveImageData(theirs)"
    )
    review.until(WARNED, "true")
    review.press("K")
    review.fx(PRESS.format("Load it, with what was done here"))
    review.until(WARNED, "false")
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "accept edit accept sclerotic -"
    review.press("U")
    review.press("U")
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "accept edit - - -"
    review.press("U")
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "accept edit - - -"
    assert "no verdict of this session" in review.text()


def test_where_two_judged_one_glomerulus_otherwise_that_is_said_and_the_others_is_kept(review):
    review.fx(ELSEWHERE + "ordered[0].getMetadata()['glomseg.verdict'] = 'edit'; there.saveImageData(theirs)")
    review.until(WARNED, "true")
    review.press("Y")
    review.fx(PRESS.format("Load it, with what was done here"))
    review.until(WARNED, "false")
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "accept - - - -"
    assert "Changed both here and by the other program: 1 object. What was done here stands." in review.text()
    kept, *_ = list_backups(review.project.parent / "glomseg", review.fx("entryOf('kidney_01.tif').getID()"))
    assert verdicts_in(review, kept) == "edit - - - -"
    review.press("U")
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "edit - - - -"


def test_what_another_program_saved_is_not_written_over_where_it_cannot_be_kept(review):
    glomseg = review.project.parent / "glomseg"
    shutil.rmtree(glomseg, ignore_errors=True)
    glomseg.write_text("in the way", "utf-8")
    try:
        for choice in ("Load it, with what was done here", "Overwrite it"):
            review.press("Y")
            review.fx(ELSEWHERE + f"ordered[3].setName('{choice}'); there.saveImageData(theirs)")
            review.until(WARNED, "true")
            before = files_of(review.project.parent)
            review.fx(PRESS.format(choice))
            review.settle()
            assert "Nothing was done" in review.text()
            assert files_of(review.project.parent) == before
    finally:
        glomseg.unlink()
    review.fx(PRESS.format("Load it, with what was done here"))
    review.until(WARNED, "false")
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "accept accept - - -"


def test_an_image_that_was_saved_elsewhere_before_the_review_began_is_not_overwritten(review):
    review.fx("review.close()")
    review.fx("gui.getStage().getProperties().get('glomseg.stamps').clear()")  # as if QuPath had not been watched
    review.fx(ELSEWHERE + "theirs.getHierarchy().removeObject(ordered[0], true); there.saveImageData(theirs)")
    review.start_review()
    review.until(MAYBE, "true")
    review.press("Y")
    review.fx(PRESS.format("Load it, with what was done here"))
    review.until("data.isChanged()", "false")
    review.until(MAYBE, "false")
    assert review.on_disk() == "accept - - - -"  # judged here and gone there: in doubt it stays


def test_what_a_colleague_judged_before_the_review_began_stays_beside_what_is_not_saved_yet(review):
    review.fx("review.close()")
    review.open("kidney_01.tif")
    review.fx(
        "hierarchy.addObject(PathObjects.createAnnotationObject(ROIs.createRectangleROI(900, 700, 50, 50, null)))"
    )
    review.fx(
        ELSEWHERE + "theirs.getHierarchy().removeObject(ordered[0], true)\n"
        "ordered[1].getMetadata()['glomseg.verdict'] = 'accept'; ordered[3].setName('theirs')\n"
        "there.saveImageData(theirs)"
    )
    review.start_review()
    review.until(WARNED, "true")
    review.fx(PRESS.format("Load it, with what was done here"))
    review.until(WARNED, "false")
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "accept - - - -"
    assert review.fx("inOrder()*.getName().toString()") == "[null, null, theirs, null, null]"


def test_what_was_saved_here_before_the_last_changes_is_not_called_another_programs(review):
    """Of a QuPath without the menu nothing is known before the review begins: it saved, and somebody drew on."""
    review.fx("review.close()")
    review.fx("gui.getStage().getProperties().get('glomseg.stamps').clear()")  # as if QuPath had not been watched
    review.fx(
        "gui.getProject().getEntry(data).saveImageData(data)\n"
        "hierarchy.addObject(PathObjects.createAnnotationObject(ROIs.createRectangleROI(900, 700, 50, 50, null)))"
    )
    review.start_review()
    review.until(MAYBE, "true")
    assert review.fx(WARNED) == "false"
    review.fx(PRESS.format("Overwrite it"))
    review.until(MAYBE, "false")
    assert review.on_disk() == "- - - - - -"


def test_saving_in_qupath_itself_is_no_other_program(review):
    review.press("Y")
    review.fx("gui.getProject().getEntry(data).saveImageData(data)")
    review.press("X")
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "accept reject - - -"
    assert review.fx(WARNED) == "false"


def test_a_file_that_another_program_touches_and_does_not_change_is_no_conflict(review):
    """A copy, a backup or a server's clock may give it another time."""
    review.press("Y")
    review.until("data.isChanged()", "false")
    review.fx("gui.getProject().getEntry(data).getEntryPath().resolve('data.qpdata').toFile().setLastModified(1000)")
    review.press("X")
    review.until("data.isChanged()", "false")
    assert review.fx(WARNED) == "false"
    assert review.on_disk() == "accept reject - - -"


def test_what_others_save_after_qupaths_own_save_is_not_overwritten_without_a_window_of_ours(review):
    review.fx("review.close()")
    review.fx("data.setProperty('mine', '1'); gui.getProject().getEntry(data).saveImageData(data)")  # as Ctrl+S
    review.window.ask("eval", "Thread.sleep(900)")
    review.fx(ELSEWHERE + "theirs.getHierarchy().removeObject(ordered[4], true); there.saveImageData(theirs)")
    ours = list_scripts()["find_missed"].with_name("glomseg_shared.groovy")
    write = f"""new GroovyShell(getClass().getClassLoader()).parse(new File('{ours}'))
        .saveData(gui.getProject().getEntry(data), data)"""
    with pytest.raises(NotAnsweredError, match="was saved by another program"):
        review.fx(write)
    assert review.on_disk() == "- - - -"


@pytest.mark.parametrize("is_watched", [True, False])
def test_a_backup_that_is_dropped_onto_the_window_is_not_saved_over_what_was_done_since(review, tmp_path, is_watched):
    review.press("Y")
    review.until("data.isChanged()", "false")
    review.fx("review.close()")
    backup = tmp_path / "data.qpdata"
    data = review.project.parent / "data" / review.fx("entryOf('kidney_01.tif').getID()") / "data.qpdata"
    shutil.copy(data, backup)
    review.fx(f"{DISC}; hierarchy.addObject(disc(1900, 900, 50)); gui.getProject().getEntry(data).saveImageData(data)")
    if not is_watched:
        review.fx("gui.getStage().getProperties().get('glomseg.stamps').clear()")
    review.fx(f"gui.openSavedData(gui.getViewer(), new File('{backup}'), false, true)")
    if not is_watched:
        review.fx("gui.getStage().getProperties().get('glomseg.stamps').clear()")
    review.start_review()
    review.until("within(Label).any { it.getText() =~ /from another file/ && it.getParent().isVisible() }", "true")
    review.press("X")
    review.window.ask("eval", "Thread.sleep(900)")
    assert review.on_disk() == "accept - - - - -"
    review.fx(PRESS.format("Load it, with what was done here"))
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "accept reject - - - -"
    review.press("K")
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "accept reject sclerotic - - -"


def test_data_that_are_away_are_waited_for(review):
    """A project was moved, or a share is gone: what was loaded then was an image without objects."""
    folder = review.project.parent / "data" / review.fx("entryOf('kidney_01.tif').getID()")
    review.press("Y")
    review.until("data.isChanged()", "false")
    away = folder.rename(folder.with_name("away"))
    try:
        gone = "within(Label).any { it.getText() =~ /no longer where they were/ && it.getParent().isVisible() }"
        review.until(gone, "true")
        review.press("X")
        review.window.ask("eval", "Thread.sleep(900)")
        assert not folder.exists()
        assert review.fx("within(Button).findAll { it.getText() =~ /^(Load|Overwrite) it/ }*.isDisabled()") == (
            "[true, true]"
        )
    finally:
        away.rename(folder)
    review.until(gone, "false")
    review.press("K")
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "accept reject sclerotic - -"


def test_what_a_qupath_left_that_was_ended_while_it_saved_is_loaded(review):
    data = review.project.parent / "data" / review.fx("entryOf('kidney_01.tif').getID()") / "data.qpdata"
    review.press("Y")
    review.until("data.isChanged()", "false")
    data.rename(data.with_name("data.qpdata.bkp"))
    review.press("X")  # it is what was read here
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "accept reject - - -"
    review.fx(ELSEWHERE + "ordered[0].getMetadata()['glomseg.verdict'] = 'edit'; there.saveImageData(theirs)")
    data.rename(data.with_name("data.qpdata.bkp"))
    review.until(WARNED, "true")
    review.press("K")
    review.fx(PRESS.format("Load it, with what was done here"))
    review.until(WARNED, "false")
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "edit reject sclerotic - -"
    assert not data.with_name("data.qpdata.bkp").exists()


def test_what_was_saved_here_and_another_qupath_saved_over_stands_again(review):
    """It had the image open, and saved it as it had read it: what was done here last is nowhere else then."""
    review.fx(ELSEWHERE + "ordered[4].setName('theirs'); gui.getStage().getProperties()['theirs'] = [there, theirs]")
    review.press("Y")
    review.fx(f"{DISC}; hierarchy.addObject(disc(1900, 900, 50)); hierarchy.removeObject(inOrder()[3], true)")
    review.press("X")
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "accept reject - - -"
    review.fx("inOrder()[2].setName('ours'); gui.getProject().getEntry(data).saveImageData(data)")  # as Ctrl+S
    review.window.ask("eval", "Thread.sleep(900)")
    review.fx("def (there, theirs) = gui.getStage().getProperties().remove('theirs'); there.saveImageData(theirs)")
    review.until(WARNED, "true")
    assert review.on_disk() == "- - - - -"
    review.fx(PRESS.format("Load it, with what was done here"))
    review.until(WARNED, "false")
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "accept reject - - -"
    assert review.fx("inOrder()*.getName().toString()") == "[null, null, ours, theirs, null]"
    assert "taken away there" not in review.text()


def test_what_another_program_took_away_of_what_was_saved_here_is_said_and_kept(review):
    for key in "YX":
        review.press(key)
    review.until("data.isChanged()", "false")
    review.fx(
        ELSEWHERE + "theirs.getHierarchy().removeObject(ordered[4], true)\n"
        "ordered[0].getMetadata().remove('glomseg.verdict'); there.saveImageData(theirs)"
    )
    review.until(WARNED, "true")
    review.fx(PRESS.format("Load it, with what was done here"))
    review.until(WARNED, "false")
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "- reject - -"
    assert "Saved here, and taken away there since: 1 object and 1 verdict." in review.text()
    ours, *_ = list_backups(review.project.parent / "glomseg", review.fx("entryOf('kidney_01.tif').getID()"))
    assert verdicts_in(review, ours) == "accept reject - - -"


def test_what_another_program_saved_is_not_saved_again_where_nothing_was_done_here(review):
    """Two windows would each tell the other that it had saved, without an end."""
    review.press("Y")
    review.until("data.isChanged()", "false")
    review.fx(ELSEWHERE + "ordered[3].setName('theirs'); there.saveImageData(theirs)")
    review.until(WARNED, "true")
    before = files_of(review.project.parent)
    review.fx(PRESS.format("Load it, with what was done here"))
    review.until(WARNED, "false")
    assert review.fx("inOrder()*.getName().toString()") == "[null, null, null, theirs, null]"
    review.window.ask("eval", "Thread.sleep(900)")
    assert files_of(review.project.parent) == before
    review.press("U")
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "- - - - -"


def test_two_viewers_of_one_image_are_saved_both(review):
    try:
        review.fx("""gui.getViewerManager().setGridSize(1, 2)
            def free = gui.getAllViewers().find { it.getImageData() == null }
            gui.getViewerManager().setActiveViewer(free)
            free.setImageData(entryOf('kidney_01.tif').readImageData())""")
        review.settle()
        review.press("Y")
        review.until("data.isChanged()", "false")
        assert review.on_disk() == "accept - - - -"
        review.fx("gui.getViewerManager().setActiveViewer(gui.getAllViewers().find { !it.is(gui.getViewer()) })")
        review.until(WARNED, "true")
        assert review.verdicts() == "- - - - -"
        review.press("K")
        review.press("X")
        review.fx(PRESS.format("Load it, with what was done here"))
        review.until(WARNED, "false")
        review.until("data.isChanged()", "false")
        assert review.on_disk() == "sclerotic reject - - -"
        assert "Changed both here and by the other program: 1 object." in review.text()
    finally:
        review.fx("""gui.getAllViewers().each { it.getImageData()?.setChanged(false); it.resetImageData() }
            gui.getViewerManager().resetGridSize()""")


def test_images_that_another_program_added_to_the_project_stay_in_it(review):
    text = review.project.read_text("utf-8")
    try:
        review.project.write_text(text.replace('"images": [', '"images": [{"entryID": 99, "imageName": "new.svs"},'))
        review.press("Y")
        review.until("data.isChanged()", "false")
        assert '"new.svs"' in review.project.read_text("utf-8")
        assert review.on_disk() == "accept - - - -"
        # that verdict is saved: another's on the same stays beside what is judged here from now on
        review.fx(ELSEWHERE + "ordered[0].getMetadata()['glomseg.verdict'] = 'edit'; there.saveImageData(theirs)")
        review.until(WARNED, "true")
        review.press("X")
        review.fx(PRESS.format("Load it, with what was done here"))
        review.until(WARNED, "false")
        review.until("data.isChanged()", "false")
        assert review.on_disk() == "edit reject - - -"
    finally:
        review.project.write_text(text, "utf-8")


MARKS_ON_DISK = """def read = ProjectIO.loadProject(gui.getProject().getPath().toFile(), java.awt.image.BufferedImage)
    def marked = read.getImageList().find { it.getImageName() == 'kidney_02.tif' }
    marked.getMetadataMap().findAll { it.key =~ /^glomseg/ }.sort().toString()"""


def test_marks_of_another_persons_qupath_stay(review):
    """The project's file holds those of all images, and is written with each save of a review of any of them."""
    review.fx(
        ELSEWHERE.replace("kidney_01", "kidney_02")
        + """def shared = new GroovyShell(getClass().getClassLoader()).parse(new File('SHARED'))
        shared.markReviewed(there, theirs, null, true, 'CD')
        there.putMetadataValue('glomseg.review', '1 accept')
        there.saveImageData(theirs)
        ProjectIO.loadProject(gui.getProject().getPath().toFile(), java.awt.image.BufferedImage).with { project ->
            def same = project.getImageList().find { it.getID() == there.getID() }
            there.getMetadataMap().each { same.putMetadataValue(it.key, it.value) }
            project.syncChanges()
        }""".replace("SHARED", str(list_scripts()["find_missed"].with_name("glomseg_shared.groovy")))
    )
    marks = review.fx(MARKS_ON_DISK)
    assert "glomseg.review:1 accept" in marks
    assert "glomseg.reviewed:CD 20" in marks
    try:
        review.press("Y")
        review.until("data.isChanged()", "false")
        review.until("entryOf('kidney_01.tif').getMetadataValue('glomseg.review')", "1 accept, 4 to do")
        assert review.fx(MARKS_ON_DISK) == marks
        review.fx("gui.openImageEntry(entryOf('kidney_02.tif'))")
        review.until("review.getTitle()", "Review: kidney_02.tif")
        assert "fully reviewed by CD 20" in review.text()
        assert "1 of 3 images fully reviewed" in review.text()
    finally:
        review.fx("""['glomseg.review', 'glomseg.reviewed', 'glomseg.reviewed_of'].each {
            entryOf('kidney_02.tif').removeMetadataValue(it) }
            gui.getProject().syncChanges()""")


@pytest.mark.parametrize("choice", ["Yes", "No"])
def test_another_project_that_is_opened_meanwhile_is_not_touched(review, tmp_path, choice):
    own = review.project.parent
    other = shutil.copytree(own, tmp_path / "other") / review.project.name
    other.chmod(0o644)
    before = files_of(other.parent)
    review.press("Y")
    review.fx(f"""javafx.application.Platform.runLater {{
        gui.setProject(ProjectIO.loadProject(new File("{other}"), java.awt.image.BufferedImage)) }}""")
    review.settle()
    if review.fx("Window.getWindows().any { it.getScene()?.getRoot() instanceof DialogPane }") == "true":
        review.answer(choice)
    review.until("gui.getProject().getPath().toString()", str(other))
    review.press("X")
    review.press("K")
    review.settle()
    assert files_of(other.parent) == before
    review.fx("review.close()")
    assert files_of(other.parent) == before


def test_an_image_that_was_taken_out_of_the_project_is_not_written(review):
    text = review.project.read_text("utf-8")
    try:
        review.press("Y")
        review.fx("gui.getProject().removeImage(entryOf('kidney_01.tif'), false); gui.getProject().syncChanges()")
        before = files_of(review.project.parent)
        review.press("X")
        review.until("review.getTitle()", "Review")
        assert review.verdicts() == "accept - - - -"
        assert "Open an image of a project" in review.text()
        review.window.ask("eval", "Thread.sleep(900)")
        review.fx("review.close()")
        assert files_of(review.project.parent) == before
    finally:
        review.fx("""gui.getAllViewers().each { it.getImageData()?.setChanged(false); it.resetImageData() }
            gui.setProject(null)""")
        review.project.write_text(text, "utf-8")


def test_viewers_side_by_side_and_detached_have_the_same_keys_and_each_its_image(review):
    grid = "gui.getViewerManager()."
    review.press("Y")
    try:
        review.fx(
            grid
            + """setGridSize(1, 2)
            def free = gui.getAllViewers().find { it.getImageData() == null }
            gui.getViewerManager().setActiveViewer(free)
            free.setImageData(entryOf('kidney_02.tif').readImageData())
            hierarchy = free.getImageData().getHierarchy()
            hierarchy.clearAll()
            hierarchy.addObject(PathObjects.createAnnotationObject(ROIs.createEllipseROI(240, 240, 120, 120, null),
                PathClass.fromString('Glomerulus')))"""
        )
        review.until("review.getTitle()", "Review: kidney_02.tif")
        assert review.on_disk() == "accept - - - -"  # that image is shown still, beside this one
        review.fx(grid + "detachActiveViewerFromGrid()")
        review.settle()
        detached = "gui.getViewer().getView().getScene().getWindow()"
        assert review.fx(f"{detached} != gui.getStage()") == "true"
        review.fx(f"{detached}.requestFocus(); gui.getViewer().getView().requestFocus()")
        review.press("X", window=detached)
        assert review.verdicts() == "reject"
        review.fx(
            grid + "setActiveViewer(gui.getAllViewers().find { "
            "gui.getProject().getEntry(it.getImageData())?.getImageName() == 'kidney_01.tif' })"
        )
        review.until("review.getTitle()", "Review: kidney_01.tif")
        assert review.on_disk("kidney_02.tif") == "reject"
        review.press("K", window="gui.getStage()")
        assert review.verdicts() == "accept sclerotic - - -"
    finally:
        review.fx("""gui.getAllViewers().each { it.getImageData()?.setChanged(false); it.resetImageData() }
            gui.getAllViewers().findAll { it.getView().getScene().getWindow() != gui.getStage() }
                .each { gui.getViewerManager().attachViewerToGrid(it) }
            gui.getViewerManager().resetGridSize()""")


def test_the_window_keeps_its_place_and_the_names_of_objects_are_out_of_the_way_meanwhile(review):
    names = "gui.getOverlayOptions().getShowNames()"
    assert review.fx(names) == "false"
    review.fx("review.setX(33); review.setY(44); review.close()")
    assert review.fx(names) == "true"
    review.start_review()
    assert review.fx("[review.getX(), review.getY()]") == "[33.0, 44.0]"
    review.fx(
        "review.close(); qupath.lib.gui.prefs.PathPrefs.createPersistentPreference('glomseg.review.place', '')"
        ".set('90000,90000')"
    )
    review.start_review()  # on a screen that is gone
    assert (
        review.fx("javafx.stage.Screen.getPrimary().getBounds().contains(review.getX() + 50, review.getY() + 20)")
        == "true"
    )
    right = "javafx.stage.Screen.getPrimary().getVisualBounds().getMaxX()"
    for aside in ("-45", f"({right} - 60)"):  # its title could be seen, and little else
        review.fx(f"""review.close()
            def place = qupath.lib.gui.prefs.PathPrefs.createPersistentPreference('glomseg.review.place', '')
            place.set({aside} + ',50')""")
        review.start_review()
        review.until(f"review.getX() == 0 || 0 < review.getX() && review.getX() + review.getWidth() <= {right}", "true")
    place = "javafx.stage.Screen.getPrimary().getVisualBounds().getMaxY()"
    review.fx(f"""review.close()
        def place = qupath.lib.gui.prefs.PathPrefs.createPersistentPreference('glomseg.review.place', '')
        place.set('33,' + ({place} - 60))""")
    review.start_review()  # lower than it is high
    review.until(f"review.getY() + review.getHeight() <= {place}", "true")


@pytest.mark.parametrize("script", ["review_glomeruli", "find_missed", "annotate_current_image"])
def test_what_asks_a_person_is_refused_for_each_image_of_a_project(review, script):
    """QuPath's "Run for project" gives each image data of its own, and would ask once an image."""
    file = list_scripts()[script]
    with pytest.raises(NotAnsweredError, match='"Run for project" is not for it'):
        review.fx(f"""import qupath.lib.scripting.QP
            QP.setBatchProjectAndImage(gui.getProject(), entryOf('kidney_02.tif').readImageData())
            def mine = new Binding(['qupath.script.file': '{file}'])
            try {{
                new GroovyShell(getClass().getClassLoader(), mine).evaluate(new File('{file}'))
            }} finally {{
                QP.resetBatchProjectAndImage()
            }}""")
