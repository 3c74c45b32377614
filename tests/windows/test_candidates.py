"""What a run was not sure of is offered in the review, and outlines by two clicks follow what a run's model saw."""

import json
import shutil

import numpy as np
import pytest
from support.another_qupath import ELSEWHERE, WARNED, load_it
from support.runs import discs, made_run
from support.slides import Disc, disc_slide

from glomseg.qupath.objects import write_geojson
from glomseg.qupath.scripts import list_scripts
from glomseg.runs.image_record import ImageRecord, State
from glomseg.runs.ownership import RUN
from glomseg.segment.probability_map import ProbabilityMap
from glomseg.segment.tiles import ReadingFrame, Tile

pytestmark = [pytest.mark.qupath, pytest.mark.slow]

ON_DISK = """entryOf('kidney_01.tif').readHierarchy().getAnnotationObjects().sort { it.getROI().getCentroidX() }
    .collect { [it.getPathClass(), verdict(it), it.getMetadata()['glomseg.run']] }.toString()"""
UNDO = "gui.getUndoRedoManager().undoOnce()"


@pytest.fixture
def offered(desk):
    """A review of two discs by AB, and three candidates of the newest run, one of them where a disc stands."""
    runs = desk.project.parent / "glomseg"
    run = made_run(desk.project, "run-7", discs("run-7", [(70, 130)]))
    write_geojson(run.candidates_path("1"), discs("run-7", [(72, 128), (600, 500), (900, 500)]))
    desk.open("kidney_01.tif")
    desk.draw(2)  # at 40 and 240 px, 100 px from above
    desk.start_review()
    for choice in ("no candidates", "candidates last"):  # read anew, with what stands in the image now
        choose(desk, choice)
    yield desk
    shutil.rmtree(runs / "run-7")


def choose(desk, what):
    desk.fx(f"within(ChoiceBox)[1].getSelectionModel().select('{what}'); review.getScene().getRoot().requestFocus()")
    desk.settle()


def test_candidates_come_after_what_counts_and_become_a_persons_once_judged(offered):
    assert "2 to do (+ 2 candidates)" in offered.text()
    offered.press("Y")
    offered.press("Y")
    assert "3 of 4: candidate, confidence 0.75" in offered.text()
    assert offered.fx("hierarchy.getAnnotationObjects().size()") == "2"
    offered.press("X")
    offered.press("K")
    assert "All have a verdict" in offered.text()
    offered.until("data.isChanged()", "false")
    told = "[Glomerulus, accept, null], [Glomerulus, accept, null]"
    first, second = "[Rejected, reject, run-7]", "[Glomerulus: Sclerotic, sclerotic, run-7]"
    assert offered.fx(ON_DISK) in (f"[{told}, {first}, {second}]", f"[{told}, {second}, {first}]")
    choose(offered, "candidates among them")
    assert "candidates" not in offered.text().partition("to do")[2].partition("project")[0]  # none comes back
    assert "All have a verdict" in offered.text()


def test_what_a_run_found_and_nobody_brought_in_is_said_before_an_image_is_marked_as_reviewed(offered):
    """All that is offered may have been judged, and the rest of what that run found never seen."""
    for key in "YYXK":
        offered.press(key)
    offered.until("data.isChanged()", "false")
    offered.fx("javafx.application.Platform.runLater { within(Button).find { it.getText() =~ /fully/ }.fire() }; 1")
    said = offered.answer("No")
    assert "1 outline of the newest run is not in the image (`glomseg collect`" in said
    assert "verdict" not in said.partition(". Mark")[0]


def test_a_run_that_was_taken_back_offers_nothing(offered):
    written = offered.project.parent / "glomseg/run-7/changes/1"
    written.mkdir(parents=True)
    (written / "9.json").write_text('{"kind": "collect"}')
    (written / "10.json").write_text('{"kind": "undo"}')
    for choice in ("no candidates", "candidates last"):
        choose(offered, choice)
    assert "2 to do   |" in offered.text()


def test_what_a_run_found_on_another_image_is_offered_nowhere(offered):
    """As where a project was made again in its old folder, and ids began anew."""
    file = offered.project.parent / "glomseg/run-7/run.json"
    record = json.loads(file.read_text("utf-8"))
    record["images"]["1"].update(width=10, height=10)
    file.write_text(json.dumps(record), "utf-8")
    for choice in ("no candidates", "candidates last"):
        choose(offered, choice)
    assert "2 to do   |" in offered.text()
    assert "Left out is what run-7 found, on another image under the id 1." in offered.text()


