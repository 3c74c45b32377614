"""What a person types in a review stays there, whichever windows of ours come and go meanwhile."""

import pytest

from glomseg.qupath.scripts import list_scripts

pytestmark = [pytest.mark.qupath, pytest.mark.slow]

ONE_FOCUS = """
    def glass = { com.sun.javafx.stage.WindowHelper.getPeer(it)?.getPlatformWindow() }
    def lose = { one -> com.sun.glass.ui.Window.getWindows().findAll { it.isFocused() && !it.is(one) }.each {
        it.notifyFocus(com.sun.glass.events.WindowEvent.FOCUS_LOST) } }
    def listener = { source, old, now ->
        if (now && gui.getStage().getProperties()['test.one_focus'])
            lose(glass(source.getBean())) } as javafx.beans.value.ChangeListener
    def follow = { if (it instanceof Stage) it.focusedProperty().addListener(listener) }
    Window.getWindows().each(follow)
    Window.getWindows().addListener({ change -> while (change.next()) change.getAddedSubList().each(follow) }
        as javafx.collections.ListChangeListener)
    gui.getStage().getProperties()['test.one_focus'] = true
    lose(glass(review))
    1"""
"""As on a display, where a window that gets the keyboard takes it from the others; JavaFX's headless one lacks that."""

TELLING = """
    def loader = new GroovyClassLoader(qupath.lib.gui.QuPathGUI.classLoader)
    def telling = new GroovyShell(loader).parse(new File('{script}')).load('glomseg_telling')
    """
FOCUSED = "Window.getWindows().findAll { it instanceof Stage && it.isFocused() }*.getTitle().toString()"
HAVE = "Window.getWindows().count { it instanceof Stage && it.getTitle().startsWith('GlomSeg') }"


@pytest.fixture
def typing(review):
    take_the_keyboard_from_others(review)
    yield review
    review.fx("gui.getStage().getProperties().remove('test.one_focus'); 1")


def take_the_keyboard_from_others(desk):
    if desk.fx("System.getProperty('glass.platform')") == "Headless":
        desk.fx(ONE_FOCUS)


def test_a_comment_is_typed_on_while_a_job_begins_and_ends(typing):
    """What was typed after it went to QuPath's own window, where each Y and X is a verdict."""
    telling = TELLING.format(script=list_scripts()["install_menu"].parent / "glomseg_shared.groovy")
    progress = "gui.getStage().getProperties()['test.progress']"
    typing.press("T")
    typing.window.ask(
        "eval",
        telling + "def ended = telling.showProgress('x', false, {})\n"
        "qupath.lib.gui.QuPathGUI.getInstance().getStage().getProperties()['test.progress'] = ended; 1",
    )
    typing.until(HAVE, "1")
    typing.until(FOCUSED, "[Review: kidney_01.tif]")
    typing.window.ask("eval", telling + "telling.showResult('done', new File('x')); 1")
    typing.until(HAVE, "2")
    typing.until(FOCUSED, "[Review: kidney_01.tif]")
    typing.fx(f"{progress}(null); 1")
    typing.until(HAVE, "1")
    typing.until(FOCUSED, "[Review: kidney_01.tif]")
    typing.fx("gui.getStage().getProperties()['glomseg.result'].close(); gui.getStage().requestFocus(); 1")
    typing.fx("gui.getStage().getProperties()['glomseg.typing'] += 60_000_000_000L; 1")
    typing.press("Y", window="gui.getStage()")  # the letter that comes there before the keyboard is back
    assert typing.verdicts() == "- - - - -"
    typing.fx("gui.getStage().getProperties().remove('glomseg.typing'); review.getScene().getRoot().requestFocus(); 1")
    typing.press("Y", window="gui.getStage()")
    assert typing.verdicts() == "accept - - - -"


def test_a_comment_is_typed_on_where_a_job_tells_what_went_wrong(menu, typing):
    """Its window took the keyboard, and waited for an answer; the letters after it were lost, or gave verdicts."""
    typing.press("T")
    typing.fx("gui.getStage().getProperties()['glomseg.running'] = 'Annotate ...'; 1")
    try:
        menu.click("Report")
        typing.until(HAVE, "1")
    finally:
        typing.fx("gui.getStage().getProperties().remove('glomseg.running'); 1")
    typing.until(FOCUSED, "[Review: kidney_01.tif]")
    typing.press("Y")
    typing.press("X")
    assert typing.fx("within(TextInputControl).any { it.getText() == 'yx' }") == "true"
    assert typing.verdicts() == "- - - - -"
    assert '"Annotate ..." is at work' in typing.answer("OK")
