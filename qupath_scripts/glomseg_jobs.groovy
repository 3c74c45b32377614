/*
 * Purpose: what the menu does with the whole project: measure, report, compare the last run with the review, train on
 *          the corrections, change the sureness, undo. install_menu.groovy loads this file from its own folder; by
 *          itself it does nothing.
 * Input:   the open project, saved first; glomseg's Python, as glomseg_python.groovy finds it.
 * Output:  what the commands write: tables and report below the project's folder "glomseg", a model, evaluations. The
 *          result is told by a notification.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import groovy.transform.Field
import java.awt.image.BufferedImage
import java.time.LocalDate
import java.time.OffsetDateTime
import java.time.ZoneId
import java.time.format.DateTimeFormatter
import java.time.format.DateTimeParseException
import java.util.concurrent.Callable
import qupath.fx.dialogs.Dialogs
import qupath.fx.utils.FXUtils
import qupath.lib.projects.ProjectIO

@Field static final String TITLE = "GlomSeg"
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

def getTelling() {
    return python.telling
}

def getResults() {
    return python.shared.load("glomseg_results")
}

File folderOfRuns(String project) {
    return new File(new File(project).getParentFile(), "glomseg")
}

/** Return the id of the newest run that was not taken back; throws where there is none, or its record is unreadable. */
String newestRun(String project) {
    def home = folderOfRuns(project).toPath()
    def runs = results.standingRunsIn(home)
    if (!runs)
        throw new IllegalStateException("The project has no run yet; begin with Annotate.")
    results.runs.record(home.resolve(runs[-1]))
    return runs[-1]
}

void measure() {
    def program = python.findPython()
    if (program == null)
        return
    def answer = python.ask(program, ["measure", python.savedProject()], "Measuring the project")
    if (answer == null) {
        telling.tell("Cancelled; the tables are as they were")
        return
    }
    def images = answer.slides.findAll { it.measured }
    def glomeruli = (images.collect { it.profiles ?: 0 }.sum() ?: 0) as int
    telling.showResult("${glomeruli} glomeruli on ${images.size()} of ${answer.slides.size()} images measured",
        new File(answer.folder), answer.remarks)
}

void report() {
    def program = python.findPython()
    if (program == null)
        return
    def answer = python.ask(program, ["report", python.savedProject()], "Writing the report")
    if (answer == null) {
        telling.tell("Cancelled; the report is as it was")
        return
    }
    def file = new File(answer.report)
    telling.showResult("The report is written, and opens in the browser; where it does not, open it there yourself",
        file)
    telling.open(file)
}

/** Learn from what was reviewed; the new model is the one that Annotate proposes, where it is no worse. */
void train() {
    def program = python.findPython()
    def models = program == null ? null : python.ask(program, ["models", "list"], "Starting glomseg")
    if (models == null)
        return
    def file = python.savedProject()
    def name = askName(file, models.keySet())
    if (!name)
        return
    def answer = python.ask(program, ["train", "--from-project", file, "--name", name],
        "Learning from the corrections, which takes some five minutes")
    if (answer == null) {
        telling.tell("Cancelled; there is no new model")
        return
    }
    def folder = new File(answer.output)
    def remarks = answer.remarks.findAll { !it.startsWith("so ") }
    telling.showResult(answer.kept ? "The model ${name} is ready, and Annotate proposes it for this project." :
        "The new model is worse on images left out of the learning, so Annotate proposes the one before. The new one " +
        "is there as ${folder.getName()}. Review more images, above all where the model is wrong.", folder, remarks)
}

/** Ask for the name of a new model; nothing where none is given. */
private String askName(String project, Set<String> taken) {
    def study = new File(project).getParentFile().getName().replaceAll(/[^\w.-]+/, "-").replaceAll(/^[.-]+/, "")
    def usual = (study ?: "retrained") + "-" + LocalDate.now()
    def free = [usual] + (2..99).collect { "${usual}-${it}".toString() }
    def name = free.find { !(it in taken) }, before = ""
    while (true) {
        name = Dialogs.showInputDialog(TITLE, "${before}Learn from the images and regions that are marked as fully " +
            "reviewed.\nTwo images are needed; 20 to 60 glomeruli in several are better.\n\n" +
            "Name of the new model:", name)?.trim()
        if (!name)
            return null
        if (!(name ==~ /[\w.-]+/) || name.startsWith(".") || name.startsWith("-"))
            before = "${name} is no name for a model: use letters, numbers, - and _.\n\n"
        else if (name in taken)
            before = "There is a model ${name} already.\n\n"
        else
            return name
    }
}

