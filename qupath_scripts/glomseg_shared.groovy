/*
 * Purpose: what glomseg's scripts share. They load this file from their own folder; by itself it does nothing.
 * Input:   none.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import groovy.transform.Field
import java.awt.Color
import java.nio.charset.StandardCharsets
import java.time.LocalDate
import java.util.regex.Pattern
import javafx.application.Platform
import javafx.beans.value.ChangeListener
import org.codehaus.groovy.runtime.InvokerHelper
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.prefs.PathPrefs
import qupath.lib.objects.PathObject
import qupath.lib.objects.classes.PathClass

@Field static final String BASE = "Glomerulus"
@Field static final String SCLEROTIC = "Glomerulus: Sclerotic"
@Field static final String REJECTED = "Rejected"
@Field static final String REVIEWED = "glomseg.reviewed"
@Field static final String REVIEWED_OF = "glomseg.reviewed_of"  // beside it: the write whose outcome was reviewed
@Field static final String REVIEWED_IN = "glomseg.reviewed_in"  // of a region, beside it: where it lay then
@Field static final String REVIEW = "glomseg.review"
@Field static final String WRITE = "glomseg.write"  // of the image's data: the last write of glomseg
@Field static final String STANDS = "glomseg.stands"  // of the image's data: that write, and the one that stands
@Field static final Map<String, String> CLASS_OF = [reject: REJECTED, sclerotic: SCLEROTIC]
@Field static final List<String> FINAL = ["accept", "reject", "sclerotic"]
@Field static final String TO_DO = "to do"
@Field static final List<String> VERDICTS = ["accept", "reject", "sclerotic", "edit"]
@Field static final List<String> LEFT_BY_A_VERDICT = [
    "glomseg.verdict", "glomseg.initials", "glomseg.judged", "glomseg.grade", "glomseg.class_before",
    "glomseg.locked_before",
]
@Field static final String NAMES_ARE_HIDDEN = "names are hidden, as they cover the outlines; N shows them"
@Field static final Map<String, Integer> COLOURS = [
    "to do": 0x1f9fff, accept: 0x2ca02c, reject: 0x808080, sclerotic: 0xffd400, edit: 0xff4f00,
]
@Field static final String COLOURING = "glomseg.colouring"
@Field static final String PAINTED = "glomseg.painted"
@Field static final String NAMES = "glomseg.names"  // property of QuPath's window: a person had names, we hid them
@Field static final String OPEN = "glomseg.window"  // property of QuPath's window: the window of ours
@Field static final String ANNOUNCE = "glomseg.announce"  // property of the window of ours: what shows a text in it
@Field final Map loaded = [:]
@Field final Map inFiles = [:]
@Field GroovyClassLoader files = null
@Field static final Map<String, List<String>> NEEDS = [
    glomseg_windows: ["glomseg_keys", "glomseg_place"],
    glomseg_other_image: ["glomseg_same_image"],
    glomseg_candidates: ["glomseg_runs", "glomseg_same_image"],
    glomseg_review_pane: ["glomseg_windows", "glomseg_candidates", "glomseg_initials"],
    glomseg_review: ["glomseg_windows", "glomseg_viewing", "glomseg_candidates", "glomseg_review_pane",
                     "glomseg_verdicts"],
    glomseg_walk: ["glomseg_windows", "glomseg_viewing", "glomseg_tissue", "glomseg_candidates", "glomseg_outline",
                   "glomseg_initials"],
]
@Field static final Map<String, String> WINDOWS = [review: "glomseg_review", missed: "glomseg_walk"]

/**
 * Return another of glomseg's files, from this one's folder: a script with its functions, or the first class of a file
 * that holds classes alone. Such a file knows the classes of those that it needs.
 */
def load(String name) {
    NEEDS[name].each { load(it) }
    if (!loaded.containsKey(name)) {
        def own = new File(getClass().getProtectionDomain().getCodeSource().getLocation().toURI())
        files = files ?: new GroovyClassLoader(getClass().getClassLoader())
        def type = files.parseClass(new File(own.getParentFile(), name + ".groovy"))
        loaded[name] = Script.isAssignableFrom(type) ? InvokerHelper.createScript(type, new Binding([shared: this])) :
            type
    }
    return loaded[name]
}

