"""A copy of a real project whose data have the times that QuPath's summaries name, as where QuPath saved them."""

import json
import os
import shutil
from pathlib import Path


def copy_project(source: Path, folder: Path) -> Path:
    """Copy a project's folder; returns the copy."""
    copied = Path(shutil.copytree(source, folder))
    for summary in copied.glob("data/*/summary.json"):
        saved_ns = json.loads(summary.read_text("utf-8"))["timestamp"] * 1_000_000
        os.utime(summary.with_name("data.qpdata"), ns=(saved_ns, saved_ns))
    return copied
