"""What an example is when it is read."""

from pathlib import Path

import numpy as np
import pytest

from glomseg.training.dataset import find_examples, read_example


def test_kpis_patches_are_found_and_read(kpis_tree: Path) -> None:
    examples = find_examples([kpis_tree], spacing_um_px=0.479)
    assert len(examples) == 48
    assert {example.group for example in examples} == {"56Nx", "DN", "NEP25"}
    assert len({example.case for example in examples}) == 12
    for example in examples:
        read = read_example(example, 0.479)
        assert read.image.shape[:2] == read.label.shape == read.valid.shape
        assert read.label.shape == ((128, 128) if example.group == "NEP25" else (64, 64))
        assert example.positive == bool(read.label.any())
        area_um2 = read.label.sum() * 0.479**2
        assert area_um2 < 2.1 * np.pi * 25
        padded = example.part == "train" and "_0_0_" in example.name
        assert read.valid.mean() == pytest.approx(0.75 if padded else 1, abs=0.06)
