/*
 * Purpose: bring what was done to an image here into what another program saved of it meanwhile. The other scripts load
 *          this file from their own folder; by itself it does nothing.
 * Input:   none.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import groovy.transform.CompileStatic
import qupath.lib.images.servers.ImageServerMetadata
import qupath.lib.objects.PathObject


/**
 * Three states of the data of one image: as they were read or saved (`base`), as they are here since (`ours`), and as
 * another program saved them meanwhile (`theirs`). What was done here since is done to theirs, object by object and
 * value by value; all else stays as it is there. Ours is taken to pieces for it, so it is a copy.
 */
class Merge {

    private static final Map<String, String> LISTS = ["glomseg.seen": ";", "glomseg.saves": " "]  // what parts each
    private static final String MEASURED = "glomseg.measured"
    private static final String GRID = "TMA grid", TYPE = "image type", STAINS = "stain vectors", SIZE = "pixel size"
    private static final List<String> PUT_BEFORE = ["Set image type", "Set color deconvolution stains"]
    private static final List<String> OF_A_WRITE = ["glomseg.write", "glomseg.stands"]  // true of the objects on disk

    private final shared, base, ours, theirs
    private final List<List<PathObject>> all  // objects of the three, as they stood before
    private final Map<PathObject, PathObject> here, there  // what objects of base are, here and there
    private final Map<PathObject, PathObject> before = new IdentityHashMap()  // what objects of ours were in base
    private final Map<PathObject, PathObject> parents = new IdentityHashMap()  // of the objects of ours
    private final Map<PathObject, PathObject> now = new IdentityHashMap()  // what objects of ours are in the result
    private final Set<PathObject> drawn = same()  // here, or stand again
    private final List<PathObject> gone = []

    final Map<Object, Object> ids = [:]  // of annotations that came out as they are here: here, and in the result
    final Map<Object, Map> judgedThere = [:]  // by the id here: what a verdict there had made of it, or a new class
    int contested = 0  // objects to which something else was done there than here; what was done here stands
    int returned = 0  // objects that went there, and that something was done to here; they stand again
    int goneThere = 0  // objects that were read or saved here, and are not there: removed, or saved over
    int unjudgedThere = 0  // verdicts of the same kind
    int doubled = 0  // glomeruli drawn or reshaped here, or that stand again, and lie on one that is there alone
    final List<String> contestedOfImage = []

    Merge(def shared, def base, def ours, def theirs) {
        this.shared = shared
        this.base = base
        this.ours = ours
        this.theirs = theirs
        all = [base, ours, theirs].collect { objects(it) }
        here = matched(all[0], all[1])
        there = matched(all[0], all[2])
        here.each { was, item -> before[item] = was }
        all[1].each { parents[it] = it.getParent() }
    }

    /** Do to theirs what was done to ours; `metadata` is what was known of the image itself when it was read. */
    void run(def metadata) {
        here.keySet().findAll { there[it] != null }.each { now[here[it]] = there[it] }
        doGrid()
        doToObjects()
        doDrawing()
        doParents()
        doToImage(metadata)
        countDoubled()
        now.findAll { item, result -> item.isAnnotation() && isAsHere(item, result) }
            .each { item, result -> ids[item.getID()] = result.getID() }
    }

    /** Tell whether the annotations of base are those of here, in all that people and commands give them. */
    boolean isAlike() {
        def (known, shown) = [all[0], all[1]].collect { items -> items.findAll { it.isAnnotation() } }
        return known.size() == shown.size() && known.every { was ->
            def item = here[was]
            item != null && isAsHere(was, item) && measurements(was).equals(measurements(item))
        }
    }

    private boolean isAsHere(PathObject item, PathObject result) {
        return !isReshaped(item, result) && said(item) == said(result) && described(item) == described(result)
    }

