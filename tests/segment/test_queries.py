"""Queries of a Mask2Former as objects: those that touch come apart, also where tiles show parts of them."""

import types
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from shapely.geometry import Point
from support.architectures import SMALL, needed
from support.small_models import card
from torch import nn

from glomseg import SegmentSettings, open_slide, segment_slide
from glomseg.evaluation.matching import match, overlaps
from glomseg.evaluation.metrics import object_score
from glomseg.geometry import geometries
from glomseg.models.networks import build_network
from glomseg.models.predict import Model

MPP, SIDE, RADIUS = 3.0, 448, 33  # glomeruli of 200 um
QUERIES = 10
HALO = 48  # of a card that does not say another, less than a glomerulus is wide
STEP = 25
"""Objects are painted in so many steps of blue, by which the oracle knows them."""


class Oracle(nn.Module):
    """Queries that see each object by its blue: whatever part of it a tile shows, at a quarter of its size."""

    def forward(self, x: torch.Tensor) -> types.SimpleNamespace:
        numbers = (x[:, 2] * 255 / STEP).round().float()
        planes = torch.stack([(numbers == one + 1).float() for one in range(QUERIES)], dim=1)
        small = nn.functional.avg_pool2d(planes, 4)
        shows = planes.sum(dim=(2, 3)) > 0
        kinds = torch.stack([6.0 * shows, 6.0 * ~shows], dim=-1)
        return types.SimpleNamespace(masks_queries_logits=12 * (small - 0.5), class_queries_logits=kinds)


def model(*heads: str, **changes: object) -> Model:
    needed("mask2former")
    made = card(
        architecture="mask2former", architecture_args={**SMALL["mask2former"], "queries": 10}, heads=heads, mpp=MPP,
        species="human",
        minimum_area_um2=3000.0, **changes,
    )  # fmt: skip
    net = build_network(made).eval()
    net.net = Oracle()
    return Model(made, net, torch.device("cpu"), torch.float32)


def slide(path: Path, groups: list[list[tuple[float, float]]]) -> list:
    """Paint groups of discs that press into each other: the later lies behind. Returns what is seen of each."""
    image = np.full((SIDE, SIDE, 3), 220, np.uint8)
    image[..., 2] = 0
    rng = np.random.default_rng(0)
    image[..., :2] = np.clip(image[..., :2] - rng.integers(0, 60, (SIDE, SIDE, 1)), 0, 255)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    shapes = []
    for group in groups:
        before = Point(-99, -99)
        for cx, cy in group:
            number = len(shapes) + 1
            here = (np.hypot(x - cx, y - cy) < RADIUS) & (image[..., 2] == 0)
            image[here] = (130, 60, STEP * number)
            shapes.append(Point(cx, cy).buffer(RADIUS).difference(before))
            before = before.union(shapes[-1])
    tifffile.imwrite(path, image, photometric="rgb", tile=(64, 64), resolution=(1e4 / MPP, 1e4 / MPP),
                     resolutionunit="CENTIMETER")  # fmt: skip
    return shapes


def found(path: Path, made: Model, **settings: object) -> list:
    with open_slide(path) as opened:
        return [one.geometry for one in segment_slide(opened, made, SegmentSettings(**settings)).glomeruli]


def pairs(shift: float) -> list[list[tuple[float, float]]]:
    """Pairs and a chain of three that hide a tenth or so of each other, in all directions."""
    groups = []
    for (cx, cy), angle in zip(((75, 75), (230, 90), (90, 250), (340, 350)), (0.0, 0.8, 1.6, 2.4), strict=True):
        x, y, right, down = cx + shift, cy + shift, 1.6 * RADIUS * np.cos(angle), 1.6 * RADIUS * np.sin(angle)
        groups.append([(x, y), (x + right, y + down)])
    return [*groups[:3], [*groups[3], (x - right, y - down)]]


@pytest.mark.parametrize("shift", [0.0, 13.0, 26.0])
@pytest.mark.parametrize("tile_px", [96, 512])
def test_touching_objects_come_apart_across_tiles(shift: float, tile_px: int, tmp_path: Path) -> None:
    true = geometries(slide(tmp_path / "slide.tif", pairs(shift)))
    apart = found(tmp_path / "slide.tif", model("mask", "hover"), tile_px=tile_px, halo_px=HALO)
    met = overlaps(geometries(apart), true)
    score = object_score(met, match(met))
    assert (len(apart), score.f1) == (len(true), 1)
    assert score.pq > 0.93
    together = found(tmp_path / "slide.tif", model("mask"), tile_px=tile_px, halo_px=HALO, post="cap")
    assert len(together) == 4


@pytest.mark.parametrize("settings", [{"stitch": "mean", "tile_px": 96}, {"tta": True, "tile_px": 96, "halo_px": HALO}])
def test_objects_are_the_same_by_means_of_windows_and_flips(settings: dict[str, object], tmp_path: Path) -> None:
    """Where a window cuts an object, its places are those in what is seen of it: neighbours make up for that."""
    groups = [*pairs(13.0)[:2], [(100.0, 300.0)], [(300.0, 330.0)]]
    true = geometries(slide(tmp_path / "slide.tif", groups))
    apart = found(tmp_path / "slide.tif", model("mask", "hover"), **settings)
    met = overlaps(geometries(apart), true)
    score = object_score(met, match(met))
    assert (len(apart), score.f1) == (len(true), 1)
    assert score.pq > 0.93
