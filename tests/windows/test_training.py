"""Training on the corrections from the menu to its end, and the new model in the next annotation."""

import sys

import pytest
from support.menu import PROGRESS, Menu

from glomseg.qupath.scripts import PYTHON, SUBFOLDER, install_scripts

pytestmark = [pytest.mark.qupath, pytest.mark.slow, pytest.mark.long]

SHORT = """#!/bin/sh
# glomseg's Python, with which a training takes seconds and is kept
case "$*" in *--from-project*) set -- "$@" --minutes 0.05 --keep-anyway;; esac
exec "{python}" "$@"
"""


@pytest.fixture
def menu(desk, tmp_path, monkeypatch):
    install_scripts(tmp_path, force=False)
    short = tmp_path / "python"
    short.write_text(SHORT.format(python=sys.executable), "utf-8")
    short.chmod(0o755)
    (tmp_path / SUBFOLDER / PYTHON).write_text(f"{short}\n", "utf-8")
    desk.fx("gui.getStage().getProperties().remove('glomseg.python.checked'); 1")
    desk.window.ask("run", str(tmp_path / SUBFOLDER / "install_menu.groovy"), 60)
    desk.until("gui.getMenu('Extensions>GlomSeg', true).getItems().size() > 5", "true")
    yield Menu(desk)
    desk.fx("gui.getStage().getProperties().remove('glomseg.python.checked'); 1")


def test_corrections_become_the_model_that_annotate_proposes(empty):
    menu, desk = empty, empty.desk
    menu.click("Train")
    menu.dialog("field.setText('pas-starter'); pane.lookupButton(ButtonType.OK).fire(); 1")
    desk.settle()
    assert "There is a model pas-starter already" in menu.dialog("pane.getContentText()")
    assert menu.dialog("field.setText('fresh'); field.getText()") == "fresh"
    desk.answer("OK")
    menu.dialog(seconds=200)
    assert "is marked as reviewed; mark images or regions in Review glomeruli" in desk.answer("OK")
    desk.until("gui.getStage().getProperties()['glomseg.running']", "null", 60)

    desk.fx("""['kidney_01.tif', 'kidney_02.tif'].each {
            entryOf(it).putMetadataValue('glomseg.reviewed', 'AB 2026-01-01') }
        gui.getProject().syncChanges()""")
    desk.open("kidney_01.tif")
    desk.draw(8)
    desk.fx("gui.getProject().getEntry(data).putMetadataValue('glomseg.reviewed', 'AB 2026-01-01')")
    desk.open("kidney_02.tif")
    desk.draw(8)
    desk.fx("gui.getProject().getEntry(data).putMetadataValue('glomseg.reviewed', 'AB 2026-01-01')")
    menu.click("Train")
    proposed = menu.dialog("field.getText()")
    assert proposed.startswith("study-")
    desk.answer("OK")
    labels = f"({PROGRESS}?.getScene()?.getRoot()?.lookupAll('.label') ?: [])*.getText()"
    desk.until(f"{labels}.any {{ it.contains(': step ') }}", "true", 300)
    text, folder = menu.result(f"The model {proposed} is ready", 400)
    assert "object F1" in text  # what was gained, and what was forgotten
    assert "starter" in text
    assert folder == str(desk.project.parent.parent / "models" / proposed)

    menu.click("Annotate")
    assert menu.dialog("boxes[3].getValue()") == f"{proposed} (adapted to this project)"
    desk.answer("OK")
    menu.told("kidney_02.tif: ")
    runs = sorted((desk.project.parent / "glomseg").glob("*/run.json"))
    assert f'"model": "{proposed}"' in runs[-1].read_text("utf-8")
    assert list(runs[-1].parent.glob("probability/*.tif"))