    /** Say what a person should know of it; nothing where all went together. */
    String inWords() {
        def both = (contested ? [count(contested, "object")] : []) + contestedOfImage
        def told = both ? ["Changed both here and by the other program: ${both.join(', ')}. What was done here stands."]
            : []
        if (returned)
            told << "Removed by the other program, and standing again, as something was done to them here: " +
                "${count(returned, 'object')}."
        if (isLessThere())
            told << "Taken away by the other program: " + [goneThere ? count(goneThere, "object") : "",
                unjudgedThere ? count(unjudgedThere, "verdict") : ""].findAll().join(" and ") + "."
        if (doubled)
            told << "${count(doubled, 'outline')} of here and there ${doubled == 1 ? 'lies' : 'lie'} on another, and " +
                "both stand: delete or reject the one that is not wanted."
        return told.join(" ")
    }

    private void countDoubled() {
        def standing = shared.glomeruli(theirs.getHierarchy()).findAll { shared.verdict(it) != "reject" }
        def known = same(), changed = same()
        now.each { item, result ->
            known << result
            if (item in drawn || before[item] == null || isReshaped(before[item], result))
                changed << result
        }
        def ofHere = standing.findAll { it in changed }, ofThere = standing.findAll { !(it in known) }
        doubled = shared.load("glomseg_classes").countOn(geometries(ofHere), geometries(ofThere))
    }

    private static List geometries(List<PathObject> items) {
        return items.collect { it.getROI().getGeometry() }
    }

    /** Tell whether something was saved here that was taken away there. */
    boolean isLessThere() {
        return goneThere || unjudgedThere
    }

    private String count(int number, String what) {
        return "${number} ${what}${number == 1 ? '' : 's'}"
    }

    private static List<PathObject> objects(def imageData) {
        return imageData.getHierarchy().getObjects(null, PathObject).findAll { !it.isRootObject() }
    }

    /**
     * Match objects with those that they were before: by id, or by outline where QuPath gave others ids, as its
     * "Refresh object IDs" does, and where several have one.
     */
    @CompileStatic
    private static Map<PathObject, PathObject> matched(List<PathObject> all, List<PathObject> items) {
        Map<PathObject, PathObject> found = new IdentityHashMap<PathObject, PathObject>()
        Set<Object> several = severalHave(all) + severalHave(items)
        List<Closure<Object>> keys = [
            { PathObject item -> (Object) (several.contains(item.getID()) ? null : item.getID()) },
            { PathObject item -> (Object) [item.getID(), place(item)] },
            { PathObject item -> (Object) item.getID() },
            { PathObject item -> (Object) place(item) }]
        List<PathObject> open = all, free = items
        for (Closure<Object> key : keys) {
            Map<Object, Deque<PathObject>> byKey = [:]
            for (PathObject item : free)
                byKey.computeIfAbsent(key.call(item)) { new ArrayDeque<PathObject>() }.add(item)
            Set<PathObject> taken = same()
            for (PathObject was : open) {
                Object of = key.call(was)
                Deque<PathObject> alike = of == null ? null : byKey.get(of)
                if (alike != null && !alike.isEmpty()) {
                    PathObject item = alike.removeFirst()
                    found.put(was, item)
                    taken.add(item)
                }
            }
            open = open.findAll { PathObject it -> !found.containsKey(it) }
            free = free.findAll { PathObject it -> !taken.contains(it) }
            if (!open || !free)
                break
        }
        return found
    }

    @CompileStatic
    private static Set<Object> severalHave(List<PathObject> items) {
        Set<Object> seen = [] as Set, several = [] as Set
        for (PathObject item : items) {
            if (!seen.add(item.getID()))
                several.add(item.getID())
        }
        return several
    }

    @CompileStatic
    private static Set<PathObject> same() {
        return Collections.newSetFromMap(new IdentityHashMap<PathObject, Boolean>())
    }

    /** Tell what an object is and where: its kind, plane and outline. */
    @CompileStatic
    private static List place(PathObject item) {
        def roi = item.getROI()
        return [item.getClass(), roi.getZ(), roi.getT(), roi.getAllPoints()]
    }

