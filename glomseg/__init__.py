"""Find glomeruli on whole-slide images and hand them to QuPath as polygons to review."""

__version__ = "0.1.0"
