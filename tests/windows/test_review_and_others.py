"""What becomes of a review where other programs, projects, images and viewers come between: nothing is lost."""

import shutil

import pytest
from support.another_qupath import ELSEWHERE, WARNED, files_of, load_it
from support.window import NotAnsweredError

from glomseg.qupath.scripts import list_scripts

pytestmark = [pytest.mark.qupath, pytest.mark.slow]


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
        load_it(review)
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
