/*
 * Purpose: notice that another program saved an image which is open here. The other scripts load this file from their
 *          own folder; by itself it does nothing.
 * Input:   none.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import groovy.transform.Field
import java.awt.image.BufferedImage
import java.nio.charset.StandardCharsets
import java.nio.file.Files
import java.nio.file.Path
import java.time.Instant
import java.util.concurrent.Executors
import java.util.concurrent.ThreadFactory
import java.util.concurrent.TimeUnit
import javafx.beans.value.ChangeListener
import javafx.collections.ListChangeListener
import org.slf4j.LoggerFactory
import qupath.fx.utils.FXUtils
import qupath.lib.io.PathIO

@Field static final String WRITE = "glomseg.write"
@Field static final String STAMPS = "glomseg.stamps"
@Field static final String SAVES = "glomseg.saves"  // of the image's data: the saves that it comes of, and the next
@Field static final int MOST_SAVES = 100
@Field static final long MOST_BYTES = 100_000_000  // of the states of an image that are kept in memory
@Field static final String UNSURE = "unsure"
@Field static final long OFTEN = 200  // ms
@Field static final long RECENT = 120_000  // ms

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
        viewer.imageDataProperty().addListener({ source, old, now -> noteShown(now) } as ChangeListener)
    }
    gui.getAllViewers().each { follow(it) }
    gui.getAllViewers().addListener({ change ->
        while (change.next())
            change.getAddedSubList().each { follow(it) }
    } as ListChangeListener)
    def clock = Executors.newSingleThreadScheduledExecutor({ new Thread(it, "glomseg").tap { daemon = true } }
        as ThreadFactory)
    def keeping = shared.load("glomseg_keeping")
    clock.scheduleWithFixedDelay({ look(keeping) }, OFTEN, OFTEN, TimeUnit.MILLISECONDS)
}

/**
 * Keep what others saved since the last look; that takes its time, and so is not done where windows are drawn. Nothing
 * may be thrown here, or no look would follow.
 */
private void look(def keeping) {
    try {
        FXUtils.callOnApplicationThread { noteSaves(keeping) }.each { keeping.tryToKeep(this, entryOf(it), it) }
    } catch (Exception | OutOfMemoryError error) {  // groovylint-disable-line CatchException
        LoggerFactory.getLogger("GlomSeg").debug("A file changed while it was looked at", error)
    }
}

/**
 * Note soon what QuPath itself saved, so that what others save after that is not taken for it, and what was open before
 * anything was noted; returns what is to be kept.
 */
private List noteSaves(def keeping) {
    keeping.settle(this)
    def shown = getQuPath().getAllViewers()*.getImageData().findAll { it != null }
    shown.each { data ->
        def known = stamps()?.get(data), entry = entryOf(data)
        if (entry != null && (known == null || isReadOrSaved(known, data)))
            isSavedElsewhere(entry, data)  // which notes it, unless that was done while it waited for a save
    }
    return shown.findAll { keeping.isToKeep(this, entryOf(it), it) }
}

/** Tell whether data were read or saved since their stamp was taken: QuPath makes a new path whenever it does. */
boolean isReadOrSaved(Map known, def imageData) {
    return !known.path.is(imageData.getLastSavedPath())
}

/** Note data that a viewer begins to show, unless another one shows them already. */
private void noteShown(def imageData) {
    def known = imageData == null ? null : stamps()?.get(imageData), entry = entryOf(imageData)
    if (known == null)
        noteNew(entry, imageData)
    else if (entry != null && isReadOrSaved(known, imageData))
        isSavedElsewhere(entry, imageData)
}

Map stamps() {
    return getQuPath()?.getStage()?.getProperties()?.get(STAMPS)
}

def entryOf(def imageData) {
    return imageData == null ? null : getQuPath()?.getProject()?.getEntry(imageData)
}

/** Note that data in memory and on disk are of one state, which is that of `disk` as `atRest` has it. */
void inStep(def entry, def imageData, List disk) {
    synchronized (entry) {
        stamps()?.put(imageData, [file: disk[0], states: states(imageData, disk[1]),
                                  path: imageData.getLastSavedPath(), metadata: imageData.getServerMetadata()])
        if (stamps() != null)
            nameNextSave(imageData)
    }
}

/**
 * Note data that were read or saved here a moment ago, unless another program saved since, or does. Not every program
 * names its saves: of what was read (`isRead`), the file of the last minutes is compared in all that stands in it.
 */
void readOrSaved(def entry, def imageData, boolean isRead = false) {
    if (entry == null || imageData == null)
        return
    synchronized (entry) {
        def disk = onDisk().atRest(entry)
        def isOthers = disk == null || isOfOtherSave(disk[1], imageData) ||
            isRead && isOfNow(disk[0]) && disk[1].length && !isAsRead(disk[1], imageData)
        if (!isOthers)
            inStep(entry, imageData, disk)
        else
            noteApart(imageData, imageData.isChanged() ? [:] : [states: states(imageData, bytes(imageData))])
    }
}

/** Return the states of data that others may have read, the newest last, as [save, file]: the last of each save. */
private List states(def imageData, byte[] file) {
    def known = stamps()?.get(imageData)?.states ?: [], save = saves(imageData).takeRight(1)
    def states = known.findAll { it[0] != save } + [[save, file]]
    while (states.size() > 2 && states.sum { it[1].length } > MOST_BYTES)
        states.remove(1)
    return states
}

/**
 * Note in data by what their next save is known, whoever makes it, QuPath itself as well: so it can be told of what
 * another program saves later whether that had read it, or what stood there before.
 */
