"""What a person did in an open QuPath while another program saved the image: all of it is brought into what that saved.

"Load it, with what was done here" does so in the windows of the review; here on the objects of two hierarchies alone.
"""

import json

import pytest
from support.groovy import evaluate
from support.runs import FREE, discs, made_run

from glomseg.qupath.scripts import list_scripts

pytestmark = pytest.mark.qupath

PLAY = """
import qupath.lib.io.GsonTools
import qupath.lib.io.PathIO
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.roi.ROIs

class There {
    def hierarchy
}
def saving = new GroovyShell(getClass().getClassLoader()).parse(new File(SCRIPT))
def here = PathIO.readHierarchy(new File(DATA)), there = PathIO.readHierarchy(new File(DATA))
def ours = { h -> h.getAnnotationObjects().findAll { it.getMetadata()["glomseg.run"] }
    .sort { it.getROI().getCentroidX() } }
def cell = { item -> PathObjects.createDetectionObject(ROIs.createEllipseROI(item.getROI().getCentroidX(),
    item.getROI().getCentroidY(), 5, 5, null), PathClass.fromString("Podocyte")) }
def before = saving.signatures(here)
def mine = ours(here)
mine[0].setColor(0x123456)
mine[1].getMeasurementList().put("nuclei", 12)
here.addObjectBelowParent(mine[2], cell(mine[2]), true)
here.removeObject(mine[3], true)
mine[4].setROI(mine[4].getROI().translate(3, 0))
here.addObjectBelowParent(mine[4], cell(mine[4]), true)
mine[5].setName("renamed")
mine[6].getMetadata()["stain"] = "PAS"
def drawn = PathObjects.createAnnotationObject(ROIs.createRectangleROI(20, 500, 90, 90, null))
here.addObject(drawn)
2.times { here.addObjectBelowParent(drawn, cell(drawn), true) }
here.addObjectBelowParent(drawn, mine[7], true)
def detection = cell(drawn)
here.addObject(detection)

def others = ours(there)
others.each {
    it.getMeasurementList().put("PAS", 0.5)
    it.getMetadata()["glomseg.measured"] = "PAS"
}
def told = { item -> [class: item.getPathClass()?.toString(), name: item.getName(), color: item.getColor(),
    x: item.getROI().getCentroidX(),
    parent: item.getParent().isRootObject() ? null : item.getParent().getID().toString(),
    measurements: item.getMeasurements(), metadata: item.getMetadata()] }
def all = { h -> h.getObjects(null, qupath.lib.objects.PathObject).findAll { !it.isRootObject() }
    .collectEntries { [(it.getID().toString()): told(it)] } }
def wanted = all(here)
saving.doAgain(before, here, new There(hierarchy: there))
return GsonTools.getInstance(true).toJson([wanted: wanted, got: all(there)])
"""

PLAY_GONE = (
    PLAY.partition("mine[0]")[0]
    + """
mine[0].getMetadata()["glomseg.verdict"] = "accept"
mine[1].setPathClass(PathClass.fromString("Glomerulus: Sclerotic"))
mine[2].setColor(0x123456)
mine[2].getMetadata()["glomseg.painted"] = 0x123456.toString()  // by the review
here.addObjectBelowParent(mine[3], cell(mine[3]), true)
mine[4].setColor(0x123456)
mine[5].getMeasurementList().put("nuclei", 12)
def wanted = [0, 1, 3, 4, 5].collect { mine[it].getID().toString() }
there.removeObjects(ours(there), true)
saving.doAgain(before, here, new There(hierarchy: there))
def stood = ours(there)
return GsonTools.getInstance(true).toJson([wanted: wanted, got: stood*.getID()*.toString(),
    verdict: stood[0].getMetadata()["glomseg.verdict"], cells: stood*.nChildObjects()])
"""
)
"""An undo takes all outlines of a run; a person had done something to some of them meanwhile."""


PLAY_PAINTED = (
    PLAY.partition("mine[0]")[0]
    + """
mine.each {
    it.setColor(0x123456)
    it.getMetadata()["glomseg.painted"] = 0x123456.toString()
}
mine[0].setName("ours")
if (REFRESHED)
    here.getAnnotationObjects().each { it.refreshID() }
def others = ours(there)
def count = there.getAnnotationObjects().size()
others[0].setPathClass(PathClass.fromString("Glomerulus: Sclerotic"))
others[0].getMetadata()["glomseg.verdict"] = "sclerotic"
others[1].setName("theirs")
others[2].setLocked(true)
others[3].setColor(0x654321)
saving.doAgain(before, here, new There(hierarchy: there))
def stood = ours(there)
return GsonTools.getInstance(true).toJson([class: stood[0].getPathClass().toString(), names: stood[0..1]*.getName(),
    verdict: stood[0].getMetadata()["glomseg.verdict"], lock: stood[2].isLocked(), colour: stood[3].getColor(),
    painted: stood.findAll { it.getMetadata()["glomseg.painted"] }.size(),
    more: there.getAnnotationObjects().size() - count])
"""
)
"""The review painted all outlines by confidence, and a person named one, while a colleague judged and changed some."""


def _played(play, moved, one_process):
    paths = {"SCRIPT": list_scripts()["find_missed"].with_name("glomseg_saving.groovy")}
    paths["DATA"] = moved.parent / "data/1/data.qpdata"
    return json.loads(one_process.call(evaluate, play, {name: str(path) for name, path in paths.items()}))


def test_what_was_judged_here_stays_though_it_went_there(moved, one_process, glomseg):
    made_run(moved, "run-1", discs("run-1", FREE))
    assert glomseg("collect", moved).code == 0
    said = _played(PLAY_GONE, moved, one_process)
    assert said["got"] == said["wanted"]
    assert said["verdict"] == "accept"
    assert said["cells"] == [0, 0, 1, 0, 0]


def test_what_was_done_here_and_there_stands_in_both(moved, one_process, glomseg):
    made_run(moved, "run-1", discs("run-1", FREE))
    assert glomseg("collect", moved).code == 0
    said = _played(PLAY, moved, one_process)
    wanted, got = said["wanted"], said["got"]
    assert got.keys() == wanted.keys()
    written = [item for item in got.values() if item["metadata"].get("glomseg.measured") == "PAS"]
    assert len(written) == len(FREE) - 2  # one was deleted here, and one reshaped, which stands as it is here
    for item in written:
        assert item["measurements"].pop("PAS") == 0.5
        assert item["metadata"].pop("glomseg.measured") == "PAS"
    assert got == wanted


@pytest.mark.parametrize("refreshed", ["false", "true"], ids=["colours", "and ids"])
def test_the_reviews_colours_and_new_ids_take_nothing_of_a_colleagues_away(moved, one_process, glomseg, refreshed):
    """Each was taken for something done to every object: a colleague's verdicts, names and locks went."""
    made_run(moved, "run-1", discs("run-1", FREE))
    assert glomseg("collect", moved).code == 0
    said = _played(PLAY_PAINTED.replace("REFRESHED", refreshed), moved, one_process)
    assert said["more"] == 0
    assert (said["class"], said["verdict"]) == ("Glomerulus: Sclerotic", "sclerotic")
    assert said["names"] == ["ours", "theirs"]
    assert said["lock"]
    assert (said["colour"] & 0xFFFFFF, said["painted"]) == (0x654321, 0)
