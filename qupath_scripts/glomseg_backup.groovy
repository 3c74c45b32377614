/*
 * Purpose: copy an image's data before a script of glomseg's changes it, where and as glomseg's backups.py and
 *          image_copies.py do. The other scripts load this file from their own folder; by itself it does nothing.
 * Input:   none.
 * Output:  glomseg/<run>/backup/<image> before a run, else glomseg/backup/<image>/<time>-<why>.
 * QuPath 0.5, 0.6, 0.7
 */

import com.google.gson.JsonParseException
import groovy.transform.Field
import java.nio.file.FileAlreadyExistsException
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption
import java.security.MessageDigest
import java.time.DateTimeException
import java.time.Instant
import java.time.OffsetDateTime
import java.time.ZoneId
import java.time.temporal.ChronoUnit
import qupath.lib.io.GsonTools

@Field static final String DATA = "data.qpdata"
@Field static final String MADE = "backup.json"  // when a copy was made

/** Copy the image's data before a run is brought into them: into its folder, or a new one where it wrote before. */
void copy(def entry, Path projectFile, Path home, Path run) {
    def first = run.resolve("backup").resolve(entry.getID())
    if ((first.toFile().list() ?: []).any { it.endsWith(".qpproj") })
        copyBefore("collect", entry, projectFile, home)
    else
        copyInto(first, entry, projectFile, home)
}

/** Copy the data, or others, before `why`, one word that backups.py knows, into a new folder, and return that. */
Path copyBefore(String why, def entry, Path projectFile, Path home, byte[] others = null) {
    def time = new java.text.SimpleDateFormat("yyyyMMdd-HHmmss-SSS", Locale.ROOT).format(new Date())
    def own = home.resolve("backup").resolve(entry.getID())
    Files.createDirectories(own)
    def folder = newFolder((0..99).collect { own.resolve("${time}${it ? '-' + it : ''}-${why}") })
    try {
        copyInto(folder, entry, projectFile, home, others)
    } catch (IOException error) {  // half a copy is none, and would stay
        folder.toFile().deleteDir()
        throw error
    }
    return folder
}

/** Make the first folder of some that nobody has made, as another QuPath may at the same moment. */
private Path newFolder(List<Path> folders) {
    for (folder in folders) {
        try {
            return Files.createDirectory(folder)
        } catch (FileAlreadyExistsException ignored) {  // the next name
        }
    }
    throw new IOException("${folders[0]} and the names after it are taken")
}

/** Tell whether it was these data of an image that `glomseg restore` took away last. */
boolean isRestoredOver(def entry, byte[] data) {
    def home = entry.getEntryPath().getParent().resolveSibling("glomseg").resolve("backup").resolve(entry.getID())
    def last = (home.toFile().listFiles() ?: []).findAll { it.getName().endsWith("-restore") }
        .max { madeAt(new File(it, MADE)) }
    def file = last == null ? null : new File(last, DATA)
    return file?.isFile() && file.length() == data.length && Arrays.equals(file.getBytes(), data)
}

/** Copy the data with their sums; the project file goes last: where it is, all is there. */
private void copyInto(Path folder, def entry, Path projectFile, Path home, byte[] others = null) {
    def key = entry.getID(), data = entry.getEntryPath().resolve(DATA)
    Files.createDirectories(folder)
    def names = others == null ? [DATA, DATA + ".bkp", "summary.json", "server.json"] : ["server.json"]
    def sources = names.collect { entry.getEntryPath().resolve(it) }
    sources += [projectFile.resolveSibling("classifiers").resolve("classes.json"),
                home.resolve("memory").resolve(key + ".geojson")]
    def copies = sources.findAll { Files.exists(it) }.collect {
        Files.copy(it, folder.resolve(it.getFileName()), StandardCopyOption.REPLACE_EXISTING,
            StandardCopyOption.COPY_ATTRIBUTES)
    }
    if (others != null)
        copies << Files.write(folder.resolve(DATA), others)
    write(folder.resolve("checksums.json"), copies.collectEntries {
        [(it.getFileName().toString()): MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(it)).encodeHex()
            .toString()]
    })
    write(folder.resolve(MADE), [made: afterAllOthers(home, key, data).toString()])
    Files.copy(projectFile, folder.resolve(projectFile.getFileName()), StandardCopyOption.REPLACE_EXISTING)
}

/** Tell the time, or one after the data and all other backups of the image, though the clock was set back since. */
private OffsetDateTime afterAllOthers(Path home, String key, Path data) {
    def runs = (home.toFile().listFiles() ?: []).collect { new File(it, "backup/${key}/${MADE}") }
    def others = (home.resolve("backup").resolve(key).toFile().listFiles() ?: []).collect { new File(it, MADE) }
    def before = (runs + others).findAll { it.isFile() }.collect { madeAt(it) }
    if (Files.exists(data))
        before << Files.getLastModifiedTime(data).toInstant()
    def latest = (before.collect { it.plusMillis(1) } + [Instant.now()]).max()
    return OffsetDateTime.ofInstant(latest.truncatedTo(ChronoUnit.MILLIS), ZoneId.systemDefault())
}

private Instant madeAt(File file) {
    try {
        return OffsetDateTime.parse("${GsonTools.getInstance().fromJson(file.getText("UTF-8"), Map)?.made}").toInstant()
    } catch (IOException | JsonParseException | DateTimeException ignored) {
        return Instant.EPOCH
    }
}

private void write(Path file, Map content) {
    file.toFile().setText(GsonTools.getInstance().toJson(content), "UTF-8")
}
