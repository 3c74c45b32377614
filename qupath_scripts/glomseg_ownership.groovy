/*
 * Purpose: decide what an import of a run's outlines changes in an image, by the rules of glomseg's ownership.py,
 *          rivals.py and brought.py. The other scripts load this file from their own folder; by itself it does nothing.
 * Input:   <project folder>/glomseg/<run>/run.json, <entry id>.geojson, candidates/<entry id>.geojson
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import groovy.transform.Field
import java.nio.file.Files
import java.nio.file.Path
import org.locationtech.jts.geom.Geometry
import org.locationtech.jts.index.strtree.STRtree
import org.locationtech.jts.operation.union.UnaryUnionOp
import qupath.lib.io.PathIO
import qupath.lib.objects.PathObject

@Field static final String RUN = "glomseg.run"
@Field static final String FINGERPRINT = "glomseg.fingerprint"
@Field static final String MEASURED = "glomseg.measured"
@Field static final String REJECTED = "glomseg.rejected"
@Field static final double OVERLAP = 0.3
@Field static final double COINCIDENCE = 0.5
@Field static final double RECTANGLE = 0.999
@Field static final int FEW = 2

/** Decide what changes, by the rules of glomseg's ownership.py. */
Map plan(List existing, List predictions, Geometry area, List earlier, Map how) {
    def written = earlier.collectEntries { [(whose().mark(it)): it.getMeasurements().keySet() as Set] }
    def (machine, persons) = existing.split {
        whose().isMachines(it) && !(it in how.brought) && !hasOwnMeasurements(it, written[whose().mark(it)])
    }
    def (elsewhere, here) = persons.split { whose().isOffPlane(it) }
    def machineIndex = index(machine)
    def personsIndex = index(here + how.detections)
    def elsewhereIndex = index(elsewhere.findAll { !overlaps(it, machineIndex, true) })
    def (covered, free) = predictions.split {
        overlaps(it, personsIndex, true) || overlaps(it, elsewhereIndex, true)
    }
    def standing = machine.collectEntries { [(whose().mark(it)): it] }
    def asked = free.collectEntries { [(whose().fingerprint(it)): it] }  // one that was changed since is another
    def there = asked.findAll { mark, item -> standing.containsKey(mark) && whose().isMachines(item) }.keySet()
    def keep = there.collect { standing[it] }
    def others = machine.findAll { item -> !keep.any { it.is(item) } }
    def isInside = { area == null || area.intersects(shape(it).getCentroid()) }
    def (inside, outside) = others.split(isInside)
    def left = asked.findAll { !(it.key in there) }.values().findAll { !shape(it).isEmpty() }
    def outsideIndex = index(outside)
    left = left.findAll { !overlaps(it, outsideIndex) }
    def (gone, doubtful) = deletions(existing, earlier.findAll { !standing.containsKey(whose().mark(it)) }, how.known)
    def measured = persons.findAll { whose().isMachines(it) }  // theirs for measurements alone: known for good
    def theirs = measured.collect { whose().mark(it) }
    def rejected = how.forget ? [] : gone
    def known = how.forget ? gone.findAll { whose().mark(it) in theirs } : gone
    def rejectedIndex = index(rejected)
    def (refused, add) = left.split { overlaps(it, rejectedIndex) }
    def dropped = index(covered + refused), instead = index(add + rejected)
    def (seenAgain, remove) = inside.split {  // what the run saw in its place gave way to a person's beside it
        overlaps(it, dropped) && !overlaps(it, instead) && !coincides(it, personsIndex)
    }
    keep += seenAgain
    gone.each { it.getMetadata().put(REJECTED, "yes") }
    def remembered = earlier.findAll { standing.containsKey(whose().mark(it)) } + gone + doubtful
    return [remove: remove, add: add, keep: keep, doubtful: doubtful, remembered: remembered,
            remember: keep + outside + add + known + doubtful.findAll { !isInside(it) },
            person: predictions.size() - asked.size(), rejected: refused.size()]
}

/** Tell what a person deleted from what is in doubt: a run of which nothing is seen, unless it left but few. */
private List deletions(List existing, List missing, boolean known) {
    def seen = existing.findAll { it.getMetadata().containsKey(FINGERPRINT) }.collect { it.getMetadata()[RUN] } as Set
    def left = missing.findAll { !it.getMetadata().containsKey(REJECTED) }.countBy { it.getMetadata()[RUN] }
    return missing.split { item ->
        def run = item.getMetadata()[RUN]
        item.getMetadata().containsKey(REJECTED) || run in seen || (known && left[run] <= FEW)
    }
}