/** Show a window of ours; there is one of its kind, and no other. Runs on JavaFX's thread. */
void openWindow(String name, def gui) {
    def window = load(WINDOWS[name])
    window.show(gui, name) { window.newInstance(this, gui) }
}

/** Read arguments of the form name=value; one without "=" has the value "". */
Map<String, String> named(List<String> texts) {
    return texts.collectEntries { text ->
        [(text.tokenize("=")[0]): text.contains("=") ? text.substring(text.indexOf("=") + 1) : ""]
    }
}

/** Return the data of an image as a viewer shows it at this moment, the active one first; null where none does. */
def shownData(def project, def entry) {
    def gui = getQuPath()
    if (project == null || gui?.getProject()?.getPath() != project.getPath())
        return null
    return ([gui.getViewer()] + gui.getAllViewers())*.getImageData().find { data ->
        data != null && gui.getProject().getEntry(data)?.getID() == entry.getID()
    }
}

/** Tell whether a viewer shows this very data; "Run for project" works on data of its own. */
boolean isShown(def imageData) {
    return getQuPath()?.getAllViewers()?.any { it.getImageData() === imageData }
}

/** Refuse to ask a person about data that no viewer shows, as "Run for project" has: an image at a time, of its own. */
void refuseUnshown(def imageData) {
    if (!isShown(imageData))
        throw new IllegalStateException("This asks about the image that is open. Choose it in the menu Extensions > " +
            "GlomSeg, or press Run; \"Run for project\" is not for it.")
}

/** Do something with an image that was shown, as it stands now: as a viewer shows it, else as it is on disk. */
def withDataOfNow(def project, def entry, Closure what) {
    def shown = shownData(project, entry)
    setBatchProjectAndImage(shown == null ? project : getQuPath().getProject(), shown ?: entry.readImageData())
    return what()
}

/** Tell a result where people see it: by a notification if a window shows the image, and in the log. */
void tell(String title, String text) {
    println title + ": " + text
    if (getQuPath() != null)
        announce(title, text)
}

/** Show a result a while: in the window of ours that is open, where it covers no outline, or as QuPath does. */
void announce(String title, String text) {
    Platform.runLater {
        def ours = getQuPath().getStage().getProperties()[OPEN]
        if (ours?.isShowing())
            ours.getProperties()[ANNOUNCE].call(text)
        else
            Dialogs.showInfoNotification(title, text)
    }
}

/**
 * Hide the names of objects, which cover the outlines beside them, and tell whether they were shown. N shows them
 * again; by itself they come back with another project, or when a window of ours closes. Runs on JavaFX's thread.
 */
boolean hideNames() {
    def gui = getQuPath()
    def shown = gui.getOverlayOptions().showNamesProperty()
    if (!shown.get())
        return false
    shown.set(false)
    def properties = gui.getStage().getProperties()
    properties[NAMES] = true
    def onProject = { source, old, now ->
        if (!properties[OPEN]?.isShowing())
            showNamesAgain()
    } as ChangeListener
    def onNames = null
    onNames = { source, old, now ->
        properties.remove(NAMES)
        shown.removeListener(onNames)
        gui.projectProperty().removeListener(onProject)
    } as ChangeListener
    shown.addListener(onNames)
    gui.projectProperty().addListener(onProject)
    return true
}

/** Show the names of objects again where a person had them shown. Runs on JavaFX's thread. */
void showNamesAgain() {
    if (getQuPath().getStage().getProperties()[NAMES])
        getQuPath().getOverlayOptions().setShowNames(true)
}

/** Return what is no place for a candidate: glomeruli, however their class is spelled, and all that was rejected. */
List<PathObject> judgedPlaces(def hierarchy) {
    def rule = load("glomseg_classes")
    return hierarchy.getAnnotationObjects().findAll {
        def name = it.getPathClass()?.toString()
        name == REJECTED || rule.isClass(name, BASE)
    }
}

