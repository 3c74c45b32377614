"""Morphometry of one glomerular profile."""

from __future__ import annotations

import math
from dataclasses import dataclass

from shapely.affinity import scale
from shapely.geometry.base import BaseGeometry


@dataclass(frozen=True, slots=True)
class Shape:
    """Size and form of one profile, in um; circularity is 4 pi A / P^2, solidity A / convex area."""

    area_um2: float
    perimeter_um: float
    equivalent_diameter_um: float
    circularity: float
    solidity: float

    def measurements(self) -> dict[str, float]:
        """Name the values as QuPath names its own shape measurements."""
        return {
            "Area µm^2": self.area_um2,
            "Perimeter µm": self.perimeter_um,
            "Equivalent diameter µm": self.equivalent_diameter_um,
            "Circularity": self.circularity,
            "Solidity": self.solidity,
        }


def measure_shape(outline: BaseGeometry, mpp_x: float, mpp_y: float) -> Shape:
    """Measure an outline given in level-0 pixels of `mpp_x` x `mpp_y` um; holes add to the perimeter alone."""
    profile = scale(outline, mpp_x, mpp_y, origin=(0, 0))
    area, perimeter = profile.area, profile.length
    return Shape(
        area_um2=area,
        perimeter_um=perimeter,
        equivalent_diameter_um=2 * math.sqrt(area / math.pi),
        circularity=min(1.0, 4 * math.pi * area / perimeter**2),
        solidity=area / profile.convex_hull.area,
    )
