/*
 * Purpose: find glomeruli that were missed: walk the tissue that was not seen yet, field by field, judge what the
 *          newest run was not sure of there, and outline with two clicks.
 * Input:   the open image. Keys that QuPath does not use, in the window and in the viewer: Page Down next candidate of
 *          the field, then the next field not seen yet, Page Up back, Y accept and X reject the candidate at hand,
 *          E outline (then click on two opposite ends of the glomerulus), U take the last of these back. An outline
 *          follows the probabilities that the newest run kept of the image, where it did. The fields divide the image
 *          evenly, and are no larger than the viewer at the scale of 1 um a pixel of the screen, or by a tenth.
 *          Without a window: prints how many fields of 1 mm hold tissue, and how many were seen.
 * Output:  annotations of class Glomerulus, a person's; what was a candidate with a verdict, as the review gives it.
 *          Which fields were seen is kept with the image, which is saved.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import javafx.application.Platform
import qupath.lib.gui.UserDirectoryManager

def shared = new GroovyShell(getClass().getClassLoader()).parse(besideThis("glomseg_shared.groovy"))
def imageData = getCurrentImageData()
def entry = getProjectEntry()
if (imageData == null || entry == null)
    throw new IllegalStateException("Open an image of a project first.")
if (getQuPath() == null) {
    def tissue = shared.load("glomseg_tissue")
    println entry.getImageName() + ": " + tissue.told(imageData)
    return
}
shared.refuseUnshown(imageData)
Platform.runLater { shared.openWindow("missed", getQuPath()) }


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
