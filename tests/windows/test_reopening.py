"""Colours of a review, and a choice that is cancelled, as a person finds them in each QuPath that is installed here."""

import pytest
from support.menu import OPEN, Menu
from support.runs import FREE, discs, made_run
from support.window import installed

from glomseg.qupath.scripts import SUBFOLDER, install_scripts

COLOURS = "inOrder().collect { it.getColor() }"
BOX = "within(ChoiceBox).collect { it.getValue() }.find { it.startsWith('colour') }"


@pytest.mark.qupath
@pytest.mark.slow
@pytest.mark.parametrize("info", installed(), ids=lambda info: info.version)
def test_colours_and_a_cancelled_choice(info, tmp_path, in_each_qupath):
    with in_each_qupath(info) as desk:
        desk.open("kidney_01.tif")
        desk.draw(3)
        desk.start_review()
        for how in ("verdict", "confidence", "none"):
            desk.fx(f"within(ChoiceBox).find {{ 'colour: verdict' in it.getItems() }}.setValue('colour: {how}'); 1")
            desk.press("Y")
            desk.until("data.isChanged()", "false")
            painted, legend = desk.fx(COLOURS), desk.fx("review.getScene().getRoot().lookupAll('.label')*.getText()")
            assert (painted == "[null, null, null]") == (how == "none")
            desk.fx("review.close()")
            desk.open("kidney_02.tif")
            desk.open("kidney_01.tif")
            desk.start_review()
            assert desk.fx(COLOURS) == painted
            assert desk.fx(BOX) == f"colour: {how}"
            assert ("0.75" in desk.text()) == (how == "confidence"), legend
            assert ("to do | accept" in desk.text()) == (how == "verdict")
        desk.fx("review.close()")

        install_scripts(tmp_path / "scripts", force=False)
        desk.window.ask("run", str(tmp_path / "scripts" / SUBFOLDER / "install_menu.groovy"), 60)
        desk.until("gui.getMenu('Extensions>GlomSeg', true).getItems().size() > 5", "true")
        for run in ("run-1", "run-2"):
            made_run(desk.project, run, discs(run, FREE[:3]), ("2",))
        desk.open("kidney_02.tif")
        before = desk.fx("hierarchy.getAnnotationObjects().size()")
        menu = Menu(desk)
        menu.click("Import")
        menu.dialog()
        assert desk.fx(f"{OPEN}.size()") == "1"
        desk.answer("Cancel")
        assert "nothing was chosen, nothing changed" in menu.told("kidney_02.tif")
        assert "no run has a result" not in desk.window.log.read_text("utf-8", "replace")
        assert desk.fx("hierarchy.getAnnotationObjects().size()") == before
        assert desk.fx("data.isChanged()") == "false"
