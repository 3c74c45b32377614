"""`glomseg qupath`: run Groovy scripts in QuPath, and put glomseg's own where QuPath shows them."""

from __future__ import annotations

from pathlib import Path

import click

from . import options
from .commands import Commands
from .console import Console


@click.group(cls=Commands)
def qupath() -> None:
    """Run Groovy scripts in QuPath; put glomseg's own into its menus."""


@qupath.command()
@click.argument("script")
@options.project_argument
@click.option("--image", help="Only on the image of this name or id [on every image].")
@click.option("--arg", "arguments", multiple=True, help="Hand this to the script. May be repeated.")
@click.option("--save", is_flag=True, help="Save each image afterwards.")
@click.option("--json", "as_json", is_flag=True, help="Print images, what was printed, and errors as JSON.")
@click.option("--quiet", "-q", is_flag=True, help="Print only what the script prints, and errors.")
def run(
    script: str, project: Path, image: str | None, arguments: tuple[str, ...], save: bool, quiet: bool, as_json: bool
) -> None:
    """Run SCRIPT, a Groovy file or the name of one of glomseg's, in QuPath on the images of PROJECT.

    What the script prints goes to standard output. Exit code 1 where there is no such image, or where the script
    failed on any, which QuPath itself does not tell. Close the project in QuPath first where the script saves. With
    --save the images are backed up before, as `glomseg restore` lists them.
    """
    from glomseg.qupath.launcher import check_run
    from glomseg.qupath.scripts import find_script
    from glomseg.runs.run_script import run_on_project

    console = Console(quiet=quiet, as_json=as_json)
    path = find_script(script)
    printed: list[str] = []

    def show(level: str, text: str) -> None:
        if not level:
            printed.append(text)
            if not as_json:
                click.echo(text)
        elif level == "STDERR":
            click.echo(text, err=True)
        elif level in ("WARN", "ERROR", "TRACE") or (level == "INFO" and text.startswith("Running script")):
            console.say(text)

    done = run_on_project(path, project, image=image, arguments=arguments, save=save, line=show)
    if as_json:
        console.json({"images": list(done.images), "printed": printed, "errors": list(done.errors), "code": done.code})
    check_run(done, image=image)


@qupath.command("install-scripts")
@click.option("--folder", type=click.Path(path_type=Path), help="QuPath's scripts folder [asked of QuPath].")
@click.option("--force", is_flag=True, help="Replace scripts that you changed too; yours are kept beside them.")
@options.output
def install(folder: Path | None, force: bool, quiet: bool, as_json: bool) -> int:
    """Copy glomseg's scripts to QuPath's user folder, and show them under Extensions > GlomSeg from the next start on.

    QuPath gets its default user folder where it has none. A script that you changed is left as it is, and named; exit
    code 1 tells. With --folder, run install_menu.groovy there once.
    """
    from glomseg.errors import QuPathError
    from glomseg.qupath.launcher import settle_in
    from glomseg.qupath.process import REMEDY, find_qupath
    from glomseg.qupath.scripts import MENU, install_scripts

    console = Console(quiet=quiet, as_json=as_json)
    where = "in QuPath: Automate > User scripts > GlomSeg > install menu, then Run"
    if folder is None:
        info = find_qupath()
        if info is None:
            raise QuPathError(f"no QuPath was found, so name its scripts folder with --folder; or {REMEDY}")
        settled = settle_in(info, MENU)
        folder = settled.path / "scripts"
        if settled.other_start is None:
            where = "in QuPath, from its next start on: Extensions > GlomSeg"
        else:
            console.warn(
                f"QuPath starts with {settled.other_start}, which is left; call install_menu.groovy from there"
            )
    installed = install_scripts(folder, force=force)
    if as_json:
        console.json([{"script": item.path.name, "path": str(item.path), "state": item.state} for item in installed])
    elif not quiet:
        console.table(("script", "state"), [(item.path.name, item.state) for item in installed])
    console.say(f"in {installed[0].path.parent}; {where}")
    changed = [item.path for item in installed if item.state == "changed"]
    for path in changed:
        console.warn(f"{path} was changed by you and is left as it is; --force replaces it and keeps yours beside it")
    return int(bool(changed))


@qupath.command("build-extension")
@click.option(
    "--output",
    "-o",
    default="glomseg-extension",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for the JAR.",
)
@click.option("--repository", metavar="URL", help="https://github.com/OWNER/NAME that releases it: write catalog.json.")
@options.output
def build(output: Path, repository: str | None, quiet: bool, as_json: bool) -> None:
    """Pack glomseg's scripts as an extension of QuPath, compiled by the QuPath of this machine.

    Drop the JAR onto QuPath's window, and the menu Extensions > GlomSeg is there, at the latest when QuPath starts
    again. With --repository, catalog.json lets QuPath's extension manager offer it.
    """
    from glomseg.qupath.extension import build_extension

    console = Console(quiet=quiet, as_json=as_json)
    built = build_extension(output, repository=repository)
    if as_json:
        console.json({"jar": str(built.jar), "catalog": str(built.catalog) if built.catalog else None})
    elif not quiet:
        click.echo(str(built.jar))
        if built.catalog is not None:
            click.echo(str(built.catalog))
