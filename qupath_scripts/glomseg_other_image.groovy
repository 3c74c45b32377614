/*
 * Purpose: tell whether the data of an image were saved of another one, by the rules of glomseg's image_of_data.py. The
 *          other scripts load this file from their own folder; by itself it does nothing.
 * Input:   the data file of the image, at whose head QuPath writes of which image it is.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import com.google.gson.JsonParseException
import groovy.transform.Field
import java.nio.charset.StandardCharsets
import java.nio.file.Path
import qupath.lib.io.GsonTools

@Field static final int HEAD = 1 << 20

/** Refuse data that were saved of another image: of another size, or of a file of another name and length. */
void refuse(def entry, def server) {
    def reason = reasonAgainst(entry, server)
    if (reason)
        throw new IllegalStateException("${entry.getImageName()}: ${reason}")
}

/** Say that the data are another image's, and the way out; nothing where they are not. */
String reasonAgainst(def entry, def server) {
    def saved = [:]
    synchronized (entry) {  // QuPath holds it while it saves
        saved = savedImage(entry.getEntryPath())
    }
    def uri = server.getURIs().find { it.getScheme() == "file" }
    def hasOtherSize = saved.width != null && (saved.width != server.getWidth() || saved.height != server.getHeight())
    def own = uri == null ? null : new File(uri)
    def isAnothers = SameImage.isFileOfAnother(saved.file, own, getProject(), entry)
    if (!hasOtherSize && !isAnothers && !isOtherFile(saved.file, own))
        return ""
    def name = saved.file?.getName() == own?.getName() ? saved.file : saved.file?.getName()
    def size = saved.width == null ? null : "${saved.width} x ${saved.height} px"
    return "its data were saved of another image (${[name, size].findAll().join(', ')}), as where " +
        "folders of data were exchanged, so nothing was done. Put its own data back (`glomseg restore PROJECT " +
        "${entry.getID()}` lists backups), or look at its outlines in QuPath and save it there"
}

/** Read of which image data were saved; nothing where they do not say it. */
private Map savedImage(Path folder) {
    def data = ["data.qpdata", "data.qpdata.bkp"].collect { folder.resolve(it).toFile() }.find { it.isFile() }
    try {
        def builder = data == null ? null : data.withInputStream { serverIn(it.readNBytes(HEAD)) }, inner = builder
        while (inner?.builderType == "pyramidize" && inner.builder instanceof Map)
            inner = inner.builder
        def seen = builder?.metadata ?: inner?.metadata
        def uri = inner?.uri instanceof String ? new URI(inner.uri) : null
        return [width: seen?.width as Integer, height: seen?.height as Integer,
                file: uri?.getScheme() == "file" ? new File(uri.getPath()) : null]
    } catch (IOException | JsonParseException | URISyntaxException | ClassCastException ignored) {
        return [:]
    }
}

/** Return by what data that begin so open their image, as JSON; null where they do not say it. */
Map serverIn(byte[] data) {
    def text = new String(data, 0, Math.min(data.length, HEAD), StandardCharsets.UTF_8)
    def start = text.indexOf('{"dataVersion"')
    if (start < 0)
        return null
    def reader = new com.google.gson.stream.JsonReader(new StringReader(text.substring(start)))
    return GsonTools.getInstance().getAdapter(Map).read(reader).server
}

private boolean isOtherFile(File saved, File now) {
    if (saved == null || now == null || stem(saved) == stem(now))
        return false
    return [saved, new File(now.getParentFile(), saved.getName())].any { it.isFile() && it.length() != now.length() }
}

/** Return a file's name without its suffixes, which a conversion changes. */
String stem(File file) {
    return file.getName().takeBefore(".") ?: file.getName()
}
