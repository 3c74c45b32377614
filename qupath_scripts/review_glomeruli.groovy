/*
 * Purpose: look at the glomeruli of the open image one after another and give each a verdict, a grade, a comment.
 * Input:   annotations of class Glomerulus and below; the queue holds what has no final verdict yet, so that a review
 *          goes on where it stopped; in the window the candidates of the newest run, too, if wanted. With keys that
 *          QuPath does not use, here and in the viewer:
 *            Y accept   X reject   K sclerotic   E edit   0 to 9 grades   U take the last verdict back
 *            Page Up, Page Down: back, next   T comment   I next image
 *          Without a window, arguments as name=value:
 *            list  or  list=reading                 print the queue: by lowest confidence, or in reading order
 *            verdict=accept|reject|sclerotic|edit|none  object=ID  initials=AB      one verdict
 *            grade=TEXT  comment=TEXT               with a verdict
 *            reviewed=yes|no  initials=AB           mark the image as fully reviewed, or take the mark away; with
 *            region=ID                              only this annotation
 *            colour=confidence|verdict|none         colour the glomeruli
 * Output:  on the object: glomseg.verdict, glomseg.initials, glomseg.judged, glomseg.grade (metadata), and the comment
 *          as its description. Accepted and sclerotic ones are locked, the latter have the class
 *          "Glomerulus: Sclerotic"; a rejected one gets the class "Rejected", and glomseg keeps it from being offered
 *          again. On the image: glomseg.review (counts), glomseg.reviewed. The image is saved: in a window whenever
 *          the keys rest for a moment, and at the end.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import javafx.application.Platform
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.objects.PathObject

def shared = new GroovyShell(getClass().getClassLoader()).parse(besideThis("glomseg_shared.groovy"))
def imageData = getCurrentImageData()
def entry = getProjectEntry()
if (imageData == null || entry == null)
    throw new IllegalStateException("Open an image of a project first; the review is kept in the project.")
def given = shared.named(binding.hasVariable("args") ? (args as List<String>) : [])
if (given)
    withoutWindow(shared, imageData, entry, given)
else if (getQuPath() == null)
    throw new IllegalArgumentException("Without a window, say what to do: list, verdict=, reviewed= or colour=.")
else {
    shared.refuseUnshown(imageData)
    Platform.runLater { shared.openWindow("review", getQuPath()) }
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

void withoutWindow(def shared, def imageData, def entry, Map given) {
    def hierarchy = imageData.getHierarchy()
    if (given.containsKey("list")) {
        for (item in shared.queue(hierarchy, given.list == "reading"))
            println([item.getID(), shared.confidence(item), item.getPathClass(), shared.verdict(item) ?: "-"]
                .join("\t"))
        println shared.progress(hierarchy)
        return
    }
    if (given.verdict) {
        def item = find(hierarchy, given.object)
        shared.judge(imageData, item, given.verdict, given.initials, given.grade)
        if (given.comment)
            item.setDescription(given.comment)
    }
    if (given.reviewed)
        shared.markReviewed(entry, imageData, given.region ? find(hierarchy, given.region) : null,
            given.reviewed == "yes", given.initials)
    if (given.colour)
        shared.paint(imageData, given.colour)
    shared.save(getProject(), entry, imageData)
    println entry.getImageName() + ": " + shared.progress(hierarchy)
}

PathObject find(def hierarchy, String id) {
    def item = hierarchy.getAnnotationObjects().find { it.getID().toString() == id }
    if (item == null)
        throw new IllegalArgumentException("No annotation has the id ${id}; list the queue to see them.")
    return item
}
