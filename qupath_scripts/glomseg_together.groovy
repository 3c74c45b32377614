/*
 * Purpose: bring together what another program saved of an image that is open here, and what was done here. The other
 *          scripts load this file from their own folder; by itself it does nothing.
 * Input:   none.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import groovy.transform.Field
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject
import qupath.lib.objects.hierarchy.PathObjectHierarchy

@Field static final String WRITE = "glomseg.write"

/**
 * Return the data of an image as another program saved them, with what was done here since they were read or saved,
 * how that went together, as a Merge, what sets in the project what they say of the image itself, and what stands on
 * disk, as `atRest` has it. They are changed where something was; what is shown and the project stay as they are.
 */
List broughtTogether(def entry, def imageData) {
    def saving = shared.saving(), file = shared.load("glomseg_data_file"), known = saving.stamps().get(imageData)
    def disk = file.atRest(entry), there = entry.readImageData()
    def state = stateOf(entry, imageData, there)
    def settings = shared.load("glomseg_image_settings"), was = imageIn(state), base = baseOf(entry, imageData, state)
    def isPersons = base.getProperty(WRITE) == there.getProperty(WRITE)  // commands write what the project's file says
    def set = isPersons ? settings.setAsSaved(entry, there, imageIn(file.content(entry)), settings.inFile(was)) : { }
    def ours = saving.read(saving.bytes(imageData), imageData)
    addAsWritten(entry, base, ours, there)
    def merge = shared.load("glomseg_merge").newInstance(shared, base, ours, there)
    def isLast = state.is(saving.lastState(imageData))
    merge.run(isLast ? known?.metadata : settings.metadataIn(was) ?: known?.metadata)
    there.setChanged(imageData.isChanged() || !isLast)
    return [there, merge, set, disk]
}

/** Return what data say of the image itself, as a project's file does. */
private Map imageIn(byte[] data) {
    try {
        return [serverBuilder: data == null ? null : shared.load("glomseg_other_image").serverIn(data)]
    } catch (IOException | com.google.gson.JsonParseException | ClassCastException ignored) {
        return [:]
    }
}

/**
 * Return the newest state that others made theirs of, by the saves of ours that they know, or that `glomseg restore`
 * took away, which is no saving over; null where none is.
 */
private def stateOf(def entry, def imageData, def there) {
    def saving = shared.saving(), last = saving.lastState(imageData)
    if (last && shared.load("glomseg_backup").isRestoredOver(entry, last))
        return last
    def states = saving.stamps().get(imageData)?.states ?: [], theirs = saving.saves(there)
    def found = states.reverse().find { theirs.containsAll(it[0] ?: []) } ?: states.find()
    return found == null ? null : found[1]
}

/** Return data as they were read or saved; where nobody saw that, those on disk, of the objects that stand here. */
private def baseOf(def entry, def imageData, byte[] known) {
    if (known?.length)
        return shared.saving().read(known, imageData)
    if (known != null)
        return new ImageData(imageData.getServer(), new PathObjectHierarchy())
    def base = entry.readImageData()
    def here = imageData.getHierarchy().getObjects(null, PathObject)*.getID() as Set
    base.getHierarchy().removeObjects(base.getHierarchy().getObjects(null, PathObject)
        .findAll { !it.isRootObject() && !here.contains(it.getID()) }, true)
    return base
}

/** Add to a base, as its run wrote it, what came in here and there since, such as a candidate that two accepted. */
void addAsWritten(def entry, def base, def ours, def theirs) {
    def (known, there) = [base, theirs].collect { it.getHierarchy().getAnnotationObjects()*.getID() as Set }
    def both = ours.getHierarchy().getAnnotationObjects().findAll { !(it.getID() in known) && it.getID() in there }
    def home = entry.getEntryPath().getParent().resolveSibling("glomseg"), runs = shared.load("glomseg_runs")
    both.groupBy { it.getMetadata()["glomseg.run"] }.findAll { it.key }.each { run, items ->
        def ids = items*.getID() as Set, written = runs.written(home, run, entry.getID())
        base.getHierarchy().addObjects(written.findAll { it.getID() in ids }.unique { it.getID() })
    }
}
