"""The menu of an installed glomseg: there when QuPath starts, with the Python that installed it."""

import sys

import pytest

from glomseg.qupath.scripts import PYTHON, SUBFOLDER, install_scripts

pytestmark = pytest.mark.qupath

ITEMS = "gui.getMenu('Extensions>GlomSeg', true).getItems()"
START = "qupath.lib.gui.prefs.PathPrefs.startupScriptProperty()"


def test_the_menu_runs_what_was_installed(desk, tmp_path):
    folder = tmp_path / "scripts"
    install_scripts(folder, force=False)
    assert (folder / SUBFOLDER / PYTHON).read_text("utf-8").strip() == sys.executable
    menu = folder / SUBFOLDER / "install_menu.groovy"
    desk.fx(f"{START}.set(null)")
    desk.window.ask("run", str(menu), 60)
    desk.until(f"{ITEMS}.any {{ it.getText()?.startsWith('Review') }}", "true")
    labels = desk.fx(f"{ITEMS}*.getText().findAll {{ it }}.join('; ')")
    assert labels.startswith("Annotate ...; Import results; Review glomeruli")
    assert labels.endswith("Train on the corrections ...; Change the sureness of the last run ...; Undo the last run")
    assert desk.fx(f"{START}.get()") == str(menu)  # QuPath starts with it from now on
    desk.open("kidney_01.tif")
    desk.fx(f"{ITEMS}.find {{ it.getText().startsWith('Count') }}.fire()")
    assert "glomeruli:" in desk.answer("OK")


def test_measuring_runs_in_the_python_that_installed_the_scripts(desk, tmp_path):
    install_scripts(tmp_path, force=False)
    jobs = tmp_path / SUBFOLDER / "glomseg_python.groovy"
    code = f"new GroovyShell(qupath.lib.gui.QuPathGUI.classLoader).parse(new File('{jobs}')).findPython()"
    assert desk.window.ask("eval", code, 60) == sys.executable


def test_a_python_that_is_not_known_is_asked_for_by_its_path(desk, tmp_path):
    """By that of its environment, too; file choosers hide folders such as .venv."""
    install_scripts(tmp_path, force=False)
    script = tmp_path / SUBFOLDER / "glomseg_shared.groovy"
    ask = f"""def loader = qupath.lib.gui.QuPathGUI.classLoader
        def python = new GroovyShell(loader).parse(new File('{script}')).load("glomseg_python")
        """
    empty = tmp_path / "empty"
    empty.mkdir()
    checkout = tmp_path / "checkout/.venv/bin"
    checkout.mkdir(parents=True)
    (checkout / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', "utf-8")
    (checkout / "python").chmod(0o755)
    desk.window.ask(
        "eval", f"{ask} Thread.startDaemon {{ System.setProperty('said', python.askForPython(['/bad'])) }}; 1"
    )
    dialog = "Window.getWindows().find { it.getScene()?.getRoot() instanceof DialogPane }?.getScene()?.getRoot()"
    for words, path in (("/bad cannot run glomseg", empty), (f"{empty} has no glomseg", checkout.parents[1])):
        desk.until(f"{dialog}?.getContentText()?.startsWith('{words}').toString()", "true", 60)
        desk.fx(f"""{dialog}.lookupAll('*').find {{ it instanceof TextField }}.setText('{path}')
            {dialog}.lookupButton(ButtonType.OK).fire()
            1""")
    desk.until("System.getProperty('said')", str(checkout / "python"), 60)
