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
import java.time.Instant
import javafx.beans.value.ChangeListener
import javafx.collections.ListChangeListener
import qupath.lib.objects.PathObject

@Field static final String WRITE = "glomseg.write"
@Field static final String STAMPS = "glomseg.stamps"

/**
 * Begin to note, for every image that QuPath shows, the state of its data file that it was read from. QuPath itself
 * does not look whether others saved an image that it has open.
 */
void watch() {
    def gui = getQuPath()
    if (gui == null || stamps() != null)
        return
    gui.getStage().getProperties().put(STAMPS, new WeakHashMap())
    def follow = { viewer ->
        viewer.imageDataProperty().addListener({ source, old, now -> inStep(entryOf(now), now) } as ChangeListener)
    }
    gui.getAllViewers().each { follow(it) }
    gui.getAllViewers().addListener({ change ->
        while (change.next())
            change.getAddedSubList().each { follow(it) }
    } as ListChangeListener)
}

Map stamps() {
    return getQuPath()?.getStage()?.getProperties()?.get(STAMPS)
}

def entryOf(def imageData) {
    return imageData == null ? null : getQuPath()?.getProject()?.getEntry(imageData)
}

/** Note that data in memory and on disk are of one state: they were just read, or written. */
void inStep(def entry, def imageData) {
    if (entry != null && imageData != null)
        stamps()?.put(imageData, [file: stamp(entry), path: imageData.getLastSavedPath()])
}

/** Tell whether the data of an image on disk are not those that were read or saved here. */
boolean isSavedElsewhere(def entry, def imageData) {
    def stamps = stamps()
    if (stamps == null)
        return false
    def known = stamps.get(imageData)
    if (known == null)
        stamps.put(imageData, [file: isSameAsOnDisk(entry, imageData) ? stamp(entry) : null,
                               path: imageData.getLastSavedPath()])
    else if (!known.path.is(imageData.getLastSavedPath()))  // QuPath makes a new one whenever it reads or saves
        inStep(entry, imageData)
    return stamps.get(imageData).file != stamp(entry)
}

/** Return what changes when a data file is written; of one that is not there, null would be that of no file. */
List stamp(def entry) {
    def file = entry.getEntryPath().resolve("data.qpdata")
    return Files.exists(file) ? [Files.getLastModifiedTime(file).toMillis(), Files.size(file)] : ["none"]
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
    def file = entry.getEntryPath().resolve("data.qpdata")
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
