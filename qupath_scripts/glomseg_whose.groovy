/*
 * Purpose: whose an outline is, a run's or a person's, by the rules of glomseg's ownership.py. The other scripts load
 *          this file from their own folder; by itself it does nothing.
 * Input:   none.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import java.security.MessageDigest
import org.locationtech.jts.geom.Geometry
import qupath.lib.objects.PathObject


/** An outline whose fingerprint still fits is the run's; whatever a person changed is that person's. */
class Whose {

    private static final String FINGERPRINT = "glomseg.fingerprint"

    /** Tell whether an object is as a run wrote it; measurements of a person's are not looked at. */
    static boolean isMachines(PathObject item) {
        def metadata = item.getMetadata()
        if (!item.isAnnotation() || !metadata[FINGERPRINT] || !metadata.containsKey("glomseg.run"))
            return false
        if (metadata.containsKey("glomseg.verdict") || metadata.keySet().any { !it.startsWith("glomseg.") })
            return false
        def painted = item.getColor() == null || metadata["glomseg.painted"] == item.getColor().toString()
        return painted && !isOffPlane(item) && !item.hasChildObjects() && metadata[FINGERPRINT] == fingerprint(item)
    }

    /** Tell whether a person put it on another plane of a stack or a time series than the first, where ours lie. */
    static boolean isOffPlane(PathObject item) {
        return item.getROI().getZ() != 0 || item.getROI().getT() != 0
    }

    /** Return what a run wrote of an object that it may be known by, else its digest as it is. */
    static String mark(PathObject item) {
        return item.getMetadata()[FINGERPRINT] ?: fingerprint(item)
    }

    /** Digest what a person can change: the corners in 1/100 px as a set, class, lock and name. */
    static String fingerprint(PathObject item) {
        def text = [item.getPathClass()?.toString() ?: "", item.isLocked() ? "locked" : "", item.getName() ?: "",
                    corners(item.getROI().getGeometry())].join("\n")
        def digest = MessageDigest.getInstance("SHA-256").digest(text.getBytes("UTF-8"))
        return "1-" + digest.encodeHex().toString().substring(0, 32)
    }

    private static String corners(Geometry geometry) {
        def found = [] as SortedSet<String>
        for (int part = 0; part < geometry.getNumGeometries(); part++) {
            def polygon = geometry.getGeometryN(part)
            if (polygon.getGeometryType() != "Polygon")
                continue
            def holes = (0..<polygon.getNumInteriorRing()).collect { polygon.getInteriorRingN(it) }
            ([polygon.getExteriorRing()] + holes).each { addCorners(it.getCoordinates(), found) }
        }
        return found.join(";")
    }

    private static void addCorners(def coordinates, Set<String> found) {
        def points = coordinates.collect { [Math.rint(it.x * 100) as long, Math.rint(it.y * 100) as long] }
        def moving = (0..<points.size() - 1).findAll { points[it] != points[it + 1] }
        def steps = moving.collect { [points[it + 1][0] - points[it][0], points[it + 1][1] - points[it][1]] }
        moving.eachWithIndex { number, i ->
            def before = steps[i - 1], after = steps[i]
            if (before[0] * after[1] != before[1] * after[0])
                found << (points[number][0] + "," + points[number][1])
        }
    }

}
