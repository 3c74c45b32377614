"""A real QuPath with windows, started once for all tests of this folder."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.menu import Menu
from support.oracle import save_oracle
from support.slides import Disc, disc_slide
from support.window import Window

from glomseg.qupath.process import QuPathInfo, find_qupath
from glomseg.qupath.scripts import SUBFOLDER, install_scripts, list_scripts

IMPORTS = """
import javafx.scene.control.*
import javafx.scene.input.*
import javafx.scene.robot.Robot
import javafx.stage.Popup
import javafx.stage.Stage
import javafx.stage.Window
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.viewer.tools.PathTools
import qupath.lib.objects.*
import qupath.lib.objects.classes.PathClass
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.ROIs
import qupath.lib.projects.ProjectIO
def gui = QuPathGUI.getInstance()
def data = gui.getImageData()
def hierarchy = data?.getHierarchy()
def entryOf = { name -> gui.getProject().getImageList().find { it.getImageName() == name } }
def review = gui.getStage().getProperties().get("glomseg.review")
def within = { type -> review.getScene().getRoot().lookupAll("*").findAll { type.isInstance(it) } }
def initials = { within(TextField).find { it.getPromptText() == "yours" } }
def verdict = { it.getMetadata()["glomseg.verdict"] }
def inOrder = { hierarchy.getAnnotationObjects().sort { it.getROI().getCentroidX() } }
def disc = { x, y, side -> PathObjects.createAnnotationObject(
    ROIs.createEllipseROI(x, y, side, side, ImagePlane.getDefaultPlane()), PathClass.fromString("Glomerulus")) }
"""
"""What the tests' Groovy may use."""

ALONE = """
{ focused ->
    def platforms = { window -> com.sun.javafx.stage.WindowHelper.getPeer(window)?.getPlatformWindow() }
    if (platforms(focused)?.getClass()?.getSimpleName() == "HeadlessWindow")
        Window.getWindows().findAll { !(it in [focused, gui.getStage()]) }.collect(platforms)
            .findAll { it?.isFocused() }*.notifyFocus(com.sun.glass.events.WindowEvent.FOCUS_LOST)
    focused.requestFocus()
}
"""
"""Give a window the focus; the headless platform takes it from no other, and the newest that has it gets the keys."""


class Desk:
    """A QuPath window with a project of three images, and short words for what a person does there."""

    def __init__(self, window: Window, project: Path) -> None:
        self.window, self.project = window, project

    def fx(self, code: str, seconds: float = 20) -> str:
        return self.window.fx(IMPORTS + code, seconds)

    def until(self, code: str, wanted: str, seconds: float = 15) -> None:
        self.window.until(IMPORTS + code, wanted, seconds)

    def settle(self) -> None:
        self.window.settle()

    def open(self, image: str) -> None:
        """Open an image anew as it is on disk."""
        self.fx(f"""
            if (gui.getProject()?.getPath()?.toString() != "{self.project}")
                gui.setProject(ProjectIO.loadProject(new File("{self.project}"), java.awt.image.BufferedImage))
            gui.getAllViewers().each {{ it.getImageData()?.setChanged(false); it.resetImageData() }}
            gui.openImageEntry(entryOf("{image}"))""")

    def draw(self, count: int, *, row: int = 10, side: int = 60) -> None:
        """Replace all objects by so many discs of rising confidence from left to right, as no run left it, and save."""
        self.fx(f"""
            hierarchy.clearAll()
            hierarchy.addObjects((0..<{count}).collect {{ n ->
                def item = disc(40 + (n % {row}) * {2000 // row}, 100 + n.intdiv({row}) * 45, {side})
                item.getMeasurementList().put("Confidence", 0.5d + n / {2 * count}d)
                item
            }})
            def entry = gui.getProject().getEntry(data)
            entry.removeMetadataValue("glomseg.reviewed")
            ["glomseg.reviewed", "glomseg.write", "glomseg.stands"].each {{ data.removeProperty(it) }}
            entry.saveImageData(data)
            gui.getProject().syncChanges()  // else its file still has the mark, and the next save takes it over""")

    def run(self, script: str, seconds: float = 60) -> str:
        """Run a script as the menu does."""
        return self.window.ask("run", str(list_scripts()[script]), seconds)

    def start_review(self, initials: str = "AB") -> None:
        if self.fx("review?.isShowing()") != "true":
            self.run("review_glomeruli")
            self.until("review?.isShowing()", "true")
        self.settle()
        self.fx(f"""within(ChoiceBox)[0].getOnAction().handle(null)  // the queue of what stands now
            initials().setText('{initials}')
            review.requestFocus()
            review.getScene().getRoot().requestFocus()""")
        self.settle()

    def press(self, key: str, *, times: int = 1, window: str = "review", release: bool = True, more: str = "") -> None:
        """Press a key in the window of the review, or with window="gui.getStage()" in QuPath's own."""
        self.fx(f"""({ALONE})({window})
            def robot = new Robot()
            {f"robot.keyPress(KeyCode.{more})" if more else ""}
            {times}.times {{ robot.keyPress(KeyCode.{key}) }}
            {f"robot.keyRelease(KeyCode.{key})" if release else ""}
            {f"robot.keyRelease(KeyCode.{more})" if more else ""}""")
        self.settle()

    def answer(self, button: str) -> str:
        """Press a button of the dialog that shows or is about to, wait until it is gone, and tell what it said."""
        dialog = "Window.getWindows().findAll { it.getScene()?.getRoot() instanceof DialogPane }"
        self.until(f"{dialog}.size()", "1")
        said = self.fx(f"""def pane = {dialog}[0].getScene().getRoot()
            def said = pane.lookupAll("*").findAll {{ it instanceof Labeled }}*.getText().findAll {{ it }}.join(" | ")
            pane.lookupButton(pane.getButtonTypes().find {{ it.getText() == "{button}" }}).fire()
            said""")
        self.until(f"{dialog}.size()", "0")
        return said

    def verdicts(self) -> str:
        """Tell the verdicts from left to right."""
        return self.fx("inOrder().collect { verdict(it) ?: '-' }.join(' ')")

    def on_disk(self, image: str = "kidney_01.tif") -> str:
        return self.fx(f"""entryOf("{image}").readHierarchy().getAnnotationObjects()
            .sort {{ it.getROI().getCentroidX() }}.collect {{ verdict(it) ?: '-' }}.join(' ')""")

    def text(self) -> str:
        """Tell all that the window of the review says to a person who looks at it."""
        return self.fx("""def shown
            shown = { node -> node == null || node.isVisible() && shown(node.getParent()) }
            within(Labeled).findAll(shown)*.getText().findAll().join(' | ')""")


