"""What every test may ask for."""

from pathlib import Path

import pytest

DATA = Path(__file__).parents[1] / "../shared/data"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real slides and projects, which lies beside the repository and not in it."""
    if not DATA.is_dir():
        pytest.skip("the folder of real data (../shared/data) is not here")
    return DATA.resolve()
