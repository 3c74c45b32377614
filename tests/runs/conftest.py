"""What tests of runs share."""

import pytest


@pytest.fixture
def study(study_0_6_0):
    """The real project of QuPath 0.6.0, of which each test changes a copy."""
    return study_0_6_0
