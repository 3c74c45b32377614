/*
 * Purpose: show glomseg's scripts and jobs as menu items under Extensions > GlomSeg, now and whenever QuPath starts.
 * Input:   the other scripts, in the folder of this one (`glomseg qupath install-scripts` puts them there, and lets
 *          QuPath start with this one; run by hand, it does the latter itself where QuPath starts with no script yet).
 * Output:  the menu; an older one of that name is replaced. A click runs a script on the open image.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import groovy.transform.Field
import javafx.application.Platform
import javafx.scene.control.MenuItem
import javafx.scene.control.SeparatorMenuItem
import org.slf4j.LoggerFactory
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.gui.prefs.PathPrefs

@Field static final String ANNOTATE = "annotate_current_image"
@Field static final String RUNNING = "glomseg.running"  // property of QuPath's window: the job at work

def labels = [
    annotate_current_image: "Annotate ...",
    import_results: "Import results",
    review_glomeruli: "Review glomeruli",
    find_missed: "Find what was missed",
    measure_summary: "Count and mean area of this image",
    export_glomeruli: "Export glomeruli",
    export_training_tiles: "Export training tiles",
]
def jobLabels = [
    measure: "Measure the project", report: "Report", evaluate: "Compare the last run with the review",
    train: "Train on the corrections ...", changeSureness: "Change the sureness of the last run ...",
    undo: "Undo the last run",
]
def own = binding.getVariables()["qupath.script.file"]
def user = UserDirectoryManager.getInstance().getUserPath()
def folders = [own ? new File(own.toString()).getParentFile() : null,
               user?.resolve("scripts")?.resolve("GlomSeg")?.toFile()]
def folder = folders.find { it != null && labels.keySet().any { name -> new File(it, name + ".groovy").isFile() } }
if (folder == null)
    throw new IllegalStateException("glomseg's scripts are in none of ${folders}; " +
        "put them there with: glomseg qupath install-scripts")
def found = labels.findAll { new File(folder, it.key + ".groovy").isFile() }
def jobs = new File(folder, "glomseg_jobs.groovy")
println "GlomSeg: " + (found.values() + (jobs.isFile() ? jobLabels.values() : [])).join(", ")
def gui = getQuPath()
if (gui == null) {
    println "There is no window to put a menu into."
    return
}

def loader = getClass().getClassLoader()
def shared = new File(folder, "glomseg_shared.groovy")
def inBackground = { Closure what ->
    def work = {
        try {
            what()
        } catch (Throwable error) {
            def cause = error
            while (cause.getCause() != null)
                cause = cause.getCause()
            def plain = cause instanceof IllegalStateException || cause instanceof IllegalArgumentException
            LoggerFactory.getLogger("GlomSeg").error(cause.toString(), plain ? null : cause)
            def text = plain && cause.getMessage() ? cause.getMessage() : cause instanceof IOException ?
                "A file could not be read or written, so this was not done, or not to its end: ${cause}" :
                "Something went wrong that should not: ${cause}\n\nThe log (View > Show log) tells more; please " +
                "report it."
            if (shared.isFile())
                new GroovyShell(loader).parse(shared).load("glomseg_telling").showError(text)
            else
                Platform.runLater { Dialogs.showErrorMessage("GlomSeg", text) }
        }
    }
    def thread = new Thread(work, "glomseg")
    thread.setDaemon(true)
    thread.start()
}
Platform.runLater {
    if (shared.isFile())
        new GroovyShell(loader).parse(shared).watch()
    def menu = gui.getMenu("Extensions>GlomSeg", true)
    menu.getItems().clear()
    def add = { String label, Closure action ->
        def item = new MenuItem(label)
        item.setOnAction { inBackground(action) }
        menu.getItems().add(item)
    }
    found.each { name, label ->
        def file = new File(folder, name + ".groovy")
        add(label) { name == ANNOTATE ? alone(label) { runHere(file, loader) } : runHere(file, loader) }
    }
    if (jobs.isFile()) {
        menu.getItems().add(new SeparatorMenuItem())
        jobLabels.each { name, label ->
            add(label) { alone(label) { new GroovyShell(loader).parse(jobs)."${name}"() } }
        }
    }
}
def start = PathPrefs.startupScriptProperty()
if (own && !binding.hasVariable("extension") && (!start.get() || !new File(start.get()).isFile())) {
    start.set(own.toString())
    println "QuPath starts with this menu from now on (Preferences > General > Startup script)."
}

/** Do a job while no other is at work, for they read and write the same project. */
void alone(String label, Closure job) {
    def running = getQuPath().getStage().getProperties()
    synchronized (running) {
        if (running[RUNNING])
            throw new IllegalStateException(
                "\"${running[RUNNING]}\" is at work. Wait until it is through, or cancel it.")
        running[RUNNING] = label
    }
    try {
        job()
    } finally {
        running.remove(RUNNING)
    }
}

/** Run a script on the open image. QuPath's own runScript marks the image as changed, whatever the script did. */
void runHere(File file, ClassLoader loader) {
    def variables = [out: new PrintWriter(new LogWriter(), true), "qupath.script.file": file.getPath()]
    def shared = new File(file.getParentFile(), "glomseg_shared.groovy")
    if (shared.isFile())
        variables.showResult = { String text, File where ->
            new GroovyShell(loader).parse(shared).load("glomseg_telling").showResult(text, where)
        }
    new GroovyShell(loader, new Binding(variables)).evaluate(file)
}

/** Puts what a script prints into QuPath's log. */
class LogWriter extends StringWriter {
    @Override
    void flush() {
        def text = toString().trim()
        getBuffer().setLength(0)
        if (text)
            LoggerFactory.getLogger("GlomSeg").info(text)
    }
}
