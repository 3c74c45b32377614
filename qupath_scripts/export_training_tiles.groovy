/*
 * Purpose: export image tiles and their labels, to train a model on what was reviewed; what `glomseg train` reads.
 *          `glomseg export-tiles` does the same from outside QuPath.
 * Input:   annotations of the classes, by default Glomerulus and "Glomerulus: Sclerotic", on the open image or, with
 *          "Run for project", on every image; one not RGB or of several planes is left out. Rejected ones are left
 *          out; areas of class Ignore*, and candidates that nobody judged, have the last label, over all others, and
 *          `glomseg train` learns nothing from them.
 *          Arguments (none is needed), as name=value:
 *            folder=DIR  [<project>/tiles]   size=PX  [512]   overlap=PX  [32]   subdir
 *            downsample=N  [2]   mpp=UM  um per pixel of the tiles, instead of downsample
 *            class=NAME   may be repeated; the first is label 1, and so on; a derived class that is not named has the
 *                         label of its parent
 *            region=CLASS only tiles that lie inside annotations of this class
 *            negatives=RATIO  tiles of tissue without annotation, for one annotated tile; without it all empty tiles
 *                         of an image that is marked as fully reviewed, and none of another
 *            seed=N  [0]  chooses other background tiles: they come in the order of the MD5 of "<seed>/<tile name>"
 *            reviewed-only    leave out images that are not marked as fully reviewed
 *            believe-deletions    take it for a review where all outlines of a run are gone from an image at once;
 *                         else it is left out where it is marked as reviewed: all of it would be background
 * Output:  DIR/<image without extension>/<image> [d=2,x=0,y=0,w=1024,h=1024].png and the same name with -labelled.png:
 *          a palette PNG, 0 background, 1 the first class. With `subdir`, images/ and labels/ hold files of one name.
 *          Beside them <image>-tiles.json, and DIR/export.json with the scale of all tiles. An image's tiles of an
 *          earlier export are replaced; an image that is neither annotated nor reviewed, or left out, has none: those
 *          of an earlier export are removed. Tiles that are not as an export left them, such as corrected labels or
 *          those of a script of QuPath's own, and those of another project are refused.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import com.google.gson.JsonParseException
import groovy.transform.CompileStatic
import groovy.transform.Field
import java.awt.image.BufferedImage
import java.nio.file.Files
import java.security.MessageDigest
import java.text.NumberFormat
import java.time.DateTimeException
import java.time.OffsetDateTime
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.common.GeneralTools
import qupath.lib.images.servers.ImageServerMetadata
import qupath.lib.images.servers.LabeledImageServer
import qupath.lib.images.writers.TileExporter
import qupath.lib.io.GsonTools
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjects
import qupath.lib.regions.ImagePlane
import qupath.lib.regions.RegionRequest
import qupath.lib.roi.GeometryTools
import qupath.lib.roi.ROIs

@Field static final String REVIEWED = "glomseg.reviewed"
@Field static final String IGNORED = "Ignore*"
@Field static final int FEW = 2
@Field static final int COLOURED = 20
@Field static final double STAINED_SHARE = 0.25

@Field def rule
rule = new GroovyShell(getClass().getClassLoader()).parse(besideThis("glomseg_classes.groovy"))
@Field def tables
tables = new GroovyShell(getClass().getClassLoader()).parse(besideThis("glomseg_tables.groovy"))
def imageData = getCurrentImageData()
def entry = getProjectEntry()
if (imageData == null || entry == null)
    throw new IllegalStateException("Open an image of a project first.")
def given = binding.hasVariable("args") ? (args as List<String>) : []
def values = { name -> given.findAll { it.startsWith(name + "=") }*.substring(name.length() + 1) }
def option = { name, fallback -> values(name) ? values(name).last() : fallback }
def root = new File(option("folder", entry.getEntryPath().getParent().getParent().resolve("tiles").toString()))
def size = option("size", "512") as int
def overlap = option("overlap", "32") as int
def seed = option("seed", "0") as int
def classes = values("class") ?: ["Glomerulus", "Glomerulus: Sclerotic"]
def shared = new GroovyShell(getClass().getClassLoader()).parse(besideThis("glomseg_shared.groovy"))
def unread = shared.load("glomseg_data_file").unread(entry, imageData)
if (unread) {  // tiles that were exported before may be all that is left
    say("WARNING: ${unread} Left out")
    return
}
def reviewed = isReviewed(entry, imageData)
if (overlap < 0 || overlap >= size)
    throw new IllegalArgumentException("An overlap of ${overlap} px does not fit tiles of ${size} px; make it less.")
if (given.contains("reviewed-only") && !reviewed) {
    leaveOut(root, entry, "not marked as fully reviewed, left out")
    return
}

def other = shared.load("glomseg_other_image").reasonAgainst(entry, imageData.getServer())
if (other) {
    leaveOut(root, entry, "WARNING: ${other}; left out")
    return
}

shared.load("glomseg_image_settings").takeSaved(getProject(), entry, imageData)
def server = imageData.getServer()
def problem = pictureProblem(server)
if (problem) {
    leaveOut(root, entry, "WARNING: ${problem}; left out")
    return
}
def all = imageData.getHierarchy().getAnnotationObjects()
def doubt = reviewed ? doubtOf(entry, imageData, all, given.contains("believe-deletions")) : null
if (doubt) {
    leaveOut(root, entry, "WARNING: ${doubt}; left out")
    return
}
def judged = all.findAll { isCandidate(it) && isJudged(it, all, classes) } as Set
def annotations = all.findAll { isWanted(it) }
def labelled = annotations.findAll { labelledAs(it.getPathClass(), classes) != null }
if (!labelled && !reviewed) {
    leaveOut(root, entry, "no annotation of class ${classes.join(' or ')}, left out")
    return
}
def own = server.getPixelCalibration().hasPixelSizeMicrons() ? pixelSize(server) : null
def downsample = chooseDownsample(own, option("mpp", null) as Double, option("downsample", "2") as double)
def builder = new LabeledImageServer.Builder(imageData)
    .useFilter { it.isAnnotation() && isWanted(it) && !(it in judged) }
    .lineThickness(0.5f)  // a line of a pixel or more would change how Java2D fills at scales such as 1.2
    .backgroundLabel(0)
    .downsample(downsample)
    .multichannelOutput(false)
def present = annotations.collect { it.getPathClass() }.findAll { it != null }.unique()
def ignored = classes.any { isIgnored(it) } ? [] :
    annotations.findAll { isIgnored(it.getPathClass()?.toString()) || (isCandidate(it) && !(it in judged)) }
def named = classes + (ignored ? [IGNORED] : [])
named.eachWithIndex { name, index ->
    builder.addLabel(name, index + 1)
    present.findAll { it.toString() != name && labelledAs(it, named) == name }
        .each { builder.addLabel(it, index + 1) }
}
ignored.findAll { isCandidate(it) }*.getPathClass().unique().each { builder.addLabel(it, named.size()) }
def labels = builder.build()
def toIgnore = ignored ? GeometryTools.union(ignored.collect { it.getROI().getGeometry() }) : null
def imageName = entry.getOriginalImageName()  // QuPath masks names by others, which are new at each start
def stem = stemOf(imageName)
def boxes = tileGrid(server, downsample, size, overlap)
def region = option("region", null)
if (region != null) {
    def areas = annotations.findAll { rule.isClass(it.getPathClass()?.toString(), region) }
        .collect { it.getROI().getGeometry() }
    def area = areas ? GeometryTools.union(areas) : null
    boxes = boxes.findAll { area != null && area.covers(GeometryTools.regionToGeometry(it)) }
}
if (toIgnore != null)
    boxes = boxes.findAll { !toIgnore.covers(GeometryTools.regionToGeometry(it)) }
def outlines = labelled.collect { it.getROI().getGeometry() }
    .collect { toIgnore == null ? it : it.difference(toIgnore) }
def annotated = boxes.findAll { box ->
    !labels.isEmptyRegion(box) && (toIgnore == null || outlines.any { !it.isEmpty() && isNear(it, box) })
} as Set
def empty = boxes.findAll { !(it in annotated) }
def background = reviewed ? empty : []
if (option("negatives", null) != null) {
    def count = (option("negatives", null) as double) * Math.max(1, annotated.size()) + 0.5 as int
    background = drawBackground(server, empty, count, seed, stem)
}
def chosen = annotated + background
def tiles = boxes.findAll { it in chosen }
if (!tiles) {
    leaveOut(root, entry, "no tile to export")
    return
}

def target = new File(root, folderName(entry, stem))
def record = readRecord(root, own == null ? null : own * downsample, classes)
refuseOtherFolder(root, record, imageName, stem, target.getName())
def subdir = given.contains("subdir")
refuseOtherProject(target, record, entry)
refuseCorrected(target, stem, record)
target.mkdirs()
begin(root, record, target)
tilesIn(target, stem)*.delete()
def exporter = new TileExporter(imageData)
    .downsample(downsample)
    .tileSize(size)
    .parentObjects(tiles.collect { rectangle(it) })
    .useROIBounds(true)
    .imageExtension(".png")
    .labeledServer(labels)
    .labeledImageExtension(".png")
    .exportJson(true)
if (subdir)
    exporter.imageSubDir("images").labeledImageSubDir("labels")
else
    exporter.labeledImageId("-labelled")
def shown = server.getMetadata()
try {
    server.setMetadata(new ImageServerMetadata.Builder(shown).name(imageName).build())  // QuPath calls tiles so
    exporter.writeTiles(target.getAbsolutePath())
} finally {
    server.setMetadata(shown)
}
refuseHalf(target, stem, tiles.size())
nameIgnoredOnce(new File(target, stem + "-tiles.json"))
record.downsample[imageName] = downsample
record.project = projectName(entry)
record.images[target.getName()] = [image: imageName, reviewed: reviewed, project: record.project,
                                   sum: sumOf(target, stem)]
end(root, record, target)
def known = judged + labelled + ignored
def unused = all.findAll { !(it in known) } + rule.detections(imageData, classes)
def told = [*rule.spellings(labelled, classes), rule.leftOut(unused)]
def remarks = told.findAll { it }.collect { "; " + it }.join()
say("${annotated.size()} annotated tiles, ${tiles.size() - annotated.size()} of background${remarks}", target)

/**
 * Say why a picture is not one RGB plane, as glomseg's image_servers.py does; null where it is. Tiles show the first
 * plane alone, where what is outlined on others would be background, and QuPath writes none of most other pictures.
 */
