/*
 * Purpose: run glomseg's commands from QuPath's windows, with progress, cancel, and the result told. The other scripts
 *          load this file from their own folder; by itself it does nothing.
 * Input:   glomseg's Python: named in python.txt beside this file by `glomseg qupath install-scripts`, else asked for
 *          once and remembered.
 * Output:  what the commands write: tables and report below the project's folder "glomseg", a model, evaluations.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import groovy.transform.Field
import java.awt.image.BufferedImage
import java.time.LocalDate
import java.util.concurrent.Callable
import java.util.concurrent.CountDownLatch
import javafx.application.Platform
import javafx.geometry.Insets
import javafx.scene.Scene
import javafx.scene.control.Button
import javafx.scene.control.Label
import javafx.scene.control.ProgressBar
import javafx.scene.layout.VBox
import javafx.stage.Stage
import qupath.fx.dialogs.Dialogs
import qupath.fx.dialogs.FileChoosers
import qupath.fx.utils.FXUtils
import qupath.lib.gui.prefs.PathPrefs
import qupath.lib.gui.tools.GuiTools
import qupath.lib.io.GsonTools
import qupath.lib.projects.ProjectIO

@Field static final String REMEDY = "Install glomseg (pip install glomseg, or from its checkout) and run " +
    "\"glomseg qupath install-scripts\" there, or choose the python of that installation: .venv/bin/python, or " +
    ".venv\\Scripts\\python.exe on Windows."
@Field static final String PROGRESS = "@ "
@Field static final String REMARK = "glomseg: "
@Field static final String TITLE = "GlomSeg"

/** Return a Python that has glomseg: the one that installed these scripts, one chosen before, or one chosen now. */
String findPython() {
    def own = new File(getClass().getProtectionDomain().getCodeSource().getLocation().toURI())
    def beside = new File(own.getParentFile(), "python.txt")
    def chosen = PathPrefs.createPersistentPreference("glomseg.python", "")
    def known = [beside.isFile() ? beside.getText("UTF-8").trim() : "", chosen.get()].findAll { it }
    def good = known.find { hasGlomseg(it) }
    if (good != null)
        return good
    def why = known ? "${known.join(' and ')} cannot run glomseg.\n\n" : ""
    if (!Dialogs.showConfirmDialog(TITLE, "${why}Choose the Python that glomseg is installed in.\n\n${REMEDY}"))
        return null
    def file = FileChoosers.promptForFile("Python with glomseg")
    if (file == null)
        return null
    if (!hasGlomseg(file.getAbsolutePath()))
        throw new IllegalStateException("${file} has no glomseg. ${REMEDY}")
    chosen.set(file.getAbsolutePath())
    return file.getAbsolutePath()
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

/**
 * Run a glomseg command and return what it printed, or null where it was cancelled. With a title, a window shows the
 * progress and Cancel. Throws with glomseg's own message where it fails.
 */
String glomseg(String python, List<String> arguments, String title = null) {
    def builder = new ProcessBuilder([python, "-m", "glomseg_cli.main"] + arguments)
    builder.environment().putAll([PYTHONIOENCODING: "utf-8", GLOMSEG_PROGRESS: "lines"])
    def process = builder.start()
    process.getOutputStream().close()
    def cancelled = [false]
    def show = title == null ? { String line -> } : showProgress(title) {
        cancelled[0] = true
        process.descendants().each { it.destroy() }
        process.destroy()
    }
    def said = []
    def reader = Thread.start {
        process.getErrorStream().eachLine("UTF-8") { line ->
            if (line.startsWith(REMARK))
                said << line.substring(REMARK.length())
            if (title == null && !line.startsWith(PROGRESS))
                println line
            show(line)
        }
    }
    def output = process.getInputStream().getText("UTF-8")
    def code = process.waitFor()
    reader.join()
    show(null)
    if (cancelled[0])
        return null
    if (code != 0 && !output.trim())  // else some images failed, and the output says which
        throw new IllegalStateException(said.join("; ") ?: "glomseg ended with exit code ${code}")
    said.each { println REMARK + it }
    return output
}

/** Show a small window with Cancel; returns what takes a line of glomseg's progress, and null to close it. */
Closure showProgress(String title, Closure cancel) {
    def parts = [:]
    def ready = new CountDownLatch(1)
    Platform.runLater {
        parts.label = new Label("Starting ...")
        parts.left = new Label("")
        parts.bar = new ProgressBar()
        parts.bar.setPrefWidth(420)
        def button = new Button("Cancel")
        button.setOnAction { cancel() }
        def box = new VBox(8.0d, new Label(title), parts.bar, parts.label, parts.left, button)
        box.setPadding(new Insets(12))
        parts.stage = new Stage()
        parts.stage.initOwner(getQuPath().getStage())
        parts.stage.setTitle(TITLE)
        parts.stage.setScene(new Scene(box))
        parts.stage.setOnCloseRequest { cancel() }
        parts.stage.show()
        ready.countDown()
    }
    ready.await()
    def told = [slides: 1, ended: 0, slide: "", begun: System.nanoTime()]
    return { String line -> Platform.runLater { line == null ? parts.stage.close() : follow(parts, told, line) } }
}

/** Show a line of progress: how many slides and tiles are done, and how long the rest may take. */
void follow(Map parts, Map told, String line) {
    if (!line.startsWith(PROGRESS)) {
        if (line.trim())
            parts.label.setText(line.trim().take(100))
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
        parts.bar.setProgress(-1)
        parts.label.setText(news.waiting)
        parts.left.setText("")
    } else if (news.tiles != null || news.ended != null) {
        double within = news.tiles == null ? 0 : news.tiles / Math.max(1.0d, news.of as double)
        double share = Math.min(1.0d, (told.ended + within) / (double) told.slides)
        def which = "slide ${Math.min(told.ended + 1, told.slides)} of ${told.slides}: ${told.slide}"
        parts.label.setText(news.tiles == null ? which : "${which}, tile ${news.tiles as int} of ${news.of as int}")
        parts.bar.setProgress(share)
        if (share > 0.02)
            parts.left.setText(inWords((System.nanoTime() - told.begun) / 1e9 * (1 - share) / share))
    }
}

String inWords(double seconds) {
    if (seconds < 60)
        return "less than a minute left"
    def minutes = Math.round(seconds / 60)
    return minutes < 90 ? "about ${minutes} min left" : "about ${Math.round(minutes / 60)} h left"
}

/** Return the file of the open project, with all that is shown saved: the commands read what is on disk. */
String savedProject() {
    def project = getQuPath().getProject()
    if (project == null)
        throw new IllegalStateException("Open a project first.")
    for (data in getQuPath().getAllViewers()*.getImageData().findAll { it != null && it.isChanged() })
        project.getEntry(data)?.saveImageData(data)
    project.syncChanges()
    return project.getPath().toString()
}

File folderOfRuns() {
    return new File(getQuPath().getProject().getPath().getParent().toFile(), "glomseg")
}

/** Return the newest run that has results, or null. */
String newestRun() {
    def runs = folderOfRuns().listFiles().findAll { new File(it, "run.json").isFile() }*.getName().sort()
    return runs ? runs[-1] : null
}

void measure() {
    def python = findPython()
    if (python == null || glomseg(python, ["measure", savedProject(), "--quiet"], "Measuring the project") == null)
        return
    def folder = new File(folderOfRuns(), "measurements")
    tell("The tables are in ${folder}")
    GuiTools.browseDirectory(folder)
}

void report() {
    def python = findPython()
    if (python == null || glomseg(python, ["report", savedProject(), "--quiet"], "Writing the report") == null)
        return
    def file = new File(folderOfRuns(), "measurements/report.html")
    tell("The report is ${file}")
    GuiTools.browseURI(file.toURI())
}

void train() {
    def python = findPython()
    if (python == null)
        return
    def name = Dialogs.showInputDialog(TITLE, "Learn from what was reviewed in this project. Name of the new model:",
        "retrained-" + LocalDate.now())
    if (!name?.trim())
        return
    if (!(name.trim() ==~ /[\w.-]+/))
        throw new IllegalArgumentException("${name} is no name for a model; use letters, numbers, - and _")
    def folder = new File(System.getProperty("user.home"), ".glomseg/models/" + name.trim())
    def arguments = ["train", "--from-project", savedProject(), "-o", folder.getPath()]
    if (glomseg(python, arguments, "Learning from the corrections (a long job)") != null)
        tell("The model ${name.trim()} is in ${folder}; Annotate offers it")
}

/** Compare what the newest run proposed with what stands after the review. */
void evaluate() {
    def python = findPython()
    if (python == null)
        return
    def run = newestRun()
    if (run == null)
        throw new IllegalStateException("The project has no run to compare the review with.")
    def folder = new File(folderOfRuns(), run + "/evaluation")
    def arguments = ["evaluate", new File(folderOfRuns(), run).getPath(), savedProject(), "-o", folder.getPath()]
    if (glomseg(python, arguments + ["--missing", "skip"], "Comparing run ${run} with the review") != null) {
        tell("The evaluation is in ${folder}")
        GuiTools.browseDirectory(folder)
    }
}

/** Take back what the last run changed. The images are saved and closed meanwhile, and opened again. */
void undo() {
    def python = findPython()
    if (python == null)
        return
    def run = newestRun()
    if (run == null || !Dialogs.showConfirmDialog(TITLE, "Take back what the last run brought into the project? What " +
        "a person drew, changed or judged stays. The open images are saved and closed meanwhile."))
        return
    def file = savedProject()
    def gui = getQuPath()
    def open = gui.getAllViewers().collect { viewer ->
        def data = viewer.getImageData()
        [viewer, data == null ? null : gui.getProject().getEntry(data)?.getID()]
    }
    FXUtils.callOnApplicationThread({ gui.getAllViewers()*.resetImageData() } as Callable)
    try {
        if (glomseg(python, ["undo", file], "Taking the last run back") != null)
            tell("The last run was taken back")
    } finally {
        FXUtils.callOnApplicationThread({ reopen(file, open) } as Callable)
    }
}

void reopen(String file, List open) {
    def gui = getQuPath()
    gui.setProject(ProjectIO.loadProject(new File(file), BufferedImage))
    def entries = gui.getProject().getImageList()
    for (pair in open) {
        def entry = entries.find { it.getID() == pair[1] }
        if (entry != null)
            pair[0].setImageData(entry.readImageData())
    }
}

void tell(String text) {
    println TITLE + ": " + text
    Platform.runLater { Dialogs.showInfoNotification(TITLE, text) }
}
