"""The Groovy scripts that come with glomseg: finding one, and copying them to where QuPath shows them."""

from __future__ import annotations

import hashlib
import importlib.resources
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from glomseg.errors import QuPathError
from glomseg.files import from_json, write_json, write_text

SUBFOLDER = "GlomSeg"
"""The folder below QuPath's scripts, which QuPath shows as a submenu."""

LIBRARY = "glomseg_"
"""How the names of those begin that the scripts load from their own folder; they are no scripts of their own."""

MENU = f"scripts/{SUBFOLDER}/install_menu.groovy"
"""The script that shows the menu, below QuPath's user folder."""

PYTHON = "python.txt"
"""The file beside the installed scripts that names the Python which has glomseg."""

_RECORD = ".installed.json"


@dataclass(frozen=True, kw_only=True)
class Installed:
    """What became of one script: `changed` is one that a person edited, and is left alone."""

    path: Path
    state: Literal["new", "updated", "same", "changed", "replaced"]


def list_scripts() -> dict[str, Path]:
    """List the scripts that come with glomseg by name, without `.groovy`."""
    return {path.stem: path for path in script_files() if not path.stem.startswith(LIBRARY)}


def script_files() -> list[Path]:
    """Return the files of the scripts, those that they load included."""
    return sorted(Path(str(importlib.resources.files("glomseg_scripts"))).glob("*.groovy"))


def find_script(name: str) -> Path:
    """Return the script of this path or name; raises QuPathError where there is none."""
    path, own = Path(name), list_scripts()
    if path.suffix == ".groovy" and path.is_file():
        return path.absolute()
    if path.name == name and path.name.removesuffix(".groovy") in own:
        return own[path.name.removesuffix(".groovy")]
    raise QuPathError(f"{name} is no Groovy script; name a .groovy file, or one of: {', '.join(own)}")


def install_scripts(scripts_folder: Path, *, force: bool) -> list[Installed]:
    """Copy the scripts to a subfolder of QuPath's scripts folder.

    One that is no longer as an install left it is kept, with `force` under another name. The Python that runs this is
    named beside them, for the scripts to call. Raises RunError where nothing can be written.
    """
    folder = scripts_folder / SUBFOLDER
    record = folder / _RECORD
    known = _read_record(record)
    installed = []
    for path in script_files():
        installed.append(_install(path, folder / path.name, known.get(path.name), force))
        if installed[-1].state != "changed":
            known[path.name] = _digest(path)
    write_json(record, known)
    write_text(folder / PYTHON, sys.executable + "\n")
    return installed


def _install(source: Path, target: Path, known: str | None, force: bool) -> Installed:
    if not target.exists():
        state: Literal["new", "updated", "same", "changed", "replaced"] = "new"
    elif _digest(target) == _digest(source):
        return Installed(path=target, state="same")
    elif _digest(target) == known:
        state = "updated"
    elif not force:
        return Installed(path=target, state="changed")
    else:
        number = 1
        while (aside := target.with_name(f"{target.name}.yours{number}")).exists():
            number += 1
        target.rename(aside)
        state = "replaced"
    write_text(target, source.read_text(encoding="utf-8"))
    return Installed(path=target, state=state)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_text(encoding="utf-8").encode()).hexdigest()


def _read_record(path: Path) -> dict[str, str]:
    try:
        content = from_json(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(name): str(digest) for name, digest in content.items()} if isinstance(content, dict) else {}
