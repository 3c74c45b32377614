"""Find glomeruli on whole-slide images and hand them to QuPath as polygons to review."""

from glomseg.version import __version__

__all__ = ["__version__"]
