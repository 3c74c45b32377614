"""Boxes on a slide, and the tiles that cover its tissue."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in level-0 pixels, (x, y) its top-left corner; it may reach off the slide."""

    x: float
    y: float
    width: float
    height: float