/** Return the annotations that are glomeruli, however their class is spelled, and what a review rejected. */
List<PathObject> glomeruli(def hierarchy) {
    def rule = load("glomseg_classes")
    def isOne = [:].withDefault { rule.isClass(it, BASE) }
    return hierarchy.getAnnotationObjects().findAll {
        def name = it.getPathClass()?.toString()
        name != null && (isOne[name] || (name == REJECTED && verdict(it) == "reject"))
    }
}

/** Return the verdict on an object; none where a person gave it another class since than the verdict did. */
String verdict(PathObject item) {
    return verdictIn(item.getMetadata(), item.getPathClass())
}

String verdictIn(Map metadata, PathClass given) {
    def said = metadata["glomseg.verdict"]
    def own = CLASS_OF[said]
    def isBare = given == null && said == "reject"
    return own == null || isBare || load("glomseg_classes").isClass(given?.toString(), own) ? said : null
}

double confidence(PathObject item) {
    return item.getMeasurementList().get("Confidence")
}

/** Return what has no final verdict: what is to be edited last; what was drawn by hand, without confidence, before. */
List<PathObject> queue(def hierarchy, boolean reading, List<PathObject> more = []) {
    return inOrder(glomeruli(hierarchy).findAll { !(verdict(it) in FINAL) } + more, reading)
}

List<PathObject> inOrder(List<PathObject> open, boolean reading) {
    def heights = open.collect { it.getROI().getBoundsHeight() }.sort()
    def band = heights ? 4 * heights[heights.size().intdiv(2)] : 1
    def places = open.collectEntries { item ->
        def roi = item.getROI()
        def first = reading ? Math.floor(roi.getCentroidY() / band) : confidence(item)
        [(item.getID()): [verdict(item) == "edit" ? 1 : 0, first, roi.getCentroidX()]]
    }
    return open.sort { a, b ->
        def one = places[a.getID()], other = places[b.getID()]
        one[0] <=> other[0] ?: Double.compare(one[1], other[1]) ?: one[2] <=> other[2] ?: a.getID() <=> b.getID()
    }
}

/** Say how far a review is, such as "3 accept, 1 reject, 7 to do". */
String progress(def hierarchy) {
    return inWords(counts(hierarchy))
}

/** Count the glomeruli by verdict; those without any are "to do". */
Map<String, Integer> counts(def hierarchy) {
    return glomeruli(hierarchy).countBy { verdict(it) ?: TO_DO }
}

String inWords(Map<String, Integer> counts) {
    return (VERDICTS + [TO_DO]).findAll { counts[it] }.collect { counts[it] + " " + it }.join(", ") ?: "none"
}

/** Write a verdict on an object; what the object was before the first one returns with the verdict "none". */
void judge(def imageData, PathObject item, String verdict, String initials, String grade = null) {
    if (!(verdict in VERDICTS + ["none"]))
        throw new IllegalArgumentException("${verdict} is no verdict; there are accept, reject, sclerotic, edit, none.")
    if (!initials)
        throw new IllegalArgumentException("A verdict needs the reviewer's initials.")
    def metadata = item.getMetadata()
    metadata.putIfAbsent("glomseg.class_before", item.getPathClass()?.toString() ?: "")
    metadata.putIfAbsent("glomseg.locked_before", item.isLocked().toString())
    def name = CLASS_OF[verdict] ?: metadata["glomseg.class_before"]
    def color = item.getColor()
    item.setPathClass(name ? PathClass.fromString(name) : null)
    item.setColor(color)  // which QuPath drops with a class
    def returns = verdict == "none" && metadata["glomseg.locked_before"] == "true"
    item.setLocked(returns || verdict in ["accept", "sclerotic"])
    if (verdict == "none") {
        LEFT_BY_A_VERDICT.each { metadata.remove(it) }
    } else {
        metadata["glomseg.verdict"] = verdict
        metadata["glomseg.initials"] = initials
        metadata["glomseg.judged"] = LocalDate.now().toString()
        if (grade)
            metadata["glomseg.grade"] = grade
        else if (verdict in FINAL)
            metadata.remove("glomseg.grade")
    }
    def colouring = imageData.getProperty(COLOURING)
    if (colouring in ["confidence", "verdict"])
        dye(item, colouring)
    changed(imageData.getHierarchy(), [item])
}

