"""What another QuPath wrote into the project's files, while the project was open here, stays when a review is saved."""

import json

import pytest
from support.another_qupath import PRESS, WARNED, load_it

pytestmark = [pytest.mark.qupath, pytest.mark.slow]

OTHER = """import qupath.lib.images.servers.ImageServerMetadata
def read = ProjectIO.loadProject(gui.getProject().getPath().toFile(), java.awt.image.BufferedImage)
def image = { name -> read.getImageList().find { it.getID() == entryOf(name).getID() } }
def give = { entry, Closure what ->
    def given = entry.readImageData()
    def builder = new ImageServerMetadata.Builder(given.getServerMetadata())
    what(builder)
    given.updateServerMetadata(builder.build())
    entry.saveImageData(given)
}
"""
SAYS = 'within(Labeled)*.getText().any {{ it?.contains("{}") }}'
SIZE = "it.getPixelCalibration().with { [it.getPixelWidthMicrons(), it.getPixelHeightMicrons()] }"


def test_names_and_metadata_that_another_qupath_gave_stay(review):
    told = (
        OTHER
        + """['kidney_01.tif', 'kidney_02.tif'].collect { image(it) }.collect {
        [it.getImageName(), it.getDescription(), it.getMetadataValue('Animal'),
         it.getMetadataValue('Group')] }.toString()"""
    )
    before = review.project.read_text("utf-8")
    try:
        review.press("Y")
        review.until("data.isChanged()", "false")
        review.fx("entryOf('kidney_01.tif').putMetadataValue('Group', 'ours'); gui.getProject().syncChanges()")
        review.fx(
            OTHER
            + """image('kidney_01.tif').with { it.setDescription('theirs'); it.removeMetadataValue('Animal') }
            image('kidney_02.tif').with { it.setImageName('theirs.tif'); it.putMetadataValue('Group', 'theirs') }
            read.syncChanges()"""
        )
        review.press("X")
        review.until("data.isChanged()", "false")
        review.settle()
        known = (
            "gui.getProject().getImageList().find { it.getImageName() == 'theirs.tif' }?.setImageName('kidney_02.tif')"
        )
        review.until(f"{known}; 'done'", "done")
        assert review.fx(told) == "[[kidney_01.tif, theirs, null, ours], [theirs.tif, null, mouse-08, theirs]]"
        # one that read the project before, and saves it as it was: what was given here stays
        review.fx(OTHER + "image('kidney_01.tif').putMetadataValue('Group', 'control'); read.syncChanges()")
        review.press("K")
        review.until("data.isChanged()", "false")
        review.settle()
        assert review.fx(told).startswith("[[kidney_01.tif, theirs, null, ours]")
        assert "saved otherwise than was given here: Group of kidney_01.tif. What was given here stays" in review.text()
        # nor is what comes after it taken for changed here
        review.fx(OTHER + "image('kidney_01.tif').putMetadataValue('Group', 'control'); read.syncChanges()")
        for image in ("kidney_02.tif", "kidney_01.tif"):
            review.fx(f"gui.openImageEntry(entryOf('{image}'))")
            review.until("review.getTitle()", f"Review: {image}")
        review.fx(OTHER + "image('kidney_01.tif').putMetadataValue('Group', 'later'); read.syncChanges()")
        review.press("Y")
        review.until("data.isChanged()", "false")
        review.settle()
        assert review.fx(told).startswith("[[kidney_01.tif, theirs, null, later]")
    finally:
        review.project.write_text(before, "utf-8")
        review.open("kidney_01.tif")


