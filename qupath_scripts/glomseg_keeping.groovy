/*
 * Purpose: keep what another program saved of an image that is open here: QuPath's own save does not look, and writes
 *          over it. The other scripts load this file from their own folder; by itself it does nothing.
 * Input:   none.
 * Output:  glomseg/backup/<image>/<time>-review
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import groovy.transform.Field
import java.nio.file.Files
import java.nio.file.Path
import java.time.Instant
import java.time.LocalTime
import java.time.ZoneId
import java.time.temporal.ChronoUnit
import org.slf4j.LoggerFactory

@Field static final int AGAIN = 2  // s after which a copy that failed is tried again

/** Tell whether what stands on disk of an image that is open was saved by others, and is not kept yet. */
boolean isToKeep(def saving, def entry, def imageData) {
    def known = saving.stamps()?.get(imageData)
    if (entry == null || known == null)
        return false
    def now = onDisk().stamp(entry)
    def isTried = known.failed?.stamp == now && Instant.now().isBefore(known.failed.at.plusSeconds(AGAIN))
    return !(now in [["none"], known.file, known.kept?.stamp]) && !isTried && saving.isSavedElsewhere(entry, imageData)
}

/**
 * Copy what others saved of an image into a backup, in the place of what they had saved before, which is in no danger
 * any more; tells whether it is kept: not while it is being written.
 */
boolean keep(def saving, def entry, def imageData) {
    def known = saving.stamps()[imageData], project = getQuPath().getProject()
    if (known == null || entry == null || project?.getEntry(imageData) !== entry)  // closed meanwhile
        return false
    synchronized (known) {
        def stamp = onDisk().stamp(entry), before = known.kept?.folder
        if (before != null && known.kept.stamp == stamp && Files.exists(before))
            return true
        def content = onDisk().content(entry)
        if (!content.length || onDisk().stamp(entry) != stamp)
            return false
        def folder = before
        if (before == null || !isIn(before, content))
            folder = shared.load("glomseg_backup").copyBefore("review", entry, project.getPath(),
                project.getPath().resolveSibling("glomseg"), content)
        known.kept = [stamp: stamp, entry: entry, folder: folder]
        known.failed = null
        if (before != null && before != folder)
            before.toFile().deleteDir()
        return true
    }
}

private boolean isIn(Path backup, byte[] content) {
    def file = backup.resolve("data.qpdata")
    return Files.exists(file) && Files.size(file) == content.length && Arrays.equals(Files.readAllBytes(file), content)
}

/** Keep it where that can be done, else try again soon; the log says why not, and nobody is kept from their work. */
void tryToKeep(def saving, def entry, def imageData) {
    def known = saving.stamps()[imageData]
    try {
        keep(saving, entry, imageData)
    } catch (IOException | RuntimeException error) {  // groovylint-disable-line CatchRuntimeException
        def stamp = onDisk().stamp(entry)
        if (known.failed?.stamp != stamp)
            LoggerFactory.getLogger("GlomSeg").warn("What another program saved of ${entry.getImageName()} could not " +
                "be kept: ${error}")
        known.failed = [stamp: stamp, at: Instant.now(), why: "${error}", entry: entry]
    }
}

/** Drop what was kept of images that are no longer open, where it still stands on disk. */
void settle(def saving) {
    def closed = saving.stamps().findAll { data, known -> (known.kept ?: known.failed) && !shared.isShown(data) }
    closed.each { data, known ->
        if (saving.isReadOrSaved(known, data))
            tell(known)
        else if (known.kept != null && onDisk().stamp(known.kept.entry) == known.kept.stamp)
            known.kept.folder.toFile().deleteDir()
        known.kept = null
        known.failed = null
    }
}

/** Say that QuPath's own save took the place of what others had saved, and where that is; of the last look before. */
void tell(Map known) {
    synchronized (known) {
        def last = known.failed ?: known.kept
        if (last == null)
            return
        def text = "QuPath's own save took the place of what another program had saved of " +
            "${last.entry.getImageName()}. "
        if (known.failed != null)
            text += "That could not be kept: ${known.failed.why}"
        else
            text += "What it had saved by ${clock(known.kept.stamp[0])} is kept: `glomseg restore PROJECT " +
                "${last.entry.getID()}` lists it."
        shared.tell("Saved over", text)
    }
}

private String clock(long ms) {
    def time = LocalTime.ofInstant(Instant.ofEpochMilli(ms), ZoneId.systemDefault())
    return time.truncatedTo(ChronoUnit.SECONDS).toString()
}

private def onDisk() {
    return shared.load("glomseg_data_file")
}