    /** Tell whether nothing at all was done to an object, as to most of the many cells of an image. */
    @CompileStatic
    private static boolean isUntouched(PathObject was, PathObject item) {
        return was.getPathClass() == item.getPathClass() && was.getName() == item.getName() &&
            was.getColor() == item.getColor() && was.isLocked() == item.isLocked() &&
            was.getMetadata() == item.getMetadata() && was.getMeasurements().equals(item.getMeasurements()) &&
            !was.isTMACore() && !isReshaped(was, item)
    }

    @CompileStatic
    private static boolean isReshaped(PathObject was, PathObject item) {
        return !(was.getROI().equals(item.getROI()) || place(was) == place(item))
    }

    /** Put the grid of a tissue microarray that was made, changed or taken away here in the place of theirs. */
    private void doGrid() {
        def grid = { it.getHierarchy().getTMAGrid() }
        def cores = { grid(it)?.getTMACoreList()*.getID() ?: [] }
        if (cores(ours) == cores(base))
            return
        if (!(cores(theirs) in [cores(base), cores(ours)]))
            contestedOfImage << GRID
        theirs.getHierarchy().removeObjects(grid(theirs)?.getTMACoreList() ?: [], true)
        grid(ours)?.getTMACoreList().each {
            it.clearChildObjects()
            now[it] = it
        }
        theirs.getHierarchy().setTMAGrid(grid(ours))
    }

    private void doToObjects() {
        def added = all[1].findAll { before[it] == null && !it.isTMACore() }
        def known = same(), holding = same()
        known.addAll(there.values())
        holding.addAll(added.collect { parents[it] })
        def standing = all[0]*.getID() as Set  // a copy with an id that stands is no other's copy of it
        def isNew = { !it.isTMACore() && !standing.contains(it.getID()) }
        def both = matched(added.findAll(isNew), all[2].findAll { !known.contains(it) && isNew(it) })
        added.each {
            if (both[it] == null)
                drawn << it
            else
                doTo(null, it, now[it] = both[it])
        }
        all[0].each { was ->
            def item = here[was], their = there[was]
            if (item != null && their != null && now[item].is(their)) {
                if (shared.verdict(was) && verdict(was) == verdict(item) && !shared.verdict(their))
                    unjudgedThere++
                if (!isUntouched(was, item))
                    doTo(was, item, their)
            } else if (item == null && their != null && !their.isTMACore())
                remove(was, their)
            else if (item != null && their == null && !item.isTMACore()) {
                if (item in holding || isDoneTo(was, item, true))
                    bringBack(item)
                else
                    goneThere++
            }
        }
    }

    private void remove(PathObject was, PathObject their) {
        gone << their
        if (isDoneTo(was, their, false))
            contested++
    }

    /** Let an object stand again that went there, such as by an undo, as something was done to it here. */
    private void bringBack(PathObject item) {
        drawn << item
        returned++
    }

    private boolean isDoneTo(PathObject was, PathObject item, boolean measuring) {
        return isReshaped(was, item) || said(was) != said(item) || described(was) != described(item) ||
            (measuring && !measurements(was).equals(measurements(item)))
    }

    /** Tell the class, name, colour and lock of an object, and of a core whether it is missing. */
    private Map said(PathObject item) {
        return [class: item?.getPathClass(), name: item?.getName(), colour: ownColour(item),
                lock: item != null && item.isLocked(), missing: item != null && item.isTMACore() && item.isMissing()]
    }

    /** Return the colour that somebody gave an object; those of the review are nobody's. */
    private def ownColour(PathObject item) {
        return item?.getMetadata()?.get(shared.PAINTED) == item?.getColor()?.toString() ? null : item.getColor()
    }

    private Map verdict(PathObject item) {
        return item == null ? [:] : item.getMetadata().findAll { it.key in shared.LEFT_BY_A_VERDICT }
    }

    private Map described(PathObject item) {
        return item == null ? [:] : item.getMetadata().findAll { !(it.key in [shared.PAINTED, MEASURED]) }
    }

    private static Map measurements(PathObject item) {
        return item == null ? [:] : new LinkedHashMap(item.getMeasurements())
    }

