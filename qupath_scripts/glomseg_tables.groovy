/*
 * Purpose: look at a table before a script writes it anew, by the rules of glomseg's standing_files.py, and say of
 *          what project it is. The other scripts load this file from their own folder; by itself it does nothing.
 * Input:   the file, and the columns that the script writes.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import groovy.transform.Field
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption

@Field static final long ROUNDED_MS = 2000  // as some disks round times

/** Refuse a table that is not ours, or into which a person wrote columns of their own: these would go with it. */
void refuseOthers(Path file, List<String> columns) {
    if (!Files.exists(file))
        return
    def lines = file.toFile().readLines("UTF-8")*.replace("\uFEFF", "")
    def found = lines ? cells(lines[0]) : []
    if (found.count { it in columns } < columns.size() / 3)
        throw new IllegalArgumentException("${file} is there and no table of glomseg's, so nothing was written; name " +
            "another file, or move that one away.")
    def own = found.findAll { it && !(it in columns) }
    if (own)
        throw new IllegalArgumentException("${file} has columns that glomseg does not write " +
            "(${own.take(3).join(', ')}), so nothing was written; name another file, or move that one away.")
}

/** Refuse a table of ours that a program wrote with other marks between its cells: rows could not be told apart. */
void refuseOtherMarks(Path file) {
    def first = Files.exists(file) ? file.toFile().withReader("UTF-8") { it.readLine() } : null
    if (first != null && !first.contains(","))
        throw new IllegalArgumentException("${file} has other marks than commas between its cells, as a spreadsheet " +
            "saves it, so nothing was written; save it with commas, or move it away.")
}

/** Refuse outlines that were saved since the table beside them was written with them, or that have none: a person's. */
void refuseChanged(Path outlines, Path table) {
    if (!Files.exists(outlines) && !Files.exists(table))
        return
    def isPair = Files.exists(outlines) && Files.exists(table)
    if (!isPair || Math.abs(modified(outlines) - modified(table)) > ROUNDED_MS)
        throw new IllegalArgumentException("${outlines} and the table beside it are not as one export left them: " +
            "somebody saved or removed one since, or an export was stopped, so nothing was written; name another " +
            "folder, or move them away.")
}

/** Write files, whole or not at all: each beside its place first, where a QuPath that is killed leaves half of one. */
void replacing(List<Path> files, Closure write) {
    def beside = files.collect { it.resolveSibling("." + it.getFileName()) }
    try {
        write(*beside)
        [beside, files].transpose().each { from, to -> Files.move(from, to, StandardCopyOption.REPLACE_EXISTING) }
    } finally {
        beside.each { Files.deleteIfExists(it) }
    }
}

/** Let the table beside outlines be of their time, so that it shows where a person saves one of them. */
void writtenWith(Path outlines, Path table) {
    Files.setLastModifiedTime(table, Files.getLastModifiedTime(outlines))
}

private long modified(Path file) {
    return Files.getLastModifiedTime(file).toMillis()
}

/** Say where a project's file is from a folder, so that both can be moved together. */
String projectFrom(Path folder, def project) {
    def file = project.getPath().toRealPath(), base = folder.toRealPath()
    return (file.getRoot() == base.getRoot() ? base.relativize(file) : file).toString().replace("\\", "/")
}

/** Quote a text for a table; no spreadsheet is to run it as a formula, and glomseg takes the ' off again. */
String quoted(def value) {
    def words = value == null ? "" : value.toString()
    def plain = words =~ /^'*[=+\-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20]/ ? "'" + words : words
    return '"' + plain.replace('"', '""') + '"'
}

/** Split a line at commas, semicolons or tabs, but not between quotes. */
List<String> cells(String line) {
    def mark = [",", ";", "\t"].max { line.count(it) }
    return line.split(mark + /(?=(?:[^"]*"[^"]*")*[^"]*$)/, -1).collect { cell ->
        def bare = cell.trim()
        bare.size() > 1 && bare.startsWith('"') && bare.endsWith('"') ? bare[1..-2].replace('""', '"') : bare
    }
}
