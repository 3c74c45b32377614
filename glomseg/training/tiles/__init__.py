"""Cut annotated slides into tiles and labels, as QuPath does."""
