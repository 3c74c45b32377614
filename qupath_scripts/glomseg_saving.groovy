/*
 * Purpose: notice that another program saved an image which is open here, and bring both states together. The other
 *          scripts load this file from their own folder; by itself it does nothing.
 * Input:   none.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import groovy.transform.Field
import java.nio.file.Files
import java.nio.file.Path
import java.time.Instant
import java.util.concurrent.Executors
import java.util.concurrent.ThreadFactory
import java.util.concurrent.TimeUnit
import java.util.zip.CRC32
import javafx.beans.value.ChangeListener
import javafx.collections.ListChangeListener
import qupath.fx.utils.FXUtils
import qupath.lib.io.GsonTools
import qupath.lib.objects.PathObject

@Field static final String WRITE = "glomseg.write"
@Field static final String STAMPS = "glomseg.stamps"
@Field static final String UNSURE = "unsure"
@Field static final String PAINTED = "glomseg.painted"
@Field static final long OFTEN = 200  // ms

/**
 * Begin to note, for every image that QuPath shows, the state of its data file that it was read from. QuPath itself
 * does not look whether others saved an image that it has open.
 */
void watch() {
    def gui = getQuPath()
    if (gui == null || stamps() != null)
        return
    gui.getStage().getProperties().put(STAMPS, Collections.synchronizedMap(new WeakHashMap()))
    def follow = { viewer ->
        viewer.imageDataProperty().addListener({ source, old, now -> noteNew(entryOf(now), now) } as ChangeListener)
    }
    gui.getAllViewers().each { follow(it) }
    gui.getAllViewers().addListener({ change ->
        while (change.next())
            change.getAddedSubList().each { follow(it) }
    } as ListChangeListener)
    def clock = Executors.newSingleThreadScheduledExecutor({ new Thread(it, "glomseg").tap { daemon = true } }
        as ThreadFactory)
    clock.scheduleWithFixedDelay({ FXUtils.callOnApplicationThread { noteSaves() } }, OFTEN, OFTEN,
        TimeUnit.MILLISECONDS)
}

/** Note soon what QuPath itself saved, so that what others save after that is not taken for it. */
void noteSaves() {
    getQuPath().getAllViewers()*.getImageData().findAll { it != null }.each { data ->
        def known = stamps()?.get(data)
        if (known != null && isReadOrSaved(known, data))
            noteNew(entryOf(data), data)
    }
}

/** Tell whether data were read or saved since their stamp was taken: QuPath makes a new path whenever it does. */
private boolean isReadOrSaved(Map known, def imageData) {
    return !known.path.is(imageData.getLastSavedPath())
}

Map stamps() {
    return getQuPath()?.getStage()?.getProperties()?.get(STAMPS)
}

def entryOf(def imageData) {
    return imageData == null ? null : getQuPath()?.getProject()?.getEntry(imageData)
}

/** Note that data in memory and on disk are of one state: they were just read, or written. */
void inStep(def entry, def imageData) {
    if (entry == null || imageData == null)
        return
    synchronized (entry) {
        stamps()?.put(imageData, [file: stamp(entry), content: content(entry), path: imageData.getLastSavedPath(),
                                  signatures: imageData.isChanged() ? signaturesOf(imageData)
                                      : signatures(imageData.getHierarchy())])
    }
}

/** Return the signatures of data as they were read or saved; null where nobody saw that. */
Map signaturesOf(def imageData) {
    return stamps()?.get(imageData)?.signatures
}

/**
 * Note data that were just read or saved: of one state with those on disk, unless they were read from another file,
 * such as a backup that was dropped onto the window, which QuPath shows as the image that they once were.
 */
private void noteNew(def entry, def imageData) {
    def path = imageData?.getLastSavedPath()
    def known = imageData == null ? null : stamps()?.get(imageData)
    if (entry == null || otherThanOwn(entry, path) == null)
        inStep(entry, imageData)
    else if (known == null)
        stamps()?.put(imageData, [file: null, content: null, path: path, from: path])
    else
        known.path = path  // a copy of the image was saved elsewhere
}

private String otherThanOwn(def entry, String path) {
    def own = dataFile(entry), file = path == null ? own : Path.of(path)
    def isOwn = file == own || (Files.exists(file) && Files.exists(own) && Files.isSameFile(file, own))
    return isOwn ? null : path
}

/** Tell whether the data of an image on disk are not those that were read or saved here. */
boolean isSavedElsewhere(def entry, def imageData) {
    if (stamps() == null)
        return false
    synchronized (entry) {  // QuPath holds it while it saves
        def known = stamps().get(imageData)
        def differs = known == null ? differsFromDisk(entry, imageData) : null
        if (known == null ? !differs : isReadOrSaved(known, imageData))
            noteNew(entry, imageData)
        else if (known == null)
            stamps().put(imageData, [file: null, content: null, path: imageData.getLastSavedPath(),
                                     unsure: differs == UNSURE,
                                     from: otherThanOwn(entry, imageData.getLastSavedPath())])
        else if (known.file != stamp(entry) && known.content == content(entry))  // a copy, a server's clock
            inStep(entry, imageData)
        return stamps().get(imageData).file != stamp(entry)
    }
}

