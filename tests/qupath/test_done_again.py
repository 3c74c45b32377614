"""What a person did in an open QuPath while another program saved the image: all of it is brought into what that saved.

"Load it, with what was done here" does so in the windows of the review; here on the data alone.
"""

import json

import pytest
from support.groovy import evaluate
from support.runs import FREE, discs, made_run

from glomseg.qupath.objects import write_geojson
from glomseg.qupath.scripts import list_scripts

pytestmark = pytest.mark.qupath

BEGIN = """
import qupath.lib.images.ImageData
import qupath.lib.images.servers.ImageServerMetadata
import qupath.lib.io.GsonTools
import qupath.lib.io.PathIO
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjects
import qupath.lib.objects.TMACoreObject
import qupath.lib.objects.classes.PathClass
import qupath.lib.objects.hierarchy.DefaultTMAGrid
import qupath.lib.projects.ProjectIO
import qupath.lib.roi.ROIs

def shared = new GroovyShell(getClass().getClassLoader()).parse(new File(SCRIPT))
def entry = ProjectIO.loadProject(new File(PROJECT), java.awt.image.BufferedImage).getImageList()[0]
def (base, ourData, theirData) = (0..2).collect { entry.readImageData() }
def (here, there) = [ourData, theirData]*.getHierarchy()
def bringTogether = {
    def merge = shared.load("glomseg_merge").newInstance(shared, base, ourData, theirData)
    merge.run(base.getServerMetadata())
    merge
}
def told = { said -> GsonTools.getInstance(true).toJson(said) }
def ours = { h -> h.getAnnotationObjects().findAll { it.getMetadata()["glomseg.run"] }
    .sort { it.getROI().getCentroidX() } }
def cell = { item -> PathObjects.createDetectionObject(ROIs.createEllipseROI(item.getROI().getCentroidX(),
    item.getROI().getCentroidY(), 5, 5, null), PathClass.fromString("Podocyte")) }
def mine = ours(here)
"""

PLAY = (
    BEGIN
    + """
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
def tell = { item -> [class: item.getPathClass()?.toString(), name: item.getName(), color: item.getColor(),
    x: item.getROI().getCentroidX(),
    parent: item.getParent().isRootObject() ? null : item.getParent().getID().toString(),
    measurements: item.getMeasurements(), metadata: item.getMetadata()] }
def all = { h -> h.getObjects(null, qupath.lib.objects.PathObject).findAll { !it.isRootObject() }
    .collectEntries { [(it.getID().toString()): tell(it)] } }
def wanted = all(here)
bringTogether()
return told([wanted: wanted, got: all(there)])
"""
)

PLAY_GONE = (
    BEGIN
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
bringTogether()
def stood = ours(there)
return told([wanted: wanted, got: stood*.getID()*.toString(),
    verdict: stood[0].getMetadata()["glomseg.verdict"], cells: stood*.nChildObjects()])
"""
)
"""An undo takes all outlines of a run; a person had done something to some of them meanwhile."""


PLAY_PAINTED = (
    BEGIN
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
bringTogether()
def stood = ours(there)
return told([class: stood[0].getPathClass().toString(), names: stood[0..1]*.getName(),
    verdict: stood[0].getMetadata()["glomseg.verdict"], lock: stood[2].isLocked(), colour: stood[3].getColor(),
    painted: stood.findAll { it.getMetadata()["glomseg.painted"] }.size(),
    more: there.getAnnotationObjects().size() - count])
"""
)
"""The review painted all outlines by confidence, and a person named one, while a colleague judged and changed some."""


PLAY_OTHER_IDS = (
    BEGIN
    + """
mine[0].getMetadata()["glomseg.verdict"] = "accept"
mine[1].setName("ours")
here.removeObject(mine[2], true)
mine[3].setROI(mine[3].getROI().translate(3, 0))
here.addObjectBelowParent(mine[4], cell(mine[4]), true)
def count = there.getAnnotationObjects().size()
there.getAnnotationObjects().each { it.refreshID() }
def theirIds = there.getAnnotationObjects()*.getID() as Set
ours(there)[5].setName("theirs")
def merge = bringTogether()
def stood = ours(there)
return told([less: count - there.getAnnotationObjects().size(), verdict: stood[0].getMetadata()["glomseg.verdict"],
    names: stood*.getName().findAll(), moved: stood[2].getROI().getCentroidX() - ours(base.getHierarchy())[3].getROI()
    .getCentroidX(), cells: stood*.nChildObjects(), ids: stood.every { it.getID() in theirIds }, words: merge.inWords(),
    followed: merge.ids[mine[0].getID()] == stood[0].getID()])
"""
)
"""A colleague saved what QuPath's "Refresh object IDs" did, while things were judged, named, deleted, moved here."""