static String pictureProblem(server) {
    if (server.nZSlices() > 1)
        return "the image has ${server.nZSlices()} focus planes; export one plane to a file and add it to the project"
    if (server.nTimepoints() > 1)
        return "the image has ${server.nTimepoints()} time points; export one of them to a file and add it to the " +
            "project"
    return server.isRGB() ? null : "the image is not an RGB brightfield image; glomseg works on RGB slides alone"
}

/** Tell whether an image was marked as fully reviewed as it stands now; by the rules of glomseg's review_mark.py. */
boolean isReviewed(def entry, def imageData) {
    def value = { name -> imageData.getProperty(name)?.toString()?.minus(name + "=") }
    def write = value("glomseg.write") ?: "none"
    def outcome = value("glomseg.stands")?.tokenize(":")
    def stands = outcome != null && outcome[0] == write ? outcome[1] : write
    def of = entry.getMetadataValue(REVIEWED + "_of")
    return entry.getMetadataValue(REVIEWED) && (of == null || (of == stands && of == value(REVIEWED)))
}

/** Say why what stands in an image is no review though it is marked as one, as reviewed.py does; null where it is. */
String doubtOf(def entry, def imageData, def all, boolean believe) {
    def home = entry.getEntryPath().getParent().getParent().resolve("glomseg").toFile()
    def key = entry.getID()
    def write = imageData.getProperty("glomseg.write")?.toString()?.minus("glomseg.write=")
    def lost = lostRun(home, key, write)
    if (lost)
        return "its data is older than the outlines that run ${lost} brought in, or not based on them; bring its " +
            "data back (glomseg restore PROJECT ${key} lists backups), or those outlines (glomseg collect PROJECT " +
            "${lost}), and look at it again"
    def memory = write == null ? new File(home, "memory/${key}.geojson") :
        (new File(home, "memory").listFiles() ?: []).collect { new File(it, write + ".geojson") }.find { it.isFile() }
    def remembered = (fromFile(memory).features ?: []).collect { it.get("properties")?.get("metadata") ?: [:] }
    def standing = all.findAll { it.getMetadata()["glomseg.fingerprint"] }.collect { it.getMetadata()["glomseg.run"] }
    def gone = remembered.findAll { !it["glomseg.rejected"] }.countBy { it["glomseg.run"] }.find { run, count ->
        !(run in standing) && (write == null || count > FEW)
    }
    return gone == null || believe ? null : "all ${gone.value} outlines of run ${gone.key} are gone from it at once, " +
        "which is not taken for a review; where they were deleted on purpose, give believe-deletions"
}