/** Tell whether an image that is said to be saved elsewhere may have been saved here, before its last changes. */
boolean isUnsure(def imageData) {
    return stamps()?.get(imageData)?.unsure
}

/** Return the file that an image was read from where that is not its own in the project, else null. */
String otherFile(def imageData) {
    return stamps()?.get(imageData)?.from
}

/** Return what changes when a data file is written; of one that is not there, null would be that of no file. */
List stamp(def entry) {
    def file = dataFile(entry)
    return Files.exists(file) ? [Files.getLastModifiedTime(file).toMillis(), Files.size(file)] : ["none"]
}

/** Return a checksum of a data file. */
long content(def entry) {
    def file = dataFile(entry)
    def sum = new CRC32()
    if (Files.exists(file))
        sum.update(Files.readAllBytes(file))
    return sum.getValue()
}

/**
 * Refuse an image of whose data QuPath could read nothing, as the file is damaged or a share has not brought it yet:
 * it shows the image without objects, and what is saved then takes the place of all that stood there.
 */
void refuseUnread(def entry) {
    def file = dataFile(entry), there = null
    synchronized (entry) {  // QuPath holds it while it saves
        there = [file, file.resolveSibling("data.qpdata.bkp")].find { Files.exists(it) }
        if (there == null ? !objectsSaid(entry) : isWhole(there))
            return
    }
    throw new IllegalStateException("The data of ${entry.getImageName()} are ${there ? "damaged" : "missing"}, so " +
        "that QuPath shows nothing of what stood there; they are not replaced. `glomseg restore PROJECT " +
        "${entry.getID()}` lists backups. If all is there in this window, save it with QuPath's own Ctrl+S.")
}

/** Tell whether a data file begins and ends as QuPath's do. */
private boolean isWhole(Path file) {
    return new RandomAccessFile(file.toFile(), "r").withCloseable { data ->
        def beginning = new byte[4], end = new byte[6]
        if (data.length() < beginning.length + end.length)
            return false
        data.readFully(beginning)
        data.seek(data.length() - end.length)
        data.readFully(end)
        return beginning.encodeHex().toString() == "aced0005" && end.encodeHex().toString() == "740003454f46"
    }
}

/** Return how many objects an image has by its summary; 0 where there is none that can be read. */
private int objectsSaid(def entry) {
    try {
        def summary = GsonTools.getInstance().fromJson(Files.readString(summaryFile(entry)), Map)
        return (summary?.hierarchy?.nObjects ?: 0) as int
    } catch (IOException | com.google.gson.JsonParseException | ClassCastException ignored) {
        return 0
    }
}

private Path summaryFile(def entry) {
    return entry.getEntryPath().resolve("summary.json")
}

private Path dataFile(def entry) {
    return entry.getEntryPath().resolve("data.qpdata")
}

/**
 * Return what tells whether an object was changed, by id: its outline, what it lies in and what is said of it. Of the
 * many detections no measurements and metadata are kept.
 */
Map signatures(def hierarchy) {
    return objects(hierarchy).collectEntries { item ->
        def isOne = item.isAnnotation()
        [(item.getID()): [outline: item.getROI(), parent: parentOf(item), said: said(item),
                          metadata: isOne ? new HashMap(item.getMetadata()) : null,
                          measurements: isOne ? new HashMap(item.getMeasurements()) : null]]
    }
}

private List<PathObject> objects(def hierarchy) {
    return hierarchy.getObjects(null, PathObject).findAll { !it.isRootObject() && !it.isTMACore() }
}

private def parentOf(PathObject item) {
    def parent = item.getParent()
    return parent == null || parent.isRootObject() ? null : parent.getID()
}

private List said(PathObject item) {
    return [item.getPathClass(), item.getName(), item.getColor(), item.isLocked()]
}

/**
 * Do to data what was done here since the signatures were taken: draw, delete, reshape, judge, name, describe, colour,
 * measure, put one into another. What was done there to the same object stays, unless it was done here too; what went
 * there, such as by an undo, stays where something was done to it here.
 */
