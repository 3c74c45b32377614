/*
 * Purpose: what glomseg's own windows share: the image that is shown, saving, a file saved by others. The other scripts
 *          load this file from their own folder; by itself it does nothing.
 * Input:   none.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import javafx.animation.Animation
import javafx.animation.KeyFrame
import javafx.animation.PauseTransition
import javafx.animation.Timeline
import javafx.application.Platform
import javafx.beans.value.ChangeListener
import javafx.event.EventHandler
import javafx.geometry.Insets
import javafx.scene.Scene
import javafx.scene.control.Button
import javafx.scene.control.Label
import javafx.scene.layout.HBox
import javafx.scene.layout.Region
import javafx.scene.layout.VBox
import javafx.stage.Stage
import javafx.util.Duration
import org.slf4j.LoggerFactory
import qupath.fx.dialogs.Dialogs


/** A window about the image that the active viewer shows, whichever that is. There is one at a time. */
abstract class ImageWindow {

    static final String OPEN = "glomseg.window"
    private static final double MOST_WIDE = 640.0d  // pixels of a line
    private static final String CHOOSE = " Nothing is saved here until you choose."
    private static final String ELSEWHERE =
        "Another program (glomseg, another QuPath) saved this image meanwhile." + CHOOSE
    private static final String MAYBE_ELSEWHERE = "On disk are other objects than here. If you saved this image here " +
        "and went on, overwrite it; if another program (glomseg, another QuPath) saved it since, load it." + CHOOSE
    private static final String GONE = "The data of this image are no longer where they were: moved, removed, or a " +
        "share is away. Nothing is saved here until they are back. If they are lost, QuPath's own Ctrl+S saves what " +
        "is shown."
    private static final String AGAIN = "It is being saved once more; choose again."
    private static final String OTHER_FILE = "This was read from another file, such as a backup, and not from the " +
        "image's own in the project, which holds what was saved last." + CHOOSE

    final String title
    final shared, gui
    final Stage stage = new Stage()
    final Keys keys
    final VBox box = new VBox(6.0d)

    // what the window is about: the three belong together, and are null where no image of a project is open
    def project, entry, data

    private String complaint = null  // why saving failed, which stays in the window until it does not
    private final VBox conflict = new VBox(4.0d)
    private final List<Button> buttons = []  // of it: load it, overwrite it
    final Place place
    private final ChangeListener onShown = { source, old, now -> later { rebind() } } as ChangeListener
    private final Timeline pulse
    final PauseTransition rest = new PauseTransition(Duration.millis(700))  // of the keys, before a save
    private final Label said = new Label()  // what keeps a key from doing its work, and what came of a job
    private String warning = ""  // the first of the two
    private String news = ""
    private final PauseTransition reading = new PauseTransition(Duration.seconds(8))  // of news

    protected ImageWindow(String title, String name, def shared, def gui) {
        this.title = title
        this.shared = shared
        this.gui = gui
        keys = new Keys(gui, stage, { action -> act(action) })
        place = new Place(name, stage, gui)
        pulse = new Timeline(new KeyFrame(Duration.seconds(1), { event -> eachSecond() } as EventHandler))
        pulse.setCycleCount(Animation.INDEFINITE)
        rest.setOnFinished { save() }
        stage.getProperties()[shared.ANNOUNCE] = { String text -> announce(text) }
        reading.setOnFinished { endNews() }
    }

    abstract void layOut()

    /** Look after what is not saved of an image that the active viewer no longer shows; then let go of it. */
    abstract void leave()

    /** Begin with the image that is shown now; `data` is null where there is none. */
    abstract void turnTo()

    /** Save what is not saved yet. */
    abstract void save()

    /** Save, whether or not there is anything to save. */
    abstract void saveAnyway()

    /** Let go of data in whose place others come by a Merge, and keep what can be taken back of their objects. */
    abstract void carryOver(def merge)

    /** Show the window of a kind, the one that is there already where one is; one of another kind is closed. */
    static void show(def gui, String name, Closure make) {
        def properties = gui.getStage().getProperties()
        def before = properties.get("glomseg." + name)
        if (before?.isShowing()) {
            before.toFront()
            before.requestFocus()
            return
        }
        def other = properties.get(OPEN)
        if (other?.isShowing())
            other.close()
        def made = make()
        properties.put("glomseg." + name, made.stage)
        properties.put(OPEN, made.stage)
        made.open()
    }

