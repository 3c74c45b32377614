/*
 * Purpose: look at the glomeruli of the open image one after another and give each a verdict, a grade, a comment.
 * Input:   annotations of class Glomerulus and below; the queue holds what has no final verdict yet, so that a review
 *          goes on where it stopped. In a window, with keys that QuPath does not use, here and in the viewer:
 *            Y accept   X reject   K sclerotic   E edit   0 to 9 grades   U take the last verdict back
 *            Page Up, Page Down: back, next   T comment   I next image
 *          Without a window, arguments as name=value:
 *            list  or  list=reading                 print the queue: by lowest confidence, or in reading order
 *            verdict=accept|reject|sclerotic|edit|none  object=ID  initials=AB      one verdict
 *            grade=TEXT  comment=TEXT               with a verdict
 *            reviewed=yes|no  initials=AB           mark the image as fully reviewed, or take the mark away; with
 *            region=ID                              only this annotation
 *            colour=confidence|verdict|none         colour the glomeruli
 * Output:  on the object: glomseg.verdict, glomseg.initials, glomseg.judged, glomseg.grade (metadata), and the comment
 *          as its description. Accepted and sclerotic ones are locked, the latter have the class
 *          "Glomerulus: Sclerotic"; a rejected one gets the class "Rejected", and glomseg keeps it from being offered
 *          again. On the image: glomseg.review (counts), glomseg.reviewed. The image is saved: in a window whenever
 *          the keys rest for a moment, and at the end.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import java.awt.BasicStroke
import java.awt.Color
import java.awt.Graphics2D
import java.awt.image.BufferedImage
import java.lang.ref.WeakReference
import java.util.concurrent.TimeUnit
import javafx.animation.PauseTransition
import javafx.application.Platform
import javafx.beans.value.ChangeListener
import javafx.event.EventHandler
import javafx.geometry.Insets
import javafx.geometry.Pos
import javafx.scene.Scene
import javafx.scene.control.Button
import javafx.scene.control.ChoiceBox
import javafx.scene.control.ComboBoxBase
import javafx.scene.control.Label
import javafx.scene.control.ListView
import javafx.scene.control.ProgressBar
import javafx.scene.control.TableView
import javafx.scene.control.TextField
import javafx.scene.control.TextInputControl
import javafx.scene.control.TextInputDialog
import javafx.scene.control.Tooltip
import javafx.scene.control.TreeView
import javafx.scene.input.KeyCode
import javafx.scene.input.KeyEvent
import javafx.scene.layout.HBox
import javafx.scene.layout.Region
import javafx.scene.layout.VBox
import javafx.scene.shape.Rectangle
import javafx.stage.Screen
import javafx.stage.Stage
import javafx.util.Duration
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.gui.prefs.PathPrefs
import qupath.lib.gui.viewer.OverlayOptions
import qupath.lib.gui.viewer.overlays.AbstractOverlay
import qupath.lib.gui.viewer.tools.PathTools
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject
import qupath.lib.objects.hierarchy.events.PathObjectHierarchyListener
import qupath.lib.regions.ImageRegion

def shared = new GroovyShell(getClass().getClassLoader()).parse(besideThis("glomseg_shared.groovy"))
def imageData = getCurrentImageData()
def entry = getProjectEntry()
if (imageData == null || entry == null)
    throw new IllegalStateException("Open an image of a project first; the review is kept in the project.")
def given = shared.named(binding.hasVariable("args") ? (args as List<String>) : [])
if (given)
    withoutWindow(shared, imageData, entry, given)
else if (getQuPath() == null)
    throw new IllegalArgumentException("Without a window, say what to do: list, verdict=, reviewed= or colour=.")
else
    Platform.runLater { openWindow(shared, imageData) }


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

void withoutWindow(def shared, def imageData, def entry, Map given) {
    def hierarchy = imageData.getHierarchy()
    if (given.containsKey("list")) {
        for (item in shared.queue(hierarchy, given.list == "reading"))
            println([item.getID(), shared.confidence(item), item.getPathClass(), shared.verdict(item) ?: "-"]
                .join("\t"))
        println shared.progress(hierarchy)
        return
    }
    if (given.verdict) {
        def item = find(hierarchy, given.object)
        shared.judge(imageData, item, given.verdict, given.initials, given.grade)
        if (given.comment)
            item.setDescription(given.comment)
    }
    if (given.reviewed)
        shared.markReviewed(entry, given.region ? find(hierarchy, given.region) : null, given.reviewed == "yes",
            given.initials)
    if (given.colour)
        shared.paint(imageData, given.colour)
    shared.save(getProject(), entry, imageData)
    println entry.getImageName() + ": " + shared.progress(hierarchy)
}

PathObject find(def hierarchy, String id) {
    def item = hierarchy.getAnnotationObjects().find { it.getID().toString() == id }
    if (item == null)
        throw new IllegalArgumentException("No annotation has the id ${id}; list the queue to see them.")
    return item
}

/** Show the review of what the active viewer shows; there is one such window. Runs on JavaFX's thread. */
void openWindow(def shared, def imageData) {
    def gui = getQuPath()
    if (gui.getAllViewers().every { it.getImageData() !== imageData }) {
        Dialogs.showErrorMessage("Review", "Open the image in a viewer; \"Run for project\" cannot review.")
        return
    }
    def before = gui.getStage().getProperties().get("glomseg.review")
    if (before?.isShowing()) {
        before.toFront()
        before.requestFocus()
        return
    }
    def review = new Review(shared, gui)
    gui.getStage().getProperties().put("glomseg.review", review.stage)
    review.open()
}

