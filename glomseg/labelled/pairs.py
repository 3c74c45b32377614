"""Which file belongs to which: predictions, truth and images matched by name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from glomseg.errors import EvaluationError
from glomseg.labelled.label_files import GEOJSON
from glomseg.qupath.objects import PathObject
from glomseg.runs.run import RECORD, load_run
from glomseg.slides.formats import ENDINGS

Missing = Literal["refuse", "skip", "empty"]

IMAGES = ENDINGS
MASKS = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp")
_MASK_FOLDERS = {"mask", "masks", "label", "labels", "labelled", "truth", "groundtruth", "ground_truth", "gt"}
_IMAGE_FOLDERS = {"img", "image", "images", "wsi", "slides", "tiles"}
_MASK_ENDING = re.compile(r"[ _-]+(masks?|label(s|led|ed)?|gt|truth)$", re.IGNORECASE)
_ENDING = re.compile(
    r"([ _-]+(masks?|label(s|led|ed)?|gt|truth|img|image|wsi|pred(icted|ictions?)?)|\.ome)$", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """One image of one side: a file, or the `objects` that a project holds.

    `folders` lead to it; `size`, `mpp` and `image` are what a run's record or a project knows of the image.
    """

    path: Path
    stem: str
    folders: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    mpp: tuple[float, float] | None = None
    image: Path | None = None
    objects: tuple[PathObject, ...] | None = None

    @property
    def key(self) -> str:
        """Name it with the folders that tell it from others of its name."""
        return "/".join((*self.folders, self.stem))


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A prediction (None where it is missing and counts as empty), its truth, and the image where it was found."""

    key: str
    predicted: Source | None
    true: Source
    image: Path | None = None


def stem_of(path: Path) -> str:
    """Name an image by its file: without the endings that say mask, label or prediction."""
    name = path.name
    for suffix in sorted((*GEOJSON, *IMAGES, *MASKS), key=len, reverse=True):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    while (shorter := _ENDING.sub("", name)) and shorter != name:
        name = shorter
    return name


def _is_label(path: Path, root: Path) -> bool:
    """Tell by its name, its folder and its neighbours whether a file holds labels rather than a picture."""
    if path.name.lower().endswith(GEOJSON) or _MASK_ENDING.search(_bare(path)):
        return True
    folders = (root.name, *path.relative_to(root).parts[:-1])
    nearest = next((part.lower() for part in reversed(folders) if part.lower() in _MASK_FOLDERS | _IMAGE_FOLDERS), "")
    outlined = any((path.parent / f"{_bare(path)}{suffix}").exists() for suffix in GEOJSON)
    return nearest in _MASK_FOLDERS and not outlined


def _bare(path: Path) -> str:
    return path.stem.removesuffix(".ome")


def _files(root: Path, suffixes: Iterable[str]) -> list[Path]:
    wanted = tuple(suffixes)
    return sorted(
        path
        for path in root.rglob("*")
        if path.is_file()
        and path.name.lower().endswith(wanted)
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )


def _source(path: Path, root: Path) -> Source:
    parts = path.relative_to(root).parts[:-1]
    folders = tuple(part for part in parts if part.lower() not in _MASK_FOLDERS | _IMAGE_FOLDERS)
    return Source(path=path, stem=stem_of(path), folders=folders)


def find_labels(path: Path) -> list[Source]:
    """List the masks and GeoJSON files that a file, a folder or a run folder stands for; raises EvaluationError."""
    if not path.exists():
        raise EvaluationError(f"{path} does not exist; name a mask, a GeoJSON file or a folder of them")
    if path.is_file():
        return [Source(path=path, stem=stem_of(path))]
    if (path / RECORD).is_file():
        return _run_results(path)
    files = [item for item in _files(path, (*GEOJSON, *MASKS)) if not item.name.lower().endswith("-tiles.json")]
    labels = [item for item in files if _is_label(item, path)]
    found = [_source(item, path) for item in labels or files]
    if not found:
        raise EvaluationError(f"{path} holds no mask and no GeoJSON file; name the folder that does")
    return found


def _run_results(folder: Path) -> list[Source]:
    run = load_run(folder)
    found = [
        Source(
            path=run.result_path(key),
            stem=stem_of(Path(record["name"])),
            size=(record["width"], record["height"]),
            mpp=tuple(record["mpp"]),
        )
        for key, record in run.images.items()
        if record.get("state") == "done"
    ]
    if not found:
        raise EvaluationError(f"the run in {folder} has no finished image; let it finish first")
    return found