/** Let more or fewer of the newest run's outlines count, from the probabilities that it kept. */
void changeSureness() {
    def program = python.findPython()
    if (program == null)
        return
    def file = python.savedProject()
    def run = newestRun(file)
    if (!new File(folderOfRuns(file), run + "/probability").isDirectory())
        throw new IllegalStateException("The last run kept no probabilities, which this needs. Annotate once more: " +
            "what Annotate does from this menu keeps them.")
    def content = results.fromFile(new File(folderOfRuns(file), run + "/run.json").toPath())
    def sureness = askSureness(content.parameters?.sureness ?: 0)
    if (sureness < 0)
        return
    def command = ["rethreshold", file, run, "--sureness", sureness.toString(), "--no-collect"]
    def answer = python.ask(program, command, "Outlining the last run again")
    if (answer == null)
        telling.tell("Cancelled; nothing was changed")
    else
        results.bringAllIn(python, file, answer.images.keySet() as List, answer)
}

/** Ask from which sureness an outline counts; below 0 where none is given. */
private double askSureness(double now) {
    def answer = String.format(Locale.ROOT, "%.4g", now).replaceAll(/0+$/, "").replaceAll(/\.$/, ""), before = ""
    while (true) {
        answer = Dialogs.showInputDialog(TITLE, "${before}An outline counts from this mean probability on, 0 to 1.\n" +
            "More: fewer outlines, of which more are right.\nLess: more are found, and more are wrong.\n" +
            "What a person drew, changed or judged stays.\n\nSureness:", answer)?.trim()
        def number = answer?.replace(",", ".")
        if (!number)
            return -1
        if (number.isNumber() && number.toDouble() >= 0 && number.toDouble() <= 1)
            return number.toDouble()
        before = "${answer} is no number from 0 to 1.\n\n"
    }
}

/** Compare what the newest run proposed with what stands after the review, on the images marked fully reviewed. */
void evaluate() {
    def program = python.findPython()
    if (program == null)
        return
    def file = python.savedProject()
    def run = newestRun(file)
    def entries = python.projectOfNow(file).getImageList()
    def reviewed = entries.findAll { python.shared.reviewedOnDisk(it) != null }
    if (!reviewed && !Dialogs.showConfirmDialog(TITLE, "No image is marked as fully reviewed. What nobody looked at " +
        "agrees with the run by itself. Compare all images nevertheless?"))
        return
    def named = entries.countBy { it.getOriginalImageName() }
    def doubled = reviewed.find { named[it.getOriginalImageName()] > 1 }
    if (doubled != null)
        throw new IllegalStateException("${named[doubled.getOriginalImageName()]} images are named " +
            "${doubled.getImageName()}, and what is compared is found by name. Right-click all but one of them in " +
            "the project's list, and give each a name of its own (Rename image).")
    def folder = new File(folderOfRuns(file), run + "/evaluation")
    def arguments = ["evaluate", new File(folderOfRuns(file), run).getPath(), file, "-o", folder.getPath(),
                     "--missing", "skip"]
    File sheet = null
    try {
        if (reviewed) {
            sheet = File.createTempFile("glomseg-", ".csv")
            sheet.setText("image,split\n" + entries.collect { entry ->
                quoted(entry.getOriginalImageName()) + "," + (entry in reviewed ? "test" : "train")
            }.join("\n") + "\n", "UTF-8")
            arguments += ["--samples", sheet.getPath(), "--part", "test"]
        }
        def answer = python.ask(program, arguments, "Comparing run ${run} with the review")
        if (answer == null) {
            telling.tell("Cancelled; nothing was compared")
            return
        }
        def asked = (reviewed ?: entries).size(), scored = answer.overall.images as int
        tellScores(answer.overall, run, (scored < asked ? "${scored} of ${asked}" : "${scored}") +
            (reviewed ? " fully reviewed" : "") + " image(s)" +
            (scored < asked ? ", QuPath's log says why the others were left out" : ""), folder)
    } finally {
        sheet?.delete()
    }
}

