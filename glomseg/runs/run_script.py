"""Run a Groovy script in QuPath on the images of a project; what is to be saved afterwards is backed up before.

QuPath shows an image whose data it cannot read as one without objects, and would save it so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from glomseg.errors import ProjectError
from glomseg.file_rights import keeping_rights
from glomseg.qupath.image_copies import copy_image_data
from glomseg.qupath.image_data import DATA, readable_data
from glomseg.qupath.launcher import ScriptRun, run_script
from glomseg.qupath.project import Project, ProjectImage, image_state, read_project
from glomseg.qupath.safe_write import take_saved_settings
from glomseg.qupath.saved_meanwhile import keeping_others
from glomseg.runs.backups import backup_folder
from glomseg.runs.lock import locked
from glomseg.runs.memory import memory_path
from glomseg.runs.plan import choose_images
from glomseg.runs.run import FOLDER, Run
from glomseg.runs.run_list import list_runs
from glomseg.runs.same_image import refuse_data_of_another, refuse_missing_data


def run_on_project(
    script: Path,
    project: Path,
    *,
    image: str | None = None,
    arguments: Sequence[str] = (),
    save: bool = False,
    line: Callable[[str, str], None] = lambda level, text: None,
) -> ScriptRun:
    """Run a script on the image of this name or entry id, or on every image of a project, as `run_script` does.

    With `save` each image is saved afterwards, and its data backed up before. Raises ProjectError for an unknown image,
    for one whose name others have, and with `save` for one whose data is damaged, missing or another image's; RunError
    where another glomseg is at work, and QuPathError.
    """
    read = read_project(project)
    chosen = choose_images(read, [] if image is None else [image])
    name = None if image is None else _only_name(read, chosen)
    with locked(read.folder / FOLDER) if save else nullcontext():
        runs = list_runs(read.folder / FOLDER) if save else []
        for item in chosen if save else ():
            _back_up(read, item, runs)
        if taken := take_saved_settings(read.path):
            line(
                "WARN",
                f"QuPath had saved {', '.join(taken)} with settings that the project's file lacked; it has them now",
            )
        own = [read.path, *(item.data_folder / DATA for item in chosen)]
        kept: list[str] = []
        with keeping_others(read.path, kept), keeping_rights(own):  # QuPath makes new files, which may shut others out
            done = run_script(script, project=read.path, image=name, arguments=arguments, save=save, line=line)
    if kept:
        line(
            "WARN",
            "another program saved the project while the script ran, and QuPath wrote over it; put back is what it "
            f"changed in or added as {', '.join(kept)}",
        )
    return done


def _only_name(project: Project, chosen: Sequence[ProjectImage]) -> str:
    """Return the name of the chosen image; raises ProjectError where QuPath, which goes by it, may take another."""
    name = chosen[0].name
    ids = [item.entry_id for item in project.images if item.name == name]
    if len(ids) > 1 or len(chosen) > 1:
        raise ProjectError(
            f"{max(len(ids), len(chosen))} images go by that name ({name}; ids {', '.join(ids)}), and QuPath knows "
            "them by nothing else; rename one in QuPath"
        )
    return name


def _back_up(project: Project, image: ProjectImage, runs: Sequence[Run]) -> None:
    try:
        state, data = image_state(image), readable_data(image.data_folder)
    except ProjectError as error:
        raise ProjectError(
            f"{image.name}: {error}. QuPath would save it without objects, so nothing was run; name the others with "
            "`image`"
        ) from error
    runs_folder = project.folder / FOLDER
    try:
        refuse_data_of_another(image, runs, runs_folder)
        refuse_missing_data(image, runs, runs_folder)
    except ProjectError as error:
        raise ProjectError(f"{image.name}: {error}. Nothing was run; name the others with `image`") from error
    if data is not None:
        folder = backup_folder(runs_folder, image.entry_id, "script")
        copy_image_data(
            project.path, image.entry_id, folder, memory_path(runs_folder, image.entry_id, None), expected=state
        )
