/*
 * Purpose: find glomeruli that were missed: walk the tissue that was not seen yet, field by field, and outline with two
 *          clicks.
 * Input:   the open image. Keys that QuPath does not use, in the window and in the viewer: Page Down next field not
 *          seen yet, Page Up back, E outline (then click on two opposite ends of the glomerulus), U take the last
 *          outline back. The fields are as large as the viewer at the scale of 1 um a pixel of the screen.
 *          Without a window: prints how many fields of 1 mm hold tissue, and how many were seen.
 * Output:  annotations of class Glomerulus, a person's. Which fields were seen is kept with the image, which is saved.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import java.util.concurrent.TimeUnit
import javafx.application.Platform
import javafx.beans.value.ChangeListener
import javafx.event.EventHandler
import javafx.geometry.Insets
import javafx.scene.Scene
import javafx.scene.control.Button
import javafx.scene.control.Label
import javafx.scene.control.ProgressBar
import javafx.scene.control.TextInputControl
import javafx.scene.input.KeyCode
import javafx.scene.input.KeyEvent
import javafx.scene.input.MouseButton
import javafx.scene.input.MouseEvent
import javafx.scene.layout.HBox
import javafx.scene.layout.VBox
import javafx.stage.Stage
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.regions.ImagePlane
import qupath.lib.regions.RegionRequest
import qupath.lib.roi.ROIs

def shared = new GroovyShell(getClass().getClassLoader()).parse(besideThis("glomseg_shared.groovy"))
def imageData = getCurrentImageData()
def entry = getProjectEntry()
if (imageData == null || entry == null)
    throw new IllegalStateException("Open an image of a project first.")
if (getQuPath() == null) {
    def pixel = Tissue.pixelSize(imageData.getServer())
    def fields = new Tissue(imageData.getServer()).fields(1000 / pixel, 1000 / pixel)
    def seen = Seen.read(imageData)
    def done = fields.count { seen.covers(it) }
    println "${entry.getImageName()}: ${fields.size()} fields hold tissue, ${done} were seen"
    return
}
Platform.runLater {
    def stage = getQuPath().getStage().getProperties().get("glomseg.missed")
    if (stage?.isShowing()) {
        stage.toFront()
    } else {
        def walk = new Walk(shared, getQuPath())
        getQuPath().getStage().getProperties().put("glomseg.missed", walk.stage)
        walk.open()
    }
}


/** Find a file of glomseg's scripts: beside this one, else in QuPath's user scripts. */
File besideThis(String name) {
    def own = binding.getVariables()["qupath.script.file"]
    def user = UserDirectoryManager.getInstance().getUserPath()
    def folders = [own ? new File(own.toString()).getParentFile() : null, user?.resolve("scripts/GlomSeg")?.toFile()]
    def file = folders.findAll { it != null }.collect { new File(it, name) }.find { it.isFile() }
    if (file == null)
        throw new IllegalStateException("${name} is in none of ${folders}; put it there with: " +
            "glomseg qupath install-scripts")
    return file
}

/** Where the tissue is: what is coloured or dark, at a coarse scale. */
class Tissue {

    static final int LONGEST = 1500
    static final int COLOUR = 18
    static final int BRIGHT = 190
    static final double SHARE = 0.02

    final double downsample
    final int wide, high
    final long[][] sums  // of the tissue's pixels, left of and above each

    Tissue(def server) {
        downsample = Math.max(1.0d, Math.max(server.getWidth(), server.getHeight()) / (double) LONGEST)
        def image = server.readRegion(RegionRequest.createInstance(server, downsample))
        wide = image.getWidth()
        high = image.getHeight()
        sums = new long[high + 1][wide + 1]
        int[] line = new int[wide]
        for (int y = 0; y < high; y++) {
            image.getRGB(0, y, wide, 1, line, 0, wide)
            long run = 0
            for (int x = 0; x < wide; x++) {
                int red = (line[x] >> 16) & 255, green = (line[x] >> 8) & 255, blue = line[x] & 255
                int most = Math.max(red, Math.max(green, blue)), least = Math.min(red, Math.min(green, blue))
                if (most - least > COLOUR || (most < BRIGHT && most > 0))
                    run++
                sums[y + 1][x + 1] = sums[y][x + 1] + run
            }
        }
    }

    static double pixelSize(def server) {
        def calibration = server.getPixelCalibration()
        return calibration.hasPixelSizeMicrons() ? calibration.getAveragedPixelSizeMicrons() : 1.0d
    }

    /** Return boxes [x, y, width, height] of one size that hold tissue, row by row, there and back. */
    List fields(double width, double height) {
        def boxes = []
        def rows = Math.ceil(high * downsample / height) as int, columns = Math.ceil(wide * downsample / width) as int
        for (int row = 0; row < rows; row++) {
            def line = (0..<columns).collect { [it * width, row * height, width, height] }.findAll { holds(it) }
            boxes.addAll(row % 2 ? line.reverse() : line)
        }
        return boxes
    }

