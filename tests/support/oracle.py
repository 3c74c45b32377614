"""A real VariableUNet with weights set by hand: it finds the colour of the drawn discs, and nothing else."""

from pathlib import Path

import torch
from support.slides import DISC, TISSUE

from glomseg.models.card import ModelCard
from glomseg.models.store import save_model
from glomseg.models.variable_unet import VariableUNet


def save_oracle(folder: Path, *, mpp: float = 1.0, diameter_um: float = 80.0, **card: object) -> Path:
    """Save a model whose logit is 0 where a pixel is half disc, half tissue, positive where it is more disc."""
    net = VariableUNet(256).eval()
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if not name.endswith(("running_var", "num_batches_tracked")):
                value.zero_()
        skipped = net.up1.out_channels  # dec1 sees what came up first, then the first level's maps
        for block, source in ((net.enc1, 1), (net.dec1, skipped)):  # green, then the map that carries it
            for layer, channel in ((0, source), (3, 0)):
                block.double_conv[layer].weight[0, channel, 1, 1] = 1
                block.double_conv[layer + 1].weight[0] = 1
        half = (DISC[1] + TISSUE[1]) / 2 / 255
        net.final.weight[0, 0] = -40
        net.final.bias[0] = 40 * half
    values = {"species": "mouse", "minimum_area_um2": 300, "description": "finds discs", "halo_pixels": 16, **card}
    save_model(folder, ModelCard(name="oracle", mpp=mpp, training_diameter_um=diameter_um, **values), net)
    return folder