/** Tell QuPath that objects changed. As "changing", for at any other event it copies all objects for its undo. */
void changed(def hierarchy, List<PathObject> items) {
    hierarchy.fireObjectsChangedEvent(this, items, true)
}

/** Add or remove objects of ours without a step in QuPath's undo, which would copy all objects. */
void withoutStep(Closure what) {
    def most = PathPrefs.maxUndoHierarchySizeProperty()
    def before = most.get()
    most.set(0)
    try {
        what()
    } finally {
        most.set(before)
    }
}

/** Return all that a verdict changes, so that it can be put back. */
Map state(PathObject item) {
    return [
        pathClass: item.getPathClass(), locked: item.isLocked(), color: item.getColor(),
        painted: item.getMetadata()[PAINTED],
        metadata: item.getMetadata().findAll { it.key in LEFT_BY_A_VERDICT }.collectEntries { [(it.key): it.value] },
    ]
}

void putBack(PathObject item, Map state) {
    item.setPathClass(state.pathClass)
    item.setLocked(state.locked)
    item.setColor(state.color)
    item.getMetadata().remove(PAINTED)
    if (state.painted != null)
        item.getMetadata()[PAINTED] = state.painted
    LEFT_BY_A_VERDICT.each { item.getMetadata().remove(it) }
    item.getMetadata().putAll(state.metadata)
}

/** Mark an image or a region as reviewed, as it stands now, or take the mark back; by the rules of review_mark.py. */
void markReviewed(def entry, def imageData, PathObject region, boolean reviewed, String initials) {
    if (reviewed && !initials)
        throw new IllegalArgumentException("The mark needs the reviewer's initials.")
    def stands = outcome { name -> imageData.getProperty(name) }
    def marks = [(REVIEWED): initials + " " + LocalDate.now(), (REVIEWED_OF): stands]
    if (region != null) {
        marks[REVIEWED_IN] = place(region)
        if (reviewed)
            region.getMetadata().putAll(marks)
        else
            region.getMetadata().keySet().removeAll(marks.keySet())
        return
    }
    marks.each { name, value -> reviewed ? entry.putMetadataValue(name, value) : entry.removeMetadataValue(name) }
    if (reviewed)
        imageData.setProperty(REVIEWED, REVIEWED + "=" + stands)
    else
        imageData.removeProperty(REVIEWED)
}

/** Say where a region lies, as "x y width height area". */
private String place(PathObject region) {
    def shape = region.getROI().getGeometry(), box = shape.getEnvelopeInternal()
    return [box.getMinX(), box.getMinY(), box.getWidth(), box.getHeight(), shape.getArea()]
        .collect { String.format(Locale.ROOT, "%.1f", it as double) }.join(" ")
}

/** Return who marked an image as fully reviewed, and when; null where nobody did, or other outlines stood there. */
String reviewedBy(def entry, def imageData) {
    return entry == null ? null : markThatIsTrue(entry.getMetadataMap()) { name -> imageData.getProperty(name) }
}

private String markThatIsTrue(Map metadata, Closure property) {
    def mark = metadata[REVIEWED], of = metadata[REVIEWED_OF]
    def isTrue = of == null || (outcome(property) == of && property(REVIEWED) == REVIEWED + "=" + of)
    return mark != null && isTrue ? mark : null
}

/** Return the same of an image that need not be open, by its data on disk. */
String reviewedOnDisk(def entry, Map metadata = entry.getMetadataMap()) {
    def mark = metadata[REVIEWED]
    if (mark == null || metadata[REVIEWED_OF] == null)
        return mark
    def file = entry.getEntryPath().resolve("data.qpdata").toFile()
    def known = inFiles[file]
    if (known?.modified != file.lastModified())
        inFiles[file] = known = [modified: file.lastModified(), values: propertiesIn(file)]
    return markThatIsTrue(metadata) { name -> known.values[name] }
}

