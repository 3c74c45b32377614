/*
 * Purpose: keep what another QuPath wrote into the project's file while it was open here: names, descriptions,
 *          metadata, tags and settings of images, and beside it classes and metadata of the project. QuPath writes
 *          these files as a whole, as it read them once. The other scripts load this file from their own folder; by
 *          itself it does nothing.
 * Input:   none.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import com.google.gson.JsonParseException
import groovy.transform.Field
import java.nio.file.Files
import java.nio.file.Path
import org.slf4j.LoggerFactory
import qupath.lib.images.servers.ImageServerBuilder.ServerBuilder
import qupath.lib.io.GsonTools

@Field static final String SEEN = "glomseg.project_files"
@Field static final String OURS = "glomseg."
@Field static final String NAME = "glomseg.name"  // no key of a person's metadata is called so
@Field static final String DESCRIPTION = "glomseg.description"
@Field static final String TAGS = "glomseg.tags"
@Field static final Map<String, String> WORDS = [(NAME): "name", (DESCRIPTION): "description", (TAGS): "tags",
                                                 pixelCalibration: "pixel size"]

/** Return what the project's file lists, by the ids of its images; throws where that is damaged, or half written. */
Map listed(def project) {
    def file = project?.getPath()
    def images = file != null && Files.isRegularFile(file) ? read(file).images : []
    return images.findAll { it.entryID != null }.collectEntries { [(String.format("%.0f", it.entryID as double)): it] }
}

/** Name the image that the project's file lists now under the id of another; null where it lists none such. */
String otherNow(def project, def entry) {
    def theirs = [:]
    try {
        theirs = project?.getImageList()?.contains(entry) ? listed(project)[entry.getID()] : [:]
    } catch (IOException error) {  // half written: what writes the file itself says that
        LoggerFactory.getLogger("GlomSeg").debug("The project's file cannot be read at this moment", error)
    }
    return otherImage(entry, theirs)
}

/**
 * Name the image that the file lists as another than an entry of its id; null where it is the same. Two QuPaths that
 * add images at the same time give them one id. A file that was moved, renamed or converted is the same image's, and so
 * is what the file said when it was looked at last.
 */
String otherImage(def entry, Map theirs) {
    def there = opened(theirs?.serverBuilder), own = entry.getURIs().find { true }
    if (there.uri == null || own == null || isAsLookedAt(entry, theirs))
        return null
    def size = entry.getServerBuilder()?.getMetadata()?.orElse(null)
    def isOfOtherSize = size != null && there.width != null &&
        (there.width != size.getWidth() || there.height != size.getHeight())
    def isCalledOtherwise = theirs.imageName != entry.getOriginalImageName()
    def (ours, other) = [own, URI.create(there.uri.toString())]
    if (ours == other) {  // of several images that are in one file
        def isOtherSeries = there.series != opened(inJson(entry.getServerBuilder())).series
        return isOtherSeries || isOfOtherSize && isCalledOtherwise ? theirs.imageName : null
    }
    def (mine, its) = [ours, other].collect { it.getScheme() == "file" ? new File(it.getPath()) : null }
    def stem = { shared.load("glomseg_other_image").stem(it) }
    def isOtherStem = mine == null || its == null || stem(mine) != stem(its)
    def isOtherFile = isOtherStem && mine?.isFile() && its?.isFile() && mine.length() != its.length()
    def isOther = isOfOtherSize || isOtherFile || (isCalledOtherwise && isOtherStem)
    return isOther ? "${theirs.imageName} (${its?.getName() ?: other})" : null
}

private boolean isAsLookedAt(def entry, Map theirs) {
    def before = seen()?.get(getProject())?.listed?.get(entry.getID())?.serverBuilder
    return before != null && Objects.equals(before, theirs.serverBuilder)
}

/** Return what an image is opened of, as JSON says it: the file, which series of it, and how large that is. */
private Map opened(Map builder) {
    def inner = builder, metadata = builder?.metadata
    while (inner?.uri == null && inner?.builder instanceof Map) {
        inner = inner.builder
        metadata = metadata ?: inner.metadata
    }
    def series = (inner?.args ?: []).join(" ") =~ /--series[ =](\S+)/
    return [uri: inner?.uri, series: series ? series[0][1] : null, width: metadata?.width, height: metadata?.height]
}

private Map inJson(def builder) {
    def gson = GsonTools.getInstance()
    return gson.fromJson(gson.toJson(builder, ServerBuilder), Map)
}

private Map read(Path file) {
    try {
        return GsonTools.getInstance().fromJson(Files.readString(file), Map) ?: [:]
    } catch (JsonParseException error) {
        throw new IOException("The project's file cannot be read at this moment: ${error.getMessage()}", error)
    }
}

/** Note what the project's files say now: what another QuPath changes in them from now on can be told. */
void look(def project) {
    if (project == null || seen() == null)
        return
    note(project, listed(project))
    noteLists(project, lists().classesOnDisk(project), lists().notesOnDisk(project))
}

