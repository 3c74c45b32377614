/*
 * Purpose: outline a glomerulus of which two opposite ends are known: as the probabilities of the newest run say, if it
 *          kept them, else an ellipse that snaps to the edge. find_missed loads this file from its own folder; by
 *          itself it does nothing.
 * Input:   <project folder>/glomseg/<run>/probability/<entry id>.tif, which `annotate --keep-probability` leaves.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import groovy.transform.CompileStatic
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.Inflater
import qupath.lib.io.GsonTools
import qupath.lib.regions.ImagePlane
import qupath.lib.regions.RegionRequest
import qupath.lib.roi.ROIs


/** An outline by two clicks. */
class TwoClicks {

    private static final int STEPS = 72
    private static final int SMALLEST = 3  // px
    private static final double FARTHEST = 1.4  // of half the way between the clicks
    private static final List<Double> ANGLES = (0..<STEPS).collect { 2 * Math.PI * it / STEPS }

    /**
     * Outline what lies between two ends [x, y] on a plane; null for one spot. `map` tells the probabilities of the
     * first plane, which a run saw, or is null.
     */
    static def outline(def server, List one, List other, Probability map = null,
                       ImagePlane plane = ImagePlane.getDefaultPlane()) {
        def x = (one[0] + other[0]) / 2, y = (one[1] + other[1]) / 2
        def radius = Math.hypot(one[0] - other[0], one[1] - other[1]) / 2
        if (radius < SMALLEST)
            return null
        def axis = Math.atan2(other[1] - one[1], other[0] - one[0])
        def isSeen = map != null && plane.getZ() == 0 && plane.getT() == 0
        def radii = isSeen ? grown(map, x, y, radius) : null
        radii = smooth(radii ?: snapped(greyOf(server, plane, x, y, radius), x, y, radius, axis))
        def xs = (0..<STEPS).collect { within(x + radii[it] * Math.cos(ANGLES[it]), server.getWidth()) } as double[]
        def ys = (0..<STEPS).collect { within(y + radii[it] * Math.sin(ANGLES[it]), server.getHeight()) } as double[]
        return ROIs.createPolygonROI(xs, ys, plane)
    }

    private static double within(double value, int size) {
        return Math.max(0, Math.min(size, value))
    }

    /** Return how far the probabilities reach in each direction; null where they say nothing of what was clicked on. */
    private static List grown(Probability map, double x, double y, double radius) {
        def far = FARTHEST * radius
        map.open(x - far, y - far, x + far, y + far)
        def rays = ANGLES.collect { angle ->
            (0..70).collect { map.at(x + far * it / 70 * Math.cos(angle), y + far * it / 70 * Math.sin(angle)) }
        }
        def inner = rays.collectMany { it.take(26) }.sort()  // of half the radius
        def level = Math.min(0.5d, inner[inner.size().intdiv(2)] / 2)
        if (level < 0.05)
            return null
        def radii = rays.collect { ray ->
            def below = ray.findIndexOf { it < level }
            if (below < 1)
                return below < 0 ? far : 0.0d
            def last = below - 1
            def drop = ray[last] - ray[last + 1]
            far / 70 * (last + (drop > 0 ? Math.max(0, Math.min(1, (ray[last] - level) / drop)) : 0))
        }
        def middle = radii.sort(false)[STEPS.intdiv(2)]
        return middle > 0.5 * radius && middle < 1.3 * radius ? radii : null
    }