/** The window of the review. It holds ids and looks each object up, for QuPath's undo puts copies in their place. */
class Review {

    private static final String TITLE = "Review"
    private static final List<String> COLOURINGS = ["none", "confidence", "verdict"]

    final Stage stage = new Stage()
    final shared
    final gui

    // what is under review: all four belong together, and are null where no image of a project is open
    def project, entry, data, viewer

    List ids = []
    int at = 0
    final Map judged = [:]  // by id: the state that a verdict of this session left, and the object that it was given to
    final Deque past = new ArrayDeque()  // what U takes back
    final Map<KeyCode, Long> down = [:]
    int unsaved = 0
    def tool = null  // what was in hand before the brush of an edit
    Double scale = null  // um (px where the pixel size is unknown) a pixel of the screen; the same for all glomeruli
    Double downsampleSet = null
    Map<Object, PathObject> byId = [:]  // the glomeruli as they stand now; made anew when objects come or go
    Map<String, Integer> tally = [:]
    int wholeImages = 0
    Boolean namesBefore = null

    final initials = new TextField()
    final comment = new TextField()
    final order = new ChoiceBox()
    final colours = new ChoiceBox()
    final place = new Label()
    final counts = new Label()
    final bar = new ProgressBar(0)
    final legend = new HBox(8.0d)
    final grades = new HBox(4.0d)
    final finished = new Button()
    final box = new VBox(6.0d)
    final Map<KeyCode, Closure> actions = [:]
    final PauseTransition rest = new PauseTransition(Duration.millis(700))
    final rememberedInitials = PathPrefs.createPersistentPreference("glomseg.initials", "")
    final rememberedPlace = PathPrefs.createPersistentPreference("glomseg.review.place", "")
    final rememberedScale = PathPrefs.createPersistentPreference("glomseg.review.scale", 0.0d)
    final gradeNames = PathPrefs.createPersistentPreference("glomseg.grades", "0, 1, 2, 3, 4, sclerotic, crescent")

    final EventHandler onKey = { event -> key(event) } as EventHandler
    final ChangeListener onShown = { source, old, now -> later { rebind() } } as ChangeListener
    final PathObjectHierarchyListener onObjects = { event ->
        if (event.getSource() !== shared)
            later { refresh() }
    } as PathObjectHierarchyListener
    Brackets brackets

    Review(def shared, def gui) {
        this.shared = shared
        this.gui = gui
    }

    void open() {
        brackets = new Brackets(gui.getOverlayOptions(), this)
        layOut()
        gui.imageDataProperty().addListener(onShown)
        gui.projectProperty().addListener(onShown)
        def scenes = [stage.getScene(), gui.getStage().getScene()]
        scenes.each { it.addEventFilter(KeyEvent.ANY, onKey) }
        rest.setOnFinished { save() }
        stage.setOnHidden { close(scenes[1]) }
        stage.show()
        rebind()
        stage.sizeToScene()
        settleDown()
        box.requestFocus()
    }

