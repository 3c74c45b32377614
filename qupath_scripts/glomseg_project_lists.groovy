/*
 * Purpose: what QuPath writes beside the project's file with each save of it, as a whole: the list of classes, and the
 *          project's own metadata. The other scripts load this file from their own folder; by itself it does nothing.
 * Input:   none.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import com.google.gson.JsonParseException
import java.nio.file.Files
import javafx.application.Platform
import org.slf4j.LoggerFactory
import qupath.lib.io.GsonTools
import qupath.lib.objects.classes.PathClass

/** Return the colours of the classes that are listed on disk, by their names; null where that is half written. */
Map classesOnDisk(def project) {
    def listed = read(project, "classifiers", "classes.json")
    return listed == null ? null : (listed.pathClasses ?: []).findAll { it instanceof Map && it.name }
        .collectEntries { [(it.name): it.color instanceof Number ? it.color as Integer : null] }
}

/** Return the same of the project as it is open here. */
Map classesHere(def project) {
    return project.getPathClasses().findAll { it != null && it !== PathClass.NULL_CLASS }
        .collectEntries { [(it.toString()): it.getColor()] }
}

/** List what another QuPath listed, with its colours. What it removed stays: a class too many takes nothing away. */
void addClasses(def project, Map colours) {
    def listed = project.getPathClasses(), gui = getQuPath()
    def named = colours.findAll { it.value != null }.collect { name, colour ->
        def one = PathClass.fromString(name, colour)
        one.setColor(colour)
        return one
    }
    def missing = named.findAll { !listed.contains(it) }
    if (missing)
        project.setPathClasses(listed + missing)
    if (missing && gui?.getProject() === project)
        onWindowsThread {  // with what an import of ours listed: QuPath takes its own list for the project's then
            gui.getAvailablePathClasses().addAll(project.getPathClasses() - gui.getAvailablePathClasses())
        }
}

/** Return the project's own metadata as they are on disk; null where that is half written. */
Map notesOnDisk(def project) {
    return read(project, "data", "metadata.json")
}

/** Return the same of the project as it is open here. */
Map notesHere(def project) {
    return hasNotes(project) ? [:] + project.getMetadata() : [:]
}

void setNotes(def project, Map notes) {
    if (hasNotes(project))
        notes.each { name, value -> value == null ? project.getMetadata().remove(name) :
            project.getMetadata().put(name, value) }
}

private boolean hasNotes(def project) {
    return project.metaClass.respondsTo(project, "getMetadata")  // not in QuPath 0.5
}

private Map read(def project, String folder, String name) {
    def file = project.getPath().resolveSibling(folder).resolve(name), said = null
    try {
        said = (Files.isRegularFile(file) ? GsonTools.getInstance().fromJson(Files.readString(file), Map) : null) ?: [:]
    } catch (IOException | JsonParseException error) {
        LoggerFactory.getLogger("GlomSeg").warn("${file} cannot be read just now: ${error.getMessage()}")
    }
    return said
}

private void onWindowsThread(Runnable what) {
    if (Platform.isFxApplicationThread())
        what.run()
    else
        Platform.runLater(what)
}
