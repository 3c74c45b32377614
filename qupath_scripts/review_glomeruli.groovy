/*
 * Purpose: look at the glomeruli of the open image one after another and give each a verdict.
 * Input:   annotations of class Glomerulus and below. In a window: keys A accept, R reject, S sclerotic, E edit,
 *          B back, N next; the queue holds what has no final verdict yet, so that a review goes on where it stopped.
 *          Without a window, arguments as name=value:
 *            list  or  list=reading                 print the queue: by lowest confidence, or in reading order
 *            verdict=accept|reject|sclerotic|edit|none  object=ID  initials=AB      one verdict
 *            reviewed=yes|no  initials=AB           mark the image as fully reviewed, or take the mark away; with
 *            region=ID                              only this annotation
 *            colour=confidence|verdict|none         colour the glomeruli
 * Output:  on the object: glomseg.verdict, glomseg.initials, glomseg.judged (metadata). Accepted and sclerotic ones are
 *          locked, the latter have the class "Glomerulus: Sclerotic"; a rejected one gets the class "Rejected", and
 *          glomseg keeps it from being offered again. On the image: glomseg.review (counts), glomseg.reviewed.
 *          The image is saved: in a window after every ten verdicts and at the end.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import groovy.transform.Field
import java.awt.Color
import java.time.LocalDate
import javafx.application.Platform
import javafx.geometry.Insets
import javafx.scene.Scene
import javafx.scene.control.Button
import javafx.scene.control.ChoiceBox
import javafx.scene.control.Label
import javafx.scene.control.TextField
import javafx.scene.input.KeyCode
import javafx.scene.input.KeyEvent
import javafx.scene.layout.HBox
import javafx.scene.layout.VBox
import javafx.stage.Stage
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.prefs.PathPrefs
import qupath.lib.gui.viewer.tools.PathTools
import qupath.lib.objects.PathObject
import qupath.lib.objects.classes.PathClass

@Field static final String BASE = "Glomerulus"
@Field static final String SCLEROTIC = "Glomerulus: Sclerotic"
@Field static final String REJECTED = "Rejected"
@Field static final List<String> FINAL = ["accept", "reject", "sclerotic"]
@Field static final Map<String, Integer> COLOURS = [
    accept: 0x2ca02c, reject: 0x808080, sclerotic: 0x7b2fbe, edit: 0xff8c00,
]

def imageData = getCurrentImageData()
def entry = getProjectEntry()
if (imageData == null || entry == null)
    throw new IllegalStateException("Open an image of a project first; the review is kept in the project.")
def given = [:]
for (text in (binding.hasVariable("args") ? (args as List<String>) : []))
    given[text.tokenize("=")[0]] = text.contains("=") ? text.substring(text.indexOf("=") + 1) : ""
if (given)
    withoutWindow(imageData, entry, given)
else if (getQuPath() == null)
    throw new IllegalArgumentException("Without a window, say what to do: list, verdict=, reviewed= or colour=.")
else
    Platform.runLater { openWindow(imageData, entry) }


void withoutWindow(def imageData, def entry, Map given) {
    def hierarchy = imageData.getHierarchy()
    if (given.containsKey("list")) {
        for (item in queue(hierarchy, given.list == "reading"))
            println([item.getID(), confidence(item), item.getPathClass(), verdict(item) ?: "-"].join("\t"))
        println progress(hierarchy)
        return
    }
    if (given.verdict) {
        def item = find(hierarchy, given.object)
        judge(hierarchy, item, given.verdict, given.initials)
    }
    if (given.reviewed)
        markReviewed(entry, given.region ? find(hierarchy, given.region) : null, given.reviewed == "yes",
            given.initials)
    if (given.colour)
        paint(hierarchy, given.colour)
    save(imageData, entry)
    println entry.getImageName() + ": " + progress(hierarchy)
}

PathObject find(def hierarchy, String id) {
    def item = hierarchy.getAnnotationObjects().find { it.getID().toString() == id }
    if (item == null)
        throw new IllegalArgumentException("No annotation has the id ${id}; list the queue to see them.")
    return item
}

List<PathObject> glomeruli(def hierarchy) {
    return hierarchy.getAnnotationObjects().findAll {
        def name = it.getPathClass()?.toString()
        name == BASE || name?.startsWith(BASE + ":") || (name == REJECTED && verdict(it) == "reject")
    }
}

String verdict(PathObject item) {
    return item.getMetadata()["glomseg.verdict"]
}

double confidence(PathObject item) {
    return item.getMeasurementList().get("Confidence")
}

/** Return what has no final verdict: what is to be edited last; what was drawn by hand, without confidence, before. */
List<PathObject> queue(def hierarchy, boolean reading) {
    def open = glomeruli(hierarchy).findAll { !(verdict(it) in FINAL) }
    def heights = open.collect { it.getROI().getBoundsHeight() }.sort()
    def band = heights ? 4 * heights[heights.size().intdiv(2)] : 1
    def row = { Math.floor(it.getROI().getCentroidY() / band) }
    return open.sort { a, b ->
        def first = reading ? row(a) <=> row(b) : Double.compare(confidence(a), confidence(b))
        (verdict(a) == "edit" ? 1 : 0) <=> (verdict(b) == "edit" ? 1 : 0) ?: first ?:
            a.getROI().getCentroidX() <=> b.getROI().getCentroidX() ?: a.getID() <=> b.getID()
    }
}

