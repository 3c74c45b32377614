"""What another program saved of an image that is open is kept before QuPath's own save, which looks at nothing."""

import contextlib
import shutil
import time

import pytest
from support.another_qupath import ELSEWHERE, PRESS, WARNED, load_it
from support.window import NotAnsweredError

from glomseg.runs.backups import list_backups

pytestmark = [pytest.mark.qupath, pytest.mark.slow]

OWN_SAVE = "gui.getProject().getEntry(data).saveImageData(data)"


def kept(review):
    """Return the backups of the image of what others had saved, the newest first."""
    entry = review.fx("entryOf('kidney_01.tif').getID()")
    backups = list_backups(review.project.parent / "glomseg", entry)
    return [backup for backup in backups if backup.why == "before QuPath saved over what another program had saved"]


def kept_names(review):
    """Return the names of the objects in each of these backups, from left to right."""
    return [
        review.fx(f"""qupath.lib.io.PathIO.readHierarchy(new File('{backup.folder / "data.qpdata"}'))
            .getAnnotationObjects().sort {{ it.getROI().getCentroidX() }}*.getName().toString()""")
        for backup in kept(review)
    ]


def until_kept(review, names):
    """Wait until these are the newest; one that takes the place of another may be read as that goes."""
    ends, seen = time.monotonic() + 10, None
    while seen != names:
        assert time.monotonic() < ends, seen
        with contextlib.suppress(NotAnsweredError):
            seen = kept_names(review)[: len(names)]


def save_elsewhere(review, name):
    review.fx(ELSEWHERE + f"ordered[3].setName('{name}'); there.saveImageData(theirs)")


@pytest.mark.parametrize("is_open", [True, False], ids=["beside the review", "without the review"])
def test_qupaths_own_save_loses_nothing_of_another_programs(review, is_open):
    if not is_open:
        review.fx("review.close()")
    before = len(kept(review))
    for name in ("earlier", "theirs"):
        save_elsewhere(review, name)
        until_kept(review, [f"[null, null, null, {name}, null]"])
    assert len(kept(review)) == before + 1  # of one who saves after each verdict, the last alone
    if is_open:
        review.press("X")
        review.until(WARNED, "true")
    review.fx(OWN_SAVE)
    if is_open:
        review.until("within(Label).any { it.getText() =~ /took the place of what another program/ }", "true")
    review.window.ask("eval", "Thread.sleep(900)")
    assert review.fx("entryOf('kidney_01.tif').readHierarchy().getAnnotationObjects().any { it.getName() }") == "false"
    assert kept_names(review)[0] == "[null, null, null, theirs, null]"
    assert len(kept(review)) == before + 1
    save_elsewhere(review, "again")  # which knows nothing of it
    until_kept(review, ["[null, null, null, again, null]", "[null, null, null, theirs, null]"])


def test_what_was_kept_goes_where_nothing_was_saved_over_it(review):
    before = len(kept(review))
    save_elsewhere(review, "theirs")
    until_kept(review, ["[null, null, null, theirs, null]"])
    review.open("kidney_02.tif")
    ends = time.monotonic() + 10
    while len(kept(review)) > before:
        assert time.monotonic() < ends
        time.sleep(0.1)
    review.open("kidney_01.tif")
    assert review.fx("inOrder()*.getName().toString()") == "[null, null, null, theirs, null]"


@pytest.mark.parametrize("choice", ["load", "overwrite"])
def test_it_is_kept_once_where_it_is_loaded_or_overwritten(review, choice):
    before = len(kept(review))
    save_elsewhere(review, "theirs")
    until_kept(review, ["[null, null, null, theirs, null]"])
    review.press("X")
    review.until(WARNED, "true")
    if choice == "load":
        load_it(review)
    else:
        review.fx(PRESS.format("Overwrite it"))
        review.until(WARNED, "false")
        review.until("data.isChanged()", "false")
    review.window.ask("eval", "Thread.sleep(900)")
    assert kept_names(review)[:1] == ["[null, null, null, theirs, null]"]
    assert len(kept(review)) == before + 1
    assert review.on_disk() == "reject - - - -"


def test_what_could_not_be_kept_is_kept_as_soon_as_it_can(review):
    """One copy that failed was the last try, and QuPath's own save said nothing."""
    entry = review.fx("entryOf('kidney_01.tif').getID()")
    backups = review.project.parent / "glomseg/backup" / entry
    backups.parent.mkdir(parents=True, exist_ok=True)
    aside = backups.with_name("aside")
    if backups.exists():
        backups.rename(aside)
    try:
        backups.write_text("full")
        save_elsewhere(review, "first")
        review.until(WARNED, "true")
        review.window.ask("eval", "Thread.sleep(600)")
        review.fx(OWN_SAVE)
        review.until("within(Label).any { it.getText() =~ /That could not be kept/ }", "true")
        save_elsewhere(review, "theirs")
        review.until(WARNED, "true")
        backups.unlink()
        until_kept(review, ["[null, null, null, theirs, null]"])
    finally:
        if backups.is_file():
            backups.unlink()
        shutil.rmtree(backups, ignore_errors=True)
        if aside.exists():
            aside.rename(backups)
