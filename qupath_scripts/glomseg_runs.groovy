/*
 * Purpose: which run was last at work, and what runs wrote. The other scripts load this file from their own folder; by
 *          itself it does nothing.
 * Input:   <project folder>/glomseg/<run>/run.json, <entry id>.geojson, candidates/<entry id>.geojson
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import com.google.gson.JsonParseException
import java.nio.file.Files
import java.nio.file.Path
import java.security.MessageDigest
import java.time.DateTimeException
import java.time.OffsetDateTime
import qupath.lib.io.GsonTools
import qupath.lib.io.PathIO
import qupath.lib.objects.PathObject


/** The runs of a project, by what their records say and not by their names, which follow the clock on a wall. */
class Runs {

    /** List the folders of the runs in the folder of runs that have these files too, the last at work last. */
    static List<Path> oldestFirst(Path home, String... files) {
        def folders = (home.toFile().listFiles() ?: new File[0]).findAll { folder ->
            ["run.json", *files].every { new File(folder, it).isFile() }
        }
        def runs = folders.collect { [folder: it, record: fromFile(it.toPath().resolve("run.json"))] }
        def single = runs.groupBy { it.record.run_id ?: it.folder.getName() }.collect { id, same ->
            same.find { it.folder.getName() == id } ?: same[0]  // a copy of a run's folder is none of its own
        }
        return single.sort { a, b -> lastAt(a) <=> lastAt(b) ?: a.folder.getName() <=> b.folder.getName() }
            .collect { it.folder.toPath() }
    }

    /** Return the record of a run; throws where it cannot be read, for no older run takes its place unasked. */
    static Map record(Path run) {
        def record = fromFile(run.resolve("run.json"))
        if (!record)
            throw new IllegalStateException("The record of run ${run.getFileName()} cannot be read, so that it is " +
                "not known what it did. To go on with the run before it, take ${run} out of the folder of runs.")
        return record
    }

    /** Return what a run did last to an image, "collect" or "undo"; null where it wrote nothing into it. */
    static String lastWrite(Path run, String id) {
        def last = lastChange(run, id)
        return last == null ? null : last.kind ?: "collect"
    }

    /**
     * Tell whether the last that a run wrote into an image brought something in. A write of glomseg's commands that its
     * record does not know was killed before it was made; one of the mark `own` is being made.
     */
    static boolean wroteInto(Path run, String id, String own) {
        def last = lastChange(run, id)
        if (!last || last.kind == "undo" || last.mark == own)
            return false
        return last.after_sha256 == null || fromFile(run.resolve("run.json")).images?.get(id)?.collected != null
    }

    /**
     * Tell whether what a run found on an image was brought into it. One that had nothing to add left no write, or no
     * other than its undo: then its record or the import's note says so, and no run was taken back there since, on
     * which it may have stood.
     */
    static boolean isBroughtIn(Path run, String id) {
        if (lastWrite(run, id) == "collect")
            return wroteInto(run, id, null)
        def collected = instant(fromFile(run.resolve("run.json")).images?.get(id)?.collected?.at)
        def undone = oldestFirst(run.getParent()).collect { other ->
            def record = fromFile(other.resolve("run.json")).images?.get(id)?.undone
            def last = lastChange(other, id)
            [instant(record?.at), last?.kind == "undo" ? instant(last.at) : 0].max()
        }
        return [collected, noted(run, id)].max() > (undone.max() ?: 0)
    }

    /** Tell when an import in QuPath had nothing to add of what a run found on an image; 0 for never. */
    private static long noted(Path run, String id) {
        def note = fromFile(run.resolve("unchanged").resolve(id + ".json")), result = run.resolve(id + ".geojson")
        if (!note || !Files.isRegularFile(result))
            return 0
        def digest = MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(result)).encodeHex().toString()
        return note.result_sha256 == digest ? instant(note.at) : 0
    }

    /** Return of some runs the one that was brought into an image last, or began since; null where there is none. */
    static Path newestFor(List<Path> runs, String id) {
        return runs.max { run ->
            def record = fromFile(run.resolve("run.json"))
            [instant(record.started) ?: run.resolve("run.json").toFile().lastModified(),
             instant(lastChange(run, id)?.at), instant(record.images?.get(id)?.collected?.at)].max()
        }
    }

    /** Read what a run found on an image, candidates too, as it wrote it; nothing where that cannot be read. */
    static List<PathObject> written(Path home, String run, String id) {
        if (run ==~ /\..*|.*[\/\\:].*/)
            return []
        try {
            def files = ["", "candidates"].collect { home.resolve(run).resolve(it).resolve(id + ".geojson") }
            return files.findAll { Files.isRegularFile(it) }.collectMany { PathIO.readObjects(it) }
        } catch (IOException | RuntimeException ignored) {  // groovylint-disable-line CatchRuntimeException
            return []
        }
    }

    /** Read a JSON file of one object; nothing where it is not there or cannot be read. */
    static Map fromFile(Path file) {
        try {
            return GsonTools.getInstance().fromJson(Files.readString(file), Map) ?: [:]
        } catch (IOException | JsonParseException ignored) {
            return [:]
        }
    }

    private static Map lastChange(Path run, String id) {
        def files = run.resolve("changes").resolve(id).toFile().listFiles().findAll { it.getName() ==~ /\d+\.json/ }
        def last = files.max { it.getName().takeBefore(".").toInteger() }
        return last == null ? null : fromFile(last.toPath())
    }

    /** Return when a run was last at work; when its record was last changed where that does not say it. */
    private static long lastAt(Map run) {
        def collected = (run.record.images ?: [:]).values()*.collected*.at
        return [run.record.started, run.record.ended, *collected].collect { instant(it) }.max() ?:
            new File(run.folder, "run.json").lastModified()
    }

    /** Return the ms since 1970 of a time as records say it; 0 where they do not. */
    private static long instant(def text) {
        try {
            return OffsetDateTime.parse(text?.toString() ?: "").toInstant().toEpochMilli()
        } catch (DateTimeException ignored) {
            return 0
        }
    }

}