String progress(def hierarchy) {
    def all = glomeruli(hierarchy)
    def counts = all.countBy { verdict(it) ?: "to do" }
    def names = ["accept", "reject", "sclerotic", "edit", "to do"].findAll { counts[it] }
    return names.collect { counts[it] + " " + it }.join(", ") ?: "none"
}

/** Write a verdict on an object; what the object was before the first one returns with the verdict "none". */
void judge(def hierarchy, PathObject item, String verdict, String initials) {
    if (!(verdict in FINAL + ["edit", "none"]))
        throw new IllegalArgumentException("${verdict} is no verdict; there are accept, reject, sclerotic, edit, none.")
    if (!initials)
        throw new IllegalArgumentException("A verdict needs the reviewer's initials.")
    def metadata = item.getMetadata()
    metadata.putIfAbsent("glomseg.class_before", item.getPathClass()?.toString() ?: "")
    metadata.putIfAbsent("glomseg.locked_before", item.isLocked().toString())
    def name = [reject: REJECTED, sclerotic: SCLEROTIC][verdict] ?: metadata["glomseg.class_before"]
    item.setPathClass(name ? PathClass.fromString(name) : null)
    def returns = verdict == "none" && metadata["glomseg.locked_before"] == "true"
    item.setLocked(returns || verdict in ["accept", "sclerotic"])
    if (verdict == "none") {
        ["verdict", "initials", "judged", "class_before", "locked_before"].each { metadata.remove("glomseg." + it) }
    } else {
        metadata["glomseg.verdict"] = verdict
        metadata["glomseg.initials"] = initials
        metadata["glomseg.judged"] = LocalDate.now().toString()
    }
    if (item.getColor() != null)
        item.setColor(COLOURS[verdict])
    hierarchy.fireObjectClassificationsChangedEvent(this, [item])
    hierarchy.fireObjectsChangedEvent(this, [item])
}

void markReviewed(def entry, PathObject region, boolean reviewed, String initials) {
    if (reviewed && !initials)
        throw new IllegalArgumentException("The mark needs the reviewer's initials.")
    def text = initials + " " + LocalDate.now()
    if (region != null) {
        if (reviewed)
            region.getMetadata()["glomseg.reviewed"] = text
        else
            region.getMetadata().remove("glomseg.reviewed")
    } else if (reviewed) {
        entry.putMetadataValue("glomseg.reviewed", text)
    } else {
        entry.removeMetadataValue("glomseg.reviewed")
    }
}

/** Colour by confidence (red, yellow, green), by verdict, or as the class says. */
void paint(def hierarchy, String how) {
    if (!(how in ["confidence", "verdict", "none"]))
        throw new IllegalArgumentException("${how} is no colouring; there are confidence, verdict and none.")
    def items = glomeruli(hierarchy)
    items.each { item ->
        def certain = confidence(item)
        Integer colour = how == "verdict" ? COLOURS[verdict(item)] : null
        if (how == "confidence" && !Double.isNaN(certain))
            colour = Color.HSBtoRGB((float) (Math.max(0, Math.min(1, 2 * certain - 1)) / 3), 1f, 0.85f) & 0xffffff
        item.setColor(colour)
    }
    hierarchy.fireObjectsChangedEvent(this, items)
}

void save(def imageData, def entry) {
    entry.putMetadataValue("glomseg.review", progress(imageData.getHierarchy()))
    entry.saveImageData(imageData)
    getProject().syncChanges()
}