@pytest.fixture(scope="session")
def monkeypatch_session():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def make_study(data: Path, folder: Path) -> Path:
    """Make a project of three images in a folder, the second with three discs, and a model that finds these."""
    shutil.copytree(data / "qupath/project_0_6_0", folder / "study")
    for path in (data / "qupath").glob("*.*"):
        if path.is_file():
            shutil.copy(path, folder)
    spots = [Disc(300, 300, 60, 60), Disc(700, 300, 60, 60), Disc(1240, 300, 60, 60)]
    disc_slide(folder / "kidney_02.tif", size=(2048, 1024), discs=spots, tissue=(0, 0, 2048, 1024))
    save_oracle(folder / "models" / "oracle")
    project = folder / "study/project.qpproj"
    project.chmod(0o644)
    project.write_text(project.read_text("utf-8").replace("file:///slides", folder.as_uri()), "utf-8")
    return project


@contextmanager
def open_desk(info: QuPathInfo, data: Path, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Open a QuPath with a project of its own."""
    project = make_study(data, folder)
    patch.setenv("GLOMSEG_MODELS", str(folder / "models"))
    window = Window(info, folder / "home")
    try:
        window.start(project, "kidney_01.tif")
        yield Desk(window, project)
    finally:
        window.stop()


@pytest.fixture(scope="session")
def desk(data, tmp_path_factory, monkeypatch_session):
    info = find_qupath()
    if info is None:
        pytest.skip("no QuPath is installed here (searched the usual places and PAQUO_QUPATH_DIR)")
    with open_desk(info, data, tmp_path_factory.mktemp("windows"), monkeypatch_session) as opened:
        yield opened


@pytest.fixture(autouse=True)
def nothing_goes_wrong_unseen(request):
    """Fail where something failed on JavaFX's thread: QuPath only logs that, and notifies."""
    yield
    if "desk" in request.fixturenames:
        window = request.getfixturevalue("desk").window
        assert not window.failures()


@pytest.fixture
def desk_of():
    return Desk


@pytest.fixture
def in_each_qupath(data, tmp_path, monkeypatch):
    """Open a QuPath as `open_desk` does, after something was put into its home."""

    def opened(info: QuPathInfo):
        return open_desk(info, data, tmp_path, monkeypatch)

    return opened


@pytest.fixture
def review(desk):
    """A review of five discs, by AB."""
    desk.open("kidney_01.tif")
    desk.draw(5)
    desk.start_review()
    return desk


@pytest.fixture(scope="module")
def menu(desk, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scripts")
    install_scripts(folder, force=False)
    desk.window.ask("run", str(folder / SUBFOLDER / "install_menu.groovy"), 60)
    desk.until("gui.getMenu('Extensions>GlomSeg', true).getItems().size() > 5", "true")
    return Menu(desk)


@pytest.fixture
def empty(menu):
    """The menu, nothing else open, an image without objects, and no run."""
    menu.close_dialogs()
    shutil.rmtree(menu.desk.project.parent / "glomseg", ignore_errors=True)
    menu.desk.until("gui.getStage().getProperties()['glomseg.running']", "null", 300)
    menu.desk.open("kidney_02.tif")
    menu.desk.fx("""hierarchy.clearAll()
        def entry = gui.getProject().getEntry(data)
        gui.getProject().getImageList()*.removeMetadataValue('glomseg.reviewed')
        gui.getProject().syncChanges()  // else its file still has the mark, and the next save takes it over
        def ours = ['glomseg.write', 'glomseg.stands', 'glomseg.reviewed']
        def forget = { ours.each { name -> it.removeProperty(name) } }
        forget(data)
        entry.saveImageData(data)
        gui.getProject().getImageList().findAll { it != entry && it.hasImageData() }.each {
            def other = it.readImageData()
            forget(other)
            it.saveImageData(other)
        }""")
    return menu
