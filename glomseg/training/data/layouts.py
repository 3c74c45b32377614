"""Find labelled images in folders: QuPath's exports, the KPIs 2024 data, and plain folders of images and masks.

Whatever the layout, an image and its label belong together by name, and never by their order. What the layouts tell
beyond that is read off the names and the files beside them:

- QuPath's tiles are called `<image> [d=..,x=..,y=..,w=..,h=..]`, so the slide is known; `export.json` above them says
  how large their pixels are and `<image>-tiles.json` what their values mean.
- The KPIs data lie in `{train,validation,test}/<group>/<case>/{img,mask}` (patches) and `<group>/<id>_wsi.tiff`
  with `<id>_mask.tiff` (slides).
- Elsewhere the folder of an image is its slide, or its own name without a tile's place.

A `samples.csv` at the top of a folder says what names cannot: a row an image or slide, with its animal, group or split.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from glomseg.errors import LabelError, SampleSheetError, TrainingError
from glomseg.labelled.find_files import Source, find_pictures
from glomseg.labelled.image_info import shared_row
from glomseg.labelled.kpis import KpisPlace, kpis_place
from glomseg.labelled.names import stem_of
from glomseg.labelled.parts import part_named
from glomseg.labelled.sample_sheet import Sample, SampleSheet, read_sample_sheet
from glomseg.labelled.tile_files import TILE, tile_labels, tile_mpp
from glomseg.qupath.classes import best_class, is_exactly
from glomseg.segment.region import IGNORED
from glomseg.training.data.examples import UNKNOWN, Example

HARD = "hard_negatives"
SHEET = "samples.csv"
_NUMBER = re.compile(r"[ _-]+\d+$")
_PLACE = re.compile(r"[ _-]+(x=?\d+[ _,-]*y=?\d+.*|\d+[_-]\d+)$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """What a folder holds: examples, those of whole slides still uncut, and what is wrong with the others."""

    examples: tuple[Example, ...]
    problems: tuple[str, ...]


def find_pairs(
    folder: Path,
    *,
    name: str,
    tile_mpp: float | None,
    classes: Sequence[str],
    label_classes: Sequence[str] = (),
    part: str = "",
) -> Pairs:
    """Pair the images of a folder with their labels; `name` begins the names of the examples.

    `tile_mpp` is um per pixel of images that do not say it, `part` what the folder is where nothing in it says.
    """
    images, labels = find_pictures(folder)
    if not images:
        return Pairs(examples=(), problems=(f"{folder} holds no images; name a folder with images and their masks",))
    problems = [*_twice(images), *_twice(labels)]
    pairs, lone = _paired(images, labels)
    examples: list[Example] = []
    try:
        layout = _Layout(
            folder, name, tile_mpp, tuple(classes), tuple(label_classes), _wholes(images), _samples(folder), part
        )
    except SampleSheetError as error:
        return Pairs(examples=(), problems=(*problems, str(error)))
    for image, label in pairs:
        try:
            examples.append(layout.example(image, label))
        except (TrainingError, LabelError, SampleSheetError) as error:
            problems.append(str(error))
    problems += layout.shared_rows()
    problems += [f"{item.path} has no image of its name; add it, or remove the label" for item in lone]
    return Pairs(examples=tuple(examples), problems=tuple(problems))


def _paired(
    images: Sequence[Source], labels: Sequence[Source]
) -> tuple[list[tuple[Source, Source | None]], list[Source]]:
    """Match by folders and name, what is left by a name that is left once on each side; and the labels left over.

    By the name alone only where images and labels lie in folders of other names: else one's label may be missing, and
    that of another is no substitute.
    """
    rest = {item.key: item for item in labels}
    ours, theirs = ({item.folders for item in side} for side in (images, rest.values()))
    pairs = [(image, rest.pop(image.key, None)) for image in sorted(images, key=lambda item: item.key)]
    alone = {image.key for image, label in pairs if label is None and image.folders not in theirs}
    free = {key: item for key, item in rest.items() if item.folders not in ours}
    images_left = Counter(image.stem for image, label in pairs if label is None)
    labels_left = Counter(item.stem for item in rest.values())
    by_stem = {item.stem: key for key, item in free.items() if labels_left[item.stem] == images_left[item.stem] == 1}
    pairs = [
        (image, rest.pop(by_stem[image.stem]) if image.key in alone and image.stem in by_stem else label)
        for image, label in pairs
    ]
    return pairs, list(rest.values())


def _samples(folder: Path) -> SampleSheet | None:
    """Read the sample sheet of a folder, where it has one; raises SampleSheetError."""
    sheet = folder / SHEET
    return read_sample_sheet(sheet) if sheet.is_file() else None


def say_samples(folders: Iterable[Path]) -> tuple[str, ...]:
    """Say which cells of the folders' sample sheets are read otherwise than they stand; raises SampleSheetError."""
    sheets = [_samples(folder) for folder in folders]
    return tuple(remark for sheet in sheets if sheet is not None for remark in sheet.remarks)


def _twice(sources: Iterable[Source]) -> list[str]:
    """Name the files that share their name with another."""
    first: dict[str, Source] = {}
    return [
        f"{item.path} and {first[item.key].path} are both named {item.key!r}; keep one of them"
        for item in sources
        if first.setdefault(item.key, item) is not item
    ]


