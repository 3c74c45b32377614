/*
 * Purpose: outline the glomeruli of the open image, inside the selected annotations, of several images or of the whole
 *          project, and show them at once.
 * Input:   in a window: what to look at, species, region, model, and a pixel size where an image has none; the work can
 *          be cancelled. Without a window, arguments as name=value; all but python= are options of `glomseg annotate`:
 *            python=/path/to/python   model=NAME   species=mouse|rat|human   region=CLASS   within=FILE.geojson ...
 * Output:  the images are saved, `glomseg annotate` leaves its run in the project's folder "glomseg", and
 *          import_results.groovy, which must lie beside this script, brings the outlines into the images.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import java.util.concurrent.Callable
import javafx.collections.FXCollections
import javafx.scene.control.ButtonType
import javafx.scene.control.ChoiceBox
import javafx.scene.control.Dialog
import javafx.scene.control.Label
import javafx.scene.control.ListView
import javafx.scene.control.SelectionMode
import javafx.scene.layout.GridPane
import qupath.fx.dialogs.Dialogs
import qupath.fx.utils.FXUtils
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.io.GsonTools
import qupath.lib.io.PathIO

def shared = new GroovyShell(getClass().getClassLoader()).parse(besideThis("glomseg_shared.groovy"))
def python = shared.load("glomseg_python")
def imageData = getCurrentImageData()
def project = getProject()
def entry = getProjectEntry()
if (imageData == null || entry == null)
    throw new IllegalStateException("Open an image of a project first; the results are kept in the project.")
def given = shared.named(binding.hasVariable("args") ? (args as List<String>) : [])
if (getQuPath() != null && !given) {
    inWindow(shared, python, project, entry)
    return
}

def program = given.remove("python")
if (program == null || !python.hasGlomseg(program))
    throw new IllegalArgumentException((program == null ? "Name glomseg's Python with python=. " :
        "${program} has no glomseg. ") + python.REMEDY)
shared.saveData(entry, imageData)  // what is drawn now counts: areas to ignore, and glomeruli to leave alone
shared.sync(project)
def options = given.collectMany { name, value -> value ? ["--" + name, value] : ["--" + name] }
def command = ["annotate", project.getPath().toString(), "--image", entry.getID(), "--no-collect", "--json"] + options
importer(GsonTools.getInstance().fromJson(python.glomseg(program, command), Map).folder, false).run()


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

/** Return what brings a run's outlines into the current image; tells by itself what came of it, unless it is quiet. */
Script importer(String run, boolean quiet) {
    def script = besideThis("import_results.groovy")
    def variables = [args: [run] as String[], "qupath.script.file": script.getPath()]
    if (quiet)
        variables.quiet = true
    if (binding.hasVariable("out"))
        variables.out = out
    return new GroovyShell(getClass().getClassLoader(), new Binding(variables)).parse(script)
}

/** Ask what to do, do it, and bring the results into the images as they stand then. */
void inWindow(def shared, def python, def project, def entry) {
    def program = python.findPython()
    def models = program == null ? null : python.ask(program, ["models", "list"], "Starting glomseg")
    if (models == null)
        return
    def selected = getSelectedObjects().findAll { it.isAnnotation() && it.getROI()?.isArea() } as List
    def names = models.keySet() as List
    def choice = FXUtils.callOnApplicationThread({ ask(project, entry, selected, names) } as Callable)
    if (!choice)
        return
    def ids = choice.entries*.getID()
    def file = python.savedProject()
    def command = ["annotate", file] + ids.collectMany { ["--image", it] } + choice.options + ["--no-collect"]
    File within = null
    try {
        if (choice.inside) {
            within = File.createTempFile("glomseg-", ".geojson")
            PathIO.exportObjectsAsGeoJSON(within, selected, PathIO.GeoJsonExportOptions.FEATURE_COLLECTION)
            command += ["--within", within.getAbsolutePath()]
        }
        def title = "Looking for glomeruli: ${choice.where}".toString()
        def result = python.ask(program, command, title)
        if (result != null && giveSizes(shared, python, file, result))
            result = python.ask(program, command, title)  // goes on with those that have a size now
        if (result == null)
            python.tell("Cancelled. The slides that were done are kept: annotating the same again goes on there")
        else
            bringAllIn(shared, python, file, ids, result)
    } finally {
        within?.delete()
    }
}

