/*
 * Purpose: what the menu does with the whole project: measure, report, compare the last run with the review, train on
 *          the corrections, undo. install_menu.groovy loads this file from its own folder; by itself it does nothing.
 * Input:   the open project, saved first; glomseg's Python, as glomseg_python.groovy finds it.
 * Output:  what the commands write: tables and report below the project's folder "glomseg", a model, evaluations. The
 *          result is told by a notification.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import groovy.transform.Field
import java.awt.image.BufferedImage
import java.time.LocalDate
import java.util.concurrent.Callable
import qupath.fx.dialogs.Dialogs
import qupath.fx.utils.FXUtils
import qupath.lib.gui.tools.GuiTools
import qupath.lib.projects.ProjectIO

@Field static final String TITLE = "GlomSeg"
@Field static final String REVIEWED = "glomseg.reviewed"
@Field def calls = null

/** Return the script that calls glomseg's commands, which lies beside this one. */
def getPython() {
    if (calls == null) {
        def own = new File(getClass().getProtectionDomain().getCodeSource().getLocation().toURI())
        def shared = new File(own.getParentFile(), "glomseg_shared.groovy")
        calls = new GroovyShell(getClass().getClassLoader()).parse(shared).load("glomseg_python")
    }
    return calls
}

File folderOfRuns(String project) {
    return new File(new File(project).getParentFile(), "glomseg")
}

/** Return the id of the newest run; throws where the project has none. */
String newestRun(String project) {
    def runs = folderOfRuns(project).listFiles().findAll { new File(it, "run.json").isFile() }*.getName().sort()
    if (!runs)
        throw new IllegalStateException("The project has no run yet; begin with Annotate.")
    return runs[-1]
}

void measure() {
    def program = python.findPython()
    if (program == null)
        return
    def answer = python.ask(program, ["measure", python.savedProject()], "Measuring the project")
    if (answer == null) {
        python.tell("Cancelled; the tables are as they were")
        return
    }
    def images = answer.slides.findAll { it.measured }
    def glomeruli = (images.collect { it.profiles ?: 0 }.sum() ?: 0) as int
    python.tell("${glomeruli} glomeruli on ${images.size()} of ${answer.slides.size()} images measured; the tables " +
        "are in glomseg/measurements beside the project", answer.remarks)
    show { GuiTools.browseDirectory(new File(answer.folder)) }
}

void report() {
    def program = python.findPython()
    if (program == null)
        return
    def answer = python.ask(program, ["report", python.savedProject()], "Writing the report")
    if (answer == null) {
        python.tell("Cancelled; the report is as it was")
        return
    }
    def file = new File(answer.report)
    python.tell("The report is glomseg/measurements/report.html beside the project")
    show { GuiTools.browseURI(file.toURI()) }
}

void train() {
    def program = python.findPython()
    if (program == null)
        return
    def file = python.savedProject()
    newestRun(file)
    def name = Dialogs.showInputDialog(TITLE, "Learn from what was reviewed in this project. Name of the new model:",
        "retrained-" + LocalDate.now())?.trim()
    if (!name)
        return
    if (!(name ==~ /[\w.-]+/) || name.startsWith("."))
        throw new IllegalArgumentException("${name} is no name for a model; use letters, numbers, - and _")
    def folder = new File(System.getProperty("user.home"), ".glomseg/models/" + name)
    def answer = python.ask(program, ["train", "--from-project", file, "-o", folder.getPath()],
        "Learning from the corrections (a long job)")
    if (answer == null) {
        python.tell("Cancelled; training under the name ${name} again goes on where it stopped")
        return
    }
    def scores = answer.scores.test ?: answer.scores.validation
    def how = scores?.object_f1 == null ? "" :
        String.format(Locale.ROOT, ", object F1 %.2f", scores.object_f1 as double)
    python.tell("The model ${name} was trained for ${answer.epochs as int} epochs${how}; Annotate offers it",
        answer.remarks)
}

