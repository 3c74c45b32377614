/*
 * Purpose: call glomseg's commands from QuPath's windows, with progress, cancel, and what they say told. The other
 *          scripts load this file from their own folder; by itself it does nothing.
 * Input:   glomseg's Python: named in python.txt beside this file by `glomseg qupath install-scripts`, else asked for
 *          once and remembered.
 * Output:  none of its own.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import groovy.transform.Field
import java.awt.image.BufferedImage
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import javafx.application.Platform
import javafx.geometry.Insets
import javafx.scene.Scene
import javafx.scene.control.Button
import javafx.scene.control.Label
import javafx.scene.control.ProgressBar
import javafx.scene.layout.VBox
import javafx.stage.Modality
import javafx.stage.Stage
import qupath.fx.dialogs.Dialogs
import qupath.fx.dialogs.FileChoosers
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.gui.prefs.PathPrefs
import qupath.lib.io.GsonTools
import qupath.lib.projects.ProjectIO

@Field static final String REMEDY = "Install glomseg (pip install glomseg, or from its checkout) and run " +
    "\"glomseg qupath install-scripts\" there, or choose the python of that installation: .venv/bin/python, or " +
    ".venv\\Scripts\\python.exe on Windows."
@Field static final String PROGRESS = "@ "
@Field static final String REMARK = "glomseg: "
@Field static final String TITLE = "GlomSeg"
@Field static final String CHECKED = "glomseg.python.checked"  // property of QuPath's window: good since its start
@Field static final int SOME = 3
@Field static final int WIDTH = 70  // characters of a line in a notification

/** Return a Python that has glomseg: the one that installed these scripts, one chosen before, or one chosen now. */
String findPython() {
    def checked = getQuPath().getStage().getProperties()
    if (checked[CHECKED] && new File(checked[CHECKED].toString()).isFile())
        return checked[CHECKED]
    def own = new File(getClass().getProtectionDomain().getCodeSource().getLocation().toURI())
    def user = UserDirectoryManager.getInstance().getUserPath()
    def folders = [own.getParentFile(), user?.resolve("scripts/GlomSeg")?.toFile()]
    def named = folders.findAll().collect { new File(it, "python.txt") }.findAll { it.isFile() }
    def chosen = PathPrefs.createPersistentPreference("glomseg.python", "")
    def known = (named.collect { it.getText("UTF-8").trim() } + chosen.get()).findAll().unique()
    def good = known.find { hasGlomseg(it) } ?: askForPython(known)
    if (good != null && !(good in known))
        chosen.set(good)
    checked[CHECKED] = good
    return good
}

private String askForPython(List<String> bad) {
    def why = bad ? "${bad.join(' and ')} cannot run glomseg.\n\n" : ""
    if (!Dialogs.showConfirmDialog(TITLE, "${why}Choose the Python that glomseg is installed in.\n\n${REMEDY}"))
        return null
    def file = FileChoosers.promptForFile("Python with glomseg")
    if (file != null && !hasGlomseg(file.getAbsolutePath()))
        throw new IllegalStateException("${file} has no glomseg. ${REMEDY}")
    return file?.getAbsolutePath()
}

boolean hasGlomseg(String python) {
    try {
        def process = new ProcessBuilder(python, "-c", "import glomseg_cli").redirectErrorStream(true).start()
        process.getOutputStream().close()
        process.getInputStream().getText("UTF-8")
        return process.waitFor() == 0
    } catch (IOException ignored) {
        return false
    }
}

/** Run a command with --json and return what it answers; null where it was cancelled. More as `glomseg`. */
Map ask(String python, List<String> arguments, String title, boolean alone = false) {
    def output = glomseg(python, arguments + ["--json"], title, alone)
    return output == null ? null : GsonTools.getInstance().fromJson(output, Map)
}

/**
 * Run a glomseg command and return what it printed, or null where it was cancelled. With a title, a window shows the
 * progress and Cancel; `alone` keeps QuPath's window from being used meanwhile. Throws with glomseg's own message
 * where it fails. The command ends with QuPath.
 */
String glomseg(String python, List<String> arguments, String title = null, boolean alone = false) {
    def builder = new ProcessBuilder([python, "-m", "glomseg_cli.main"] + arguments)
    builder.environment().putAll([PYTHONIOENCODING: "utf-8", GLOMSEG_PROGRESS: "lines"])
    def process = builder.start()
    def atExit = new Thread({ end(process) })
    Runtime.getRuntime().addShutdownHook(atExit)
    process.getOutputStream().close()
    def cancelled = [false]
    def show = title == null ? { String line -> } : showProgress(title, alone) {
        cancelled[0] = true
        end(process)
    }
    def said = []
    try {
        def reader = Thread.start {
            process.getErrorStream().eachLine("UTF-8") { line ->
                if (line.startsWith(REMARK))
                    said << line.substring(REMARK.length())
                if (!line.startsWith(PROGRESS) && line.trim())
                    println line
                show(line)
            }
        }
        def output = process.getInputStream().getText("UTF-8")
        def code = process.waitFor()
        reader.join()
        if (cancelled[0])
            return null
        if (code != 0 && !output.trim())  // else some images failed, and the output says which
            throw new IllegalStateException(inQuPath(said.join("; ")) ?: "glomseg ended with exit code ${code}")
        return output
    } finally {
        show(null)
        if (!process.isAlive())
            Runtime.getRuntime().removeShutdownHook(atExit)
    }
}