PLAY_BOTH = (
    BEGIN
    + """
def others = ours(there)
def judge = { item, verdict, initials ->
    item.getMetadata().putAll(["glomseg.verdict": verdict, "glomseg.initials": initials])
    if (verdict == "sclerotic")
        item.getMetadata()["glomseg.grade"] = "3"
    item.setPathClass(PathClass.fromString(verdict == "sclerotic" ? "Glomerulus: Sclerotic" : "Glomerulus"))
}
judge(mine[0], "accept", "AB")
judge(others[0], "sclerotic", "CD")
judge(mine[1], "accept", "AB")
judge(others[1], "accept", "CD")
mine[2].setROI(mine[2].getROI().translate(3, 0))
others[2].getMeasurementList().put("PAS", 0.5)
judge(others[2], "accept", "CD")
others[3].setROI(others[3].getROI().translate(3, 0))
mine[3].getMeasurementList().put("PAS", 0.5)
here.removeObject(mine[4], true)
others[4].getMeasurementList().put("PAS", 0.5)
here.removeObject(mine[5], true)
judge(others[5], "sclerotic", "CD")
mine[6].setROI(mine[6].getROI().translate(3, 0))
others[6].setROI(others[6].getROI().translate(-3, 0))
def merge = bringTogether()
def stood = ours(there)
def noted = { item -> ["verdict", "initials", "grade"].collect { item.getMetadata()["glomseg." + it] } }
return told([said: stood[0..1].collect { noted(it) + it.getPathClass().toString() }, verdict: noted(stood[2])[0],
    pas: stood.collect { "PAS" in it.getMeasurements().keySet() }, moved: [2, 3].collect {
    stood[it].getROI().getCentroidX() - ours(base.getHierarchy())[it].getROI().getCentroidX() }, count: stood.size(),
    contested: merge.contested, words: merge.inWords(), followed: mine[0..1].collect { it.getID() in merge.ids }])
"""
)
"""Two people do something to the same outlines."""

PLAY_CANDIDATES = (
    BEGIN
    + """
def home = new File(PROJECT).toPath().resolveSibling("glomseg")
def file = home.resolve("run-1").resolve("candidates").resolve(entry.getID() + ".geojson")
def (left, right) = (0..1).collect { PathIO.readObjects(file).sort { it.getROI().getCentroidX() } }
[[here, left, "AB"], [there, right, "CD"]].each { hierarchy, items, by ->
    items.each { it.getMetadata().putAll(["glomseg.verdict": "accept", "glomseg.initials": by]) }
    hierarchy.addObjects(items)
}
def move = { item, by ->
    item.setROI(item.getROI().translate(by, 0))
    item.getMeasurementList().put("Confidence", by)
}
move(right[0], 3)
move(left[1], 5)
move(left[2], 5)
move(right[2], 3)
right[3].setName("theirs")
right[3].setDescription("a comment")
right[3].setColor(0x123456)
left[4].setDescription("a comment")
right[5].getMetadata()["glomseg.verdict"] = "reject"
right[5].setPathClass(PathClass.fromString("Rejected"))
right[6].setPathClass(PathClass.fromString("Glomerulus: Crescent"))
shared.load("glomseg_together").addAsWritten(entry, base, ourData, theirData)
def merge = bringTogether()
def stood = left.collect { one -> there.getAnnotationObjects().findAll { it.getID() == one.getID() } }
return told([counts: stood*.size(), moved: [stood*.get(0), PathIO.readObjects(file).sort { it.getROI().getCentroidX() }]
    .transpose().collect { now, was -> now.getROI().getCentroidX() - was.getROI().getCentroidX() },
    confidence: stood.collect { it[0].getMeasurements()["Confidence"] },
    noted: stood[3..4].collect { [it[0].getName(), it[0].getDescription(), it[0].getColor() == null] },
    classes: stood.collect { it[0].getPathClass().toString() },
    by: stood.collect { it[0].getMetadata()["glomseg.initials"] }.unique(), contested: merge.contested])
"""
)
"""Two people accept the same candidates, which the image did not hold before, and one of them does more to some."""

