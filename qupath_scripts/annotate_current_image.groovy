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

import groovy.transform.Field
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

@Field static final String OPEN_FIRST = "Open an image of a project first; the results are kept in the project."
@Field static final String USUAL = "pas-starter"  // glomseg's usual model

def shared = new GroovyShell(getClass().getClassLoader()).parse(besideThis("glomseg_shared.groovy"))
def python = shared.load("glomseg_python")
def imageData = getCurrentImageData()
def project = getProject()
def entry = getProjectEntry()
if (imageData == null || entry == null)
    throw new IllegalStateException(OPEN_FIRST)
def given = shared.named(binding.hasVariable("args") ? (args as List<String>) : [])
if (getQuPath() != null && !given) {
    shared.refuseUnshown(imageData)
    inWindow(shared, python)
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
def folder = GsonTools.getInstance().fromJson(python.glomseg(program, command), Map).folder
shared.load("glomseg_results").importer(folder, false, binding.getVariables()).run()


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

/** Ask what to do, do it, and bring the results into the images as they stand then. */
void inWindow(def shared, def python) {
    def program = python.findPython()
    def models = program == null ? null : python.ask(program, ["models", "list"], "Starting glomseg")
    if (models == null)
        return
    def choice = FXUtils.callOnApplicationThread({ askOfNow(shared, models) } as Callable)
    if (choice?.lacks)
        throw new IllegalStateException(choice.lacks)
    if (!choice)
        return
    def ids = choice.entries*.getID(), selected = choice.selected
    def file = python.savedProject()
    // the probabilities are small, and what changes the sureness or outlines what was missed needs them
    def command = ["annotate", file] + (choice.all ? [] : ids.collectMany { ["--image", it] }) + choice.options +
        ["--no-collect", "--keep-probability"]
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
            python.telling.tell("Cancelled. The slides that were done are kept: annotating the same again goes on " +
                "there")
        else
            shared.load("glomseg_results").bringAllIn(python, file, ids, result)
    } finally {
        within?.delete()
    }
}

/** Ask about what is open at this moment: another image or project may have been opened while glomseg started. */
Map askOfNow(def shared, Map models) {
    def gui = getQuPath()
    def project = gui.getProject(), data = gui.getImageData()
    def entry = data == null ? null : project?.getEntry(data)
    if (entry == null)
        return [lacks: OPEN_FIRST]
    def selected = data.getHierarchy().getSelectionModel().getSelectedObjects()
        .findAll { it.isAnnotation() && it.getROI()?.isArea() } as List
    def choice = ask(project, entry, selected, usualChoice(shared.load("glomseg_results"), project, models))
    return choice ? choice + [selected: selected] : choice
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
        "${names.size()} images have no pixel size (${python.telling.few(names)})"
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

/**
 * Return what the dialog proposes: the models by what is shown of them, first the one that the project was adapted to,
 * else that of its newest run that was not taken back, else the usual one; and the species of that run where the model
 * says another.
 */
Map usualChoice(def results, def project, Map cards) {
    def home = project.getPath().getParent().resolve("glomseg")
    def adapted = results.fromFile(home.resolve("model.json"))
    def newest = (results.standingRunsIn(home) ?: ["none"])[-1]
    def parameters = results.fromFile(home.resolve(newest).resolve("run.json")).parameters ?: [:]
    def (own, others) = cards.keySet().split { cards[it].weights_sha256 == adapted.weights_sha256 }
    def models = own.collectEntries { [("${it} (adapted to this project)".toString()): it] }
    if (!own && adapted.folder && new File(adapted.folder, "card.json").isFile())
        models["${adapted.name} (adapted to this project)".toString()] = adapted.folder
    def next = [parameters.model, USUAL].find { it in others }
    models.putAll((next == null ? others : [next] + (others - next)).collectEntries { [(it): it] })
    def said = cards[models.values()[0]]?.species ?: parameters.species
    return [models: models, species: parameters.species == said ? null : parameters.species]
}

/** Show the dialog; returns the images and glomseg's options, or nothing where it was cancelled. */
Map ask(def project, def entry, List selected, Map usual) {
    def images = project.getImageList()
    def places = ["this image (${entry.getImageName()})", "the images chosen below",
                  "the whole project (${images.size()} images)"]*.toString()
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
    if (selected)
        region.disableProperty().bind(where.valueProperty().isEqualTo(places[0]))
    def model = new ChoiceBox(FXCollections.observableArrayList(usual.models.keySet()))
    def grid = new GridPane()
    grid.setHgap(8)
    grid.setVgap(8)
    def rows = ["Look at": where, "Images": list, "Species": species, "Only inside": region, "Model": model]
    rows.eachWithIndex { name, control, row -> grid.addRow(row, new Label(name), control) }
    [where, species, region, model].each { it.getSelectionModel().select(0) }
    if (usual.species in species.getItems())
        species.setValue(usual.species)
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
    def options = ["--model", usual.models[model.getValue()]]
    if (species.getSelectionModel().getSelectedIndex() > 0)
        options += ["--species", species.getValue()]
    if (!region.isDisabled() && region.getSelectionModel().getSelectedIndex() > 0)
        options += ["--region", region.getValue()]
    return [entries: entries, all: entries.is(images), options: options, inside: inside, where: where.getValue()]
}
