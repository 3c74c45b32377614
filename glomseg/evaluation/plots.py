"""Plots of an evaluation, each as PNG and SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glomseg.evaluation.curves import agreement, calibration, pr_curve
from glomseg.evaluation.score import ImageScore
from glomseg.evaluation.summary import matched_areas
from glomseg.evaluation.sweep import Point, best
from glomseg.files import replacing
from glomseg.pictures.style import BLUE, GREY, ORANGE, STYLE

PLOTS = ("precision_recall", "calibration", "bland_altman", "groups")
SUFFIXES = (".png", ".svg")
_BOXES = (("dice", "Dice"), ("f1", "object F1"), ("pq", "panoptic quality"))


def draw_plots(images: Sequence[ImageScore], folder: Path) -> list[Path]:
    """Draw what the data allows of: precision-recall, calibration, Bland-Altman of counts and areas, groups.

    Returns the PNG files; each has an SVG beside it. Raises RunError.
    """
    drawn = []
    with rc_context(STYLE):
        figures = (_precision_recall(images), _calibration(images), _bland_altman(images), _groups(images))
        for name, figure in zip(PLOTS, figures, strict=True):
            if figure is not None:
                _save(figure, folder, name)
                drawn.append(folder / f"{name}.png")
    return drawn


def draw_sweep(points: Sequence[Point], folder: Path) -> None:
    """Draw precision, recall, F1 and Dice over the probability's threshold, `thresholds.png` and `.svg`."""
    threshold = best(points)
    with rc_context(STYLE):
        sides = [("validation", "validation images")] if threshold is not None else []
        if any(point.others.true for point in points):
            sides.append(("others", "other images" if sides else "all images"))
        figure = _figure(max(1, len(sides)))
        for axes, (side, title) in zip(figure.subplots(1, max(1, len(sides)), squeeze=False)[0], sides, strict=False):
            x = [point.threshold for point in points]
            objects = [getattr(point, side) for point in points]
            axes.plot(x, [score.precision for score in objects], color=BLUE, label="precision")
            axes.plot(x, [score.recall for score in objects], color=ORANGE, label="recall")
            axes.plot(x, [score.f1 for score in objects], color="black", linewidth=2, label="F1")
            pixels = [getattr(point, f"{side}_pixels").dice for point in points]
            axes.plot(x, pixels, color=GREY, linestyle=":", label="Dice, pooled")
            if threshold is not None:
                axes.axvline(threshold, color=GREY, linewidth=1)
                axes.annotate(f"best {threshold:g}", (threshold, 0.02), (4, 0), textcoords="offset points", fontsize=8)
            axes.set(xlim=(0, 1), ylim=(0, 1.03), xlabel="threshold on the probability")
            axes.set_title(title, fontsize=10)
        figure.axes[0].legend(frameon=False, loc="lower left", fontsize=8)
        _save(figure, folder, "thresholds")


FEWEST_IN_BOX = 5
"""Quartiles of fewer values are no more than these, which are drawn anyway."""


def _save(figure: Figure, folder: Path, name: str) -> None:
    for suffix in SUFFIXES:
        with replacing(folder / f"{name}{suffix}") as temporary:
            figure.savefig(temporary, format=suffix[1:], dpi=150, metadata=_undated(suffix))


def _undated(suffix: str) -> dict[str, None]:
    return {"Date": None} if suffix == ".svg" else {}


def _figure(columns: int = 1, width: float = 4.6) -> Figure:
    return Figure(figsize=(width * columns, 4.2), layout="constrained")


def _precision_recall(images: Sequence[ImageScore]) -> Figure | None:
    curve = pr_curve(images)
    if curve is None:
        return None
    figure = _figure()
    axes = figure.subplots()
    recall = np.concatenate([[0], curve.recall])
    precision = np.concatenate([curve.precision[:1], curve.precision])
    axes.step(recall, precision, where="pre", color=BLUE, linewidth=2)
    axes.plot(curve.recall[-1], curve.precision[-1], "o", color=ORANGE, label="all predictions")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.05), xlabel="recall", ylabel="precision")
    axes.set_title(f"Objects at IoU 0.5, average precision {curve.average_precision:.3f}", fontsize=10)
    axes.legend(loc="lower left", frameon=False)
    return figure