/** Bring the results into each image: it may have been closed, changed and opened again meanwhile, its project too. */
void bringAllIn(def shared, def python, String file, List<String> ids, Map result) {
    def stopped = [false]
    def show = python.showProgress("Bringing the outlines into QuPath", false) { stopped[0] = true }
    def counts = [], left = []
    def importing = importer(result.folder, true)
    try {
        ids.eachWithIndex { id, number ->
            def record = result.images[id]
            def project = python.projectOfNow(file)
            def entry = project.getImageList().find { it.getID() == id }
            def name = record?.name ?: entry?.getImageName() ?: id
            if (record?.state != "done" || entry == null || stopped[0]) {
                left << [name, stopped[0] ? "cancelled; Import results brings it in" :
                    entry == null ? "no longer in the project" : inWindowWords(record?.reason)]
                return
            }
            show('@ ' + GsonTools.getInstance().toJson([waiting: "${number + 1} of ${ids.size()}: ${name}".toString()]))
            try {
                counts << shared.withDataOfNow(project, entry) { importing.run() }
                shared.sync(project)
            } catch (Exception error) {  // groovylint-disable-line CatchException
                left << [name, error.getMessage() ?: error.toString()]
            }
        }
    } finally {
        resetBatchProjectAndImage()
        show(null)
    }
    def where = ids.size() == 1 ? result.images[ids[0]]?.name : "${counts.size()} of ${ids.size()} images"
    if (counts)
        python.tell("${where}: ${inWords(counts)}", remarksOf(ids.collect { result.images[it] }.findAll()))
    if (left)
        Dialogs.showErrorMessage("GlomSeg", "Not annotated:\n\n" + left.groupBy { it[1] }.collect { why, those ->
            python.few(those*.first()) + ": " + why
        }.join("\n\n"))
}

/** Tell what came of all outlines: "6 outlines added, 2 left to a person's". */
String inWords(List<Map> counts) {
    def sums = [:].withDefault { 0 }
    counts.findAll().each { count -> count.each { what, number -> sums[what] += number } }
    def words = [
        added: "outlines added", removed: "of earlier runs removed", kept: "there before", person: "left to a person's",
        rejected: "left out, as a person had deleted them",
        doubtful: "of an earlier run gone at once, which is not taken for a review",
    ]
    def told = words.findAll { it.key == "added" || sums[it.key] }
    return told.collect { what, text -> "${sums[what]} ${text}" }.join(", ")
}

/** Return what is to be known of images that went well, such as a doubtful pixel size; the name once, in front. */
List<String> remarksOf(List<Map> records) {
    return records.findAll { it.state == "done" }.collectMany { record ->
        (record.remarks ?: []).collect { "${record.name} ${it}".toString() }
    }
}

/** Say why an image failed without the options of the command line. */
String inWindowWords(String reason) {
    return (reason ?: "unknown").replaceAll(/: if you agree, give (--mpp|`mpp`) as .*/, "")
        .replaceAll(/; give um per pixel with (--mpp|`mpp`)/, "")
        .replace("leave `region` out", "look everywhere").replace("`", "")
}

/** Ask for the pixel size of the images that failed for want of one and set it; tells whether any has one now. */
boolean giveSizes(def shared, def python, String file, Map result) {
    def failed = result.images.findAll { it.value.state != "done" }
    if (!failed)
        return false
    def project = python.projectOfNow(file)
    def without = project.getImageList().findAll { entry ->
        entry.getID() in failed && !hasPixelSize(shared.shownData(project, entry), entry)
    }
    def given = false
    without.groupBy { guess(failed[it.getID()].reason) }.each { guess, entries ->
        def size = askPixelSize(python, entries*.getImageName(), guess)
        if (size > 0)
            entries.each { entry -> setSize(shared, project, entry, size) }
        given |= size > 0
    }
    return given
}

boolean hasPixelSize(def shown, def entry) {
    try {
        def data = shown ?: entry.readImageData()
        return !Double.isNaN(data.getServer().getPixelCalibration().getAveragedPixelSizeMicrons())
    } catch (Exception ignored) {  // groovylint-disable-line CatchException
        // it cannot be read, which is another matter
        return true
    }
}

