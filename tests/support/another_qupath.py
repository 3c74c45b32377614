"""What another QuPath does to the project that the window of a test shows, and what that window offers then."""

import hashlib

ELSEWHERE = """
def there = ProjectIO.loadProject(gui.getProject().getPath().toFile(), java.awt.image.BufferedImage).getImageList()
    .find { it.getImageName() == 'kidney_01.tif' }
def theirs = there.readImageData()
def ordered = theirs.getHierarchy().getAnnotationObjects().sort { it.getROI().getCentroidX() }
"""
"""The first image as another QuPath reads it: `there`, `theirs`, and its annotations from left to right, `ordered`."""

WARNED = "within(Label).any { it.getText() =~ /Another program/ && it.getParent().isVisible() }"
PRESS = "within(Button).find {{ it.getText() == '{}' }}.fire(); 1"


def load_it(review):
    """Choose "Load it, with what was done here", and wait until that is saved."""
    review.fx(PRESS.format("Load it, with what was done here"))
    review.until(WARNED, "false")
    review.until("data.isChanged()", "false")


def files_of(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
