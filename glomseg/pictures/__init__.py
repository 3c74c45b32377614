"""Outlines painted over tissue, and sheets of many crops."""
