/*
 * Purpose: read the file of outlines that a run left of an image, and tell what a person should know of it, by the
 *          rules of glomseg's predictions.py. The other scripts load this file from their own folder; by itself it does
 *          nothing.
 * Input:   <project folder>/glomseg/<run>/run.json, <entry id>.geojson
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import groovy.transform.Field
import qupath.lib.io.PathIO
import qupath.lib.objects.PathObject

@Field static final double NEAR = 1e-3  // how far two areas of the same outlines may differ, as in predictions.py

/** Return the outlines of a run, and what beside them is of no run. */
List<List<PathObject>> outlines(def run, String key) {
    def (ours, foreign) = PathIO.readObjects(run.resolve(key + ".geojson")).split {
        it.getMetadata().keySet().containsAll(["glomseg.run", "glomseg.fingerprint"])
    }
    ours.each { takePaintOff(it) }
    return [ours, foreign]
}

/** Take off the colour that the review gave an outline while it was exported: a file holds it with another alpha. */
private void takePaintOff(PathObject item) {
    def painted = item.getMetadata().remove("glomseg.painted")
    if (painted?.isInteger() && item.getColor() != null && (painted.toInteger() ^ item.getColor()) << 8 == 0)
        item.setColor((Integer) null)
}

/** Tell how many outlines are another than the run wrote. */
int corrected(List ours) {
    def whose = shared.load("glomseg_whose")
    return ours.count { !whose.isMachines(it) } as int
}

/** Say what a person should know of the outlines of a run, and of what was of none. */
List<String> remarks(List ours, List foreign, def run, String key) {
    def file = key + ".geojson", said = [], changed = corrected(ours)
    def record = shared.load("glomseg_runs").fromFile(run.resolve("run.json"))
    def others = ours.findAll { it.getMetadata()["glomseg.run"] != (record.run_id ?: run.getFileName().toString()) }
    if (foreign)
        said << "WARNING: left out of ${file} what is not of a run: ${foreign.size()} objects; File > Import objects " +
            "from file brings such in"
    if (others)
        said << "WARNING: ${others.size()} of the ${ours.size()} outlines in ${file} are of " +
            "${(others*.getMetadata()*.get("glomseg.run") as TreeSet).join(", ")}; they count as this run's"
    if (changed)
        said << "${changed == 1 ? "1 outline was" : "${changed} outlines were"} changed since the run wrote ${file}: " +
            "a person's from now on"
    return said + otherThanFound(ours, changed || others, record.images?.get(key), file)
}

/** Say that a file holds other outlines than its run found, by their number, or their area where none was changed. */
private List<String> otherThanFound(List ours, boolean isChanged, Map image, String file) {
    def rule = shared.load("glomseg_classes")
    def counted = ours.findAll { !rule.isCandidate(it.getPathClass()?.toString()) }
    if (image?.glomeruli == null)
        return []
    if (counted.size() != image.glomeruli as int)
        return ["WARNING: ${file} holds ${counted.size()} outlines, and the run found ${image.glomeruli as int}"]
    if (isChanged || !image.mpp || image.glomerular_area_um2 == null)
        return []
    def area = counted.sum(0d) { it.getROI().getScaledArea(image.mpp[0], image.mpp[1]) }
    def found = image.glomerular_area_um2
    return Math.abs(area - found) <= NEAR * found ? [] :
        ["WARNING: the outlines in ${file} cover ${Math.round(area)} um2, and those that the run found " +
            "${Math.round(found)} um2: they may be another image's"]
}