/** Compare what the newest run proposed with what stands after the review, on the images marked fully reviewed. */
void evaluate() {
    def program = python.findPython()
    if (program == null)
        return
    def file = python.savedProject()
    def run = newestRun(file)
    def entries = python.projectOfNow(file).getImageList()
    def reviewed = entries.findAll { it.getMetadataValue(REVIEWED) != null }
    if (!reviewed && !Dialogs.showConfirmDialog(TITLE, "No image is marked as fully reviewed. What nobody looked at " +
        "agrees with the run by itself. Compare all images nevertheless?"))
        return
    def folder = new File(folderOfRuns(file), run + "/evaluation")
    def arguments = ["evaluate", new File(folderOfRuns(file), run).getPath(), file, "-o", folder.getPath(),
                     "--missing", "skip"]
    File sheet = null
    try {
        if (reviewed) {
            sheet = File.createTempFile("glomseg-", ".csv")
            sheet.setText("image,split\n" + entries.collect { entry ->
                quoted(entry.getImageName()) + "," + (entry in reviewed ? "test" : "train")
            }.join("\n") + "\n", "UTF-8")
            arguments += ["--samples", sheet.getPath(), "--part", "test"]
        }
        def answer = python.ask(program, arguments, "Comparing run ${run} with the review")
        if (answer == null) {
            python.tell("Cancelled; nothing was compared")
            return
        }
        tellScores(answer.overall, run, reviewed ? "fully reviewed " : "", folder)
    } finally {
        sheet?.delete()
    }
}

private void tellScores(Map scores, String run, String kind, File folder) {
    def number = { String name ->
        def value = scores.pooled[name]?.value
        value == null ? "unknown" : String.format(Locale.ROOT, "%.2f", value as double)
    }
    python.tell("Run ${run} on ${scores.images as int} ${kind}image(s): of " +
        "${scores.predicted_objects as int} outlines ${scores.matched as int} stand, " +
        "${scores.true_objects as int} glomeruli there are; precision " +
        "${number('precision')}, recall ${number('recall')}. More in glomseg/${run}/evaluation beside the project")
    show { GuiTools.browseDirectory(folder) }
}

/** Open a folder or a page; where no program does so, the notification has said where it is. */
private void show(Closure open) {
    try {
        open()
    } catch (UnsupportedOperationException error) {
        println "${TITLE}: nothing here opens it (${error.getMessage()})"
    }
}

String quoted(String text) {
    return '"' + text.replace('"', '""') + '"'
}

/** Take back what the last run changed. The images are saved and closed meanwhile, and opened again. */
void undo() {
    def program = python.findPython()
    if (program == null)
        return
    def file = python.savedProject()
    newestRun(file)
    if (!Dialogs.showConfirmDialog(TITLE, "Take back what the last run brought into the project? What " +
        "a person drew, changed or judged stays. The open images are saved and closed meanwhile."))
        return
    file = python.savedProject()
    def gui = getQuPath()
    def open = gui.getAllViewers().collect { viewer ->
        def data = viewer.getImageData()
        [viewer, data == null ? null : gui.getProject().getEntry(data)?.getID()]
    }
    FXUtils.callOnApplicationThread({ gui.getAllViewers()*.resetImageData() } as Callable)
    def answer = null
    try {
        answer = python.ask(program, ["undo", file], "Taking the last run back", true)
    } finally {
        FXUtils.callOnApplicationThread({ reopen(file, open) } as Callable)
    }
    if (answer == null) {
        python.tell("Cancelled; each image is as it was, or taken back. Undo again takes back the rest")
        return
    }
    def undone = answer.images.values()*.undone.findAll { it != null }
    def sum = { String what -> (undone.collect { it[what] ?: 0 }.sum() ?: 0) as int }
    def failed = answer.images.values().findAll { it.undone == null }
    python.tell("Run ${answer.run} was taken back on ${undone.size()} images: ${sum('removed')} outlines removed, " +
        "${sum('restored')} earlier ones brought back")
    if (failed)
        Dialogs.showErrorMessage(TITLE, "Not taken back:\n" + failed.collect { "${it.name}: ${it.reason}" }.join("\n"))
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
