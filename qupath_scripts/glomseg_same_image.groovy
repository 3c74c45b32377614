/*
 * Purpose: whether the image that a run looked at is the one that has its id now, by the rules of glomseg's
 *          same_image.py. The other scripts load this file from their own folder; by itself it does nothing.
 * Input:   the record of an image in <project folder>/glomseg/<run>/run.json.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */


/** Ids begin anew where a project is made again in its old folder, and two images may have files of one name. */
class SameImage {

    /** Tell whether what a run says of an image is of another one; `server` opens the image that has its id now. */
    static boolean isOfAnother(Map record, def project, def entry, def server) {
        def size = server ?: entry.getServerBuilder()?.getMetadata()?.orElse(null)
        if (record?.width != null && size != null &&
                (record.width != size.getWidth() || record.height != size.getHeight()))
            return true
        def uri = entry.getURIs().find { it.getScheme() == "file" }
        def file = uri == null ? null : new File(uri)
        def was = record?.inputs?.file, path = record?.path ? new File(record.path) : null
        def isSame = was == null || file == null || record.name == entry.getOriginalImageName() ||
            was == file.getName() || record.inputs.bytes == file.length()
        return !isSame || isFileOfAnother(path, file, project, entry) &&
            !(record.inputs?.bytes == file.length() && path.length() != file.length())
    }

    /** Tell whether a file is that of another image of the project and not of this one: two may be called the same. */
    static boolean isFileOfAnother(File saved, File own, def project, def entry) {
        return saved != null && own != null && saved != own && project.getImageList().any { other ->
            other.getID() != entry.getID() && other.getURIs().any { it.getScheme() == "file" && new File(it) == saved }
        }
    }

}
