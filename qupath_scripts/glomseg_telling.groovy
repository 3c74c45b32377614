/*
 * Purpose: tell people in QuPath's windows how far a command of glomseg's is, and what came of it. The other scripts
 *          load this file from their own folder; by itself it does nothing.
 * Input:   none.
 * Output:  none of its own.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import groovy.transform.Field
import java.util.concurrent.CountDownLatch
import javafx.application.Platform
import javafx.geometry.Insets
import javafx.scene.Scene
import javafx.scene.control.Alert
import javafx.scene.control.Button
import javafx.scene.control.ButtonType
import javafx.scene.control.Label
import javafx.scene.control.ProgressBar
import javafx.scene.control.TextField
import javafx.scene.control.TextInputControl
import javafx.scene.input.Clipboard
import javafx.scene.input.ClipboardContent
import javafx.scene.input.KeyCode
import javafx.scene.input.KeyEvent
import javafx.scene.layout.HBox
import javafx.scene.layout.Region
import javafx.scene.layout.VBox
import javafx.stage.Modality
import javafx.stage.Stage
import javafx.stage.Window
import org.slf4j.LoggerFactory
import qupath.lib.gui.tools.GuiTools
import qupath.lib.io.GsonTools

@Field static final String PROGRESS = "@ "
@Field static final String REMARK = "glomseg: "
@Field static final String TITLE = "GlomSeg"
@Field static final String RESULT = "glomseg.result"  // property of QuPath's window: the result that shows
@Field static final String TYPING = "glomseg.typing"  // property of QuPath's window: until when a key is no verdict
@Field static final long MOMENT = 500_000_000L  // nanoseconds
@Field static final int SOME = 3
@Field static final int WIDTH = 70  // characters of a line in a notification
@Field static final String SAMPLES = "; the images' metadata in QuPath say it, under the key Animal"
@Field static final double BREAK = 560.0d  // pixels of a line in the window of a result
@Field static final double EDGE = 24.0d  // pixels from its window's corner to that of QuPath's

/** Show a small window with Cancel; returns what takes a line of progress, and null to close it. A result is closed. */
Closure showProgress(String title, boolean alone, Closure cancel) {
    def parts = [:]
    def ready = new CountDownLatch(1)
    Platform.runLater {
        parts.label = new Label("Starting ...")
        parts.left = new Label("")
        parts.bar = new ProgressBar()
        parts.bar.setPrefWidth(420)
        def button = new Button("Cancel")
        def ending = {
            button.setDisable(true)
            parts.label.setText("Cancelling ...")
            parts.ending = true
            cancel()
        }
        button.setOnAction(ending)
        def box = new VBox(8.0d, new Label(title), parts.bar, parts.label, parts.left, button)
        box.setPadding(new Insets(12))
        def last = getQuPath().getStage().getProperties()[RESULT]  // of the job before
        parts.stage = new Stage()
        parts.stage.initOwner(getQuPath().getStage())
        parts.stage.initModality(alone ? Modality.WINDOW_MODAL : Modality.NONE)
        parts.stage.setTitle(TITLE)
        parts.stage.setScene(new Scene(box))
        parts.stage.setOnCloseRequest { event ->
            event.consume()
            ending()
        }
        beside {
            last?.close()
            parts.stage.show()
        }
        putInCorner(parts.stage)
        ready.countDown()
    }
    ready.await()
    def told = [slides: 1, ended: 0, slide: "", begun: System.nanoTime(), from: 0.0d, share: 0.0d]
    return { String line ->
        Platform.runLater { line == null ? beside { parts.stage.close() } : follow(parts, told, line) }
    }
}

