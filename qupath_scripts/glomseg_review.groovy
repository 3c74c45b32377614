/*
 * Purpose: the window of the review. review_glomeruli loads this file from its own folder; by itself it does nothing.
 * Input:   none.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import javafx.animation.PauseTransition
import javafx.util.Duration
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.viewer.tools.PathTools
import qupath.lib.objects.PathObject
import qupath.lib.objects.hierarchy.events.PathObjectHierarchyListener


/** The window of the review. It holds ids and looks each object up, for QuPath's undo puts copies in their place. */
class Review extends ImageWindow {

    private static final int MOST = 20  // verdicts that are not saved where the keys never rest

    List ids = []
    int at = 0
    def verdicts = null  // what was judged in these data
    final Deque past = new ArrayDeque()  // what U takes back
    private Collection kept = []  // of it, where what another program saved took the place of these data
    int unsaved = 0
    def tool = null  // what was in hand before the brush of an edit
    private Map edited = null  // what was there when an edit began
    Map<Object, PathObject> byId = [:]  // the glomeruli as they stand now; made anew when objects come or go
    Map<Object, PathObject> candidates = [:]  // what is offered beside them, and not in the image yet
    List candidatesOf = null  // which file they were read from
    Map<String, Integer> tally = [:]
    int alike = 0  // glomeruli that have one id with another: a verdict could be either's, so neither is offered
    Set wholeImages = []
    private Boolean isToldChanged = null

    private final PauseTransition soon = new PauseTransition(Duration.millis(100))  // after the next one is shown

    final pane = new ReviewPane(this)
    final scale = new Scale()
    final brackets
    final PathObjectHierarchyListener onObjects = { event ->
        if (event.getSource() !== shared)
            later { refresh() }
    } as PathObjectHierarchyListener

    Review(def shared, def gui) {
        super("Review", "review", shared, gui)
        brackets = new Brackets(gui.getOverlayOptions(), this)
    }

    void layOut() {
        pane.layOut(box)
        soon.setOnFinished { save() }
    }

    void close() {
        super.close()
        brackets.takeOff(gui)
    }

    void turnTo() {
        past.clear()
        past.addAll(kept)
        kept = []
        readCandidates()
        scale.begin()
        if (data != null) {
            verdicts = Verdicts.of(shared, gui, data)
            verdicts.keep(data.getHierarchy())
            verdicts.attended = true
            data.getHierarchy().addListener(onObjects)
            brackets.putOn(gui)
            pane.showColouring(data.getProperty(shared.COLOURING) ?: "none")
        }
        restart()
    }

    /** Look after verdicts that are not saved yet, of an image that the active viewer no longer shows. */
    void leave() {
        [rest, soon].each { it.stop() }
        layDown()
        data.getHierarchy().removeListener(onObjects)
        verdicts.attended = false
        byId = [:]
        if (!unsaved)
            return
        if (isInPlace()) {
            save()  // another viewer has it still
        } else if (!data.isChanged() && gui.getProject() === project && project.getImageList().contains(entry)) {
            entry.putMetadataValue(shared.REVIEW, shared.progress(data.getHierarchy()))  // QuPath saved it on leaving
            syncOrSay()
        } else if (data.isChanged()) {
            warn("${unsaved} ${unsaved == 1 ? 'verdict' : 'verdicts'} on ${entry.getImageName()} not saved.")
        }
        unsaved = 0
    }

    private void syncOrSay() {
        try {
            shared.sync(project, entry)
        } catch (IOException | IllegalStateException error) {
            warn("The verdicts on ${entry.getImageName()} are saved, but not in the project's list of images: " +
                error.getMessage())
        }
    }

    void save() {
        [rest, soon].each { it.stop() }
        if (unsaved && write()) {
            unsaved = 0
            tell()
        }
    }

    void saveAnyway() {
        unsaved++
        save()
    }

    void carryOver(def merge) {
        unsaved = 0
        kept = past.findAll { merge.ids[it.id] != null }.collect {
            def theirs = merge.judgedThere[it.id]  // which comes back where ours is taken back
            [id: merge.ids[it.id], state: theirs ?: it.state, candidate: it.candidate && theirs == null]
        }
    }

