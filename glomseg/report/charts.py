"""The report's charts, drawn by matplotlib as SVG in the page: animals by group, their glomeruli, effect sizes."""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray
from scipy.stats import gaussian_kde

from glomseg.pictures.style import INK, LINE, PLUM, SOFT, STYLE, inline_svg
from glomseg.study.groups import Estimate, varies

FEWEST = 10
"""Fewer profiles than these have no smooth curve: it would show the smoothing, not them."""

MOST_LINES = 300
"""Of more profiles in a group, so many are drawn, evenly chosen: a chart must not outweigh the page."""

_SIZE = (4.0, 2.8)
_LOOK = {
    **STYLE, "font.size": 9, "axes.edgecolor": LINE, "grid.color": LINE, "text.color": INK, "axes.labelcolor": SOFT,
    "xtick.color": SOFT, "ytick.color": SOFT, "axes.spines.left": False, "xtick.major.size": 0, "ytick.major.size": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Dot:
    """One animal, or one slide where no animals are known, and its value."""

    name: str
    value: float


def dot_chart(
    title: str, groups: Mapping[str, Sequence[Dot]], colors: Mapping[str, str], *, means: Mapping[str, Estimate]
) -> str:
    """Draw each group's animals as dots; `means`, by group, and their 95 % intervals stand beside them."""
    with _drawing():
        figure, axes = _figure()
        axes.grid(visible=False, axis="x")
        tips: dict[str, str] = {}
        values = [dot.value for dots in groups.values() for dot in dots]
        for place, (name, dots) in enumerate(groups.items()):
            for at, dot in zip(_spread([dot.value for dot in dots], np.ptp(values)), dots, strict=True):
                gid = f"dot-{len(tips)}"
                tips[gid] = f"{dot.name}: {dot.value:.4g}"
                axes.plot(
                    place - 0.1 + 0.07 * at, dot.value, "o", color=colors[name], markersize=7, alpha=0.8,
                    markeredgecolor="white", markeredgewidth=0.8, gid=gid,
                )  # fmt: skip
            if name in means:
                _draw_mean(axes, place + 0.22, means[name])
        axes.set_xlim(-0.6, len(groups) - 0.4)
        axes.set_xticks(range(len(groups)), [f"{_label(name)}\nn = {len(dots)}" for name, dots in groups.items()])
        axes.tick_params(axis="x", labelcolor=INK)
        _scale(axes, values)
        return _in_page(figure, title, tips)


def curve_chart(
    title: str, groups: Mapping[str, Sequence[Sequence[float]]], colors: Mapping[str, str], *, unit: str = "animal"
) -> str:
    """Draw how the profiles of each group spread: a line for each, and over them a smooth curve.

    The inner lists are animals, or what else a `unit` is. Those of FEWEST profiles or more make up the curve, each
    with the same weight. Empty where there are no two profiles.
    """
    values = [value for animals in groups.values() for animal in animals for value in animal]
    if len(values) < 2:
        return ""
    with _drawing():
        figure, axes = _figure()
        margin = 0.12 * (np.ptp(values) or abs(values[0]) or 1.0)
        x = np.linspace(min(values) - margin, max(values) + margin, 200)
        top, named = 0.0, []
        for place, (name, animals) in enumerate(groups.items()):
            curve = smoothed(animals, x)
            if curve is not None:
                top = max(top, float(curve.max()))
                axes.fill_between(x, curve, color=colors[name], alpha=0.13, linewidth=0)
                axes.plot(x, curve, color=colors[name], linewidth=2)
            lines = sorted(value for animal in animals for value in animal)
            axes.eventplot(
                lines[:: max(1, len(lines) // MOST_LINES)], lineoffsets=-0.06 * (place + 1), linelengths=0.045,
                linewidths=0.8, colors=colors[name], alpha=0.6, transform=axes.get_xaxis_transform(), clip_on=False,
            )  # fmt: skip
            named += axes.plot([], [], color=colors[name], linewidth=5, alpha=0.7)
        axes.set_xlim(x[0], x[-1])
        if not top:
            axes.text(
                0.5, 0.5, f"fewer than {FEWEST} profiles by {unit}: no curve", transform=axes.transAxes, ha="center",
                color=SOFT,
            )  # fmt: skip
        axes.set_ylim(0, 1.3 * top or 1)
        axes.set_yticks([])
        axes.tick_params(axis="x", pad=4 + 12 * len(groups))
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(FuncFormatter(_short))
        labels = [_label(name).replace("\n", " ") for name in groups]
        _legend(axes, named, labels)
        return _in_page(figure, title, {})


def effect_chart(title: str, rows: Sequence[tuple[str, float, float, float]]) -> str:
    """Draw standardised differences, (label, value, low, high), with their 95 % intervals around a line at zero."""
    with _drawing():
        figure = Figure(figsize=(8.4, 0.3 * len(rows) + 0.8), layout="constrained")
        axes = figure.subplots()
        reach = max(1.0, *(min(6.0, max(abs(low), abs(high))) for _, _, low, high in rows))
        axes.axvline(0, color=SOFT, linewidth=1, linestyle=(0, (3, 3)))
        for place, (_, value, low, high) in enumerate(rows):
            axes.plot([low, high], [place, place], color=INK, linewidth=1.5, solid_capstyle="butt")
            axes.plot(value, place, "s", color=PLUM, markersize=6)
        axes.set_xlim(-1.05 * reach, 1.05 * reach)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks(range(len(rows)), [label for label, *_ in rows])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("Hedges’ g with 95 % interval")
        return _in_page(figure, title, {})


def _legend(axes: Axes, lines: Sequence[Line2D], labels: Sequence[str]) -> None:
    """Name the lines; of a name that begins with _ matplotlib would think that it is to be hidden."""
    legend = axes.legend(
        lines, [str(number) for number in range(len(lines))], frameon=False, fontsize=8, loc="upper right",
        handlelength=1,
    )  # fmt: skip
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_text(label)


@contextmanager
def _drawing() -> Iterator[None]:
    with rc_context(_LOOK), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # the browser has fonts that we have not
        yield


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE, layout="constrained")
    return figure, figure.subplots()


def _in_page(figure: Figure, title: str, tips: Mapping[str, str]) -> str:
    return f"<figure><figcaption>{escape(title)}</figcaption>{inline_svg(figure, title, tips)}</figure>"


def _draw_mean(axes: Axes, place: float, mean: Estimate) -> None:
    if math.isfinite(mean.low):
        axes.plot([place, place], [mean.low, mean.high], color=INK, linewidth=1.5, solid_capstyle="butt")
    axes.plot([place - 0.08, place + 0.08], [mean.value, mean.value], color=INK, linewidth=2.5, solid_capstyle="butt")


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """Begin at zero, but for values that all lie far from it; an interval stretches the axis by so much only."""
    least, most = min(values), max(values)
    span = (most - least) or abs(most) or 1.0
    low, high = axes.get_ylim()
    low, high = max(low, least - 1.5 * span), min(high, most + 1.5 * span)
    if least >= 0:
        low = 0.0 if least < 0.6 * most or most == 0 else max(0.0, low)
    axes.set_ylim(low, high if high > low else low + 1)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(_short))


def smoothed(animals: Sequence[Sequence[float]], x: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Smooth each animal's profiles (Scott's width) and take the mean; None where no animal has enough that differ."""
    curves = [gaussian_kde(animal)(x) for animal in animals if len(animal) >= FEWEST and varies(animal)]
    return np.asarray(np.mean(curves, axis=0)) if curves else None


def _spread(values: Sequence[float], reach: float) -> Iterable[int]:
    """Move dots sideways that would hide each other: -1, 0 or 1, in order of value."""
    places, order = [0] * len(values), sorted(range(len(values)), key=lambda index: values[index])
    for rank, index in enumerate(order):
        if rank and abs(values[index] - values[order[rank - 1]]) < 0.05 * reach:
            places[index] = (places[order[rank - 1]] + 2) % 3 - 1
    return places


def _label(name: str) -> str:
    """Break a long name into two lines, and cut what is longer still."""
    lines = textwrap.wrap(name, 18, max_lines=2, placeholder="…") or [name]
    return "\n".join(lines)


def _short(value: float, _: object = None) -> str:
    for size, letter in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e6 if letter == 'M' else 1e3):g}{letter}".replace("-", "−")
    return f"{value:.6g}".replace("-", "−")
