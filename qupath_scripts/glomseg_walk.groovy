/*
 * Purpose: the window of the walk over the tissue. find_missed loads this file from its own folder; by itself it does
 *          nothing.
 * Input:   none.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import javafx.event.EventHandler
import javafx.geometry.Pos
import javafx.scene.control.Button
import javafx.scene.control.Label
import javafx.scene.control.ProgressBar
import javafx.scene.input.KeyCode
import javafx.scene.input.MouseButton
import javafx.scene.input.MouseEvent
import javafx.scene.layout.HBox
import javafx.scene.layout.Region
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass


/** The window. */
class Walk extends ImageWindow {

    private static final int MARGIN = 130  // px of the viewer that the window covers

    List fields = []
    Seen seen
    int at = -1
    private double scale = 1  // pixels of the image a pixel of the screen, unless a field exceeds the viewer then
    Probability map = null  // what the newest run said of the image, where it kept that
    List clicks = null  // the ends that were clicked on, null where no outline is being made
    Map<Object, PathObject> candidates = [:]  // of the newest run; no objects of the image until they are judged
    Map<Object, Map> states = [:]  // what they were before a verdict
    Object offered = null  // the id of the candidate at hand
    final Set passed = []
    final List past = []  // what U takes back: ids
    private final Set rejected = []  // those of them that are no glomeruli
    private List kept = [[], []]  // of both, where what another program saved took the place of these data
    private final List<Button> verdicts = []  // of the candidate at hand
    final Initials initials = new Initials(this)
    final brackets
    final standing = new Label()
    final bar = new ProgressBar(0)
    private def watched = null  // the node whose clicks are looked at
    private final EventHandler onMouse = { event -> click(event) } as EventHandler

    Walk(def shared, def gui) {
        super("Find what was missed", "missed", shared, gui)
        brackets = new Brackets(gui.getOverlayOptions(), this)
    }

    void layOut() {
        def buttons = new HBox(4.0d,
            keys.button("Next field", KeyCode.PAGE_DOWN) { next() },
            keys.button("Back", KeyCode.PAGE_UP) { back() },
            keys.button("Outline by two clicks", KeyCode.E) { arm() },
            keys.button("Undo", KeyCode.U) { takeBack() })
        def review = new Button("Review")
        review.setFocusTraversable(false)
        review.setOnAction { later { shared.openWindow("review", gui) } }
        verdicts << keys.button("Accept the candidate", KeyCode.Y) { judge("accept") }
        verdicts << keys.button("Reject it", KeyCode.X) { judge("reject") }
        def second = new HBox(4.0d, *verdicts, new Label("  Initials"), initials.field, review)
        second.setAlignment(Pos.CENTER_LEFT)
        bar.setPrefWidth(160)
        standing.setMinWidth(Region.USE_PREF_SIZE)
        box.getChildren().addAll(buttons, second, new HBox(10.0d, bar, standing))
    }

    void close() {
        super.close()
        brackets.takeOff(gui)
    }

    void turnTo() {
        fields = []
        at = -1
        [past, rejected, passed, candidates, states].each { it.clear() }
        [past, rejected].eachWithIndex { list, index -> list.addAll(kept[index]) }
        kept = [[], []]
        offered = null
        map = null
        if (data != null) {
            brackets.putOn(gui)
            readCandidates()
            map = Probability.of(Candidates.newestRun(project, entry), entry.getID())
            seen = Seen.read(data)
            scale = 1 / Tissue.pixelSize(data.getServer())
            def view = viewer().getView()
            fields = new Tissue(data.getServer()).fields(Math.max(200, view.getWidth()) * scale,
                Math.max(200, view.getHeight() - MARGIN) * scale)
        }
        tell()
    }

    private void readCandidates() {
        try {
            def places = shared.judgedPlaces(data.getHierarchy())
            candidates = Candidates.read(project, entry, places).collectEntries { [(it.getID()): it] }
            states = candidates.collectEntries { id, item -> [(id): shared.state(item)] }
            if (Candidates.leftOut(project, entry))
                warn(Candidates.leftOut(project, entry))
        } catch (IOException | RuntimeException error) {  // groovylint-disable-line CatchRuntimeException
            warn("The candidates of the run cannot be read: ${error.getMessage()}")
        }
    }

    /** Save what was seen, where a viewer still shows the image. */
    void leave() {
        rest.stop()
        disarm()
        save()
    }

    void save() {
        if (data != null && data.isChanged())
            write()
    }

    void saveAnyway() {
        write()
        tell()
    }

    void carryOver(def merge) {
        rest.stop()
        kept = [past, rejected].collect { list ->
            list.findAll { merge.judgedThere[it] == null }.collect { merge.ids[it] }.findAll()
        }
    }

    /** Return the candidate at hand. */
    PathObject current() {
        return candidates[offered]
    }

    boolean isCandidate(PathObject item) {
        return item != null && item.is(current())
    }