private void nameNextSave(def imageData) {
    def wasChanged = imageData.isChanged(), names = saves(imageData) + UUID.randomUUID().toString().take(8)
    imageData.setProperty(SAVES, names.takeRight(MOST_SAVES).join(" "))
    imageData.setChanged(wasChanged)
}

List<String> saves(def imageData) {
    return imageData.getProperty(SAVES)?.toString()?.tokenize(" ") ?: []
}

/**
 * Tell whether the data on disk are of another save than those that were just read or saved: another program may have
 * saved since, before this was looked at.
 */
private boolean isOfOtherSave(byte[] disk, def imageData) {
    def text = new String(disk, StandardCharsets.ISO_8859_1)
    return [SAVES, WRITE].any { name ->
        def there = onDisk().propertyIn(text, name)
        there != null && there != imageData.getProperty(name)?.toString()
    }
}

/** Tell whether a file was written within the last minutes, whatever clock a server has. */
private boolean isOfNow(List stamp) {
    return stamp[0] instanceof Long && stamp[0] > System.currentTimeMillis() - RECENT
}

/** Tell whether what was read stands on disk; where the slide is gone, which is then not shown, that cannot be told. */
private boolean isAsRead(byte[] disk, def imageData) {
    try {
        return isAlike(read(disk, imageData), imageData)
    } catch (RuntimeException error) {  // groovylint-disable-line CatchRuntimeException
        LoggerFactory.getLogger("GlomSeg").debug("An image that was opened cannot be read", error)
        return true
    }
}

private boolean isAlike(def there, def imageData) {
    return shared.load("glomseg_merge").newInstance(shared, there, imageData, imageData).isAlike()
}

/** Note data that are not those on disk: from now on it is known what is done to them, and since then if unchanged. */
private void noteApart(def imageData, Map more) {
    stamps()?.put(imageData, [file: null, states: imageData.isChanged() ? [] : [[null, bytes(imageData)]],
                              path: imageData.getLastSavedPath(), metadata: imageData.getServerMetadata()] + more)
}

/**
 * Note data that were just read or saved: of one state with those on disk, unless they were read from another file,
 * such as a backup that was dropped onto the window, which QuPath shows as the image that they once were.
 */
private void noteNew(def entry, def imageData) {
    def path = imageData?.getLastSavedPath()
    def known = imageData == null ? null : stamps()?.get(imageData)
    if (entry == null || otherThanOwn(entry, path) == null) {
        if (known != null)
            shared.load("glomseg_keeping").tell(known)
        readOrSaved(entry, imageData, known == null)
    } else if (known == null)
        noteApart(imageData, [from: path])
    else
        known.path = path  // a copy of the image was saved elsewhere
}

private String otherThanOwn(def entry, String path) {
    def own = onDisk().dataFile(entry), file = path == null ? own : Path.of(path)
    def isOwn = [own, onDisk().backupFile(entry)].any {  // which QuPath reads where it was ended while it saved
        file == it || (Files.exists(file) && Files.exists(it) && Files.isSameFile(file, it))
    }
    return isOwn ? null : path
}

/** Return the data file as it was read or saved here last; null where nobody saw that. */
def lastState(def imageData) {
    def states = stamps()?.get(imageData)?.states
    return states ? states.last()[1] : null
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
            noteApart(imageData, [unsure: differs == UNSURE, from: otherThanOwn(entry, imageData.getLastSavedPath())])
        else if (known.file != onDisk().stamp(entry)) {
            def disk = onDisk().settled(entry) ?: onDisk().left(entry, known)
            if (disk != null && Arrays.equals(lastState(imageData), disk[1]))
                inStep(entry, imageData, disk)  // a copy, a server's clock
        }
        return stamps().get(imageData).file != onDisk().stamp(entry)
    }
}

/** Tell whether an image that is said to be saved elsewhere may have been saved here, before its last changes. */
boolean isUnsure(def imageData) {
    return stamps()?.get(imageData)?.unsure
}

/** Tell whether the data that were read are not there any more: a project was moved, or a share is away. */
boolean isGone(def entry, def imageData) {
    return lastState(imageData) && [onDisk().dataFile(entry), onDisk().backupFile(entry)].every { !Files.exists(it) }
}

/** Return the file that an image was read from where that is not its own in the project, else null. */
String otherFile(def imageData) {
    return stamps()?.get(imageData)?.from
}

/** Return the data file that was read or saved here last; what is shown where nobody saw that. */
byte[] whole(def imageData) {
    return lastState(imageData) ?: bytes(imageData)
}

byte[] bytes(def imageData) {
    def stream = new ByteArrayOutputStream()
    PathIO.writeImageData(stream, imageData)
    return stream.toByteArray()
}

def read(byte[] data, def like) {
    return PathIO.readImageData(new ByteArrayInputStream(data), null, like.getServer(), BufferedImage)
}

/**
 * Compare data of which it was not seen when they were read: glomseg's mark and the annotations; null where they are
 * alike. Of data that were changed here, others mean nothing where the file is older than this QuPath's start, and may
 * be those of a save here where it is younger.
 */
String differsFromDisk(def entry, def imageData) {
    def file = onDisk().dataFile(entry)
    if (!Files.exists(file))
        return null
    def there = entry.readImageData()
    if (there.getProperty(WRITE) != imageData.getProperty(WRITE))
        return "sure"
    if (isAlike(there, imageData))
        return null
    if (!imageData.isChanged())
        return "sure"
    def begun = ProcessHandle.current().info().startInstant().orElse(Instant.EPOCH)
    return Files.getLastModifiedTime(file).toInstant().isBefore(begun) ? null : UNSURE
}

private def onDisk() {
    return shared.load("glomseg_data_file")
}
