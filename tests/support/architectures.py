"""Each architecture that can be trained, as small as it gets, and settings for the shortest training."""

import importlib.util
import json

import pytest

from glomseg.models.networks import NETWORKS

STAGES = {"width": 16, "depths": [1, 1, 1, 1], "window": 4}
SMALL = {
    "variable-unet": {"patch_size": 256},
    "smp-unet": {"encoder": "tu-test_resnet"},
    "smp-unet++": {"encoder": "tu-test_resnet"},
    "smp-deeplabv3+": {"encoder": "tu-test_resnet"},
    "smp-segformer": {"encoder": "tu-test_resnet"},
    "smp-upernet": {"encoder": "tu-test_resnet"},
    "segformer": {"width": 8, "depths": [1, 1, 1, 1], "decoder_width": 16},
    "upernet": {**STAGES, "decoder_width": 16},
    "mask2former": {
        **STAGES,
        "decoder_width": 32,
        "queries": 2,  # the sum of more is 1 everywhere before any training
        "pixel_layers": 1,
        "decoder_layers": 2,
        "points": 256,
    },
}
"""Architecture -> arguments."""

WORDS = (
    "model.mpp=8",
    "data.crop_px=64",
    "data.margin_px=0",
    "data.samples_per_epoch=4",
    "data.mining_every=0",
    "data.workers=0",
    "optimiser.batch_size=2",
    "optimiser.precision=32-true",
    "optimiser.backbone_rate=0.1",
    "optimiser.decay_norms=false",
    "optimiser.schedule=linear",
    "validation.thresholds=[0.5]",
    "validation.limit=2",
    "augment.elastic_px=0",
)


def needed(name: str) -> None:
    """Skip where the library of an architecture is not installed."""
    if NETWORKS[name].needs and importlib.util.find_spec(NETWORKS[name].needs) is None:
        pytest.skip(f"{NETWORKS[name].needs} is not installed")


def words(name: str) -> tuple[str, ...]:
    """The settings of a training of two batches an epoch."""
    arguments = ", ".join(f"{key} = {json.dumps(value)}" for key, value in SMALL[name].items())
    return (*WORDS, f"model.architecture={name}", f"model.arguments={{{arguments}}}")