    /** Return the radii of an ellipse about the way between the clicks that lies on edges, each moved to its edge. */
    private static List snapped(Closure grey, double x, double y, double radius, double axis) {
        def edge = { double angle, double share ->
            def mean = { double from, double to ->
                (0..5).collect { from + (to - from) * it / 5 }.collect {
                    grey(x + it * radius * Math.cos(angle), y + it * radius * Math.sin(angle))
                }.sum() / 6
            }
            Math.abs(mean(share, share + 0.1d) - mean(share - 0.1d, share))
        }
        def ellipse = { double ratio ->
            ANGLES.collect { 1 / Math.hypot(Math.cos(it - axis), Math.sin(it - axis) / ratio) }
        }
        def best = (10..22).collect { ellipse(it / 20d) }.max { shares ->
            (0..<STEPS).collect { edge(ANGLES[it], shares[it]) }.sum() / STEPS
        }
        return (0..<STEPS).collect { step ->
            def shares = (0..16).collect { best[step] * (0.84 + 0.02 * it) }
            radius * shares.max { edge(ANGLES[step], it) - 40 * Math.abs(it / best[step] - 1) }
        }
    }

    private static Closure greyOf(def server, ImagePlane plane, double x, double y, double radius) {
        double scale = Math.max(1, radius / 100)
        int left = Math.max(0, x - 1.5 * radius), top = Math.max(0, y - 1.5 * radius)
        int right = Math.min(server.getWidth(), x + 1.5 * radius)
        int bottom = Math.min(server.getHeight(), y + 1.5 * radius)
        def image = server.readRegion(RegionRequest.createInstance(server.getPath(), scale, left, top, right - left,
            bottom - top, plane))
        return { double px, double py ->
            int column = Math.max(0, Math.min(image.getWidth() - 1, (px - left) / scale as int))
            int row = Math.max(0, Math.min(image.getHeight() - 1, (py - top) / scale as int))
            (image.getRGB(column, row) >> 8) & 255
        }
    }

    private static List smooth(List radii) {
        return (0..<STEPS).collect { step ->
            def near = (-4..4).collect { radii[(step + it + STEPS) % STEPS] }.sort()
            near[3..5].sum() / 3
        }
    }

}

/** The probabilities that a run kept of an image: the first level of a tiled 8-bit TIFF of glomseg's, deflated. */
class Probability {

    private static final int WIDTH = 256, COMPRESSION = 259, TILE_WIDTH = 322, OFFSETS = 324, COUNTS = 325
    private static final List<Integer> DEFLATE = [8, 32946]
    private static final Map<Integer, Integer> BYTES = [1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 13: 4, 16: 8, 18: 8]

    private final File file
    private final double downsampleX, downsampleY  // level-0 pixels a pixel of the map
    private int left, top, wide, high
    private double[][] values

    Probability(File file, double downsampleX, double downsampleY) {
        this.file = file
        this.downsampleX = downsampleX
        this.downsampleY = downsampleY
    }

    /** Return what a run kept of an image, or null where it kept nothing. */
    static Probability of(def run, String id) {
        def file = run?.resolve("probability")?.resolve(id + ".tif")?.toFile()
        if (!file?.isFile())
            return null
        def record = GsonTools.getInstance().fromJson(run.resolve("run.json").toFile().getText("UTF-8"), Map).images[id]
        if (record?.reading_mpp == null || record.mpp == null)
            return null
        return new Probability(file, record.reading_mpp / record.mpp[0], record.reading_mpp / record.mpp[1])
    }

    /** Read a box of level-0 pixels; of several classes the highest. */
    void open(double x0, double y0, double x1, double y1) {
        left = Math.max(0, Math.floor(x0 / downsampleX - 1) as int)
        top = Math.max(0, Math.floor(y0 / downsampleY - 1) as int)
        wide = Math.max(1, Math.ceil(x1 / downsampleX + 1) as int) - left
        high = Math.max(1, Math.ceil(y1 / downsampleY + 1) as int) - top
        values = new double[Math.max(1, high)][Math.max(1, wide)]
        new RandomAccessFile(file, "r").withCloseable { input ->
            def start = read(input, 0, 16)
            def order = start.get(0) == (byte) 73 ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN
            start.order(order)
            if (start.getShort(2) != (short) 43)
                throw new IOException("${file} is no BigTIFF; it was not written by glomseg")
            def directory = start.getLong(8)
            while (directory != 0) {
                def tags = readTags(input, directory, order)
                readTiles(input, tags)
                directory = tags.next
            }
        }
    }

