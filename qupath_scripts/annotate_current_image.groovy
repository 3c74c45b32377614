/*
 * Purpose: outline the glomeruli of the open image, or inside the selected annotations, and show them at once.
 * Input:   glomseg's Python on this machine. In a window it is asked for once and remembered, and the work can be
 *          cancelled. Without a window, arguments as name=value; all but python= are options of `glomseg annotate`:
 *            python=/path/to/python   model=NAME   species=mouse|rat|human   region=CLASS   within=FILE.geojson ...
 * Output:  the image is saved, `glomseg annotate` leaves its run in the project's folder "glomseg", and
 *          import_results.groovy, which must lie beside this script, brings the outlines into the open image.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import groovy.transform.Field
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
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.gui.prefs.PathPrefs
import qupath.lib.io.GsonTools
import qupath.lib.io.PathIO

@Field static final String REMEDY = "Install glomseg (pip install glomseg, or from its checkout) and choose the " +
    "python of that installation: .venv/bin/python, or .venv\\Scripts\\python.exe on Windows."

def shared = new GroovyShell(getClass().getClassLoader()).parse(besideThis("glomseg_shared.groovy"))
def imageData = getCurrentImageData()
def project = getProject()
def entry = getProjectEntry()
if (imageData == null || entry == null)
    throw new IllegalStateException("Open an image of a project first; the results are kept in the project.")
def given = shared.named(binding.hasVariable("args") ? (args as List<String>) : [])
def window = getQuPath() != null && !given
def python = given.remove("python") ?: (window ? rememberedPython() : null)
if (python == null) {
    if (window)
        return
    throw new IllegalArgumentException("Name glomseg's Python with python=. " + REMEDY)
}
if (!hasGlomseg(python)) {
    if (window) {
        PathPrefs.createPersistentPreference("glomseg.python", "").set("")
        Platform.runLater { Dialogs.showErrorMessage("GlomSeg", "${python} has no glomseg. ${REMEDY}") }
        return
    }
    throw new IllegalArgumentException("${python} has no glomseg. ${REMEDY}")
}

def wasShown = shared.isShown(imageData)
entry.saveImageData(imageData)  // what is drawn now counts: areas to ignore, and glomeruli to leave alone
project.syncChanges()
def command = [python, "-m", "glomseg_cli.main", "annotate", project.getPath().toString(),
               "--image", entry.getID(), "--no-collect", "--json"]
command += given.collectMany { name, value -> value ? ["--" + name, value] : ["--" + name] }
def selected = window ? getSelectedObjects().findAll { it.isAnnotation() && it.getROI()?.isArea() } : []
File within = null
if (selected) {
    within = File.createTempFile("glomseg-", ".geojson")
    PathIO.exportObjectsAsGeoJSON(within, selected, PathIO.GeoJsonExportOptions.FEATURE_COLLECTION)
    command += ["--within", within.getAbsolutePath()]
}
try {
    def inside = selected.size() == 1 ? "inside the annotation" : "inside ${selected.size()} annotations"
    def run = annotate(command, window, selected ? inside : "the whole image")
    if (run != null && wasShown)  // the image may have been closed, changed and opened again meanwhile
        shared.withDataOfNow(project, entry) { bringIn(run) }
    else if (run != null)
        bringIn(run)
} finally {
    within?.delete()
}


/** Return the Python that was chosen before, or let the user choose one; null where the user does not. */
String rememberedPython() {
    def preference = PathPrefs.createPersistentPreference("glomseg.python", "")
    if (!preference.get() || !new File(preference.get()).isFile()) {
        if (!Dialogs.showConfirmDialog("GlomSeg", "Choose the Python that glomseg is installed in.\n\n" + REMEDY))
            return null
        def chosen = FileChoosers.promptForFile("Python with glomseg")
        if (chosen == null)
            return null
        preference.set(chosen.getAbsolutePath())
    }
    return preference.get()
}

boolean hasGlomseg(String python) {
    try {
        def process = new ProcessBuilder(python, "-c", "import glomseg_cli").redirectErrorStream(true).start()
        process.getInputStream().getText("UTF-8")
        return process.waitFor() == 0
    } catch (IOException ignored) {
        return false
    }
}

/** Run `glomseg annotate`; returns the folder of its run, or null where it was cancelled. */
String annotate(List<String> command, boolean window, String where) {
    def builder = new ProcessBuilder(command)
    builder.environment().put("PYTHONIOENCODING", "utf-8")
    def process = builder.start()
    process.getOutputStream().close()
    def cancelled = [false]
    def cancel = {
        cancelled[0] = true
        process.destroy()
    }
    def progress = window ? showProgress(where, cancel) : { String text -> if (text != null) println text }
    def said = []
    def reader = Thread.start {
        process.getErrorStream().eachLine("UTF-8") { line ->
            if (line.trim()) {
                said << line.trim()
                progress(line.trim())
            }
        }
    }
    def output = process.getInputStream().getText("UTF-8")
    def code = process.waitFor()
    reader.join()
    progress(null)
    if (cancelled[0]) {
        println "cancelled"
        return null
    }
    if (code != 0)
        throw new IllegalStateException(
            said.findAll { it.startsWith("glomseg: ") }.join("; ") ?: "glomseg ended with exit code ${code}")
    return GsonTools.getInstance().fromJson(output, Map).folder
}

/** Show a small window with Cancel; returns what takes the text to show, and null to close it. */
Closure showProgress(String where, Closure cancel) {
    def label = new Label("Starting ...")
    def made = [:]
    def ready = new CountDownLatch(1)
    Platform.runLater {
        def button = new Button("Cancel")
        button.setOnAction { cancel() }
        def bar = new ProgressBar()
        bar.setPrefWidth(360)
        def box = new VBox(10.0d, new Label("Looking for glomeruli, " + where), bar, label, button)
        box.setPadding(new Insets(12))
        made.stage = new Stage()
        made.stage.initOwner(getQuPath().getStage())
        made.stage.setTitle("GlomSeg")
        made.stage.setScene(new Scene(box))
        made.stage.setOnCloseRequest { cancel() }
        made.stage.show()
        ready.countDown()
    }
    ready.await()
    return { String text -> Platform.runLater { text == null ? made.stage.close() : label.setText(text) } }
}

void bringIn(String run) {
    def script = besideThis("import_results.groovy")
    def variables = [args: [run] as String[], notify: true, "qupath.script.file": script.getPath()]
    if (binding.hasVariable("out"))
        variables.out = out
    new GroovyShell(getClass().getClassLoader(), new Binding(variables)).evaluate(script)
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