PLAY_BESIDE = (
    BEGIN
    + """
def others = ours(there), judge = { n, verdict -> mine[n].getMetadata()["glomseg.verdict"] = verdict }
def disc = { item, by -> PathObjects.createAnnotationObject(item.getROI().translate(by, 0), item.getPathClass()) }
judge(0, "accept")
judge(1, "reject")
mine[1].setPathClass(PathClass.fromString("Rejected"))
there.removeObjects(others[0..1], true)
there.addObjects(others[0..2].collect { disc(it, 2) })
here.addObject(disc(mine[3], 500))
there.addObject(disc(others[3], 503))
def merge = bringTogether()
return told([doubled: merge.doubled, words: merge.inWords()])
"""
)
"""What was judged here stands again beside another in its place; both draw one; one there lay on another before."""


PLAY_IMAGE = (
    BEGIN
    + """
import qupath.lib.color.ColorDeconvolutionStains
import qupath.lib.plugins.workflow.DefaultScriptableWorkflowStep
def all = [base, ourData, theirData]
def cells = (0..<4).collect { n ->
    def made = all.collect { cell(mine[n]) }
    made.each { it.setID(made[0].getID()) }
    [all, made].transpose().each { data, item -> data.getHierarchy().addObject(item) }
    made
}
cells[0][1].getMeasurementList().put("nuclei", 12)
cells[1][2].getMeasurementList().put("theirs", 3)
cells[2][1].setName("ours")
here.removeObject(cells[3][1], true)
theirData.setImageType(ImageData.ImageType.FLUORESCENCE)
theirData.setImageType(base.getImageType())
ourData.setImageType(ImageData.ImageType.BRIGHTFIELD_OTHER)
def stains = ColorDeconvolutionStains.parseColorDeconvolutionStainsArg('{"Name": "PAS", "Stain 1": "Schiff", ' +
    '"Values 1": "0.2 0.8 0.5", "Stain 2": "Blue", "Values 2": "0.7 0.6 0.3", "Background": "243 243 243"}')
ourData.setColorDeconvolutionStains(stains)
def step = { text -> new DefaultScriptableWorkflowStep(text, "println '${text}'") }
ourData.getHistoryWorkflow().addStep(step("ours"))
theirData.getHistoryWorkflow().addStep(step("theirs"))
ourData.setProperty("mine", "1")
theirData.setProperty("yours", "2")
theirData.setProperty("glomseg.write", "glomseg.write=abc")
ourData.setProperty("glomseg.seen", "0,0,9,9;9,0,9,9")
theirData.setProperty("glomseg.seen", "0,0,9,9;0,9,9,9")
def size = ourData.getServerMetadata()
ourData.updateServerMetadata(new ImageServerMetadata.Builder(size).pixelSizeMicrons(0.5, 0.5).build())
def cores = (0..<2).collect { PathObjects.createTMACoreObject(300 + 600 * it, 300, 500, it == 1) }
here.setTMAGrid(DefaultTMAGrid.create(cores, 2))
def inside = PathObjects.createAnnotationObject(ROIs.createRectangleROI(280, 280, 20, 20, null))
here.addObjectBelowParent(cores[0], inside, true)
def merge = bringTogether()
def found = { id -> there.getObjects(null, PathObject).find { it.getID() == id } }
return told([cells: cells*.get(0)*.getID().collect(found).collect { it == null ? null :
    [it.getName(), it.getMeasurements()] }, type: theirData.getImageType().toString(),
    stains: theirData.getColorDeconvolutionStains() == stains,
    steps: theirData.getHistoryWorkflow().getSteps()*.getName().findAll { it in ["ours", "theirs"] },
    properties: ["mine", "yours", "glomseg.write", "glomseg.seen"].collect { theirData.getProperty(it) },
    pixel: theirData.getServerMetadata().getPixelWidthMicrons(),
    grid: there.getTMAGrid().getTMACoreList().collect { it.isMissing() },
    inside: found(inside.getID()).getParent() == there.getTMAGrid().getTMACoreList()[0], words: merge.inWords()])
"""
)
"""What was done to the image itself, to its cells, and a grid that was made."""


def _played(play, moved, one_process):
    paths = {"SCRIPT": list_scripts()["find_missed"].with_name("glomseg_shared.groovy"), "PROJECT": moved}
    return json.loads(one_process.call(evaluate, play, {name: str(path) for name, path in paths.items()}))


@pytest.fixture
def played(moved, one_process, glomseg):
    """Play what was done here and there, after a run was brought in."""
    made_run(moved, "run-1", discs("run-1", FREE))
    assert glomseg("collect", moved).code == 0
    return lambda play: _played(play, moved, one_process)