/** Return the pixel size that glomseg takes an image to have by its tissue, "" where it cannot tell. */
String guess(String reason) {
    def said = (reason ?: "") =~ /look like ([\d.]+) um/
    return said.find() ? said.group(1) : ""
}

/** Ask for the pixel size of images in um; 0 where none is given. */
double askPixelSize(def python, List<String> names, String guess) {
    def which = names.size() == 1 ? "${names[0]} has no pixel size" :
        "${names.size()} images have no pixel size (${python.few(names)})"
    def likely = guess ? "\nBy its nuclei and glomeruli it is about ${guess}, give or take 15 %." : ""
    def answer = guess, before = ""
    while (true) {
        answer = Dialogs.showInputDialog("GlomSeg", "${before}${which}, which all sizes depend on.\nHow many um wide " +
            "is a pixel?${likely}\n\nQuPath keeps it with the image.", answer)?.trim()
        def size = answer?.replace(",", ".")
        if (!size)
            return 0
        if (size.isNumber() && size.toDouble() > 0 && size.toDouble() <= 10)
            return size.toDouble()
        before = "${answer} is no pixel size in um, such as 0.25.\n\n"
    }
}

void setSize(def shared, def project, def entry, double size) {
    def data = shared.shownData(project, entry) ?: entry.readImageData()
    setPixelSizeMicrons(data, size, size, Double.NaN)
    shared.saveData(entry, data)
    shared.sync(project)
}

/** Show the dialog; returns the images and glomseg's options, or nothing where it was cancelled. */
Map ask(def project, def entry, List selected, List models) {
    def images = project.getImageList()
    def places = ["this image", "the images chosen below", "the whole project (${images.size()} images)".toString()]
    if (selected)
        places.add(0, selected.size() == 1 ? "inside the selected annotation" :
            "inside the ${selected.size()} selected annotations".toString())
    def where = new ChoiceBox(FXCollections.observableArrayList(places))
    def list = new ListView(FXCollections.observableArrayList(images*.getImageName()))
    list.getSelectionModel().setSelectionMode(SelectionMode.MULTIPLE)
    list.getSelectionModel().select(images.findIndexOf { it.getID() == entry.getID() })
    list.setPrefHeight(120)
    list.setMinHeight(90)
    list.disableProperty().bind(where.valueProperty().isNotEqualTo("the images chosen below"))
    def species = new ChoiceBox(FXCollections.observableArrayList("as the model says", "mouse", "rat", "human"))
    def classes = project.getPathClasses()*.toString().findAll { it && it != "null" && !it.contains("*") }
    def region = new ChoiceBox(FXCollections.observableArrayList(["everywhere"] + classes))
    def model = new ChoiceBox(FXCollections.observableArrayList(models))
    def grid = new GridPane()
    grid.setHgap(8)
    grid.setVgap(8)
    def rows = ["Look at": where, "Images": list, "Species": species, "Only inside": region, "Model": model]
    rows.eachWithIndex { name, control, row -> grid.addRow(row, new Label(name), control) }
    [where, species, region, model].each { it.getSelectionModel().select(0) }
    def dialog = new Dialog()
    dialog.initOwner(getQuPath().getStage())
    dialog.setTitle("GlomSeg: annotate")
    dialog.getDialogPane().setContent(grid)
    dialog.getDialogPane().getButtonTypes().addAll(ButtonType.OK, ButtonType.CANCEL)
    if (dialog.showAndWait().orElse(ButtonType.CANCEL) != ButtonType.OK)
        return [:]
    def inside = selected && where.getSelectionModel().getSelectedIndex() == 0
    def chosen = list.getSelectionModel().getSelectedIndices().collect { images[it] }
    def entries = where.getValue().startsWith("the whole") ? images : list.isDisabled() ? [entry] : chosen
    def options = ["--model", model.getValue()]
    if (species.getSelectionModel().getSelectedIndex() > 0)
        options += ["--species", species.getValue()]
    if (!inside && region.getSelectionModel().getSelectedIndex() > 0)
        options += ["--region", region.getValue()]
    return [entries: entries, options: options, inside: inside, where: where.getValue()]
}
