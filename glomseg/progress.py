"""What a caller may hear of while something works."""

from __future__ import annotations

from collections.abc import Callable

ProgressCount = Callable[[int, int], None]
"""Hears how many are done, and of how many."""
ProgressText = Callable[[str], None]
"""Hears in a few words what is going on."""
