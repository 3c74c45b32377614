/*
 * Purpose: bring the outlines of a glomseg run into the open image or, with "Run for project", into every image.
 *          For a machine on which glomseg's Python and QuPath do not meet; elsewhere `glomseg collect` does the same.
 * Input:   the project's folder "glomseg" as the run left it. Arguments (none is needed):
 *            a run's id, or the path of a run folder   [the newest run that has a result for the image]
 *            forget-rejections                         offer again what was deleted from earlier results
 * Output:  annotations; the image is saved if anything changed. Its data before the change is copied to
 *          glomseg/<run>/backup/<image> or, where the run has written before, to glomseg/backup/<image>; what changed
 *          and what is to be remembered goes to glomseg/<run>/changes and glomseg/memory, so that `glomseg undo` takes
 *          the import back. Nothing is done while another glomseg works in that folder.
 *          What a person drew, changed, locked or judged is never touched, and what a person deleted stays away. That
 *          all outlines of a run are gone at once is not taken for a review, and said.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import groovy.transform.Field
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption
import java.security.MessageDigest
import java.util.concurrent.Callable
import qupath.fx.dialogs.Dialogs
import qupath.fx.utils.FXUtils
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.io.GsonTools
import qupath.lib.io.PathIO

@Field static final String WRITE = "glomseg.write"  // of the image's data: which write it is based on
@Field static final String STANDS = "glomseg.stands"  // of the image's data: whose outcome stands, as undos take back

def shared = new GroovyShell(getClass().getClassLoader()).parse(besideThis("glomseg_shared.groovy"))
def imageData = getCurrentImageData()
def project = getProject()
def entry = getProjectEntry()
if (imageData == null || entry == null)
    throw new IllegalStateException("Open an image of a project first; results belong to the images of a project.")
def given = binding.hasVariable("args") ? (args as List<String>) : []
def key = entry.getID()
def home = entry.getEntryPath().getParent().getParent().resolve("glomseg")
def runs = runsOf(shared, home, given.find { it != "forget-rejections" }, key)
if (!runs) {
    say(shared, imageData, "no run has a result for it in ${home}")
    return
}
def wasShown = shared.isShown(imageData)
def run = chooseRun(shared, runs, wasShown)
if (run == null) {
    println "${entry.getImageName()}: nothing was chosen, nothing changed"
    return
}
def forget = given.contains("forget-rejections")
def work = { shared.load("glomseg_lock").holding(home) { bringIn(shared, run, home, forget) } }
// the choice may have taken long: what counts is the image as a viewer shows it now
return wasShown ? shared.withDataOfNow(project, entry, work) : work()


Map<String, Integer> bringIn(def shared, Path run, Path home, boolean forget) {
    def imageData = getCurrentImageData()
    def entry = getProjectEntry()
    def key = entry.getID()
    refuseAnotherImage(shared, run, entry, imageData)
    def hierarchy = imageData.getHierarchy()
    def ofRun = shared.load("glomseg_run_file")
    def (predictions, foreign) = ofRun.outlines(run, key)
    def decide = shared.load("glomseg_ownership"), runs = shared.load("glomseg_runs")
    def areaFile = run.resolve("area").resolve(key + ".geojson")
    def area = Files.exists(areaFile) ? decide.union(PathIO.readObjects(areaFile)) : null
    def before = imageData.getProperty(WRITE)?.toString()?.minus(WRITE + "=")
    refuseDataOfAnother(shared, home, before, entry, imageData)
    shared.refuseToOverwrite(entry, imageData)
    shared.load("glomseg_image_settings").takeSaved(getProject(), entry, imageData)
    def earlier = remembered(shared, memoryOf(home, key, before), before != null, forget)
    def isLost = earlier == null
    earlier = earlier ?: []
    def existing = hierarchy.getAnnotationObjects() as List
    def elsewhere = before == null ? null : [] as Set
    def plan = decide.plan(existing, predictions, area, earlier, [
        known: before != null, forget: forget, detections: decide.large(hierarchy, predictions),
        brought: isLost ? [] : decide.brought(existing, earlier) { decide.foundBy(home, it, key, elsewhere) }])
    if (plan.remove || plan.add) {
        def write = UUID.randomUUID().toString().replace("-", "")
        shared.load("glomseg_backup").copy(entry, getProject().getPath(), home, run)
        remember(plan.remember, home.resolve("memory").resolve(key).resolve(write + ".geojson"))
        keepChange(shared, home, run, key, [
            mark: write, previous_mark: before, removed: plan.remove, added: plan.add, remembered: plan.remembered,
            stood: existing.findAll { !(it in plan.remove) }])
        addClasses(shared, plan.add)
        def takeAway = { hierarchy.removeObjects(plan.remove, true) }
        plan.add ? shared.withoutStep(takeAway) : takeAway()  // all is one step back for QuPath's undo, not half of it
        hierarchy.addObjects(plan.add)
        imageData.setProperty(WRITE, WRITE + "=" + write)
        imageData.setProperty(STANDS, STANDS + "=" + write + ":" + write)
        shared.saveData(entry, imageData)
    } else {
        keepUnchanged(run, key)
    }
    def hidden = plan.add && shared.isShown(imageData) &&
        FXUtils.callOnApplicationThread({ shared.hideNames() } as Callable)
    def scale = otherScale(runs.fromFile(run.resolve("run.json")).images?.get(key)?.mpp, imageData.getServer())
    if (scale)
        say(shared, imageData, "WARNING: run ${run.getFileName()} ${scale}, annotate it anew")
    ofRun.remarks(predictions, foreign, run, key).each { say(shared, imageData, it) }
    if (plan.doubtful)
        say(shared, imageData, "WARNING: all ${plan.doubtful.size()} outlines of an earlier run are gone at once, " +
            "which is not taken for a review; `glomseg collect --believe-deletions` takes it for one")
    say(shared, imageData, "${plan.add.size()} added, ${plan.remove.size()} removed, ${plan.keep.size()} as before, " +
        "${plan.person} left to a person's, ${plan.rejected} rejected before (run ${run.getFileName()})" +
        (hidden ? "; " + shared.NAMES_ARE_HIDDEN : ""))
    return [added: plan.add.size(), removed: plan.remove.size(), kept: plan.keep.size(), person: plan.person,
            rejected: plan.rejected, doubtful: plan.doubtful.size(), hidden: hidden ? 1 : 0,
            corrected: ofRun.corrected(predictions), foreign: foreign.size()]
}

/** Refuse a run that looked at another image under this id. */
void refuseAnotherImage(def shared, Path run, def entry, def imageData) {
    def record = shared.load("glomseg_runs").record(run).images?.get(entry.getID())
    if (shared.load("glomseg_same_image").isOfAnother(record, getProject(), entry, imageData.getServer()))
        throw new IllegalStateException("Run ${run.getFileName()} looked at another image under the id " +
            "${entry.getID()} (${record.name}); its outlines do not belong on ${entry.getImageName()}.")
}