    /** Do to an object of theirs what was done to ours since it was `was`, null where both came since. */
    private void doTo(PathObject was, PathObject item, PathObject their) {
        def three = [was, item, their]
        if (was == null || verdict(was) != verdict(their) || was.getPathClass() != their.getPathClass())
            judgedThere[item.getID()] = shared.state(their)
        def isContested = doOutline(was, item, their)
        def (verdictWas, verdictHere, verdictThere) = three.collect { verdict(it) }
        def (saidWas, saidHere, saidThere) = three.collect { said(it) }
        def what = saidHere.keySet().findAll { saidHere[it] != saidWas[it] } as Set
        if (verdictHere != verdictWas) {
            def judged = { [shared.verdict(it), it.getMetadata()["glomseg.grade"]] }
            def isAlike = verdictThere != verdictWas && judged(item) == judged(their)
            isContested |= verdictThere != verdictWas && !isAlike
            their.getMetadata().keySet().removeAll(shared.LEFT_BY_A_VERDICT)
            their.getMetadata().putAll(verdictHere)
            if (!isAlike || shared.verdict(item) != "accept")  // which gives no class: one that was given there stands
                what += ["class", "lock"]
        }
        isContested |= what.any { saidThere[it] != saidWas[it] && saidThere[it] != saidHere[it] }
        say(what, item, their)
        def rest = three.collect { described(it).findAll { !(it.key in shared.LEFT_BY_A_VERDICT) } }
        isContested |= changeAlike(*rest, their.getMetadata())
        if (isContested)
            contested++
    }

    /** Give theirs the outline of ours where that was changed here; what was measured is of the outline that stands. */
    private boolean doOutline(PathObject was, PathObject item, PathObject their) {
        def isNew = !isReshaped(item, their)
        def isHere = was == null ? !isNew : isReshaped(was, item)
        def isThere = was != null && isReshaped(was, their)
        if (isHere && !isNew) {
            their.setROI(item.getROI())
            their.getMeasurementList().clear()
            their.getMeasurements().putAll(measurements(item))
            their.getMetadata().remove(MEASURED)
            if (item.getMetadata()[MEASURED] != null)
                their.getMetadata()[MEASURED] = item.getMetadata()[MEASURED]
            return isThere || was == null
        }
        if (isThere && !isNew)
            return false
        def own = { [(MEASURED): it?.getMetadata()?.get(MEASURED)].findAll { it.value != null } }
        changeAlike(own(was), own(item), own(their), their.getMetadata())
        return changeAlike(measurements(was), measurements(item), measurements(their), their.getMeasurements())
    }

    private void say(Set<String> what, PathObject item, PathObject their) {
        def color = their.getColor()
        if ("class" in what) {
            their.setPathClass(item.getPathClass())
            their.setColor(color)  // which QuPath drops with a class
        }
        if ("name" in what)
            their.setName(item.getName())
        if ("lock" in what)
            their.setLocked(item.isLocked())
        if ("missing" in what)
            their.setMissing(item.isMissing())
        if ("colour" in what) {
            their.setColor(item.getColor())
            their.getMetadata().remove(shared.PAINTED)
        }
    }

    /** Change values as they were changed here; tells whether others were given to one of them there. */
    private static boolean changeAlike(Map was, Map here, Map there, Map values) {
        def changed = (was.keySet() + here.keySet()).findAll { !Objects.equals(was[it], here[it]) }
        changed.each {
            if (here.containsKey(it))
                values[it] = here[it]
            else
                values.remove(it)
        }
        return changed.any { !Objects.equals(there[it], was[it]) && !Objects.equals(there[it], here[it]) }
    }

    private void doDrawing() {
        theirs.getHierarchy().removeObjects(gone, true)
        ours.getHierarchy().removeObjects(drawn, true)
        drawn.each {
            it.clearChildObjects()
            now[it] = it
        }
        theirs.getHierarchy().addObjects(drawn)
    }

