"""The same extension in each QuPath that is installed here: from the dropped JAR to the first verdict."""

import sys

import pytest
from support.another_qupath import WARNED, load_it
from support.menu import OURS, Menu
from support.window import installed

from glomseg.qupath.extension import build_extension
from glomseg.qupath.launcher import settle_in
from glomseg.qupath.scripts import MENU


@pytest.mark.qupath
@pytest.mark.slow
@pytest.mark.parametrize("info", installed(), ids=lambda info: info.version)
def test_the_extension_does_a_days_work(info, tmp_path, monkeypatch, in_each_qupath):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("PAQUO_QUPATH_DIR", str(info.folder))
    with monkeypatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("JAVA_TOOL_OPTIONS", f"-Djava.util.prefs.userRoot={home / 'prefs'} -Duser.home={home}")
        user_folder = settle_in(info, MENU).path
    assert build_extension(user_folder / "extensions").jar.is_file()
    with in_each_qupath(info) as desk:
        desk.until("gui.getMenu('Extensions>GlomSeg', true).getItems().size() > 10", "true", 60)
        python = "qupath.lib.gui.prefs.PathPrefs.createPersistentPreference('glomseg.python', '')"
        desk.fx(f"{python}.set('{sys.executable}')")
        menu = Menu(desk)
        desk.open("kidney_02.tif")
        desk.fx("hierarchy.clearAll(); gui.getProject().getEntry(data).saveImageData(data)")
        menu.annotate("this image")
        menu.told("3 outlines added")
        assert desk.fx(OURS) == "3"
        menu.click("Review")
        desk.until("review?.isShowing()", "true")
        desk.fx("initials().setText('AB'); review.requestFocus(); review.getScene().getRoot().requestFocus()")
        desk.press("Y")
        assert desk.verdicts().count("accept") == 1
        desk.until("data.isChanged()", "false")
        desk.fx("""def there = ProjectIO.loadProject(gui.getProject().getPath().toFile(), java.awt.image.BufferedImage)
            .getImageList().find { it.getImageName() == 'kidney_02.tif' }
            def theirs = there.readImageData()
            theirs.getHierarchy().getAnnotationObjects().findAll(verdict)*.setName('theirs')
            there.saveImageData(theirs)""")
        desk.until(WARNED, "true")
        load_it(desk)
        assert desk.fx("inOrder()*.getName().contains('theirs')") == "true"
        menu.click("Undo")
        menu.dialog(seconds=120)
        desk.answer("OK")
        menu.told("2 outlines removed")
        desk.until("inOrder().collect { verdict(it) }.toString()", "[accept]", 60)
