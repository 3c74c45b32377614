"""What another program saves in the moment in which an image is read, saved or shown here is not taken for that."""

import os
import threading
import time

import pytest
from support.another_qupath import ELSEWHERE, PRESS, WARNED, load_it

from glomseg.qupath.scripts import list_scripts
from glomseg.runs.backups import list_backups

pytestmark = [pytest.mark.qupath, pytest.mark.slow]

SAVED = "theirs.setProperty('glomseg.saves', '' + theirs.getProperty('glomseg.saves') + ' another')\n"
"""As a QuPath with the menu names each of its saves."""


@pytest.mark.parametrize("is_read", [True, False])
def test_what_another_saves_before_the_look_at_what_was_read_or_saved_here_is_not_overwritten(review, is_read):
    """QuPath's file is looked at a moment after QuPath read or wrote it: then it was another's, and taken for its."""
    review.press("Y")
    review.until("data.isChanged()", "false")
    theirs = f"{SAVED}ordered[1].getMetadata()['glomseg.verdict'] = 'accept'; there.saveImageData(theirs)\n"
    if is_read:
        review.fx(f"{ELSEWHERE}def old = there.readImageData()\n{theirs}gui.getViewer().setImageData(old)")
    else:
        review.fx(f"gui.getProject().getEntry(data).saveImageData(data)\n{ELSEWHERE}{theirs}")
    review.until(WARNED, "true")
    review.fx("inOrder()[2].setName('ours'); data.setChanged(true)")
    load_it(review)
    assert review.on_disk() == "accept accept - - -"
    assert review.fx("inOrder()*.getName().toString()") == "[null, null, ours, null, null]"


@pytest.mark.parametrize("done", ["setName('theirs')", "getMeasurementList().put('Cells', 7d)"])
def test_what_another_program_saves_while_an_image_is_opened_is_not_overwritten(review, done):
    """One that names no saves, as a QuPath without the menu and `glomseg measure --write`."""
    review.press("Y")
    review.until("data.isChanged()", "false")
    review.fx(
        f"{ELSEWHERE}def old = there.readImageData()\nordered[2].{done}; there.saveImageData(theirs)\n"
        "gui.getViewer().setImageData(old)"
    )
    review.until(WARNED, "true")
    load_it(review)
    theirs = "[inOrder()[2].getName(), inOrder()[2].getMeasurementList().get('Cells')].toString()"
    assert review.fx(theirs) == ("[theirs, NaN]" if "Name" in done else "[null, 7.0]")


def test_what_another_qupath_is_writing_is_not_taken_for_what_was_read_here(review, tmp_path):
    """It moves what stood there aside, which is what was read here: then its whole save was taken for that as well."""
    review.press("Y")
    review.until("data.isChanged()", "false")
    data = review.project.parent / "data" / review.fx("entryOf('kidney_01.tif').getID()") / "data.qpdata"
    aside, theirs = data.with_name("data.qpdata.bkp"), tmp_path / "theirs.qpdata"
    review.fx(
        f"{ELSEWHERE}{SAVED}ordered[1].getMetadata()['glomseg.verdict'] = 'accept'\n"
        f"qupath.lib.io.PathIO.writeImageData(new File('{theirs}'), theirs)"
    )
    whole = theirs.read_bytes()
    data.rename(aside)
    data.write_bytes(whole[: len(whole) // 2])
    review.window.ask("eval", "Thread.sleep(1500)")
    noted = review.fx("gui.getStage().getProperties().get('glomseg.stamps').get(data).file?.getAt(1)")
    data.write_bytes(whole)
    aside.unlink()
    assert noted != str(len(whole) // 2)
    review.until(WARNED, "true")
    load_it(review)
    assert review.on_disk() == "accept accept - - -"


def test_what_another_saves_once_more_while_its_save_is_overwritten_is_kept(review, tmp_path):
    data = review.project.parent / "data" / review.fx("entryOf('kidney_01.tif').getID()") / "data.qpdata"
    aside, theirs = data.with_name("data.qpdata.bkp"), tmp_path / "theirs.qpdata"
    review.press("Y")
    review.until("data.isChanged()", "false")
    review.fx(
        f"{ELSEWHERE}{SAVED}there.saveImageData(theirs); ordered[4].setName('second')\n"
        f"qupath.lib.io.PathIO.writeImageData(new File('{theirs}'), theirs)"
    )
    review.until(WARNED, "true")
    second = theirs.read_bytes()

    def save():
        data.rename(aside)
        with data.open("wb", buffering=0) as file:
            for start in range(0, len(second), 500):
                file.write(second[start : start + 500])
                time.sleep(0.06)
        aside.unlink()

    saving = threading.Thread(target=save)
    saving.start()
    time.sleep(0.2)
    review.fx(PRESS.format("Overwrite it"))
    saving.join()
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "accept - - - -"
    kept = (review.project.parent / "glomseg/backup/1").rglob("data.qpdata")
    assert second in [path.read_bytes() for path in kept]


def test_data_that_a_second_viewer_begins_to_show_are_no_newer_than_they_were(review):
    review.press("Y")
    review.until("data.isChanged()", "false")
    review.fx(
        f"{ELSEWHERE}ordered[1].getMetadata()['glomseg.verdict'] = 'accept'; there.saveImageData(theirs)\n"
        "gui.getViewerManager().setGridSize(1, 2)\n"
        "gui.getAllViewers().find { it.getImageData() == null }.setImageData(data)"
    )
    try:
        review.until(WARNED, "true")
        load_it(review)
        assert review.on_disk() == "accept accept - - -"
    finally:
        review.fx("gui.getAllViewers()[1].resetImageData(); gui.getViewerManager().setGridSize(1, 1)")


def test_what_a_job_saves_here_is_noted_once_and_not_taken_for_another_programs(review):
    """The clock's look and the job noted it both, and the second took the first one's name for another's."""
    folder = review.project.parent / "data" / review.fx("entryOf('kidney_01.tif').getID()")
    shared = list_scripts()["find_missed"].with_name("glomseg_shared.groovy")
    before = list_backups(review.project.parent / "glomseg", folder.name)
    summary = folder / "summary.json"
    summary.unlink()
    os.mkfifo(summary)  # QuPath holds the image while it writes that: until somebody reads it
    save = f"""def gui = qupath.lib.gui.QuPathGUI.getInstance(), data = gui.getImageData()
        new GroovyShell(getClass().getClassLoader()).parse(new File('{shared}'))
            .saveData(gui.getProject().getEntry(data), data)"""
    review.fx("inOrder()[0].setName('ours'); data.setChanged(true)")
    job = threading.Thread(target=review.window.ask, args=("eval", save))
    job.start()
    try:
        time.sleep(1.5)  # for the look of the clock to wait as well
        summary.read_text()
    finally:
        job.join()
        summary.unlink()
    review.window.ask("eval", "Thread.sleep(900)")
    assert review.fx(WARNED) == "false"
    assert list_backups(review.project.parent / "glomseg", folder.name) == before