def test_pixel_sizes_and_classes_that_another_qupath_gave_stay(review):
    """What a person sets in the tab "Image" stands in the project's file, too; its list of classes beside it."""
    told = (
        OTHER
        + f"""['kidney_01.tif', 'kidney_02.tif'].collect {{ image(it).getServerBuilder().getMetadata().get() }}
        .collect {{ {SIZE} + [it.getMagnification()] }}.toString()"""
    )
    classes = review.project.parent / "classifiers" / "classes.json"
    before, listed = review.project.read_text("utf-8"), classes.read_text("utf-8")
    try:
        review.press("Y")
        review.until("data.isChanged()", "false")
        review.fx(
            OTHER
            + """give(image('kidney_02.tif')) { it.pixelSizeMicrons(0.25, 0.25) }
            read.getMetadata().put('Study', 'theirs')
            read.syncChanges()"""
        )
        new = {"name": "Theirs", "color": -16711936}
        classes.write_text(json.dumps({"pathClasses": [*json.loads(listed)["pathClasses"], new]}), "utf-8")
        review.press("X")
        review.until("data.isChanged()", "false")
        review.settle()
        assert review.fx(told) == "[[0.5, 0.5, NaN], [0.25, 0.25, NaN]]"
        assert new in json.loads(classes.read_text("utf-8"))["pathClasses"]
        assert review.fx("gui.getAvailablePathClasses()*.toString().contains('Theirs')") == "true"
        assert json.loads((review.project.parent / "data" / "metadata.json").read_text("utf-8"))["Study"] == "theirs"
        # of the image that is open here, where something else was given since the other read the project
        review.fx(
            OTHER
            + """gui.getStage().getProperties()['theirs'] = read
            def ours = new ImageServerMetadata.Builder(data.getServerMetadata())
            data.updateServerMetadata(ours.magnification(40).build())"""
        )
        review.press("K")
        review.until("data.isChanged()", "false")
        review.fx(
            OTHER.replace("def read =", "def read = gui.getStage().getProperties()['theirs'] ?:")
            + """give(image('kidney_01.tif')) { it.pixelSizeMicrons(0.75, 0.75) }
            read.syncChanges()"""
        )
        # that saved the image as well, and what it did is loaded with what was done here
        review.fx(
            OTHER.replace("def read =", "def read = gui.getStage().getProperties()['theirs'] ?:")
            + "image('kidney_01.tif').with { it.saveImageData(it.readImageData()) }"
        )
        review.until(WARNED, "true")
        review.press("Y")
        load_it(review)
        review.settle()
        assert review.fx(told) == "[[0.75, 0.75, 40.0], [0.25, 0.25, NaN]]"
        assert review.fx(f"data.getServerMetadata().with {{ {SIZE} }}.toString()") == "[0.75, 0.75]"
        review.open("kidney_02.tif")
        assert review.fx(f"data.getServerMetadata().with {{ {SIZE} }}.toString()") == "[0.25, 0.25]"
    finally:
        review.fx("""gui.getAllViewers().each { it.getImageData()?.setChanged(false); it.resetImageData() }
            gui.getStage().getProperties().remove('theirs')
            gui.setProject(null)""")
        review.project.write_text(before, "utf-8")
        classes.write_text(listed, "utf-8")


def test_a_pixel_size_that_another_qupath_saved_with_the_data_alone_is_loaded(review):
    """QuPath's own save writes it beside the objects, and not into the project's file."""
    size = f"""[data.getServerMetadata(), entryOf('kidney_01.tif').getServerBuilder().getMetadata().get()]
        .collect {{ {SIZE}[0] }}.toString()"""
    set_here = """data.updateServerMetadata(new qupath.lib.images.servers.ImageServerMetadata.Builder(
        data.getServerMetadata()).pixelSizeMicrons({0}, {0}).build())
        data.setChanged(true); 1"""
    before = review.project.read_text("utf-8")
    there = OTHER.replace("def read =", "def read = gui.getStage().getProperties()['theirs'] ?:")
    saved = there + "give(image('kidney_01.tif')) { it.pixelSizeMicrons(0.3, 0.3) }"
    try:
        review.press("Y")
        review.until("data.isChanged()", "false")
        review.fx(saved)
        review.until(WARNED, "true")
        load_it(review)
        assert review.fx(size) == "[0.3, 0.3]"
        # both: that had read the image before what was saved here
        review.fx(
            there + "gui.getStage().getProperties()['theirs'] = read\n"
            "gui.getStage().getProperties()['their data'] = image('kidney_01.tif').readImageData()"
        )
        review.fx(set_here.format(0.22))
        review.press("X")
        review.until("data.isChanged()", "false")
        review.fx(
            there
            + """def given = gui.getStage().getProperties()['their data']
            given.updateServerMetadata(new ImageServerMetadata.Builder(given.getServerMetadata())
                .pixelSizeMicrons(0.35, 0.35).build())
            image('kidney_01.tif').saveImageData(given)"""
        )
        review.until(WARNED, "true")
        load_it(review)
        assert "pixel size" in review.text()
        assert review.fx(size) == "[0.22, 0.22]"
    finally:
        review.fx("""gui.getAllViewers().each { it.getImageData()?.setChanged(false); it.resetImageData() }
            ['theirs', 'their data'].each { gui.getStage().getProperties().remove(it) }
            gui.setProject(null)""")
        review.project.write_text(before, "utf-8")
        review.open("kidney_01.tif")
        review.fx("entryOf('kidney_01.tif').with { it.saveImageData(it.readImageData()) }")


