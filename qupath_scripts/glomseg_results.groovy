/*
 * Purpose: bring the outlines of a run into the images of a project, as they stand then. The other scripts load this
 *          file from their own folder; by itself it does nothing.
 * Input:   a run's folder, what glomseg said of it; import_results.groovy, which must lie beside this file.
 * Output:  as import_results.groovy writes it. What came of it is told by a notification.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import java.nio.file.Path
import qupath.lib.io.GsonTools

def getRuns() {
    return shared.load("glomseg_runs")
}

/** List the ids of the runs in the folder of runs, oldest first. */
List<String> runsIn(Path home) {
    return runs.oldestFirst(home)*.getFileName()*.toString()
}

/** List the ids of those that were not taken back, oldest first. */
List<String> standingRunsIn(Path home) {
    return runsIn(home).findAll { !isTakenBack(home.resolve(it)) }
}

/** Tell whether a run was taken back wherever it had changed an image: the last that it did there is an undo. */
boolean isTakenBack(Path run) {
    def kinds = (run.resolve("changes").toFile().list() ?: []).collect { runs.lastWrite(run, it) }.findAll()
    return kinds && kinds.every { it == "undo" }
}

/** Read a JSON file; nothing where it is not there or cannot be read. */
Map fromFile(Path file) {
    return runs.fromFile(file)
}

/** Return what brings a run's outlines into the current image; tells by itself what came of it, unless it is quiet. */
Script importer(String run, boolean quiet, Map given = [:]) {
    def own = new File(getClass().getProtectionDomain().getCodeSource().getLocation().toURI())
    def script = new File(own.getParentFile(), "import_results.groovy")
    def variables = [args: [run] as String[], "qupath.script.file": script.getPath()]
    if (quiet)
        variables.quiet = true
    if (given.out)
        variables.out = given.out
    return new GroovyShell(getClass().getClassLoader(), new Binding(variables)).parse(script)
}

/** Bring the results into each image: it may have been closed, changed and opened again meanwhile, its project too. */
void bringAllIn(def python, String file, List<String> ids, Map result) {
    def stopped = [false]
    def show = python.telling.showProgress("Bringing the outlines into QuPath", false) { stopped[0] = true }
    def counts = [], left = []
    def importing = importer(result.folder, true)
    try {
        ids.eachWithIndex { id, number ->
            def record = result.images[id]
            def project = python.projectOfNow(file)
            def entry = project.getImageList().find { it.getID() == id }
            def name = record?.name ?: entry?.getImageName() ?: id
            if (record?.state != "done" || entry == null || stopped[0]) {
                left << [name, stopped[0] ? "cancelled; Import results brings it in" :
                    entry == null ? "no longer in the project" : inWindowWords(record?.reason)]
                return
            }
            show('@ ' + GsonTools.getInstance().toJson([waiting: "${number + 1} of ${ids.size()}: ${name}".toString()]))
            try {
                counts << shared.withDataOfNow(project, entry) { importing.run() }
                shared.sync(project)
            } catch (Exception error) {  // groovylint-disable-line CatchException
                left << [name, error.getMessage() ?: error.toString()]
            }
        }
    } finally {
        resetBatchProjectAndImage()
        show(null)
    }
    def where = ids.size() == 1 ? result.images[ids[0]]?.name : "${counts.size()} of ${ids.size()} images"
    if (counts)
        python.telling.tell("${where}: ${inWords(counts)}" +
            (counts.any { it?.hidden } ? "; " + shared.NAMES_ARE_HIDDEN : ""),
            remarksOf(ids.collect { result.images[it] }.findAll()))
    if (left)
        python.telling.showError("Not annotated:\n\n" + left.groupBy { it[1] }.collect { why, those ->
            python.telling.few(those*.first()) + ": " + why
        }.join("\n\n"))
}

/** Tell what came of all outlines: "6 outlines added, 2 left to a person's". */
String inWords(List<Map> counts) {
    def sums = [:].withDefault { 0 }
    counts.findAll().each { count -> count.each { what, number -> sums[what] += number } }
    def words = [
        added: "outlines added", removed: "of earlier runs removed", kept: "there before", person: "left to a person's",
        rejected: "left out, as a person had deleted them",
        doubtful: "of an earlier run gone at once, which is not taken for a review",
    ]
    def told = words.findAll { it.key == "added" || sums[it.key] }
    return told.collect { what, text -> "${sums[what]} ${text}" }.join(", ")
}

/** Return what is to be known of images that went well, such as a doubtful pixel size; the name once, in front. */
List<String> remarksOf(List<Map> records) {
    return records.findAll { it.state == "done" }.collectMany { record ->
        (record.remarks ?: []).collect { "${record.name} ${inWindowWords(it)}".toString() }
    }
}

/** Say why an image failed without the options of the command line. */
String inWindowWords(String reason) {
    return (reason ?: "unknown").replaceAll(/: if you agree, give (--mpp|`mpp`) as .*/, "")
        .replaceAll(/; give um per pixel with (--mpp|`mpp`)/, "")
        .replace("leave `region` out", "look everywhere").replace("`", "")
}
