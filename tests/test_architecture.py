"""The house's rules on imports, held by reading the code."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = (
    ("errors", "version"),
    ("files",),
    ("tiles", "unet", "geojson", "card"),
    ("readers", "resample", "tiff", "canvas", "region", "measure"),
    ("slide", "model", "polygons", "pack"),
    ("export",),
    ("tissue",),
    ("pipeline",),
    ("study",),
    ("report",),
    ("project", "evaluation", "training"),
    ("cli",),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
OWNERS = {
    "paquo": {"project/hierarchy.py", "project/collect.py", "project/qupath.py"},
    "jpype": {"project/hierarchy.py", "project/qupath.py"},
    "openslide": {"slide.py", "readers.py", "doctor.py"},
    "tifffile": {"slide.py", "readers.py", "tiff.py", "canvas.py", "evaluation/masks.py"},
    "matplotlib": {"evaluation/plots.py", "training/curves.py"},
    "imagecodecs": {"tiff.py"},
    "torch": {"unet.py", "model.py", "glomseg/export.py", "training", "doctor.py"},
    "kornia": {"training/augment.py"},
    "lightning_fabric": {"training"},
    "onnx": {"glomseg/export.py"},
    "onnxscript": {"glomseg/export.py"},
    "click": {"cli"},
    "rich": {"cli"},
}
SOURCES = sorted([*ROOT.glob("glomseg/**/*.py"), *ROOT.glob("cli/*.py")])


def imported(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def part(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return "cli" if relative.parts[0] == "cli" else relative.parts[1].removesuffix(".py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    here = part(path)
    if here == "__init__":
        return
    for name in imported(path):
        pieces = name.split(".")
        if pieces[0] == "glomseg_cli":
            pytest.fail(f"{path} names glomseg_cli; within the package, imports are relative")
        if pieces[0] == "glomseg" and len(pieces) > 1 and pieces[1] != "__version__" and pieces[1] != here:
            assert LEVEL[pieces[1]] <= LEVEL[here], f"{path} imports {name}, which stands above it"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_heavy_dependency_has_its_owner(path: Path) -> None:
    relative = path.relative_to(ROOT).as_posix()
    for name in imported(path):
        allowed = OWNERS.get(name.split(".")[0])
        assert allowed is None or any(place in relative for place in allowed), f"{relative} imports {name}"


def test_no_circles_within_a_layer() -> None:
    graph: dict[str, set[str]] = {}
    for path in SOURCES:
        uses = {name.split(".")[1] for name in imported(path) if name.startswith("glomseg.") and name.count(".") > 1}
        graph.setdefault(part(path), set()).update(uses - {part(path)})
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"imports in a circle: {' -> '.join((*trail, name))}"
        if name not in done:
            for other in graph.get(name, ()):
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_the_library_neither_prints_nor_exits() -> None:
    for path in ROOT.glob("glomseg/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("print", "exit"), f"{path}:{node.lineno}"
            if isinstance(node, ast.Attribute) and node.attr == "exit" and isinstance(node.value, ast.Name):
                assert node.value.id != "sys", f"{path}:{node.lineno}"


def test_help_is_light() -> None:
    """`glomseg --help` loads no torch, no JVM and no imaging."""
    code = (
        "import sys; sys.argv = ['glomseg', '--help']\n"
        "from glomseg_cli.main import cli\n"
        "cli.main(standalone_mode=False)\n"
        "heavy = {'torch', 'paquo', 'jpype', 'numpy', 'openslide', 'tifffile', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "annotate" in result.stdout