/**
 * Take over what another QuPath changed in the file since it was looked at last, where nothing was changed here. What
 * was replaced here comes back only by another that saved as it had read it once: it stays replaced. What they
 * gave otherwise than here is told, once. Names the images of which something cannot be taken over.
 */
List<String> takeOver(def project, Map listed) {
    if (seen()?.get(project) == null)
        look(project)
    def known = seen()?.get(project)
    if (known == null || !listed)
        return []
    def images = project.getImageList().findAll { known.listed[it.getID()] != null && listed[it.getID()] != null }
    def left = images.findAll { !takeOverImage(project, it, listed[it.getID()], known) }
    note(project, listed + left.collectEntries { [(it.getID()): known.listed[it.getID()]] })
    tellContested(known, images.collectEntries { [(it.getID()): it.getImageName()] })
    return left*.getImageName()
}

/**
 * Take over in the same way what another QuPath changed in the list of classes, and in the project's own metadata.
 * Where nothing was looked at, all that is listed counts as changed.
 */
void takeOverLists(def project) {
    def known = seen()?.get(project) ?: [classes: [:], notes: [:]] + nothing()
    def classes = lists().classesOnDisk(project), notes = lists().notesOnDisk(project)
    if (classes != null && known.classes != null)
        lists().addClasses(project,
            news("classes", known.classes, classes, [lists().classesHere(project)], known))
    if (notes != null && known.notes != null)
        lists().setNotes(project, news("notes", known.notes, notes, [lists().notesHere(project)], known))
    noteLists(project, classes, notes)
}

private void note(def project, Map listed) {
    def known = seen().computeIfAbsent(project) { nothing() }
    known.listed = listed
    known.builders = project.getImageList().collectEntries { [(it.getID()): it.getServerBuilder()] }
}

private void noteLists(def project, Map classes, Map notes) {
    def known = seen()?.get(project) ?: [:]
    if (classes != null)
        known.classes = classes
    if (notes != null)
        known.notes = notes
}

/** Return that nothing was replaced here yet, and nothing given otherwise there. */
private Map nothing() {
    return [replaced: [:].withDefault { [] as Set }, contested: [] as LinkedHashSet, told: [] as Set]
}

private boolean takeOverImage(def project, def entry, Map theirs, Map known) {
    def before = known.listed[entry.getID()]
    news(entry.getID(), fields(before), fields(theirs), [fieldsOf(entry)], known).each { field, value ->
        change(entry, field, value)
    }
    if (Objects.equals(before.serverBuilder, theirs.serverBuilder) &&
        known.builders[entry.getID()] === entry.getServerBuilder())
        return true
    def settings = shared.load("glomseg_image_settings"), there = settings.inFile(theirs)
    if (there == null)
        return true
    def set = news([entry.getID()], settings.inFile(before) ?: settings.asRead(project, entry), there,
        settings.here(project, entry), known)
    try {
        if (set)
            settings.set(project, entry, theirs, set)
        return true
    } catch (Exception error) {  // groovylint-disable-line CatchException
        LoggerFactory.getLogger("GlomSeg").warn("What another QuPath set of an image cannot be set here", error)
        return false
    }
}

/**
 * Return what is to be changed of something, by its fields: what they changed, where it was not changed here. Where the
 * file said before what had been replaced here, and was not taken over, that differs from ours and is no change here.
 */
private Map news(def key, Map before, Map theirs, List<Map> here, Map known) {
    def fields = before.keySet() + theirs.keySet() + here*.keySet().flatten()
    return fields.findAll { field ->
        def old = known.replaced[[key, field]]
        def isOurs = !old.contains(before[field]) && here.any { !Objects.equals(it[field], before[field]) }
        if (isOurs)
            old << before[field]
        if (Objects.equals(theirs[field], before[field]))
            return false
        def isNews = !isOurs && !old.contains(theirs[field])
        if (!isNews && here.any { !Objects.equals(it[field], theirs[field]) })
            known.contested << [key, field, theirs[field]]
        return isNews
    }.collectEntries { [(it): theirs[it]] }
}

/** Say once what another QuPath gave otherwise than here, where what was given here stays. */
private void tellContested(Map known, Map names) {
    def fields = (known.contested - known.told).collectEntries { key, field, value ->
        def what = key == "notes" ? "the project" : names[key instanceof List ? key[0] : key]
        [([what, field]): what == null ? null : "${WORDS[field] ?: field} of ${what}"]
    }.values().findAll()
    known.told.addAll(known.contested)
    known.contested.clear()
    if (fields)
        shared.tell("Project", "Another QuPath saved otherwise than was given here: ${fields.join(', ')}. What was " +
            "given here stays.")
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

private Script lists() {
    return shared.load("glomseg_project_lists")
}