def test_a_load_that_fails_as_it_keeps_a_backup_sets_no_pixel_size_in_the_project(review):
    """A full disk, in the place of which a file stands in that of the backups."""
    size = f"entryOf('kidney_01.tif').getServerBuilder().getMetadata().get().with {{ {SIZE}[0] }}"
    before, entry_id = review.project.read_text("utf-8"), review.fx("entryOf('kidney_01.tif').getID()")
    backups = review.project.parent / "glomseg/backup" / entry_id
    backups.parent.mkdir(parents=True, exist_ok=True)
    if backups.exists():
        backups.rename(backups.with_name("aside"))
    try:
        review.press("Y")
        review.until("data.isChanged()", "false")
        backups.write_text("full")
        review.fx(OTHER + "give(image('kidney_01.tif')) { it.pixelSizeMicrons(0.3, 0.3) }")
        review.until(WARNED, "true")
        review.press("X")
        review.fx(PRESS.format("Load it, with what was done here"))
        review.until("within(Label).any { it.getText().startsWith('Nothing was done') }", "true")
        assert review.fx(size) == "0.5"
        backups.unlink()
        load_it(review)
        assert review.fx(size) == "0.3"
    finally:
        if backups.is_file():
            backups.unlink()
        review.fx("""gui.getAllViewers().each { it.getImageData()?.setChanged(false); it.resetImageData() }
            gui.setProject(null)""")
        review.project.write_text(before, "utf-8")
        review.open("kidney_01.tif")
        review.fx("entryOf('kidney_01.tif').with { it.saveImageData(it.readImageData()) }")


def test_a_pixel_size_that_another_qupath_saved_with_the_data_alone_is_there_at_the_first_opening(review):
    """QuPath opens the image by the project's file, which our next save would make the later one."""
    size = f"data.getServerMetadata().with {{ {SIZE} }}.toString()"
    before = review.project.read_text("utf-8")
    try:
        review.press("Y")
        review.until("data.isChanged()", "false")
        review.settle()
        review.fx(OTHER + "give(image('kidney_02.tif')) { it.pixelSizeMicrons(0.3, 0.3).magnification(33) }")
        assert review.project.read_text("utf-8").count("0.3") == 0
        review.open("kidney_02.tif")
        review.until(size, "[0.3, 0.3]")
        assert review.fx("data.isChanged()") == "false"
        review.open("kidney_01.tif")
        review.press("X")
        review.until("data.isChanged()", "false")
        review.settle()
        images = json.loads(review.project.read_text("utf-8"))["images"]
        theirs = next(one for one in images if one["imageName"] == "kidney_02.tif")["serverBuilder"]["metadata"]
        assert (theirs["pixelCalibration"]["pixelWidth"]["value"], theirs["magnification"]) == (0.3, 33)
    finally:
        review.fx("""gui.getAllViewers().each { it.getImageData()?.setChanged(false); it.resetImageData() }
            gui.setProject(null)""")
        review.project.write_text(before, "utf-8")
        review.open("kidney_02.tif")
        review.fx("entryOf('kidney_02.tif').with { it.saveImageData(it.readImageData()) }")
        review.open("kidney_01.tif")


def test_what_another_program_set_of_an_image_that_is_another_one_there_is_not_overwritten(review):
    text = review.project.read_text("utf-8")
    content = json.loads(text)
    content["images"][1]["serverBuilder"]["metadata"].update(width=4096, magnification=40)
    try:
        review.press("Y")
        review.until("data.isChanged()", "false")
        review.project.write_text(json.dumps(content), "utf-8")
        review.press("X")
        review.until("data.isChanged()", "false")
        review.settle()
        assert json.loads(review.project.read_text("utf-8"))["images"][1] == content["images"][1]
        assert "says of kidney_02.tif what cannot be taken over here" in review.text()
        assert review.on_disk() == "accept reject - - -"
    finally:
        review.project.write_text(text, "utf-8")
    review.press("K")
    review.until("data.isChanged()", "false")
    review.settle()
    assert "cannot be taken over" not in review.text()


