/*
 * Purpose: where an image has tissue, and which of it was seen. find_missed loads this file from its own folder; by
 *          itself it does nothing.
 * Input:   none.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import qupath.lib.regions.RegionRequest


/** Where the tissue is: what is coloured or dark, at a coarse scale. */
class Tissue {

    static final int LONGEST = 1500
    static final int COLOUR = 18
    static final int BRIGHT = 190
    static final double SHARE = 0.02

    private static final double SPARE = 0.1  // of a field's side: what is less is no field of its own

    final double downsample
    final int width, height  // of the image
    final int wide, high
    final long[][] sums  // of the tissue's pixels, left of and above each

    Tissue(def server) {
        width = server.getWidth()
        height = server.getHeight()
        downsample = Math.max(1.0d, Math.max(width, height) / (double) LONGEST)
        def image = server.readRegion(RegionRequest.createInstance(server, downsample))
        wide = image.getWidth()
        high = image.getHeight()
        sums = count(image)
    }

    @CompileStatic
    private static long[][] count(BufferedImage image) {
        int wide = image.getWidth(), high = image.getHeight()
        long[][] sums = new long[high + 1][wide + 1]
        int[] line = new int[wide]
        for (int y = 0; y < high; y++) {
            image.getRGB(0, y, wide, 1, line, 0, wide)
            long run = 0
            for (int x = 0; x < wide; x++) {
                int red = (line[x] >> 16) & 255, green = (line[x] >> 8) & 255, blue = line[x] & 255
                int most = Math.max(red, Math.max(green, blue)), least = Math.min(red, Math.min(green, blue))
                if (most - least > COLOUR || (most < BRIGHT && most > 0))
                    run++
                sums[y + 1][x + 1] = sums[y][x + 1] + run
            }
        }
        return sums
    }

    /** Say how many fields of 1 mm hold tissue, and how many were seen. */
    static String told(def imageData) {
        def pixel = pixelSize(imageData.getServer())
        def fields = new Tissue(imageData.getServer()).fields(1000 / pixel, 1000 / pixel)
        def seen = Seen.read(imageData)
        return "${fields.size()} fields hold tissue, ${fields.count { seen.covers(it) }} were seen"
    }

    static double pixelSize(def server) {
        def calibration = server.getPixelCalibration()
        return calibration.hasPixelSizeMicrons() ? calibration.getAveragedPixelSizeMicrons() : 1.0d
    }

    /**
     * Return boxes [x, y, width, height] of one size with tissue, row by row, there and back. They divide the image
     * evenly, and are as large as was asked for or less, or up to a tenth more where a strip would be left at the edge.
     */
    List fields(double mostWide, double mostHigh) {
        def boxes = []
        def columns = parts(width, mostWide), rows = parts(height, mostHigh)
        double across = width / (double) columns, down = height / (double) rows
        for (int row = 0; row < rows; row++) {
            def line = (0..<columns).collect { [it * across, row * down, across, down] }.findAll { holds(it) }
            boxes.addAll(row % 2 ? line.reverse() : line)
        }
        return boxes
    }

    private static int parts(int whole, double most) {
        return Math.max(1, Math.ceil(whole / most - SPARE) as int)
    }

    boolean holds(List box) {
        int left = box[0] / downsample, top = box[1] / downsample
        int right = Math.min(wide, (box[0] + box[2]) / downsample)
        int bottom = Math.min(high, (box[1] + box[3]) / downsample)
        long count = sums[bottom][right] - sums[top][right] - sums[bottom][left] + sums[top][left]
        return count > SHARE * (right - left) * (bottom - top)
    }

}

/** The boxes of an image that were seen, kept with the image. */
class Seen {

    static final String NAME = "glomseg.seen"
    final List boxes

    Seen(List boxes) {
        this.boxes = boxes
    }

    static Seen read(def imageData) {
        def text = imageData.getProperty(NAME)?.toString() ?: ""
        return new Seen(text.tokenize(";").collect { it.tokenize(",")*.toDouble() })
    }

    void add(def imageData, List box) {
        if (covers(box))
            return
        boxes << box
        imageData.setProperty(NAME, boxes.collect { it.collect { value -> Math.round(value) }.join(",") }.join(";"))
    }

    /** Tell whether the middle of a box was seen. */
    boolean covers(List box) {
        def x = box[0] + box[2] / 2, y = box[1] + box[3] / 2
        return boxes.any { it[0] <= x && x <= it[0] + it[2] && it[1] <= y && y <= it[1] + it[3] }
    }

}