private void tellScores(Map scores, String run, String images, File folder) {
    def number = { String name ->
        def value = scores.pooled[name]?.value
        value == null ? "unknown" : String.format(Locale.ROOT, "%.2f", value as double)
    }
    telling.showResult("Run ${run} on ${images}: of " +
        "${scores.predicted_objects as int} outlines ${scores.matched as int} stand, " +
        "${scores.true_objects as int} glomeruli there are; precision " +
        "${number('precision')}, recall ${number('recall')}", folder)
}

String quoted(String text) {
    def plain = text =~ /^'*[=+\-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20]/ ? "'" + text : text  // glomseg takes the ' off
    return '"' + plain.replace('"', '""') + '"'
}

/** Take back what the last run changed. The images are saved and closed meanwhile, and opened again. */
void undo() {
    def program = python.findPython()
    if (program == null)
        return
    def file = python.savedProject()
    newestRun(file)
    def last = python.ask(program, ["undo", file, "--dry-run"], "Looking for the last run")
    if (last == null || !Dialogs.showConfirmDialog(TITLE, "Take back ${inWords(last)}?\n\nWhat a person drew, " +
        "changed or judged stays. The open images are saved and closed meanwhile."))
        return
    if (python.savedProject() != file)
        throw new IllegalStateException("Another project was opened meanwhile; nothing was taken back.")
    def gui = getQuPath()
    def open = gui.getAllViewers().collect { viewer ->
        def data = viewer.getImageData()
        [viewer, data == null ? null : gui.getProject().getEntry(data)?.getID()]
    }
    def own = open.findAll { it[1] != null }  // what else is shown is not saved, and QuPath asks about it
    FXUtils.callOnApplicationThread({ own.each { it[0].resetImageData() } } as Callable)
    def answer = null
    try {
        answer = python.ask(program, ["undo", file, last.run], "Taking the last run back", true)
    } finally {
        FXUtils.callOnApplicationThread({ reopen(file, open) } as Callable)
    }
    if (answer == null) {
        telling.tell("Cancelled; each image is as it was, or taken back. Undo again takes back the rest")
        return
    }
    def undone = answer.images.values()*.undone.findAll { it != null }
    def sum = { String what -> (undone.collect { it[what] ?: 0 }.sum() ?: 0) as int }
    def failed = answer.images.values().findAll { it.undone == null }
    telling.tell("Run ${answer.run} was taken back on ${undone.size()} images: ${sum('removed')} outlines removed, " +
        "${sum('restored')} earlier ones brought back")
    if (failed)
        telling.showError("Not taken back:\n" + failed.collect { "${it.name}: ${it.reason}" }.join("\n"))
}

/** Name a run, its model, when it began, and what it brought in. */
private String inWords(Map last) {
    def begun = ""
    try {
        def local = OffsetDateTime.parse(last.started).atZoneSameInstant(ZoneId.systemDefault())
        begun = ", begun " + local.format(DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm"))
    } catch (DateTimeParseException ignored) {
        // of an older glomseg: its id tells
    }
    def outlines = last.outlines.values().sum() as int, images = last.outlines.size()
    def left = last.left ? " (not on ${last.left.size()} more: ${last.left.values().unique().join('; ')})" : ""
    return "run ${last.run}, by ${last.model ?: 'an unknown model'}${begun}: ${outlines} " +
        "outline${outlines == 1 ? '' : 's'} on ${images} image${images == 1 ? '' : 's'}${left}"
}

/** Open the project anew, and in each viewer the image that it showed; one that cannot be read keeps none else away. */
void reopen(String file, List open) {
    def gui = getQuPath(), left = []
    gui.setProject(ProjectIO.loadProject(new File(file), BufferedImage))
    def entries = gui.getProject().getImageList()
    for (pair in open) {
        def entry = entries.find { it.getID() == pair[1] }
        try {
            if (entry != null)
                pair[0].setImageData(entry.readImageData())
        } catch (Exception error) {  // groovylint-disable-line CatchException
            left << "${entry.getImageName()}: ${error.getMessage()}"
            pair[0].resetImageData()
        }
    }
    if (left)
        Dialogs.showErrorNotification(TITLE, "Saved, but not opened again:\n" + left.join("\n"))
}
