"""The second stage as `annotate` and `collect` run it, and the closing table of both stages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import cast

from glomseg.qupath.process import REMEDY, find_qupath
from glomseg.qupath.project import ImageState, Project
from glomseg.runs.collect import NOT_IN, OnConflict, Writing, collect_run
from glomseg.runs.run import Run

from .console import Console


def writing_options(
    on_conflict: str, *, forget_rejections: bool = False, progress: Callable[[str], None] = lambda name: None
) -> Writing:
    """Turn the options of a command into how to write."""
    return Writing(forget_rejections=forget_rejections, on_conflict=cast(OnConflict, on_conflict), progress=progress)


def collect_into(
    console: Console,
    project: Project,
    run: Run,
    *,
    keys: Collection[str],
    states: Mapping[str, ImageState],
    writing: Writing,
    needed: bool,
) -> None:
    """Collect images of `run` into `project`. Without QuPath an error where `needed`, else a remark on how to go on."""
    if not needed and find_qupath() is None:
        console.say(
            f"no QuPath on this machine: the outlines wait in {run.folder}. Bring them in with `glomseg collect "
            f"{project.path}` where QuPath is, or with import_results.groovy in QuPath ({REMEDY})"
        )
        return
    with console.spinner("QuPath is starting") as update:
        writing = replace(writing, progress=lambda name: update(f"into the project: {name}"))
        collect_run(project, run, keys=keys, states=states, writing=writing)
    for record in (run.images[key] for key in keys if key in run.images):
        if record.get("outcome") == NOT_IN:
            console.warn(f"{record['name']}: {record['reason']}")


def show_run(console: Console, run: Run, keys: Iterable[str]) -> int:
    """Print how the images of these keys went and where the results are; returns the exit code: 1 where one failed."""
    images = {key: run.images[key] for key in keys if key in run.images}
    console.result({"run": run.run_id, "folder": str(run.folder), "images": images}, images.values())
    console.say(f"results: {run.folder}")
    return int(any(record["state"] != "done" or record.get("outcome") == NOT_IN for record in images.values()))
