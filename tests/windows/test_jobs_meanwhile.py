"""What people do while a job of the menu is at work: open other images, other projects, and images of no project."""

import shutil

import pytest
from support.menu import OPEN, OURS, POPUPS

pytestmark = [pytest.mark.qupath, pytest.mark.slow]

SELECT = """def area = PathObjects.createAnnotationObject(ROIs.createRectangleROI({}, 200, 200, 200, null))
    hierarchy.addObject(area)
    hierarchy.getSelectionModel().setSelectedObject(area)"""
CLICK = "gui.getMenu('Extensions>GlomSeg', false).getItems().find {{ it.getText()?.startsWith('{}') }}.fire();"
PRESS_OK = "pane.lookupButton(ButtonType.OK).fire(); 1"
LATER = "javafx.application.Platform.runLater {{ {} }}; 1"
LOAD = 'gui.setProject(ProjectIO.loadProject(new File("{}"), java.awt.image.BufferedImage))'


def test_annotate_asks_about_the_image_that_is_open_when_it_asks(empty):
    """What was selected in one image is a place of that image, and of no other."""
    desk = empty.desk
    desk.open("kidney_01.tif")
    desk.fx(SELECT.format(1600) + "; data.setChanged(false)")
    empty.listen()
    desk.fx(CLICK.format("Annotate") + "gui.openImageEntry(entryOf('kidney_02.tif'))")
    desk.fx(SELECT.format(200))
    places = empty.dialog("boxes[0].getItems().toString()")
    assert places.startswith("[inside the selected annotation, this image (kidney_02.tif), ")
    empty.dialog("boxes[3].setValue('oracle')")
    desk.answer("OK")
    assert "kidney_02.tif: 1 outlines added" in empty.told("outlines added")
    desk.fx(
        CLICK.format("Annotate")
        + "gui.getAllViewers().each { it.getImageData()?.setChanged(false) }; gui.setProject(null)"
    )
    empty.dialog()
    assert "Open an image of a project first" in desk.answer("OK")


def test_an_undo_is_not_done_in_another_project_that_was_opened_meanwhile(empty, tmp_path):
    """Of a copy of the project, whose runs have the same names."""
    desk = empty.desk
    empty.annotate("this image")
    empty.told("3 outlines added")
    shutil.copytree(desk.project.parent, tmp_path / "study")
    copy = tmp_path / "study/project.qpproj"
    before = (copy.parent / "data/2/data.qpdata").read_bytes()
    empty.click("Undo")
    empty.dialog(seconds=120)
    desk.fx(LATER.format(LOAD.format(copy)))
    desk.until("gui.getProject()?.getPath()?.toString()", str(copy))
    empty.dialog(PRESS_OK)
    assert "Another project was opened meanwhile; nothing was taken back" in desk.answer("OK")
    assert (copy.parent / "data/2/data.qpdata").read_bytes() == before
    desk.open("kidney_02.tif")
    assert desk.fx(OURS) == "3"


def test_an_undo_opens_the_other_images_again_where_the_file_of_one_is_gone(empty):
    desk = empty.desk
    empty.annotate("this image")
    empty.told("3 outlines added")
    file = desk.project.parent.parent / "kidney_01.tif"
    desk.fx("""gui.openImageEntry(entryOf("kidney_01.tif"))
        gui.getViewerManager().setGridSize(1, 2)
        gui.getViewerManager().setActiveViewer(gui.getAllViewers()[1])
        gui.openImageEntry(entryOf("kidney_02.tif"))""")
    try:
        file.rename(file.with_suffix(".gone"))
        empty.click("Undo")
        empty.dialog(PRESS_OK, seconds=120)
        desk.until(f"{OPEN}[0]?.getScene()?.getRoot()?.getHeaderText()?.contains('moved')", "true", 120)
        desk.answer("Cancel")  # of QuPath's search for what was moved
        desk.until("gui.getAllViewers()[1].getImageData()?.getServer()?.getMetadata()?.getName()", "kidney_02.tif")
        assert "kidney_01.tif: " in desk.fx(POPUPS)
        desk.until(OURS, "0")
    finally:
        file.with_suffix(".gone").rename(file)
        desk.fx("""gui.getAllViewers().each { it.getImageData()?.setChanged(false); it.resetImageData() }
            gui.getViewerManager().setActiveViewer(gui.getAllViewers()[0])
            gui.getViewerManager().resetGridSize()""")


def test_an_undo_asks_before_it_closes_what_belongs_to_no_project(empty):
    """QuPath itself asks whether to save what was drawn there."""
    desk = empty.desk
    empty.annotate("this image")
    empty.told("3 outlines added")
    desk.fx("gui.getViewerManager().setGridSize(1, 2)")
    try:
        desk.fx("""def other = new qupath.lib.images.ImageData(data.getServer())
            def drawn = PathObjects.createAnnotationObject(ROIs.createRectangleROI(5, 5, 9, 9, null))
            other.getHierarchy().addObject(drawn)
            gui.getAllViewers()[1].setImageData(other)""")
        empty.click("Undo")
        empty.dialog(PRESS_OK, seconds=120)
        no = f"{OPEN}[0]?.getScene()?.getRoot()?.getButtonTypes()?.any {{ it.getText() == 'No' }}.toString()"
        desk.until(no, "true", 120)
        assert "save changes" in desk.answer("No").lower()
        desk.until(OURS, "0")
    finally:
        desk.fx("""gui.getAllViewers().each { it.getImageData()?.setChanged(false); it.resetImageData() }
            gui.getViewerManager().setActiveViewer(gui.getAllViewers()[0])
            gui.getViewerManager().resetGridSize()""")