    void close(def mainScene) {
        rememberedPlace.set([stage.getX(), stage.getY()].join(","))
        mainScene.removeEventFilter(KeyEvent.ANY, onKey)
        gui.imageDataProperty().removeListener(onShown)
        gui.projectProperty().removeListener(onShown)
        if (isCurrent())
            save()
        release()
    }

    /** Tell whether what is under review is what the active viewer shows at this moment. */
    boolean isCurrent() {
        return data != null && gui.getImageData() === data && gui.getProject() === project
    }

    /** Turn to what the active viewer shows now; nothing of the old image is written unless a viewer still shows it. */
    void rebind() {
        if (isCurrent())
            return
        if (data != null && unsaved)
            leave()
        release()
        past.clear()
        judged.clear()
        project = gui.getProject()
        data = gui.getImageData()
        entry = data == null ? null : project?.getEntry(data)
        viewer = entry == null ? null : gui.getAllViewers().find { it.getImageData() === data }
        if (viewer == null) {
            data = null
            entry = null
        } else {
            data.getHierarchy().addListener(onObjects)
            viewer.getCustomOverlayLayers().add(brackets)
            namesBefore = viewer.getOverlayOptions().getShowNames()
            viewer.getOverlayOptions().setShowNames(false)
            def colouring = COLOURINGS.indexOf(data.getProperty(shared.COLOURING) ?: "none")
            colours.getSelectionModel().select(Math.max(0, colouring))
        }
        stage.setTitle(entry == null ? TITLE : TITLE + ": " + entry.getImageName())
        showLegend()
        restart()
    }

    /** Look after verdicts that are not saved yet, of an image that the active viewer no longer shows. */
    void leave() {
        if (gui.getProject() === project && shared.shownData(project, entry) === data) {
            save()  // another viewer has it still
        } else if (!data.isChanged() && gui.getProject() === project) {
            entry.putMetadataValue(shared.REVIEW, shared.progress(data.getHierarchy()))  // QuPath saved it on leaving
            project.syncChanges()
        } else if (data.isChanged()) {
            Dialogs.showWarningNotification(TITLE, "${unsaved} verdicts on ${entry.getImageName()} were not saved.")
        }
        unsaved = 0
    }

    void release() {
        rest.stop()
        layDown()
        if (viewer != null) {
            viewer.getCustomOverlayLayers().remove(brackets)
            if (namesBefore)
                viewer.getOverlayOptions().setShowNames(true)
        }
        data?.getHierarchy()?.removeListener(onObjects)
        byId = [:]
        viewer = null
        data = null
        entry = null
    }

    void save() {
        rest.stop()
        if (!unsaved || data == null || shared.shownData(project, entry) !== data)
            return
        shared.save(project, entry, data)
        unsaved = 0
        showCounts()
    }

    /** Do something on JavaFX's thread, after what happens now. */
    void later(Closure what) {
        Platform.runLater { what() }
    }

    PathObject find(def id) {
        return data == null || id == null ? null : byId[id]
    }

    /** Look at all objects again; between two such looks, verdicts keep the count. */
    void look() {
        byId = data == null ? [:] : shared.glomeruli(data.getHierarchy()).collectEntries { [(it.getID()): it] }
        tally = byId.values().countBy { shared.verdict(it) ?: shared.TO_DO }
        wholeImages = data == null ? 0 : project.getImageList().count { it.getMetadataValue(shared.REVIEWED) != null }
    }

    int countDone() {
        return shared.FINAL.collect { tally[it] ?: 0 }.sum()
    }

    int countOpen() {
        return byId.size() - countDone()
    }

    PathObject current() {
        return find(at < ids.size() ? ids[at] : null)
    }

    void restart() {
        look()
        ids = listOpen()
        at = 0
        show()
    }

    List listOpen() {
        def reading = order.getSelectionModel().getSelectedIndex() == 1
        return data == null ? [] : shared.queue(data.getHierarchy(), reading)*.getID()
    }