/** Show a line of progress: how many slides and tiles are done, and how long the rest may take. */
void follow(Map parts, Map told, String line) {
    if (parts.ending)
        return
    if (!line.startsWith(PROGRESS)) {
        if (line.startsWith(REMARK))  // what Java or a library says is for the log
            parts.label.setText(line.substring(REMARK.length()).take(100))
        return
    }
    def news = GsonTools.getInstance().fromJson(line.substring(PROGRESS.length()), Map)
    if (news.slides != null) {
        told.slides = Math.max(1, news.slides as int)
        begin(told, 0)
    }
    told.slide = news.slide ?: told.slide
    if (news.ended != null)
        told.ended++
    if (news.waiting != null) {
        def count = (news.waiting =~ /(\d+) of (\d+)/)
        def known = count.find() && count.group(2) != "0"
        double share = known ? count.group(1).toInteger() / (double) count.group(2).toInteger() : -1
        show(parts, told, news.waiting.take(100), share)
    } else if (news.tiles != null || news.ended != null) {
        double within = news.tiles == null ? 0 : news.tiles / Math.max(1.0d, news.of as double)
        double share = Math.min(1.0d, (told.ended + within) / (double) told.slides)
        show(parts, told, news.tiles == null ? "${told.ended} of ${told.slides} slides done".toString() :
            whatIsDone(told, news.tiles as int, news.of as int), share)
        if (news.tiles != null && news.tiles >= news.of)
            parts.left.setText("")  // the outlines take as long as there are many of them
    }
}

/** Say at which slide and tile a run is; after the last tile the outlines are made. */
private String whatIsDone(Map told, int tiles, int of) {
    def slide = told.slides > 1 ? "slide ${Math.min(told.ended + 1, told.slides)} of ${told.slides}: " : ""
    return "${slide}${told.slide}, " + (tiles < of ? "tile ${tiles} of ${of}" : "making the outlines")
}

/** Show a text, the bar, and the time that is left; a share below 0 is unknown. */
private void show(Map parts, Map told, String text, double share) {
    parts.label.setText(text)
    parts.bar.setProgress(share)
    if (share < told.share)  // what comes now is counted anew
        begin(told, Math.max(0.0d, share))
    told.share = share
    parts.left.setText(share - told.from > 0.02 ? left(told, share) : "")
}

private void begin(Map told, double share) {
    told.begun = System.nanoTime()
    told.from = share
    told.share = share
}

String left(Map told, double share) {
    double seconds = (System.nanoTime() - told.begun) / 1e9d * (1 - share) / (share - told.from)
    if (seconds < 60)
        return "less than a minute left"
    def minutes = Math.round(seconds / 60)
    return minutes < 90 ? "about ${minutes} min left" : "about ${Math.round(minutes / 60)} h left"
}

/** Name a few of many: "a, b, c and 4 more". */
String few(Collection names) {
    def first = names.take(SOME).join(", ")
    return names.size() > SOME ? "${first} and ${names.size() - SOME} more" : first
}

/** Write to QuPath's log; what a script of ours prints would reach a terminal alone. */
void log(String text) {
    LoggerFactory.getLogger(TITLE).info(text)
}

/** Tell a result by a notification, with what else is to be known, and in the log. */
void tell(String text, Collection<String> remarks = []) {
    log(text)
    shared.announce(TITLE, wrapped(withSome(text, remarks)))
}

private String withSome(String text, Collection<String> remarks) {
    def lines = [text] + remarks.take(SOME)
    if (remarks.size() > SOME)
        lines << "${remarks.size() - SOME} more remarks are in the log (View > Show log)"
    return lines.join("\n")
}

/**
 * Tell a result that is kept in a file or folder, in a window that stays until it is closed: the path can be opened
 * and, where no program here does so, copied. It takes the place of the one before.
 */
