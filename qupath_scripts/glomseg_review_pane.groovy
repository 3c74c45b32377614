/*
 * Purpose: the controls in the window of the review. review_glomeruli loads this file from its own folder; by itself it
 *          does nothing.
 * Input:   none.
 * Output:  the list of grades: remembered by QuPath.
 * QuPath 0.5, 0.6, 0.7
 */

import javafx.beans.value.ChangeListener
import javafx.geometry.Pos
import javafx.scene.control.Button
import javafx.scene.control.ChoiceBox
import javafx.scene.control.Label
import javafx.scene.control.ProgressBar
import javafx.scene.control.TextField
import javafx.scene.control.TextInputDialog
import javafx.scene.control.Tooltip
import javafx.scene.input.KeyCode
import javafx.scene.layout.HBox
import javafx.scene.layout.Priority
import javafx.scene.layout.Region
import javafx.scene.layout.VBox
import javafx.scene.paint.Color
import javafx.scene.shape.Rectangle
import qupath.lib.gui.prefs.PathPrefs


/** The controls of a review. What they do is the review's. */
class ReviewPane {

    private static final List<String> COLOURINGS = ["none", "confidence", "verdict"]

    private final review, shared
    final initials
    final comment = new TextField()
    private final order = new ChoiceBox()
    private final colours = new ChoiceBox()
    private final offered = new ChoiceBox()
    private final place = new Label()
    private final counts = new Label()
    private final missed = new Button("Find what was missed")
    private final bar = new ProgressBar(0)
    private final legend = new HBox(8.0d)
    private final grades = new HBox(4.0d)
    private final finished = new Button("Image fully reviewed")
    private final rememberedOrder = PathPrefs.createPersistentPreference("glomseg.review.reading", false)
    private final gradeNames = PathPrefs.createPersistentPreference("glomseg.grades",
        "0, 1, 2, 3, 4, sclerotic, crescent")

    ReviewPane(def review) {
        this.review = review
        shared = review.shared
        initials = new Initials(review)
    }

    void layOut(VBox box) {
        def keys = review.keys
        layOutFields()
        layOutChoices()
        finished.setOnAction { review.act { review.finish() } }
        missed.setOnAction { review.later { shared.openWindow("missed", review.gui) } }
        bar.setPrefWidth(140)
        def verdicts = new HBox(4.0d,
            keys.button("Accept", KeyCode.Y) { review.decide("accept") },
            keys.button("Reject", KeyCode.X) { review.decide("reject") },
            keys.button("Sclerotic", KeyCode.K) { review.decide("sclerotic") },
            keys.button("Edit", KeyCode.E) { review.decide("edit") },
            keys.button("Undo", KeyCode.U) { review.takeBack() },
            keys.button("Back", KeyCode.PAGE_UP) { review.step(-1) },
            keys.button("Next", KeyCode.PAGE_DOWN) { review.step(1) },
            keys.button("Next image", KeyCode.I) { review.nextImage() })
        keys.actions[KeyCode.T] = {
            review.stage.requestFocus()
            comment.requestFocus()
        }
        layOutGrades()
        def settings = new HBox(6.0d, new Label("Initials"), initials.field, order, offered, colours, finished)
        HBox.setHgrow(comment, Priority.ALWAYS)
        def noted = new HBox(10.0d, grades, comment)
        def told = new HBox(10.0d, bar, place, missed)
        [settings, told, noted].each { row -> row.getChildren().each { it.setMinWidth(Region.USE_PREF_SIZE) } }
        counts.setMinWidth(Region.USE_PREF_SIZE)
        [verdicts, settings, told, legend, grades, noted].each { it.setAlignment(Pos.CENTER_LEFT) }
        [order, offered, colours, finished, missed].each { it.setFocusTraversable(false) }
        box.getChildren().addAll(verdicts, noted, settings, legend, told, counts)
    }

    private void layOutFields() {
        comment.setPromptText("Comment (T)")
        comment.setPrefColumnCount(14)
        comment.setOnAction {
            review.setComment(comment.getText().trim())
            review.box.requestFocus()
        }
        comment.focusedProperty().addListener({ source, old, now ->
            if (!now)
                review.setComment(comment.getText().trim())
        } as ChangeListener)
    }

    private void layOutChoices() {
        order.getItems().addAll("lowest confidence first", "reading order")
        order.getSelectionModel().select(rememberedOrder.get() ? 1 : 0)
        order.setOnAction {
            rememberedOrder.set(order.getSelectionModel().getSelectedIndex() == 1)
            review.restart()
        }
        def choices = Candidates.CHOICES.keySet() as List
        offered.getItems().addAll(Candidates.CHOICES.values())
        offered.getSelectionModel().select(Math.max(0, choices.indexOf(Candidates.choice().get())))
        offered.setOnAction { review.offer(choices[offered.getSelectionModel().getSelectedIndex()]) }
        colours.getItems().addAll(COLOURINGS.collect { "colour: " + it })
        colours.setOnAction {
            review.paint(COLOURINGS[colours.getSelectionModel().getSelectedIndex()])
            showLegend()
        }
    }