    /** Follow what was drawn, deleted or undone: the queue after the one at hand is what is to do now. */
    void refresh() {
        if (!isCurrent())
            return
        look()
        keepVerdicts()
        def passed = ids.take(at + 1) as LinkedHashSet
        ids = (passed as List) + listOpen().findAll { !passed.contains(it) }
        tellPlace()
        viewer.repaint()
    }

    /** QuPath's undo takes back all that came after its last step; verdicts among it are given again. */
    void keepVerdicts() {
        def lost = judged.findAll { id, kept ->
            def item = find(id)
            item != null && !item.is(kept.given.get()) && (shared.state(item).metadata != kept.state.metadata ||
                (kept.containsKey("comment") && item.getDescription() != kept.comment))
        }
        lost.each { id, kept ->
            shared.putBack(find(id), kept.state)
            if (kept.containsKey("comment"))
                find(id).setDescription(kept.comment)
        }
        judged.each { id, kept -> kept.given = new WeakReference(find(id)) }
        if (lost) {
            shared.changed(data.getHierarchy(), lost.keySet().collect { find(it) })
            look()
            touched()
        }
    }

    void touched() {
        unsaved++
        rest.playFromStart()
        if (unsaved >= 20)
            later { save() }
    }

    boolean named() {
        if (initials.getText().trim()) {
            rememberedInitials.set(initials.getText().trim())
            return true
        }
        Dialogs.showWarningNotification(TITLE, "Type your initials first.")
        stage.requestFocus()
        initials.requestFocus()
        return false
    }

    /** Give the glomerulus at hand a verdict, and go to the next; an edit stays on it until it is accepted. */
    void decide(String verdict, String grade = null) {
        def item = current()
        if (item == null || !named())
            return
        layDown()
        def before = shared.state(item)
        shared.judge(data, item, verdict, initials.getText().trim(), grade)
        remember(item, before)
        if (verdict == "edit") {
            pickUp(item)
            show()
            return
        }
        at++
        show()
    }

    void remember(PathObject item, Map before) {
        past.push([id: item.getID(), state: before])
        def kept = judged.computeIfAbsent(item.getID()) { [:] }
        kept.putAll([state: shared.state(item), given: new WeakReference(item)])
        count(before, item)
        touched()
    }

    void count(Map before, PathObject item) {
        def old = before.metadata["glomseg.verdict"] ?: shared.TO_DO
        def now = shared.verdict(item) ?: shared.TO_DO
        tally[old] = (tally[old] ?: 0) - 1
        tally[now] = (tally[now] ?: 0) + 1
    }

    /** Take the last verdict of this session back, and show its glomerulus. */
    void takeBack() {
        if (past.isEmpty()) {
            Dialogs.showInfoNotification(TITLE, "There is no verdict of this session to take back.")
            return
        }
        layDown()
        def last = past.pop()
        def item = find(last.id)
        if (item == null) {
            judged.remove(last.id)
            Dialogs.showWarningNotification(TITLE, "The glomerulus of the last verdict was deleted; QuPath's undo " +
                "brings it back.")
            return
        }
        def before = shared.state(item)
        shared.putBack(item, last.state)
        count(before, item)
        shared.changed(data.getHierarchy(), [item])
        judged[last.id] = [state: last.state, given: new WeakReference(item)]
        touched()
        def found = ids.indexOf(last.id)
        if (found < 0)
            ids.add(at, last.id)
        else
            at = found
        show()
    }

    void step(int by) {
        layDown()
        if (by > 0 && at >= ids.size())
            restart()
        else
            at = Math.max(0, Math.min(ids.size(), at + by))
        show()
    }

    void pickUp(PathObject item) {
        tool = gui.getToolManager().getSelectedTool()
        data.getHierarchy().getSelectionModel().setSelectedObject(item)
        gui.getToolManager().setSelectedTool(PathTools.BRUSH)
    }

    /** Put the tool back that was in hand before an edit, so that the brush does not touch the next one. */
    void layDown() {
        if (tool == null)
            return
        gui.getToolManager().setSelectedTool(tool)
        tool = null
        data?.getHierarchy()?.getSelectionModel()?.clearSelection()
    }

    void show() {
        tellPlace()
        def roi = current()?.getROI()
        if (roi == null) {
            viewer?.repaint()
            return
        }
        keepScale()
        viewer.setCenterPixelLocation(roi.getCentroidX(), roi.getCentroidY())
        viewer.repaint()
    }

