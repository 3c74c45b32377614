"""The run folder: what was asked, what came out of it, and how far it got.

run.json                   the record: parameters, model, device, state and timings of each image
journal/<token>.jsonl      while it works: what was learned of images since run.json was written
<key>.geojson              the result of one image; a file that is there is complete
glomeruli.csv              one row a glomerulus
overlay/<key>.png          with --overlay
probability/<key>.tif      with --keep-probability
backup/<key>/              what stood in the QuPath project before the first write
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from glomseg import __version__
from glomseg.errors import RunError, in_words
from glomseg.files import from_json, write_json
from glomseg.runs.image_record import ImageRecord, Inputs, State, read_image_record, table_of
from glomseg.runs.journal import Journal, read_journals
from glomseg.runs.rights import say_no_right
from glomseg.settings import read_record

FOLDER = "glomseg"
"""The folder beside project.qpproj that holds the runs."""

FORMAT_VERSION = 1
RECORD = "run.json"


@dataclass(frozen=True, kw_only=True)
class RunParameters:
    """What decides the result beside the image: another value of any of these is another run.

    `tile_px` and `halo_px` are in reading pixels; `region` names the class or the areas that were looked at;
    `sclerosis` is what a classifier did about it, `suggest` or `classify`. `with_models` are the models that predicted
    together with `model`, each as its name and sha256; `icc` says that colours were read as each file's ICC profile
    says; `post` is None for ours, `stitch` for what is not averaged. `others` holds what another version of glomseg has
    written.
    """

    model: str | None = None
    model_sha256: str | None = None
    card_sha256: str | None = None
    threshold: float | None = None
    sureness: float | None = None
    species: str | None = None
    tta: bool = False
    tta_scales: tuple[float, ...] = ()
    with_models: tuple[str, ...] = ()
    post: str | None = None
    stitch: str | None = None
    overlap: float | None = None
    tile_px: int | None = None
    halo_px: int | None = None
    icc: bool = False
    region: str | None = None
    sclerosis: str | None = None
    classifier_sha256: str | None = None
    others: Mapping[str, Any] = field(default_factory=dict)

    def differing(self, other: RunParameters) -> list[str]:
        """Name what is not the same."""
        names = [item.name for item in dataclasses.fields(self) if item.name != "others"]
        others = {key for key in {*self.others, *other.others} if self.others.get(key) != other.others.get(key)}
        return sorted({name for name in names if getattr(self, name) != getattr(other, name)} | others)


@dataclass
class Run:
    """One run and its folder: the record that is run.json, on disk after each `save`.

    `images` holds what is known of each image by its entry id; of a plain slide that is a name made of the file's.
    `command` is how the run was last called, `device` where, `computed_by` what computed there, and `model_folder`
    where its model lay. While images are segmented they are kept in a `journal`, see `glomseg.runs.merge`; run.json
    holds `counted` bytes of each. `problems` says what of them could not be read.
    """

    folder: Path
    run_id: str
    parameters: RunParameters = field(default_factory=RunParameters)
    started: str = ""
    ended: str | None = None
    command: str | None = None
    device: str | None = None
    computed_by: str | None = None
    model_folder: str | None = None
    images: dict[str, ImageRecord] = field(default_factory=dict)
    journal: Journal | None = field(default=None, compare=False, repr=False)
    counted: dict[str, int] = field(default_factory=dict, compare=False, repr=False)
    problems: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def result_path(self, entry_id: str) -> Path:
        """Tell where the outlines of an image lie."""
        return self.folder / f"{checked_entry_id(entry_id)}.geojson"

    def candidates_path(self, entry_id: str) -> Path:
        """Tell where the outlines of an image lie that are not sure enough to count; there may be none."""
        return self.folder / "candidates" / f"{checked_entry_id(entry_id)}.geojson"

    def is_done(self, entry_id: str, inputs: Inputs) -> bool:
        """Tell whether an image with the same inputs has a complete result."""
        return self.has_result(entry_id) and self.images[entry_id].inputs == inputs

    def has_result(self, entry_id: str) -> bool:
        """Tell whether an image has a complete result, whatever its inputs are now."""
        record = self.images.get(entry_id)
        return record is not None and record.is_done and self.result_path(entry_id).is_file()

    @property
    def last_at(self) -> float:
        """When it was last at work, in seconds since 1970: it may have gone on after a newer one began."""
        collected = (record.collected.at for record in self.images.values() if record.collected is not None)
        return max(map(instant, (self.started, self.ended or "", *collected)))

    def needed_no_change(self, entry_id: str) -> bool:
        """Tell whether a script in QuPath brought an image's result in, and everything was there or a person's.

        That is no write, and the script leaves the run's record to the commands.
        """
        return self.needed_no_change_at(entry_id) is not None

    def needed_no_change_at(self, entry_id: str) -> float | None:
        """Tell when that was, in seconds since 1970; None where it was not."""
        return _needed_no_change_at(self.folder, checked_entry_id(entry_id), self.result_path(entry_id))

    def begin(self, entry_id: str, *, name: str, path: str, inputs: Inputs) -> None:
        """Start an image over: what an earlier attempt found is forgotten, but not what was done to the project."""
        before = self.images.get(entry_id, ImageRecord())
        self.result_path(entry_id).unlink(missing_ok=True)
        self.update(
            entry_id,
            ImageRecord(
                name=name,
                state=State.RUNNING,
                path=path,
                inputs=inputs,
                collected=before.collected,
                standing=before.standing,
                undone=before.undone,
            ),
        )

    def fail(self, entry_id: str, name: str, reason: str) -> None:
        """Record that an image could not be segmented, and why; raises RunError."""
        before = self.images.get(entry_id, ImageRecord())
        self.update(entry_id, replace(before, name=name, state=State.FAILED, reason=reason))

    def update(self, entry_id: str, record: ImageRecord) -> None:
        """Keep the record of an image and save; raises RunError."""
        before = self.images.get(checked_entry_id(entry_id))
        self.images[entry_id] = record
        try:
            if self.journal is None:
                self.save()
            else:
                self.journal.append(entry_id, record)
        except (RunError, TypeError):
            if before is None:
                del self.images[entry_id]
            else:
                self.images[entry_id] = before
            raise

    def save(self) -> None:
        """Write run.json; raises RunError."""
        content = {**self.summary(), "images": {key: table_of(record) for key, record in self.images.items()}}
        if self.counted:
            content["journals"] = self.counted
        write_json(self.folder / RECORD, content)

    def summary(self) -> dict[str, Any]:
        """Return what run.json says of the run as a whole."""
        parameters = {
            item.name: getattr(self.parameters, item.name)
            for item in dataclasses.fields(self.parameters)
            if item.name != "others"
        }
        return {
            "format_version": FORMAT_VERSION,
            "run_id": self.run_id,
            "glomseg_version": __version__,
            "parameters": parameters | dict(self.parameters.others),
            "started": self.started,
            "command": self.command,
            "device": self.device,
            "computed_by": self.computed_by,
            "model_folder": self.model_folder,
            "ended": self.ended,
        }


def now() -> str:
    """Return the time with its zone, as ISO 8601 text that sorts."""
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def printable(text: object) -> str:
    """Return text that can be written as UTF-8, whatever bytes a file name is made of."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def checked_entry_id(entry_id: str) -> str:
    """Return an entry id that is safe as a file name; raise RunError for one that is not."""
    if not entry_id or entry_id.startswith(".") or re.search(r'[\x00-\x1f/\\:*?"<>|]', entry_id):
        raise RunError(f"{entry_id!r} cannot be the name of a file; rename the image")
    return entry_id


