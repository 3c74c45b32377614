/*
 * Purpose: outline the glomeruli of the open image, inside the selected annotations, of several images or of the whole
 *          project, and show them at once.
 * Input:   in a window: what to look at, species, region, model; the work can be cancelled. Without a window, arguments
 *          as name=value; all but python= are options of `glomseg annotate`:
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
def jobs = new GroovyShell(getClass().getClassLoader()).parse(besideThis("glomseg_jobs.groovy"))
def imageData = getCurrentImageData()
def project = getProject()
def entry = getProjectEntry()
if (imageData == null || entry == null)
    throw new IllegalStateException("Open an image of a project first; the results are kept in the project.")
def given = shared.named(binding.hasVariable("args") ? (args as List<String>) : [])
if (getQuPath() != null && !given) {
    inWindow(shared, jobs, project, entry, imageData)
    return
}

def python = given.remove("python")
if (python == null || !jobs.hasGlomseg(python))
    throw new IllegalArgumentException((python == null ? "Name glomseg's Python with python=. " :
        "${python} has no glomseg. ") + jobs.REMEDY)
entry.saveImageData(imageData)  // what is drawn now counts: areas to ignore, and glomeruli to leave alone
project.syncChanges()
def options = given.collectMany { name, value -> value ? ["--" + name, value] : ["--" + name] }
def command = ["annotate", project.getPath().toString(), "--image", entry.getID(), "--no-collect", "--json"] + options
bringIn(GsonTools.getInstance().fromJson(jobs.glomseg(python, command), Map).folder, false)


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

/** Bring a run's outlines into the current image; tells by itself what came of it, unless it is to be quiet. */
Map bringIn(String run, boolean quiet) {
    def script = besideThis("import_results.groovy")
    def variables = [args: [run] as String[], "qupath.script.file": script.getPath()]
    if (quiet)
        variables.quiet = true
    if (binding.hasVariable("out"))
        variables.out = out
    return new GroovyShell(getClass().getClassLoader(), new Binding(variables)).evaluate(script)
}

/** Ask what to do, do it, and bring the results into the images as they stand then. */
void inWindow(def shared, def jobs, def project, def entry, def imageData) {
    def python = jobs.findPython()
    if (python == null || !askPixelSize(entry, imageData))
        return
    def models = GsonTools.getInstance().fromJson(jobs.glomseg(python, ["models", "list", "--json"]), Map).keySet()
    def selected = getSelectedObjects().findAll { it.isAnnotation() && it.getROI()?.isArea() } as List
    def choice = FXUtils.callOnApplicationThread({ ask(project, entry, selected, models as List) } as Callable)
    if (!choice)
        return
    def command = ["annotate", jobs.savedProject()]
    command += choice.entries.collectMany { ["--image", it.getID()] } + choice.options + ["--no-collect", "--json"]
    File within = null
    try {
        if (choice.inside) {
            within = File.createTempFile("glomseg-", ".geojson")
            PathIO.exportObjectsAsGeoJSON(within, selected, PathIO.GeoJsonExportOptions.FEATURE_COLLECTION)
            command += ["--within", within.getAbsolutePath()]
        }
        def output = jobs.glomseg(python, command, "Looking for glomeruli: ${choice.where}")
        if (output == null)
            jobs.tell("Cancelled; the same command goes on where it stopped")
        else
            bringAllIn(shared, jobs, project, choice.entries, GsonTools.getInstance().fromJson(output, Map))
    } finally {
        within?.delete()
    }
}

/** Bring the results into each image: it may have been closed, changed and opened again meanwhile. */
void bringAllIn(def shared, def jobs, def project, List entries, Map result) {
    def done = entries.findAll { result.images[it.getID()]?.state == "done" }
    def counts = done.collect { entry -> shared.withDataOfNow(project, entry) { bringIn(result.folder, true) } }
    resetBatchProjectAndImage()
    project.syncChanges()
    def added = counts.collect { it?.added ?: 0 }.sum() ?: 0, removed = counts.collect { it?.removed ?: 0 }.sum() ?: 0
    def where = entries.size() == 1 ? entries[0].getImageName() : "${done.size()} of ${entries.size()} images"
    jobs.tell("${where}: ${added} outlines added, ${removed} of earlier runs removed")
    def failed = (entries - done).collect { it.getImageName() + ": " + result.images[it.getID()]?.reason }
    if (failed)
        Dialogs.showErrorMessage("GlomSeg", failed.join("\n"))
}

/** See that the image has a pixel size, which all sizes depend on; returns false where the user does not give one. */
boolean askPixelSize(def entry, def imageData) {
    if (imageData.getServer().getPixelCalibration().hasPixelSizeMicrons())
        return true
    def text = Dialogs.showInputDialog("GlomSeg", "${entry.getImageName()} has no pixel size. How many um wide is a " +
        "pixel? QuPath keeps it with the image.", "")
    if (!text?.trim())
        return false
    def size = text.trim().replace(",", ".")
    if (!size.isNumber() || size.toDouble() <= 0 || size.toDouble() > 10)
        throw new IllegalArgumentException("${text} is no pixel size in um, such as 0.25")
    setPixelSizeMicrons(imageData, size.toDouble(), size.toDouble(), Double.NaN)
    return true
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