    /** Show all at one scale, so that they compare; zooming changes it, for the next ones and the next time. */
    void keepScale() {
        def calibration = data.getServer().getPixelCalibration()
        def pixel = calibration.hasPixelSizeMicrons() ? calibration.getAveragedPixelSizeMicrons() : 1.0d
        def now = viewer.getDownsampleFactor()
        if (downsampleSet != null && Math.abs(now / downsampleSet - 1) > 0.01) {
            scale = now * pixel
            rememberedScale.set(scale)
        }
        if (scale == null)
            scale = firstScale(pixel)
        downsampleSet = scale / pixel
        if (Math.abs(now / downsampleSet - 1) > 0.001)
            viewer.setDownsampleFactor(downsampleSet)
    }

    double firstScale(double pixel) {
        def sides = shared.glomeruli(data.getHierarchy()).collect {
            Math.max(it.getROI().getBoundsWidth(), it.getROI().getBoundsHeight())
        }.sort()
        def side = (sides ? sides[(int) (0.9 * (sides.size() - 1))] : 200) * pixel
        def view = viewer.getView()
        def room = Math.max(100, Math.min(view.getWidth(), view.getHeight()))
        def share = rememberedScale.get() > 0 ? side / rememberedScale.get() / room : 0
        return share > 0.05 && share < 0.9 ? rememberedScale.get() : side * 3 / room
    }

    void tellPlace() {
        def item = current()
        def left = countOpen()
        def text
        if (data == null)
            text = "Open an image of a project to review it."
        else if (at >= ids.size())
            text = left ? "End of the queue; ${left} were passed over: Next goes through them." : "All have a verdict."
        else
            text = "${at + 1} of ${ids.size()}: " + (item == null ? "deleted" : inWords(item))
        place.setText(text)
        if (!comment.isFocused())
            comment.setText(item?.getDescription() ?: "")
        comment.setDisable(item == null)
        showCounts()
    }

    String inWords(PathObject item) {
        def certain = shared.confidence(item)
        def metadata = item.getMetadata()
        def told = [Double.isNaN(certain) ? "drawn by hand" : String.format(Locale.ROOT, "confidence %.2f", certain)]
        if (shared.verdict(item))
            told << "${shared.verdict(item)} by ${metadata['glomseg.initials']}, ${metadata['glomseg.judged']}"
        if (metadata["glomseg.grade"])
            told << "grade ${metadata['glomseg.grade']}"
        return told.join("; ")
    }

    void showCounts() {
        def mark = entry?.getMetadataValue(shared.REVIEWED)
        finished.setText(mark ? "Take the mark back" : "Image fully reviewed")
        finished.setDisable(data == null)
        if (data == null) {
            counts.setText("")
            bar.setProgress(0)
            return
        }
        bar.setProgress(byId ? countDone() / (double) byId.size() : 0)
        counts.setText(shared.inWords(tally) + (mark ? "; fully reviewed by ${mark}" : "") +
            "   |   project: ${wholeImages} of ${project.size()} images fully reviewed" +
            (unsaved ? "" : "   |   saved"))
    }

    void finish() {
        if (!isCurrent() || !named())
            return
        def marked = entry.getMetadataValue(shared.REVIEWED) != null
        def todo = countOpen()
        if (!marked && todo && !Dialogs.showYesNoDialog(TITLE, "${todo} glomeruli have no final verdict. Mark the " +
            "image as fully reviewed? Training takes the whole image as truth then."))
            return
        if (!isCurrent())
            return
        shared.markReviewed(entry, null, !marked, initials.getText().trim())
        unsaved++
        save()
        look()
        tellPlace()
    }

    /** Save, and open the next image of the project that is not marked as fully reviewed. */
    void nextImage() {
        if (!isCurrent())
            return
        def images = project.getImageList()
        def own = images.findIndexOf { it.getID() == entry.getID() }
        def others = images.drop(own + 1) + images.take(Math.max(0, own))
        def next = others.find { it.getMetadataValue(shared.REVIEWED) == null }
        if (next == null) {
            Dialogs.showInfoNotification(TITLE, "Every other image of the project is fully reviewed.")
            return
        }
        save()
        gui.openImageEntry(next)
    }