def find_images(path: Path) -> list[Source]:
    """List the pictures that a file or a folder stands for, without its masks; raises EvaluationError."""
    if not path.exists():
        raise EvaluationError(f"{path} does not exist; name an image or a folder of them")
    if path.is_file():
        return [Source(path=path, stem=stem_of(path))]
    found = [_source(item, path) for item in _files(path, IMAGES) if not _is_label(item, path)]
    if not found:
        raise EvaluationError(f"{path} holds no image; name a folder with images and their masks or GeoJSON files")
    return found


def find_pictures(path: Path) -> tuple[list[Source], list[Source]]:
    """List the pictures in a folder and the masks in it, either of which may be none."""
    found = [(_source(item, path), _is_label(item, path)) for item in _files(path, {*IMAGES, *MASKS})]
    return [item for item, label in found if not label], [item for item, label in found if label]


def images_named(folders: Iterable[Path], stem: str, *, besides: Path) -> list[Source]:
    """List the pictures of one name that lie in some folders themselves, without the file `besides`."""
    return [
        Source(path=path, stem=stem)
        for folder in folders
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if path.name.lower().endswith(IMAGES) and stem_of(path) == stem and path != besides
        if not _is_label(path, folder)
    ]


def pair_up(
    predicted: list[Source], true: list[Source], *, missing: Missing = "refuse", images: Iterable[Source] = ()
) -> tuple[list[Pair], list[str]]:
    """Match both sides by name and say in words what had no partner; two single files match whatever their names.

    Files match by their names alone where these are unique on both sides, else by the folders as well. A truth
    without prediction is refused, skipped, or scored as an empty prediction, as `missing` says; a prediction without
    truth cannot be scored and is refused, or skipped. Raises EvaluationError.
    """
    pictures = list(images)
    if len(predicted) == len(true) == 1:
        return [_pair(true[0].stem, predicted[0], true[0], pictures)], []
    by_stem = all(max(Counter(item.stem for item in side).values()) == 1 for side in (predicted, true))
    ours, theirs = (_by_name(side, by_stem) for side in (predicted, true))
    lacking, extra = sorted(theirs.keys() - ours.keys()), sorted(ours.keys() - theirs.keys())
    if not theirs.keys() & ours.keys() or (missing == "refuse" and (lacking or extra)):
        raise EvaluationError(_complaint(ours, theirs, lacking, extra))
    names = sorted(theirs if missing == "empty" else theirs.keys() & ours.keys())
    pairs = [_pair(name, ours.get(name), theirs[name], pictures) for name in names]
    remarks = [f"{name}: no prediction; {'scored as empty' if missing == 'empty' else 'left out'}" for name in lacking]
    return pairs, [*remarks, *(f"{name}: no truth; left out" for name in extra)]


def _pair(key: str, predicted: Source | None, true: Source, pictures: list[Source]) -> Pair:
    image = _named(pictures, true) or true.image or (predicted.image if predicted else None)
    return Pair(key=key, predicted=predicted, true=true, image=image)


def _by_name(side: list[Source], by_stem: bool) -> dict[str, Source]:
    named: dict[str, Source] = {}
    for item in side:
        name = item.stem if by_stem else item.key
        if name in named:
            raise EvaluationError(f"{item.path} and {named[name].path} are both named {name!r}; keep one of them")
        named[name] = item
    return named


def _named(pictures: list[Source], truth: Source) -> Path | None:
    alike = [item for item in pictures if item.stem == truth.stem]
    exact = [item for item in alike if item.key == truth.key]
    return (exact or alike)[0].path if len(alike) == 1 or len(exact) == 1 else None


def _complaint(ours: Mapping[str, Source], theirs: Mapping[str, Source], lacking: list[str], extra: list[str]) -> str:
    if not ours.keys() & theirs.keys():
        return (
            f"no prediction ({_some(extra)}) has the name of a truth ({_some(lacking)}); files match by name, "
            "rename one side"
        )
    parts = [f"no prediction for {_some(lacking)}"] if lacking else []
    parts += [f"no truth for {_some(extra)}"] if extra else []
    return f"{' and '.join(parts)}; add what is missing, or use --missing skip or --missing empty"


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
