"""A card and pictures for a small network."""

import numpy as np

from glomseg.models.card import ModelCard, TrainingData


def card(**changes):
    values = {
        "name": "tiny",
        "description": "for tests",
        "mpp": 3.0,
        "minimum_area_um2": 3000.0,
        "species": "human",
        "training_diameter_um": 200.0,
        "training_data": (TrainingData("a", "CC BY 4.0", "doi"),),
        "weights_sha256": "0" * 64,
    }
    return ModelCard(**(values | changes))


def images(n=2, height=48, width=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)