    void setComment() {
        def item = current()
        if (item != null && (item.getDescription() ?: "") != comment.getText().trim()) {
            item.setDescription(comment.getText().trim() ?: null)
            judged[item.getID()] = [state: shared.state(item), given: new WeakReference(item),
                                    comment: item.getDescription()]
            shared.changed(data.getHierarchy(), [item])
            touched()
        }
        box.requestFocus()
    }

    /** Act on a key: once, however long it is held, never with a modifier, and never while something is typed. */
    void key(KeyEvent event) {
        def code = event.getCode()
        def now = System.nanoTime()
        def held = { since -> since != null && now - since < TimeUnit.SECONDS.toNanos(1) }
        if (event.getEventType() == KeyEvent.KEY_TYPED) {  // follows a key that was taken, into whatever has the focus
            if (down.values().any(held))
                event.consume()
            return
        }
        if (event.getEventType() == KeyEvent.KEY_RELEASED) {
            if (down.remove(code) != null)
                event.consume()
            return
        }
        def modified = [event.isControlDown(), event.isAltDown(), event.isMetaDown(), event.isShiftDown()].any()
        if (modified || !actions.containsKey(code) || isTyping(event))
            return
        event.consume()
        if (held(down.put(code, now)))
            return
        if (isCurrent())
            actions[code]()
        else
            rebind()
    }

    boolean isTyping(KeyEvent event) {
        def focus = event.getSource().getFocusOwner()
        return [TextInputControl, ListView, TreeView, TableView, ComboBoxBase].any { it.isInstance(focus) }
    }

    void layOut() {
        initials.setText(rememberedInitials.get())
        initials.setPrefColumnCount(5)
        initials.setOnAction { box.requestFocus() }
        comment.setPromptText("Comment (T)")
        comment.setPrefColumnCount(24)
        comment.setOnAction { setComment() }
        comment.focusedProperty().addListener({ source, old, now -> if (!now) setComment() } as ChangeListener)
        order.getItems().addAll("lowest confidence first", "reading order")
        order.getSelectionModel().select(0)
        order.setOnAction { restart() }
        colours.getItems().addAll(COLOURINGS.collect { "colour: " + it })
        colours.setOnAction {
            def how = COLOURINGS[colours.getSelectionModel().getSelectedIndex()]
            if (isCurrent() && how != (data.getProperty(shared.COLOURING) ?: "none")) {
                shared.paint(data, how)
                touched()
            }
            showLegend()
        }
        finished.setOnAction { finish() }
        bar.setPrefWidth(140)
        def verdicts = new HBox(4.0d, button("Accept", KeyCode.Y) { decide("accept") },
            button("Reject", KeyCode.X) { decide("reject") }, button("Sclerotic", KeyCode.K) { decide("sclerotic") },
            button("Edit", KeyCode.E) { decide("edit") }, button("Undo", KeyCode.U) { takeBack() },
            button("Back", KeyCode.PAGE_UP) { step(-1) }, button("Next", KeyCode.PAGE_DOWN) { step(1) },
            button("Next image", KeyCode.I) { nextImage() })
        actions[KeyCode.T] = {
            stage.requestFocus()
            comment.requestFocus()
        }
        layOutGrades()
        finished.setText("Image fully reviewed")
        def settings = new HBox(6.0d, new Label("Initials"), initials, order, colours, comment, finished)
        settings.getChildren().each { it.setMinWidth(Region.USE_PREF_SIZE) }
        def told = new HBox(10.0d, bar, place)
        [verdicts, settings, told, legend, grades].each { it.setAlignment(Pos.CENTER_LEFT) }
        [order, colours, finished].each { it.setFocusTraversable(false) }
        box.getChildren().addAll(verdicts, grades, settings, legend, told, counts)
        box.setPadding(new Insets(8))
        stage.initOwner(gui.getStage())
        stage.setScene(new Scene(box))
    }

    /** Make a button for a key; it does not keep the focus, so that a later space or Enter does nothing. */
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

