/*
 * Purpose: the keys of glomseg's own windows. The other scripts load this file from their own folder; by itself it does
 *          nothing.
 * Input:   none.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import java.util.concurrent.TimeUnit
import javafx.application.Platform
import javafx.beans.value.ChangeListener
import javafx.collections.ListChangeListener
import javafx.event.EventHandler
import javafx.scene.Scene
import javafx.scene.control.Button
import javafx.scene.control.ComboBoxBase
import javafx.scene.control.ListView
import javafx.scene.control.TableView
import javafx.scene.control.TextInputControl
import javafx.scene.control.TreeView
import javafx.scene.input.KeyCode
import javafx.scene.input.KeyEvent
import javafx.scene.layout.Region
import javafx.stage.Stage
import javafx.stage.Window


/** Keys that do the same in a window of ours and wherever QuPath shows an image, detached viewers among them. */
class Keys {

    private static final long HELD = TimeUnit.SECONDS.toNanos(20)  // QuPath may be busy for seconds between two repeats
    private static final long LEFT = TimeUnit.SECONDS.toNanos(1)  // the release may go to another window

    private static final String TYPING = "glomseg.typing"  // of QuPath's window: until when a key is no verdict

    final Map<KeyCode, Closure> actions = [:]
    private final gui
    private final Stage stage
    private final Closure act
    private final Map<KeyCode, Long> down = [:]  // until when a key is taken for held, where no release of it comes
    private final List<Scene> scenes = []
    private boolean listens = false
    private final ChangeListener onFocus = { source, old, now ->
        def soon = System.nanoTime() + LEFT
        if (!now)
            down.replaceAll { code, until -> Math.min(until, soon) }
    } as ChangeListener
    private final EventHandler onKey = { event -> key(event) } as EventHandler
    private final ListChangeListener onWindows = { change -> Platform.runLater { follow() } } as ListChangeListener

    /** Each key calls `act` with its action, which decides whether now is the time for it. */
    Keys(def gui, Stage stage, Closure act) {
        this.gui = gui
        this.stage = stage
        this.act = act
    }

    void begin() {
        listens = true
        Window.getWindows().addListener(onWindows)
        follow()
    }

    void end() {
        listens = false
        Window.getWindows().removeListener(onWindows)
        scenes.each {
            it.removeEventFilter(KeyEvent.ANY, onKey)
            it.getWindow()?.focusedProperty()?.removeListener(onFocus)
        }
        scenes.clear()
        down.clear()
    }

    void follow() {
        if (!listens)  // asked for by the very closing of the window, which it would outlive
            return
        def shown = ([stage.getScene(), gui.getStage().getScene()] +
            gui.getAllViewers().collect { it.getView().getScene() }).findAll { it != null }
        shown.findAll { scene -> !scenes.any { it.is(scene) } }.each { scene ->
            scene.addEventFilter(KeyEvent.ANY, onKey)
            scene.getWindow()?.focusedProperty()?.addListener(onFocus)
            scenes << scene
        }
    }

    /** Act on a key: once, however long it is held, never with a modifier, and never while something is typed. */
    void key(KeyEvent event) {
        def code = event.getCode()
        def now = System.nanoTime()
        def held = { until -> until != null && now < until }
        if (event.getEventType() == KeyEvent.KEY_TYPED) {  // follows a key that was taken, into whatever has the focus
            if (down.values().any(held))
                event.consume()
            return
        }
        if (event.getEventType() == KeyEvent.KEY_RELEASED) {
            if (down.remove(code) != null)
                event.consume()
            return
        }
        def modified = [event.isControlDown(), event.isAltDown(), event.isMetaDown(), event.isShiftDown()].any()
        if (modified || !actions.containsKey(code) || isTyping(event))
            return
        event.consume()
        if (!held(down.put(code, now + HELD)) && !held(gui.getStage().getProperties()[TYPING]))
            act(actions[code])
    }

    boolean isTyping(KeyEvent event) {
        def focus = event.getSource().getFocusOwner()
        return [TextInputControl, ListView, TreeView, TableView, ComboBoxBase].any { it.isInstance(focus) }
    }

    /** Make a button for a key; it does not keep the focus, so that a later space or Enter does nothing. */
    Button button(String name, KeyCode code, Closure action) {
        actions[code] = action
        def button = new Button("${name} (${code.getName()})")
        button.setFocusTraversable(false)
        button.setMinWidth(Region.USE_PREF_SIZE)
        button.setOnAction {
            stage.getScene().getRoot().requestFocus()
            act(action)
        }
        return button
    }

}