/** Read our properties out of a data file, which holds them as text, without reading its objects. */
private Map propertiesIn(File file) {
    def text = file.isFile() ? new String(file.bytes, StandardCharsets.ISO_8859_1) : ""
    def found = [WRITE, STANDS, REVIEWED].collectEntries { name ->
        [(name): (text =~ Pattern.quote(name + "=") + "[0-9a-fno:]+").collect { it }]
    }
    return found.findAll { it.value }.collectEntries { name, values -> [(name): values.last()] }
}

/** Name the write of glomseg whose outcome stands in data, "none" for no write. */
private String outcome(Closure property) {
    def value = { name -> property(name)?.toString()?.minus(name + "=") }
    def write = value(WRITE) ?: "none"
    def stands = value(STANDS)?.tokenize(":")
    return stands != null && stands[0] == write ? stands[1] : write
}

/** Colour by confidence (red, yellow, green), by verdict, or as the class says. */
void paint(def imageData, String how) {
    if (!(how in ["confidence", "verdict", "none"]))
        throw new IllegalArgumentException("${how} is no colouring; there are confidence, verdict and none.")
    imageData.setProperty(COLOURING, how)
    def items = glomeruli(imageData.getHierarchy())
    items.each { dye(it, how) }
    changed(imageData.getHierarchy(), items)
}

/** Give an object its colour in a colouring, and note that it is ours. A colour that a person gave it stays theirs. */
void dye(PathObject item, String how) {
    def metadata = item.getMetadata()
    if (item.getColor() != null && metadata[PAINTED] != item.getColor().toString())
        return
    item.setColor(colour(item, how))
    if (item.getColor() == null)
        metadata.remove(PAINTED)
    else
        metadata[PAINTED] = item.getColor().toString()
}

/** Return the colour of an object in a colouring, null where its class gives it. */
Integer colour(PathObject item, String how) {
    if (how == "verdict")
        return COLOURS[verdict(item) ?: TO_DO]
    def certain = confidence(item)
    if (how != "confidence" || Double.isNaN(certain))
        return null
    return Color.HSBtoRGB((float) (Math.max(0, Math.min(1, 2 * certain - 1)) / 3), 1f, 0.85f) & 0xffffff
}

/** Write the image as it stands now, and how far its review is; throws where others saved it since it was read. */
void save(def project, def entry, def imageData) {
    refuseToOverwrite(entry, imageData)
    entry.putMetadataValue(REVIEW, progress(imageData.getHierarchy()))
    saveData(entry, imageData)
    sync(project, entry)
}

/** Write the data of an image that may be shown; throws where others saved it since it was read. */
void saveData(def entry, def imageData) {
    refuseToOverwrite(entry, imageData)
    synchronized (entry) {  // else what looks at the files meanwhile may note it first, and this as another's
        entry.saveImageData(imageData)
        saving().readOrSaved(entry, imageData)
    }
}

void refuseToOverwrite(def entry, def imageData) {
    load("glomseg_data_file").refuseUnread(entry, imageData)
    refuseAnother(entry, imageData)
    if (!isShown(imageData) || !saving().isSavedElsewhere(entry, imageData))
        return
    if (saving().otherFile(imageData))
        throw new IllegalStateException("${entry.getImageName()} was read from ${saving().otherFile(imageData)}, and " +
            "what is in the project is not overwritten. Open it again, without saving, to see that.")
    if (saving().isGone(entry, imageData))
        throw new IllegalStateException("The data of ${entry.getImageName()} are no longer where they were " +
            "(${entry.getEntryPath()}): moved, removed, or a share is away. Nothing is saved until they are back. " +
            "If they are lost, QuPath's own Ctrl+S saves what is shown.")
    if (saving().isUnsure(imageData))
        throw new IllegalStateException("${entry.getImageName()} has other objects on disk than here, and is not " +
            "overwritten. Save it with QuPath's own Ctrl+S if you went on here after a save, and try again; if " +
            "another program saved it since, open it again, without saving, to see that.")
    throw new IllegalStateException("${entry.getImageName()} was saved by another program (glomseg, another " +
        "QuPath) since it was opened here, and is not overwritten. Review offers to load that with what was done " +
        "here since; or open it again, without saving, to see that alone.")
}

