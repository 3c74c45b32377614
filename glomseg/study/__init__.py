"""What a study publishes: glomeruli measured on their slides, and summed up by slide, animal and group."""