    void open() {
        shared.saving().watch()
        shared.hideNames()
        layOut()
        layOutSaid()
        layOutConflict()
        box.setPadding(new Insets(8))
        stage.initOwner(gui.getStage())
        stage.setScene(new Scene(box))
        gui.imageDataProperty().addListener(onShown)
        gui.projectProperty().addListener(onShown)
        keys.begin()
        stage.setOnHidden { close() }
        place.settle()
        stage.show()
        rebind()
        place.settle()
        box.requestFocus()
        pulse.play()
    }

    void close() {
        [pulse, reading].each { it.stop() }
        shared.showNamesAgain()
        place.remember()
        keys.end()
        gui.imageDataProperty().removeListener(onShown)
        gui.projectProperty().removeListener(onShown)
        if (isCurrent())
            save()
        if (data != null)
            leave()
        data = null
    }

    /** Tell whether what the window is about is what the active viewer shows at this moment, and in the project. */
    boolean isCurrent() {
        return data != null && gui.getImageData() === data && gui.getProject() === project &&
            project.getEntry(data) === entry
    }

    /** Tell whether a viewer shows what the window is about, whichever that is: two may show data of one image. */
    boolean isInPlace() {
        return gui.getProject() === project && project.getEntry(data) === entry && shared.isShown(data)
    }

    /** Turn to what the active viewer shows now; nothing of the old image is written unless a viewer still shows it. */
    void rebind() {
        if (isCurrent())
            return
        if (data != null)
            leave()
        complaint = null
        tellSaid()
        project = gui.getProject()
        data = gui.getImageData()
        entry = data == null ? null : project?.getEntry(data)
        if (entry == null)
            data = null
        takeOverMarks()
        stage.setTitle(entry == null ? title : title + ": " + entry.getImageName())
        turnTo()
        lookForOthers()
        sayAnother()
    }

    /** Say where what is shown cannot be saved, as it is of another image. */
    private void sayAnother() {
        try {
            if (entry != null)
                shared.refuseAnother(entry, data)
        } catch (IllegalStateException | IllegalArgumentException error) {
            complaint = error.getMessage()
            warn("")
        }
    }

    /** Know what another QuPath wrote into the project's file since it was opened here: marks, names, pixel sizes. */
    private void takeOverMarks() {
        try {
            if (entry != null)
                shared.takeOverMarks(project)
        } catch (IOException error) {
            LoggerFactory.getLogger("GlomSeg").warn("The project's file cannot be read: ${error.getMessage()}")
        }
    }

    /** Do something that a key or a button stands for, where the window is still about what is shown. */
    void act(Closure action) {
        say("")
        if (isCurrent())
            action()
        else
            rebind()
    }

    /** Return the viewer that people look at. */
    def viewer() {
        return isCurrent() ? gui.getViewer() : null
    }

    /** Write the image, where a viewer shows it and nobody else saved it meanwhile; tells whether it was written. */
    boolean write() {
        if (data == null || !isInPlace() || lookForOthers())
            return false
        try {
            shared.save(project, entry, data)
            if (complaint) {
                complaint = null
                say("")
            }
            return true
        } catch (IOException | IllegalStateException error) {
            complaint = (data.isChanged() ? "Not saved: " : "Saved, but not in the project's list of images: ") +
                error.getMessage()
            warn("")
            return !data.isChanged()
        }
    }

    /** Tell what keeps a key or a button from doing its work, in the window, where it covers nothing, till the next. */
    void warn(String text) {
        def whole = text ?: complaint
        LoggerFactory.getLogger("GlomSeg").warn(whole)
        if (stage.isShowing())
            say(text)
        else
            Dialogs.showWarningNotification(title, whole)
    }

    /** Show what came of something else for some seconds, whatever keys are pressed. */
    void announce(String text) {
        news = text
        tellSaid()
        reading.playFromStart()
    }

    void endNews() {
        news = ""
        tellSaid()
    }

    void say(String text) {
        warning = text
        tellSaid()
    }

    private void tellSaid() {
        def text = [warning, complaint, news].findAll().join("\n")
        if (text == said.getText())
            return
        said.setText(text)
        said.setVisible(!text.isEmpty())
        said.setManaged(!text.isEmpty())
        place.fit()
    }

    void eachSecond() {
        if (data != null && !isCurrent())  // as where a script took the image out of the project
            rebind()
        lookForOthers()
        place.grow()  // where the desktop brought an older size back, as one does that is busy
    }

    /** Do something on JavaFX's thread, after what happens now. */
    void later(Closure what) {
        Platform.runLater { what() }
    }