/** Say that an image has another pixel size than a run read it with, as same_image.py does; "" where it has not. */
String otherScale(List read, def server) {
    def calibration = server.getPixelCalibration()
    def now = [calibration.getPixelWidthMicrons(), calibration.getPixelHeightMicrons()]
    if (!read || !calibration.hasPixelSizeMicrons() ||
            [read, now].transpose().every { Math.abs(it[0] - it[1]) <= 0.01 * Math.max(it[0], it[1]) })
        return ""
    def (before, after) = [read[0], now[0]].collect { Math.round(it * 1e4d) / 1e4d }
    return "read it with ${before} um per pixel, and it has ${after} now; where that is right"
}

/** Refuse data into which a run of another image of this id wrote, as where two projects share a folder. */
void refuseDataOfAnother(def shared, Path home, String write, def entry, def imageData) {
    def runs = shared.load("glomseg_runs")
    def key = entry.getID()
    def wrote = home.toFile().listFiles().find { folder ->
        write != null && (new File(folder, "changes/" + key).listFiles() ?: []).any {
            it.getName() ==~ /\d+\.json/ && runs.fromFile(it.toPath()).mark == write
        }
    }
    def record = wrote == null ? null : runs.fromFile(wrote.toPath().resolve("run.json")).images?.get(key)
    if (shared.load("glomseg_same_image").isOfAnother(record, getProject(), entry, imageData.getServer()))
        throw new IllegalStateException("${entry.getImageName()}: its data holds what run ${wrote.getName()} found " +
            "on another image (${record.name}): two projects share this folder, or this one was made again over it. " +
            "Give each project a folder of its own, a copy with its data, and take that run back in this one: " +
            "glomseg undo PROJECT ${wrote.getName()}")
}

