/*
 * Purpose: what a person sets of an image in QuPath's tab "Image", and beside its channels: pixel size, magnification,
 *          names and colours of channels. The project's file holds that in what each image is opened by. The other
 *          scripts load this file from their own folder; by itself it does nothing.
 * Input:   none.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import com.google.gson.Gson
import com.google.gson.JsonObject
import groovy.transform.Field
import qupath.lib.images.servers.ImageServerBuilder.ServerBuilder
import qupath.lib.images.servers.ImageServerMetadata
import qupath.lib.images.servers.PixelCalibration
import qupath.lib.io.GsonTools

@Field static final List<String> SETTINGS = ["pixelCalibration", "magnification", "channels"]

/** Return what the project's file says of an image, by what is set; null where it says nothing. */
Map inFile(Map image) {
    def metadata = metadataIn(image)
    return metadata == null ? null : settings(metadata)
}

/** Return what is set of an image where nobody set anything, as far as a viewer that shows it knows that. */
Map asRead(def project, def entry) {
    def shown = shownOf(project, entry)
    if (shown)
        return settings(shown[0].getServer().getOriginalMetadata())
    return [(SETTINGS[0]): plain(gson().toJsonTree(PixelCalibration.getDefaultInstance()))]
}

/** Return what is set here: in the project, and in each viewer that shows the image, saved or not. */
List<Map> here(def project, def entry) {
    def inProject = entry.getServerBuilder()?.getMetadata()?.orElse(null)
    return ([inProject] + shownOf(project, entry)*.getServerMetadata()).findAll { it != null }.collect { settings(it) }
}

/**
 * Set what another QuPath set, in the project and in each viewer that shows the image; where the image lies stays as it
 * is here. Throws where that is another image, or this QuPath keeps elsewhere what an image is opened by.
 */
void set(def project, def entry, Map image, Map values) {
    setInProject(entry, image, values)
    shownOf(project, entry).each { data ->
        def isSaved = !data.isChanged()
        data.updateServerMetadata(changed(data.getServerMetadata(), values))
        if (isSaved)
            data.setChanged(false)
    }
}

/**
 * Set in data that were just read, and in the project as it is open here, what was set in these data since they were of
 * a former state, of which `was` tells as `inFile` does: QuPath reads data with what the project says of the image.
 */
void setAsSaved(def entry, def imageData, Map image, Map was) {
    def now = inFile(image)
    def values = was == null || now == null ? [:] : now.findAll { !Objects.equals(it.value, was[it.key]) }
    if (!values)
        return
    setInProject(entry, image, values)
    imageData.updateServerMetadata(changed(imageData.getServerMetadata(), values))
}

private void setInProject(def entry, Map image, Map values) {
    def theirs = metadataIn(image), builder = entry.getServerBuilder()
    def ours = builder.getMetadata().orElse(null) ?: theirs
    if (!isSameImage(ours, theirs))
        throw new IllegalStateException("${entry.getImageName()} is another image there")
    JsonObject tree = gson().toJsonTree(builder, ServerBuilder).getAsJsonObject()
    tree.add("metadata", gson().toJsonTree(changed(ours, values)))
    entry.@serverBuilder = gson().fromJson(tree, ServerBuilder)  // QuPath itself sets it only with the data of an image
}

private boolean isSameImage(ImageServerMetadata one, ImageServerMetadata other) {
    return one.isCompatibleMetadata(other) && one.getWidth() == other.getWidth() && one.getHeight() == other.getHeight()
}

private ImageServerMetadata changed(ImageServerMetadata metadata, Map values) {
    JsonObject tree = gson().toJsonTree(metadata).getAsJsonObject()
    values.each { name, value ->
        if (value == null)
            tree.remove(name)
        else
            tree.add(name, gson().toJsonTree(value))
    }
    return gson().fromJson(tree, ImageServerMetadata)
}

private List shownOf(def project, def entry) {
    def gui = getQuPath()
    if (gui?.getProject() !== project)
        return []
    return gui.getAllViewers()*.getImageData().findAll { it != null && project.getEntry(it) === entry }.unique()
}

ImageServerMetadata metadataIn(Map image) {
    def said = image.serverBuilder?.metadata
    return said == null ? null : gson().fromJson(gson().toJsonTree(said), ImageServerMetadata)
}

private Map settings(ImageServerMetadata metadata) {
    JsonObject tree = gson().toJsonTree(metadata).getAsJsonObject()
    return SETTINGS.findAll { tree.has(it) }.collectEntries { [(it): plain(tree.get(it))] }
}

/** Return JSON as maps, lists, texts and numbers, which compare by what they say. */
private def plain(def json) {
    return gson().fromJson(json, Object)
}

private Gson gson() {
    return GsonTools.getInstance()
}