    void layOutGrades() {
        def digits = (0..9).collect { [KeyCode.valueOf("DIGIT" + it), KeyCode.valueOf("NUMPAD" + it)] }
        digits.flatten().each { actions.remove(it) }
        grades.getChildren().setAll(new Label("Accept with grade"))
        def names = gradeNames.get().split(",")*.trim().findAll { it }.take(10)
        names.eachWithIndex { name, number ->
            def verdict = name.toLowerCase(Locale.ROOT).startsWith("sclero") ? "sclerotic" : "accept"
            def made = button(name, digits[number][0]) { decide(verdict, name) }
            made.setText(name == number.toString() ? name : "${name} (${number})")
            actions[digits[number][1]] = actions[digits[number][0]]
            grades.getChildren().add(made)
        }
        def change = new Button("...")
        change.setFocusTraversable(false)
        change.setTooltip(new Tooltip("Change the list of grades"))
        change.setOnAction {
            def dialog = new TextInputDialog(gradeNames.get())
            dialog.initOwner(stage)
            dialog.setTitle(TITLE)
            dialog.setHeaderText("Grades, for the keys 0, 1, 2 and so on; up to ten")
            dialog.showAndWait().ifPresent {
                gradeNames.set(it)
                layOutGrades()
            }
            box.requestFocus()
        }
        grades.getChildren().add(change)
    }

    void showLegend() {
        def how = COLOURINGS[Math.max(0, colours.getSelectionModel().getSelectedIndex())]
        def shown = how == "verdict" ? shared.COLOURS.collect { name, colour -> [name, colour] } :
            how == "confidence" ? [["0.5", 0xd90000], ["0.75", 0xd9d900], ["1", 0x00d900]] : []
        legend.getChildren().setAll(shown.collect { name, colour ->
            def patch = new Rectangle(12, 12, javafx.scene.paint.Color.web(String.format("#%06x", colour)))
            def entry = new Label(name, patch)
            entry
        })
        legend.setVisible(!shown.isEmpty())
        legend.setManaged(!shown.isEmpty())
        if (stage.isShowing())
            stage.sizeToScene()
    }

    /** Put the window where it was last, or at the lower edge of the viewer, clear of what is in the middle. */
    void settleDown() {
        def corner = rememberedPlace.get().split(",")
        if (corner.size() == 2 && corner.every { it.isNumber() }) {
            def (x, y) = corner*.toDouble()
            if (Screen.getScreensForRectangle(x, y, 50, 30)) {
                stage.setX(x)
                stage.setY(y)
                return
            }
        }
        def view = gui.getViewer().getView()
        def area = view.localToScreen(view.getLayoutBounds())
        if (area != null) {
            stage.setX(area.getMinX() + (area.getWidth() - stage.getWidth()) / 2)
            stage.setY(area.getMaxY() - stage.getHeight() - 8)
        }
    }

}

/** Brackets around the glomerulus at hand. It is not selected, so that dragging pans, and its colour can be seen. */
class Brackets extends AbstractOverlay {

    private static final double GAP = 0.15
    private final review

    Brackets(OverlayOptions options, def review) {
        super(options)
        this.review = review
    }

    /* groovylint-disable-next-line UnusedMethodParameter */
    void paintOverlay(Graphics2D graphics, ImageRegion region, double downsample, ImageData<BufferedImage> shown,
                      boolean completely) {
        def roi = shown.is(review.data) ? review.current()?.getROI() : null
        if (roi == null)
            return
        def gap = GAP * Math.max(roi.getBoundsWidth(), roi.getBoundsHeight())
        def left = roi.getBoundsX() - gap, right = roi.getBoundsX() + roi.getBoundsWidth() + gap
        def top = roi.getBoundsY() - gap, bottom = roi.getBoundsY() + roi.getBoundsHeight() + gap
        def arm = 1.2 * gap
        def path = new java.awt.geom.Path2D.Double()
        [[left, top, 1, 1], [right, top, -1, 1], [left, bottom, 1, -1], [right, bottom, -1, -1]].each { x, y, dx, dy ->
            path.moveTo(x + dx * arm, y)
            path.lineTo(x, y)
            path.lineTo(x, y + dy * arm)
        }
        [[5, Color.BLACK], [2.5, Color.WHITE]].each { width, colour ->
            graphics.setStroke(new BasicStroke((float) (width * downsample)))
            graphics.setColor(colour)
            graphics.draw(path)
        }
    }

}