def _calibration(images: Sequence[ImageScore]) -> Figure | None:
    curve = calibration(images)
    if curve is None:
        return None
    figure = _figure()
    axes = figure.subplots()
    counts = np.array(curve.counts)
    used = counts > 0
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="as confident as right")
    x, y = np.array(curve.confidence)[used], np.array(curve.right)[used]
    axes.plot(x, y, "o-", color=BLUE, clip_on=False)
    for at_x, at_y, count in zip(x, y, counts[used], strict=True):
        below = at_y > 0.9
        axes.annotate(
            str(count), (at_x, at_y), (0, -15 if below else 7), textcoords="offset points", ha="center", fontsize=8
        )
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="mean confidence", ylabel="share that is right")
    axes.set_title(f"Calibration error {curve.error:.3f}; numbers count predictions", fontsize=10)
    axes.legend(loc="upper left", frameon=False)
    return figure


def _bland_altman(images: Sequence[ImageScore]) -> Figure:
    areas = matched_areas(images)
    figure = _figure(2 if areas else 1)
    axes = figure.subplots(1, 2 if areas else 1, squeeze=False)[0]
    counts = [(float(image.half.predicted), float(image.half.true)) for image in images]
    _difference(axes[0], counts, "glomeruli an image", jitter=True)
    if areas:
        _difference(axes[1], [(p / 1000, t / 1000) for p, t in areas], "area of matched glomeruli, 1000 µm²")
    return figure


def _difference(axes: Axes, pairs: Sequence[tuple[float, float]], what: str, *, jitter: bool = False) -> None:
    """Plot predicted less true against the mean of both, with bias and limits."""
    table = np.array(pairs)
    mean, difference = table.mean(axis=1), table[:, 0] - table[:, 1]
    if jitter:  # images of equal counts would hide each other
        mean = mean + np.random.default_rng(0).uniform(-0.08, 0.08, len(mean))
    axes.scatter(mean, difference, s=22, color=BLUE, alpha=0.6, linewidths=0)
    limits = agreement(table[:, 0].tolist(), table[:, 1].tolist())
    assert limits is not None
    lines = [(limits.bias, "-", "bias")]
    if limits.low is not None and limits.high is not None:
        lines += [(limits.high, "--", "95 % limit"), (limits.low, "--", "95 % limit")]
    for value, style, name in lines:
        axes.axhline(value, color=ORANGE, linestyle=style, linewidth=1.2)
        axes.annotate(
            f"{name} {value:.2f}", (1, value), (-2, 3), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", fontsize=8, color=ORANGE,
        )  # fmt: skip
    axes.margins(x=0.12, y=0.2)
    axes.set(xlabel="mean of predicted and true", ylabel="predicted less true")
    axes.set_title(what, fontsize=10)


def _groups(images: Sequence[ImageScore]) -> Figure:
    groups = sorted({image.info.group for image in images})
    figure = _figure(len(_BOXES), width=max(2.6, 1.2 + 0.7 * len(groups)))
    for axes, (name, title) in zip(figure.subplots(1, len(_BOXES), sharey=True), _BOXES, strict=True):
        values = [[image.values()[name] for image in images if image.info.group == group] for group in groups]
        boxed = {place: group for place, group in enumerate(values, start=1) if len(group) >= FEWEST_IN_BOX}
        if boxed:
            axes.boxplot(
                list(boxed.values()), positions=list(boxed), widths=0.55, showfliers=False,
                medianprops={"color": ORANGE, "linewidth": 2}, boxprops={"color": GREY},
                whiskerprops={"color": GREY}, capprops={"color": GREY},
            )  # fmt: skip
        rng = np.random.default_rng(0)
        for place, group in enumerate(values, start=1):
            spots = place + rng.uniform(-0.16, 0.16, len(group))
            axes.scatter(spots, group, s=14, color=BLUE, alpha=0.6, linewidths=0, zorder=3)
        names = [f"{group}\n(n={len(value)})" for group, value in zip(groups, values, strict=True)]
        axes.set_xticks(range(1, len(groups) + 1), names, fontsize=8)
        axes.set_ylim(-0.03, 1.03)
        axes.set_title(title, fontsize=10)
    return figure
