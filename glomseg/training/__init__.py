"""Learn from annotated tissue."""
