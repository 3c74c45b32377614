/*
 * Purpose: the one rule of which annotations are of a class, as glomseg's classes.py has it. The other scripts load
 *          this file from their own folder; by itself it does nothing.
 * Input:   names of classes, as QuPath shows them.
 * Output:  whether one is another, derived from it, or a near spelling of either; and words for what was read so.
 * QuPath 0.5, 0.6, 0.7
 */

import groovy.transform.Field
import org.locationtech.jts.index.strtree.STRtree

@Field static final double ON_ANOTHER = 0.5  // of the smaller of two, as in doubtful_outlines.py
@Field static final double PART = 0.25  // of the largest part

/** Return the class among those wanted that a class counts as: the nearest parent, however spelled, its own first. */
String best(String name, List<String> wanted) {
    return wanted.findAll { isClass(name, it) }.max { 2 * namesOf(it).size() + (isExactly(name, it) ? 1 : 0) }
}

/** Tell whether QuPath takes a class for the wanted one or one below it, and does not ignore it for a star. */
boolean isExactly(String name, String wanted) {
    def ours = namesOf(name), theirs = namesOf(wanted)
    return theirs && ours.take(theirs.size()) == theirs && (!isStarred(ours) || isStarred(theirs))
}

/** Tell whether a class is the wanted one, one derived from it, or a near spelling of either. */
boolean isClass(String name, String wanted) {
    if (isExactly(name, wanted))
        return true
    if (isStarred(namesOf(name)) && !isStarred(namesOf(wanted)))
        return false
    def ours = bareNames(name), theirs = bareNames(wanted)
    return theirs && theirs.size() <= ours.size() && (0..<theirs.size()).every { alike(ours[it], theirs[it]) }
}

/** Tell whether an object has an area and is of the wanted class, as `isClass` has it. */
boolean isOf(item, String wanted) {
    return item.getROI().isArea() && item.getROI().getArea() > 0 && isClass(item.getPathClass()?.toString(), wanted)
}

/** Tell whether a class is one of candidates. */
boolean isCandidate(String name) {
    return namesOf(name).take(1) == ["Candidate"]
}

/** Return what a class is derived from; a candidate for a class is of that class here. */
String baseOf(String name) {
    def names = namesOf(name)
    return (isCandidate(name) ? names.drop(1) : names).find() ?: ""
}

/** Say which classes of objects were read as wanted ones though QuPath takes them for others, and how often. */
List<String> spellings(items, List<String> wanted) {
    return items.countBy { it.getPathClass()?.toString() }.collectMany { name, count ->
        def read = best(name, wanted)
        def are = count == 1 ? "is" : "are"
        read == null || isExactly(name, read) ? [] : ["${count} of class '${name}' ${are} read as ${read}".toString()]
    }
}

/** Say how many objects are left out, by kind and class, as classes.py does; "" for none. */
String leftOut(items) {
    def counts = items.countBy { [it.getPathClass()?.toString() ?: "", kindOf(it)] }
        .sort { a, b -> b.value <=> a.value ?: a.key[0] <=> b.key[0] ?: a.key[1] <=> b.key[1] }
    return counts ? "left out: " + counts.collect { of, count ->
        "${count} ${of[1]}${count == 1 ? '' : 's'} " + (of[0] ? "of class ${of[0]}" : "without a class")
    }.join(", ") : ""
}

/** Return the detections, cells and tiles of a wanted class, which are no glomeruli and are said to be left out. */
List detections(imageData, List<String> wanted) {
    def isOne = [:].withDefault { name -> wanted.any { isClass(name, it) } }
    return imageData.getHierarchy().getDetectionObjects().findAll { isOne[it.getPathClass()?.toString() ?: ""] }
}

private String kindOf(item) {
    def roi = item.getROI()
    if (!item.isAnnotation())
        return item.isCell() ? "cell" : item.isTile() ? "tile" : "detection"
    return roi.isPoint() ? "point" : roi.isLine() ? "line" : "annotation"
}

/** Say how many outlines lie on another, and how many have parts of their own, as doubtful_outlines.py does. */
List<String> doubtful(items) {
    def shapes = items.collect { it.getROI().getGeometry() }
    def doubled = countDoubled(shapes), parted = shapes.count { hasParts(it) }
    def said = doubled == 1 ? ["1 outline lies on another, and each counts"] :
        doubled ? ["${doubled} outlines lie on others, and each counts".toString()] : []
    return said + (parted == 1 ? ["1 outline has several parts and counts once"] :
        parted ? ["${parted} outlines have several parts and count once each".toString()] : [])
}

/** Return how many of some shapes lie on one before them. */
private int countDoubled(List shapes) {
    def tree = treeOf(shapes)
    return shapes.indices.count { number ->
        tree.query(shapes[number].getEnvelopeInternal()).any {
            it < number && liesOn(shapes[it], shapes[number])
        }
    }
}

/** Return how many of some shapes lie on one of others, or it on them. */
int countOn(List shapes, List others) {
    def tree = treeOf(others)
    return shapes.count { shape ->
        tree.query(shape.getEnvelopeInternal()).any { liesOn(others[it], shape) }
    }
}

private STRtree treeOf(List shapes) {
    def tree = new STRtree()
    shapes.eachWithIndex { shape, number -> tree.insert(shape.getEnvelopeInternal(), number) }
    return tree
}

private boolean liesOn(one, other) {
    return one.intersection(other).getArea() > ON_ANOTHER * Math.min(one.getArea(), other.getArea())
}

private boolean hasParts(shape) {
    def parts = (0..<shape.getNumGeometries()).collect { shape.getGeometryN(it) }.sort { -it.getArea() }.take(2)
    return parts.size() == 2 && parts[1].getArea() > PART * parts[0].getArea() && parts[0].distance(parts[1]) > 1
}

/** Say how many objects lie on other planes of a stack than the first, as annotations.py does; "" for none. */
String offPlane(items) {
    def count = items.count { it.getROI().getZ() != 0 || it.getROI().getT() != 0 }
    return count ? "${count} on other planes than the first, counted as if there" : ""
}

private List<String> namesOf(String name) {
    return (name ?: "").split(":")*.strip().findAll { it }
}

private boolean isStarred(List<String> names) {
    return names && names.last().endsWith("*")
}

private List<String> bareNames(String name) {
    def shown = (name ?: "").replaceAll("[\\s\\p{Z}\\p{Cf}_-]+", "").toLowerCase(Locale.ROOT)
    return shown.split("[:,;]").collect { singular(it) }.findAll { it }
}

private String singular(String word) {
    if (word.endsWith("i") && word.size() > 3)
        return word[0..-2] + "us"
    if (word.endsWith("uses"))
        return word[0..-3]
    return word.endsWith("s") && !(word ==~ /.*(us|ss|is)/) ? word[0..-2] : word
}

/* Whether two names are the same but for one slip in a long word. */
private boolean alike(String one, String other) {
    if (one == other)
        return true
    def letters = [one, other].every { it.size() >= 8 && it.every { letter -> Character.isLetter(letter as char) } }
    if (!letters || Math.abs(one.size() - other.size()) > 1)
        return false
    def same = Math.min(one.size(), other.size())
    def start = (0..<same).find { one[it] != other[it] } ?: (one[0] == other[0] ? same : 0)
    def left = one.substring(start), right = other.substring(start)
    def swapped = left.take(2) == right.take(2).reverse() && left.drop(2) == right.drop(2)
    return left.drop(1) == right.drop(1) || left.drop(1) == right || left == right.drop(1) || swapped
}