/** Tell a result: by a notification where a viewer shows the image, and in the log. */
void say(def shared, def imageData, String text) {
    def title = getProjectEntry().getImageName()
    if (shared.isShown(imageData) && !binding.hasVariable("quiet"))
        shared.tell(title, text)
    else
        println "${title}: ${text}"
}

/** Find a file of glomseg's scripts: beside this one, else in QuPath's user scripts. */
File besideThis(String name) {
    def own = binding.getVariables()["qupath.script.file"]
    def user = UserDirectoryManager.getInstance().getUserPath()
    def folders = [own ? new File(own.toString()).getParentFile() : null, user?.resolve("scripts/GlomSeg")?.toFile()]
    def file = folders.findAll { it != null }.collect { new File(it, name) }.find { it.isFile() }
    if (file == null)
        throw new IllegalStateException("${name} is in none of ${folders}; put it there with: " +
            "glomseg qupath install-scripts")
    return file
}

/** Return the folders of runs that have a result for an image, oldest first; of the one wanted, if one is. */
List<Path> runsOf(def shared, Path home, String wanted, String key) {
    if (wanted != null) {
        def found = [home.resolve(wanted), Path.of(wanted)].find { Files.exists(it.resolve("run.json")) }
        if (found == null)
            throw new IllegalArgumentException("${wanted} is no run: there is no run.json in ${home.resolve(wanted)}")
        return Files.exists(found.resolve(key + ".geojson")) ? [found] : []
    }
    return shared.load("glomseg_runs").oldestFirst(home, key + ".geojson")
}

/** Return the newest run or, in a window, the one that the user picks; null where the user picks none. */
Path chooseRun(def shared, List<Path> runs, boolean inWindow) {
    if (runs.size() < 2 || !inWindow)  // "Run for project" asks nothing
        return runs[-1]
    def named = runs.reverse().collectEntries { run ->
        def content = shared.load("glomseg_runs").fromFile(run.resolve("run.json"))
        def words = content ? "by ${content.parameters?.model ?: 'an unknown model'}" : "whose record cannot be read"
        [("${run.getFileName()}, ${words}".toString()): run]
    }
    def names = named.keySet() as List
    def picked = Dialogs.showChoiceDialog("Import results", "Bring in the outlines of this run:", names, names[0])
    return picked == null ? null : named[picked]
}

/** Tell where the memory lies that is true of data with this mark; a duplicate of an image has that of its original. */
Path memoryOf(Path home, String key, String write) {
    def folder = home.resolve("memory")
    if (write == null)
        return folder.resolve(key + ".geojson")
    def own = folder.resolve(key).resolve(write + ".geojson")
    def others = folder.toFile().listFiles()?.collect { new File(it, write + ".geojson") }?.findAll { it.isFile() }
    return Files.exists(own) || !others ? own : others[0].toPath()
}

/**
 * Read what is remembered; null where that is lost and to be forgotten. Refuses else: what people deleted would come
 * back without anybody having asked for that.
 */
