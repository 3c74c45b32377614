"""The jobs of the menu, clicked in a real window: what they ask, what they tell, and that they can be cancelled."""

import json
import re
from pathlib import Path

import pytest
from support.menu import OPEN, OURS, PROGRESS
from support.runs import FREE, discs, made_run

pytestmark = [pytest.mark.qupath, pytest.mark.slow]


def test_a_project_is_annotated_measured_reported_compared_and_undone(empty):
    desk = empty.desk
    empty.annotate("the whole project")
    assert "#3.png has no pixel size" in empty.dialog("field.setText('wide'); pane.getContentText()", 300)
    empty.dialog("pane.lookupButton(ButtonType.OK).fire(); 1")
    desk.until(
        f"{OPEN}[0]?.getScene()?.getRoot()?.getContentText() =~ /^wide is no pixel size in um/ ? 'yes' : ''", "yes"
    )
    empty.dialog("field.setText('0,5')")
    desk.answer("OK")
    assert "3 images: " in empty.told("outlines added")
    assert desk.fx(OURS) == "3"
    assert desk.fx("data.isChanged()") == "false"
    size = "entryOf('Ünï cöde #3.png').readImageData().getServer().getPixelCalibration().getPixelWidthMicrons()"
    assert desk.fx(size) == "0.5"

    empty.click("Count")
    assert "glomeruli: 3" in desk.answer("OK")
    assert desk.fx("data.isChanged()") == "false"  # looking changes nothing

    empty.click("Measure")
    text, folder = empty.result("images measured")
    assert "on 3 of 3 images measured" in text
    assert "samples" not in text  # no option of the command line, which a window does not have
    assert (Path(folder) / "glomeruli.csv").is_file()
    empty.click("Report")
    _, page = empty.result("The report is written")
    assert Path(page) == desk.project.parent / "glomseg/measurements/report.html"
    assert Path(page).stat().st_size > 10_000

    empty.click("Compare")
    empty.dialog()
    assert "No image is marked as fully reviewed" in desk.answer("Cancel")
    desk.fx("""gui.getProject().getEntry(data).putMetadataValue('glomseg.reviewed', 'AB 2026-01-01')
        hierarchy.removeObject(inOrder()[0], true)""")
    empty.click("Compare")
    text, folder = empty.result("stand")
    assert (Path(folder) / "metrics.json").is_file()
    assert (
        "on 1 fully reviewed image(s): of 3 outlines 2 stand, 2 glomeruli there are; precision 0.67, recall 1.00"
        in text
    )

    desk.fx("def twin = gui.getProject().addDuplicate(gui.getProject().getEntry(data), true); twin.getID()")
    empty.click("Compare")
    empty.dialog()
    assert "2 images are named kidney_02.tif" in desk.answer("OK")
    desk.fx("gui.getProject().removeImage(gui.getProject().getImageList()[-1], true); gui.getProject().syncChanges()")

    empty.click("Undo")
    empty.dialog(seconds=120)
    run = empty.newest_run()
    assert f"Take back run {run}, by oracle, begun 20" in (asked := desk.answer("OK"))
    assert re.search(r": ([3-9]|\d\d) outlines on \d images?\?", asked)
    assert "earlier ones brought back" in empty.told("taken back")
    desk.until("gui.getProject().getEntry(data).getImageName()", "kidney_02.tif")
    desk.until(OURS, "0")