void doAgain(Map signatures, def hierarchy, def there) {
    giveIdsBack(signatures, hierarchy)
    def ours = objects(hierarchy).collectEntries { [(it.getID()): it] }
    def theirs = objects(there.getHierarchy()).collectEntries { [(it.getID()): it] }
    def gone = signatures.keySet().findAll { !ours.containsKey(it) }
    def (drawn, standing) = ours.values().split { item ->
        def before = signatures[item.getID()]?.outline
        before == null || !(before.is(item.getROI()) || before.getGeometry() == item.getROI().getGeometry())
    }
    def isNew = drawn*.getID() as Set
    drawn += standing.findAll { item ->
        !theirs.containsKey(item.getID()) && (isDoneTo(signatures[item.getID()], item) ||
            item.getChildObjects().any { it.getID() in isNew })
    }
    def isDrawn = drawn*.getID() as Set
    def both = standing.findAll { theirs.containsKey(it.getID()) }
    both.each { sayAgain(signatures[it.getID()], it, theirs[it.getID()]) }
    def moved = both.findAll { parentOf(it) in isDrawn || parentOf(it) != signatures[it.getID()].parent }
    def parents = (drawn.sort { it.getLevel() } + moved).collectEntries { [(it.getID()): parentOf(it)] }
    there.getHierarchy().removeObjects((gone + isDrawn).collect { theirs[it] }.findAll { it != null }, true)
    hierarchy.removeObjects(drawn, true)
    drawn.each {
        it.clearChildObjects()
        theirs[it.getID()] = it
    }
    there.getHierarchy().addObjects(drawn)
    parents.each { id, parent ->
        def above = parent == null ? there.getHierarchy().getRootObject() : theirs[parent]
        if (above != null && theirs[id].getParent() !== above)
            there.getHierarchy().addObjectBelowParent(above, theirs[id], false)
    }
    there.getHierarchy().fireHierarchyChangedEvent(this)
}

/** Give objects that only got new ids here, as QuPath's "Refresh object IDs" gives them, those of before. */
private void giveIdsBack(Map signatures, def hierarchy) {
    def items = objects(hierarchy), ids = items*.getID() as Set
    def lost = signatures.findAll { !ids.contains(it.key) }
    if (!lost)
        return
    def idOf = new IdentityHashMap()
    lost.each { id, before -> idOf.put(before.outline, id) }
    items.findAll { !signatures.containsKey(it.getID()) && idOf.containsKey(it.getROI()) }.each {
        it.setID(idOf.remove(it.getROI()))
    }
}

/** Tell whether somebody judged, named, coloured, measured or described it; the review's colours are nobody's. */
private boolean isDoneTo(Map before, PathObject item) {
    def measurements = before.measurements == null ? null : item.getMeasurements()
    return saidAnew(before, item) || before.measurements != measurements ||
        before.metadata != null && described(before.metadata) != described(item.getMetadata())
}

/** Name what is said otherwise of an object than before: its class, name, colour or lock. */
private List<String> saidAnew(Map before, PathObject item) {
    def now = said(item)
    def (was, is) = [[before.said, before.metadata], [now, before.metadata == null ? null : item.getMetadata()]]
    return ["class", "name", "colour", "lock"].withIndex().findAll { what, index ->
        what == "colour" ? ownColour(was) != ownColour(is) : before.said[index] != now[index]
    }*.get(0)
}

/** Return the colour that somebody gave an object; none where it is the review's. */
private def ownColour(List known) {
    def (said, metadata) = known
    return metadata?.get(PAINTED) == said[2]?.toString() ? null : said[2]
}

private Map described(Map metadata) {
    return metadata.findAll { it.key != PAINTED }
}

/** Do to an object what was done to ours of its id; the review's colours are painted anew. */
private void sayAgain(Map before, PathObject ours, PathObject theirs) {
    def anew = saidAnew(before, ours)
    if ("class" in anew)
        theirs.setPathClass(ours.getPathClass())
    if ("name" in anew)
        theirs.setName(ours.getName())
    if ("colour" in anew)
        theirs.setColor(ours.getColor())
    if ("lock" in anew)
        theirs.setLocked(ours.isLocked())
    if (before.metadata != null)
        changeAlike(described(before.metadata), described(ours.getMetadata()), theirs.getMetadata())
    if (before.measurements != null)
        changeAlike(before.measurements, ours.getMeasurements(), theirs.getMeasurements())
}

private void changeAlike(Map before, Map ours, Map theirs) {
    ours.findAll { it.value != before[it.key] }.each { name, value -> theirs.put(name, value) }
    before.keySet().findAll { !ours.containsKey(it) }.each { theirs.remove(it) }
}

/**
 * Compare data of which it was not seen when they were read: glomseg's mark and the objects; null where they are alike.
 * Of data that were changed here, other objects mean nothing where the file is older than this QuPath's start, and may
 * be those of a save here where it is younger.
 */
String differsFromDisk(def entry, def imageData) {
    def file = dataFile(entry)
    if (!Files.exists(file))
        return null
    def there = entry.readImageData()
    if (there.getProperty(WRITE) != imageData.getProperty(WRITE))
        return "sure"
    def ids = { data -> data.getHierarchy().getAnnotationObjects()*.getID() as Set }
    if (ids(there) == ids(imageData))
        return null
    if (!imageData.isChanged())
        return "sure"
    def begun = ProcessHandle.current().info().startInstant().orElse(Instant.EPOCH)
    return Files.getLastModifiedTime(file).toInstant().isBefore(begun) ? null : UNSURE
}
