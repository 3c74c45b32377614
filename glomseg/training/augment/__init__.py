"""Change what a network is shown: its stain, its shape, and what lies in it."""