    /** Tell the probability (0..1) at a point in level-0 pixels, between the middles of the map's pixels. */
    double at(double x, double y) {
        double column = Math.max(0, Math.min(wide - 1, x / downsampleX - 0.5 - left))
        double row = Math.max(0, Math.min(high - 1, y / downsampleY - 0.5 - top))
        int c = Math.min(wide - 1, column as int), r = Math.min(high - 1, row as int)
        int c1 = Math.min(wide - 1, c + 1), r1 = Math.min(high - 1, r + 1)
        double fx = column - c, fy = row - r
        return ((1 - fy) * ((1 - fx) * values[r][c] + fx * values[r][c1]) +
            fy * ((1 - fx) * values[r1][c] + fx * values[r1][c1])) / 255
    }

    private static ByteBuffer read(RandomAccessFile input, long offset, int count) {
        def bytes = new byte[count]
        input.seek(offset)
        input.readFully(bytes)
        return ByteBuffer.wrap(bytes)
    }

    private static Map readTags(RandomAccessFile input, long offset, ByteOrder order) {
        int count = read(input, offset, 8).order(order).getLong(0)
        def entries = read(input, offset + 8, 20 * count + 8).order(order)
        def tags = [next: entries.getLong(20 * count)]
        for (int number = 0; number < count; number++) {
            int at = 20 * number
            int tag = entries.getShort(at) & 0xffff, type = entries.getShort(at + 2) & 0xffff
            long size = entries.getLong(at + 4)
            if (!(tag in [WIDTH, COMPRESSION, TILE_WIDTH, TILE_WIDTH + 1, OFFSETS, COUNTS]))
                continue
            int each = BYTES[type]
            def data = size * each <= 8 ? read(input, offset + 8 + at + 12, 8) :
                read(input, entries.getLong(at + 12), (int) (size * each))
            data.order(order)
            tags[tag] = (0..<(int) size).collect { each == 2 ? data.getShort(2 * it) & 0xffff :
                each == 4 ? data.getInt(4 * it) & 0xffffffffL : data.getLong(8 * it) }
        }
        return tags
    }

    private void readTiles(RandomAccessFile input, Map tags) {
        if (!(tags[COMPRESSION]?.getAt(0) in DEFLATE) || tags[OFFSETS] == null)
            throw new IOException("${file} was not written by glomseg")
        int width = tags[TILE_WIDTH][0], height = tags[TILE_WIDTH + 1][0]
        int columns = Math.ceil(tags[WIDTH][0] / (double) width)
        for (int row = top.intdiv(height); row * height < top + high; row++)
            for (int column = left.intdiv(width); column * width < left + wide && column < columns; column++) {
                int number = row * columns + column
                if (number < tags[OFFSETS].size() && tags[COUNTS][number])
                    lay(inflate(read(input, tags[OFFSETS][number], (int) tags[COUNTS][number]), width * height),
                        column * width, row * height, width, height)
            }
    }

    @CompileStatic
    private void lay(byte[] tile, int x, int y, int width, int height) {
        for (int row = Math.max(y, top); row < Math.min(y + height, top + high); row++)
            for (int column = Math.max(x, left); column < Math.min(x + width, left + wide); column++) {
                int value = tile[(row - y) * width + column - x] & 255
                values[row - top][column - left] = Math.max(values[row - top][column - left], value)
            }
    }

    @CompileStatic
    private static byte[] inflate(ByteBuffer packed, int size) {
        def inflater = new Inflater()
        inflater.setInput(packed.array())
        def tile = new byte[size]
        int done = 0
        while (done < size && !inflater.finished()) {
            int more = inflater.inflate(tile, done, size - done)
            if (more == 0)
                throw new IOException("a tile of probabilities is cut short")
            done += more
        }
        inflater.end()
        return tile
    }

}
