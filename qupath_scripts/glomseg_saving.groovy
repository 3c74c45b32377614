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
import qupath.lib.objects.PathObject

@Field static final String WRITE = "glomseg.write"
@Field static final String STAMPS = "glomseg.stamps"
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
        viewer.imageDataProperty().addListener({ source, old, now -> inStep(entryOf(now), now) } as ChangeListener)
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
            inStep(entryOf(data), data)
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
        stamps()?.put(imageData, [file: stamp(entry), content: content(entry), path: imageData.getLastSavedPath()])
    }
}

/** Tell whether the data of an image on disk are not those that were read or saved here. */
boolean isSavedElsewhere(def entry, def imageData) {
    if (stamps() == null)
        return false
    synchronized (entry) {  // QuPath holds it while it saves
        def known = stamps().get(imageData)
        if (known == null ? isSameAsOnDisk(entry, imageData) : isReadOrSaved(known, imageData))
            inStep(entry, imageData)
        else if (known == null)
            stamps().put(imageData, [file: null, content: null, path: imageData.getLastSavedPath()])
        else if (known.file != stamp(entry) && known.content == content(entry))  // a copy, a server's clock
            inStep(entry, imageData)
        return stamps().get(imageData).file != stamp(entry)
    }
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

private Path dataFile(def entry) {
    return entry.getEntryPath().resolve("data.qpdata")
}

/** Return what tells whether an annotation was changed, by id: its outline, and a digest of the rest. */
Map signatures(def hierarchy) {
    return hierarchy.getAnnotationObjects().collectEntries { [(it.getID()): [it.getROI(), said(it)]] }
}

private List said(PathObject item) {
    return [item.getPathClass(), item.getName(), item.getDescription(), item.isLocked(), item.getMetadata().hashCode()]
}

/** Do to data what was done here since the signatures were taken: draw, delete, reshape, judge, name, describe. */
void doAgain(Map signatures, def hierarchy, def there) {
    def ours = hierarchy.getAnnotationObjects().collectEntries { [(it.getID()): it] }
    def theirs = there.getHierarchy().getAnnotationObjects().collectEntries { [(it.getID()): it] }
    def gone = signatures.keySet().findAll { !ours.containsKey(it) }
    def (drawn, standing) = ours.values().split { item ->
        def before = signatures[item.getID()]
        before == null || !(before[0].is(item.getROI()) || before[0].getGeometry() == item.getROI().getGeometry())
    }
    standing.findAll { signatures[it.getID()][1] != said(it) && theirs.containsKey(it.getID()) }.each { item ->
        def other = theirs[item.getID()]
        other.setPathClass(item.getPathClass())
        other.setName(item.getName())
        other.setDescription(item.getDescription())
        other.setLocked(item.isLocked())
        other.setColor(item.getColor())
        other.getMetadata().clear()
        other.getMetadata().putAll(item.getMetadata())
    }
    there.getHierarchy().removeObjects((gone + drawn*.getID()).collect { theirs[it] }.findAll { it != null }, true)
    hierarchy.removeObjects(drawn, true)
    there.getHierarchy().addObjects(drawn)
}

/**
 * Compare data of which it was not seen when they were read: glomseg's mark and the objects. Of data that were changed
 * here, other objects mean nothing where the file is older than this QuPath's start.
 */
boolean isSameAsOnDisk(def entry, def imageData) {
    def file = dataFile(entry)
    if (!Files.exists(file))
        return true
    def there = entry.readImageData()
    if (there.getProperty(WRITE) != imageData.getProperty(WRITE))
        return false
    def ids = { data -> data.getHierarchy().getAnnotationObjects()*.getID() as Set }
    def begun = ProcessHandle.current().info().startInstant().orElse(Instant.EPOCH)
    return ids(there) == ids(imageData) ||
        (imageData.isChanged() && Files.getLastModifiedTime(file).toInstant().isBefore(begun))
}