    PathObject find(def id) {
        return data == null || id == null ? null : byId[id] ?: candidates[id]
    }

    boolean isCandidate(PathObject item) {
        return item != null && candidates[item.getID()].is(item)
    }

    /** Read what the newest run found beside what counts, as far as it is wanted and nobody judged it. */
    void readCandidates() {
        candidates = [:]
        candidatesOf = data == null || Candidates.choice().get() == "none" ? null : Candidates.stamp(project, entry)
        if (candidatesOf == null)
            return
        try {
            def places = shared.judgedPlaces(data.getHierarchy())
            candidates = Candidates.read(project, entry, places).collectEntries { [(it.getID()): it] }
            if (Candidates.leftOut(project, entry))
                warn(Candidates.leftOut(project, entry))
        } catch (IOException | RuntimeException error) {  // groovylint-disable-line CatchRuntimeException
            warn("The candidates of the run cannot be read: ${error.getMessage()}")
        }
    }

    /** Offer what a run found that came to its end while the image was under review, in place of the one before. */
    private void followRuns() {
        if (Candidates.choice().get() == "none" || Candidates.stamp(project, entry) == candidatesOf)
            return
        def before = candidates.keySet()
        readCandidates()
        def gone = before.findAll { find(it) == null }
        def left = at < ids.size() && ids[at] in gone
        at -= ids.take(at).count { it in gone }
        ids.removeAll(gone)
        if (left)
            later { show() }
    }

    void offer(String choice) {
        Candidates.choice().set(choice)
        readCandidates()
        restart()
    }

    /** Look at all objects again; between two such looks, verdicts keep the count. */
    void look() {
        def all = data == null ? [] : shared.glomeruli(data.getHierarchy())
        def ofId = all.countBy { it.getID() }
        byId = all.findAll { ofId[it.getID()] == 1 }.collectEntries { [(it.getID()): it] }
        alike = all.size() - byId.size()
        tally = all.countBy { shared.verdict(it) ?: shared.TO_DO }
        wholeImages = (data == null ? [] : project.getImageList()).findAll { shared.reviewedOnDisk(it) != null } as Set
    }

    int countDone() {
        return shared.FINAL.collect { tally[it] ?: 0 }.sum()
    }

    int countOpen() {
        return countAll() - countDone()
    }

    int countAll() {
        return tally.values().sum() ?: 0
    }

    PathObject current() {
        return find(at < ids.size() ? ids[at] : null)
    }

    void restart() {
        look()
        ids = listOpen()
        at = 0
        show()
    }

    List listOpen() {
        if (data == null)
            return []
        def reading = pane.isInReadingOrder()
        def offered = candidates.values() as List
        if (Candidates.choice().get() == "all")
            return shared.queue(data.getHierarchy(), reading, offered)*.getID().findAll { find(it) != null }
        def last = shared.inOrder(offered, reading)*.getID()
        def open = shared.queue(data.getHierarchy(), reading)*.getID().findAll { find(it) != null }
        return open + (reading ? last : last.reverse())
    }

    /** Follow what was drawn, deleted or undone: the queue after the one at hand is what is to do now. */
    void refresh() {
        if (!isCurrent())
            return
        def undone = verdicts.keep(data.getHierarchy())
        followIds()
        look()
        followRuns()
        def passed = ids.take(at + 1) as LinkedHashSet
        ids = (passed as List) + listOpen().findAll { !passed.contains(it) }
        tell()
        if (undone)
            sayUndone()
        gui.getViewerManager().repaintAllViewers()
    }

