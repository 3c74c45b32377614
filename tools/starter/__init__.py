"""The model that ships: its data, how training images are composed of it, and its publishing."""