    /** Tell whether another program saved the image that is open here, and show what can be done. */
    boolean lookForOthers() {
        def elsewhere = isCurrent() && shared.saving().isSavedElsewhere(entry, data)
        def text = elsewhere ? whatElsewhere() : null
        if (elsewhere != conflict.isVisible() || elsewhere && text != conflict.getChildren()[0].getText()) {
            conflict.getChildren()[0].setText(text ?: "")
            buttons*.setDisable(text == GONE)
            conflict.setVisible(elsewhere)
            conflict.setManaged(elsewhere)
            place.fit()
            if (!elsewhere)
                rest.playFromStart()  // what could not be saved meanwhile
        }
        return elsewhere
    }

    private String whatElsewhere() {
        return shared.saving().isGone(entry, data) ? GONE : shared.saving().otherFile(data) ? OTHER_FILE :
            shared.saving().isUnsure(data) ? MAYBE_ELSEWHERE : ELSEWHERE
    }

    /** Show the image as another program saved it, with what was done here since, and save that. */
    void takeBoth() {
        shared.refuseAnother(entry, data)
        takeOverMarks()
        def old = data
        def (there, merge, setInProject, disk) = shared.load("glomseg_together").broughtTogether(entry, old)
        if (there.isChanged() || merge.isLessThere())
            keep("load", shared.saving().whole(old))
        if (there.isChanged())
            keepTheirs()
        if (disk == null || shared.load("glomseg_data_file").stamp(entry) != disk[0])
            throw new IllegalStateException(AGAIN)
        setInProject()
        shared.saving().inStep(entry, there, disk)
        carryOver(merge)
        gui.getAllViewers().findAll { it.getImageData() === old }.each { it.setImageData(there) }
        rebind()
        if (data.isChanged())
            saveAnyway()
        if (merge.inWords())
            warn("${merge.inWords()} ${whereKept()}")
    }

    void overwrite() {
        shared.refuseAnother(entry, data)
        def disk = shared.load("glomseg_data_file").atRest(entry)
        if (disk == null)
            throw new IllegalStateException(AGAIN)
        keepTheirs()
        shared.saving().inStep(entry, data, disk)
        lookForOthers()
        data.setChanged(true)
        saveAnyway()
        announce(whereKept())
    }

    String whereKept() {
        return "What was saved before is kept: `glomseg restore PROJECT ${entry.getID()}` lists it."
    }

    /** Make a backup of what the other program saved, before something is saved over it. */
    private void keepTheirs() {
        if (!shared.load("glomseg_keeping").keep(shared.saving(), entry, data))
            keep("review")
    }

    /** Make a backup of what stands on disk, or of other data, before something is saved over it. */
    void keep(String why, byte[] data = null) {
        def file = project.getPath()
        shared.load("glomseg_backup").copyBefore(why, entry, file, file.resolveSibling("glomseg"), data)
    }

    /** Do what takes the place of what another program saved, and say why where that fails: then nothing was done. */
    void choose(Closure choice) {
        act {
            later {
                try {
                    choice()
                } catch (IOException | RuntimeException error) {  // groovylint-disable-line CatchRuntimeException
                    warn("Nothing was done: ${error.getMessage()}")
                }
            }
        }
    }

    private void layOutSaid() {
        said.setStyle("-fx-font-weight: bold; -fx-border-color: #d9822b; -fx-border-width: 2; -fx-padding: 4")
        said.setWrapText(true)
        said.setMaxWidth(MOST_WIDE)
        said.setMinHeight(Region.USE_PREF_SIZE)
        said.setVisible(false)
        said.setManaged(false)
        box.getChildren().add(said)
    }

    private void layOutConflict() {
        def both = new Button("Load it, with what was done here")
        both.setOnAction { choose { takeBoth() } }
        def ours = new Button("Overwrite it")
        ours.setOnAction { choose { overwrite() } }
        def text = new Label(ELSEWHERE)
        text.setWrapText(true)
        text.setMaxWidth(MOST_WIDE)
        text.setMinHeight(Region.USE_PREF_SIZE)
        text.setStyle("-fx-font-weight: bold")
        buttons.addAll(both, ours)
        conflict.getChildren().addAll(text, new HBox(8.0d, both, ours))
        conflict.setStyle("-fx-border-color: #d9822b; -fx-border-width: 2; -fx-padding: 4")
        [both, ours].each { it.setMinWidth(Region.USE_PREF_SIZE) }
        conflict.setVisible(false)
        conflict.setManaged(false)
        box.getChildren().add(conflict)
    }

}