def test_outlines_are_looked_for_inside_what_is_selected(empty):
    desk = empty.desk
    desk.fx(
        "review?.close()"
    )  # of a test before: the click on Review would come when that was closed, and open another
    desk.fx("gui.getOverlayOptions().setShowNames(true)")
    desk.fx("""def area = PathObjects.createAnnotationObject(ROIs.createRectangleROI(200, 200, 200, 200, null))
        hierarchy.addObject(area)
        hierarchy.getSelectionModel().setSelectedObject(area)""")
    empty.annotate("inside the selected annotation")
    told = empty.told("outlines added")
    assert "kidney_02.tif: 1 outlines added" in told
    assert "names are hidden, as they cover the outlines; N shows them" in told
    names = "gui.getOverlayOptions().getShowNames()"
    assert desk.fx(names) == "false"
    empty.click("Review")
    desk.until("review?.isShowing()", "true")
    assert desk.fx(names) == "false"
    desk.fx("review.close()")
    desk.until(names, "true")  # as the person had it, as soon as the window system says that the review is gone
    assert desk.fx(OURS) == "1"


def test_the_sureness_of_the_last_run_that_stands_is_changed_and_compared(empty):
    desk = empty.desk
    empty.annotate("this image")
    empty.told("3 outlines added")
    empty.click("Change the sureness")
    empty.dialog("field.setText('sure'); pane.lookupButton(ButtonType.OK).fire(); 1")
    desk.until(f"{OPEN}[0]?.getScene()?.getRoot()?.getContentText() =~ /^sure is no number/ ? 'yes' : ''", "yes")
    empty.dialog("field.setText('1')")
    desk.answer("OK")
    empty.told("0 outlines added, 3 of earlier runs removed")
    assert desk.fx(OURS) == "0"
    empty.click("Undo")
    empty.dialog(seconds=120)
    assert "0 outlines on 1 image?" in desk.answer("OK")
    empty.told("3 earlier ones brought back")
    desk.until(OURS, "3")
    empty.click("Compare")
    empty.dialog()
    desk.answer("OK")
    assert "of 3 outlines 3 stand" in empty.result("stand")[0]  # of the first run, for the second was taken back


def test_tiles_and_glomeruli_are_exported(empty):
    desk = empty.desk
    desk.draw(3, side=90)
    empty.click("Export training tiles")
    _, folder = empty.result("annotated tiles")
    assert len(list(Path(folder).glob("*-labelled.png"))) > 0
    empty.click("Export glomeruli")
    _, file = empty.result("3 glomeruli as")
    assert json.loads(Path(file).read_text("utf-8"))["features"]


def test_files_name_an_image_by_its_name_while_qupath_masks_names(empty):
    desk = empty.desk
    empty.annotate("this image")
    empty.told("3 outlines added")
    desk.fx("""gui.getProject().getEntry(data).putMetadataValue('glomseg.reviewed', 'AB 2026-01-01')
        qupath.lib.gui.prefs.PathPrefs.maskImageNamesProperty().set(true)
        def entry = gui.getProject().getEntry(data)
        gui.getAllViewers().each { it.getImageData()?.setChanged(false); it.resetImageData() }
        gui.openImageEntry(entry)  // from now on its server has the name of the mask, too""")
    try:
        assert desk.fx("entryOf('kidney_02.tif')") == "null"
        empty.click("Export training tiles")
        _, folder = empty.result("annotated tiles")
        assert Path(folder).name == "kidney_02"
        assert list(Path(folder).glob("kidney_02 [[]*-labelled.png"))
        assert json.loads((Path(folder) / "kidney_02-tiles.json").read_text("utf-8"))["tiles"]
        images = json.loads((Path(folder).parent / "export.json").read_text("utf-8"))["images"]
        assert images["kidney_02"]["image"] == "kidney_02.tif"
        masked = desk.fx("data.getServer().getMetadata().getName()")
        assert masked == desk.fx("gui.getProject().getEntry(data).getImageName()") != "kidney_02.tif"

        empty.click("Export glomeruli")
        _, file = empty.result("3 glomeruli as")
        assert Path(file).name.startswith("kidney_02.tif [")
        empty.click("Count")
        assert masked in desk.answer("OK")  # what is shown keeps the person blind
        table = (desk.project.parent / "glomeruli_summary.csv").read_text("utf-8")
        assert '"kidney_02.tif",3,' in table
        assert masked not in table
        empty.click("Compare")
        assert "on 1 fully reviewed image(s)" in empty.result("stand")[0]
        empty.click("Import")
        assert "0 added, 0 removed, 3 as before" in empty.told("as before")
    finally:
        desk.fx("qupath.lib.gui.prefs.PathPrefs.maskImageNamesProperty().set(false)")


