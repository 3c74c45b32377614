"""What an installed glomseg holds: more than the Python files."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_wheel_holds_all_that_the_commands_need(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    for name in ("glomseg", "cli", "models", "qupath_scripts", "pyproject.toml", "README.md", "LICENSE"):
        (sources / name).symlink_to(ROOT / name)  # so that building leaves nothing in the checkout
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(sources)]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    packages = {path.relative_to(ROOT) for path in (ROOT / "glomseg").rglob("*.py")}
    assert {path.as_posix() for path in packages} <= names
    assert {
        "glomseg/py.typed",
        "glomseg/sample/project.qpproj",
        "glomseg/sample/kidney_biopsy.tif",
        "glomseg/sample/ATTRIBUTION.md",
        "glomseg/training/recipes/kpis.toml",
        "glomseg_cli/main.py",
        "glomseg_models/pas-starter/card.json",
        "glomseg_models/pas-starter/weights.safetensors",
        "glomseg_models/pas-sclerosis/classifier.json",
        "glomseg_models/pas-sclerosis/weights.safetensors",
        "glomseg_scripts/extension/GlomSegExtension.groovy",
        "glomseg_scripts/import_results.groovy",
    } <= names
    assert not any(name.startswith(("cli/", "models/", "qupath_scripts/", "tests/")) for name in names)
    assert not any("__pycache__" in name for name in names)
