"""Build an extension of QuPath out of the scripts: a JAR with the menu, and the catalog that offers it.

A JAR is a zip. Its one class is Groovy, compiled by the Groovy of the QuPath that is installed here, so that nothing
else is needed.
"""

from __future__ import annotations

import importlib.resources
import re
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from glomseg import __version__
from glomseg.errors import QuPathError
from glomseg.files import replacing, write_json
from glomseg.qupath.launcher import run_script
from glomseg.qupath.scripts import script_files

EXTENSION = "glomseg.extension.GlomSegExtension"
OLDEST_QUPATH = "v0.6.0"
"""The oldest QuPath in which the extension was tried."""

_SERVICE = "META-INF/services/qupath.lib.gui.extensions.QuPathExtension"
_SCRIPTS = "glomseg/scripts/"
_DATE = (1980, 1, 1, 0, 0, 0)
_REPOSITORY = re.compile(r"https://github\.com/[0-9A-Za-z]+/[0-9A-Za-z]+/?")


@dataclass(frozen=True, kw_only=True)
class BuiltExtension:
    """The JAR, and the catalog where a repository was named."""

    jar: Path
    catalog: Path | None


def build_extension(output: Path, *, repository: str | None = None) -> BuiltExtension:
    """Write the JAR to a folder and, with the address of a repository on github.com, its `catalog.json`.

    The catalog says that the JAR is part of the release named after this version. Raises QuPathError where no QuPath
    is installed or it cannot compile, or where a catalog could not name the repository.
    """
    if repository is not None and not _REPOSITORY.fullmatch(repository):
        raise QuPathError(
            f"{repository} cannot stand in a catalog of QuPath; `repository` is https://github.com/OWNER/NAME, with "
            "letters and digits alone"
        )
    jar = output / f"qupath-extension-glomseg-{__version__}.jar"
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="glomseg-") as scratch:
        classes = _compile(Path(scratch))
        with replacing(jar) as temporary:
            _write_jar(temporary, classes)
    if repository is None:
        return BuiltExtension(jar=jar, catalog=None)
    catalog = output / "catalog.json"
    write_json(catalog, catalog_content(repository.rstrip("/"), jar.name))
    return BuiltExtension(jar=jar, catalog=catalog)


def catalog_content(repository: str, jar_name: str) -> dict[str, object]:
    """Return a catalog as QuPath's extension manager reads it, offering this version of the extension."""
    release = {
        "name": f"v{__version__}",
        "main_url": f"{repository}/releases/download/v{__version__}/{jar_name}",
        "version_range": {"min": OLDEST_QUPATH},
    }
    extension = {
        "name": "GlomSeg",
        "description": "Finds the glomeruli on slides of kidney, and reviews, measures and learns from them",
        "author": "the authors of glomseg",
        "homepage": repository,
        "releases": [release],
    }
    return {"name": "GlomSeg", "description": "The extension of glomseg", "extensions": [extension]}


def _compile(scratch: Path) -> dict[str, bytes]:
    """Compile the extension in QuPath; returns the classes by their names in the JAR."""
    sources = Path(str(importlib.resources.files("glomseg_scripts"))) / "extension"
    arguments = [str(sources / "GlomSegExtension.groovy"), str(scratch)]
    done = run_script(sources / "compile.groovy", arguments=arguments)
    classes = {path.relative_to(scratch).as_posix(): path.read_bytes() for path in sorted(scratch.rglob("*.class"))}
    if done.errors or not classes:
        raise QuPathError(f"QuPath could not compile the extension ({'; '.join(done.errors) or done.code})")
    return classes


def _write_jar(path: Path, classes: dict[str, bytes]) -> None:
    scripts = script_files()
    content = {
        "META-INF/MANIFEST.MF": f"Manifest-Version: 1.0\r\nImplementation-Version: {__version__}\r\n\r\n".encode(),
        _SERVICE: f"{EXTENSION}\n".encode(),
        _SCRIPTS + "index.txt": "\n".join(script.name for script in scripts).encode(),
        _SCRIPTS + "version.txt": __version__.encode(),
        **{_SCRIPTS + script.name: script.read_bytes() for script in scripts},
        **classes,
    }
    with zipfile.ZipFile(path, "w") as jar:
        for name, data in content.items():
            jar.writestr(zipfile.ZipInfo(name, _DATE), data, zipfile.ZIP_DEFLATED)