    boolean holds(List box) {
        int left = box[0] / downsample, top = box[1] / downsample
        int right = Math.min(wide, (box[0] + box[2]) / downsample)
        int bottom = Math.min(high, (box[1] + box[3]) / downsample)
        long count = sums[bottom][right] - sums[top][right] - sums[bottom][left] + sums[top][left]
        return count > SHARE * (right - left) * (bottom - top)
    }

}

/** The boxes of an image that were seen, kept with the image. */
class Seen {

    static final String NAME = "glomseg.seen"
    final List boxes

    Seen(List boxes) {
        this.boxes = boxes
    }

    static Seen read(def imageData) {
        def text = imageData.getProperty(NAME)?.toString() ?: ""
        return new Seen(text.tokenize(";").collect { it.tokenize(",")*.toDouble() })
    }

    void add(def imageData, List box) {
        if (covers(box))
            return
        boxes << box
        imageData.setProperty(NAME, boxes.collect { it.collect { value -> Math.round(value) }.join(",") }.join(";"))
    }

    /** Tell whether the middle of a box was seen. */
    boolean covers(List box) {
        def x = box[0] + box[2] / 2, y = box[1] + box[3] / 2
        return boxes.any { it[0] <= x && x <= it[0] + it[2] && it[1] <= y && y <= it[1] + it[3] }
    }

}

/** The window. */
class Walk {

    private static final String TITLE = "Find what was missed"
    private static final int STEPS = 72

    final Stage stage = new Stage()
    final shared
    final gui
    def project, entry, data, viewer
    List fields = []
    Seen seen
    int at = -1
    List clicks = null  // the ends that were clicked on, null where no outline is being made
    final List drawn = []
    final Map<KeyCode, Long> down = [:]
    final Map<KeyCode, Closure> actions = [:]
    final place = new Label()
    final bar = new ProgressBar(0)
    final box = new VBox(8.0d)
    final EventHandler onKey = { event -> key(event) } as EventHandler
    final EventHandler onMouse = { event -> click(event) } as EventHandler
    final ChangeListener onShown = { source, old, now -> Platform.runLater { rebind() } } as ChangeListener

    Walk(def shared, def gui) {
        this.shared = shared
        this.gui = gui
    }

    void open() {
        def buttons = new HBox(4.0d, button("Next field", KeyCode.PAGE_DOWN) { next() },
            button("Back", KeyCode.PAGE_UP) { back() }, button("Outline by two clicks", KeyCode.E) { arm() },
            button("Undo", KeyCode.U) { takeBack() })
        bar.setPrefWidth(160)
        box.getChildren().addAll(buttons, new HBox(10.0d, bar, place))
        box.setPadding(new Insets(8))
        stage.initOwner(gui.getStage())
        stage.setScene(new Scene(box))
        def main = gui.getStage().getScene()
        [stage.getScene(), main].each { it.addEventFilter(KeyEvent.ANY, onKey) }
        gui.imageDataProperty().addListener(onShown)
        stage.setOnHidden {
            main.removeEventFilter(KeyEvent.ANY, onKey)
            gui.imageDataProperty().removeListener(onShown)
            release()
        }
        stage.show()
        rebind()
        stage.sizeToScene()
        def view = gui.getViewer().getView()
        def area = view.localToScreen(view.getLayoutBounds())
        if (area != null) {
            stage.setX(area.getMinX() + (area.getWidth() - stage.getWidth()) / 2)
            stage.setY(area.getMaxY() - stage.getHeight() - 8)
        }
        box.requestFocus()
    }

    boolean isCurrent() {
        return data != null && gui.getImageData() === data && gui.getProject() === project
    }

    void rebind() {
        if (isCurrent())
            return
        release()
        project = gui.getProject()
        data = gui.getImageData()
        entry = data == null ? null : project?.getEntry(data)
        viewer = entry == null ? null : gui.getAllViewers().find { it.getImageData() === data }
        fields = []
        at = -1
        drawn.clear()
        if (viewer == null) {
            data = null
        } else {
            viewer.getView().addEventFilter(MouseEvent.ANY, onMouse)
            seen = Seen.read(data)
            def scale = 1 / Tissue.pixelSize(data.getServer())
            def view = viewer.getView()
            fields = new Tissue(data.getServer()).fields(Math.max(200, view.getWidth()) * scale,
                Math.max(200, view.getHeight() - 90) * scale)
        }
        stage.setTitle(data == null ? TITLE : TITLE + ": " + entry.getImageName())
        tell()
    }

    /** Save what was seen, where a viewer still shows the image. */
    void release() {
        clicks = null
        viewer?.getView()?.removeEventFilter(MouseEvent.ANY, onMouse)
        if (data != null && data.isChanged() && shared.shownData(project, entry) === data)
            shared.save(project, entry, data)
        viewer = null
        data = null
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
        viewer.setDownsampleFactor(width / Math.max(200, viewer.getView().getWidth()))
        viewer.setCenterPixelLocation(x + width / 2, y + height / 2 + 45 * viewer.getDownsampleFactor())
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
        clicks = []
        tell("Click on one end of the glomerulus ...")
    }