/** Show the window of the review; runs on JavaFX's thread. */
void openWindow(def imageData, def entry) {
    def hierarchy = imageData.getHierarchy()
    def viewer = getQuPath().getAllViewers().find { it.getImageData() === imageData }
    if (viewer == null) {
        Dialogs.showErrorMessage("Review", "Open the image in a viewer; \"Run for project\" cannot review.")
        return
    }
    def remembered = PathPrefs.createPersistentPreference("glomseg.initials", "")
    def initials = new TextField(remembered.get())
    initials.setPrefColumnCount(5)
    def order = new ChoiceBox()
    order.getItems().addAll("lowest confidence first", "reading order")
    order.getSelectionModel().select(0)
    def colours = new ChoiceBox()
    colours.getItems().addAll("colour: none", "colour: confidence", "colour: verdict")
    colours.getSelectionModel().select(0)
    def said = new Label()
    def state = [queue: [], at: 0, unsaved: 0]

    def show = {
        def item = state.at < state.queue.size() ? state.queue[state.at] : null
        def place = item == null ? "done" : String.format("%d of %d, confidence %.2f", state.at + 1, state.queue.size(),
            confidence(item))
        said.setText(place + "   |   " + progress(hierarchy))
        if (item == null || item.getROI() == null)
            return
        def roi = item.getROI()
        def side = Math.max(roi.getBoundsWidth(), roi.getBoundsHeight()) * 2.5
        def view = viewer.getView()
        viewer.setDownsampleFactor(Math.max(0.1, side / Math.max(1, Math.min(view.getWidth(), view.getHeight()))))
        viewer.setCenterPixelLocation(roi.getCentroidX(), roi.getCentroidY())
        hierarchy.getSelectionModel().setSelectedObject(item)
    }
    def restart = {
        state.queue = queue(hierarchy, order.getSelectionModel().getSelectedIndex() == 1)
        state.at = 0
        show()
    }
    def write = {
        save(imageData, entry)
        state.unsaved = 0
    }
    def decide = { String verdict ->
        if (!initials.getText().trim()) {
            Dialogs.showWarningNotification("Review", "Type your initials first.")
            initials.requestFocus()
            return
        }
        remembered.set(initials.getText().trim())
        if (state.at >= state.queue.size())
            return
        judge(hierarchy, state.queue[state.at], verdict, initials.getText().trim())
        if (verdict == "edit") {  // stay on it; accept it when it is right
            getQuPath().getToolManager().setSelectedTool(PathTools.BRUSH)
            show()
            return
        }
        state.at++
        state.unsaved++
        if (state.unsaved >= 10)
            write()
        show()
    }
    def step = { int by ->
        state.at = Math.max(0, Math.min(state.queue.size(), state.at + by))
        show()
    }
    def actions = [
        (KeyCode.A): { decide("accept") }, (KeyCode.R): { decide("reject") }, (KeyCode.S): { decide("sclerotic") },
        (KeyCode.E): { decide("edit") }, (KeyCode.B): { step(-1) }, (KeyCode.N): { step(1) },
    ]
    def names = [
        (KeyCode.A): "Accept (A)", (KeyCode.R): "Reject (R)", (KeyCode.S): "Sclerotic (S)", (KeyCode.E): "Edit (E)",
        (KeyCode.B): "Back (B)", (KeyCode.N): "Next (N)",
    ]
    def buttons = actions.collect { key, action ->
        def button = new Button(names[key])
        button.setFocusTraversable(false)
        button.setOnAction { action() }
        button
    }
    def finished = new Button("Image fully reviewed")
    finished.setFocusTraversable(false)
    finished.setOnAction {
        if (initials.getText().trim()) {
            markReviewed(entry, null, true, initials.getText().trim())
            write()
            Dialogs.showInfoNotification("Review", entry.getImageName() + " is marked as fully reviewed.")
        } else {
            Dialogs.showWarningNotification("Review", "Type your initials first.")
        }
    }
    order.setOnAction { restart() }
    colours.setOnAction { paint(hierarchy, colours.getValue().substring("colour: ".length())) }

    def stage = new Stage()
    stage.initOwner(getQuPath().getStage())
    stage.setTitle("Review: " + entry.getImageName())
    def settings = new HBox(6.0d, new Label("Initials"), initials, order, colours, finished)
    def rows = [new HBox(6.0d, *buttons), settings, said]
    def box = new VBox(8.0d, *rows)
    box.setPadding(new Insets(10))
    def scene = new Scene(box)
    scene.addEventFilter(KeyEvent.KEY_PRESSED) { event ->
        if (!initials.isFocused() && actions.containsKey(event.getCode())) {
            actions[event.getCode()]()
            event.consume()
        }
    }
    stage.setScene(scene)
    stage.setOnHidden { write() }
    stage.show()
    box.requestFocus()
    restart()
}