/** List the outlines of runs that a person brought in from elsewhere, by the rules of glomseg's brought.py. */
List brought(List existing, List earlier, Closure<Set> foundBy) {
    def known = earlier.collect { it.getMetadata()[FINGERPRINT] } as Set
    def found = [:].withDefault(foundBy)
    return existing.findAll { item ->
        def run = item.getMetadata()[RUN], written = item.getMetadata()[FINGERPRINT]
        run && !(written in known) && found[run] != null && !(written in found[run])
    }
}

/** Return the fingerprints of what a run found on an image, `elsewhere` for one of another place; null: not known. */
Set foundBy(Path home, String run, String key, Set elsewhere) {
    def isName = !(run ==~ /\..*|.*[\/\\:].*/)
    if (isName && !Files.exists(home.resolve(run)))
        return elsewhere
    if (!isName || !Files.exists(home.resolve(run).resolve("run.json")))
        return null
    def folder = home.resolve(run)
    def files = [folder, folder.resolve("candidates")].collect { it.resolve(key + ".geojson") }
        .findAll { Files.exists(it) }
    def images = shared.load("glomseg_runs").fromFile(folder.resolve("run.json")).images
    if (!files && (images == null || images.containsKey(key)))
        return null
    return files.collectMany { PathIO.readObjects(it) }.collect { it.getMetadata()[FINGERPRINT] } as Set
}

/** Tell whether a person gave an outline measurements that neither the run nor `measure --write` did. */
private boolean hasOwnMeasurements(PathObject item, Set<String> written) {
    def known = (item.getMetadata()[MEASURED] ?: "").split(";") as List
    return written != null && item.getMeasurements().keySet().any { !(it in written) && !(it in known) }
}

Geometry shape(PathObject item) {
    return item.getROI().getGeometry()
}

Geometry union(List items) {
    return UnaryUnionOp.union(items.collect { shape(it) })
}

/** Return the detections that are large enough to coincide with a prediction. */
List large(def hierarchy, List predictions) {
    def smallest = predictions.collect { it.getROI().getArea() }.min() ?: 0
    return hierarchy.getDetectionObjects().findAll { item ->
        !whose().isOffPlane(item) && item.getROI().getArea() >= smallest / 2
    }.toList()
}

private STRtree index(List items) {
    def tree = new STRtree()
    items.findAll { it.getROI() != null }.each { tree.insert(shape(it).getEnvelopeInternal(), it) }
    return tree
}

/** Tell whether an object overlaps a rival or, of any kind, coincides with an outline; by the rules of rivals.py. */
private boolean overlaps(PathObject item, STRtree others, boolean ofAnyKind = false) {
    def ours = shape(item)
    def isTaken = others.query(ours.getEnvelopeInternal()).any { other ->
        def theirs = shape(other)
        def smaller = Math.min(ours.getArea(), theirs.getArea())
        return areRivals(item, other) && ours.intersection(theirs).getArea() > OVERLAP * smaller
    }
    return isTaken || (ofAnyKind && coincides(item, others))
}

private boolean coincides(PathObject item, STRtree others) {
    def ours = shape(item)
    return others.query(ours.getEnvelopeInternal()).any { other ->
        def theirs = shape(other)
        def one = ours.getArea(), two = theirs.getArea(), shared = ours.intersection(theirs).getArea()
        def isField = two >= RECTANGLE * theirs.getEnvelope().getArea()
        return !isField && shared > COINCIDENCE * (one + two - shared)
    }
}

private boolean areRivals(PathObject item, PathObject other) {
    if (other.getMetadata().containsKey(RUN))
        return true
    def base = rule().baseOf(nameOf(item))
    return other.isAnnotation() && (base == rule().baseOf(nameOf(other)) || rule().isClass(nameOf(other), base))
}

private String nameOf(PathObject item) {
    return item.getPathClass()?.toString() ?: ""
}

private def whose() {
    return shared.load("glomseg_whose")
}

private def rule() {
    return shared.load("glomseg_classes")
}
