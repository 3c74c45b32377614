/*
 * Purpose: notice that another program saved an image which is open here, and bring both states together. The other
 *          scripts load this file from their own folder; by itself it does nothing.
 * Input:   none.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import groovy.transform.Field
import java.awt.image.BufferedImage
import java.nio.charset.StandardCharsets
import java.nio.file.Files
import java.nio.file.NoSuchFileException
import java.nio.file.Path
import java.time.Instant
import java.util.concurrent.Executors
import java.util.concurrent.ThreadFactory
import java.util.concurrent.TimeUnit
import javafx.beans.value.ChangeListener
import javafx.collections.ListChangeListener
import org.slf4j.LoggerFactory
import qupath.fx.utils.FXUtils
import qupath.lib.images.ImageData
import qupath.lib.io.GsonTools
import qupath.lib.io.PathIO
import qupath.lib.objects.PathObject
import qupath.lib.objects.hierarchy.PathObjectHierarchy

@Field static final String WRITE = "glomseg.write"
@Field static final String STAMPS = "glomseg.stamps"
@Field static final String SAVES = "glomseg.saves"  // of the image's data: the saves that it comes of, and the next
@Field static final int MOST_SAVES = 100
@Field static final long MOST_BYTES = 100_000_000  // of the states of an image that are kept in memory
@Field static final String UNSURE = "unsure"
@Field static final long OFTEN = 200  // ms
@Field static final long RECENT = 120_000  // ms
@Field static final long BETWEEN = 50  // ms between two looks at a file that is being written
@Field static final int STILL = 10  // looks after which it is taken for left
@Field static final int MOST_LOOKS = 40
@Field static final int LEFT = 3  // s after which the same is so while nothing waits for it

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
        if (known != null && isReadOrSaved(known, data))
            noteNew(entry, data)
        else if (known == null && entry != null)
            isSavedElsewhere(entry, data)
    }
    return shown.findAll { keeping.isToKeep(this, entryOf(it), it) }
}

/** Tell whether data were read or saved since their stamp was taken: QuPath makes a new path whenever it does. */
boolean isReadOrSaved(Map known, def imageData) {
    return !known.path.is(imageData.getLastSavedPath())
}

