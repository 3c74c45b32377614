/*
 * Purpose: keep the verdicts of a review through QuPath's undo. The other scripts load this file from their own folder;
 *          by itself it does nothing.
 * Input:   none.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import java.lang.ref.WeakReference
import javafx.application.Platform
import qupath.lib.objects.PathObject
import qupath.lib.objects.hierarchy.PathObjectHierarchy
import qupath.lib.objects.hierarchy.events.PathObjectHierarchyListener


/**
 * What was judged in the data of an image since they were opened. A verdict makes no step of QuPath's undo, which would
 * copy all objects; so its next step back, of something drawn later, would take all verdicts along in silence. They are
 * given again, for as long as the data are open, whether or not the window of the review is. This refers to no data, so
 * that these can be let go of.
 */
class Verdicts {

    private static final String KEPT = "glomseg.verdicts"  // property of QuPath's window
    private static final double SAME = 0.3  // of the smaller one's area

    private final shared
    private final Map judged = [:]  // by first id: the state that a verdict left, and the object that it was given to
    private final Map first = [:]  // of an id that QuPath gave an object anew: the one that it had at first
    private Map<PathObject, Object> seen = [:]  // the annotations at the last look, with their ids then
    private PathObject root  // of the hierarchy, at the last look: QuPath's undo and redo put another in its place
    int taken = 0  // judged outlines that the last step of QuPath's undo or redo took away
    boolean attended = false  // a review looks at the objects itself, whenever some come or go

    private Verdicts(def shared, PathObject root) {
        this.shared = shared
        this.root = root
    }

    /** Return the verdicts of data, whichever window they were given in. */
    static def of(def shared, def gui, def data) {
        def all = gui.getStage().getProperties().computeIfAbsent(KEPT) { new WeakHashMap() }
        return all.computeIfAbsent(data) {
            def verdicts = new Verdicts(shared, data.getHierarchy().getRootObject())
            verdicts.followIds(data.getHierarchy())
            data.getHierarchy().addListener({ event ->
                if (!event.isChanging())
                    Platform.runLater { verdicts.keepUnattended(event.getHierarchy()) }
            } as PathObjectHierarchyListener)
            verdicts
        }
    }

    /** Note what a verdict or a comment left. */
    void note(PathObject item, Map more = [:]) {
        def kept = judged.computeIfAbsent(firstId(item.getID())) { [:] }
        kept.putAll([state: shared.state(item), given: new WeakReference(item), item: item] + more)
    }

    void forget(def id) {
        judged.remove(firstId(id))
    }

    /** Return the first id that an object had: QuPath can give all objects new ones. */
    def firstId(def id) {
        return first.getOrDefault(id, id)
    }

    /** Return the ids of now by the first ones. */
    Map<Object, Object> idsNow() {
        return seen.values().collectEntries { [(firstId(it)): it] }
    }

    /** Note to which objects QuPath gave other ids since the last look; its undo brings the former back. */
    private void followIds(PathObjectHierarchy hierarchy) {
        def items = hierarchy.getAnnotationObjects()
        items.findAll { seen[it] != null && seen[it] != it.getID() }.each { first[it.getID()] = firstId(seen[it]) }
        seen = new WeakHashMap(items.collectEntries { [(it): it.getID()] })
    }

    void keepUnattended(PathObjectHierarchy hierarchy) {
        if (attended)
            return
        if (judged)
            keep(hierarchy)
        else
            followIds(hierarchy)
    }

    /**
     * Give verdicts again that a step of QuPath's undo took along, and bring back what was judged of what runs found;
     * tells whether there was such a step. What a person deleted stays deleted; how many judged ones the step took away
     * all the same is `taken`.
     */
    boolean keep(PathObjectHierarchy hierarchy) {
        followIds(hierarchy)
        def now = byId(hierarchy)
        def undone = !root.is(hierarchy.getRootObject())
        root = hierarchy.getRootObject()
        if (undone) {
            def gone = judged.findAll { id, kept -> !now.containsKey(id) && isToStay(kept, now.values()) }.values()
                .collect { it.candidate ?: it.item }
            if (gone)
                shared.withoutStep { hierarchy.addObjects(gone) }
            now = byId(hierarchy)
        }
        taken = undone ? judged.count { id, kept -> !kept.deleted && !now.containsKey(id) } : 0
        judged.each { id, kept ->
            kept.deleted = !now.containsKey(id)
            kept.wasDeleted = kept.wasDeleted || kept.deleted
            kept.item = now[id] ?: kept.item
        }
        def lost = judged.findAll { id, kept -> now[id] != null && isLost(kept, now[id]) }
        lost.each { id, kept ->
            shared.putBack(now[id], kept.state)
            if (kept.containsKey("comment"))
                now[id].setDescription(kept.comment)
        }
        judged.each { id, kept -> kept.given = new WeakReference(now[id]) }
        if (lost)
            shared.changed(hierarchy, lost.keySet().collect { now[it] })
        return undone
    }

    /**
     * Tell whether a judged object is put back that a step took away: a candidate, or what a run found, as where an
     * import is undone. Not what a person drew, which the step may have been about, or deleted before, as a redo does
     * again; nor over what the step brought back in its place.
     */
    private boolean isToStay(Map kept, Collection<PathObject> others) {
        if (kept.deleted || kept.candidate != null)
            return !kept.deleted
        if (kept.wasDeleted || !kept.item.getMetadata().containsKey("glomseg.run"))
            return false
        def ours = kept.item.getROI().getGeometry()
        return !others.any { other ->
            def theirs = other.getROI().getGeometry()
            other.getMetadata().containsKey("glomseg.run") &&
                ours.getEnvelopeInternal().intersects(theirs.getEnvelopeInternal()) &&
                ours.intersection(theirs).getArea() > SAME * Math.min(ours.getArea(), theirs.getArea())
        }
    }

    /** Tell whether an object is a copy of the one that was judged, of before that. */
    private boolean isLost(Map kept, PathObject item) {
        return !item.is(kept.given.get()) && (shared.state(item).metadata != kept.state.metadata ||
            (kept.containsKey("comment") && item.getDescription() != kept.comment))
    }

    /** Return all annotations: a glomerulus that was given another class is still the one that was judged. */
    private Map<Object, PathObject> byId(PathObjectHierarchy hierarchy) {
        return hierarchy.getAnnotationObjects().collectEntries { [(firstId(it.getID())): it] }
    }

}
