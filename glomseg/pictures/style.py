"""How all charts look: the house's colours and matplotlib's settings."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from html import escape
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

INK, SOFT, LINE, PLUM = "#22202a", "#6a6675", "#e4e0e6", "#7b2d6b"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#777777"  # told apart by the colour-blind as well (Okabe and Ito)
COLORS = (BLUE, ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#666666")
STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "svg.hashsalt": "glomseg",
    "svg.fonttype": "none",
    "text.parse_math": False,  # a $ in a name is no formula
}


def inline_svg(figure: Figure, label: str, tips: Mapping[str, str] | None = None) -> str:
    """Return a figure as an SVG element for a page, as wide as its place; `tips` are shown over parts of these gids.

    `label` says what it shows to those who do not see it. What ids are needed inside are made of it, so that charts
    of other labels share none.
    """
    file = io.BytesIO()
    with rc_context({**STYLE, "svg.hashsalt": label}):
        figure.savefig(
            file, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    text = file.getvalue().decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", text, count=1)
    for gid, tip in (tips or {}).items():
        text = text.replace(f'<g id="{gid}">', f'<g id="{gid}"><title>{escape(tip)}</title>', 1)
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1)
