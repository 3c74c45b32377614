"""What a model learned from, as far as lies beside its weights: scoring on that says little about other images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glomseg.errors import EvaluationError, in_words
from glomseg.files import from_json
from glomseg.labelled.image_info import ImageInfo
from glomseg.labelled.parts import PARTS
from glomseg.models.card import ModelCard

SPLIT = "split.json"
_FOLDERS = 3  # of a path, whose names may be those of training data


@dataclass(frozen=True)
class LearnedFrom:
    """The part of a model's own split that each image was in, by its key; what is not in there the model never saw."""

    path: Path
    parts: Mapping[str, str]

    def count(self, part: str) -> int:
        """Count the images of a part."""
        return sum(said == part for said in self.parts.values())

    def remarks(self, images: int) -> list[str]:
        """Say how many images the model has seen in its training."""
        said = []
        if learned := self.count("train"):
            said.append(
                f"{learned} of {images} images were in this model's training ({self.path}); scores on them say little "
                "about others: give `part` test"
            )
        if chosen := self.count("validation"):
            said.append(f"{chosen} of {images} images were those that this model was chosen by ({self.path})")
        return said


def learned_from(model_folder: Path, infos: Sequence[ImageInfo]) -> LearnedFrom | None:
    """Tell which images a model learned from, by their names in the split beside its weights; None without one.

    Raises EvaluationError where that file is damaged.
    """
    path = model_folder / SPLIT
    if not path.is_file():
        return None
    try:
        content = from_json(path.read_text(encoding="utf-8"))
        named = [
            (part, _parts(name)[1:] or _parts(name))
            for part in PARTS
            for names in content[part].values()
            for name in dict.fromkeys(form for name in names for form in (name, _slide_of(name)))
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise EvaluationError(
            f"{path} cannot be read as a split ({in_words(error)}); remove it, or train again"
        ) from error
    by_stem: dict[str, list[tuple[str, list[str]]]] = {}
    for part, parts in named:
        by_stem.setdefault(parts[-1], []).append((part, parts))
    part_of = {}
    for info in infos:
        key = _parts(info.key)
        alike = [(part, parts) for part, parts in by_stem.get(key[-1], []) if _end_alike(key, parts)]
        if alike:
            seen = Counter(part for part, _ in alike)
            part_of[info.key] = PARTS[0] if PARTS[0] in seen else seen.most_common(1)[0][0]
    return LearnedFrom(path, part_of)


def card_remarks(card: ModelCard, data: Path, infos: Sequence[ImageInfo]) -> list[str]:
    """Say where a model's card names the data that it is scored on: a folder so called, or the KPIs' training part."""
    names = {item.name for item in card.training_data}
    said = [
        f"this model's card says that it learned from {name}, and the data lie in a folder of that name"
        for name in dict.fromkeys(data.resolve().parts[-_FOLDERS:])
        if name in names
    ]
    kpis = sum(info.kpis is not None and info.kpis.part == "train" for info in infos)
    if kpis and any("kpis" in name.lower() for name in names):
        said.append(f"{kpis} of {len(infos)} images are of the KPIs challenge's training part, which the card names")
    return said


def _slide_of(name: str) -> str:
    """Name the slide of a tile, which is scored as a whole where it was learned from in tiles."""
    slide, sign, place = name.rpartition(" [")
    return slide if sign and ",w=" in place else name


def _parts(name: str) -> list[str]:
    """Split an example's name, less the place of a part of a slide."""
    return name.partition(" [x=")[0].split("/") if ",y=" in name and ",w=" not in name else name.split("/")


def _end_alike(one: Sequence[str], other: Sequence[str]) -> bool:
    count = min(len(one), len(other))
    return list(one[-count:]) == list(other[-count:])
