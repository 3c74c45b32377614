/*
 * Purpose: export image tiles and their labels, to train a model on what was reviewed; what `glomseg train` reads.
 * Input:   annotations of class Glomerulus and "Glomerulus: Sclerotic" on the open image or, with "Run for project",
 *          on every image. Rejected ones are left out. Arguments (none is needed), as name=value:
 *            folder=DIR  [<project>/tiles]   downsample=N  [2]   size=PX  [512]   overlap=PX  [32]
 *            reviewed-only                    leave out images that are not marked as fully reviewed
 * Output:  DIR/<image without extension>/<image> [d=2,x=0,y=0,w=1024,h=1024].png and the same name with -labelled.png:
 *          a palette PNG, 0 background, 1 Glomerulus, 2 Glomerulus: Sclerotic. Tiles without any annotation are
 *          left out, but not on an image that is marked as fully reviewed: there they show what is no glomerulus.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import qupath.lib.common.GeneralTools
import qupath.lib.images.servers.LabeledImageServer
import qupath.lib.images.writers.TileExporter

def imageData = getCurrentImageData()
def entry = getProjectEntry()
if (imageData == null || entry == null)
    throw new IllegalStateException("Open an image of a project first.")
def given = binding.hasVariable("args") ? (args as List<String>) : []
def option = { name, fallback -> given.find { it.startsWith(name + "=") }?.substring(name.length() + 1) ?: fallback }
def folder = option("folder", entry.getEntryPath().getParent().getParent().resolve("tiles").toString())
def downsample = option("downsample", "2") as double
def size = option("size", "512") as int
def overlap = option("overlap", "32") as int
def reviewed = entry.getMetadataValue("glomseg.reviewed") as boolean
if (given.contains("reviewed-only") && !reviewed) {
    println "${entry.getImageName()}: not marked as fully reviewed, left out"
    return
}

def labels = new LabeledImageServer.Builder(imageData)
    .useFilter { it.isAnnotation() && it.getMetadata()["glomseg.verdict"] != "reject" }
    .backgroundLabel(0)
    .downsample(downsample)
    .addLabel("Glomerulus", 1)
    .addLabel("Glomerulus: Sclerotic", 2)
    .multichannelOutput(false)
    .build()
def stem = GeneralTools.stripExtension(entry.getImageName()).replaceAll(/[\\\/:*?"<>|\x00-\x1f]/, "_")
def target = new File(folder, stem)
target.mkdirs()
new TileExporter(imageData)
    .downsample(downsample)
    .tileSize(size)
    .overlap(overlap)
    .imageExtension(".png")
    .labeledServer(labels)
    .labeledImageExtension(".png")
    .labeledImageId("-labelled")
    .annotatedTilesOnly(!reviewed)
    .writeTiles(target.getAbsolutePath())
println "${entry.getImageName()}: ${target.listFiles().count { it.name.endsWith('-labelled.png') }} tiles in ${target}"
