/*
 * Purpose: the window of the walk over the tissue. find_missed loads this file from its own folder; by itself it does
 *          nothing.
 * Input:   none.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import javafx.event.EventHandler
import javafx.scene.control.Label
import javafx.scene.control.ProgressBar
import javafx.scene.input.KeyCode
import javafx.scene.input.MouseButton
import javafx.scene.input.MouseEvent
import javafx.scene.layout.HBox
import qupath.fx.dialogs.Dialogs
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass


/** The window. */
class Walk extends ImageWindow {

    private static final int MARGIN = 90  // px of the viewer that the window covers

    List fields = []
    Seen seen
    int at = -1
    Probability map = null  // what the newest run said of the image, where it kept that
    List clicks = null  // the ends that were clicked on, null where no outline is being made
    final List drawn = []
    final place = new Label()
    final bar = new ProgressBar(0)
    private def watched = null  // the node whose clicks are looked at
    private final EventHandler onMouse = { event -> click(event) } as EventHandler

    Walk(def shared, def gui) {
        super("Find what was missed", "missed", shared, gui)
    }

    void layOut() {
        def buttons = new HBox(4.0d,
            keys.button("Next field", KeyCode.PAGE_DOWN) { next() },
            keys.button("Back", KeyCode.PAGE_UP) { back() },
            keys.button("Outline by two clicks", KeyCode.E) { arm() },
            keys.button("Undo", KeyCode.U) { takeBack() })
        bar.setPrefWidth(160)
        box.getChildren().addAll(buttons, new HBox(10.0d, bar, place))
    }

    void turnTo() {
        fields = []
        at = -1
        drawn.clear()
        map = null
        if (data != null) {
            map = Probability.of(Candidates.newestRun(project, entry), entry.getID())
            seen = Seen.read(data)
            def scale = 1 / Tissue.pixelSize(data.getServer())
            def view = viewer().getView()
            fields = new Tissue(data.getServer()).fields(Math.max(200, view.getWidth()) * scale,
                Math.max(200, view.getHeight() - MARGIN) * scale)
        }
        tell()
    }

    /** Save what was seen, where a viewer still shows the image. */
    void leave() {
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

    void carryOver(def old, def there) {
        def all = Seen.read(there)
        Seen.read(old).boxes.each { all.add(there, it) }
    }

    /** Take the field at hand for seen, and show the next that was not. */
    void next() {
        if (at >= 0 && at < fields.size())
            seen.add(data, fields[at])
        def found = fields.findIndexOf { !seen.covers(it) }
        at = found < 0 ? fields.size() : found
        show()
    }

    void back() {
        at = Math.max(0, at - 1)
        show()
    }

    void show() {
        tell()
        if (at < 0 || at >= fields.size())
            return
        def (x, y, width, height) = fields[at]
        viewer().setDownsampleFactor(width / Math.max(200, viewer().getView().getWidth()))
        viewer().setCenterPixelLocation(x + width / 2, y + height / 2 + MARGIN / 2 * viewer().getDownsampleFactor())
    }

    void tell(String text = null) {
        def done = fields.count { seen.covers(it) }
        bar.setProgress(fields ? done / (double) fields.size() : 0)
        def standing = data == null ? "Open an image of a project." :
            at >= fields.size() ? "All tissue was seen." :
            "${done} of ${fields.size()} fields seen" + (drawn ? ", ${drawn.size()} outlined" : "")
        place.setText(text ?: standing)
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
        def roi = TwoClicks.outline(data.getServer(), one, other, map)
        if (roi == null) {
            tell("The two clicks lie on one spot; E begins again.")
            return
        }
        def item = PathObjects.createAnnotationObject(roi, PathClass.fromString(shared.BASE))
        data.getHierarchy().addObject(item)
        drawn << item.getID()
        tell()
    }

    void takeBack() {
        def id = drawn ? drawn.pop() : null
        def item = id == null ? null : data.getHierarchy().getAnnotationObjects().find { it.getID() == id }
        if (item == null)
            Dialogs.showInfoNotification(title, "There is no outline to take back.")
        else
            data.getHierarchy().removeObject(item, true)
        tell()
    }

}
