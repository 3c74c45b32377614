"""The house's rules on imports, held by reading the code, file by file."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAYERS = (
    ("errors", "file_rights", "leftovers", "unexpected"),
    ("child_process", "columns", "files", "geometry", "listing", "progress", "settings"),
    ("standing_files",),
    ("slides",),
    ("models",),
    ("qupath",),
    ("segment",),
    ("pictures",),
    ("runs",),
    ("labelled",),
    ("study",),
    ("report", "evaluation"),
    ("training",),
    ("cli",),
)
"""From the lowest up; a room imports from those below it, and rooms of one line know nothing of each other."""
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
OWNERS = {
    "paquo": {"qupath/java.py", "qupath/process.py"},
    "jpype": {"qupath/java.py", "qupath/process.py"},
    "openslide": {"slides/slide.py", "slides/readers.py", "cli/doctor.py"},
    "tifffile": {"slides/", "segment/probability_map.py", "labelled/label_tiff.py"},
    "matplotlib": {"evaluation/plots.py", "pictures/style.py", "report/charts.py", "training/history.py"},
    "imagecodecs": {"slides/tiff.py"},
    "simplejpeg": {"slides/jpeg.py"},
    "distributed": {"runs/cluster.py"},
    "pydicom": set(),
    "torch": {"glomseg/models/", "glomseg/training/", "cli/doctor.py"},
    "kornia": {"training/augment/"},
    "lightning_fabric": {"glomseg/training/"},
    "onnx": {"models/exporting.py"},
    "onnxscript": {"models/exporting.py"},
    "onnxruntime": {"models/foreign_network.py", "models/engine.py"},
    "openvino": {"models/engine.py"},
    "transformers": {"models/extras.py"},
    "segmentation_models_pytorch": {"models/extras.py"},
    "torchvision": {"models/extras.py"},
    "timm": set(),
    "click": {"cli/"},
    "rich": {"cli/"},
}
SOURCES = sorted([*ROOT.glob("glomseg/**/*.py"), *ROOT.glob("cli/*.py")])
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCES}


@functools.cache
def imported(path: Path) -> frozenset[str]:
    """Name what a file imports, inside functions and for type checkers too; our own by module."""
    names: set[str] = set()
    package = ".".join(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, (package if node.level else "", node.module)))
            whole = {alias.name: f"{base}.{alias.name}" for alias in node.names}
            names |= {name if name in MODULES else base for name in whole.values()}
    return frozenset(names - {"glomseg"})


def room(module: str) -> str:
    """Name the room of one of our modules."""
    parts = module.split(".")
    return "cli" if parts[0] == "cli" else parts[1]


def test_imports_go_down() -> None:
    """Of every file but the face, which gives names of all rooms when they are asked for."""
    wrong = [
        f"{module} imports {name}, which does not stand below it"
        for module, path in MODULES.items()
        if module.startswith(("glomseg.", "cli")) and not module.startswith("glomseg.__")
        for name in imported(path) & MODULES.keys()
        if room(module) != room(name) and LEVEL[room(name)] >= LEVEL[room(module)]
    ]
    assert not wrong, "\n".join(wrong)


def test_no_file_names_the_installed_command_line() -> None:
    naming = {
        module for module, path in MODULES.items() for name in imported(path) if name.split(".")[0] == "glomseg_cli"
    }
    assert naming <= {"glomseg.__main__"}


def test_each_heavy_dependency_has_its_owner() -> None:
    wrong = [
        f"{place} imports {name}"
        for place, path in ((path.relative_to(ROOT).as_posix(), path) for path in SOURCES)
        for name in imported(path)
        if name.split(".")[0] in OWNERS and not any(owner in place for owner in OWNERS[name.split(".")[0]])
    ]
    assert not wrong, "\n".join(wrong)


def test_no_circles() -> None:
    """No file imports itself through others, TYPE_CHECKING included."""
    graph = {
        name: (imported(path) & MODULES.keys()) - {name} for name, path in MODULES.items() if name.count(".") and path
    }
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


def test_no_type_has_the_name_of_another() -> None:
    """Classes and named types of the library, wherever they stand."""
    places: dict[str, list[str]] = {}
    for module, path in MODULES.items():
        if module.startswith("cli"):
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                names = [node.name]
            elif isinstance(node, ast.Assign):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
                names = [name for name in names if name[0].isupper() and not name.isupper()]
            else:
                continue
            for name in names:
                places.setdefault(name, []).append(module)
    twice = {name: modules for name, modules in places.items() if len(modules) > 1}
    assert not twice