/** Refuse to mix two images: the data on disk, or the project's file, are of another one under this one's id. */
void refuseAnother(def entry, def imageData) {
    def other = load("glomseg_project_file").otherNow(getProject(), entry)
    if (other)
        throw new IllegalStateException("The project's file lists ${other} in place of ${entry.getImageName()}: " +
            "another QuPath added that at the same time, and both have one folder of data, ${entry.getEntryPath()}. " +
            "Nothing is done. Keep what is here by File > Export objects as GeoJSON, open the project again, add " +
            "${entry.getImageName()} once more, and import the objects there.")
    load("glomseg_other_image").refuse(entry, imageData.getServer())
}

/**
 * Write the project's own file, but not where that file lists images which this QuPath does not know. It holds the
 * marks of all images: those that another QuPath made since, on another than `own`, are taken over first.
 */
void sync(def project, def own = null) {
    def unknown = takeOverMarks(project, own), file = load("glomseg_project_file")
    if (unknown)
        throw new IllegalStateException("The project's file ${unknown.join(', and ')}. It is not overwritten; open " +
            "the project again.")
    file.takeOverLists(project)
    project.syncChanges()
    file.look(project)
}

/**
 * Take over the marks that another QuPath made on images but `own`, and names, descriptions, metadata, tags and
 * settings that it changed; says what the file has that cannot be known here.
 */
List<String> takeOverMarks(def project, def own = null) {
    def file = load("glomseg_project_file"), listed = file.listed(project)
    def known = project.getImageList().collectEntries { [(it.getID()): it] }
    def (same, others) = listed.keySet().split { known.containsKey(it) }
    def strange = same.collectEntries { [(it): file.otherImage(known[it], listed[it])] }.findAll { it.value }
    def ours = same - strange.keySet()
    ours.each { adoptMarks(known[it], listed[it].metadata ?: [:], own) }
    def left = file.takeOver(project, listed.subMap(ours + others))
    def names = others.collect { listed[it].imageName.toString() }
    ours.each { load("glomseg_image_settings").takeSaved(project, known[it]) }
    def unknown = []
    if (names)
        unknown << "lists images that are not known here (${names.join(', ')}): another program added them"
    if (strange) {
        def replaced = strange.keySet().collect { known[it].getImageName() }.join(", ")
        unknown << "lists ${strange.values().join(', ')} in place of ${replaced}: another QuPath added that meanwhile"
    }
    if (left)
        unknown << "says of ${left.join(', ')} what cannot be taken over here (pixel size, magnification or " +
            "channels): another program set it"
    return unknown
}

/** Take over how far another QuPath reviewed an image, and its mark where that is true of what stands there. */
private void adoptMarks(def entry, Map theirs, def own) {
    if (entry.getID() == own?.getID())
        return
    def names = theirs.containsKey(REVIEW) ? [REVIEW] : []
    if (theirs[REVIEWED] != null && reviewedOnDisk(entry, theirs) != null && reviewedOnDisk(entry) == null)
        names += [REVIEWED, REVIEWED_OF].findAll { theirs[it] != null }
    names.each { entry.putMetadataValue(it, theirs[it].toString()) }
}

/** Begin to note from which state of its file each image is that QuPath shows, and each project. */
void watch() {
    saving().watch()
    def gui = getQuPath(), properties = gui?.getStage()?.getProperties()
    if (gui == null || properties.putIfAbsent("glomseg.project_watched", true))
        return
    load("glomseg_project_file").look(gui.getProject())
    gui.projectProperty().addListener({ source, old, now -> load("glomseg_project_file").look(now) } as ChangeListener)
}

def saving() {
    return load("glomseg_saving")
}
