"""Charts as SVG: one dot an animal, with the mean of the group and its 95 % interval; curves of all glomeruli."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from glomseg.study.groups import mean_interval

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#666666")
WIDTH, HEIGHT = 360, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 14, 46


def dot_chart(
    title: str, groups: Mapping[str, Sequence[float]], colors: Mapping[str, str], *, means: bool = True
) -> str:
    """Draw the values of each group's animals as dots, with mean and interval beside them where `means`."""
    values = [value for group in groups.values() for value in group]
    low, high, step = _scale(values + (_limits(groups, values) if means else []), from_zero=True)
    parts = [_axis(low, high, step)]
    width = (WIDTH - _LEFT - _RIGHT) / max(1, len(groups))
    for index, (name, points) in enumerate(groups.items()):
        centre = _LEFT + width * (index + 0.5)
        color = colors[name]
        for at, value in zip(_spread(points, high - low), points, strict=True):
            x = centre - 0.12 * width + at * min(18, 0.12 * width)
            tip = escape(f"{name}: {value:.4g}")
            parts.append(
                f'<circle cx="{x:.1f}" cy="{_y(value, low, high):.1f}" r="4.5" fill="{color}" fill-opacity=".75" '
                f'stroke="#fff"><title>{tip}</title></circle>'
            )
        if means:
            parts.append(_mean_mark(points, centre + 0.22 * width, low, high))
        label = escape(name if len(name) < 16 else name[:14] + "…")
        parts.append(f'<text x="{centre:.1f}" y="{HEIGHT - 24}" text-anchor="middle">{label}</text>')
        parts.append(f'<text x="{centre:.1f}" y="{HEIGHT - 9}" text-anchor="middle" class="n">n = {len(points)}</text>')
    return _svg(title, parts)


def curve_chart(title: str, groups: Mapping[str, Sequence[Sequence[float]]], colors: Mapping[str, str]) -> str:
    """Draw how the glomeruli of each group spread: a smooth curve, every animal (inner list) with the same weight."""
    values = [value for animals in groups.values() for animal in animals for value in animal]
    if len(values) < 2:
        return ""
    low, high, step = _scale(values, from_zero=False)
    x = np.linspace(low, high, 120)
    curves = {name: _density(animals, x, values) for name, animals in groups.items() if any(animals)}
    top = max(float(curve.max()) for curve in curves.values()) * 1.08
    parts = [_ticks_below(low, high, step)]
    for name, curve in curves.items():
        points = [
            f"{_LEFT + (WIDTH - _LEFT - _RIGHT) * (at - low) / (high - low):.1f},{_y(value, 0, top):.1f}"
            for at, value in zip(x, curve, strict=True)
        ]
        base = f"{WIDTH - _RIGHT},{HEIGHT - _BOTTOM} {_LEFT},{HEIGHT - _BOTTOM}"
        parts.append(f'<polygon points="{" ".join(points)} {base}" fill="{colors[name]}" fill-opacity=".13"/>')
        parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colors[name]}" stroke-width="2"/>')
    parts.append(_legend(list(curves), colors))
    return _svg(title, parts)


def effect_chart(rows: Sequence[tuple[str, float, float, float]]) -> str:
    """Draw standardised differences, (label, value, low, high), with their intervals around a line at zero."""
    reach = max(1.0, *(min(6.0, max(abs(low), abs(high))) for _, _, low, high in rows))
    height, left, right = 26 * len(rows) + 44, 300, 24
    middle, unit = left + (720 - left - right) / 2, (720 - left - right) / 2 / reach
    parts = [f'<line x1="{middle}" x2="{middle}" y1="6" y2="{height - 36}" class="zero"/>']
    for index, (label, value, low, high) in enumerate(rows):
        y = 20 + 26 * index
        x0, x1 = (middle + unit * min(reach, max(-reach, limit)) for limit in (low, high))
        parts.append(f'<text x="{left - 14}" y="{y + 4}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<line x1="{x0:.1f}" x2="{x1:.1f}" y1="{y}" y2="{y}" class="ci"/>')
        at = middle + unit * min(reach, max(-reach, value))
        parts.append(f'<rect x="{at - 4:.1f}" y="{y - 4}" width="8" height="8" fill="#7b2d6b"/>')
    for tick in _ticks(-reach, reach, _nice(reach / 2)):
        x = middle + unit * tick
        parts.append(f'<text x="{x:.1f}" y="{height - 20}" text-anchor="middle" class="n">{tick:g}</text>')
    parts.append(f'<text x="{middle}" y="{height - 4}" text-anchor="middle" class="n">Hedges’ g, 95 % interval</text>')
    return f'<svg viewBox="0 0 720 {height}" role="img" aria-label="Effect sizes">{"".join(parts)}</svg>'


