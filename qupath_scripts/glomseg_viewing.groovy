/*
 * Purpose: how our windows show a glomerulus in the viewer: in brackets, and the review all at one scale. The other
 *          scripts load this file from their own folder; by itself it does nothing.
 * Input:   none.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import java.awt.BasicStroke
import java.awt.Color
import java.awt.Graphics2D
import java.awt.Shape
import java.awt.geom.Path2D
import java.awt.image.BufferedImage
import qupath.lib.gui.prefs.PathPrefs
import qupath.lib.gui.viewer.OverlayOptions
import qupath.lib.gui.viewer.overlays.AbstractOverlay
import qupath.lib.images.ImageData
import qupath.lib.regions.ImageRegion


/** Brackets around the glomerulus at hand. It is not selected, so that dragging pans, and its colour can be seen. */
class Brackets extends AbstractOverlay {

    private static final double GAP = 0.15
    private final window

    Brackets(OverlayOptions options, def window) {
        super(options)
        this.window = window
    }

    void putOn(def gui) {
        gui.getAllViewers()*.getCustomOverlayLayers().findAll { !it.contains(this) }.each { it.add(this) }
    }

    void takeOff(def gui) {
        gui.getAllViewers().each { it.getCustomOverlayLayers().remove(this) }
    }

    /* groovylint-disable-next-line UnusedMethodParameter */
    void paintOverlay(Graphics2D graphics, ImageRegion region, double downsample, ImageData<BufferedImage> shown,
                      boolean completely) {
        def item = shown.is(window.data) ? window.current() : null
        def roi = item?.getROI()
        if (roi == null)
            return
        if (window.isCandidate(item))
            dash(graphics, roi.getShape(), downsample)
        def gap = GAP * Math.max(roi.getBoundsWidth(), roi.getBoundsHeight())
        def left = roi.getBoundsX() - gap, right = roi.getBoundsX() + roi.getBoundsWidth() + gap
        def top = roi.getBoundsY() - gap, bottom = roi.getBoundsY() + roi.getBoundsHeight() + gap
        def arm = 1.2 * gap
        def path = new Path2D.Double()
        [[left, top, 1, 1], [right, top, -1, 1], [left, bottom, 1, -1], [right, bottom, -1, -1]].each { x, y, dx, dy ->
            path.moveTo(x + dx * arm, y)
            path.lineTo(x, y)
            path.lineTo(x, y + dy * arm)
        }
        [[5, Color.BLACK], [2.5, Color.WHITE]].each { width, colour ->
            graphics.setStroke(new BasicStroke((float) (width * downsample)))
            graphics.setColor(colour)
            graphics.draw(path)
        }
    }

    /** Draw the outline of a candidate, which is no object of the image: black and white in turn. */
    private static void dash(Graphics2D graphics, Shape outline, double downsample) {
        def width = (float) (2.5 * downsample), step = (float) (7 * downsample)
        graphics.setColor(Color.BLACK)
        graphics.setStroke(new BasicStroke(width))
        graphics.draw(outline)
        graphics.setColor(Color.WHITE)
        graphics.setStroke(new BasicStroke(width, BasicStroke.CAP_BUTT, BasicStroke.JOIN_ROUND, 1f, [step] as float[],
            0f))
        graphics.draw(outline)
    }

}

/** One scale for all glomeruli, so that they compare; zooming changes it, for the next ones and the next time. */
class Scale {

    private Double scale = null  // um (px where the pixel size is unknown) a pixel of the screen
    private Double set = null  // the downsample that was set last
    private final remembered = PathPrefs.createPersistentPreference("glomseg.review.scale", 0.0d)

    /** Begin with an image that was just opened: how it was zoomed on opening is nobody's wish. */
    void begin() {
        set = null
    }

    /** Show a ROI in the middle, on its plane of a stack; `rois` tells all of them, where there is no scale yet. */
    void centre(def viewer, def roi, Closure rois) {
        def calibration = viewer.getServer().getPixelCalibration()
        def pixel = calibration.hasPixelSizeMicrons() ? calibration.getAveragedPixelSizeMicrons() : 1.0d
        def now = viewer.getDownsampleFactor()
        if (set != null && Math.abs(now / set - 1) > 0.01) {
            scale = now * pixel
            remembered.set(scale)
        }
        if (scale == null)
            scale = first(viewer, rois(), pixel)
        set = scale / pixel
        if (Math.abs(now / set - 1) > 0.001)
            viewer.setDownsampleFactor(set)
        viewer.setZPosition(roi.getZ())  // QuPath shows an outline on its own plane only
        viewer.setTPosition(roi.getT())
        viewer.setCenterPixelLocation(roi.getCentroidX(), roi.getCentroidY())
    }

    private double first(def viewer, List rois, double pixel) {
        def sides = rois.collect { Math.max(it.getBoundsWidth(), it.getBoundsHeight()) }.sort()
        def side = (sides ? sides[(int) (0.9 * (sides.size() - 1))] : 200) * pixel
        def view = viewer.getView()
        def room = Math.max(100, Math.min(view.getWidth(), view.getHeight()))
        def share = remembered.get() > 0 ? side / remembered.get() / room : 0
        return share > 0.05 && share < 0.9 ? remembered.get() : side * 3 / room
    }

}