    /** Say what a step of QuPath's undo did; what was saved is kept before one is that took judged outlines away. */
    private void sayUndone() {
        def said = "Verdicts stay: U takes the last one back."
        try {
            if (verdicts.taken) {
                keep("step")
                said = "Gone with that, and judged: ${verdicts.taken}; Ctrl+Shift+Z, or Ctrl+Z after a redo, brings " +
                    "${verdicts.taken == 1 ? 'it' : 'them'} back. ${whereKept()}"
            }
            touched()
        } catch (IOException error) {
            said = "Gone with that, and judged: ${verdicts.taken}. No backup could be made (${error.getMessage()}): " +
                "bring ${verdicts.taken == 1 ? 'it' : 'them'} back with Ctrl+Shift+Z before anything is saved."
        }
        warn("QuPath's undo and redo go through what was drawn, wherever that is. ${said}")
    }

    /** Follow objects to which QuPath gave other ids, as it can do to all. */
    private void followIds() {
        def idsNow = verdicts.idsNow()
        def now = { id -> idsNow[verdicts.firstId(id)] ?: id }
        at = ids.take(at).collect(now).unique().size()
        ids = ids.collect(now).unique()
        past.each { it.id = now(it.id) }
    }

    void touched() {
        unsaved++
        rest.playFromStart()
        if (unsaved % MOST == 0)
            soon.playFromStart()
    }

    /** Give the glomerulus at hand a verdict, and go to the next; an edit stays on it until it is accepted. */
    void decide(String verdict, String grade = null) {
        def item = current()
        def initials = item == null ? "" : pane.initials.ask()
        if (!initials || isDrawnBeside(item, verdict))
            return
        layDown()
        def before = shared.state(item)
        def candidate = isCandidate(item)
        if (candidate)
            takeIn(item)
        shared.judge(data, item, verdict, initials, grade)
        remember(item, before, candidate)
        if (verdict == "edit")
            pickUp(item)
        else
            at++
        show()
    }

    /** Make a candidate an object of the image. */
    private void takeIn(PathObject item) {
        candidates.remove(item.getID())
        shared.withoutStep { data.getHierarchy().addObject(item) }
        byId[item.getID()] = item
        tally[shared.TO_DO] = (tally[shared.TO_DO] ?: 0) + 1
    }

    void remember(PathObject item, Map before, boolean candidate = false) {
        past.push([id: item.getID(), state: before, candidate: candidate])
        verdicts.note(item, candidate ? [candidate: item] : [:])
        count(before, item)
        touched()
    }

    void count(Map before, PathObject item) {
        def old = shared.verdictIn(before.metadata, before.pathClass) ?: shared.TO_DO
        def now = shared.verdict(item) ?: shared.TO_DO
        tally[old] = (tally[old] ?: 0) - 1
        tally[now] = (tally[now] ?: 0) + 1
    }

    /** Take the last verdict of this session back, and show its glomerulus. */
    void takeBack() {
        if (past.isEmpty()) {
            warn("There is no verdict of this session to take back.")
            return
        }
        layDown()
        def last = past.pop()
        def item = find(last.id)
        if (item == null) {
            verdicts.forget(last.id)
            warn("The glomerulus of the last verdict was deleted; QuPath's undo brings it back.")
            return
        }
        def before = shared.state(item)
        shared.putBack(item, last.state)
        count(before, item)
        shared.changed(data.getHierarchy(), [item])
        verdicts.note(item)
        if (last.candidate)
            offerAgain(item)
        touched()
        def found = ids.indexOf(last.id)
        if (found < 0)
            ids.add(at, last.id)
        else
            at = found
        show()
    }

    private void offerAgain(PathObject item) {
        verdicts.forget(item.getID())
        shared.withoutStep { data.getHierarchy().removeObject(item, true) }
        candidates[item.getID()] = item
        look()
    }

    void step(int by) {
        layDown()
        if (by > 0 && at >= ids.size())
            restart()
        else
            at = Math.max(0, Math.min(ids.size(), at + by))
        show()
    }

    void pickUp(PathObject item) {
        edited = [id: item.getID(), outline: item.getROI().getGeometry(), there: idsOfAll()]
        tool = gui.getToolManager().getSelectedTool()
        data.getHierarchy().getSelectionModel().setSelectedObject(item)
        gui.getToolManager().setSelectedTool(PathTools.BRUSH)
    }

    private Set idsOfAll() {
        return data.getHierarchy().getAnnotationObjects()*.getID() as Set
    }

