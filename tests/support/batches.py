"""Batches of small slides, and what a run made of them, to be compared file by file."""

import shutil
from pathlib import Path

from support.slides import disc_slide

from glomseg.runs.run import Run, RunParameters, now

KINDS = 3
RUN_ID = "20260101-100000"


def small_slides(folder: Path, count: int) -> list[Path]:
    """Draw small slides with a few discs; of many, some show the same."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [
        disc_slide(folder / f"made-{seed}.tif", size=(256, 256), mpp=1.0, count=3, radius_um=25, seed=seed)
        for seed in range(min(count, KINDS))
    ]
    paths = [folder / f"slide {number:04}.tif" for number in range(count)]
    for number, path in enumerate(paths):
        shutil.copy(drawn[number % len(drawn)].path, path)
    for slide in drawn:
        slide.path.unlink()
    return paths


def begun(folder: Path, parameters: RunParameters) -> Path:
    """Begin a run of a known id, which stands in each of its files, so that two runs can be compared."""
    Run(folder, RUN_ID, parameters, started=now()).save()
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    """Read the results of a run folder by name: all files but its records, which hold times, or of those, and locks."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name not in ("run.json", "summary.md", ".written.json")
        and not path.name.startswith(".lock")
    }