List remembered(def shared, Path file, boolean isWritten, boolean forget) {
    def damage = "is gone"
    if (Files.exists(file)) {
        try {
            return PathIO.readObjects(file) as List
        } catch (Exception error) {  // groovylint-disable-line CatchException
            damage = "is damaged"
        }
    } else if (!isWritten)
        return []
    def lost = "what was remembered of it is lost (${file} ${damage}), so outlines that people deleted before"
    if (!forget)
        throw new IllegalStateException("${lost} would be offered again, and nothing was changed. Close the project " +
            "and run in a terminal: glomseg collect PROJECT, which reads the record of the last write instead, " +
            "or says how to offer them again.")
    say(shared, getCurrentImageData(), "WARNING: ${lost} may be offered again, and those that are theirs for " +
        "measurements alone be replaced")
    return null
}

/** Keep what the import changes, as `glomseg collect` does, before the image is saved. */
void keepChange(def shared, Path home, Path run, String key, Map change) {
    def numbers = home.toFile().listFiles().collectMany { folder ->
        (new File(folder, "changes/" + key).list() ?: []).findAll { it ==~ /\d+\.json/ }
    }.collect { (it - ".json") as int }
    def whose = shared.load("glomseg_whose"), judged = change.stood.findAll { shared.verdict(it) }
    def content = [
        format_version: 2, run: run.getFileName().toString(), at: java.time.OffsetDateTime.now().toString(),
        by: System.getProperty("user.name") + " on " + shared.load("glomseg_lock").hostName(), kind: "collect",
        mark: change.mark, previous_mark: change.previous_mark, stands_as: null,
        before_sha256: null, after_sha256: null,
        stood: change.stood.collect { whose.fingerprint(it) },
        ids: change.stood.collectEntries {
            [(it.getID().toString()): [whose.fingerprint(it), it.getPathClass()?.toString() ?: ""]]
        },
        verdicts: judged.collectEntries { [(it.getID().toString()): shared.verdict(it)] }]
    for (part in ["added", "removed", "remembered"])
        content[part] = [type: "FeatureCollection", features: change[part]]
    def file = run.resolve("changes").resolve(key).resolve(((numbers.max() ?: 0) + 1) + ".json")
    Files.createDirectories(file.getParent())
    def temporary = file.resolveSibling("." + file.getFileName())
    temporary.toFile().setText(GsonTools.getInstance().newBuilder().serializeNulls().create().toJson(content), "UTF-8")
    Files.move(temporary, file, StandardCopyOption.REPLACE_EXISTING)
}

/** Note that an image has what a run found, and that nothing of it was to be changed for that. */
void keepUnchanged(Path run, String key) {
    def file = run.resolve("unchanged").resolve(key + ".json")
    Files.createDirectories(file.getParent())
    def result = Files.readAllBytes(run.resolve(key + ".geojson"))
    def note = [at: java.time.OffsetDateTime.now().toString(),  // the file's own time is another in a copy
                result_sha256: MessageDigest.getInstance("SHA-256").digest(result).encodeHex().toString()]
    Files.writeString(file, GsonTools.getInstance().toJson(note) + "\n")
}

void addClasses(def shared, List added) {
    def project = getProject()
    shared.load("glomseg_project_file").takeOverLists(project)
    def listed = project.getPathClasses() as List
    def missing = added*.getPathClass().findAll { it != null && !listed.contains(it) }.unique()
    if (missing)
        project.setPathClasses(listed + missing)
}

void remember(List items, Path file) {
    Files.createDirectories(file.getParent())
    def temporary = file.resolveSibling("." + file.getFileName())
    PathIO.exportObjectsAsGeoJSON(temporary, items, PathIO.GeoJsonExportOptions.FEATURE_COLLECTION)
    Files.move(temporary, file, StandardCopyOption.REPLACE_EXISTING)
}