    /**
     * Tell whether an edit drew beside its glomerulus and left that as it was: a brush that begins outside of the
     * outline draws another, without a class, and what is accepted would be the old one. Said once.
     */
    private boolean isDrawnBeside(PathObject item, String verdict) {
        def edit = edited
        if (edit == null || edit.id != item.getID() || !(verdict in ["accept", "sclerotic"]))
            return false
        edited = null
        if (item.getROI().getGeometry() != edit.outline || edit.there.containsAll(idsOfAll()))
            return false
        warn("This glomerulus is as it was: what was drawn lies beside it, as another annotation. Begin inside the " +
            "outline to change it. Or give what was drawn the class ${shared.BASE}, and reject this one. The same " +
            "key once more judges it as it is.")
        return true
    }

    /** Put the tool back that was in hand before an edit, so that the brush does not touch the next one. */
    void layDown() {
        if (tool == null)
            return
        gui.getToolManager().setSelectedTool(tool)
        tool = null
        data?.getHierarchy()?.getSelectionModel()?.clearSelection()
    }

    void show() {
        tell()
        def roi = current()?.getROI()
        if (roi != null && viewer() != null)
            scale.centre(viewer(), roi) { shared.glomeruli(data.getHierarchy())*.getROI() }
        gui.getViewerManager().repaintAllViewers()
    }

    void tell() {
        isToldChanged = data?.isChanged()
        pane.tell()
    }

    void eachSecond() {
        super.eachSecond()
        if (data?.isChanged() != isToldChanged)  // QuPath itself saved it, or something was drawn
            tell()
    }

    void paint(String how) {
        if (isCurrent() && how != (data.getProperty(shared.COLOURING) ?: "none")) {
            shared.paint(data, how)
            touched()
        }
    }

    void finish() {
        def initials = pane.initials.ask()
        if (!initials)
            return
        def marked = shared.reviewedBy(entry, data) != null
        def open = countOpen(), offered = candidates.size()
        def waiting = shared.load("glomseg_candidates").waiting(project, entry, shared.glomeruli(data.getHierarchy()))
        def left = [open ? "${open} ${open == 1 ? 'glomerulus has' : 'glomeruli have'} no final verdict" : "",
                    offered ? "${offered} ${offered == 1 ? 'candidate was' : 'candidates were'} not judged" : "",
                    waiting ? "${waiting} ${waiting == 1 ? 'outline' : 'outlines'} of the newest run ${waiting == 1 ?
                        'is' : 'are'} not in the image (`glomseg collect`, or Import results, brings them in)" : ""]
            .findAll().join(", and ")
        if (!marked && left && !Dialogs.showYesNoDialog(title, "${left}. Mark the image as fully reviewed? Training " +
            "takes the image as truth then, but for candidates without a verdict and what is to be edited."))
            return
        if (!isCurrent())
            return
        shared.markReviewed(entry, data, null, !marked, initials)
        saveAnyway()
        look()
        tell()
    }

    /** Save, and open the next image of the project that is not marked as fully reviewed. */
    void nextImage() {
        def images = project.getImageList()
        def own = images.findIndexOf { it.getID() == entry.getID() }
        def others = images.drop(own + 1) + images.take(Math.max(0, own))
        def next = others.find { shared.reviewedOnDisk(it) == null }
        if (next == null) {
            warn("Every other image of the project is fully reviewed.")
            return
        }
        if (data.isChanged())
            saveAnyway()
        if (lookForOthers() && data.isChanged()) // QuPath's own question saves over what the other did
            warn("The next image is opened once you have chosen what becomes of this one.")
        else
            gui.openImageEntry(next)
    }

    void setComment(String text) {
        def item = current()
        if (item == null || (item.getDescription() ?: "") == text)
            return
        if (isCandidate(item)) {
            item.setDescription(text ?: null)
            return
        }
        item.setDescription(text ?: null)
        verdicts.note(item, [comment: item.getDescription()])
        shared.changed(data.getHierarchy(), [item])
        touched()
    }

}
