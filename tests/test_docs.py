"""The documentation is true: its commands parse, its snippets run, its links lead somewhere, its pages build."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from glomseg_cli.main import cli

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def command_lines(page: Path) -> list[str]:
    """List the calls of glomseg in the shell blocks and the inline code of a page."""
    text = page.read_text(encoding="utf-8")
    blocks = [line for kind, body in BLOCK.findall(text) if kind in ("sh", "bash") for line in body.splitlines()]
    inline = re.findall(r"`(glomseg [a-z][^`]*)`", BLOCK.sub("", text))
    return [line for line in (*blocks, *inline) if line.startswith("glomseg ")]


CALLS = [(page.name, line) for page in PAGES for line in command_lines(page)]


@pytest.mark.parametrize(("page", "line"), CALLS, ids=[f"{page}: {line[:60]}" for page, line in CALLS])
def test_a_command_of_the_docs_is_one(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        assert name in command.commands, f"{page} names {name!r}, which is no command"
        command = command.commands[name]
    try:
        command.make_parser(click.Context(command)).parse_args(words)
    except click.BadOptionUsage:
        if not words[-1].startswith("-"):  # an option may be named without its value
            raise
    except click.NoSuchOption as error:
        pytest.fail(f"{page}: {line}: {error.message}")


def test_the_docs_name_every_command() -> None:
    written = "\n".join(line for page, line in CALLS)
    missing = {name for name in cli.commands if f"glomseg {name}" not in written}
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("https:", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_readme_is_a_beginning() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 900


@pytest.mark.usefixtures("no_qupath")
def test_the_snippets_of_python_run(tmp_path: Path) -> None:
    """All of them, one after another in one process, beside the demo's project and without a QuPath."""
    from glomseg_cli.demo import copy_sample

    copy_sample(tmp_path / "project")
    shutil.copy(tmp_path / "project/kidney_biopsy.tif", tmp_path / "slide.tif")
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    code = "\n".join(body for kind, body in BLOCK.findall(page) if kind == "python")
    assert code.count("glomseg.") > 5
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", code],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_pages_build_without_network(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the documentation's tools are not installed (pip install '.[docs]')")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "equivalent_diameter_um" in (tmp_path / "site/measurements.html").read_text(encoding="utf-8")
    assert "--forget-rejections" in (tmp_path / "site/commands.html").read_text(encoding="utf-8")