    /** Show the next candidate of the field at hand; without one take the field for seen, and show the next. */
    void next() {
        if (at >= 0 && at < fields.size()) {
            passed << offered
            offer()
            if (offered != null) {
                tell()
                return
            }
            seen.add(data, fields[at])
        }
        def found = fields.findIndexOf { !seen.covers(it) }
        at = found < 0 ? fields.size() : found
        show()
    }

    /** Take the first candidate in the field that is no object of the image and was not passed over. */
    void offer() {
        offered = null
        if (at >= 0 && at < fields.size()) {
            def standing = data.getHierarchy().getAnnotationObjects()*.getID() as Set
            def (x, y, width, height) = fields[at]
            offered = candidates.find { id, item ->
                def roi = item.getROI()
                !(id in passed) && !(id in standing) && roi.getCentroidX() >= x && roi.getCentroidX() < x + width &&
                    roi.getCentroidY() >= y && roi.getCentroidY() < y + height
            }?.key
            if (offered != null)
                shared.putBack(candidates[offered], states[offered])
        }
        gui.getViewerManager().repaintAllViewers()
    }

    /** Make the candidate at hand an object of the image, with a verdict, and offer the next of the field. */
    void judge(String verdict) {
        def item = current()
        def by = item == null ? "" : initials.ask()
        if (!by)
            return
        shared.judge(data, item, verdict, by)
        data.getHierarchy().addObject(item)  // judged before: QuPath's undo keeps it as it is now
        past << item.getID()
        if (verdict == "reject")
            rejected << item.getID()
        passed << item.getID()
        rest.playFromStart()
        offer()
        tell()
    }

    void back() {
        at = Math.max(0, at - 1)
        passed.clear()
        show()
    }

    void show() {
        offer()
        tell()
        if (at < 0 || at >= fields.size())
            return
        def (x, y, width, height) = fields[at]
        def view = viewer().getView()
        viewer().setDownsampleFactor([scale, width / Math.max(200, view.getWidth()),
            height / Math.max(200, view.getHeight() - MARGIN)].max())
        viewer().setCenterPixelLocation(x + width / 2, y + height / 2 + MARGIN / 2 * viewer().getDownsampleFactor())
    }

    void tell(String text = null) {
        def done = fields.count { seen.covers(it) }
        def added = past.size() - rejected.size()
        bar.setProgress(fields ? done / (double) fields.size() : 0)
        def now = data == null ? "Open an image of a project." :
            at >= fields.size() ? "All tissue was seen." :
            "${done} of ${fields.size()} fields seen" + (added ? ", ${added} added" : "") +
                (rejected ? ", ${rejected.size()} rejected" : "") + inWords(current())
        standing.setText(text ?: now)
        verdicts*.setDisable(current() == null)
        place.grow()
    }

    private String inWords(PathObject item) {
        return item == null ? "" : String.format(Locale.ROOT, "; candidate, confidence %.2f", shared.confidence(item))
    }

    void arm() {
        disarm()
        clicks = []
        watched = viewer().getView()
        watched.addEventFilter(MouseEvent.ANY, onMouse)
        tell("Click on one end of the glomerulus ...")
    }

    void disarm() {
        clicks = null
        watched?.removeEventFilter(MouseEvent.ANY, onMouse)
        watched = null
    }

    /** Collect the two clicks of an outline; every other one is QuPath's. */
    void click(MouseEvent event) {
        if (clicks == null || !isCurrent() || event.getButton() != MouseButton.PRIMARY)
            return
        event.consume()
        if (event.getEventType() != MouseEvent.MOUSE_PRESSED)
            return
        def point = viewer().componentPointToImagePoint(event.getX(), event.getY(), null, false)
        clicks << [point.getX(), point.getY()]
        if (clicks.size() < 2) {
            tell("... and on the opposite end.")
            return
        }
        def (one, other) = clicks
        clicks = null
        later { disarm() }  // the release of this click is ours, too
        outline(one, other)
    }

    void outline(List one, List other) {
        def roi = TwoClicks.outline(data.getServer(), one, other, map, viewer().getImagePlane())
        if (roi == null) {
            tell("The two clicks lie on one spot; E begins again.")
            return
        }
        def item = PathObjects.createAnnotationObject(roi, PathClass.fromString(shared.BASE))
        data.getHierarchy().addObject(item)
        past << item.getID()
        rest.playFromStart()
        tell()
    }

    void takeBack() {
        def standing = past ? data.getHierarchy().getAnnotationObjects().collectEntries { [(it.getID()): it] } : [:]
        while (past && !standing.containsKey(past.last()))  // QuPath's own undo took it back, or it was deleted
            rejected.remove(past.remove(past.size() - 1))
        def id = past ? past.remove(past.size() - 1) : null  // the last: pop() of a list takes the first
        def item = standing[id]
        if (item == null) {
            warn("There is nothing to take back.")
        } else {
            data.getHierarchy().removeObject(item, true)
            [passed, rejected]*.remove(id)
            rest.playFromStart()
            offer()
        }
        tell()
    }

}
