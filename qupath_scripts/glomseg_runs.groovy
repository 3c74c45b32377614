/*
 * Purpose: which run is the newest. The other scripts load this file from their own folder; by itself it does nothing.
 * Input:   <project folder>/glomseg/<run>/run.json
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import com.google.gson.JsonParseException
import java.nio.file.Path
import java.time.DateTimeException
import java.time.OffsetDateTime
import qupath.lib.io.GsonTools


/** The runs of a project, by what their records say and not by their names, which follow the clock on a wall. */
class Runs {

    /** List the folders of the runs in the folder of runs that have these files too, the oldest first. */
    static List<Path> oldestFirst(Path home, String... files) {
        def folders = (home.toFile().listFiles() ?: new File[0]).findAll { folder ->
            ["run.json", *files].every { new File(folder, it).isFile() }
        }
        def runs = folders.collect { [folder: it, record: record(it)] }
        def single = runs.groupBy { it.record.run_id ?: it.folder.getName() }.collect { id, same ->
            same.find { it.folder.getName() == id } ?: same[0]  // a copy of a run's folder is none of its own
        }
        return single.sort { a, b -> started(a) <=> started(b) ?: a.folder.getName() <=> b.folder.getName() }
            .collect { it.folder.toPath() }
    }

    /** Read the record of a run; nothing where it cannot be read. */
    private static Map record(File folder) {
        try {
            return GsonTools.getInstance().fromJson(new File(folder, "run.json").getText("UTF-8"), Map) ?: [:]
        } catch (IOException | JsonParseException ignored) {
            return [:]
        }
    }

    /** Return the ms since 1970 at which a run began; those of its record's last change where that does not say it. */
    private static long started(Map run) {
        try {
            return OffsetDateTime.parse(run.record.started as String ?: "").toInstant().toEpochMilli()
        } catch (DateTimeException ignored) {
            return new File(run.folder, "run.json").lastModified()
        }
    }

}