    /** Put objects into the one that they lie in here, where that is new or another than before. */
    private void doParents() {
        def moved = parents.keySet().findAll { now[it] != null && !it.isTMACore() && isMoved(it) }
        moved.sort { level(it) }.each { item ->
            def result = now[item], parent = placeFor(item)
            if (result.getParent().is(parent) || result.is(parent))
                return
            if (isBelow(parent, result))
                theirs.getHierarchy().addObjectBelowParent(result.getParent(), parent, false)
            theirs.getHierarchy().addObjectBelowParent(parent, result, false)
        }
        theirs.getHierarchy().fireHierarchyChangedEvent(this)
    }

    private boolean isMoved(PathObject item) {
        def parent = parents[item], was = before[item]?.getParent()
        if (item in drawn || parent in drawn || was == null || was.isRootObject() != parent.isRootObject())
            return true
        return !parent.isRootObject() && !before[parent].is(was)
    }

    /** Return the nearest of those that an object lies in here which stands in the result. */
    private PathObject placeFor(PathObject item) {
        def parent = parents[item]
        while (!parent.isRootObject() && now[parent] == null)
            parent = parents[parent]
        return parent.isRootObject() ? theirs.getHierarchy().getRootObject() : now[parent]
    }

    private int level(PathObject item) {
        def parent = parents[item]
        return parent.isRootObject() ? 0 : 1 + level(parent)
    }

    private static boolean isBelow(PathObject item, PathObject above) {
        for (def parent = item; parent != null; parent = parent.getParent()) {
            if (parent.is(above))
                return true
        }
        return false
    }

    private void doToImage(def metadata) {
        def steps = theirs.getHistoryWorkflow().getSteps() + stepsOfOurs()
        changeImage(TYPE) { it.getImageType() } { theirs.setImageType(it) }
        if (theirs.isBrightfield())
            changeImage(STAINS) { it.getColorDeconvolutionStains() } { theirs.setColorDeconvolutionStains(it) }
        def size = { [it.getPixelCalibration(), it.getMagnification(), it.getChannels()] }
        def now = ours.getServerMetadata(), theirNow = theirs.getServerMetadata()
        if (metadata != null && !size(now).equals(size(metadata))) {
            if (!size(theirNow).equals(size(metadata)) && !size(theirNow).equals(size(now)))
                contestedOfImage << SIZE
            theirs.updateServerMetadata(new ImageServerMetadata.Builder(now).name(theirNow.getName()).build())
        }
        theirs.getHistoryWorkflow().clear()
        theirs.getHistoryWorkflow().addSteps(steps)
        doProperties()
    }

    private void changeImage(String what, Closure value, Closure change) {
        def (was, here, there) = [base, ours, theirs].collect(value)
        if (here == was || here == null)
            return
        if (there != was && there != here)
            contestedOfImage << what
        change(here)
    }

    /** Return the steps of the workflow since base; whenever QuPath reads data it puts type and stains before them. */
    private List stepsOfOurs() {
        def key = { [it.getName(), it.hasProperty("script") ? it.getScript() : null] }
        def all = [base, ours].collect { it.getHistoryWorkflow().getSteps() as List }
        def (before, here) = all.collect { steps -> steps.dropWhile { it.getName() in PUT_BEFORE } }
        if (!before) {
            def last = all[0] ? all[1].findLastIndexOf { key(it) == key(all[0].last()) } : -1
            return all[1].drop(last + 1)
        }
        def same = (0..<Math.min(before.size(), here.size())).takeWhile { key(before[it]) == key(here[it]) }.size()
        return here.drop(same)
    }

    private void doProperties() {
        def (was, here, there) = [base, ours, theirs].collect { it.getProperties() }
        def names = (was.keySet() + here.keySet()) - OF_A_WRITE
        names.findAll { !Objects.equals(was[it], here[it]) }.each {
            def by = LISTS[it]
            if (by != null && here[it] != null && there[it] != null)
                theirs.setProperty(it, (there[it].tokenize(by) + here[it].tokenize(by)).unique().join(by))
            else if (here[it] == null)
                theirs.removeProperty(it)
            else
                theirs.setProperty(it, here[it])
        }
        def colouring = theirs.getProperty(shared.COLOURING)
        if (colouring != null)
            shared.paint(theirs, colouring)
    }

}
