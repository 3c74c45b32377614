"""Every architecture reads a slide by the same pipeline."""

import importlib.util

import pytest
import torch
from support.architectures import SMALL
from support.slides import disc_slide
from support.small_models import card

from glomseg import SegmentSettings, load_model, open_slide, segment_slide
from glomseg.models.networks import NETWORKS, build_network
from glomseg.models.store import save_model


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SMALL if NETWORKS[name].needs])
def test_a_slide_is_segmented_by_each_network(name, tmp_path):
    """Untrained weights find what they find; each tile is read, and each outline lies on the slide."""
    if importlib.util.find_spec(NETWORKS[name].needs) is None:
        pytest.skip(f"{NETWORKS[name].needs} is not installed")
    torch.manual_seed(0)
    mine = card(
        architecture=name, architecture_args=SMALL[name], mpp=2.0, patch_size_pixels=96, halo_pixels=16,
        threshold=0.5, minimum_area_um2=0.0,
    )  # fmt: skip
    save_model(tmp_path / "model", mine, build_network(mine))
    disc_slide(tmp_path / "slide.tif", size=(512, 448), count=1, radius_um=25, mpp=1.0)
    with open_slide(tmp_path / "slide.tif") as slide:
        result = segment_slide(slide, load_model(tmp_path / "model"), SegmentSettings())
    assert result.network_passes > 0
    assert all(0 <= edge <= 513 for item in result.glomeruli for edge in item.geometry.bounds)
