"""Slides: their size, the size of their pixels, and reading any box of them at any resolution."""
