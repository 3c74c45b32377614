"""The run folder: what was asked, what came out of it, and how far it got.

run.json                   the record: parameters, model, device, state and timings of each image
<key>.geojson              the result of one image; a file that is there is complete
glomeruli.csv              one row a glomerulus
overlay/<key>.png          with --overlay
probability/<key>.tif      with --keep-probability
backup/<key>/              what stood in the QuPath project before the first write
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from glomseg import __version__
from glomseg.errors import RunError
from glomseg.files import write_text

FORMAT_VERSION = 1
RECORD = "run.json"


@dataclass
class Run:
    """One run and its folder. `images` holds one record a key; everything is on disk after each `save`."""

    folder: Path
    run_id: str
    parameters: dict[str, Any]
    """What decides the result: another value of any of these is another run."""
    details: dict[str, Any] = field(default_factory=dict)
    images: dict[str, dict[str, Any]] = field(default_factory=dict)

    def result_path(self, key: str) -> Path:
        """Tell where the outlines of an image lie."""
        return self.folder / f"{checked_key(key)}.geojson"

    def is_done(self, key: str, inputs: Mapping[str, Any]) -> bool:
        """Tell whether an image with the same inputs has a complete result."""
        record = self.images.get(key, {})
        return record.get("state") == "done" and record.get("inputs") == inputs and self.result_path(key).is_file()

    def begin(self, key: str, **values: Any) -> None:
        """Start an image over: what an earlier attempt found is forgotten, but not what was done to the project."""
        kept = ("collected", "standing", "undone")
        earlier = self.images.get(checked_key(key), {})
        self.result_path(key).unlink(missing_ok=True)
        self.images[key] = {name: earlier[name] for name in kept if name in earlier}
        self.record(key, state="running", **values)

    def record(self, key: str, **values: Any) -> None:
        """Set values of an image's record and save; raises RunError."""
        self.images.setdefault(checked_key(key), {}).update(values)
        self.save()

    def save(self) -> None:
        """Write run.json; raises RunError."""
        content = {
            "format_version": FORMAT_VERSION,
            "run_id": self.run_id,
            "glomseg_version": __version__,
            "parameters": self.parameters,
            **self.details,
            "images": self.images,
        }
        write_text(self.folder / RECORD, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def now() -> str:
    """Return the time with its zone, as ISO 8601 text that sorts."""
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def printable(text: object) -> str:
    """Return text that can be written as UTF-8, whatever bytes a file name is made of."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def checked_key(key: str) -> str:
    """Return a key that is safe as a file name; raise RunError for one that is not."""
    if not key or key.startswith(".") or re.search(r'[\x00-\x1f/\\:*?"<>|]', key):
        raise RunError(f"{key!r} cannot be the name of a file; rename the image")
    return key


def load_run(folder: Path) -> Run:
    """Read the record of a run; raises RunError where it is missing or damaged."""
    path = folder / RECORD
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format_version"] != FORMAT_VERSION:
            raise RunError(f"{path} has format {content['format_version']!r}; this glomseg reads {FORMAT_VERSION}")
        known = ("format_version", "run_id", "glomseg_version", "parameters", "images")
        details = {name: value for name, value in content.items() if name not in known}
        return Run(folder, content["run_id"], content["parameters"], details, content["images"])
    except FileNotFoundError:
        raise RunError(f"{folder} is no run folder: it holds no {RECORD}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged ({error}); remove the folder, or start over with --restart") from error


def list_runs(folder: Path) -> list[Run]:
    """List the readable runs of a project's `glomseg` folder, the oldest first."""
    runs = []
    for path in sorted(folder.glob(f"*/{RECORD}")):
        try:
            runs.append(load_run(path.parent))
        except RunError:
            continue  # a damaged run is no obstacle to a new one
    return sorted(runs, key=lambda run: (str(run.details.get("started", "")), run.run_id))


def find_run(folder: Path, run_id: str | None) -> Run:
    """Find a run of a project by its id, the newest by default; raises RunError where there is none."""
    runs = list_runs(folder)
    chosen = [run for run in runs if run_id in (None, run.run_id)]
    if chosen:
        return chosen[-1]
    if not runs:
        raise RunError(f"no run in {folder}; make one with: glomseg annotate PROJECT")
    raise RunError(f"no run {run_id!r} in {folder}; there are: {', '.join(run.run_id for run in runs)}")


def resume_or_start(folder: Path, parameters: dict[str, Any], *, restart: bool) -> Run:
    """Go on with the newest run in `folder` that has these parameters, or start one in a folder of its own."""
    alike = [run for run in list_runs(folder) if run.parameters == parameters]
    if alike and not restart:
        return alike[-1]
    run_id = datetime.now().strftime("%Y%m%d-%H%M%S")
    taken = sum(1 for path in folder.glob(f"{run_id}*"))
    run_id += f"-{taken + 1}" if taken else ""
    return Run(folder / run_id, run_id, parameters, {"started": now()})


def resume_or_start_in(folder: Path, parameters: dict[str, Any], *, restart: bool) -> Run:
    """Go on with the run that `folder` itself holds, or start it there; raises RunError for other parameters."""
    if not restart and (folder / RECORD).exists():
        run = load_run(folder)
        if run.parameters != parameters:
            changed = sorted(
                name for name in {*run.parameters, *parameters} if run.parameters.get(name) != parameters.get(name)
            )
            raise RunError(
                f"{folder} holds results made with another {', '.join(changed)}; choose another --output, or --restart"
            )
        return run
    return Run(folder, datetime.now().strftime("%Y%m%d-%H%M%S"), parameters, {"started": now()})


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; raises RunError where another glomseg works in it or nothing can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise RunError(f"another glomseg is working in {folder}; wait for it, or stop it") from None
    except OSError as error:
        raise RunError(f"cannot write in {folder}: {error.strerror}; choose a folder you may write to") from error
    try:
        yield
    finally:
        lock.release()
