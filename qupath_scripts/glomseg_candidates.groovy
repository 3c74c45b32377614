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

    /** Return the fingerprints of the candidates of a run, by which those are known that a person accepted. */
    static List<String> marks(Path run, def entry) {
        def kept = Runs.fromFile(run.resolve("candidates").resolve(entry.getID() + ".geojson"))
        return (kept.features ?: []).collect { it.properties?.metadata?.get("glomseg.fingerprint") }.findAll()
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
