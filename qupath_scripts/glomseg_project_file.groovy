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
@Field static final String NAME = "glomseg.name"  // no key of a person's metadata is called so
@Field static final String DESCRIPTION = "glomseg.description"
@Field static final String TAGS = "glomseg.tags"

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
        seen()?.computeIfAbsent(project) { [replaced: [:].withDefault { [] as Set }] }?.put("listed", listed(project))
}

/**
 * Take over what another QuPath changed in the file since it was looked at last, where nothing was changed here. What
 * was replaced here comes back only by another that saved as it had read it once: it stays replaced.
 */
void takeOver(def project, Map listed) {
    def known = seen()?.get(project)
    if (known != null)
        project.getImageList().findAll { known.listed[it.getID()] != null && listed[it.getID()] != null }.each {
            adopt(it, fields(known.listed[it.getID()]), fields(listed[it.getID()]), known.replaced)
        }
    look(project)
}

private void adopt(def entry, Map before, Map theirs, Map replaced) {
    def here = fieldsOf(entry)
    (before.keySet() + theirs.keySet() + here.keySet()).each { field ->
        def old = replaced[[entry.getID(), field]]
        if (here[field] != before[field])
            old << before[field]
        else if (theirs[field] != before[field] && !(theirs[field] in old))
            change(entry, field, theirs[field])
    }
}

/** Return what the file says of an image, but for what is ours. */
private Map fields(Map image) {
    return [(NAME): image.imageName, (DESCRIPTION): image.description, (TAGS): (image.tags ?: []) as Set] +
        (image.metadata ?: [:]).findAll { !it.key.startsWith(OURS) }
}

private Map fieldsOf(def entry) {
    return fields(imageName: entry.getOriginalImageName(), description: entry.getDescription(),
        tags: hasTags(entry) ? entry.getTags() : [], metadata: entry.getMetadataMap())
}

private void change(def entry, def field, def value) {
    if (field == NAME)
        entry.setImageName(value)
    else if (field == DESCRIPTION)
        entry.setDescription(value)
    else if (field == TAGS && hasTags(entry)) {
        entry.getTags().clear()
        entry.getTags().addAll(value)
    } else if (field != TAGS && value == null)
        entry.removeMetadataValue(field)
    else if (field != TAGS)
        entry.putMetadataValue(field, value)
}

private boolean hasTags(def entry) {
    return entry.metaClass.respondsTo(entry, "getTags")  // not in QuPath 0.5
}

private Map seen() {
    return getQuPath()?.getStage()?.getProperties()?.computeIfAbsent(SEEN) {
        Collections.synchronizedMap(new WeakHashMap())
    }
}
