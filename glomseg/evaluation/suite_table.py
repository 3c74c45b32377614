"""The table of a suite, in Markdown, as it can stand in a paper."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from glomseg.evaluation.intervals import ENOUGH_UNITS, Interval
from glomseg.evaluation.summary import GroupSummary, Summary
from glomseg.files import markdown_text


@dataclass(frozen=True, kw_only=True)
class SuiteRow:
    """A set of a suite under a model (None: the only one there is).

    `threshold` is the probability on the outlines, `tuned_here` tells that this set's validation images chose another
    for the other sets. `seconds` are the wall times of the images that were predicted on `device`, `peak_gb` the most
    memory that the process took meanwhile.
    """

    model: str | None
    set: str
    summary: Summary | None = None
    threshold: float | None = None
    tuned_here: bool = False
    seconds: tuple[float, ...] = ()
    device: str = ""
    peak_gb: float | None = None
    failures: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The name of the row."""
        return self.set if self.model is None else f"{self.model}: {self.set}"

    def to_table(self) -> dict[str, Any]:
        """Return what suite.json says."""
        table = None if self.summary is None else self.summary.to_table()
        return {
            "overall": None if table is None else table["overall"],
            "groups": None if table is None else table["groups"],
            "threshold": self.threshold,
            "seconds_per_image": round(statistics.mean(self.seconds), 3) if self.seconds else None,
            "device": self.device,
            "peak_gb": None if self.peak_gb is None else round(self.peak_gb, 2),
            "failures": list(self.failures),
        }


def markdown(rows: Sequence[SuiteRow], *, name: str) -> str:
    """Return the table: for each model and set a line a group and one for all; what failed stands below."""
    official = any(row.summary is not None and "kpis_f1" in row.summary.overall.mean for row in rows)
    several = any(row.model is not None for row in rows)
    columns = [*(["model"] if several else []), "set", "group", "images", "n", "Dice", "object F1"]
    columns += [*(["official F1"] if official else []), "PQ", "true", "predicted", "threshold", "s an image", "peak GB"]
    lines = [f"## {markdown_text(name)}", "", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for row in rows:
        if row.summary is None:
            continue
        groups = dict(row.summary.groups) if len(row.summary.groups) > 1 else {}
        for group, scores in [*groups.items(), ("all", row.summary.overall)]:
            cells = [*([row.model or ""] if several else []), row.set, group, *_scores(scores, official)]
            cells += _costs(row) if group == "all" else [""] * 3
            lines.append(f"| {' | '.join(map(markdown_text, cells))} |")
    units = sorted({row.summary.unit for row in rows if row.summary is not None})
    devices = sorted({row.device for row in rows if row.device})
    lines += ["", _legend(units, official, devices)]
    failed = [f"{row.key}: {failure}" for row in rows for failure in row.failures]
    lines += [f"- {markdown_text(text)}" for text in failed]
    return "\n".join(lines) + "\n"


def _scores(group: GroupSummary, official: bool) -> list[str]:
    mean = group.mean
    names = ("dice", "f1", *(["kpis_f1"] if official else []), "pq")
    values = [_value(mean[name]) if name in mean else "" for name in names]
    return [str(group.images), str(group.units), *values, str(group.true_objects), str(group.predicted_objects)]


def _costs(row: SuiteRow) -> list[str]:
    threshold = "" if row.threshold is None else f"{row.threshold:g}{' (before tuning)' if row.tuned_here else ''}"
    seconds = f"{statistics.mean(row.seconds):.1f}" if row.seconds else ""
    return [threshold, seconds, "" if row.peak_gb is None else f"{row.peak_gb:.1f}"]


def _value(entry: Interval) -> str:
    if not math.isfinite(entry.value):
        return ""
    if entry.low is not None and entry.high is not None:
        return f"{100 * entry.value:.2f} ({100 * entry.low:.1f}-{100 * entry.high:.1f})"
    if entry.lowest is not None and entry.highest is not None:
        return f"{100 * entry.value:.2f} [{100 * entry.lowest:.1f}-{100 * entry.highest:.1f}]"
    return f"{100 * entry.value:.2f}"


def _legend(units: Sequence[str], official: bool, devices: Sequence[str]) -> str:
    text = (
        "Dice, object F1 and PQ in per cent: means over images, objects matched one to one at IoU 0.5; in brackets "
        f"95 % intervals over the n units ({', '.join(units) or 'image'}), if units that fail wholly are no rarer than "
        f"about one in five; in square brackets, where n is below {ENOUGH_UNITS} and carries no interval, the lowest "
        "to the highest unit. "
    )
    if official:
        text += (
            "Official F1: the KPIs 2024 challenge's own code, which does not match one to one and so counts poor "
            "overlaps. "
        )
    where = f" on {', '.join(devices)}" if devices else ""
    return (
        f"{text}Threshold: the probability on the outline. Seconds: wall time{where}; memory: of the whole process.\n"
    )