/** Note data that a viewer begins to show, unless another one shows them already. */
private void noteShown(def imageData) {
    def known = imageData == null ? null : stamps()?.get(imageData)
    if (known == null || isReadOrSaved(known, imageData))
        noteNew(entryOf(imageData), imageData)
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
        def disk = atRest(entry)
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

private List<String> saves(def imageData) {
    return imageData.getProperty(SAVES)?.toString()?.tokenize(" ") ?: []
}

/**
 * Tell whether the data on disk are of another save than those that were just read or saved: another program may have
 * saved since, before this was looked at.
 */
private boolean isOfOtherSave(byte[] disk, def imageData) {
    def text = new String(disk, StandardCharsets.ISO_8859_1)
    return [SAVES, WRITE].any { name ->
        def there = propertyIn(text, name)
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

/** Return a property of an image out of its data file, where it stands as key and value; null where it does not. */
private String propertyIn(String data, String name) {
    def key = "t" + (char) 0 + (char) name.length() + name + "t"  // as Java writes strings
    def at = data.lastIndexOf(key) + key.length()
    if (at < key.length() || at + 2 > data.length())
        return null
    def length = ((data.charAt(at) as int) << 8) + (data.charAt(at + 1) as int)
    return at + 2 + length > data.length() ? null : data.substring(at + 2, at + 2 + length)
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
    def own = dataFile(entry), file = path == null ? own : Path.of(path)
    def isOwn = [own, backupFile(entry)].any {  // which QuPath reads where it was ended while it saved
        file == it || (Files.exists(file) && Files.exists(it) && Files.isSameFile(file, it))
    }
    return isOwn ? null : path
}

/** Return the data file as it was read or saved here last; null where nobody saw that. */
private def lastState(def imageData) {
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
        else if (known.file != stamp(entry)) {
            def disk = settled(entry) ?: left(entry, known)
            if (disk != null && Arrays.equals(lastState(imageData), disk[1]))
                inStep(entry, imageData, disk)  // a copy, a server's clock
        }
        return stamps().get(imageData).file != stamp(entry)
    }
}

/** Tell whether an image that is said to be saved elsewhere may have been saved here, before its last changes. */
boolean isUnsure(def imageData) {
    return stamps()?.get(imageData)?.unsure
}

/** Tell whether the data that were read are not there any more: a project was moved, or a share is away. */
boolean isGone(def entry, def imageData) {
    return lastState(imageData) && [dataFile(entry), backupFile(entry)].every { !Files.exists(it) }
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

/**
 * Return the stamp of an image's data file and what it holds, of one moment; null while it is written: QuPath moves
 * what stood there aside, writes anew, and removes what it had moved at the end.
 */
private List settled(def entry) {
    def before = stamp(entry), isAside = Files.exists(backupFile(entry)), held = content(entry)
    def isWhole = before == ["none"] || held.length
    return isAside || !isWhole || stamp(entry) != before ? null : [before, held]
}

/** Return the same of a file that was left half written, as by a QuPath that was ended; null where that may go on. */
private List left(def entry, Map known) {
    def now = stamp(entry)
    if (known.half?.stamp != now)
        known.half = [stamp: now, since: Instant.now()]
    return Instant.now().isBefore(known.half.since.plusSeconds(LEFT)) ? null : [now, content(entry)]
}

/** Return the same, waiting a little; null where another program is at it for long. */
List atRest(def entry) {
    def seen = null, still = 0
    for (int looks = 0; looks < MOST_LOOKS; looks++) {
        def disk = settled(entry), now = stamp(entry)
        still = now == seen ? still + 1 : 0
        if (disk != null || still == STILL)
            return disk ?: [now, content(entry)]
        seen = now
        Thread.sleep(BETWEEN)
    }
    return null
}

/** Return what the data file of an image holds that QuPath reads; nothing where there is none. */
byte[] content(def entry) {
    for (file in [dataFile(entry), backupFile(entry)]) {
        try {
            if (isWhole(file))
                return Files.readAllBytes(file)
        } catch (FileNotFoundException | NoSuchFileException ignored) {  // another QuPath moves them when it saves
        }
    }
    return new byte[0]
}

/**
 * Refuse an image of whose data QuPath could read nothing, as the file is damaged or a share has not brought it yet:
 * it shows the image without objects, and what is saved then takes the place of all that stood there.
 */
void refuseUnread(def entry, def imageData) {
    def reason = unread(entry, imageData)
    if (reason)
        throw new IllegalStateException(reason)
}

/** Say that QuPath could read nothing of an image's data, and the way out; nothing where it could. */
String unread(def entry, def imageData) {
    def there = [], own = imageData.getProperty(WRITE)?.toString()?.minus(WRITE + "=")
    synchronized (entry) {  // QuPath holds it while it saves
        there = [dataFile(entry), backupFile(entry)].findAll { Files.exists(it) }
        if (there ? there.any { isWhole(it) } : !objectsSaid(entry) && !isWritten(entry, own))
            return ""
    }
    def how = there ? "damaged" : "missing"
    return "The data of ${entry.getImageName()} are ${how}, so that QuPath shows nothing of what stood there; " +
        "nothing is replaced. `glomseg restore PROJECT ${entry.getID()}` lists backups. If all is there in this " +
        "window, save it with QuPath's own Ctrl+S."
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

/** Tell whether a run wrote into an image and is not taken back, but for the write that is being made, by its mark. */
private boolean isWritten(def entry, String own) {
    def folder = entry.getEntryPath(), runs = shared.load("glomseg_runs")
    def uri = entry.getURIs().find { it.getScheme() == "file" }, file = uri == null ? null : new File(uri)
    return runs.oldestFirst(folder.getParent().resolveSibling("glomseg")).any { run ->
        def image = runs.fromFile(run.resolve("run.json")).images?.get(entry.getID())
        def isRenamed = file != null && image?.inputs?.file == file.getName() && image.inputs.bytes == file.length()
        (isRenamed || image?.name in [null, entry.getOriginalImageName()]) && runs.wroteInto(run, entry.getID(), own)
    }
}

private Path summaryFile(def entry) {
    return entry.getEntryPath().resolve("summary.json")
}

private Path backupFile(def entry) {
    return entry.getEntryPath().resolve("data.qpdata.bkp")
}

private Path dataFile(def entry) {
    return entry.getEntryPath().resolve("data.qpdata")
}

/**
 * Return the data of an image as another program saved them, with what was done here since they were read or saved,
 * how that went together, as a Merge, what sets in the project what they say of the image itself, and what stands on
 * disk, as `atRest` has it. They are changed where something was; what is shown and the project stay as they are.
 */
List broughtTogether(def entry, def imageData) {
    def disk = atRest(entry), there = entry.readImageData(), known = stamps().get(imageData)
    def state = stateOf(entry, imageData, there)
    def settings = shared.load("glomseg_image_settings"), was = imageIn(state), base = baseOf(entry, imageData, state)
    def isPersons = base.getProperty(WRITE) == there.getProperty(WRITE)  // commands write what the project's file says
    def set = isPersons ? settings.setAsSaved(entry, there, imageIn(content(entry)), settings.inFile(was)) : { }
    def ours = read(bytes(imageData), imageData)
    addAsWritten(entry, base, ours, there)
    def merge = shared.load("glomseg_merge").newInstance(shared, base, ours, there)
    merge.run(state.is(lastState(imageData)) ? known?.metadata : settings.metadataIn(was) ?: known?.metadata)
    there.setChanged(imageData.isChanged() || !state.is(lastState(imageData)))
    return [there, merge, set, disk]
}

/** Return what data say of the image itself, as a project's file does. */
private Map imageIn(byte[] data) {
    try {
        return [serverBuilder: data == null ? null : shared.load("glomseg_other_image").serverIn(data)]
    } catch (IOException | com.google.gson.JsonParseException | ClassCastException ignored) {
        return [:]
    }
}

/** Return the data file that was read or saved here last; what is shown where nobody saw that. */
byte[] whole(def imageData) {
    return lastState(imageData) ?: bytes(imageData)
}

/**
 * Return the newest state that others made theirs of, by the saves of ours that they know, or that `glomseg restore`
 * took away, which is no saving over; null where none is.
 */
private def stateOf(def entry, def imageData, def there) {
    def last = lastState(imageData)
    if (last && shared.load("glomseg_backup").isRestoredOver(entry, last))
        return last
    def states = stamps().get(imageData)?.states ?: [], theirs = saves(there)
    def found = states.reverse().find { theirs.containsAll(it[0] ?: []) } ?: states.find()
    return found == null ? null : found[1]
}

/** Return data as they were read or saved; where nobody saw that, those on disk, of the objects that stand here. */
private def baseOf(def entry, def imageData, byte[] known) {
    if (known != null)
        return known.length ? read(known, imageData) : new ImageData(imageData.getServer(), new PathObjectHierarchy())
    def base = entry.readImageData()
    def here = imageData.getHierarchy().getObjects(null, PathObject)*.getID() as Set
    base.getHierarchy().removeObjects(base.getHierarchy().getObjects(null, PathObject)
        .findAll { !it.isRootObject() && !here.contains(it.getID()) }, true)
    return base
}

/** Add to a base, as its run wrote it, what came in here and there since, such as a candidate that two accepted. */
void addAsWritten(def entry, def base, def ours, def theirs) {
    def (known, there) = [base, theirs].collect { it.getHierarchy().getAnnotationObjects()*.getID() as Set }
    def both = ours.getHierarchy().getAnnotationObjects().findAll { !(it.getID() in known) && it.getID() in there }
    def home = entry.getEntryPath().getParent().resolveSibling("glomseg"), runs = shared.load("glomseg_runs")
    both.groupBy { it.getMetadata()["glomseg.run"] }.findAll { it.key }.each { run, items ->
        def ids = items*.getID() as Set, written = runs.written(home, run, entry.getID())
        base.getHierarchy().addObjects(written.findAll { it.getID() in ids }.unique { it.getID() })
    }
}

private byte[] bytes(def imageData) {
    def stream = new ByteArrayOutputStream()
    PathIO.writeImageData(stream, imageData)
    return stream.toByteArray()
}

private def read(byte[] data, def like) {
    return PathIO.readImageData(new ByteArrayInputStream(data), null, like.getServer(), BufferedImage)
}

/**
 * Compare data of which it was not seen when they were read: glomseg's mark and the annotations; null where they are
 * alike. Of data that were changed here, others mean nothing where the file is older than this QuPath's start, and may
 * be those of a save here where it is younger.
 */
String differsFromDisk(def entry, def imageData) {
    def file = dataFile(entry)
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
