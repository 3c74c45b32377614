/*
 * Purpose: count and measure the glomeruli of the open image or, with "Run for project", of every image.
 * Input:   annotations of class Glomerulus and below that have an area; "Glomerulus: Sclerotic" counts as sclerosed.
 *          Near spellings such as "glomeruli" count and are said; points, rejected ones and the like are left out.
 *          Arguments (none is needed): the CSV file to write   [<project>/glomeruli_summary.csv]
 * Output:  one row an image in that file, an older row of the same image replaced: number, mean and total area in um2,
 *          % sclerotic, how many have a verdict, and from there the project. In a window, the row is shown as well.
 *          An image of which nobody knows that these are all has empty cells: nobody reviewed it, the newest run that
 *          was not taken back found some that were not brought in, and none but a person's stand there. A file with
 *          columns of a person's, or with the row of another project for an image, is refused.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import java.nio.file.Files
import java.nio.file.Path
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.UserDirectoryManager

def imageData = getCurrentImageData()
def entry = getProjectEntry()
if (imageData == null || entry == null)
    throw new IllegalStateException("Open an image of a project first.")
def given = binding.hasVariable("args") ? (args as List<String>) : []
def file = given ? Path.of(given[0]) : entry.getEntryPath().getParent().getParent().resolve("glomeruli_summary.csv")

def shared = new GroovyShell(getClass().getClassLoader()).parse(besideThis("glomseg_shared.groovy"))
shared.load("glomseg_data_file").refuseUnread(entry, imageData)
shared.load("glomseg_other_image").refuse(entry, imageData.getServer())
shared.load("glomseg_image_settings").takeSaved(getProject(), entry, imageData)
def rule = shared.load("glomseg_classes"), tables = shared.load("glomseg_tables")
def (glomeruli, others) = getAnnotationObjects().split { rule.isOf(it, "Glomerulus") }
def sclerotic = glomeruli.findAll { rule.isOf(it, "Glomerulus: Sclerotic") }
def calibration = imageData.getServer().getPixelCalibration()
def calibrated = calibration.hasPixelSizeMicrons()
def pixelArea = calibrated ? calibration.getPixelWidthMicrons() * calibration.getPixelHeightMicrons() : Double.NaN
def total = glomeruli.collect { it.getROI().getArea() }.inject(0.0d) { sum, area -> sum + area } * pixelArea
def candidates = shared.load("glomseg_candidates"), whose = shared.load("glomseg_whose")
def run = candidates.newestRun(getProject(), entry)  // that has a result of it, and was not taken back there
def found = candidates.found(run, entry)
def isWaiting = candidates.waiting(getProject(), entry, glomeruli as List) && !glomeruli.any { whose.isMachines(it) }
def isLookedAt = shared.reviewedBy(entry, imageData) != null || found == 0 || !isWaiting &&
    (glomeruli || getAnnotationObjects().any { shared.verdict(it) })  // else nobody knows that there are none
def number = { value -> Double.isNaN(value as double) ? "" : String.format(Locale.ROOT, "%.2f", value as double) }
def count = glomeruli.size()
def columns = ["entry_id", "image", "glomeruli", "mean_area_um2", "total_area_um2", "sclerotic", "percent_sclerotic",
               "with_verdict", "project"]
def name = tables.quoted(entry.getOriginalImageName())  // however QuPath masks it
def from = tables.projectFrom(file.toAbsolutePath().getParent(), getProject())
def values = [
    count, count ? number(total / count) : "",
    number(total), sclerotic.size(), count ? number(100.0d * sclerotic.size() / count) : "",
    glomeruli.count { shared.verdict(it) },
]
def row = [entry.getID(), name, *(isLookedAt ? values : values.collect { "" }), tables.quoted(from)]

tables.refuseOthers(file, columns + "image_id")  // as older files call the id
tables.refuseOtherMarks(file)
def lines = (Files.exists(file) ? Files.readAllLines(file).drop(1) : []).findAll { it }
def before = given ? lines.collect { tables.cells(it) }.find { it[0] == entry.getID() } : null
def of = before == null || before.size() < columns.size() ? "" : before[-1]  // older files do not say it
if (before != null && (!(of in ["", from]) || !(before[1] in [tables.cells(name)[0], entry.getOriginalImageName()])))
    throw new IllegalArgumentException("${file} has a row of another image of id ${entry.getID()} " +
        "(${before[1]}${of ? ', ' + of : ', as of another project'}), so nothing was written; name another file, or " +
        "remove that row.")
lines = lines.findAll { tables.cells(it)[0] != entry.getID() }
    .collect { it + "," * Math.max(0, columns.size() - tables.cells(it).size()) } + [row.join(",")]
tables.replacing([file]) { Path beside ->
    Files.writeString(beside, ([columns.join(",")] + lines).join("\n") + "\n")
}

def shown = row.take(1) + [entry.getImageName()] + row.drop(2).dropRight(1)
def text = [columns, shown].transpose().collect { it[0].replace("_", " ") + ": " + it[1] }.join("\n")
if (!isLookedAt)
    text = "${entry.getImageName()}: not measured; it is not marked as fully reviewed, and " + (found == null ?
        "no run that was not taken back has worked on it" :
        "what run ${run.getFileName()} found there (${found}) does not stand in it")
def remarks = [*rule.spellings(glomeruli, ["Glomerulus", "Glomerulus: Sclerotic"]),
               rule.leftOut(others + rule.detections(imageData, ["Glomerulus"])), rule.offPlane(glomeruli),
               elsewhere(rule, imageData.getServer(), glomeruli), candidates.leftOut(getProject(), entry),
               *rule.doubtful(glomeruli)]
text = [text, *remarks].findAll { it }.join("\n")
println text.replace("\n", "; ")
if (getQuPath()?.getViewer()?.getImageData() === imageData)
    Dialogs.showPlainMessage("Glomeruli", text + "\n\nin " + file)

/** Say how many glomeruli `glomseg measure` does not count for where their centres lie; "" for none. */
String elsewhere(def rule, def server, def glomeruli) {
    def areas = getAnnotationObjects().findAll { it.getROI().isArea() }
    def ignored = areas.findAll { it.getPathClass()?.toString() == "Ignore*" }*.getROI()
    def cortex = areas.findAll { rule.isClass(it.getPathClass()?.toString(), "Cortex") }*.getROI()
    def count = glomeruli*.getROI().count { roi ->
        def x = roi.getCentroidX(), y = roi.getCentroidY()
        def isOff = x < 0 || y < 0 || x > server.getWidth() || y > server.getHeight()
        isOff || ignored.any { it.contains(x, y) } || (cortex && !cortex.any { it.contains(x, y) })
    }
    return count ? "${count} off the image, outside of the cortex or in areas of class Ignore*, which " +
        "`glomseg measure` does not count" : ""
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
