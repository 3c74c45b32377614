"""What another program saved of an image that is open here, and what was done here since: nothing of either is lost."""

import shutil

import pytest
from support.another_qupath import ELSEWHERE, PRESS, WARNED, files_of, load_it
from support.window import NotAnsweredError

from glomseg.qupath.image_copies import copy_image_data
from glomseg.qupath.scripts import list_scripts
from glomseg.runs.backups import backup_folder, list_backups

pytestmark = [pytest.mark.qupath, pytest.mark.slow]

UNSEEN = "gui.getStage().getProperties().get('glomseg.stamps').clear()\n"
"""As if QuPath had not been watched before."""

MAYBE = "within(Label).any { it.getText() =~ /If you saved this image here/ && it.getParent().isVisible() }"


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
    load_it(review)
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
    saved, loaded = (
        f"before {does} what another program had saved" for does in ("QuPath saved over", "a review loaded")
    )
    whys = [saved, loaded, saved]
    assert [backup.why for backup in kept[:3]] == whys
    assert [verdicts_in(review, backup) for backup in kept[:3]] == ["", "accept - - - -", "accept - - -"]


def test_the_next_image_is_not_opened_before_it_is_chosen(review):
    """QuPath asked whether to save, and its Yes put the image as it was here over what the other had saved."""
    review.fx(ELSEWHERE + "ordered[3].setName('theirs'); there.saveImageData(theirs)")
    review.until(WARNED, "true")
    review.press("X")
    review.press("I")
    assert "once you have chosen what becomes of this one" in review.text()
    assert review.fx("gui.getProject().getEntry(data).getImageName()") == "kidney_01.tif"
    load_it(review)
    assert review.on_disk() == "reject - - - -"
    assert review.fx("inOrder()*.getName().toString()") == "[null, null, null, theirs, null]"
    review.press("I")
    review.until("gui.getProject().getEntry(gui.getImageData()).getImageName()", "kidney_02.tif")


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
    load_it(review)
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
    load_it(review)
    assert review.on_disk() == "accept - - - -"
    assert "Changed both here and by the other program: 1 object. What was done here stands." in review.text()
    kept = list_backups(review.project.parent / "glomseg", review.fx("entryOf('kidney_01.tif').getID()"))
    theirs = next(backup for backup in kept if "QuPath saved over" in backup.why)
    assert verdicts_in(review, theirs) == "edit - - - -"
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
    load_it(review)
    assert review.on_disk() == "accept accept - - -"


def test_an_image_that_was_saved_elsewhere_before_the_review_began_is_not_overwritten(review):
    review.fx("review.close()")
    review.fx(
        f"{UNSEEN}{ELSEWHERE}theirs.getHierarchy().removeObject(ordered[0], true); there.saveImageData(theirs)\n"
        "data.setChanged(true)"
    )
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
    load_it(review)
    assert review.on_disk() == "accept - - - -"
    assert review.fx("inOrder()*.getName().toString()") == "[null, null, theirs, null, null]"


def test_what_was_saved_here_before_the_last_changes_is_not_called_another_programs(review):
    """Of a QuPath without the menu nothing is known before the review begins: it saved, and somebody drew on."""
    review.fx("review.close()")
    review.fx(
        f"{UNSEEN}gui.getProject().getEntry(data).saveImageData(data)\n"
        "hierarchy.addObject(PathObjects.createAnnotationObject(ROIs.createRectangleROI(900, 700, 50, 50, null)))"
    )
    review.start_review()
    review.until(MAYBE, "true")
    assert review.fx(WARNED) == "false"
    review.fx(PRESS.format("Overwrite it"))
    review.until(MAYBE, "false")
    assert review.on_disk() == "- - - - - -"


def test_a_verdict_that_was_saved_elsewhere_before_anything_was_noted_is_not_overwritten(review):
    """The outlines are the same, as their ids are: what was judged there would be lost."""
    review.fx("review.close()")
    review.fx(
        f"{UNSEEN}{ELSEWHERE}ordered[1].getMetadata()['glomseg.verdict'] = 'accept'; there.saveImageData(theirs)\n"
        "data.setChanged(false)"
    )
    review.start_review()
    review.until(WARNED, "true")
    review.press("X")
    load_it(review)
    assert review.on_disk() == "reject accept - - -"


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
    review.fx("hierarchy.addObject(disc(1900, 900, 50)); gui.getProject().getEntry(data).saveImageData(data)")
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
    review.press("X")  # it is what was read here; a moment later, for it might be being written
    review.until("data.isChanged()", "false")
    assert review.fx(WARNED) == "false"
    assert review.on_disk() == "accept reject - - -"
    review.fx(ELSEWHERE + "ordered[0].getMetadata()['glomseg.verdict'] = 'edit'; there.saveImageData(theirs)")
    data.rename(data.with_name("data.qpdata.bkp"))
    review.until(WARNED, "true")
    review.press("K")
    load_it(review)
    assert review.on_disk() == "edit reject sclerotic - -"
    assert not data.with_name("data.qpdata.bkp").exists()