/** Name the run that wrote into an image last, where its data is not based on that write; null where all is known. */
static String lostRun(File home, String key, String write) {
    def runs = (home.listFiles() ?: []).collect { fromFile(new File(it, "run.json")) }.findAll { record ->
        def collected = record.images?.get(key)?.collected
        collected?.added || collected?.removed
    }
    def last = runs.max { instant(it.images[key].collected.at?.toString()) }?.run_id
    def changes = (home.listFiles() ?: []).collectMany { folder ->
        (new File(folder, "changes").listFiles() ?: []).collectMany { (it.listFiles() ?: []) as List }
    }.findAll { it.getName() ==~ /\d+\.json/ }.collect { fromFile(it) }
    def seen = [] as Set
    while (last != null && write != null && seen.add(write)) {
        def change = changes.find { it.mark == write }
        if (change == null || change.run == last)  // its record is lost: what stands there can then not be told
            return null
        write = change.previous_mark
    }
    return last
}

static long instant(String text) {
    try {
        return OffsetDateTime.parse(text ?: "").toInstant().toEpochMilli()
    } catch (DateTimeException ignored) {
        return 0
    }
}

/** Read a JSON file of one object; nothing where it is not there or cannot be read. */
static Map fromFile(File file) {
    try {
        return file?.isFile() ? GsonTools.getInstance().fromJson(file.getText("UTF-8"), Map) ?: [:] : [:]
    } catch (IOException | JsonParseException ignored) {
        return [:]
    }
}