void showResult(String text, File file, Collection<String> remarks = []) {
    log("${text}\n${file}")
    Platform.runLater {
        def owner = getQuPath().getStage()
        def last = owner.getProperties()[RESULT]
        def stage = new Stage()
        owner.getProperties()[RESULT] = stage
        def label = new Label(withSome(text, remarks*.replace(" (give `samples`)", SAMPLES)))
        label.setWrapText(true)
        label.setMinHeight(Region.USE_PREF_SIZE)
        def path = new TextField(file.getPath())
        path.setEditable(false)
        def open = button("Open") { open(file) }
        def copy = button("Copy the path") { copy(file.getPath()) }
        def close = button("Close") { stage.close() }
        def box = new VBox(8.0d, label, new Label(file.isDirectory() ? "In the folder" : "In the file"), path,
            new HBox(8.0d, open, copy, close))
        box.setPadding(new Insets(12))
        box.setPrefWidth(BREAK)
        stage.initOwner(owner)
        stage.setTitle(TITLE + ": result")
        stage.setScene(new Scene(box))
        stage.getScene().addEventHandler(KeyEvent.KEY_PRESSED) { event ->
            if (event.getCode() == KeyCode.ESCAPE)
                stage.close()
        }
        beside {
            last?.close()
            stage.show()
        }
        path.end()  // which says more than the beginning of a long one
        close.requestFocus()
        putInCorner(stage)
    }
}

/** Tell what went wrong in a window that stays until it is closed; a review may go on beside it. */
void showError(String text) {
    Platform.runLater {
        def owner = getQuPath().getStage()
        def alert = new Alert(Alert.AlertType.ERROR, text, ButtonType.OK)
        alert.setTitle(TITLE)
        alert.setHeaderText(null)
        alert.getDialogPane().setMinHeight(Region.USE_PREF_SIZE)
        alert.initOwner(owner)
        alert.initModality(Modality.NONE)
        beside { alert.show() }
        if (owner.getProperties()[shared.OPEN]?.isShowing())
            putInCorner(alert.getDialogPane().getScene().getWindow())
    }
}

/**
 * Open or close windows of ours, and leave the keyboard to the window that has it while a review or a walk is open:
 * JavaFX gives it to what opens, and to QuPath's own as one closes, where the rest of a comment would give verdicts.
 */
private void beside(Closure act) {
    def properties = getQuPath().getStage().getProperties()
    def typed = properties[shared.OPEN]?.isShowing() ?
        Window.getWindows().find { it instanceof Stage && it.isFocused() } : null
    if (typed?.getScene()?.getFocusOwner() instanceof TextInputControl)
        properties[TYPING] = System.nanoTime() + MOMENT  // QuPath's own may get a letter before it comes back
    act()
    typed?.requestFocus()
}

/** Put a window into the lower left corner of QuPath's, over no image, and above a review that reaches there. */
private void putInCorner(Stage stage) {
    def owner = getQuPath().getStage()
    def open = owner.getProperties()[shared.OPEN]
    def put = {
        double left = Math.max(0.0d, owner.getX() + EDGE), low = owner.getY() + owner.getHeight()
        if (open?.isShowing() && open.getX() < left + stage.getWidth() && left < open.getX() + open.getWidth() &&
                open.getY() > owner.getY() + stage.getHeight() + EDGE)
            low = Math.min(low, open.getY())
        stage.setX(left)
        stage.setY(Math.max(0.0d, low - stage.getHeight() - EDGE))
    }
    put()
    Platform.runLater(put)  // where its size is known only now
}

private Button button(String text, Closure action) {
    def button = new Button(text)
    button.setOnAction { action() }
    return button
}

private void copy(String text) {
    def content = new ClipboardContent()
    content.putString(text)
    Clipboard.getSystemClipboard().setContent(content)
}

/** Open a page in the browser, or a folder; where no program does so, the path is in the window of the result. */
void open(File file) {
    try {
        file.isDirectory() ? GuiTools.browseDirectory(file) : GuiTools.browseURI(file.toURI())
    } catch (UnsupportedOperationException | IllegalArgumentException error) {
        log("nothing here opens ${file} (${error.getMessage()})")
    }
}

/** Break lines for a notification, which is as wide as its longest. */
String wrapped(String text) {
    return text.readLines().collect { line ->
        def lines = [""]
        line.split(" ").each { word ->
            if (lines[-1] && lines[-1].size() + word.size() > WIDTH)
                lines << ""
            lines[-1] = (lines[-1] + " " + word).trim()
        }
        lines.join("\n")
    }.join("\n")
}