def test_a_candidate_that_was_judged_goes_back_with_u_and_comes_back_after_qupaths_undo(offered):
    choose(offered, "candidates among them")
    offered.press("PAGE_DOWN", times=1)
    offered.press("PAGE_DOWN", times=1)
    assert "candidate" in offered.text().partition(" of 4: ")[2][:12]
    offered.press("X")
    assert offered.fx("hierarchy.getAnnotationObjects().size()") == "3"
    offered.press("U")
    assert offered.fx("hierarchy.getAnnotationObjects().size()") == "2"
    assert "2 to do (+ 2 candidates)" in offered.text()
    offered.press("Y")
    assert offered.fx(f"hierarchy.getAnnotationObjects().count {{ it.getMetadata()['{RUN}'] == 'run-7' }}") == "1"
    offered.fx("hierarchy.removeObject(inOrder()[0], true)")
    offered.fx(UNDO)  # to the last step before, which knows nothing of the candidate
    offered.until("hierarchy.getAnnotationObjects().count { verdict(it) == 'accept' }", "1")
    assert offered.fx("hierarchy.getAnnotationObjects().size()") == "3"
    choose(offered, "no candidates")
    assert "(+" not in offered.text()


def test_a_candidate_that_another_redrew_and_accepted_stands_so_where_it_is_accepted_here_as_it_was(offered):
    """The outline that was here took the place of the other's redrawing."""
    offered.fx(
        ELSEWHERE
        + f"""def file = new File('{offered.project.parent}/glomseg/run-7/candidates/1.geojson').toPath()
        def items = qupath.lib.io.PathIO.readObjects(file).findAll {{ it.getROI().getCentroidX() > 500 }}
        items[0].setROI(items[0].getROI().translate(0, 7))
        items.each {{ it.getMetadata()['glomseg.verdict'] = 'accept' }}
        theirs.getHierarchy().addObjects(items)
        there.saveImageData(theirs)"""
    )
    offered.until(WARNED, "true")
    for _ in range(4):
        offered.press("Y")
    assert "All have a verdict" in offered.text()
    load_it(offered)
    assert offered.on_disk() == "accept accept accept accept"
    lows = "entryOf('kidney_01.tif').readHierarchy().getAnnotationObjects()*.getROI()*.getCentroidY()"
    assert offered.fx(f"{lows}.collect {{ Math.round(it) }}.sort().toString()") == "[130, 130, 500, 507]"
    assert "Changed both here and by the other program" not in offered.text()


def test_a_run_that_ends_while_its_image_is_under_review_brings_its_candidates(offered):
    choose(offered, "candidates among them")
    for _ in range(2):
        offered.press("PAGE_DOWN")
    assert "3 of 4: candidate" in offered.text()
    run = made_run(offered.project, "run-8", discs("run-8", [(70, 130)]))
    try:
        write_geojson(run.candidates_path("1"), discs("run-8", [(600, 500), (900, 500), (1200, 500)]))
        offered.fx("hierarchy.addObject(PathObjects.createAnnotationObject(ROIs.createRectangleROI(5, 5, 9, 9, null)))")
        offered.until("within(Labeled).any { it.getText() =~ /2 to do .. 3 candidates/ }", "true")
        assert "3 of 5: candidate" in offered.text()  # another one than before
        offered.press("X")
        assert offered.fx("hierarchy.getAnnotationObjects().count { verdict(it) == 'reject' }") == "1"
    finally:
        shutil.rmtree(run.folder)


