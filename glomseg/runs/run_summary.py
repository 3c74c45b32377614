"""summary.md: what a run did, for people: how, how much, what was left out, and what failed and why."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import datetime

from glomseg import __version__
from glomseg.files import markdown_text as plain
from glomseg.runs.image_record import ImageRecord
from glomseg.runs.run import Run
from glomseg.standing_files import write_kept

SUMMARY = "summary.md"
HEAD = "# Run "
"""With this it begins."""
LISTED = 200
"""More images are not listed one by one; run.json has them all."""


def write_summary(run: Run, left_out: Sequence[str] = (), notes: Sequence[str] = ()) -> tuple[str, ...]:
    """Write summary.md into the run folder; returns where one that a person changed is kept; raises RunError.

    `left_out` says what was not taken for a slide, and `notes` how the work went, a sentence each.
    """
    records = list(run.images.values())
    done = [record for record in records if record.is_done]
    failed = [record for record in records if not record.is_done]
    parts = [
        f"{HEAD}{run.run_id}",
        _counts(run, done, failed, len(records)),
        _list("How the work went", notes),
        _dials(run),
        _list("Failed", [f"**{plain(one.name)}**: {plain(one.reason or 'not done yet')}" for one in failed]),
        _list("Left out", [plain(text) for text in left_out]),
        _list("Deserve a closer look", [f"**{plain(one.name)}** {plain(why)}" for one in done for why in one.doubts]),
        _list("Said of the files", [f"**{plain(one.name)}** {plain(why)}" for one in done for why in one.remarks]),
    ]
    return write_kept({run.folder / SUMMARY: "\n\n".join(part for part in parts if part) + "\n"})


def _counts(run: Run, done: Sequence[ImageRecord], failed: Sequence[ImageRecord], images: int) -> str:
    seconds = [record.seconds["total"] for record in done if "total" in record.seconds]
    slowest = f"median {statistics.median(seconds):.1f}, most {max(seconds):.1f}" if seconds else ""
    rows = {
        "images": f"{images}: {len(done)} done, {len(failed)} failed or not done",
        "glomeruli": str(sum(record.glomeruli or 0 for record in done)),
        "candidates, less sure than what counts": str(sum(record.candidates or 0 for record in done)),
        "tissue": f"{sum(record.tissue_area_um2 or 0 for record in done) / 1e6:.1f} mm²",
        "started, ended": f"{run.started or '?'}, {run.ended or 'not yet'}{_lasted(run)}",
        "seconds a slide": f"{slowest}, of all {sum(seconds):.0f}" if seconds else "",
        "command": f"`{plain(run.command)}`" if run.command else "",
        "device": ", computed by ".join(filter(None, (run.device, run.computed_by))),
        "glomseg": __version__,
    }
    return _table("what", rows)


def _dials(run: Run) -> str:
    """Write the model and all that decides the result beside the images."""
    rows = {name: plain(str(value)) for name, value in run.summary()["parameters"].items() if value not in (None, ())}
    return f"## Model and settings\n\n{_table('setting', rows)}"


def _table(head: str, rows: dict[str, str]) -> str:
    lines = [f"| {name} | {text} |" for name, text in rows.items() if text]
    return "\n".join([f"| {head} | |", "|---|---|", *lines])


def _list(title: str, texts: Sequence[str]) -> str:
    if not texts:
        return ""
    lines = [f"- {text}" for text in texts[:LISTED]]
    if len(texts) > LISTED:
        lines.append(f"- and {len(texts) - LISTED} more, see run.json")
    return "\n".join([f"## {title} ({len(texts)})", "", *lines])


def _lasted(run: Run) -> str:
    try:
        lasted = datetime.fromisoformat(run.ended or "") - datetime.fromisoformat(run.started)
    except ValueError:
        return ""
    return f" ({lasted.total_seconds():.0f} s)"