def test_what_was_judged_here_stays_though_it_went_there(played):
    said = played(PLAY_GONE)
    assert said["got"] == said["wanted"]
    assert said["verdict"] == "accept"
    assert said["cells"] == [0, 0, 1, 0, 0]


def test_what_was_done_here_and_there_stands_in_both(played):
    said = played(PLAY)
    wanted, got = said["wanted"], said["got"]
    assert got.keys() == wanted.keys()
    written = [item for item in got.values() if item["metadata"].get("glomseg.measured") == "PAS"]
    assert len(written) == len(FREE) - 2  # one was deleted here, and one reshaped, which stands as it is here
    for item in written:
        assert item["measurements"].pop("PAS") == 0.5
        assert item["metadata"].pop("glomseg.measured") == "PAS"
    assert got == wanted


@pytest.mark.parametrize("refreshed", ["false", "true"], ids=["colours", "and ids"])
def test_the_reviews_colours_and_new_ids_take_nothing_of_a_colleagues_away(played, refreshed):
    """Each was taken for something done to every object: a colleague's verdicts, names and locks went."""
    said = played(PLAY_PAINTED.replace("REFRESHED", refreshed))
    assert said["more"] == 0
    assert (said["class"], said["verdict"]) == ("Glomerulus: Sclerotic", "sclerotic")
    assert said["names"] == ["ours", "theirs"]
    assert said["lock"]
    assert (said["colour"] & 0xFFFFFF, said["painted"]) == (0x654321, 0)


def test_what_was_done_here_is_found_again_by_its_outline_where_the_ids_are_others_now(played):
    said = played(PLAY_OTHER_IDS)
    assert said["less"] == 1
    assert said["verdict"] == "accept"
    assert said["names"] == ["ours", "theirs"]
    assert said["moved"] == 3
    assert said["cells"][:4] == [0, 0, 0, 1]
    assert said["ids"]
    assert said["followed"]
    assert not said["words"]


def test_where_both_did_something_to_an_outline_what_was_done_here_stands_and_that_is_said(played):
    said = played(PLAY_BOTH)
    ours = ["accept", "AB", None, "Glomerulus"]
    assert said["said"] == [ours, ours]  # no half of another's verdict
    assert said["verdict"] == "accept"
    assert said["count"] == len(FREE) - 2
    assert said["moved"] == [3, 3]
    assert not any(said["pas"])  # what was measured is of another outline than stands
    assert said["contested"] == 3  # a verdict, a deletion of what was judged, an outline
    assert "3 objects" in said["words"]
    assert said["followed"] == [True, True]


def test_a_candidate_that_two_accepted_stands_with_what_either_did_to_it(played, moved):
    """What was here took the place of all that the other had done to it: what the run wrote was not known."""
    write_geojson(moved.parent / "glomseg/run-1/candidates/1.geojson", discs("run-1", [(x, 600) for x, _ in FREE]))
    said = played(PLAY_CANDIDATES)
    assert said["counts"] == [1] * len(FREE)
    assert said["moved"] == [3, 5, 5, 0, 0, 0, 0, 0]
    assert said["confidence"] == [3, 5, 5] + [0.75] * 5
    assert said["noted"] == [["theirs", "a comment", False], [None, "a comment", True]]
    assert said["classes"] == ["Glomerulus"] * 6 + ["Glomerulus: Crescent", "Glomerulus"]  # accepting gives no class
    assert said["by"] == ["AB"]
    assert said["contested"] == 2  # an outline, a verdict


def test_outlines_that_lie_on_each_other_since_are_said(played):
    said = played(PLAY_BESIDE)
    assert said["doubled"] == 2
    assert "2 outlines of here and there lie on another, and both stand" in said["words"]


def test_what_was_done_to_the_image_itself_and_to_its_cells_stands(played):
    said = played(PLAY_IMAGE)
    assert said["cells"] == [[None, {"nuclei": 12.0}], [None, {"theirs": 3.0}], ["ours", {}], None]
    assert said["type"] == "Brightfield (other)"
    assert said["stains"]
    assert said["steps"] == ["theirs", "ours"]
    assert said["properties"] == ["1", "2", "glomseg.write=abc", "0,0,9,9;0,9,9,9;9,0,9,9"]
    assert said["pixel"] == 0.5
    assert said["grid"] == [False, True]
    assert said["inside"]
    assert not said["words"]
