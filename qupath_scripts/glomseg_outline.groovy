/*
 * Purpose: outline a glomerulus of which two opposite ends are known. find_missed loads this file from its own folder;
 *          by itself it does nothing.
 * Input:   none.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import qupath.lib.regions.ImagePlane
import qupath.lib.regions.RegionRequest
import qupath.lib.roi.ROIs


/** An outline by two clicks. */
class TwoClicks {

    private static final int STEPS = 72
    private static final int SMALLEST = 3  // px

    /** Outline what lies between two ends: a circle that snaps to the strongest edge near it. Null for one spot. */
    static def outline(def server, List one, List other) {
        def x = (one[0] + other[0]) / 2, y = (one[1] + other[1]) / 2
        def radius = Math.hypot(one[0] - other[0], one[1] - other[1]) / 2
        if (radius < SMALLEST)
            return null
        def radii = snap(server, x, y, radius)
        def angles = (0..<STEPS).collect { 2 * Math.PI * it / STEPS }
        def xs = (0..<STEPS).collect { x + radii[it] * Math.cos(angles[it]) } as double[]
        def ys = (0..<STEPS).collect { y + radii[it] * Math.sin(angles[it]) } as double[]
        return ROIs.createPolygonROI(xs, ys, ImagePlane.getDefaultPlane())
    }

    /** Return the radius in each direction where the grey value changes most within a fifth, smoothed all around. */
    private static List snap(def server, double x, double y, double radius) {
        double scale = Math.max(1, radius / 100)
        int left = Math.max(0, x - 1.3 * radius), top = Math.max(0, y - 1.3 * radius)
        int right = Math.min(server.getWidth(), x + 1.3 * radius)
        int bottom = Math.min(server.getHeight(), y + 1.3 * radius)
        def image = server.readRegion(RegionRequest.createInstance(server.getPath(), scale, left, top, right - left,
            bottom - top))
        def green = { double px, double py ->
            int column = Math.max(0, Math.min(image.getWidth() - 1, (px - left) / scale as int))
            int row = Math.max(0, Math.min(image.getHeight() - 1, (py - top) / scale as int))
            (image.getRGB(column, row) >> 8) & 255
        }
        def raw = (0..<STEPS).collect { step ->
            double angle = 2 * Math.PI * step / STEPS
            def mean = { double from, double to ->
                (0..5).collect { from + (to - from) * it / 5 }.collect {
                    green(x + it * radius * Math.cos(angle), y + it * radius * Math.sin(angle))
                }.sum() / 6
            }
            def shares = (0..20).collect { 0.8 + 0.02 * it }
            radius * shares.max { Math.abs(mean(it, it + 0.1d) - mean(it - 0.1d, it)) - 40 * Math.abs(it - 1) }
        }
        return (0..<STEPS).collect { step ->
            def near = (-4..4).collect { raw[(step + it + STEPS) % STEPS] }.sort()
            near[3..5].sum() / 3
        }
    }

}
