/*
 * Purpose: read the data file of an image as it stands on disk, also while another QuPath writes it, and tell one that
 *          is damaged. The other scripts load this file from their own folder; by itself it does nothing.
 * Input:   none.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import groovy.transform.Field
import java.nio.charset.StandardCharsets
import java.nio.file.Files
import java.nio.file.NoSuchFileException
import java.nio.file.Path
import java.time.Instant
import qupath.lib.io.GsonTools

@Field static final String WRITE = "glomseg.write"
@Field static final long BETWEEN = 50  // ms between two looks at a file that is being written
@Field static final int STILL = 10  // looks after which it is taken for left
@Field static final int MOST_LOOKS = 40
@Field static final int LEFT = 3  // s after which the same is so while nothing waits for it

/** Return what changes when a data file is written; of one that is not there, null would be that of no file. */
List stamp(def entry) {
    def file = dataFile(entry)
    return Files.exists(file) ? [Files.getLastModifiedTime(file).toMillis(), Files.size(file)] : ["none"]
}

/**
 * Return the stamp of an image's data file and what it holds, of one moment; null while it is written: QuPath moves
 * what stood there aside, writes anew, and removes what it had moved at the end.
 */
List settled(def entry) {
    def before = stamp(entry), isAside = Files.exists(backupFile(entry)), held = content(entry)
    def isWhole = before == ["none"] || held.length
    return isAside || !isWhole || stamp(entry) != before ? null : [before, held]
}

/** Return the same of a file that was left half written, as by a QuPath that was ended; null where that may go on. */
List left(def entry, Map known) {
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

/** Return a property of an image out of its data file, where it stands as key and value; null where it does not. */
String propertyIn(String data, String name) {
    def key = "t" + (char) 0 + (char) name.length() + name + "t"  // as Java writes strings
    def at = data.lastIndexOf(key) + key.length()
    if (at < key.length() || at + 2 > data.length())
        return null
    def length = ((data.charAt(at) as int) << 8) + (data.charAt(at + 1) as int)
    return at + 2 + length > data.length() ? null : data.substring(at + 2, at + 2 + length)
}

private Path summaryFile(def entry) {
    return entry.getEntryPath().resolve("summary.json")
}

Path backupFile(def entry) {
    return entry.getEntryPath().resolve("data.qpdata.bkp")
}

Path dataFile(def entry) {
    return entry.getEntryPath().resolve("data.qpdata")
}
