/*
 * Purpose: show glomseg's scripts as menu items under Extensions > GlomSeg, until QuPath is closed.
 * Input:   the other scripts, in the folder of this one (`glomseg qupath install-scripts` puts them there).
 * Output:  the menu; an older one of that name is replaced. A click runs a script on the open image.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import javafx.application.Platform
import javafx.scene.control.MenuItem
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.UserDirectoryManager

def labels = [
    annotate_current_image: "Annotate this image",
    import_results: "Import results",
    review_glomeruli: "Review glomeruli",
    measure_summary: "Measure summary",
    export_glomeruli: "Export glomeruli",
    export_training_tiles: "Export training tiles",
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
println "GlomSeg: " + found.values().join(", ")
def gui = getQuPath()
if (gui == null) {
    println "There is no window to put a menu into."
    return
}

def run = { File file ->
    def work = {
        try {
            gui.runScript(file, file.getText("UTF-8"))
        } catch (Throwable error) {
            def cause = error
            while (cause.getCause() != null)
                cause = cause.getCause()
            Platform.runLater { Dialogs.showErrorMessage("GlomSeg", cause.getMessage() ?: cause.toString()) }
        }
    }
    def thread = new Thread(work, "glomseg")
    thread.setDaemon(true)
    thread.start()
}
Platform.runLater {
    def menu = gui.getMenu("Extensions>GlomSeg", true)
    menu.getItems().clear()
    found.each { name, label ->
        def item = new MenuItem(label)
        item.setOnAction { run(new File(folder, name + ".groovy")) }
        menu.getItems().add(item)
    }
}
