"""Morphometry of one glomerular profile."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from shapely.affinity import scale
from shapely.geometry.base import BaseGeometry

from glomseg.columns import Column, measurements
from glomseg.geometry import polygons


@dataclass(frozen=True, slots=True)
class Shape:
    """Size and form of one profile, in um where it was measured with a pixel size in um.

    Circularity is 4 pi A / P^2, solidity A / convex area; eccentricity is that of the ellipse with the same second
    moments (0 for a circle). The Feret diameters are the largest and smallest distance between parallel tangents.
    """

    area_um2: float
    perimeter_um: float
    equivalent_diameter_um: float
    max_feret_um: float
    min_feret_um: float
    circularity: float
    solidity: float
    eccentricity: float

    def measurements(self) -> dict[str, float]:
        """Name the values as QuPath names its own shape measurements."""
        return measurements(SHAPE, self)


SHAPE: tuple[Column[Shape], ...] = (
    Column(
        "area_um2", "um^2", "Area (µm²)", "Area of the outline, holes taken out",
        lambda shape: shape.area_um2, "Area µm^2",
    ),
    Column(
        "perimeter_um", "um", "Perimeter (µm)", "Length of the outline, holes included",
        lambda shape: shape.perimeter_um, "Perimeter µm",
    ),
    Column(
        "equivalent_diameter_um", "um", "Equivalent diameter (µm)",
        "Diameter of the circle of the same area, 2 sqrt(A / pi)",
        lambda shape: shape.equivalent_diameter_um, "Equivalent diameter µm",
    ),
    Column(
        "max_feret_um", "um", "Max Feret (µm)", "Largest distance between two parallel tangents",
        lambda shape: shape.max_feret_um, "Max Feret µm",
    ),
    Column(
        "min_feret_um", "um", "Min Feret (µm)", "Smallest distance between two parallel tangents",
        lambda shape: shape.min_feret_um, "Min Feret µm",
    ),
    Column(
        "circularity", "", "Circularity", "4 pi A / P^2: 1 for a circle; from pixels where their size is not known",
        lambda shape: shape.circularity, "Circularity",
    ),
    Column(
        "solidity", "", "Solidity", "Area / convex area; from pixels where their size is not known",
        lambda shape: shape.solidity, "Solidity",
    ),
    Column(
        "eccentricity", "", "Eccentricity", "Of the ellipse with the same second moments: 0 for a circle",
        lambda shape: shape.eccentricity, "Eccentricity",
    ),
)  # fmt: skip
"""What is measured of a form: one column each, in every table of outlines and in QuPath's measurement list."""


def measure_shape(outline: BaseGeometry, mpp_x: float, mpp_y: float) -> Shape:
    """Measure an outline of some area given in level-0 pixels of `mpp_x` x `mpp_y` um.

    Holes are taken from the area and add to the perimeter. With 1 x 1 all lengths are in pixels.
    """
    profile = scale(outline, mpp_x, mpp_y, origin=(0, 0))
    area, perimeter = profile.area, profile.length
    longest, narrowest = feret_diameters(profile)
    return Shape(
        area_um2=area,
        perimeter_um=perimeter,
        equivalent_diameter_um=2 * math.sqrt(area / math.pi),
        max_feret_um=longest,
        min_feret_um=narrowest,
        circularity=min(1.0, 4 * math.pi * area / perimeter**2),
        solidity=area / profile.convex_hull.area,
        eccentricity=eccentricity(profile),
    )


def feret_diameters(profile: BaseGeometry) -> tuple[float, float]:
    """Return the largest and the smallest distance between two parallel tangents of a profile, in its own unit."""
    hull = np.asarray(profile.convex_hull.exterior.coords)[:, :2]
    edges = np.diff(hull, axis=0)
    lengths = np.hypot(edges[:, 0], edges[:, 1])
    edges, corners = edges[lengths > 0] / lengths[lengths > 0, None], hull[:-1]
    normals = np.column_stack([-edges[:, 1], edges[:, 0]])
    across = corners @ normals.T  # the narrowest pair of tangents lies along an edge of the hull
    return float(pdist(corners).max()), float(np.ptp(across, axis=0).min())


def eccentricity(profile: BaseGeometry) -> float:
    """Return the eccentricity of the ellipse with the second central moments of a profile, holes taken out."""
    x0, y0 = profile.centroid.coords[0]
    moments = np.zeros(3)
    for part in polygons(profile):
        moments += _moments(part.exterior.coords, x0, y0)
        for ring in part.interiors:
            moments -= _moments(ring.coords, x0, y0)
    xx, yy, xy = moments
    spread = math.hypot((xx - yy) / 2, xy)
    large, small = (xx + yy) / 2 + spread, (xx + yy) / 2 - spread
    return math.sqrt(max(0.0, 1 - small / large))


def _moments(ring: object, x0: float, y0: float) -> NDArray[np.float64]:
    """Integrate x^2, y^2 and x*y over a ring about (x0, y0) by Green's theorem, positive whatever its direction."""
    x, y = (np.asarray(ring, float)[:, :2] - (x0, y0)).T
    cross = x[:-1] * y[1:] - x[1:] * y[:-1]
    u, v, p, q = x[:-1], x[1:], y[:-1], y[1:]
    xx = (cross * (u * u + u * v + v * v)).sum() / 12
    yy = (cross * (p * p + p * q + q * q)).sum() / 12
    xy = (cross * (2 * u * p + u * q + v * p + 2 * v * q)).sum() / 24
    return np.array([xx, yy, xy]) * (1 if cross.sum() > 0 else -1)
