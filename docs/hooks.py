"""Fill the pages that are made from the code: what each measurement means, and the start page from README."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
OUTSIDE = re.compile(r"\]\((?!https?:|#|docs/)([\w./-]+)\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Give the text of a page to MkDocs."""
    if page.file.src_uri == "index.md":
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        return OUTSIDE.sub(r"](#where-to-read-on)", text).replace("](docs/", "](")
    if page.file.src_uri == "measurements.md":
        return f"{markdown}\n\n{_measurements()}"
    return markdown


def _measurements() -> str:
    """Write a table of the columns for each of the tables of a study."""
    from glomseg.study.columns import TABLES

    parts = []
    for name, columns in TABLES.items():
        parts += [f"## {name}", "", "| column | unit | what it means |", "|---|---|---|"]
        parts += [f"| `{column.name}` | {column.unit} | {column.text.replace('|', '/')} |" for column in columns]
        parts.append("")
    return "\n".join(parts)