def load_run(folder: Path) -> Run:
    """Read the record of a run; raises RunError where it is missing, damaged, or of a newer glomseg."""
    path = folder / RECORD
    try:
        content = from_json(path.read_text(encoding="utf-8"))
        if content["format_version"] != FORMAT_VERSION:
            raise RunError(f"{path} has format {content['format_version']!r}; this glomseg reads {FORMAT_VERSION}")
        images = {
            checked_entry_id(key): read_image_record(table, origin=f"image {key}")
            for key, table in content["images"].items()
        }
        counted = {str(name): int(size) for name, size in content.get("journals", {}).items()}
        since = read_journals(folder, counted)
        images |= {checked_entry_id(key): record for key, record in since.records.items()}
        images = {key: _brought_in_again(folder, key, record) for key, record in images.items()}
        run = Run(folder, str(content["run_id"]), _parameters(content["parameters"]), images=images)
        run.counted, run.problems = dict(since.counted), since.problems
        for name in ("started", "ended", "command", "device", "computed_by", "model_folder"):
            if content.get(name) is not None:
                setattr(run, name, str(content[name]))
        return run
    except FileNotFoundError:
        raise RunError(f"{folder} is no run folder: it holds no {RECORD}") from None
    except PermissionError as error:
        raise RunError(say_no_right(path)) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, RunError) as error:
        if isinstance(error, RunError) and str(path) in str(error):
            raise
        raise RunError(
            f"{path} is damaged ({in_words(error)}); put the file back from a backup, or move the folder away"
        ) from error


def _needed_no_change_at(folder: Path, entry_id: str, result: Path) -> float | None:
    """Read the note of the import's script, which says of what result it is; that of another is none."""
    try:
        note = from_json((folder / "unchanged" / f"{entry_id}.json").read_bytes())
        is_of_it = note["result_sha256"] == hashlib.sha256(result.read_bytes()).hexdigest()
        return instant(str(note["at"])) if is_of_it else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget_unchanged(runs_folder: Path, entry_id: str) -> None:
    """Forget for which runs nothing was to be changed in an image: what stood there was taken back or replaced.

    Clocks of several computers would not tell whether such a note is older than that. Of one that another user made,
    and that may not be removed, its time has to tell it.
    """
    for note in runs_folder.glob(f"*/unchanged/{checked_entry_id(entry_id)}.json"):
        with suppress(OSError):
            note.unlink()


def _brought_in_again(folder: Path, entry_id: str, record: ImageRecord) -> ImageRecord:
    """Return the record of an image without the undo after which QuPath's own import brought the run in again.

    The import's script leaves a change beside those of `glomseg.runs.changes`, or a note that nothing was to be
    changed, and does not write run.json.
    """
    if record.undone is None:
        return record
    undone = instant(record.undone.at)
    if (_needed_no_change_at(folder, entry_id, folder / f"{entry_id}.geojson") or 0.0) > undone:
        return replace(record, undone=None)
    written = [path for path in (folder / "changes" / entry_id).glob("*.json") if path.stem.isdecimal()]
    last = max(written, key=lambda path: int(path.stem), default=None)
    try:
        change = {} if last is None else from_json(last.read_text("utf-8"))
        is_later = instant(change["at"]) > undone and change.get("kind") == "collect"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return record  # whoever asks about the changes says what is wrong with them
    return replace(record, undone=None) if is_later else record


def _parameters(table: Mapping[str, Any]) -> RunParameters:
    names = {item.name for item in dataclasses.fields(RunParameters)} - {"others"}
    known = {name: value for name, value in table.items() if name in names and value is not None}
    others = {name: value for name, value in table.items() if name not in names}
    return replace(read_record(RunParameters, known, origin="parameters", error=RunError), others=others)


def instant(text: str) -> float:
    """Return the seconds since 1970 of a time as `now` writes it, whatever its zone; 0 where it says none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0