def _wholes(images: Iterable[Source]) -> dict[str, str]:
    """Name what each image was cut from, by its key, where the names of all end with a place, as tiles' do.

    Hard negatives may be called anything. Where nothing is shared so, a number before the place counts the tiles.
    """
    usual = [item for item in images if HARD not in item.folders]
    if not all(_PLACE.search(item.stem) for item in usual):
        return {}
    wholes = {item.key: _PLACE.sub("", item.key) for item in usual}
    if len(set(wholes.values())) == len(wholes):
        wholes = {key: _NUMBER.sub("", whole) for key, whole in wholes.items()}
    return {**{item.key: _PLACE.sub("", item.key) for item in images}, **wholes}


@dataclass(slots=True)
class _Layout:
    """What is to be known of a folder to describe each pair in it."""

    folder: Path
    name: str
    tile_mpp: float | None
    classes: tuple[str, ...]
    label_classes: tuple[str, ...]
    wholes: Mapping[str, str]
    samples: SampleSheet | None
    part: str
    taken: dict[int, dict[str, str]] = field(default_factory=dict)

    def shared_rows(self) -> list[str]:
        """Say which rows of the sample sheet fit images of several slides, such as one `s.png` for A/s and B/s."""
        images = [list(slides.values()) for slides in self.taken.values() if len(slides) > 1]
        return [str(shared_row(self.samples, names)) for names in images if self.samples is not None]

    def example(self, image: Source, label: Source | None) -> Example:
        """Describe a pair by names alone, no picture is opened; raises TrainingError."""
        hard = HARD in (*self.folder.resolve().parts, *image.folders)
        if label is None and not hard:
            raise TrainingError(
                f"{image.path} has no mask of its name; add it, or put the image into a folder {HARD} if nothing in it "
                "is a glomerulus"
            )
        place = kpis_place(image.path)
        if place is None:
            slide = case = self._slide(image)
            part = next((named for item in reversed(image.folders) if (named := part_named(item))), self.part)
        else:
            slide, case, part = place.section, place.animal, place.part or self.part
        sample = self._sample(image, slide)
        if sample.column("slide"):
            slide = case = stem_of(Path(sample.column("slide")))
        return Example(
            name=f"{self.name}/{image.key}",
            image=image.path,
            label=None if label is None else label.path,
            slide=slide,
            case=sample.animal or case,
            group=sample.group or (place.group if place else "all"),
            said_mpp=tile_mpp(image.path),
            table_mpp=self.tile_mpp or (place.mpp if place else None),
            part=sample.split or part,
            values=self._values(image, place),
            others=() if label is None else self._others(image),
            hard=hard,
        )

    def _sample(self, image: Source, slide: str) -> Sample:
        """Give what the sample sheet says of an image or its slide; raises TrainingError where it says nothing."""
        if self.samples is None:
            return Sample()
        sample = self.samples.find(image.path.name, image.stem, slide, path=image.path)
        if sample is None:
            raise TrainingError(f"{self.samples.path} has no row for {image.path} or its slide {slide}; add one")
        self.taken.setdefault(id(sample), {}).setdefault(slide, image.key)
        return sample

    def _slide(self, image: Source) -> str:
        """Name the slide of an image by QuPath's name of the tile, else its folder, else its own name."""
        folders = [item for item in image.folders if not part_named(item) and item.lower() != HARD]
        tile = TILE.match(image.stem)
        if tile:  # in a folder `NAME [ID]` where two images of a project have that name
            is_shared = bool(folders) and re.fullmatch(r" \[[\w-]+\]", folders[-1].removeprefix(tile["image"]))
            return folders[-1] if is_shared else tile["image"]
        if folders:
            return "/".join((self.name, *folders))
        return f"{self.name}/{self.wholes.get(image.key, image.key)}"

    def _values(self, image: Source, place: KpisPlace | None) -> tuple[tuple[int, int], ...]:
        """Pair values of the label with classes, by the names that QuPath wrote, else by the order of the classes."""
        labels = tile_labels(image.path)
        if labels is not None and not labels.are_objects:
            return tuple((number, self._class_of(name)) for number, name in labels.classes.items())
        told_apart = self.label_classes or self.classes
        if labels is not None or place is not None or len(told_apart) == 1:
            return ()
        return tuple((number, self._class_of(name)) for number, name in enumerate(told_apart, 1))

    def _others(self, image: Source) -> tuple[str, ...]:
        """List the classes that a label names, or tells apart by its numbers, and that are none of ours."""
        labels = tile_labels(image.path)
        names = () if labels is None or labels.are_objects else labels.classes.values()
        return tuple(name for name in names or self.label_classes if not self._class_of(name))

    def _class_of(self, name: str) -> int:
        return class_of(name, self.classes, self.label_classes)


def class_of(name: str, classes: Sequence[str], label_classes: Sequence[str] = ()) -> int:
    """Number a class from 1, by the rule of all commands (one derived from it, or near in spelling, too); else 0.

    What is rather of one of `label_classes` that is none of `classes` is 0 as well.
    What is to be ignored is `UNKNOWN`, neither a glomerulus nor tissue without one.
    """
    if is_exactly(name, IGNORED):
        return UNKNOWN
    counts_as = best_class(name, label_classes or classes)
    return classes.index(counts_as) + 1 if counts_as in classes else 0


def names_of(folders: Sequence[Path]) -> list[str]:
    """Name folders by the last parts of their paths, as many as it takes to tell them apart."""
    paths = [folder.resolve().parts for folder in folders]
    for count in range(1, max(map(len, paths), default=1)):
        names = ["/".join(parts[-count:]) for parts in paths]
        if max(Counter(names).values()) == 1:
            return names
    return ["/".join(parts) for parts in paths]
