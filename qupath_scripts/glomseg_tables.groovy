/*
 * Purpose: look at a table before a script writes it anew, by the rules of glomseg's files.py. The other scripts load
 *          this file from their own folder; by itself it does nothing.
 * Input:   the file, and the columns that the script writes.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import java.nio.file.Files
import java.nio.file.Path

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

/** Split a line at commas, semicolons or tabs, but not between quotes. */
List<String> cells(String line) {
    def mark = [",", ";", "\t"].max { line.count(it) }
    return line.split(mark + /(?=(?:[^"]*"[^"]*")*[^"]*$)/, -1).collect { cell ->
        def bare = cell.trim()
        bare.size() > 1 && bare.startsWith('"') && bare.endsWith('"') ? bare[1..-2].replace('""', '"') : bare
    }
}