    /** Collect the two clicks of an outline; every other one is QuPath's. */
    void click(MouseEvent event) {
        if (clicks == null || !isCurrent() || event.getButton() != MouseButton.PRIMARY)
            return
        event.consume()
        if (event.getEventType() != MouseEvent.MOUSE_PRESSED)
            return
        def point = viewer.componentPointToImagePoint(event.getX(), event.getY(), null, false)
        clicks << [point.getX(), point.getY()]
        if (clicks.size() < 2) {
            tell("... and on the opposite end.")
            return
        }
        def (one, other) = clicks
        clicks = null
        outline(one, other)
    }

    /** Outline what lies between two ends: a circle that snaps to the strongest edge near it. */
    void outline(List one, List other) {
        def x = (one[0] + other[0]) / 2, y = (one[1] + other[1]) / 2
        def radius = Math.hypot(one[0] - other[0], one[1] - other[1]) / 2
        if (radius < 3) {
            tell("The two clicks lie on one spot; E begins again.")
            return
        }
        def radii = snap(x, y, radius)
        def angles = (0..<STEPS).collect { 2 * Math.PI * it / STEPS }
        def xs = (0..<STEPS).collect { x + radii[it] * Math.cos(angles[it]) } as double[]
        def ys = (0..<STEPS).collect { y + radii[it] * Math.sin(angles[it]) } as double[]
        def item = PathObjects.createAnnotationObject(ROIs.createPolygonROI(xs, ys, ImagePlane.getDefaultPlane()),
            PathClass.fromString(shared.BASE))
        data.getHierarchy().addObject(item)
        drawn << item.getID()
        tell()
    }

    /** Return the radius in each direction where the grey value changes most within a fifth, smoothed all around. */
    List snap(double x, double y, double radius) {
        def server = data.getServer()
        double scale = Math.max(1, radius / 100)
        int left = Math.max(0, x - 1.3 * radius), top = Math.max(0, y - 1.3 * radius)
        int right = Math.min(server.getWidth(), x + 1.3 * radius)
        int bottom = Math.min(server.getHeight(), y + 1.3 * radius)
        def image = server.readRegion(RegionRequest.createInstance(server.getPath(), scale, left, top, right - left,
            bottom - top))
        def green = { double px, double py ->
            int column = Math.max(0, Math.min(image.getWidth() - 1, (px - left) / scale as int))
            int row = Math.max(0, Math.min(image.getHeight() - 1, (py - top) / scale as int))
            (image.getRGB(column, row) >> 8) & 255
        }
        def raw = (0..<STEPS).collect { step ->
            double angle = 2 * Math.PI * step / STEPS
            def mean = { double from, double to ->
                (0..5).collect { from + (to - from) * it / 5 }.collect {
                    green(x + it * radius * Math.cos(angle), y + it * radius * Math.sin(angle))
                }.sum() / 6
            }
            def shares = (0..20).collect { 0.8 + 0.02 * it }
            radius * shares.max { Math.abs(mean(it, it + 0.1d) - mean(it - 0.1d, it)) - 40 * Math.abs(it - 1) }
        }
        return (0..<STEPS).collect { step ->
            def near = (-4..4).collect { raw[(step + it + STEPS) % STEPS] }.sort()
            near[3..5].sum() / 3
        }
    }

    void takeBack() {
        def id = drawn ? drawn.pop() : null
        def item = id == null ? null : data.getHierarchy().getAnnotationObjects().find { it.getID() == id }
        if (item == null)
            Dialogs.showInfoNotification(TITLE, "There is no outline to take back.")
        else
            data.getHierarchy().removeObject(item, true)
        tell()
    }

    /** Act on a key: once, however long it is held, never with a modifier, and never while something is typed. */
    void key(KeyEvent event) {
        def code = event.getCode()
        if (event.getEventType() == KeyEvent.KEY_RELEASED && down.remove(code) != null)
            event.consume()
        def modified = [event.isControlDown(), event.isAltDown(), event.isMetaDown(), event.isShiftDown()].any()
        if (event.getEventType() != KeyEvent.KEY_PRESSED || modified || !actions.containsKey(code) ||
            TextInputControl.isInstance(event.getSource().getFocusOwner()))
            return
        event.consume()
        def before = down.put(code, System.nanoTime())
        if (before != null && System.nanoTime() - before < TimeUnit.SECONDS.toNanos(1))
            return
        if (isCurrent())
            actions[code]()
        else
            rebind()
    }

    Button button(String name, KeyCode code, Closure action) {
        actions[code] = action
        def button = new Button("${name} (${code.getName()})")
        button.setFocusTraversable(false)
        button.setOnAction {
            box.requestFocus()
            if (isCurrent())
                action()
            else
                rebind()
        }
        return button
    }

}
