"""How good a segmentation is: metrics, intervals, pictures, and comparisons."""
