"""Where the tests' real data lie: beside the repository, else the little of it that ships with the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

BESIDE = Path(os.environ.get("GLOMSEG_TEST_DATA") or Path(__file__).parents[2] / "../shared/data")
TINY = Path(__file__).parents[1] / "tiny"


class TinyData(type(Path())):
    """The folder that ships with the tests; a test that asks for more than it holds skips with the reason."""

    def __truediv__(self, name):
        path = super().__truediv__(name)
        if not path.exists():
            pytest.skip(f"{path.relative_to(TINY)} is not here: real data lie in ../shared/data")
        return path


def find_data() -> Path:
    """Return the folder of real data, or of the tiny part of it."""
    return BESIDE.resolve() if BESIDE.is_dir() else TinyData(TINY)
