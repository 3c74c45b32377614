"""The KPIs 2024 challenge's folders: what a path in them says of an image, once for training and evaluation.

The tree is `{KPIs24 Training Data|...}/Task1_patch_level/<part>/<group>/<case>/{img,mask}/<case>_<i>_<x>_<y>_img.jpg`
for patches and `{KPIs24 Training Data|...}/Task2_WSI_level/<group>/<id>_{wsi,mask}.tiff` for slides; people also unpack
it as `train/`, `validation/`, `test/`, and the challenge's README draws `<group>/img/case1.tiff`. Patches were cut at
40X, slides of all groups but NEP25 digitised at 80X.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from glomseg.labelled.parts import part_named

GROUPS = ("56Nx", "DN", "NEP25", "normal")
MPP_40X = 0.2395
_SCANNED_AT_40X = "NEP25"
_FOLDERS_ABOVE = 3  # how far above its group a folder may say the part
_NO_WORDS = {"kpis", "kpi", "kpis24", "kpis2024", "24", "2024", "data", "dataset", "set", "miccai"}
_TREE = re.compile(r"^task[ _-]?[12]\b|^task[ _-]?[12]_|kpis", re.IGNORECASE)
_SLIDE_TASK = re.compile(r"^task[ _-]?2", re.IGNORECASE)
_FILE = re.compile(r"_(img|wsi|mask)$", re.IGNORECASE)
_ANIMAL = re.compile(r"^(\d+)[_-](\d+)(?=[_-]|$)")
_IMAGE_FOLDERS = ("img", "image", "images", "mask", "masks", "wsi")


@dataclass(frozen=True, kw_only=True)
class KpisPlace:
    """What the challenge's folders say of a file: its group, animal and section, its part, and which task it is of.

    `animal` and `section` begin with the group. `is_sure` tells that more than a folder's name speaks for the
    challenge.
    """

    group: str
    animal: str
    section: str
    part: str
    is_slide: bool
    is_sure: bool

    @property
    def mpp(self) -> float | None:
        """Um per pixel by the challenge's table, for a file that does not say it; None where it may be another's."""
        if not self.is_sure:
            return None
        return MPP_40X / 2 if self.is_slide and self.group != _SCANNED_AT_40X else MPP_40X


def kpis_place(path: Path) -> KpisPlace | None:
    """Tell what the challenge's folders say of a file, by the group nearest to it; None without a group's folder."""
    path = path.resolve()
    folders = path.parts[:-1]
    named = [index for index, folder in enumerate(folders) if _group(folder)]
    if not named:
        return None
    at = named[-1]
    group = _group(folders[at])
    below = [folder for folder in folders[at + 1 :] if folder.lower() not in _IMAGE_FOLDERS]
    stem = _stem(path.name)
    section = _section(below[0] if below else stem)
    above = folders[max(0, at - _FOLDERS_ABOVE) : at]
    part = next((said for folder in (*reversed(below), *reversed(above)) if (said := part_said(folder))), "")
    bare = path.name.partition(".")[0]
    is_slide = any(_SLIDE_TASK.match(folder) for folder in above) or bare.lower().endswith("_wsi")
    return KpisPlace(
        group=group,
        animal=f"{group}/{_animal(section)}",
        section=f"{group}/{section}",
        part=part,
        is_slide=is_slide or path.suffix.lower() in (".tif", ".tiff", ".svs"),
        is_sure=bool(_FILE.search(bare)) or any(_TREE.search(folder) for folder in above),
    )


def part_said(folder: str) -> str:
    """Tell which part a folder such as `KPIs24 Testing Data` names, "" for none."""
    if part := part_named(folder):
        return part
    words = [word for word in re.split(r"[^a-z0-9]+", folder.lower()) if word and word not in _NO_WORDS]
    return part_named(words[0]) if len(words) == 1 else ""


def reduction(mpp: float | None, place: KpisPlace | None) -> int:
    """Tell by how much to reduce an image to 40X, where everything is scored: 2 for one digitised at 80X, else 1.

    The image's own um per pixel decides; the challenge's table fills a gap.
    """
    if mpp is None and place is not None:
        mpp = place.mpp
    return 2 if mpp is not None and mpp < 0.75 * MPP_40X else 1


def _group(folder: str) -> str:
    return next((name for name in GROUPS if name.lower() == folder.lower()), "")


def _stem(name: str) -> str:
    """Name a slide or patch without its ending, and a patch without its number and place."""
    stem = _FILE.sub("", name.partition(".")[0])
    patch = re.match(r"^(?P<case>.+?)[_-]\d+[_-]\d+[_-]\d+$", stem)
    return patch["case"] if patch and _ANIMAL.match(patch["case"]) else stem


def _section(name: str) -> str:
    return name.replace("-", "_")


def _animal(section: str) -> str:
    """Name the animal of a section: `08_368_01` to `08_368_03` are of one."""
    numbers = _ANIMAL.match(section)
    return f"{numbers[1]}_{numbers[2]}" if numbers else section
