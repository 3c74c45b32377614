/*
 * Purpose: keep what another QuPath wrote into the project's file while it was open here: names, descriptions, metadata
 *          and tags of images. QuPath writes that file as a whole, as it read it once. The other scripts load this file
 *          from their own folder; by itself it does nothing.
 * Input:   none.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import groovy.transform.Field
import java.nio.file.Files
import qupath.lib.io.GsonTools

@Field static final String SEEN = "glomseg.project_files"
@Field static final String OURS = "glomseg."

/** Return what the project's file lists, by the ids of its images. */
Map listed(def project) {
    def file = project?.getPath()
    def images = file != null && Files.isRegularFile(file) ?
        GsonTools.getInstance().fromJson(Files.readString(file), Map).images : []
    return images.findAll { it.entryID != null }.collectEntries { [(String.format("%.0f", it.entryID as double)): it] }
}

/** Note what the project's file says now: what another QuPath changes in it from now on can be told. */
void look(def project) {
    if (project != null)
        seen()?.put(project, listed(project))
}

/** Take over what another QuPath changed in the file since it was looked at last, where nothing was changed here. */
void takeOver(def project, Map listed) {
    def before = seen()?.get(project)
    if (before != null)
        project.getImageList().findAll { before[it.getID()] != null && listed[it.getID()] != null }.each {
            adopt(it, before[it.getID()], listed[it.getID()])
        }
    seen()?.put(project, listed)
}

private void adopt(def entry, Map before, Map theirs) {
    if (theirs.imageName != before.imageName && entry.getImageName() == before.imageName)
        entry.setImageName(theirs.imageName)
    if (theirs.description != before.description && entry.getDescription() == before.description)
        entry.setDescription(theirs.description)
    def (old, now) = [before.metadata ?: [:], theirs.metadata ?: [:]]
    def changed = (old.keySet() + now.keySet()).findAll { !it.startsWith(OURS) && old[it] != now[it] }
    changed.findAll { entry.getMetadataValue(it) == old[it] }.each { key ->
        if (now[key] == null)
            entry.removeMetadataValue(key)
        else
            entry.putMetadataValue(key, now[key])
    }
    def (were, are) = [before, theirs].collect { (it.tags ?: []) as Set }
    if (were != are && entry.metaClass.respondsTo(entry, "getTags") && entry.getTags() as Set == were) {
        entry.getTags().clear()
        entry.getTags().addAll(are)
    }
}

private Map seen() {
    return getQuPath()?.getStage()?.getProperties()?.computeIfAbsent(SEEN) {
        Collections.synchronizedMap(new WeakHashMap())
    }
}