def test_a_projects_file_that_is_half_written_is_said_and_keeps_no_image_from_being_left(review):
    """The review failed unseen, and kept the title and the keys of the image before."""
    before = review.project.read_text("utf-8")
    try:
        review.project.write_text("{", "utf-8")
        review.press("Y")
        review.until("data.isChanged()", "false")
        review.until("within(Label).any { it.getText() =~ /Saved, but not in the project's list of images/ }", "true")
        assert review.on_disk() == "accept - - - -"
        review.press("X")
        review.fx("data.setChanged(false); gui.openImageEntry(entryOf('kidney_02.tif'))")
        review.until("review.getTitle()", "Review: kidney_02.tif")
    finally:
        review.project.write_text(before, "utf-8")
    review.open("kidney_01.tif")
    review.until("review.getTitle()", "Review: kidney_01.tif")
    review.press("K")
    review.until("data.isChanged()", "false")
    assert review.on_disk() == "accept sclerotic - - -"
    assert "not in the project" not in review.text()


def test_another_image_that_a_second_qupath_added_under_the_same_id_is_not_mixed_with_this_one(review):
    """Two QuPaths that add images at the same time give both one id: two slides' outlines were made one image's."""
    before = review.project.read_text("utf-8")
    data = review.project.parent / "data/1/data.qpdata"
    content = json.loads(before)
    (mine, other) = content["images"][:2]
    mine["imageName"], mine["serverBuilder"] = "new_y.tif", other["serverBuilder"]
    try:
        review.project.write_text(json.dumps(content), "utf-8")
        disk = data.read_bytes()
        review.press("Y")
        review.until(
            SAYS.format("The project's file lists new_y.tif (kidney_02.tif) in place of kidney_01.tif"), "true"
        )
        assert "Export objects as GeoJSON" in review.text()
        assert data.read_bytes() == disk
        assert json.loads(review.project.read_text("utf-8"))["images"][0]["imageName"] == "new_y.tif"
        other_data = review.project.parent / "data/2/data.qpdata"
        data.write_bytes(other_data.read_bytes())  # as that QuPath saves its own there
        review.until(WARNED, "true")
        review.fx(PRESS.format("Load it, with what was done here"))
        review.until(SAYS.format("Nothing was done: The project's file lists new_y.tif"), "true")
        assert data.read_bytes() == other_data.read_bytes()
    finally:
        review.project.write_text(before, "utf-8")
        data.write_bytes(disk)
        review.open("kidney_01.tif")


def test_another_series_of_the_same_file_under_the_same_id_is_not_mixed_with_this_one(review):
    before = review.project.read_text("utf-8")
    disk = (review.project.parent / "data/1/data.qpdata").read_bytes()
    content = json.loads(before)
    content["images"][0]["serverBuilder"]["args"] = ["--series", "2"]
    content["images"][0]["imageName"] = "kidney_01.tif - 2"
    try:
        review.project.write_text(json.dumps(content), "utf-8")
        review.press("Y")
        review.until(SAYS.format("The project's file lists kidney_01.tif - 2 in place of kidney_01.tif"), "true")
        assert (review.project.parent / "data/1/data.qpdata").read_bytes() == disk
    finally:
        review.project.write_text(before, "utf-8")
        review.open("kidney_01.tif")


def test_data_of_another_image_are_not_judged_as_this_ones(review):
    """As where a second QuPath added another image under this id, and its data stand there still."""
    folder = review.project.parent / "data"
    own = (folder / "1/data.qpdata").read_bytes()
    try:
        review.fx("gui.openImageEntry(entryOf('kidney_02.tif'))")
        review.until("review.getTitle()", "Review: kidney_02.tif")
        (folder / "1/data.qpdata").write_bytes((folder / "2/data.qpdata").read_bytes())
        review.fx("gui.openImageEntry(entryOf('kidney_01.tif'))")
        review.until("review.getTitle()", "Review: kidney_01.tif")
        assert "its data were saved of another image (kidney_02.tif" in review.text()
        standing = (folder / "1/data.qpdata").read_bytes()
        review.press("Y")
        review.settle()
        assert "its data were saved of another image" in review.text()
        assert (folder / "1/data.qpdata").read_bytes() == standing
    finally:
        (folder / "1/data.qpdata").write_bytes(own)
        review.open("kidney_01.tif")
