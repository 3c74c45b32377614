/*
 * Purpose: what a run found that was not sure enough to count, for a person to judge. The other scripts load this file
 *          from their own folder; by itself it does nothing.
 * Input:   <project folder>/glomseg/<run>/candidates/<entry id>.geojson of the newest run that looked at the image.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import java.nio.file.Path
import org.locationtech.jts.index.strtree.STRtree
import qupath.lib.gui.prefs.PathPrefs
import qupath.lib.io.PathIO
import qupath.lib.objects.PathObject


/** The candidates of an image. They are no objects of the image until somebody judges them. */
class Candidates {

    static final Map<String, String> CHOICES = [
        none: "no candidates", review: "candidates last", all: "candidates among them",
    ]
    private static final String FINGERPRINT = "glomseg.fingerprint"
    private static final double SAME = 0.3  // of the smaller one's area

    /** Return whether candidates are offered: not at all, after what counts, or in one order with it. */
    static def choice() {
        return PathPrefs.createPersistentPreference("glomseg.candidates", "review")
    }

    /** Return the folder of the last run that has a result of an image and was not taken back there, or null. */
    static Path newestRun(def project, def entry) {
        def runs = standing(project, entry).findAll { !isOfAnother(it, project, entry) }
        return Runs.newestFor(runs, entry.getID())
    }

    /** Say of which runs nothing is offered, as they looked at another image under the id of this one; "" for none. */
    static String leftOut(def project, def entry) {
        def strange = standing(project, entry).findAll { isOfAnother(it, project, entry) }*.getFileName()
        return strange ? "Left out is what ${strange.join(', ')} found, on another image under the id " +
            "${entry.getID()}." : ""
    }

    private static List<Path> standing(def project, def entry) {
        def id = entry.getID()
        return Runs.oldestFirst(project.getPath().resolveSibling("glomseg"), id + ".geojson")
            .findAll { Runs.lastWrite(it, id) != "undo" }
    }

    private static boolean isOfAnother(Path run, def project, def entry) {
        def record = Runs.fromFile(run.resolve("run.json")).images?.get(entry.getID())
        return SameImage.isOfAnother(record, project, entry, null)
    }

    private static File fileOf(def project, def entry) {
        return newestRun(project, entry)?.resolve("candidates")?.resolve(entry.getID() + ".geojson")?.toFile()
    }

    /** Tell how many outlines a run found on an image; null where that is no run. */
    static Integer found(Path run, def entry) {
        if (run == null)
            return null
        def said = Runs.fromFile(run.resolve("run.json")).images?.get(entry.getID())?.glomeruli
        return (said == null ? outlines(run, entry).size() : said) as int
    }

    /**
     * Tell how many outlines of the newest run wait to be brought into an image, in which none of them stands; what a
     * person accepted of its candidates is none of them.
     */
    static int waiting(def project, def entry, List<PathObject> standing) {
        def run = newestRun(project, entry)
        if (run == null || Runs.isBroughtIn(run, entry.getID()))
            return 0
        def marks = outlines(run, entry).collect { it.properties?.metadata?.get(FINGERPRINT) } as Set
        def own = standing*.getMetadata().findAll { it["glomseg.run"] == run.getFileName().toString() }
        return own.any { it[FINGERPRINT] in marks } ? 0 : found(run, entry)
    }

    private static List<Map> outlines(Path run, def entry) {
        def kept = Runs.fromFile(run.resolve(entry.getID() + ".geojson")).features ?: []
        return kept.findAll { !(it.properties?.classification?.name ==~ /\s*Candidate\s*(:.*)?/) }
    }

    /** Return what tells the candidates of an image from those of another run. */
    static List stamp(def project, def entry) {
        def file = fileOf(project, entry)
        return [file, file?.lastModified()]
    }

    /** Read what nobody has judged yet: no glomerulus, and no rejected one, lies where it lies. */
    static List<PathObject> read(def project, def entry, List<PathObject> judged) {
        def file = fileOf(project, entry)
        if (!file?.isFile())
            return []
        def tree = new STRtree()
        judged.each { tree.insert(it.getROI().getGeometry().getEnvelopeInternal(), it.getROI().getGeometry()) }
        tree.build()
        def ids = judged*.getID() as Set
        return PathIO.readObjects(file.toPath()).findAll { item ->
            def ours = item.getROI().getGeometry()
            !ids.contains(item.getID()) && !tree.query(ours.getEnvelopeInternal()).any { other ->
                ours.intersection(other).getArea() > SAME * Math.min(ours.getArea(), other.getArea())
            }
        }
    }

}
