"""Labelled images to learn from: found in folders, looked over, split, and read."""