/** End a process and those that it started; one that does not listen is killed. */
void end(Process process) {
    def all = process.descendants().toList() + [process.toHandle()]
    all.each { it.destroy() }
    Thread.startDaemon {
        if (!process.waitFor(10, TimeUnit.SECONDS))
            all.each { it.destroyForcibly() }
    }
}

/** Give a message of the command line the way out that there is in a window. */
String inQuPath(String message) {
    return message.contains("--mpp") ? message + "\n\nIn QuPath: open the image, and double-click Pixel width in " +
        "the tab Image" : message
}

/** Show a small window with Cancel; returns what takes a line of glomseg's progress, and null to close it. */
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
        parts.stage = new Stage()
        parts.stage.initOwner(getQuPath().getStage())
        parts.stage.initModality(alone ? Modality.WINDOW_MODAL : Modality.NONE)
        parts.stage.setTitle(TITLE)
        parts.stage.setScene(new Scene(box))
        parts.stage.setOnCloseRequest { event ->
            event.consume()
            ending()
        }
        parts.stage.show()
        ready.countDown()
    }
    ready.await()
    def told = [slides: 1, ended: 0, slide: "", begun: System.nanoTime()]
    return { String line -> Platform.runLater { line == null ? parts.stage.close() : follow(parts, told, line) } }
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
        told.begun = System.nanoTime()
    }
    told.slide = news.slide ?: told.slide
    if (news.ended != null)
        told.ended++
    if (news.waiting != null) {
        def count = (news.waiting =~ /(\d+) of (\d+)/)
        def known = count.find() && count.group(2) != "0"
        double share = known ? count.group(1).toInteger() / (double) count.group(2).toInteger() : -1
        parts.bar.setProgress(share)
        parts.label.setText(news.waiting.take(100))
        parts.left.setText(news.waiting.contains("epoch") && share > 0.02 ? left(told, share) : "")
    } else if (news.tiles != null || news.ended != null) {
        double within = news.tiles == null ? 0 : news.tiles / Math.max(1.0d, news.of as double)
        double share = Math.min(1.0d, (told.ended + within) / (double) told.slides)
        def number = Math.min(told.ended + 1, told.slides)
        parts.label.setText(news.tiles == null ? "${told.ended} of ${told.slides} slides done" : "slide ${number} of " +
            "${told.slides}: ${told.slide}, tile ${news.tiles as int} of ${news.of as int}")
        parts.bar.setProgress(share)
        if (share > 0.02)
            parts.left.setText(left(told, share))
    }
}

String left(Map told, double share) {
    double seconds = (System.nanoTime() - told.begun) / 1e9d * (1 - share) / share
    if (seconds < 60)
        return "less than a minute left"
    def minutes = Math.round(seconds / 60)
    return minutes < 90 ? "about ${minutes} min left" : "about ${Math.round(minutes / 60)} h left"
}

/**
 * Return the file of the open project, with all that is shown saved: the commands read what is on disk. Throws where
 * others saved an image that was changed here.
 */
String savedProject() {
    def project = getQuPath().getProject()
    if (project == null)
        throw new IllegalStateException("Open a project first.")
    for (data in getQuPath().getAllViewers()*.getImageData().findAll { it != null && it.isChanged() }) {
        def entry = project.getEntry(data)
        if (entry != null)
            shared.saveData(entry, data)
    }
    shared.sync(project)
    return project.getPath().toString()
}

/** Return a project as it stands now: QuPath's where it has it open, else as it is on disk. */
def projectOfNow(String file) {
    def open = getQuPath().getProject()
    return open?.getPath()?.toString() == file ? open : ProjectIO.loadProject(new File(file), BufferedImage)
}

/** Name a few of many: "a, b, c and 4 more". */
String few(Collection names) {
    def first = names.take(SOME).join(", ")
    return names.size() > SOME ? "${first} and ${names.size() - SOME} more" : first
}

/** Tell a result by a notification, with what else is to be known, and in the log. */
void tell(String text, Collection<String> remarks = []) {
    println TITLE + ": " + text
    def more = remarks ? "\n" + remarks.take(SOME).join("\n") : ""
    if (remarks.size() > SOME)
        more += "\n${remarks.size() - SOME} more remarks are in the log (View > Show log)"
    Platform.runLater { Dialogs.showInfoNotification(TITLE, wrapped(text + more)) }
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