def test_the_walk_offers_candidates_in_their_fields_and_the_review_leads_there_and_back(offered):
    walk = "gui.getStage().getProperties().get('glomseg.missed')"
    said = f"{walk}.getScene().getRoot().lookupAll('.label').find {{ it.getText() =~ /seen/ }}?.getText()"
    ours = f"hierarchy.getAnnotationObjects().findAll {{ it.getMetadata()['{RUN}'] == 'run-7' }}"
    for _ in range(4):
        offered.press("PAGE_DOWN")
    offered.fx("within(Button).find { it.getText() == 'Find what was missed' }.fire()")
    offered.until(f"{walk}?.isShowing()", "true")
    assert offered.fx("[review.isShowing(), gui.getOverlayOptions().getShowNames()]") == "[false, false]"
    offered.fx(f"{walk}.getScene().getRoot().lookupAll('.text-field')[0].setText('AB')")
    for _ in range(9):
        if "candidate, confidence 0.75" in offered.fx(said):
            break
        offered.press("PAGE_DOWN", window=walk)
    offered.press("Y", window=walk)
    assert offered.fx(f"{ours}.collect {{ [it.getPathClass(), verdict(it), it.isLocked()] }}") == (
        "[[Glomerulus, accept, true]]"
    )
    assert ", 1 added" in offered.fx(said)
    offered.press("U", window="gui.getStage()")
    assert offered.fx(f"{ours}.size()") == "0"
    offered.press("X", window="gui.getStage()")
    assert ", 1 rejected" in offered.fx(said)
    assert "added" not in offered.fx(said)
    offered.fx(UNDO)
    assert offered.fx(f"{ours}.size()") == "0"
    offered.press("PAGE_UP", window=walk)
    offered.press("PAGE_DOWN", window=walk)
    assert "candidate, confidence 0.75" in offered.fx(said)
    offered.press("X", window=walk)
    offered.fx("hierarchy.addObject(PathObjects.createAnnotationObject(ROIs.createRectangleROI(5, 5, 9, 9, null)))")
    offered.fx(UNDO)  # of what was drawn alone: the step before it knows the verdict
    offered.fx("gui.getProject().getEntry(data).saveImageData(data)")
    assert "[Rejected, reject, run-7]" in offered.fx(ON_DISK)
    offered.fx(f"{walk}.getScene().getRoot().lookupAll('.button').find {{ it.getText() == 'Review' }}.fire()")
    offered.until("review.isShowing()", "true")
    assert "2 to do, 1 reject" in offered.text() or "1 reject, 2 to do" in offered.text()
    assert "(+ 1 candidate)" in offered.text()


LOAD = """def file = new File('{folder}/glomseg_shared.groovy')
def shared = new GroovyShell(qupath.lib.gui.QuPathGUI.classLoader).parse(file)
def walk = shared.load('glomseg_walk')
def loader = walk.getClassLoader()
def TwoClicks = loader.loadClass('TwoClicks'), Probability = loader.loadClass('Probability')
def server = qupath.lib.images.servers.ImageServers.buildServer(new File('{slide}').toURI())
def overlap = {{ roi, x, y, rx, ry ->
    def truth = qupath.lib.roi.ROIs.createEllipseROI(x - rx, y - ry, 2 * rx, 2 * ry, null).getGeometry()
    roi.getGeometry().intersection(truth).getArea() / roi.getGeometry().union(truth).getArea() }}
"""


def test_two_clicks_outline_an_ellipse_or_what_the_probabilities_say(desk, tmp_path):
    """Of an ellipse both ways; where a run kept probabilities, they win over the edges in the image."""
    slide = disc_slide(tmp_path / "s.tif", size=(1600, 900), discs=[Disc(500, 400, 150, 90)], tissue=(0, 0, 1600, 900))
    frame = ReadingFrame.of(1600, 900, 0.5, 0.5, 1.25)
    run = made_run(desk.project.parent / "other.qpproj", "run-8", discs("run-8", [(100, 100)]))
    run.update("1", ImageRecord(name="s", state=State.DONE, mpp=(0.5, 0.5), reading_mpp=1.25))
    with ProbabilityMap(frame, classes=2) as values:
        _, rows, columns = values.shape
        y, x = np.mgrid[:rows, :columns] + 0.5
        second = ((np.hypot((x * 2.5 - 1100) / 120, (y * 2.5 - 500) / 80) < 1) * 0.8 * 255).astype(np.uint8)
        values.write(Tile(0, 0, columns, rows, 0), np.stack([second // 4, second]))
        (run.folder / "probability").mkdir()
        values.save(run.folder / "probability/1.tif", ("A", "B"))
    code = (
        LOAD.format(folder=next(iter(list_scripts().values())).parent, slide=slide.path)
        + f"""
def map = Probability.of(java.nio.file.Path.of('{run.folder}'), '1')
map.open(900d, 300d, 1300d, 700d)
[overlap(TwoClicks.outline(server, [350, 402], [652, 398]), 500, 400, 150, 90),
 overlap(TwoClicks.outline(server, [350, 402], [652, 398], map), 500, 400, 150, 90),
 overlap(TwoClicks.outline(server, [975, 500], [1225, 510], map), 1100, 500, 120, 80),
 map.at(1100d, 500d), map.at(1000d, 620d), TwoClicks.outline(server, [5, 5], [6, 6]) == null]"""
    )
    edges, no_map, grown, inside, outside, spot = desk.window.ask("eval", code, 60).strip("[]").split(", ")
    assert float(edges) > 0.93
    assert float(no_map) > 0.93  # the run saw nothing there
    assert float(grown) > 0.93
    assert float(inside) == pytest.approx(0.8, abs=0.01)
    assert float(outside) == pytest.approx(0.0, abs=0.01)
    assert spot == "true"
    shutil.rmtree(run.folder)
