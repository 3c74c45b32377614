"""Names of the arrays that pictures are changed in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels8 = NDArray[np.uint8]
Floats = NDArray[np.float32]
Marks = NDArray[np.bool_]
Random = np.random.Generator
