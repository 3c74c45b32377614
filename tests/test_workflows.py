"""The templates say whether they were tried, and call glomseg as it is."""

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from glomseg_cli.main import cli

FOLDER = Path(__file__).parents[1] / "workflows"
TEMPLATES = sorted(path for path in FOLDER.iterdir() if path.is_file() and path.name != "README.md")


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_says_whether_it_was_tried_and_gives_options_that_there_are(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.removeprefix("#!/bin/bash\n").splitlines()
    assert re.match(r"(#|//) (Tried (on|with) \S+ [\d.]*|Untried: no )", lines[0]), lines[0]
    command = cli.commands["segment"]
    known = {name for option in command.params if isinstance(option, click.Option) for name in option.opts}
    calls = re.findall(r"glomseg\S*[\s\", ]+segment(?:.*\\\n)*.*", text)
    given = {name for call in calls for name in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", call)}
    assert given, path.name
    assert given <= known, given - known
    assert f"`{path.name}`" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_job_array_is_bash() -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    subprocess.run([bash, "-n", str(FOLDER / "slurm_array.sh")], check=True)
