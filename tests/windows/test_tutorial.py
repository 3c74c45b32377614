"""The tutorial of one reviewed slide, done in a real QuPath; it makes the pictures of docs/one-slide.md.

They go to the folder that GLOMSEG_PICTURES names, else to the test's own.
"""

import os
from pathlib import Path

import pytest
from support.menu import OPEN, PROGRESS, RESULT, Menu
from support.window import Window

from glomseg.qupath.process import find_qupath
from glomseg.qupath.scripts import SUBFOLDER, install_scripts
from glomseg_cli.demo import IMAGE, copy_sample

pytestmark = [pytest.mark.qupath, pytest.mark.slow, pytest.mark.long]

SIZE = (1280, 800)
PICTURE = """
def image = new java.awt.image.BufferedImage({width}, {height}, java.awt.image.BufferedImage.TYPE_INT_RGB)
def paper = image.createGraphics()
paper.setColor(java.awt.Color.GRAY)
def main = gui.getStage().getScene()
def corner = [gui.getStage().getX() + main.getX(), gui.getStage().getY() + main.getY()]
def shown = [gui.getStage()] + Window.getWindows().findAll {{ it !== gui.getStage() && it.isShowing() }}
shown.each {{ window ->
    def scene = window.getScene()
    def snap = javafx.embed.swing.SwingFXUtils.fromFXImage(scene.snapshot(null), null)
    def x = (int) (window.getX() + scene.getX() - corner[0]), y = (int) (window.getY() + scene.getY() - corner[1])
    x = Math.max(0, Math.min(x, {width} - snap.getWidth()))
    y = Math.max(0, Math.min(y, {height} - snap.getHeight()))
    paper.drawImage(snap, x, y, null)
    if (window !== gui.getStage())
        paper.drawRect(x - 1, y - 1, snap.getWidth() + 1, snap.getHeight() + 1)
}}
paper.dispose()
javax.imageio.ImageIO.write(image, 'jpg', new File('{path}'))
"""


EXTENSIONS = "gui.getMenuBar().getMenus().find { it.getText() == 'Extensions' }"


@pytest.fixture
def tutorial(tmp_path, desk_of):
    info = find_qupath()
    if info is None:
        pytest.skip("no QuPath is installed here")
    copy_sample(tmp_path / "sample")
    project = tmp_path / "sample/project.qpproj"
    window = Window(info, tmp_path / "home")
    try:
        window.start(project, IMAGE)
        yield desk_of(window, project)
    finally:
        window.stop()


def test_one_slide_from_the_menu_to_the_comparison(tutorial, tmp_path):
    desk, menu = tutorial, Menu(tutorial)
    folder = Path(os.environ.get("GLOMSEG_PICTURES", tmp_path)).absolute()

    def picture(name):
        desk.settle()
        path = folder / f"one-slide-{name}.jpg"
        desk.fx(PICTURE.format(width=SIZE[0], height=SIZE[1], path=path), 60)
        assert path.stat().st_size > 10_000

    install_scripts(tmp_path, force=False)
    desk.window.ask("run", str(tmp_path / SUBFOLDER / "install_menu.groovy"), 60)
    desk.fx(f"gui.getStage().setWidth({SIZE[0]}); gui.getStage().setHeight({SIZE[1]}); gui.getViewer().zoomToFit()")
    menu.dialog("pane.getScene().getWindow().hide()")  # QuPath asks what kind of image it is
    desk.fx("""data.setImageType(qupath.lib.images.ImageData.ImageType.BRIGHTFIELD_OTHER)
        gui.getOverlayOptions().setShowNames(false)
        gui.getViewer().zoomToFit()""")

    desk.fx(f"gui.getStage().requestFocus(); {EXTENSIONS}.show(); 1")
    desk.settle()
    for key in ("DOWN", "DOWN", "DOWN", "RIGHT"):  # past Manage extensions and ImageJ, into GlomSeg
        desk.fx(f"new Robot().keyType(KeyCode.{key}); 1")
        desk.settle()
    assert desk.fx("gui.getMenu('Extensions>GlomSeg', false).isShowing()") == "true"
    picture("menu")
    desk.fx(f"{EXTENSIONS}.hide(); 1")
    menu.click("Annotate")
    menu.dialog("boxes[1].setValue('human')")
    picture("annotate")
    desk.answer("OK")
    desk.until(f"{PROGRESS}?.getScene()?.getRoot()?.lookupAll('.label')?.any {{ it.getText() =~ /tile/ }}", "true", 200)
    picture("progress")
    menu.told("outlines added", keep=True)
    picture("outlines")
    count = int(desk.fx("hierarchy.getAnnotationObjects().size()"))
    assert count >= 5

    menu.click("Review")
    desk.until("review?.isShowing()", "true", 60)
    desk.fx("initials().setText('AB'); review.requestFocus(); review.getScene().getRoot().requestFocus()")
    desk.settle()
    picture("review")
    desk.press("X")
    for _ in range(count - 1):
        desk.press("Y")

    desk.fx("within(Button).find { it.getText() == 'Find what was missed' }.fire()")
    walk = "gui.getStage().getProperties().get('glomseg.missed')"
    desk.until(f"{walk}?.isShowing()", "true", 60)
    desk.press("PAGE_DOWN", window=walk)
    picture("missed")
    desk.fx(f"{walk}.getScene().getRoot().lookupAll('.button').find {{ it.getText() == 'Review' }}.fire()")
    desk.until("review.isShowing()", "true", 60)
    desk.fx("""javafx.application.Platform.runLater { within(Button).find { it.getText() =~ /fully/ }.fire() }
        1""")
    marked = "gui.getProject().getEntry(data).getMetadataValue('glomseg.reviewed') != null"
    desk.until(f"{OPEN}.size() > 0 || {marked}", "true")
    if desk.fx(marked) == "false":
        desk.answer("Yes")
    desk.until(marked, "true")
    desk.fx("review.close()")
    menu.click("Compare")
    text = menu.told(f"of {count} outlines {count - 1} stand", keep=True)
    assert "on 1 fully reviewed image(s)" in text
    field = f"{RESULT}?.getScene()?.getRoot()?.lookupAll('*')?.find {{ it instanceof TextField }}"
    desk.until(f"{field} != null", "true")
    desk.fx(f"{field}.setText({field}.getText() - '{tmp_path}/'); 1")  # in the picture the reader's folders alone
    picture("compare")
    menu.click("Count")
    assert f"glomeruli: {count - 1}" in desk.answer("OK")
