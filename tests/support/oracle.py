"""A real VariableUNet with weights set by hand: it finds the colours of the drawn discs, and nothing else."""

from pathlib import Path

import torch
from support.slides import DISC, TISSUE

from glomseg.models.card import ModelCard
from glomseg.models.store import save_model
from glomseg.models.variable_unet import VariableUNet

CHANNELS = (1, 0, 2)
"""Class -> the channel that is dark in its discs: green, red, blue."""
COLOURS = tuple(tuple(DISC[1] if i == dark else TISSUE[i] for i in range(3)) for dark in CHANNELS)
"""Class -> the colour of its discs; of one class alone DISC will do as well."""
CLASSES = {
    "num_classes": 3,
    "class_names": ("Glomerulus", "Glomerulus: Sclerotic", "Tubule"),
    "class_colors": ((0, 200, 0), (200, 0, 0), (0, 0, 200)),
}


def oracle_net(classes: int = 1) -> VariableUNet:
    """A network whose logit of a class is 0 where a pixel is half disc, half tissue, positive where it is more disc."""
    net = VariableUNet(256, classes).eval()
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if not name.endswith(("running_var", "num_batches_tracked")):
                value.zero_()
        skipped = net.up1.out_channels  # dec1 sees what came up first, then the first level's maps
        for index, channel in enumerate(CHANNELS[:classes]):
            for block, source in (
                (net.enc1, channel),
                (net.dec1, skipped + index),
            ):
                for layer, taken in ((0, source), (3, index)):
                    block.double_conv[layer].weight[index, taken, 1, 1] = 1
                    block.double_conv[layer + 1].weight[index] = 1
            half = (DISC[1] + TISSUE[channel]) / 2 / 255
            net.final.weight[index, index] = -40
            net.final.bias[index] = 40 * half
    return net


def oracle_card(*, mpp: float = 1.0, diameter_um: float = 80.0, **card: object) -> ModelCard:
    values = {"species": "mouse", "minimum_area_um2": 300, "description": "finds discs", "halo_pixels": 16}
    values |= {"architecture_args": {"patch_size": 256}, **card}
    return ModelCard(name="oracle", mpp=mpp, training_diameter_um=diameter_um, **values)


def save_oracle(folder: Path, **card: object) -> Path:
    """Save the oracle of as many classes as its card has."""
    made = oracle_card(**card)
    save_model(folder, made, oracle_net(made.num_classes))
    return folder
