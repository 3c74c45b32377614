"""Images that are learned from whole: one of another size is found among many."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glomseg.errors import TrainingError
from glomseg.training.config_file import read_config
from glomseg.training.data.examples import Example
from glomseg.training.data.whole import check_whole


def test_one_larger_image_among_many_is_named(tmp_path: Path) -> None:
    """It was resized to another scale without a word where only some of the images were looked at."""
    examples = []
    for number in range(130):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.zeros((2 if number != 77 else 4,) * 2, np.uint8)).save(path)
        examples.append(Example(name=path.stem, image=path, label=None, slide="", case="", group="", mpp=0.5))
    config = read_config(recipe="kpis-reference")
    check_whole(examples[:77], config)
    with pytest.raises(TrainingError, match=r"\(77\.png\) um per pixel.* square patches of one size and no slides"):
        check_whole(examples, config)