    private void layOutGrades() {
        def actions = review.keys.actions
        def digits = (0..9).collect { [KeyCode.valueOf("DIGIT" + it), KeyCode.valueOf("NUMPAD" + it)] }
        digits.flatten().each { actions.remove(it) }
        grades.getChildren().setAll(new Label("Accept with grade"))
        def names = gradeNames.get().split(",")*.trim().findAll { it }.take(10)
        names.eachWithIndex { name, number ->
            def verdict = name.toLowerCase(Locale.ROOT).startsWith("sclero") ? "sclerotic" : "accept"
            def made = review.keys.button(name, digits[number][0]) { review.decide(verdict, name) }
            made.setText(name == number.toString() ? name : "${name} (${number})")
            actions[digits[number][1]] = actions[digits[number][0]]
            grades.getChildren().add(made)
        }
        def change = new Button("...")
        change.setFocusTraversable(false)
        change.setTooltip(new Tooltip("Change the list of grades"))
        change.setOnAction { askForGrades() }
        grades.getChildren().add(change)
    }

    private void askForGrades() {
        def dialog = new TextInputDialog(gradeNames.get())
        dialog.initOwner(review.stage)
        dialog.setTitle(review.title)
        dialog.setHeaderText("Grades, for the keys 0, 1, 2 and so on; up to ten")
        dialog.showAndWait().ifPresent {
            gradeNames.set(it)
            layOutGrades()
            review.place.grow()
        }
        review.box.requestFocus()
    }

    boolean isInReadingOrder() {
        return order.getSelectionModel().getSelectedIndex() == 1
    }

    void showColouring(String how) {
        colours.getSelectionModel().select(Math.max(0, COLOURINGS.indexOf(how)))
        showLegend()
    }

    /** Tell where in the queue the review is, what it has at hand, and how far the image and the project are. */
    void tell() {
        def item = review.current()
        place.setText(whereItIs(item))
        def through = review.data != null && review.at >= review.ids.size()
        missed.setVisible(through)
        missed.setManaged(through)
        if (!comment.isFocused())
            comment.setText(item?.getDescription() ?: "")
        comment.setDisable(item == null)
        def mark = review.data == null ? null : shared.reviewedBy(review.entry, review.data)
        finished.setText(mark ? "Take the mark back" : "Image fully reviewed")
        finished.setDisable(review.data == null)
        def all = review.countAll()
        bar.setProgress(all ? review.countDone() / (double) all : 0.0d)
        counts.setText(howFar(mark))
        review.place.grow()
    }

    private String whereItIs(def item) {
        def left = review.countOpen() + review.candidates.size()
        if (review.data == null)
            return "Open an image of a project to review it."
        if (review.at < review.ids.size())
            return "${review.at + 1} of ${review.ids.size()}: " + (item == null ? "deleted" : inWords(item))
        if (review.alike)
            return "${review.alike} glomeruli have one id with another, and are not shown: Objects > Refresh " +
                "duplicate object IDs tells them apart."
        if (left)
            return "End of the queue; ${left} passed over: Next goes through them."
        return review.byId ? "All have a verdict." : "There are no glomeruli to review. Annotate outlines them."
    }

    private String howFar(String mark) {
        if (review.data == null)
            return ""
        def offered = review.candidates.size()
        def verdicts = review.countAll() ? shared.inWords(review.tally) : "no glomeruli"
        def images = review.project.getImageList()  // one may have been removed meanwhile
        return verdicts + (mark ? "; fully reviewed by ${mark}" : "") +
            (offered ? " (+ ${offered} candidate${offered == 1 ? '' : 's'})" : "") +
            "   |   project: ${images.count { it in review.wholeImages }} of ${images.size()} images fully reviewed" +
            (review.unsaved ? "" : review.data.isChanged() ? "   |   changed: not saved yet" : "   |   saved")
    }

    private String inWords(def item) {
        def certain = shared.confidence(item)
        def metadata = item.getMetadata()
        def kind = review.isCandidate(item) ? "candidate, " : ""
        def byHand = metadata.containsKey("glomseg.run") ? "reshaped by hand" : "drawn by hand"
        def told = [Double.isNaN(certain) ? byHand :
            kind + String.format(Locale.ROOT, "confidence %.2f", certain)]
        def suggested = metadata["glomseg.suggestion"]
        if (suggested && suggested != item.getPathClass()?.toString() && !shared.verdict(item))
            told << String.format(Locale.ROOT, "%s %.2f?", suggested.tokenize(":").last().trim().toLowerCase(),
                item.getMeasurementList().get("Sclerotic probability"))
        if (shared.verdict(item))
            told << "${shared.verdict(item)} by ${metadata['glomseg.initials']}, ${metadata['glomseg.judged']}"
        if (review.tool != null)
            told << "redraw it, then accept"
        if (metadata["glomseg.grade"])
            told << "grade ${metadata['glomseg.grade']}"
        return told.join("; ")
    }

    private void showLegend() {
        def how = COLOURINGS[Math.max(0, colours.getSelectionModel().getSelectedIndex())]
        def shown = how == "verdict" ? shared.COLOURS.collect { name, colour -> [name, colour] } :
            how == "confidence" ? [["0.5", 0xd90000], ["0.75", 0xd9d900], ["1", 0x00d900]] : []
        legend.getChildren().setAll(shown.collect { name, colour ->
            new Label(name, new Rectangle(12, 12, Color.web(String.format("#%06x", colour))))
        })
        legend.setVisible(!shown.isEmpty())
        legend.setManaged(!shown.isEmpty())
        if (review.stage.isShowing())
            review.place.fit()
    }

}
