/*
 * Purpose: write the glomeruli of the open image (or, with "Run for project", of every image) as they stand now.
 * Input:   annotations of class Glomerulus and below that have an area, near spellings, which are said, among them; the
 *          others are named and left out.
 *          Arguments (none is needed): the folder to write into, and the class   [<project>/export, Glomerulus]
 * Output:  <image>.geojson, which QuPath imports again, and <image>.csv: one row a glomerulus with its place, area,
 *          whose it is, verdict and initials, and from there the project. An older export of the image is replaced;
 *          one that a person changed, or of another project, is refused, as is a table with columns of a person's.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import java.nio.file.Files
import java.nio.file.Path
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.io.PathIO

def imageData = getCurrentImageData()
if (imageData == null)
    throw new IllegalStateException("Open an image first.")
def entry = getProjectEntry()
def given = binding.hasVariable("args") ? (args as List<String>) : []
def base = given.size() > 1 ? given[1] : "Glomerulus"
def folder = given ? Path.of(given[0]) : entry?.getEntryPath()?.getParent()?.getParent()?.resolve("export")
if (folder == null)
    throw new IllegalStateException("The image belongs to no project; name a folder as the first argument.")
Files.createDirectories(folder)

def name = entry == null ? imageData.getServer().getMetadata().getName() : entry.getOriginalImageName()
def stem = shortened(name.replaceAll(/[\\\/:*?"<>|\x00-\x1f]/, "_")) + (entry == null ? "" : " [" + entry.getID() + "]")
def shared = new GroovyShell(getClass().getClassLoader()).parse(besideThis("glomseg_shared.groovy"))
def rule = shared.load("glomseg_classes")
if (entry != null) {
    shared.load("glomseg_data_file").refuseUnread(entry, imageData)
    shared.load("glomseg_other_image").refuse(entry, imageData.getServer())
    shared.load("glomseg_image_settings").takeSaved(getProject(), entry, imageData)
}
def heads = ["image", "object_id", "class", "name", "x_px", "y_px", "area_um2", "confidence", "run", "verdict",
             "initials", "locked", "project"]
def tables = shared.load("glomseg_tables"), quoted = tables.&quoted
def table = folder.resolve(stem + ".csv"), outlines = folder.resolve(stem + ".geojson")
def from = getProject() == null ? "" : tables.projectFrom(folder, getProject())
tables.refuseOthers(table, heads)
tables.refuseChanged(outlines, table)
def of = !given || !Files.exists(table) ? null : table.toFile().readLines("UTF-8").drop(1).collect { tables.cells(it) }
    .find { it.size() == heads.size() && !(it[-1] in ["", from]) }
if (of != null)
    throw new IllegalArgumentException("${table} and the outlines beside it are of another project (${of[-1]}), so " +
        "nothing was written; name another folder, or move them away.")
def (glomeruli, others) = getAnnotationObjects().split { rule.isOf(it, base) }
glomeruli = glomeruli.sort { a, b ->
    a.getROI().getCentroidY() <=> b.getROI().getCentroidY() ?: a.getROI().getCentroidX() <=> b.getROI().getCentroidX()
}
def calibration = imageData.getServer().getPixelCalibration()
def calibrated = calibration.hasPixelSizeMicrons()
def pixelArea = calibrated ? calibration.getPixelWidthMicrons() * calibration.getPixelHeightMicrons() : Double.NaN
def rows = [heads.join(",")]
for (item in glomeruli) {
    def roi = item.getROI()
    def metadata = item.getMetadata(), verdict = shared.verdict(item)
    def confidence = item.getMeasurementList().get("Confidence")
    def number = { value -> Double.isNaN(value) ? "" : String.format(Locale.ROOT, "%.4f", value) }
    rows << [
        quoted(name), item.getID(), quoted(item.getPathClass()), quoted(item.getName()),
        number(roi.getCentroidX()), number(roi.getCentroidY()), number(roi.getArea() * pixelArea), number(confidence),
        quoted(metadata["glomseg.run"]), quoted(verdict), quoted(verdict ? metadata["glomseg.initials"] : null),
        item.isLocked() ? 1 : 0, quoted(from),
    ].join(",")
}
tables.replacing([table, outlines]) { Path tableBeside, Path outlinesBeside ->  // the first may be open in Excel
    PathIO.exportObjectsAsGeoJSON(outlinesBeside, glomeruli, PathIO.GeoJsonExportOptions.FEATURE_COLLECTION)
    Files.writeString(tableBeside, rows.join("\n") + "\n")
    tables.writtenWith(outlinesBeside, tableBeside)
}
def without = calibrated ? "" : "its pixel size is not set, so areas are left out"
def remarks = [without, *rule.spellings(glomeruli, [base]), rule.leftOut(others + rule.detections(imageData, [base])),
               rule.offPlane(glomeruli), *rule.doubtful(glomeruli)]
without = remarks.findAll { it }.collect { "; " + it }.join()
def text = "${glomeruli.size()} glomeruli in ${folder.resolve(stem)}.geojson and .csv" + without
println "${name}: ${text}"
if (binding.hasVariable("showResult"))  // of the menu
    showResult("${name}: ${glomeruli.size()} glomeruli as GeoJSON and CSV${without}".toString(), outlines.toFile())
else if (getQuPath()?.getViewer()?.getImageData() === imageData)
    Dialogs.showInfoNotification(name, text)

/** Shorten a name so that files may be called after it: systems take 255 bytes, with what is added. */
String shortened(String text) {
    def kept = text
    while (kept.getBytes("UTF-8").length > 150)
        kept = kept.substring(0, kept.offsetByCodePoints(kept.length(), -1))
    return kept == text ? text : kept + "~" + Integer.toHexString(text.hashCode())
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
