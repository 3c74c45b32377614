"""A run over a project's images: what was asked, what came out, what it changed in whose objects."""