def _svg(title: str, parts: Sequence[str]) -> str:
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg></figure>'
    )


def _limits(groups: Mapping[str, Sequence[float]], values: Sequence[float]) -> list[float]:
    """List the limits of the groups' intervals as far as the axis may be stretched for them; none below zero."""
    reach = max(values) - min(values)
    intervals = [mean_interval(points) for points in groups.values()]
    ends = [end for interval in intervals for end in (interval.low, interval.high) if math.isfinite(end)]
    return [
        max(0.0 if min(values) >= 0 else -math.inf, min(values) - reach, min(max(values) + reach, end)) for end in ends
    ]


def _mean_mark(points: Sequence[float], x: float, low: float, high: float) -> str:
    if not points:
        return ""
    mean = mean_interval(points)
    y = _y(mean.value, low, high)
    mark = f'<line x1="{x - 9:.1f}" x2="{x + 9:.1f}" y1="{y:.1f}" y2="{y:.1f}" class="mean"/>'
    if math.isfinite(mean.low):
        top, bottom = _y(min(high, mean.high), low, high), _y(max(low, mean.low), low, high)
        mark += f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}" class="ci"/>'
    return mark


def _axis(low: float, high: float, step: float) -> str:
    lines = []
    for tick in _ticks(low, high, step):
        y = _y(tick, low, high)
        lines.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        lines.append(f'<text x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end" class="n">{_number(tick)}</text>')
    return "".join(lines)


def _ticks_below(low: float, high: float, step: float) -> str:
    y = HEIGHT - _BOTTOM
    lines = [f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}" class="grid"/>']
    for tick in _ticks(low, high, step):
        x = _LEFT + (WIDTH - _LEFT - _RIGHT) * (tick - low) / (high - low)
        lines.append(f'<text x="{x:.1f}" y="{y + 16}" text-anchor="middle" class="n">{_number(tick)}</text>')
    return "".join(lines)


def _legend(names: Sequence[str], colors: Mapping[str, str]) -> str:
    parts, x = [], float(_LEFT)
    for name in names:
        parts.append(f'<rect x="{x:.0f}" y="{HEIGHT - 15}" width="10" height="10" rx="2" fill="{colors[name]}"/>')
        parts.append(f'<text x="{x + 15:.0f}" y="{HEIGHT - 6}">{escape(name[:20])}</text>')
        x += 30 + 6.5 * len(name[:20])
    return "".join(parts)


def _density(
    animals: Sequence[Sequence[float]], x: NDArray[np.float64], values: Sequence[float]
) -> NDArray[np.float64]:
    """Smooth with Silverman's width for the mean number of glomeruli of an animal."""
    width = 0.9 * (float(np.std(values)) or 1.0) * max(2.0, len(values) / max(1, len(animals))) ** -0.2
    known = [np.asarray(animal, float) for animal in animals if len(animal)]
    curves = [np.exp(-0.5 * ((x[:, None] - animal) / width) ** 2).mean(axis=1) for animal in known]
    return np.asarray(np.mean(curves, axis=0) / width / math.sqrt(2 * math.pi))


def _spread(points: Sequence[float], reach: float) -> list[float]:
    """Move dots sideways that would hide each other: -1, 0 or 1, in order of value."""
    places, order = [0.0] * len(points), sorted(range(len(points)), key=lambda index: points[index])
    for rank, index in enumerate(order):
        near = rank and abs(points[index] - points[order[rank - 1]]) < 0.05 * reach
        places[index] = ((places[order[rank - 1]] + 2) % 3 - 1) if near else 0.0
    return places


def _scale(values: Sequence[float], *, from_zero: bool) -> tuple[float, float, float]:
    """Choose an axis and its step; from zero, but for values that all lie far from it."""
    least, most = (min(values), max(values)) if values else (0.0, 1.0)
    if from_zero and least >= 0 and (least < 0.6 * most or most == 0):
        least = 0.0
    span = (most - least) or abs(most) or 1.0
    step = _nice(span / 4)
    low = math.floor((least - 0.02 * span * (least != 0)) / step) * step
    return low, math.ceil((most + 0.02 * span) / step) * step, step


def _nice(value: float) -> float:
    power = 10 ** math.floor(math.log10(value))
    return float(next(unit for unit in (1, 2, 2.5, 5, 10) if unit * power >= value * 0.999) * power)


def _ticks(low: float, high: float, step: float) -> list[float]:
    first = math.ceil(low / step - 1e-9)
    return [step * index for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _y(value: float, low: float, high: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (value - low) / (high - low)


def _number(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e6 if letter == 'M' else 1e3):g}{letter}"
    return f"{value:.6g}"