/** Tell a result: in the log, and by a notification where the window shows the image; from the menu, where it is. */
void say(String text, File where = null) {
    def name = getProjectEntry().getImageName()
    def full = where ? "${text}, in ${where}" : text
    println "${name}: ${full}"
    if (where && binding.hasVariable("showResult"))
        showResult("${name}: ${text}".toString(), where)
    else if (getQuPath()?.getViewer()?.getImageData() === getCurrentImageData())
        Dialogs.showInfoNotification(name, full)
}

/* The class whose label a class has: itself, else the nearest parent that is named, else one that is spelled so. */
String labelledAs(pathClass, List<String> classes) {
    return rule.best(pathClass?.toString(), classes)
}

static boolean isIgnored(String name) {
    return name == IGNORED || name?.startsWith(IGNORED + ": ")
}

/* Take the classes of candidates out of what lists the labels: they have that of Ignore*, and no name of their own. */
static void nameIgnoredOnce(File listing) {
    def text = listing.getText("UTF-8")
    def other = text.replaceAll(/,\s*\{\s*"classification":\s*"Candidate: [^"]*",\s*"label":\s*\d+\s*\}/, "")
    if (other != text)
        listing.setText(other, "UTF-8")
}

/* What a run was not sure of. */
boolean isCandidate(item) {
    return rule.isCandidate(item.getPathClass()?.toString())
}

/* Whether a glomerulus stands where a candidate lies, or one that was rejected; as glomseg's reviewed.py has it. */
boolean isJudged(item, all, List<String> classes) {
    def ours = item.getROI().getGeometry()
    return isRejected(item) || all.any { other ->
        def isRival = labelledAs(other.getPathClass(), classes) != null || other.getMetadata()["glomseg.run"]
        def theirs = isRival && !isCandidate(other) ? other.getROI().getGeometry() : null
        theirs != null && ours.intersection(theirs).getArea() > 0.3 * Math.min(ours.getArea(), theirs.getArea())
    }
}

/* QuPath counts a tile as annotated where an outline comes within a pixel of it. */
static boolean isNear(geometry, RegionRequest tile) {
    return geometry.intersects(rectangleAround(tile))
}

static rectangleAround(RegionRequest tile) {
    return GeometryTools.createRectangle(tile.getX() - 1, tile.getY() - 1, tile.getWidth() + 2, tile.getHeight() + 2)
}

static boolean isWanted(item) {
    return item.getROI().isArea() && !isRejected(item)
}

/* A rejected object to which a person gave another class since is none any more; as glomseg's ownership.py has it. */
static boolean isRejected(item) {
    return item.getMetadata()["glomseg.verdict"] == "reject" && item.getPathClass()?.toString() in [null, "Rejected"]
}

static double pixelSize(server) {
    return server.getPixelCalibration().getAveragedPixelSizeMicrons()
}

static double chooseDownsample(Double own, Double mpp, double downsample) {
    if (mpp == null)
        return downsample
    if (own == null)
        throw new IllegalArgumentException("The size of a pixel is not known; set it in QuPath, or use downsample=.")
    if (mpp < own * (1 - 1e-6))
        throw new IllegalArgumentException("The image's pixels are ${own} um, coarser than mpp=${mpp}; give more.")
    return Math.max(1.0d, mpp / own)
}

/* The tiles of QuPath's own grid; those that reach off the image are left out. */
static List<RegionRequest> tileGrid(server, double downsample, int size, int overlap) {
    def spans = { int side ->
        (0..<Math.round(side / downsample)).step(size - overlap).collect { start ->
            [Math.round(start * downsample), Math.round((start + size) * downsample)]
        }.findAll { it[1] <= side }
    }
    def columns = spans(server.getWidth())
    return spans(server.getHeight()).collectMany { y ->
        columns.collect { x ->
            RegionRequest.createInstance(server.getPath(), downsample, x[0] as int, y[0] as int,
                (x[1] - x[0]) as int, (y[1] - y[0]) as int)
        }
    }
}

static List<RegionRequest> drawBackground(server, List<RegionRequest> empty, int count, int seed, String stem) {
    def chosen = []
    for (request in empty.sort(false) { md5("${seed}/${tileName(stem, it)}") }) {
        if (chosen.size() == count)
            break
        if (showsTissue(server.readRegion(request)))
            chosen << request
    }
    return chosen
}

static String md5(String text) {
    return MessageDigest.getInstance("MD5").digest(text.getBytes("UTF-8")).encodeHex().toString()
}

static String tileName(String stem, RegionRequest tile) {
    def format = NumberFormat.getNumberInstance(Locale.US)
    format.setMaximumFractionDigits(5)
    def scale = tile.getDownsample() == 1 ? "" : "d=${format.format(tile.getDownsample())},"
    return "${stem} [${scale}x=${tile.getX()},y=${tile.getY()},w=${tile.getWidth()},h=${tile.getHeight()}]"
}

@CompileStatic
static boolean showsTissue(BufferedImage image) {
    int[] pixels = image.getRGB(0, 0, image.getWidth(), image.getHeight(), null, 0, image.getWidth())
    int stained = 0
    for (int pixel : pixels) {
        int red = (pixel >> 16) & 255
        int green = (pixel >> 8) & 255
        int blue = pixel & 255
        if (Math.max(red, Math.max(green, blue)) - Math.min(red, Math.min(green, blue)) >= COLOURED)
            stained++
    }
    return stained >= STAINED_SHARE * pixels.length
}

static PathObject rectangle(RegionRequest tile) {
    return PathObjects.createAnnotationObject(ROIs.createRectangleROI(
        tile.getX(), tile.getY(), tile.getWidth(), tile.getHeight(), ImagePlane.getDefaultPlane()))
}

static String stemOf(String name) {
    return GeneralTools.stripInvalidFilenameChars(GeneralTools.stripExtension(name))
}

/* Images of one name without extension are told apart by their ids. */
static String folderName(entry, String stem) {
    def alike = getProject().getImageList().count { stemOf(it.getOriginalImageName()) == stem }
    return alike > 1 ? "${stem} [${entry.getID()}]" : stem
}

static List<File> tilesIn(File target, String stem) {
    return [target, new File(target, "images"), new File(target, "labels")].collectMany { folder ->
        (folder.listFiles() ?: []).findAll { it.isFile() && it.name ==~ /.*\.png/ && it.name.startsWith(stem + " [") }
    }
}

/* Sum up the tiles of an image, as glomseg's tiles/export.py does. */
static String sumOf(File target, String stem) {
    def sum = MessageDigest.getInstance("SHA-256")
    def named = tilesIn(target, stem).collectEntries { [(target.toPath().relativize(it.toPath()).join("/")): it] }
    named.sort().each { name, file ->
        sum.update("${name}\n".getBytes("UTF-8"))
        sum.update(MessageDigest.getInstance("SHA-256").digest(file.bytes))
    }
    return sum.digest().encodeHex().toString()
}

/* Refuse to replace the tiles of an earlier export where a person corrected them since, or made them otherwise. */
static void refuseCorrected(File target, String stem, Map record) {
    if (tilesIn(target, stem) && record.images[target.getName()]?.sum != sumOf(target, stem))
        throw new IllegalArgumentException("${target} holds tiles that are not as an export left them: a person " +
            "corrected or made some, an export was stopped there, or they are an older glomseg's. Nothing was " +
            "written; move that folder away, or choose another folder=.")
}

/* Write down that an image's tiles are not all there, by which `glomseg train` knows the half of a stopped export. */
void begin(File root, Map record, File target) {
    record.unfinished = ((record.unfinished ?: []) + target.getName()).unique()
    writeRecord(root, record)
}

void end(File root, Map record, File target) {
    record.unfinished = record.unfinished - target.getName()
    if (!record.unfinished)
        record.remove("unfinished")
    writeRecord(root, record)
}

/* Throw where QuPath, which only logs that, wrote not all of the tiles, such as on a full disk. */
static void refuseHalf(File target, String stem, int count) {
    def whole = tilesIn(target, stem).count { endsAsPng(it) }
    if (whole < 2 * count)
        throw new IllegalStateException("${2 * count - whole} of ${2 * count} tiles and labels could not be written " +
            "into ${target} (QuPath's log says why); `glomseg train` takes none from there. Make room, remove that " +
            "folder, and export again.")
}

static boolean endsAsPng(File file) {
    return file.length() > 8 && new RandomAccessFile(file, "r").withCloseable { data ->
        def end = new byte[8]
        data.seek(data.length() - end.length)
        data.readFully(end)
        end.encodeHex().toString() == "49454e44ae426082"
    }
}

static String projectName(entry) {
    return entry.getEntryPath().getParent().getParent().getFileName().toString()
}

/* Tell whether tiles are of an image of another project; a folder of the project's own is moved and renamed with it. */
static boolean isOfOtherProject(File target, Map record, entry) {
    def project = record.images[target.getName()]?.project
    def home = entry.getEntryPath().getParent().getParent().toRealPath()
    return !(project in [null, projectName(entry)]) && !target.getParentFile().toPath().toRealPath().startsWith(home)
}

static void refuseOtherProject(File target, Map record, entry) {
    if (isOfOtherProject(target, record, entry))
        throw new IllegalArgumentException("${target} holds tiles of an image of this name of another project " +
            "(${record.images[target.getName()].project}). Nothing was written; choose another folder=.")
}

/* Leave an image out, and its tiles of an earlier export, too: what they teach holds no more. */
void leaveOut(File root, entry, String why) {
    def stem = stemOf(entry.getOriginalImageName())
    def target = new File(root, folderName(entry, stem)), record = fromFile(new File(root, "export.json"))
    def isOurs = record.images?.get(target.getName())?.image == entry.getOriginalImageName() &&
        !isOfOtherProject(target, record, entry)
    def removed = 0
    if (isOurs) {
        refuseCorrected(target, stem, record)
        begin(root, record, target)
        removed = tilesIn(target, stem).count { it.delete() }
        new File(target, stem + "-tiles.json").delete()
        record.images.remove(target.getName())
        end(root, record, target)
    }
    say(why + (removed ? "; ${removed} files of its tiles of an earlier export are removed" : ""))
}

/* Refuse a folder with tiles of this image under another name, from before a namesake came or went; all would count. */
static void refuseOtherFolder(File root, Map record, String image, String stem, String own) {
    def other = record.images.find { folder, said ->
        folder != own && (own == stem ? said.image == image : folder == stem) && new File(root, folder).isDirectory()
    }
    if (other != null)
        throw new IllegalArgumentException("${new File(root, other.key)} holds tiles of ${other.value.image} from " +
            "before another image of that name came or went, which would count twice; remove that folder, or choose " +
            "another folder=.")
}

void writeRecord(File root, Map record) {
    def gson = GsonTools.getInstance(true).newBuilder().disableHtmlEscaping().serializeNulls().create()
    tables.replacing([new File(root, "export.json").toPath()]) { beside ->
        Files.writeString(beside, gson.toJson(record) + "\n")
    }
}

/* What export.json says of the images before this one; all tiles of a folder have one scale and the same labels. */
static Map readRecord(File root, Double mpp, List<String> classes) {
    def file = new File(root, "export.json")
    if (!file.isFile())
        return [mpp: mpp, downsample: [:], classes: classes, project: "", images: [:]]
    def record = GsonTools.getInstance().fromJson(file.getText("UTF-8"), Map)
    def same = record.mpp == null || mpp == null ? record.mpp == mpp : Math.abs(record.mpp / mpp - 1) < 0.01
    if (!same || record.classes != classes)
        throw new IllegalArgumentException("${root} holds tiles of ${record.mpp} um/px and classes " +
            "${record.classes}, not ${mpp} and ${classes}; choose another folder, or one mpp= for all images.")
    return record
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
