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
import com.google.gson.JsonParseException
import groovy.transform.Field
import java.nio.file.Files
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
Map asRead(def project, def entry, def imageData = null) {
    def data = imageData ?: shownOf(project, entry)[0]
    if (data != null)
        return settings(data.getServer().getOriginalMetadata())
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
 * Set in data that were just read what was set in these data since they were of a former state, of which `was` tells as
 * `inFile` does: QuPath reads data with what the project says of the image. Returns what sets it in the project, too.
 */
Closure setAsSaved(def entry, def imageData, Map image, Map was) {
    def now = inFile(image)
    def values = was == null || now == null ? [:] : now.findAll { !Objects.equals(it.value, was[it.key]) }
    if (!values)
        return { }
    def builder = withValues(entry, image, values)
    imageData.updateServerMetadata(changed(imageData.getServerMetadata(), values))
    return { entry.@serverBuilder = builder }
}

/**
 * Set, in the project as it is open here and in all data that are shown, what QuPath saved with an image later than the
 * project's file, by the rules of glomseg's saved_settings.py: it opens the image by that file, and whoever writes that
 * next would make the former value the later one. What was set here stays. This waits where another saved a shown image
 * since, and where that is not saved here, unless a script is at work on `imageData`, its data.
 */
void takeSaved(def project, def entry, def imageData = null) {
    def image = savedLater(project, entry), there = inFile(image)
    def listed = there == null ? [:] : shared.load("glomseg_project_file").listed(project)
    def said = listed[entry.getID()], before = said == null ? null : inFile(said) ?: asRead(project, entry, imageData)
    def waits = { imageData == null && it.isChanged() || shared.saving().isSavedElsewhere(entry, it) }
    if (before == null || shownOf(project, entry).any(waits))
        return
    def ours = here(project, entry) + (imageData == null ? [] : [settings(imageData.getServerMetadata())])
    def values = there.findAll { name, value ->
        !Objects.equals(value, before[name]) && ours.any { !Objects.equals(it[name], value) } &&
            ours.every { Objects.equals(it[name], before[name]) || Objects.equals(it[name], value) }
    }
    if (!values || !isSameImage(entry.getServerBuilder().getMetadata().orElse(null) ?: metadataIn(image),
        metadataIn(image)))
        return
    set(project, entry, image, values)
    if (imageData != null)
        imageData.updateServerMetadata(changed(imageData.getServerMetadata(), values))
}

/** Return what QuPath saved of an image beside its data, as a project's file says it; nothing where that says later. */
private Map savedLater(def project, def entry) {
    def own = project.getPath(), file = entry.getEntryPath().resolve("server.json")
    def isSilent = entry.getServerBuilder()?.getMetadata()?.isEmpty()  // as of an image that was just imported
    try {
        if (own == null || !isSilent && Files.getLastModifiedTime(file) <= Files.getLastModifiedTime(own))
            return [:]
        def server = gson().fromJson(Files.readString(file), Map) ?: [:]
        def isOld = server.builderType == null && server.builder instanceof Map  // of QuPath 0.5
        def image = [serverBuilder: isOld ? server.builder : server]
        return metadataIn(image) == null ? [:] : image
    } catch (IOException | JsonParseException ignored) {
        return [:]
    }
}

private void setInProject(def entry, Map image, Map values) {
    entry.@serverBuilder = withValues(entry, image, values)  // QuPath itself sets it only with the data of an image
}

/** Return what the project opens an image by here, with some values; throws where that is another image there. */
private def withValues(def entry, Map image, Map values) {
    def theirs = metadataIn(image), builder = entry.getServerBuilder()
    def ours = builder.getMetadata().orElse(null) ?: theirs
    if (!isSameImage(ours, theirs))
        throw new IllegalStateException("${entry.getImageName()} is another image there")
    JsonObject tree = gson().toJsonTree(builder, ServerBuilder).getAsJsonObject()
    tree.add("metadata", gson().toJsonTree(changed(ours, values)))
    return gson().fromJson(tree, ServerBuilder)
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
