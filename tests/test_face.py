"""The face of the library: every name is there, and importing it costs nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import glomseg

SOURCE = Path(glomseg.__file__)


@pytest.mark.parametrize("name", glomseg.__all__)
def test_each_name_is_there_and_documented(name: str) -> None:
    value = getattr(glomseg, name)
    assert name in dir(glomseg)
    assert isinstance(value, str) or value.__doc__


def test_type_checkers_and_python_are_told_the_same() -> None:
    told = {}
    for node in ast.walk(ast.parse(SOURCE.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("glomseg."):
            told |= {alias.name: node.module for alias in node.names}
    assert told == glomseg._PLACES
    assert sorted(glomseg.__all__) == sorted([*told, "__version__"])


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = glomseg.no_such_thing


def test_importing_is_light() -> None:
    code = (
        "import sys, glomseg\n"
        "heavy = {'torch', 'paquo', 'jpype', 'numpy', 'shapely', 'openslide'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_python_dash_m_runs_the_command_line() -> None:
    command = [sys.executable, "-m", "glomseg", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == f"glomseg, version {glomseg.__version__}"
