"""Labelled images to learn from: found in folders, looked over, split, and read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from glomseg.errors import TrainingError
from glomseg.labelled.parts import part_named
from glomseg.listing import first_names
from glomseg.training.data.examples import Example, Labelled, read_example
from glomseg.training.data.layouts import find_pairs, names_of
from glomseg.training.data.splits import Split, read_split, split_examples, write_split
from glomseg.training.data.survey import survey

__all__ = [
    "Example",
    "Labelled",
    "Split",
    "find_examples",
    "read_example",
    "read_split",
    "split_examples",
    "write_split",
]


def find_examples(
    folders: Sequence[Path],
    *,
    model_mpp: float,
    tile_mpp: float | None = None,
    classes: Sequence[str] = ("Glomerulus",),
    label_classes: Sequence[str] = (),
    hold_out: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Example, ...]:
    """Find the labelled images in folders of any layout and look at every one of them.

    With `hold_out` no image is opened that the folders or a sample sheet put into the test part, nor its label.

    The network reads at `model_mpp` um per pixel; `tile_mpp` is that of images that do not say it. A class counts with
    those derived from it, but where these are among `label_classes`, the classes that the labels tell apart: what is of
    one of them that is none of `classes` is background. `progress` is called with how many examples were looked at, and
    of how many. Raises one TrainingError that names all that is wrong, a line each.
    """
    if not folders:
        raise TrainingError("no folder of training data was named; give at least one")
    missing = [f"{folder} is no folder; check the path" for folder in folders if not folder.is_dir()]
    there = [folder for folder in folders if folder.is_dir()]
    parts = [part_named(folder.resolve().name) if len(there) > 1 else "" for folder in there]
    content = [
        find_pairs(folder, name=name, tile_mpp=tile_mpp, classes=classes, label_classes=label_classes, part=part)
        for folder, name, part in zip(there, names_of(there), parts, strict=True)
    ]
    unique = {example.image.resolve(): example for part in content for example in part.examples}
    problems = [*missing, *(line for part in content for line in part.problems)]
    if label_classes:
        _refuse_plain(unique.values(), label_classes)
    held_out = tuple(item for item in unique.values() if hold_out and item.part == "test")
    others = tuple(item for item in unique.values() if item not in held_out)
    if held_out and not others and not problems:
        return held_out
    return *survey(others, problems, model_mpp=model_mpp, classes=classes, progress=progress), *held_out


def _refuse_plain(examples: Iterable[Example], label_classes: Sequence[str]) -> None:
    """Raise TrainingError for labels of which no number stands for a class, so that they tell none apart."""
    plain = [str(item.label) for item in examples if item.label is not None and not item.values]
    if plain:
        raise TrainingError(
            f"{len(plain)} masks do not tell {', '.join(label_classes)} apart ({first_names(plain)}); export tiles "
            "with these classes, or leave data.label_classes empty"
        )
