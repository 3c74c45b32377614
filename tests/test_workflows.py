"""The templates say whether they were tried, and call glomseg as it is."""

import os
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


@pytest.mark.parametrize(
    ("array", "shards", "expected"),
    [((7, 1, 20, 20), "", "7/20"), ((7, 7, 7, 1), "20", "7/20"), ((7, 7, 7, 1), "", ""), ((3, 1, 7, 3), "", "")],
    ids=["all", "one again", "one again, of how many", "three of many"],
)
def test_a_job_of_an_array_is_the_same_shard_when_it_is_submitted_again(array, shards, expected) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    names = [f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "MIN", "MAX", "COUNT")]
    values = {name: str(value) for name, value in zip(names, array, strict=True)}
    done = subprocess.run(
        [bash, str(FOLDER / "slurm_array.sh"), "in", "out"],
        env={**os.environ, **values, "SHARDS": shards, "GLOMSEG": "echo"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) == bool(expected)
    assert f"--shard {expected}" in done.stdout if expected else "SHARDS=" in done.stderr
