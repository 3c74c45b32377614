"""Which files are images and which are labels: told by names, folders and content."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PureWindowsPath

from glomseg.errors import EvaluationError, SlideError
from glomseg.labelled.names import GEOJSON, MASKS, has_label_name, may_have_label_name, stem_of
from glomseg.labelled.unread import other_picture, unread_label
from glomseg.listing import first_names
from glomseg.qupath.annotations import AnnotatedImage
from glomseg.runs.image_record import ImageRecord
from glomseg.runs.outlines import image_of_run
from glomseg.runs.run import RECORD, load_run
from glomseg.slides.find_slides import find_slides
from glomseg.slides.formats import ENDINGS, Format, format_of

_MASK_FOLDERS = {"mask", "masks", "label", "labels", "labelled", "truth", "groundtruth", "ground_truth", "gt"}
_IMAGE_FOLDERS = {"img", "image", "images", "wsi", "slides", "tiles"}
_NO_MASK = "no mask or outlines of a kind that is read; export PNG, TIFF or GeoJSON"
_SEVERAL_FILES = (".dcm", ".dicom", ".vms", ".vmu")


@dataclass(frozen=True, kw_only=True)
class Source:
    """One image of one side: a file, or an image that a project or a run holds with its annotations.

    `folders` lead to it; `is_named` says that the user named the very file.
    """

    path: Path
    stem: str
    folders: tuple[str, ...] = ()
    annotated: AnnotatedImage | None = None
    is_named: bool = field(default=False, compare=False)

    @property
    def image(self) -> Path | None:
        """Return where the picture lies, where a project says it."""
        return self.annotated.path if self.annotated else None

    @property
    def key(self) -> str:
        """Name it with the folders that tell it from others of its name."""
        return "/".join((*self.folders, self.stem))


def _is_label(path: Path, root: Path) -> bool:
    """Tell by its name, its folder and its neighbours whether a file holds labels rather than a picture."""
    name = path.name.lower()
    if name.endswith(GEOJSON) or (name.endswith(MASKS) and has_label_name(path)):
        return True
    if name.endswith(MASKS) and may_have_label_name(path) and _has_picture(path):
        return True
    folders = (root.name, *path.relative_to(root).parts[:-1])
    nearest = next((part.lower() for part in reversed(folders) if part.lower() in _MASK_FOLDERS | _IMAGE_FOLDERS), "")
    outlined = any((path.parent / f"{_bare(path)}{suffix}").exists() for suffix in GEOJSON)
    return nearest in _MASK_FOLDERS and not outlined


def _has_picture(path: Path) -> bool:
    """Tell whether the picture of a file that may be its mask lies beside it."""
    stem = stem_of(path)
    return any(
        other != path and other.name.lower().startswith(stem.lower()) and _is_picture_of(other, stem)
        for other in path.parent.iterdir()
    )


def _is_picture_of(path: Path, stem: str) -> bool:
    is_picture = path.name.lower().endswith(ENDINGS) and not has_label_name(path) and not may_have_label_name(path)
    return is_picture and stem_of(path) == stem


def _bare(path: Path) -> str:
    return path.stem.removesuffix(".ome")


def _files(root: Path, suffixes: Iterable[str]) -> list[Path]:
    wanted = tuple(suffixes)
    return [path for path in _all_files(root) if path.name.lower().endswith(wanted)]


def _all_files(root: Path) -> list[Path]:
    """List the files in a folder and below without hidden ones, and without what a run of glomseg below it wrote."""
    return _files_and_runs(root)[0]


def _files_and_runs(root: Path) -> tuple[list[Path], list[Path]]:
    """List the files in a folder and below, none hidden, that no run of glomseg below it wrote, and those runs."""
    files = sorted(
        path
        for path in root.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
    runs = [path.parent for path in files if _is_record(path) and path.parent != root]
    wrote = set(runs)
    return [path for path in files if wrote.isdisjoint(path.parents)], runs


def _is_record(path: Path) -> bool:
    """Tell whether a file is the record of a run, and not another program's of the same name."""
    return path.name == RECORD and b'"run_id"' in path.read_bytes()


def _picture_files(root: Path) -> list[Path]:
    """List what opens as an image in a folder and below; those of one slide (DICOM, VMS) once."""
    files = _all_files(root)
    plain = tuple(ending for ending in ENDINGS if ending not in _SEVERAL_FILES)
    usual = [path for path in files if path.name.lower().endswith(plain)]
    others = {*files} - {*usual}
    if not any(isinstance(format_of(path), Format) for path in others):
        return usual
    try:
        slides = find_slides(root, recursive=True).paths
    except SlideError as error:
        raise EvaluationError(str(error)) from error
    return sorted({*slides} & {*files})


def _is_geojson(path: Path) -> bool:
    """Tell by the beginning of a .json file whether it holds outlines: glomseg's own files and others do not."""
    if ".json" not in path.suffixes[-2:]:
        return True
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opened(path, "rb") as file:
            head = file.read(4096)
    except (OSError, EOFError, zlib.error):
        return True  # reading it names the fault
    return b'"Feature' in head or not head.lstrip().startswith((b"{", b"["))


