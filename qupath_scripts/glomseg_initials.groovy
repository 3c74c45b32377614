/*
 * Purpose: the field for a reviewer's initials, in the windows that give verdicts. The other scripts load this file
 *          from their own folder; by itself it does nothing.
 * Input:   none.
 * Output:  the initials: remembered by QuPath.
 * QuPath 0.5, 0.6, 0.7
 */

import javafx.beans.value.ChangeListener
import javafx.scene.control.TextField
import qupath.lib.gui.prefs.PathPrefs


/** A field for initials. */
class Initials {

    final TextField field = new TextField()
    private final window
    private final remembered = PathPrefs.createPersistentPreference("glomseg.initials", "")

    /** A field in a window of ours, with the initials that were given last. */
    Initials(def window) {
        this.window = window
        field.setText(remembered.get())
        field.setPromptText("yours")
        field.setPrefColumnCount(5)
        field.setOnAction { window.box.requestFocus() }
        field.textProperty().addListener({ source, old, now -> remembered.set(now.trim()) } as ChangeListener)
    }

    /** Return the initials; "" where there are none, and says so. */
    String ask() {
        def text = field.getText().trim()
        if (!text) {
            window.warn("Type your initials first, then Enter.")
            window.stage.requestFocus()
            field.requestFocus()
        }
        return text
    }

}