def test_what_was_saved_here_and_another_qupath_saved_over_stands_again(review):
    """It had the image open, and saved it as it had read it: what was done here last is nowhere else then."""
    review.fx(ELSEWHERE + "ordered[4].setName('theirs'); gui.getStage().getProperties()['theirs'] = [there, theirs]")
    review.press("Y")
    review.fx("hierarchy.addObject(disc(1900, 900, 50)); hierarchy.removeObject(inOrder()[3], true)")
    review.press("X")
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "accept reject - - -"
    review.fx("inOrder()[2].setName('ours'); gui.getProject().getEntry(data).saveImageData(data)")  # as Ctrl+S
    review.window.ask("eval", "Thread.sleep(900)")
    review.fx("def (there, theirs) = gui.getStage().getProperties().remove('theirs'); there.saveImageData(theirs)")
    review.until(WARNED, "true")
    assert review.on_disk() == "- - - - -"
    load_it(review)
    assert review.on_disk() == "accept reject - - -"
    assert review.fx("inOrder()*.getName().toString()") == "[null, null, ours, theirs, null]"
    assert "Taken away" not in review.text()


def test_what_another_program_took_away_of_what_was_saved_here_is_said_and_kept(review):
    for key in "YX":
        review.press(key)
    review.until("data.isChanged()", "false")
    review.fx(
        ELSEWHERE + "theirs.getHierarchy().removeObject(ordered[4], true)\n"
        "ordered[0].getMetadata().remove('glomseg.verdict'); there.saveImageData(theirs)"
    )
    review.until(WARNED, "true")
    load_it(review)
    assert review.on_disk() == "- reject - -"
    assert "Taken away by the other program: 1 object and 1 verdict." in review.text()
    ours, *_ = list_backups(review.project.parent / "glomseg", review.fx("entryOf('kidney_01.tif').getID()"))
    assert verdicts_in(review, ours) == "accept reject - - -"


def test_what_another_program_saved_is_not_saved_again_where_nothing_was_done_here(review):
    """Two windows would each tell the other that it had saved, without an end."""
    review.press("Y")
    review.until("data.isChanged()", "false")
    backups = files_of(review.project.parent / "glomseg")
    review.fx(ELSEWHERE + "ordered[3].setName('theirs'); there.saveImageData(theirs)")
    review.until(WARNED, "true")
    before = files_of(review.project.parent / "data"), review.project.read_bytes()
    review.fx(PRESS.format("Load it, with what was done here"))
    review.until(WARNED, "false")
    assert review.fx("inOrder()*.getName().toString()") == "[null, null, null, theirs, null]"
    review.window.ask("eval", "Thread.sleep(900)")
    assert (files_of(review.project.parent / "data"), review.project.read_bytes()) == before
    assert files_of(review.project.parent / "glomseg") == backups
    review.press("U")
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "- - - - -"


def test_what_a_person_restored_is_loaded_as_it_was_restored(review, glomseg):
    """It is no saving over what was saved here, and takes nothing of what was done here since and is not saved yet."""
    for key in "YX":
        review.press(key)
        review.until("data.isChanged()", "false")
    copy_image_data(review.project, "1", backup_folder(review.project.parent / "glomseg", "1", "review"))
    for key in "KY":
        review.press(key)
        review.until("data.isChanged()", "false")
    assert review.on_disk() == "accept reject sclerotic accept -"
    assert glomseg("restore", review.project, "1", "last").code == 0
    assert review.on_disk() == "accept reject - - -"
    review.until(WARNED, "true")
    review.press("K")
    load_it(review)
    assert review.on_disk() == "accept reject - - sclerotic"


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


def test_an_image_that_is_only_looked_at_is_not_changed(review):
    """Its next save is named in advance, in the data; QuPath would ask whether to save them."""
    review.open("kidney_02.tif")
    review.until("review.getTitle()", "Review: kidney_02.tif")
    review.fx("gui.getProject().getEntry(data).saveImageData(data)")  # QuPath itself notes the kind of a new image
    review.open("kidney_02.tif")
    review.until("data.getProperty('glomseg.saves') != null", "true")
    review.window.ask("eval", "Thread.sleep(900)")
    assert review.fx("data.isChanged()") == "false"


def test_steps_of_the_workflow_stand_once_however_often_it_is_loaded(review):
    step = "new qupath.lib.plugins.workflow.DefaultScriptableWorkflowStep"
    kinds = "qupath.lib.images.ImageData.ImageType"
    review.fx(f"""data.getHistoryWorkflow().clear()
        data.getHistoryWorkflow().addStep({step}('first', '1'))
        data.setImageType({kinds}.BRIGHTFIELD_OTHER); entryOf('kidney_01.tif').saveImageData(data)""")
    review.window.ask("eval", "Thread.sleep(500)")
    for turn in (1, 2, 3):
        review.open("kidney_01.tif")
        review.window.ask("eval", "Thread.sleep(500)")
        review.fx(ELSEWHERE + f"theirs.getHistoryWorkflow().addStep({step}('theirs', '{turn}'))\n"
                  f"ordered[0].setName('{turn}'); there.saveImageData(theirs)")  # fmt: skip
        review.until(WARNED, "true")
        review.fx(f"data.getHistoryWorkflow().addStep({step}('ours', '{turn}')); data.setChanged(true)")
        load_it(review)
    steps = review.fx(ELSEWHERE + "theirs.getHistoryWorkflow().getSteps()*.getName().join('; ')").split("; ")
    own = [name for name in steps if name in ("first", "theirs", "ours")]
    assert own == ["first", *["theirs", "ours"] * 3]
    assert len(steps) < 40  # QuPath puts two before them whenever it reads
