"""What a training learns from and is judged on, made of the folders that a person names."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from glomseg.errors import TrainingError
from glomseg.files import write_csv
from glomseg.models.card import TrainingData
from glomseg.training.config import TrainConfig
from glomseg.training.data.examples import Example, Labelled
from glomseg.training.data.find import find_examples
from glomseg.training.data.remarks import remarks_on
from glomseg.training.data.sampling import ExampleImages, ExampleSource, Images, SampleSource
from glomseg.training.data.splits import Split, read_split, split_examples, write_split
from glomseg.training.data.survey import survey
from glomseg.training.data.whole import check_whole, whole_mpp

UNSTATED = "unstated"
_READ_WHOLE, _PART = 1 << 26, 1 << 20
"""Bytes of the longest file that is summed up whole, and of each part of a longer one, such as a slide."""
SPLIT_NAME, SURVEY_NAME = "split.json", "survey.csv"
SURVEY_COLUMNS = ("name", "part", "slide", "case", "group", "mpp", "positive", "hard")


@dataclass(frozen=True, kw_only=True)
class Data:
    """The samples, the images to mine, choose and report by, and what is said of them on the card.

    `read_data` makes it of folders; whoever has another source of samples makes one of their own.
    `digest` tells two data sets apart; `describe` says how they were split, `remarks` what should be known of them, and
    `write` writes the split into a folder.
    """

    source: SampleSource
    training: Images | None
    validation: Images | None
    test: Images | None
    model_mpp: float
    digest: str
    origins: tuple[TrainingData, ...]
    describe: str
    write: Callable[[Path], None]
    remarks: tuple[str, ...] = ()

    def with_licences(self, origins: Sequence[Sequence[str]]) -> Data:
        """Return the same with the licences that (name, licence, source) tell, where nobody states one now."""
        licences = {(name, source): licence for name, licence, source in origins}
        stated = tuple(
            replace(item, licence=licences.get((item.name, item.source), UNSTATED))
            if item.licence == UNSTATED
            else item
            for item in self.origins
        )
        return replace(self, origins=stated)


def read_data(
    folders: Sequence[Path],
    config: TrainConfig,
    *,
    tile_mpp: float | None = None,
    split_file: Path | None = None,
    licence: str = UNSTATED,
    progress: Callable[[int, int], None] | None = None,
) -> Data:
    """Find, survey and split the data of some folders; raises TrainingError for all that is wrong with them.

    What the folders call test is not opened before it is scored.
    """
    examples = find_examples(
        folders,
        model_mpp=config.model_mpp,
        tile_mpp=tile_mpp,
        classes=config.model.classes,
        label_classes=config.data.label_classes,
        hold_out=True,
        progress=progress,
    )
    if split_file is not None:
        split = read_split(split_file, examples)
    else:
        split = split_examples(
            examples,
            by="case" if config.data.split_by == "case" else "slide",
            validation=config.data.validation_share,
            test=config.data.test_share,
            seed=config.seed,
        )
    return of_split(split, folders, config, licence=licence)


def of_split(split: Split, folders: Sequence[Path], config: TrainConfig, *, licence: str = UNSTATED) -> Data:
    """Make data of examples that are split already."""
    if not any(example.positive for example in split.train):
        raise TrainingError(
            f"none of the {len(split.train)} images to learn from holds a glomerulus; check the classes of the labels"
        )
    if config.data.sample == "whole":
        check_whole((*split.train, *split.validation), config)
    named = sorted({folder.resolve().name for folder in folders})
    whole = config.data.sample == "whole"
    return Data(
        source=ExampleSource(split.train, config),
        training=None if whole else ExampleImages([e for e in split.train if not e.hard], config),
        validation=ExampleImages(split.validation, config) if split.validation else None,
        test=HeldOut(split.test, config) if split.test else None,
        model_mpp=whole_mpp(split.train, config) if whole else config.model_mpp,
        digest=_digest(split),
        origins=tuple(TrainingData(name, licence, f"folder {name}") for name in named),
        describe=f"split by {split.by}: {len(split.train)} images to learn from, {len(split.validation)} to choose by, "
        f"{len(split.test)} held out",
        write=lambda folder: _write(split, folder),
        remarks=remarks_on(split, config.model.classes, folders),
    )


class HeldOut:
    """The images of the test part. What was not looked at yet is opened when the first one is asked for."""

    def __init__(self, examples: Sequence[Example], config: TrainConfig) -> None:
        """Keep the examples and how to read them."""
        self._examples, self._config = tuple(examples), config
        self._opened: ExampleImages | None = None

    def _images(self) -> ExampleImages:
        """Look at the images; raises TrainingError for all that is wrong with them."""
        if self._opened is None:
            looked_at = tuple(item for item in self._examples if item.mpp)
            new = tuple(item for item in self._examples if not item.mpp)
            seen = survey(new, model_mpp=self._config.model_mpp) if new else ()
            if self._config.data.sample == "whole":
                check_whole((*looked_at, *seen), self._config)
            self._opened = ExampleImages((*looked_at, *seen), self._config)
        return self._opened

    def __len__(self) -> int:
        """Count them."""
        return len(self._images())

    def name(self, index: int) -> str:
        """Name one."""
        return self._images().name(index)

    def read(self, index: int) -> Labelled:
        """Read one."""
        return self._images().read(index)


def _write(split: Split, folder: Path) -> None:
    """Write the split, and what was found of each image."""
    write_split(split, folder / SPLIT_NAME)
    rows = [
        {
            "name": item.name,
            "part": part,
            "slide": item.slide,
            "case": item.case,
            "group": item.group,
            "mpp": item.mpp or None,
            "positive": bool(item.positive) if item.mpp else None,
            "hard": bool(item.hard),
        }
        for part, examples in split.items()
        for item in examples
    ]
    write_csv(folder / SURVEY_NAME, SURVEY_COLUMNS, rows)


def _digest(split: Split) -> str:
    """Sum up the names of all examples, by part, with the sizes of their files and pixels, and what files hold.

    Those of the test part are not opened: nothing of it is before the choice is made.
    """
    files = [_files(example) for name, part in split.items() if name != "test" for example in part]
    sums = {path: _sum(path) for path in dict.fromkeys(itertools.chain(*files)) if path}
    lines = [
        [
            name,
            example.name,
            f"{example.mpp:.6g}",
            *(path.stat().st_size if path else 0 for path in _files(example)),
            *(sums.get(path, "") if path else "" for path in _files(example)),
        ]
        for name, part in split.items()
        for example in part
    ]
    return hashlib.sha256(json.dumps(lines).encode()).hexdigest()


def _sum(path: Path) -> str:
    """Return a sha256 of a file: one that a person corrected or stained anew may be of the same length.

    Of one that is longer than a tile or a label it is that of parts, first, middle and last.
    """
    if path.is_dir():
        return ""
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _READ_WHOLE:
            return hashlib.file_digest(file, "sha256").hexdigest()
        total = hashlib.sha256()
        for start in (0, (size - _PART) // 2, size - _PART):
            file.seek(start)
            total.update(file.read(_PART))
        return total.hexdigest()


def _files(example: Example) -> tuple[Path, Path | None]:
    return example.image, example.label