def _source(path: Path, root: Path) -> Source:
    parts = path.relative_to(root).parts[:-1]
    folders = tuple(part for part in parts if part.lower() not in _MASK_FOLDERS | _IMAGE_FOLDERS)
    return Source(path=path, stem=stem_of(path), folders=folders)


def find_labels(path: Path) -> list[Source]:
    """List the masks and GeoJSON files that a file, a folder or a run folder stands for.

    The runs in a folder count with their results alone: not their candidates, which are no predictions. Raises
    EvaluationError where there is none, and RunError for a damaged run.
    """
    if not path.exists():
        raise EvaluationError(f"{path} does not exist; name a mask, a GeoJSON file or a folder of them")
    if path.is_file():
        return [Source(path=path, stem=stem_of(path), is_named=True)]
    if (path / RECORD).is_file():
        return _run_results(path)
    there, runs = _files_and_runs(path)
    files = [item for item in there if item.name.lower().endswith((*GEOJSON, *MASKS))]
    files = [item for item in files if not item.name.lower().endswith(GEOJSON) or _is_geojson(item)]
    labels = [item for item in files if _is_label(item, path)]
    sources = [_source(item, path) for item in labels or files]
    for run in runs:
        above = run.relative_to(path).parts
        sources += [replace(item, folders=(*above, *item.folders)) for item in _run_results(run)]
    if not sources:
        raise EvaluationError(f"{path} holds no mask and no GeoJSON file; name the folder that does")
    return sources


def left_out(path: Path) -> list[str]:
    """Say in words which files of a folder may hold labels or images and are not read, with the way to convert them."""
    if not path.is_dir() or (path / RECORD).is_file():
        return []
    reasons: dict[str, list[str]] = {}
    for item in _all_files(path):
        reason = unread_label(item)
        is_label = _is_label(item, path) or has_label_name(item)
        if reason is None and is_label and not item.name.lower().endswith((*GEOJSON, *MASKS)):
            reason = other_picture(item) or (_NO_MASK if has_label_name(item) else None)
        if reason is not None:
            reasons.setdefault(reason, []).append(item.name)
    return [f"left out: {first_names(names)}: {reason}" for reason, names in reasons.items()]


def _run_results(folder: Path) -> list[Source]:
    run = load_run(folder)
    done = {entry_id: record for entry_id, record in run.images.items() if record.is_done}
    stems = [stem_of(Path(record.name)) for record in done.values()]
    by_folder = len(set(stems)) < len(stems)
    above = {PureWindowsPath(record.path or "").parent for record in done.values()}  # of other systems as well
    sources = [
        Source(
            path=run.result_path(entry_id),
            stem=stem,
            folders=Path(record.name).parent.parts or (_folder_of(record, above) if by_folder else ()),
            annotated=image_of_run(run, entry_id),
        )
        for stem, (entry_id, record) in zip(stems, done.items(), strict=True)
    ]
    if not sources:
        raise EvaluationError(f"the run in {folder} has no finished image; let it finish first")
    return sources


def _folder_of(record: ImageRecord, above: Collection[PureWindowsPath]) -> tuple[str, ...]:
    """Name the folder in which a slide lay, where the names of its run's slides do not tell them apart.

    It has none where it lay `above` all others: that is the folder of them all, whatever it is called.
    """
    folder = PureWindowsPath(record.path or "").parent
    if not folder.name or folder.name.lower() in _MASK_FOLDERS | _IMAGE_FOLDERS:
        return ()
    return () if all(folder == other or folder in other.parents for other in above) else (folder.name,)


def find_images(path: Path) -> list[Source]:
    """List the pictures that a file or a folder stands for, without its masks; raises EvaluationError."""
    if not path.exists():
        raise EvaluationError(f"{path} does not exist; name an image or a folder of them")
    if path.is_file():
        return [Source(path=path, stem=stem_of(path), is_named=True)]
    sources = [_source(item, path) for item in _picture_files(path) if not _is_label(item, path)]
    if not sources:
        raise EvaluationError(f"{path} holds no image; name a folder with images and their masks or GeoJSON files")
    return sources


def find_pictures(path: Path) -> tuple[list[Source], list[Source]]:
    """List the pictures in a folder and the masks in it, either of which may be none."""
    sources = [
        (_source(item, path), _is_label(item, path)) for item in sorted({*_picture_files(path), *_files(path, MASKS)})
    ]
    return [item for item, label in sources if not label], [item for item, label in sources if label]


def images_named(folders: Iterable[Path], stem: str, *, besides: Path) -> list[Source]:
    """List the pictures of one name that lie in some folders themselves, without the file `besides`."""
    return [
        Source(path=path, stem=stem)
        for folder in folders
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if path.name.lower().endswith(ENDINGS) and stem_of(path) == stem and path != besides
        if not _is_label(path, folder)
    ]