def test_a_job_that_is_cancelled_leaves_no_process_and_the_next_goes_on(empty):
    desk = empty.desk
    empty.annotate("this image")
    desk.until(f"{PROGRESS} != null", "true")
    empty.click("Report")
    assert '"Annotate ..." is at work' in desk.answer("OK")
    children = "ProcessHandle.current().descendants().filter { it.isAlive() }.count()"
    desk.until(f"{children} > 0", "true")
    desk.fx(f"{PROGRESS}.getScene().getRoot().lookupAll('*').find {{ it instanceof Button }}.fire()")
    empty.told("Cancelled")
    desk.until(children, "0")
    assert desk.fx(f"{PROGRESS} == null") == "true"
    assert desk.fx(OURS) == "0"
    assert not list((desk.project.parent / "glomseg").rglob(".[!l]*.geojson"))
    empty.annotate("this image")
    empty.told("3 outlines added")
    assert desk.fx(OURS) == "3"


def test_results_reach_a_project_that_was_closed_meanwhile_as_it_is_then(empty):
    """Its list of images, changed in the meantime, is not overwritten by the one of the start."""
    desk = empty.desk
    empty.annotate("this image")
    desk.until(f"{PROGRESS} != null", "true")
    desk.fx("gui.getAllViewers().each { it.getImageData()?.setChanged(false) }; gui.setProject(null)")
    desk.fx(f"""def other = ProjectIO.loadProject(new File('{desk.project}'), java.awt.image.BufferedImage)
        other.getImageList().find {{ it.getImageName() == 'kidney_01.tif' }}.putMetadataValue('later', 'yes')
        other.syncChanges()""")
    empty.told("kidney_02.tif: 3 outlines added")
    desk.open("kidney_02.tif")
    assert desk.fx(OURS) == "3"
    assert desk.fx("entryOf('kidney_01.tif').getMetadataValue('later')") == "yes"


def test_results_do_not_overwrite_what_another_program_saved_meanwhile(empty):
    desk = empty.desk
    made_run(desk.project, "run-1", discs("run-1", FREE[:3]), ("2",))
    desk.open("kidney_02.tif")
    desk.fx("""def other = entryOf('kidney_02.tif').readImageData()
        other.getHierarchy().addObject(PathObjects.createAnnotationObject(ROIs.createRectangleROI(5, 5, 9, 9, null)))
        entryOf('kidney_02.tif').saveImageData(other)""")
    empty.click("Import")
    empty.dialog()
    assert "was saved by another program" in desk.answer("OK")
    assert desk.fx(OURS) == "0"
    assert desk.fx("entryOf('kidney_02.tif').readHierarchy().getAnnotationObjects().size()") == "1"
    assert not (desk.project.parent / "glomseg/run-1/changes").exists()


def test_what_cannot_be_done_is_told_with_the_way_out(empty):
    desk = empty.desk
    desk.fx("gui.getAllViewers().each { it.getImageData()?.setChanged(false) }; gui.setProject(null)")
    for label, words in (("Annotate", "Open an image of a project first"), ("Measure", "Open a project first")):
        empty.click(label)
        assert words in desk.answer("OK")
    desk.open("kidney_02.tif")
    image = desk.project.parent.parent / "kidney_02.tif"
    image.rename(image.with_suffix(".away"))
    try:
        empty.annotate("this image")
        empty.dialog(seconds=300)
        said = desk.answer("OK")
        assert "Not annotated" in said
        assert "kidney_02.tif" in said
    finally:
        image.with_suffix(".away").rename(image)
