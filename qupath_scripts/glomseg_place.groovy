/*
 * Purpose: where glomseg's windows are on the screen, and how large. The other scripts load this file from their own
 *          folder; by itself it does nothing.
 * Input:   none.
 * Output:  the place of each window: remembered by QuPath.
 * QuPath 0.5, 0.6, 0.7
 */

import javafx.animation.PauseTransition
import javafx.application.Platform
import javafx.geometry.Rectangle2D
import javafx.stage.Screen
import javafx.stage.Stage
import javafx.util.Duration
import qupath.lib.gui.prefs.PathPrefs


/** The place of a window: where it was last, as large as what it shows, and all of it on one screen. */
class Place {

    private static final double TITLE = 30  // of a window's title, about

    private final Stage stage
    private final gui
    private final remembered
    private final PauseTransition later = new PauseTransition(Duration.millis(300))  // a desktop resizes when it likes

    Place(String name, Stage stage, def gui) {
        this.stage = stage
        this.gui = gui
        later.setOnFinished { stayOnScreen() }
        remembered = PathPrefs.createPersistentPreference("glomseg." + name + ".place", "")
    }

    void remember() {
        remembered.set([stage.getX(), stage.getY()].join(","))
    }

    /**
     * Put the window where it was last, or at the lower edge of the viewer, clear of what is in the middle. Before it
     * is shown too: a desktop puts what has no place yet into the middle, and that late where it is busy.
     */
    void settle() {
        def corner = remembered.get().split(",")
        def view = gui.getViewer().getView()
        def area = view.localToScreen(view.getLayoutBounds())
        stage.sizeToScene()
        def (width, height) = stage.isShowing() ? [stage.getWidth(), stage.getHeight()] : expectedSize()
        if (corner.size() == 2 && corner.every { it.isNumber() } && screensAt(*corner*.toDouble())) {
            stage.setX(corner[0].toDouble())
            stage.setY(corner[1].toDouble())
        } else if (area != null) {
            stage.setX(area.getMinX() + (area.getWidth() - width) / 2)
            stage.setY(area.getMaxY() - height - 8)
        }
        if (stage.isShowing())
            fit()
        else
            stayOnScreen(width, height)
    }

    private List expectedSize() {
        def content = stage.getScene().getRoot()
        content.applyCss()
        return [content.prefWidth(-1), content.prefHeight(-1) + TITLE]
    }

    /** Make the window as large as what it shows, and keep all of it on its screen. */
    void fit() {
        stage.sizeToScene()
        stayOnScreen()
        Platform.runLater { stayOnScreen() }  // where the size is known only now
        later.playFromStart()
    }

    /** Make the window larger where it cuts what it shows; it does not shrink, for it would never be still. */
    void grow() {
        def scene = stage.getScene(), content = scene.getRoot()
        if (stage.isShowing() && (content.prefWidth(-1) > scene.getWidth() + 1 ||
                content.prefHeight(scene.getWidth()) > scene.getHeight() + 1))
            fit()
    }

    private void stayOnScreen(double width = stage.getWidth(), double height = stage.getHeight()) {
        def bounds = screen()
        def within = { at, side, low, high -> Math.max(low, Math.floor(Math.min(at, high - side))) }  // whole pixels
        stage.setX(within(stage.getX(), width, bounds.getMinX(), bounds.getMaxX()))
        stage.setY(within(stage.getY(), height, bounds.getMinY(), bounds.getMaxY()))
    }

    /** Return the room of the screen that the window is on; of QuPath's where it is on none. */
    private Rectangle2D screen() {
        def main = gui.getStage()
        def screens = screensAt(stage.getX(), stage.getY()) ?:
            Screen.getScreensForRectangle(main.getX(), main.getY(), main.getWidth(), main.getHeight())
        return (screens ? screens[0] : Screen.getPrimary()).getVisualBounds()
    }

    private static List screensAt(double x, double y) {
        return Screen.getScreensForRectangle(x, y, 50, 30)
    }

}
