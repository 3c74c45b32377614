"""QuPath's menu Extensions > GlomSeg in a person's hands: clicks, dialogs and notifications."""

import time

from glomseg.runs.ownership import RUN

OPEN = "Window.getWindows().findAll { it.getScene()?.getRoot() instanceof DialogPane }"
POPUPS = (
    "Window.getWindows().findAll { it instanceof Popup }.collect { it.getScene().getRoot().lookupAll('*')"
    ".findAll { it instanceof Labeled }*.getText() }.flatten().findAll().join(' ').replaceAll('\\\\s+', ' ')"
)
PROGRESS = "Window.getWindows().find { it instanceof Stage && it.getTitle() == 'GlomSeg' && it.getScene()"
PROGRESS += ".getRoot() instanceof javafx.scene.layout.VBox }"
RESULT = "Window.getWindows().find { it instanceof Stage && it.getTitle() == 'GlomSeg: result' && it.isShowing() }"
OURS = f"hierarchy.getAnnotationObjects().count {{ it.getMetadata().containsKey('{RUN}') }}"


class Menu:
    """The menu of installed scripts, in the hands of a person."""

    def __init__(self, desk):
        self.desk, self._logged = desk, 0

    def click(self, label):
        item = f"gui.getMenu('Extensions>GlomSeg', false).getItems().find {{ it.getText()?.startsWith('{label}') }}"
        self.listen()
        self.desk.fx(f"{item}.fire(); 1")

    def listen(self):
        """Take what is told from now on for what comes of the next click."""
        self._logged = len(self.desk.window.log.read_text("utf-8", "replace"))

    def dialog(self, code="1", seconds=60):
        """Wait for a dialog, do something with its `pane`, and return what came of it."""
        self.desk.until(f"{OPEN}.size()", "1", seconds)
        return self.desk.fx(
            f"""def pane = {OPEN}[0].getScene().getRoot()
            def boxes = pane.lookupAll('*').findAll {{ it instanceof ChoiceBox }}
            def field = pane.lookupAll('*').find {{ it instanceof TextField }}
            {code}"""
        )

    def annotate(self, where, model="oracle"):
        self.click("Annotate")
        self.dialog(f"boxes[0].setValue(boxes[0].getItems().find {{ it.startsWith('{where}') }})")
        self.dialog(f"boxes[3].setValue('{model}')")
        self.desk.answer("OK")

    def newest_run(self):
        return max(path.parent.name for path in (self.desk.project.parent / "glomseg").glob("*/run.json"))

    def close_dialogs(self):
        self.desk.fx(f"{OPEN}*.hide(); Window.getWindows().findAll {{ it instanceof Popup }}*.hide(); 1")

    def told(self, words, seconds=300, *, keep=False):
        """Wait for a notification with these words, and return it.

        It is shown for a few seconds only, which a busy machine may miss; the log keeps it.
        """
        ends = time.monotonic() + seconds
        while words not in (text := self.desk.fx(POPUPS)):
            logged = self.desk.window.log.read_text("utf-8", "replace")[self._logged :]
            if found := [part for part in logged.split("GlomSeg - ") if words in " ".join(part.split())]:
                text = " ".join(found[-1].split())
                break
            dialogs = self.desk.fx(f"{OPEN}*.getScene()*.getRoot()*.getContentText().findAll()")
            assert time.monotonic() < ends, f"{words!r} is not in {text!r}; open: {dialogs}\n{self.desk.window._tail()}"
            time.sleep(0.1)
        self.desk.until("gui.getStage().getProperties()['glomseg.running']", "null", 60)
        if not keep:
            self.desk.fx("Window.getWindows().findAll { it instanceof Popup }*.hide(); 1")
        return text

    def result(self, words, seconds=300):
        """Wait for the window of a result with these words; return its text and the path in it, and close it."""
        self.told(words, seconds)
        shown = f"{RESULT}?.getScene()?.getRoot()?.lookupAll('*')"
        texts = f"({shown}?.findAll {{ it instanceof Labeled }} ?: [])*.getText().join(' ')"
        self.desk.until(f"{texts}.contains('{words}')", "true")
        text = self.desk.fx(texts)
        self.desk.fx(f"{shown}.find {{ it instanceof Button && it.getText() == 'Copy the path' }}.fire(); 1")
        copied = self.desk.fx("javafx.scene.input.Clipboard.getSystemClipboard().getString()")
        assert copied == self.desk.fx(f"{shown}.find {{ it instanceof TextField }}.getText()")
        self.desk.fx(f"{RESULT}.close(); 1")
        return text, copied
